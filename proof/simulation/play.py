"""A demo, unchanged, on the simulated ensemble: ``python -m proof.simulation.play SEED SCRIPT OPTIONS``.

``--simulated`` becomes this (app/demo/simulated.py). Time is virtual before the script imports anything of
``app``: a default value may hold a clock.
"""

import runpy
import sys
from collections.abc import Sequence

import app  # noqa: F401 (what it sets must come before eventlet)
from proof.simulation import clock


def main(argv: Sequence[str]) -> None:
    """Never returns: a demo ends its process with its own status."""
    seed, *sys.argv = argv
    hub = clock.begin(int(seed))
    hub.most_steps = None  # a load may be as large as one likes; Ctrl-C ends it
    from proof.simulation.edges import put_in_place

    put_in_place(int(seed))
    sys.argv += ["--seed", seed]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
