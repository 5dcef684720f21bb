"""Every error that a caller may catch.

An operation ends in one of three ways, and the type says which: it returned (it happened), it raised
:class:`Refused` (it provably did not happen), or it raised :class:`InDoubt` (nobody here can know yet).
A timeout is never "failed": the request may be on its way, and ZooKeeper may still carry it out.
"""

from collections.abc import Sequence


class LessonError(Exception):
    """Base of all. The message is one line: the cause, and what to do about it."""


class BadSettingError(LessonError):
    """An environment variable or an option is outside what can work."""


class Unreachable(LessonError):
    """ZooKeeper did not answer in time, or its name is unknown. Nothing was asked of it."""


class Malformed(LessonError):
    """The bytes in a znode don't fit their schema. Nothing was taken from them."""


class PayloadUnavailable(LessonError):
    """What a payload stands for can't be had from here at the moment, or any more: so it can't be kept."""


class Refused(LessonError):
    """The operation provably did not happen and never will: it may be tried again, or dropped."""


class Fenced(Refused):
    """A newer epoch has been raised: who asked is deposed, and the store turned the request away."""


class NoBackup(Refused):
    """No backup is alive and up to date, so a promise of two copies can't be made. Nothing was written."""


class Aborted(Refused):
    """The one decision on this transaction is "aborted": it is not stored, and never will be."""


class TooFewReplicas(Refused):
    """Too few replicas are served for this quorum. Nothing was written."""


class IdConflict(Refused):
    """The id already belongs to another payload: a new request takes a new id."""


class NotMaster(Refused):
    """Asked of a worker what only the master answers; the message says who that is."""


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
