"""python -m proof.bench: what ``python -m lab bench`` runs beside its servers."""

import sys

from proof.bench.run import main

sys.exit(main(sys.argv[1:]))
