"""How an operation ends, and the errors that several rooms of ``app`` share.

An operation ends in one of three ways, and the type says which: it returned (it happened), it raised
:class:`Refused` (it provably did not happen), or it raised :class:`InDoubt` (its outcome is still unknown).
A timeout is never "failed": the request may be on its way, and ZooKeeper may still carry it out.

An error of one room stands there, beside the code that raises it:

    app.jobs         Unusable
    app.checker      HistoryError
    app.zookeeper    TransactionFailed: its callers turn it into one of the endings above
    app.consistency  DiskRefused
    app.mapreduce    TooFewNodes, Damaged, Failed
    app.web          BadRequest, BadUpload
    app.demo         ServersError, CannotGoOn, Interrupted
"""

from collections.abc import Sequence


class LessonError(Exception):
    """Base of all. The message is one line: the cause, and what to do about it."""


class BadSettingError(LessonError):
    """An environment variable or an option is outside what can work."""


class Unreachable(LessonError):
    """ZooKeeper did not reply in time, or its name is unknown. Nothing was requested."""


class Malformed(LessonError):
    """The bytes in a znode don't fit their schema. Nothing was taken from them."""


class PayloadUnavailable(LessonError):
    """What a payload stands for is unavailable here, for now or permanently: so it can't be kept."""


class Refused(LessonError):
    """The operation provably did not happen and never will: it may be tried again, or dropped."""


class Fenced(Refused):
    """A newer epoch has been raised: the caller is deposed, and the store refused its request."""


class NoBackup(Refused):
    """No backup is alive and up to date, so a promise of two copies can't be made. Nothing was written."""


class Aborted(Refused):
    """The one decision on this transaction is "aborted": it is not stored, and never will be."""


class TooFewReplicas(Refused):
    """Too few replicas are served for this quorum. Nothing was written."""


class IdConflict(Refused):
    """The id already belongs to another payload: a new request takes a new id."""


class NotMaster(Refused):
    """Only the master answers this, and this worker isn't it; the message names the master."""


class TooLarge(Refused):
    """An upload over the limit; nothing of it is kept."""


class InDoubt(LessonError):
    """Unknown: it may have happened, or may still happen.

    Attributes:
        ask_again: what to ask with to learn the outcome (a transaction's id, a write's version).
        holders: replicas known to hold the value, by number; empty where that has no meaning.
    """

    def __init__(self, message: str, *, ask_again: object = None, holders: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.ask_again = ask_again
        self.holders = tuple(holders)
