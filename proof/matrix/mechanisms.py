"""The rows of the matrix: what is measured, and what theory promises of it. Pure values.

*Promised* is what no history can break, with faults or without, as long as the implementation is right: a
violation there is a fault of ours. Of the other guarantees theory says nothing good. That a run keeps them
all the same means that it has not been seen, and no more.
"""

from dataclasses import dataclass

from app.checker.guarantees import GUARANTEES, Guarantee

EVERYTHING = frozenset(GUARANTEES)


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One way to keep copies.

    Attributes:
        name: as it is given on a command line, and written in JSON.
        title: as the table has it.
        does: what it does, in a sentence.
        promised: the guarantees that theory forbids it to break.
        because: why these, and no others.
    """

    name: str
    title: str
    does: str
    promised: frozenset[Guarantee]
    because: str


MECHANISMS = (
    Mechanism(
        "datawatch",
        "a DataWatch cache",
        "writes publish a configuration by a conditional set; a read is of the reader's own copy",
        frozenset(("eventually convergent", "monotonic writes", "writes follow reads")),
        "a copy follows the store's one order, but at an unknown distance, and a new pod forgets",
    ),
    Mechanism(
        "follower",
        "a plain read from a follower",
        "writes set a znode; a read is a get from the server that the reader is connected to",
        EVERYTHING - {"linearizable"},
        "ZooKeeper orders all writes and keeps each session's own order; the server of a get may lag",
    ),
    Mechanism(
        "sync",
        "sync, then a read",
        "as before, with a sync before each get",
        EVERYTHING - {"linearizable"},
        "a sync is not a quorum operation: a leader that was deposed a moment ago may answer it",
    ),
    Mechanism(
        "conditional",
        "a conditional set, reads checked",
        "a write is a get and a set on condition of its version; a read's version is checked by the leader",
        EVERYTHING,
        "set and check are both committed by a majority, in one order",
    ),
    Mechanism(
        "backup-copy",
        "a backup's local copy",
        "writes go through the primary; a read is of the backup's disk, without asking the primary",
        frozenset(),
        "the copy is there before the decision, and a backup that has been replaced has missed some",
    ),
    Mechanism(
        "primary",
        "primary-backup through the primary",
        "writes and reads go through the primary, which checks its epoch",
        EVERYTHING,
        "one primary at a time decides, and a deposed one can't read any more",
    ),
    Mechanism(
        "notes-quorum",
        "the notes' quorum",
        "N=5, W=3, R=3; a replica's own znode version is taken for a clock",
        frozenset(),
        "versions that count writes to a replica order nothing",
    ),
    Mechanism(
        "small-quorums",
        "R+W <= N",
        "N=5, W=2, R=2, with versions and with write-back",
        frozenset(),
        "a read quorum need not meet the last write quorum, nor a writer its own",
    ),
    Mechanism(
        "no-write-back",
        "a quorum without write-back",
        "N=5, W=3, R=3; a read returns the newest of three replies",
        frozenset(),
        "a read sees every completed write; one that is half done it may see, miss, and see again",
    ),
    Mechanism(
        "quorum",
        "a quorum with write-back",
        "N=5, W=3, R=3; what a read returns, W replicas hold",
        EVERYTHING,
        "Attiya, Bar-Noy & Dolev, JACM 1995",
    ),
)  # fmt: skip
NAMES = tuple(mechanism.name for mechanism in MECHANISMS)


def named(name: str) -> Mechanism:
    return MECHANISMS[NAMES.index(name)]
