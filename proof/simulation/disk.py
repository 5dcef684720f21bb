"""A disk that forgets: after a power cut it has what was synced, and of the rest some, torn or whole.

(Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014.) A file's bytes are there for certain
after the file's fsync, a name after its folder's. What was not synced may be there or not, each for itself:
of two renames the later one may be on the disk alone, and a new name may stand for an empty file.
"""

from __future__ import annotations

import errno
import os
import random
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TypeAlias

import eventlet
from greenlet import GreenletExit  # type: ignore[import-untyped]  # it has no annotations

# What an fsync takes, in seconds.
_SYNC_S = (0.0001, 0.004)


@dataclass(eq=False)
class _File:
    """``data`` is what processes see, ``synced`` what is on the disk."""

    data: bytes = b""
    synced: bytes | None = None
    changed_s: float = field(default_factory=time.time)

    def sync(self) -> None:
        self.synced = self.data

    def forget(self, choose: random.Random) -> None:
        """Of what was written a part came to the disk, or as many zeros."""
        if self.data != self.synced:
            kept = choose.choice((0, len(self.data), choose.randint(0, len(self.data))))
            self.data = bytes(kept) if choose.random() < 0.3 else self.data[:kept]
            self.sync()


@dataclass(eq=False)
class _Folder:
    """``pending``: what was done to its names since they were synced, one thing after the other."""

    names: dict[str, _Node] = field(default_factory=dict)
    synced: dict[str, _Node] = field(default_factory=dict)
    pending: list[Mapping[str, _Node | None]] = field(default_factory=list)
    changed_s: float = 0.0

    def change(self, names: Mapping[str, _Node | None]) -> None:
        """All of it at once, as a rename; None: the name is gone."""
        self.pending.append(names)
        _apply(self.names, names)

    def sync(self) -> None:
        self.synced, self.pending = dict(self.names), []

    def forget(self, choose: random.Random) -> None:
        for change in self.pending:
            if choose.random() < 0.5:
                _apply(self.synced, change)
        self.names, self.pending = dict(self.synced), []
        for node in self.names.values():
            node.forget(choose)

    def certain(self) -> dict[str, bytes]:
        """The files that are here whole after a power cut, however that goes."""
        unsure = {name for change in self.pending for name in change}
        return {
            name: node.data
            for name, node in self.synced.items()
            if isinstance(node, _File) and node.data == node.synced and name not in unsure
        }


_Node: TypeAlias = _File | _Folder


def _apply(names: dict[str, _Node], change: Mapping[str, _Node | None]) -> None:
    for name, node in change.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


def _named(folder: _Folder, path: Path) -> _Node:
    """Raises FileNotFoundError."""
    if path.name not in folder.names:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
    return folder.names[path.name]


class ForgetfulDisk:
    """One machine's disk, and the tree on it; it outlives the processes that use it (:class:`Files`).

    Attributes:
        is_full: nothing can be written.
        delay_s: how much longer each fsync takes.
        had: the files that were ever certain to be here, in any folder, and on one that was replaced: their
            bytes by name.
    """

    def __init__(self, choose: random.Random) -> None:
        self.choose = choose
        self.root = _Folder()
        self.is_full = False
        self.delay_s = 0.0
        self.had: dict[str, bytes] = {}

    def lose_power(self) -> None:
        """What was not synced is gone or torn. The processes must have ended."""
        self.root.forget(self.choose)

    def replace(self) -> None:
        """By another one, which is empty."""
        self.root = _Folder()

    def seen(self, path: Path) -> dict[str, bytes]:
        """The files that processes find in a folder."""
        folder = self.node(path)
        found = folder.names if isinstance(folder, _Folder) else {}
        return {name: node.data for name, node in found.items() if isinstance(node, _File)}

    def certain(self, path: Path) -> dict[str, bytes]:
        """The files that are in a folder after a power cut, whole, however that goes."""
        folder = self.root
        for name in path.parts[1:]:
            found = folder.synced.get(name)
            if not isinstance(found, _Folder) or any(name in change for change in folder.pending):
                return {}
            folder = found
        return folder.certain()

    def synced(self, path: Path) -> None:
        """Something in this folder has been synced."""
        self.had |= self.certain(path)

    def node(self, path: Path) -> _Node | None:
        found: _Node | None = self.root
        for name in path.parts[1:]:
            found = found.names.get(name) if isinstance(found, _Folder) else None
        return found

    def folder(self, path: Path) -> _Folder:
        """Raises FileNotFoundError or NotADirectoryError."""
        found = self.node(path)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
        if not isinstance(found, _Folder):
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", str(path))
        return found


class Files:
    """One process' use of a disk, by the calls of ``os``; when it has ended, it has no effect any more."""

    def __init__(self, disk: ForgetfulDisk) -> None:
        self._disk = disk
        self._open: dict[int, tuple[Path, _Node]] = {}
        self._read: dict[int, int] = {}
        self._numbers = count(3)
        self._has_ended = False

    def end(self) -> None:
        self._has_ended = True

    def open(self, path: Path, flags: int, mode: int = 0o777, /) -> int:
        self._go_on()
        folder = self._disk.folder(path.parent)
        if path.name in folder.names and flags & os.O_EXCL:
            raise FileExistsError(errno.EEXIST, "File exists", str(path))
        if path.name not in folder.names and flags & os.O_CREAT:
            folder.change({path.name: _File()})
        node = self._disk.root if path == path.parent else _named(folder, path)
        handle = next(self._numbers)
        self._open[handle], self._read[handle] = (path, node), 0
        return handle

    def read(self, handle: int, length: int, /) -> bytes:
        file, begin = self._file(handle), self._read[handle]
        self._read[handle] += length
        return file.data[begin : begin + length]

    def write(self, handle: int, data: memoryview, /) -> int:
        """At the end: nothing here seeks. A part, now and then."""
        file = self._file(handle)
        if self._disk.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        part = len(data) if self._disk.choose.random() < 0.9 else (len(data) + 1) // 2
        file.data += bytes(data[:part])
        file.changed_s = time.time()
        return part

    def fsync(self, handle: int, /) -> None:
        """Others run before it has happened, and before its caller knows."""
        path, node = self._open[handle]
        eventlet.sleep(self._disk.delay_s + self._disk.choose.uniform(*_SYNC_S))
        self._go_on()
        node.sync()
        self._disk.synced(path if isinstance(node, _Folder) else path.parent)
        eventlet.sleep(0)
        self._go_on()

    def close(self, handle: int, /) -> None:
        self._go_on()
        del self._open[handle], self._read[handle]

    def rename(self, source: Path, target: Path, /) -> None:
        self._go_on()
        folder = self._disk.folder(source.parent)
        if source.parent != target.parent:
            raise OSError(errno.EXDEV, "only within a folder here", str(target))
        folder.change({source.name: None, target.name: _named(folder, source)})

    def unlink(self, path: Path, /) -> None:
        self._go_on()
        folder = self._disk.folder(path.parent)
        _named(folder, path)
        folder.change({path.name: None})

    def mkdir(self, path: Path, /) -> None:
        self._go_on()
        folder = self._disk.folder(path.parent)
        if path.name in folder.names or path == path.parent:
            raise FileExistsError(errno.EEXIST, "File exists", str(path))
        folder.change({path.name: _Folder()})

    def listdir(self, path: Path, /) -> list[str]:
        """In any order, as a machine's."""
        self._go_on()
        names = list(self._disk.folder(path).names)
        self._disk.choose.shuffle(names)
        return names

    def stat(self, path: Path, /) -> os.stat_result:
        self._go_on()
        node = _named(self._disk.folder(path.parent), path)
        kind = stat.S_IFDIR if isinstance(node, _Folder) else stat.S_IFREG
        size = 0 if isinstance(node, _Folder) else len(node.data)
        changed_s = int(node.changed_s)
        return os.stat_result((kind | 0o600, 0, 0, 1, 0, 0, size, changed_s, changed_s, changed_s))

    def _file(self, handle: int) -> _File:
        self._go_on()
        _path, node = self._open[handle]
        if isinstance(node, _Folder):
            raise IsADirectoryError(errno.EISDIR, "Is a directory")
        return node

    def _go_on(self) -> None:
        """A process that has ended does nothing more: its green threads end here."""
        if self._has_ended:
            raise GreenletExit
