"""What has happened, for everybody who follows.

The worker's own parts tell of jobs and of transactions. What else a page shows stands in ZooKeeper, and is
watched only while there is somebody to see it (``scene``); how it reaches them is the stream's business.
"""

from collections.abc import Iterator
from typing import Any

from app.errors import NotMaster
from app.mapreduce.master import Master
from app.mapreduce.runner import Progress
from app.web.page_state import Scene
from app.web.stream import LOGS, PAGE, PLAIN, Stream, Wants
from app.web.views import job_view
from app.worker import Worker


class Events:
    """Tells all listeners of this worker."""

    def __init__(self) -> None:
        self._stream = Stream()
        self._stream.on_audience = self._audience
        self._scene: Scene | None = None

    def tell(self, kind: str, what: Any) -> None:
        """Called wherever something happens: never blocks."""
        if kind == "cluster":
            self._stream.tell("cluster", None, dict, urgent=True)
        elif kind == "job":
            self._tell_job(what)
        elif kind == "step" and self._scene is not None:
            self._scene.step(*what)

    def _tell_job(self, progress: Progress) -> None:
        if self._scene is not None:
            self._scene.job(progress)
        ended = progress.result is not None  # who waits for the end is told at once
        self._stream.tell("job", progress.id, lambda: job_view(progress), urgent=ended)

    def follow(self, worker: Worker, master: Master, wants: Wants, after: str) -> Iterator[str]:
        """One listener's stream for as long as this master leads. ``after``: the last event it has had.

        Raises NotMaster.
        """
        scene = self.scene(worker, master)
        return self._stream.follow(wants, after, lambda: worker.keeps(master), scene.snapshot, scene.backlog)

    def scene(self, worker: Worker, master: Master) -> Scene:
        """What this master's pages show; an earlier one's ends. Raises NotMaster."""
        life = worker.life
        if life is None or life.master is not master:
            raise NotMaster(f"{worker.name} is no longer the master")
        if self._scene is None or self._scene.master is not master:
            if self._scene is not None:
                self._scene.stop()
            self._stream.restart()
            self._scene = Scene(worker, life, master, self._stream)
        return self._scene

    def _audience(self, who: str, there: bool) -> None:
        if self._scene is not None:
            self._scene.audience(who, there)


def wants(page: bool, logs: bool) -> Wants:
    """What a listener is to hear."""
    return frozenset([PLAIN, *([PAGE] if page else []), *([LOGS] if page and logs else [])])
