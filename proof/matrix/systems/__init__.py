"""The system under test in a row: what its clients can do, and what can be done to its replicas.

Each lives in one process, with sessions and links of its own. A key is what a client reads or writes: most
systems have one for each act; of a primary-backup pair each transaction is one.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from app.checker.history import Value, Version
from app.errors import BadSettingError
from proof.matrix.orders import Orders
from proof.matrix.systems.copies import Copies
from proof.matrix.systems.pair import BackupsCopy, ThroughPrimary
from proof.matrix.systems.registers import NOTES, SMALL, WHOLE, WITHOUT_WRITE_BACK, Registers
from proof.matrix.systems.znode import Checked, Plain, Synced

__all__ = ["System", "system_of"]


class System(Protocol):
    """What a row needs of its system. An operation without a result raises one of NOT_A_RESULT."""

    def open(self) -> None:
        """All participants started, and whole."""

    def begin(self, act: str) -> None:
        """What the clients work on from now on."""

    def key_to_write(self, client: str) -> str: ...
    def key_to_read(self, client: str) -> str: ...
    def write(self, client: str, key: str, value: str) -> Version | None: ...
    def read(self, client: str, key: str) -> tuple[Value, Version | None]: ...

    def cut(self, replicas: Sequence[int]) -> None: ...
    def heal(self, replicas: Sequence[int]) -> None: ...
    def crash(self, replicas: Sequence[int]) -> None: ...
    def restart(self, replicas: Sequence[int]) -> None: ...
    def maim(self, kept: Sequence[int]) -> None:
        """Cut the writer off from all replicas but these."""

    def unmaim(self) -> None: ...
    def close(self) -> None: ...


_MAKERS: dict[str, Callable[[Orders], System]] = {
    "datawatch": Copies,
    "follower": Plain,
    "sync": Synced,
    "conditional": Checked,
    "backup-copy": BackupsCopy,
    "primary": ThroughPrimary,
    "notes-quorum": lambda orders: Registers(orders, NOTES),
    "small-quorums": lambda orders: Registers(orders, SMALL),
    "no-write-back": lambda orders: Registers(orders, WITHOUT_WRITE_BACK),
    "quorum": lambda orders: Registers(orders, WHOLE),
}


def system_of(orders: Orders) -> System:
    """Raises BadSettingError."""
    if orders.mechanism not in _MAKERS:
        message = f"there is no mechanism {orders.mechanism!r}: {', '.join(_MAKERS)}"
        raise BadSettingError(message)
    return _MAKERS[orders.mechanism](orders)
