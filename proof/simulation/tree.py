"""ZooKeeper's znodes and what each request does to them: a pure state machine.

(Hunt, Konar, Junqueira & Reed, USENIX ATC 2010, sections 2.2 and 4.) A request changes the tree as a whole or
fails with one error. What changes is a list of :class:`Change`, which every server applies in the same order.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from kazoo.exceptions import (
    BadArgumentsError,
    BadVersionError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
    RuntimeInconsistency,
    ZookeeperError,
)
from kazoo.protocol.serialization import CheckVersion, Create, Create2, Delete, SetData, Transaction
from kazoo.protocol.states import ZnodeStat

ANY_VERSION = -1
_EPHEMERAL, _SEQUENCE = 1, 2  # a Create's flags


@dataclass(frozen=True, slots=True)
class Node:
    """A znode. ``made``: how many children were ever created below it, which numbers the sequential ones."""

    data: bytes
    czxid: int
    mzxid: int
    pzxid: int
    ctime_ms: int
    mtime_ms: int
    version: int = 0
    owner: int = 0
    made: int = 0
    children: frozenset[str] = frozenset()

    @property
    def stat(self) -> ZnodeStat:
        children = len(self.children)
        return ZnodeStat(
            self.czxid, self.mzxid, self.ctime_ms, self.mtime_ms, self.version, 2 * self.made - children,
            0, self.owner, len(self.data), children, self.pzxid,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """``path`` is ``node`` from now on, gone if that is None; "children": only its children differ."""

    kind: Literal["created", "changed", "deleted", "children"]
    path: str
    node: Node | None


@dataclass(frozen=True, slots=True)
class At:
    """When a request takes effect, and for whom."""

    zxid: int
    time_ms: int
    session: int


Nodes = dict[str, Node]


def empty() -> Nodes:
    return {"/": Node(b"", 0, 0, 0, 0, 0)}


def parent_of(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def apply(nodes: Nodes, changes: list[Change]) -> None:
    for change in changes:
        if change.node is None:
            nodes.pop(change.path, None)
        else:
            nodes[change.path] = change.node


def perform(nodes: Nodes, request: Any, at: At) -> tuple[Any, list[Change]]:
    """What a request that writes answers, and what it changes; ``nodes`` stay as they are.

    Raises ZookeeperError. A transaction never does: it answers with a list, of results or of errors.
    """
    if isinstance(request, Transaction):
        return _transaction(nodes, request, at)
    draft = _Draft(nodes, at)
    return draft.perform(request), draft.changes


def expire(nodes: Nodes, owned: Iterable[str], at: At) -> list[Change]:
    """What the end of a session changes: its ephemeral znodes go, all at once."""
    draft = _Draft(nodes, at)
    for path in owned:
        draft.perform(Delete(path, ANY_VERSION))
    return draft.changes


def _transaction(nodes: Nodes, request: Transaction, at: At) -> tuple[list[Any], list[Change]]:
    """All of it or nothing, with an answer to each operation, as servers give it."""
    draft, results = _Draft(nodes, at), []
    for index, operation in enumerate(request.operations):
        try:
            results.append(draft.perform(operation))
        except ZookeeperError as error:
            later = len(request.operations) - index - 1
            return [
                *(RolledBackError() for _ in results),
                error,
                *(RuntimeInconsistency() for _ in range(later)),
            ], []
    return results, draft.changes


class _Draft:
    """The tree as it would be, while one request is carried out."""

    def __init__(self, nodes: Nodes, at: At) -> None:
        self._nodes, self._at = nodes, at
        self._new: dict[str, Node | None] = {}
        self.changes: list[Change] = []

    def perform(self, request: Any) -> Any:
        if isinstance(request, Create):
            return self._create(request)
        if isinstance(request, Create2):  # kazoo's include_data
            path = self._create(request)
            node = self._get(path)
            return path, node and node.stat
        if isinstance(request, SetData):
            return self._set(request)
        if isinstance(request, Delete):
            return self._delete(request)
        if isinstance(request, CheckVersion):
            self._node(request.path, request.version)
            return True
        raise BadArgumentsError

    def _get(self, path: str) -> Node | None:
        return self._new[path] if path in self._new else self._nodes.get(path)

    def _node(self, path: str, version: int) -> Node:
        node = self._get(path)
        if node is None:
            raise NoNodeError
        if version not in (ANY_VERSION, node.version):
            raise BadVersionError
        return node

    def _put(
        self, kind: Literal["created", "changed", "deleted", "children"], path: str, node: Node | None
    ) -> None:
        self._new[path] = node
        self.changes.append(Change(kind, path, node))

    def _create(self, request: Create | Create2) -> str:
        path: str = request.path
        at = self._at
        above = parent_of(path)
        parent = self._get(above)
        if parent is None:
            raise NoNodeError
        if request.flags & _SEQUENCE:
            path += f"{parent.made:010d}"
        if parent.owner:
            raise NoChildrenForEphemeralsError
        if self._get(path) is not None:
            raise NodeExistsError
        owner = at.session if request.flags & _EPHEMERAL else 0
        made = Node(request.data or b"", at.zxid, at.zxid, at.zxid, at.time_ms, at.time_ms, owner=owner)
        self._put("created", path, made)
        children = parent.children | {path.rpartition("/")[2]}
        self._put("children", above, replace(parent, children=children, made=parent.made + 1, pzxid=at.zxid))
        return path

    def _set(self, request: SetData) -> ZnodeStat:
        node = self._node(request.path, request.version)
        new = replace(
            node, data=request.data or b"", version=node.version + 1, mzxid=self._at.zxid,
            mtime_ms=self._at.time_ms,
        )  # fmt: skip
        self._put("changed", request.path, new)
        return new.stat

    def _delete(self, request: Delete) -> bool:
        path = request.path
        node = self._node(path, request.version)
        if path == "/":
            raise BadArgumentsError
        if node.children:
            raise NotEmptyError
        self._put("deleted", path, None)
        above = parent_of(path)
        parent = self._node(above, ANY_VERSION)
        children = parent.children - {path.rpartition("/")[2]}
        self._put("children", above, replace(parent, children=children, pzxid=self._at.zxid))
        return True
