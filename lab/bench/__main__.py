"""python -m lab.bench: what ``python -m lab bench`` runs beside its servers."""

import sys

from lab.bench.run import main

sys.exit(main(sys.argv[1:]))
