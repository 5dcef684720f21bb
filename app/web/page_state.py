"""Everything that a page shows under one master, and when it is watched: while a page is open."""

from typing import Any

from app import jobs
from app.mapreduce.master import Master
from app.mapreduce.runner import Progress
from app.web.answers import job_view
from app.web.logs import Feeds
from app.web.objects import Objects
from app.web.pods import Pods
from app.web.previews import Previews
from app.web.stream import LOGS, PAGE, Stream
from app.web.task_grid import TaskGrid
from app.web.trail import Trail
from app.worker import Worker, WorkerSession


class PageState:
    """The parts of the page.

    Args:
        life: the one that ``master`` belongs to; what is watched is watched with its session.
    """

    def __init__(self, worker: Worker, life: WorkerSession, master: Master, stream: Stream) -> None:
        self._name = worker.name
        self.master = master
        self._stream = stream
        self._grid = TaskGrid(stream, life.client)
        self.trail = Trail(stream, lambda: master.primary.epoch, life.client)
        self._pods = Pods(life.client, self._pods_changed)
        self._objects = Objects(life.client, self._objects_changed)
        self._feeds = Feeds(stream, lambda: self._pods.urls)
        self.backlog = self._feeds.view
        self.touch = self._objects.touch
        self.previews = Previews(worker.shared)
        for who in (PAGE, LOGS):
            if stream.there(who):
                self.audience(who, there=True)

    def stop(self) -> None:
        for who in (LOGS, PAGE):
            self.audience(who, there=False)

    def audience(self, who: str, there: bool) -> None:
        """The first of these listeners has come, or the last has gone."""
        if who == LOGS:
            (self._feeds.start if there else self._feeds.stop)()
            return
        for part in (self._pods, self._objects):
            (part.start if there else part.stop)()
        if not there:
            self.previews.release()

    def job(self, progress: Progress) -> None:
        """A job has made progress."""
        self._grid.take(progress)
        if self._stream.there(PAGE):
            self.previews.hold(progress)

    def snapshot(self) -> dict[str, Any]:
        """All of it, as of now; what has not been looked at yet is None, and follows in a moment."""
        listed = self.master.jobs()
        for progress in listed:
            self._grid.take(progress)
        return {
            "pod": self._name,
            "epoch": self.master.primary.epoch.number,
            "kinds": jobs.names(),
            "jobs": [job_view(progress) for progress in listed],
            "tasks": self._grid.view(),
            "pods": self._pods.view,
            "object": self._objects.view,
            "trail": self.trail.view(),
        }

    def _pods_changed(self) -> None:
        self._stream.tell("pods", None, lambda: self._pods.view)
        self._feeds.look()

    def _objects_changed(self) -> None:
        self._stream.tell("object", None, lambda: self._objects.view)
