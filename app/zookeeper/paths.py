"""Every znode path, in one place. No other module builds one.

A demo's run lives under ``/demos/<run>`` (as its client's chroot), where all the paths below stand again.
"""

import re
from collections.abc import Iterable

CONFIG = "/config/mapreduce_params"
NODES = "/nodes"
ELECTION = "/election"
EPOCH = "/epoch"
HOSTS = "/hosts"
OBJECTS = "/objects"
JOBS = "/jobs"
BOARD = "/board"
DEMOS = "/demos"
OWNER = "/owner"
CAST = "/cast"

# Created by the first participant and never deleted: a ChildrenWatch on a missing path ends at once.
ROOTS = (NODES, ELECTION, HOSTS, OBJECTS, JOBS, BOARD)

# One path component: no slash, no "." or "..", nothing that a shell or a file system would mind.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


def checked(name: str) -> str:
    """``name`` if it can stand as one component of a path and as a file name, else ValueError."""
    if not _NAME.fullmatch(name):
        message = f"{name!r} can't be a name here: letters, digits, '_', '-' and '.', 1 to 100 of them"
        raise ValueError(message)
    return name


def usable(names: Iterable[str]) -> list[str]:
    """Those of a znode's children that we could have made: what else stands there is left alone."""
    return [name for name in names if _NAME.fullmatch(name)]


def node(pod: str) -> str:
    """Ephemeral: a participant's role, and the configuration version that it has applied."""
    return f"{NODES}/{checked(pod)}"


def seat(name: str | None) -> str:
    """A seat in the election, as ``/election`` lists it. That of None never exists."""
    return f"{ELECTION}/{name}"


def listed(root: str, name: str) -> str:
    """A child of ``root`` as ZooKeeper lists it: such a name is not ours, and is not checked."""
    return f"{root}/{name}"


def host(index: int) -> str:
    """Ephemeral: replica ``index`` (1..N) of every object is served while this exists."""
    return f"{HOSTS}/{index}"


def object_root(object_id: str) -> str:
    return f"{OBJECTS}/{checked(object_id)}"


def replica(object_id: str, index: int) -> str:
    """Version and value of replica ``index`` (1..N) of one object."""
    return f"{object_root(object_id)}/replica_{index}"


def job(job_id: str) -> str:
    """A transaction: its payload."""
    return f"{JOBS}/{checked(job_id)}"


def backup_ack(job_id: str) -> str:
    return f"{job(job_id)}/backup_ack"


def outcome(job_id: str) -> str:
    """The one decision on a transaction."""
    return f"{job(job_id)}/outcome"


def result(job_id: str) -> str:
    """What came of a job. Once it exists the payload has been used, and its copies may go."""
    return f"{job(job_id)}/result"


def plan(job_id: str) -> str:
    """How a job is cut into tasks: created once, never computed again."""
    return f"{job(job_id)}/plan"


def phase(job_id: str, name: str) -> str:
    return f"{job(job_id)}/{checked(name)}"


def task(job_id: str, phase_name: str, index: int) -> str:
    """The attempts at one task: its znode version is the fencing token of the latest."""
    return f"{phase(job_id, phase_name)}/task_{index}"


def lock(job_id: str, phase_name: str, index: int) -> str:
    """Ephemeral: somebody is at it."""
    return f"{task(job_id, phase_name, index)}/lock"


def done(job_id: str, phase_name: str, index: int) -> str:
    """What came of a task."""
    return f"{task(job_id, phase_name, index)}/done"


def board(job_id: str) -> str:
    """What is to be done now for a running job. Workers watch the board and nothing else."""
    return f"{BOARD}/{checked(job_id)}"


def matrix(job_id: str) -> str:
    """The id of the quorum object that holds a job's reduced value."""
    return f"{checked(job_id)}_matrix"


def run(run_id: str) -> str:
    """A demo run's own root."""
    return f"{DEMOS}/{checked(run_id)}"


def cast(pod: str) -> str:
    """In a run's root: this worker is invited to take part; below it is its mailbox."""
    return f"{CAST}/{checked(pod)}"


def here(pod: str) -> str:
    """Ephemeral, of the worker's own session: it has come, and this is what it says of its part."""
    return f"{cast(pod)}/here"


def asks(pod: str) -> str:
    return f"{cast(pod)}/asks"


def ask(pod: str, ask_id: str) -> str:
    """One order or question; the answer takes its place."""
    return f"{asks(pod)}/{checked(ask_id)}"
