"""`python -m lab`, with stand-ins (tests/lab/stand_in.py) as workers and less patience if READY_S says so."""

import os
import sys

from lab import up, workers
from lab.__main__ import main

workers.COMMAND = (sys.executable, "-m", "tests.lab.stand_in")
up.READY_S = float(os.environ.get("READY_S", up.READY_S))
sys.exit(main(sys.argv[1:]))
