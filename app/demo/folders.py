"""The participants' disks: a folder of a run's own, whose name tells whose it is."""

import os
import shutil
import tempfile
from pathlib import Path

_FOLDER = "k8s-zk-demo-"


def run_folder() -> tempfile.TemporaryDirectory[str]:
    """A new one, for a with statement."""
    return tempfile.TemporaryDirectory(prefix=f"{_FOLDER}{os.getpid()}-")


def sweep_folders() -> None:
    """Remove the folders of killed runs: those whose process is no more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*-*"):
        owner = folder.name.removeprefix(_FOLDER).partition("-")[0]
        try:
            os.kill(int(owner), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (PermissionError, ValueError):
            continue  # somebody else's, and alive; or not a run's at all
