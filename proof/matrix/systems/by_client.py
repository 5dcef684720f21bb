"""A system in which each client has a way, or a pod, of its own: replica i is the i-th client's."""

from collections.abc import Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from proof.matrix.schedule import CLIENTS, WRITER


class Way(Protocol):
    """What can be harmed between a client and the store."""

    def cut(self) -> None: ...
    def heal(self) -> None: ...
    def close(self) -> None: ...


AnyWay = TypeVar("AnyWay", bound=Way)


class ByClient(Generic[AnyWay]):
    """One key an act, and the faults that concern one client each."""

    def __init__(self) -> None:
        self._ways: dict[str, AnyWay] = {}
        self._key = ""

    def begin(self, act: str) -> None:
        self._key = act

    def key_to_write(self, client: str) -> str:
        return self._key

    def key_to_read(self, client: str) -> str:
        return self._key

    def cut(self, replicas: Sequence[int]) -> None:
        for way in self._of(replicas):
            way.cut()

    def heal(self, replicas: Sequence[int]) -> None:
        for way in self._of(replicas):
            way.heal()

    restart = heal

    def maim(self, kept: Sequence[int]) -> None:
        self._ways[WRITER].cut()

    def unmaim(self) -> None:
        self._ways[WRITER].heal()

    def close(self) -> None:
        for way in self._ways.values():
            way.close()

    def _of(self, replicas: Sequence[int]) -> Iterator[AnyWay]:
        for replica in replicas:
            if replica <= len(CLIENTS):
                yield self._ways[CLIENTS[replica - 1]]
