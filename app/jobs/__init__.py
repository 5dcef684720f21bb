"""The jobs: one file each, found by name, imported when first used."""

import importlib
import pkgutil

from app.jobs.job import Job

# What this folder holds beside jobs.
_NOT_JOBS = {"job"}

DEFAULT = "equalize"


def names() -> list[str]:
    """Every job that there is, by name."""
    return sorted(found.name for found in pkgutil.iter_modules(__path__) if found.name not in _NOT_JOBS)


def find(name: str) -> Job:
    """The job called ``name``. Raises KeyError with the names that there are."""
    if name not in names():
        raise KeyError(f"there is no job {name!r}: there are {', '.join(names())}")
    job: Job = importlib.import_module(f"{__name__}.{name}").JOB
    return job
