"""``--simulated``: the demo starts over, on the simulated ensemble of ``proof/simulation``."""

import os
import sys
from pathlib import Path

from app.errors import BadSettingError

_TOP = Path(__file__).resolve().parents[2]  # where app and proof are found


def start_over(seed: int) -> None:
    """Become a process that plays this script in virtual time; what plays it puts a no-op in our place.

    A new one, since time must be virtual before anything else is imported, and since the order of a set of
    texts must not differ from run to run.

    Raises:
        BadSettingError: there is nothing that simulates, as in a pod.
    """
    if not (_TOP / "proof").is_dir():
        message = "--simulated is for a clone of the project: this image has no simulation"
        raise BadSettingError(message)
    found = os.pathsep.join(filter(None, (str(_TOP), os.environ.get("PYTHONPATH"))))
    # -P: a folder "proof" where the user stands is not ours.
    command = [sys.executable, "-P", "-m", "proof.simulation.play", str(seed), *sys.argv]
    os.execve(sys.executable, command, {**os.environ, "PYTHONPATH": found, "PYTHONHASHSEED": "0"})
