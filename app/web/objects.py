"""What the page shows of the quorum objects: the five replicas of the last one, and their hosts.

Two are followed: the page's own register, and the youngest of the jobs' matrices. The last one is the one
that was written last, or asked for last. A job's matrix goes with its job; its last state stays on
the page until another comes.
"""

import hashlib
import time
from collections.abc import Callable
from typing import Any

from app.consistency.engine.versions import Versioned, decode
from app.consistency.quorum import N
from app.errors import Malformed
from app.web.paced_watcher import PacedWatcher
from app.zookeeper import client as zk, paths

REGISTER = "page_register"

# A job's matrix is written five times within milliseconds: that is one look, and not five.
_PAUSE_S = 0.07
_MOST_LETTERS = 60


class Objects:
    """Follows ``/hosts`` and ``/objects``.

    Args:
        tell: called when the view has changed; must return quickly.
    """

    def __init__(self, client: Any, tell: Callable[[], None]) -> None:
        self._client = client
        self._tell = tell
        self._watcher = PacedWatcher(client, "the page's objects", self._look, _PAUSE_S)
        self._hosts: dict[int, str] = {}
        self._known: set[str] = set()
        self._followed: dict[
            str, tuple[int, list[dict[str, Any] | None]]
        ] = {}  # id -> (last write, replicas)
        self._touched: dict[str, float] = {}  # id -> when it was last written or asked for
        self.view: dict[str, Any] | None = None
        self.start, self.stop = self._watcher.start, self._watcher.stop

    def touch(self, name: str) -> None:
        """A user has asked for this one."""
        if name in self._followed:
            self._touched[name] = time.monotonic()
            self._show()

    def _look(self, changed: set[str]) -> None:
        deadline = zk.Deadline(zk.STEP_S)
        fresh = set()
        if not changed or paths.OBJECTS in changed:
            fresh = self._look_at_names(deadline)
        for name in self._followed:
            root = paths.object_root(name)
            if not changed or name in fresh or any(path.startswith(f"{root}/") for path in changed):
                self._look_at_replicas(name, deadline)
        if not changed or any(path.startswith(paths.HOSTS) for path in changed):
            self._look_at_hosts(deadline)  # last: a small job's matrix is gone within some 50 ms
        self._show()

    def _look_at_hosts(self, deadline: zk.Deadline) -> None:
        zk.wait(self._client.get_children_async(paths.HOSTS, watch=self._watcher.changed), deadline)
        found = zk.get_all(self._client, [paths.host(i) for i in range(1, N + 1)], deadline)
        self._hosts = {i: data[0].decode(errors="replace")[:100] for i, data in enumerate(found, 1) if data}

    def _look_at_names(self, deadline: zk.Deadline) -> set[str]:
        """Which objects there are; returns those that are new to us and followed from now on."""
        asked = self._client.get_children_async(paths.OBJECTS, watch=self._watcher.changed)
        names = set(paths.usable(zk.wait(asked, deadline)))
        fresh = names - self._known
        self._known = names
        matrices = sorted(fresh - {REGISTER})
        keep = {name for name in self._followed if name in names and (name == REGISTER or not matrices)}
        keep |= fresh & {REGISTER} | set(matrices[-1:])
        self._followed = {name: self._followed.get(name, (0, [None] * N)) for name in keep}
        shown = (self.view or {}).get("id")
        self._touched = {name: at for name, at in self._touched.items() if name in keep or name == shown}
        return fresh & keep

    def _look_at_replicas(self, name: str, deadline: zk.Deadline) -> None:
        wanted = [paths.replica(name, i) for i in range(1, N + 1)]
        found = zk.get_all(self._client, wanted, deadline, self._watcher.changed)
        written = max((stat.mzxid for _, stat in filter(None, found)), default=0)
        if not written:
            return  # gone since it was listed: what we have seen of it stays
        if written > self._followed[name][0]:
            self._touched[name] = time.monotonic()
        self._followed[name] = (written, [None if one is None else _replica(one[0]) for one in found])

    def _show(self) -> None:
        view = dict(self.view or {"id": None, "replicas": [None] * N})
        last = max(self._touched, key=lambda name: self._touched[name], default=None)
        if last in self._followed:
            view |= {"id": last, "replicas": self._followed[last][1]}
        view |= {
            "gone": view["id"] is not None and view["id"] not in self._followed,
            "hosts": [self._hosts.get(i) for i in range(1, N + 1)],
        }
        if view != self.view:
            self.view = view
            self._tell()


def _replica(data: bytes) -> dict[str, Any]:
    try:
        held = decode(data)
    except Malformed as error:
        return {"error": str(error)}
    return described(held)


def described(held: Versioned) -> dict[str, Any]:
    """What can be shown of what a replica holds."""
    text = held.value[: 4 * _MOST_LETTERS].decode(errors="replace")[:_MOST_LETTERS]
    return {
        "counter": held.version.counter,
        "writer": held.version.writer[:12],
        "digest": hashlib.sha256(held.value).hexdigest()[:8],
        "size": len(held.value),
        "text": text if text.isprintable() else None,
    }
