"""What the page shows of the pods: their roles, their work, and how the configuration reaches them.

A copy's lag is the time from the write of the configuration to the write in which its pod reports that it has
applied it. Both are stamped by the same clock, that of ZooKeeper's leader. It includes some 50 ms that a pod
waits before it reports.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from app.cluster.nodes import told_by
from app.consistency.engine.configuration import parse
from app.consistency.engine.fencing import NO_EPOCH, Epoch
from app.errors import Malformed
from app.web.paced_watcher import PacedWatcher
from app.zookeeper import client as zk, paths

_PAUSE_S = 0.04
# Any client of ZooKeeper may write there: a page shows this many pods, and this much of each word.
_MOST_PODS = 50
_MOST_LETTERS = 100


class Pods:
    """Follows ``/nodes``, the configuration and the epoch.

    Args:
        tell: called when the view has changed; must return quickly.
    """

    def __init__(self, client: Any, tell: Callable[[], None]) -> None:
        self._client = client
        self._tell = tell
        self._watcher = PacedWatcher(client, "the page's pods", self._look, _PAUSE_S)
        self._version: int | None = None  # of the configuration
        self._seen: dict[str, int] = {}  # pod -> the version that it had when we last looked
        self._lag_ms: dict[str, int] = {}  # pod -> of this version, if we saw it converge
        self.urls: dict[str, str] = {}
        self.view: dict[str, Any] | None = None
        self.stop = self._watcher.stop

    def start(self) -> None:
        # Without an open page no lag was seen; and pods that were there then may have gone.
        self._seen, self.view = {}, None
        self._watcher.start()

    def _look(self, changed: set[str]) -> None:
        del changed  # five pods are read at once, whichever has changed
        watch, deadline = self._watcher.changed, zk.Deadline(zk.STEP_S)
        asked = self._client.get_children_async(paths.NODES, watch=watch)
        names = sorted(zk.wait(asked, deadline))[:_MOST_PODS]
        wanted = [paths.CONFIG, paths.EPOCH, *(paths.listed(paths.NODES, name) for name in names)]
        config, epoch, *nodes = zk.get_all(self._client, wanted, deadline, watch)
        there = {name: node for name, node in zip(names, nodes, strict=True) if node is not None}
        told = {name: told for name, (data, _) in there.items() if (told := told_by(data)) is not None}
        if config is not None:
            self._follow_configuration(config[1], told, {name: stat for name, (_, stat) in there.items()})
        self.urls = {name: str(one.get("url", "")) for name, one in told.items()}
        view = {
            "pods": [self._pod(name, one, there[name][1]) for name, one in told.items()],
            "config": _configuration(config),
            "epoch": _epoch(epoch),
        }
        if view != self.view:
            self.view = view
            self._tell()

    def _follow_configuration(
        self, stat: Any, told: Mapping[str, Mapping[str, Any]], stats: Mapping[str, Any]
    ) -> None:
        if stat.mzxid != self._version:
            self._version, self._lag_ms = stat.mzxid, {}
        now = {name: _number(one.get("config_version")) for name, one in told.items()}
        for name, version in now.items():
            before = self._seen.get(name)
            if before is not None and version is not None and before < stat.mzxid <= version:
                self._lag_ms[name] = max(0, stats[name].mtime - stat.mtime)
        self._seen = {name: version for name, version in now.items() if version is not None}

    def _pod(self, name: str, told: Mapping[str, Any], stat: Any) -> dict[str, Any]:
        doing = told.get("doing")
        return {
            "pod": name[:_MOST_LETTERS],
            "role": str(told.get("role", "worker"))[:_MOST_LETTERS],
            "epoch": _number(told.get("epoch")),
            "slot": _number(told.get("slot")),
            "config_version": _number(told.get("config_version")),
            "lag_ms": self._lag_ms.get(name),
            "doing": [str(job)[:_MOST_LETTERS] for job in doing[:10]] if isinstance(doing, list) else [],
            "since": stat.ctime,
        }


def _configuration(found: tuple[bytes, Any] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    data, stat = found
    view = {"version": stat.mzxid, "at": stat.mtime, "chunk_size": None, "error": None}
    try:
        return {**view, "chunk_size": parse(data)["chunk_size"]}
    except Malformed as error:
        return {**view, "error": str(error)}


def _epoch(found: tuple[bytes, Any] | None) -> dict[str, Any]:
    epoch = NO_EPOCH
    with suppress(Malformed):  # shown as no epoch; the workers that rely on it log it
        epoch = Epoch.from_znode(found[0], found[1].version) if found else NO_EPOCH
    return {"number": epoch.number, "primary": epoch.primary, "backup": epoch.backup}


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
