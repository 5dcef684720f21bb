"""What has happened, for every listener.

The worker reports jobs and transactions. What else a page shows stands in ZooKeeper, and is watched only
while a page is open (``page_state``); how it reaches the pages is the stream's business.
"""

from collections.abc import Iterator

from app.errors import NotMaster
from app.mapreduce.master import Master
from app.mapreduce.runner import Progress
from app.web.answers import job_view
from app.web.page_state import PageState
from app.web.stream import LOGS, PAGE, PLAIN, Stream, Wants
from app.worker import Worker


class Events:
    """All listeners of this worker. What the worker calls (``cluster``, ``job``, ``step``) never blocks."""

    def __init__(self) -> None:
        self._stream = Stream()
        self._stream.on_audience = self._audience
        self._state: PageState | None = None

    def cluster(self) -> None:
        """A worker has come, gone, or taken a role."""
        self._stream.tell("cluster", None, dict, urgent=True)

    def job(self, progress: Progress) -> None:
        """A job has made progress."""
        if self._state is not None:
            self._state.job(progress)
        ended = progress.result is not None  # a client that waits for the end gets it at once
        self._stream.tell("job", progress.id, lambda: job_view(progress), urgent=ended)

    def step(self, step: str, job_id: str) -> None:
        """A transaction has made a step."""
        if self._state is not None:
            self._state.trail.take(step, job_id)

    def follow(self, worker: Worker, master: Master, wants: Wants, after: str) -> Iterator[str]:
        """One listener's stream while this master leads. ``after``: the id of the last event that it has.

        Raises NotMaster.
        """
        state = self.page_state(worker, master)
        return self._stream.follow(wants, after, lambda: worker.keeps(master), state.snapshot, state.backlog)

    def page_state(self, worker: Worker, master: Master) -> PageState:
        """What this master's pages show; an earlier one's ends. Raises NotMaster."""
        life = worker.life
        if life is None or life.master is not master:
            raise NotMaster(f"{worker.name} is no longer the master")
        if self._state is None or self._state.master is not master:
            if self._state is not None:
                self._state.stop()
            self._stream.restart()
            self._state = PageState(worker, life, master, self._stream)
        return self._state

    def _audience(self, who: str, there: bool) -> None:
        if self._state is not None:
            self._state.audience(who, there)


def wants(page: bool, logs: bool) -> Wants:
    """What a listener is to hear."""
    return frozenset([PLAIN, *([PAGE] if page else []), *([LOGS] if page and logs else [])])
