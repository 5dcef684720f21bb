"""A worker of the simulation: ``app.worker.Worker`` and its web site, in a process that can stop and die.

What is left out is the HTTP server: a request is handed to the application itself, after its way there, and
the answer takes its way back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import eventlet
from eventlet import event
from werkzeug.test import Client as WebClient

from app.demo.faults import moment_of
from app.errors import Unreachable
from app.settings import Settings, WorkerSettings
from app.web.events import Events
from app.web.site import site
from app.worker import Worker
from app.zookeeper import client as zk
from proof.simulation.client import Client
from proof.simulation.clock import Process, acting, after
from proof.simulation.nemesis import Moments
from proof.simulation.network import OnALine
from proof.simulation.stage import Stage

# One way of a request or an answer, in seconds.
_HTTP_S = (0.0005, 0.01)
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """``status`` 0: nobody listens there, so nothing was asked."""

    status: int
    body: bytes = b""
    json: Any = None


class Host(OnALine):
    """A machine, its disk, and the worker that lives there, one life after the other.

    Args:
        number: from 1.
        folder: for the shared volume and all disks.
        min_nodes: live workers that an upload needs.

    Attributes:
        on_stored: called with a job's id when a user is being told that its upload is stored.
    """

    def __init__(self, stage: Stage, moments: Moments, number: int, folder: Path, min_nodes: int) -> None:
        self.name, self.number = f"worker-{number}", number
        self.disk = folder / self.name
        self._stage, self._moments = stage, moments
        self._choose = stage.chance(self.name)
        self._settings = Settings("simulated:1", True, self.name, None)
        self._local = WorkerSettings(
            "127.0.0.1", 1, f"http://{self.name}", folder / "shared", self.disk, min_nodes,
            stage.session_s, _MOST_BYTES, None,
        )  # fmt: skip
        self._lives: list[Any] = []  # the dead stay: what nobody refers to would be unwound, and act
        self.process = Process()
        self.process.kill()  # until it starts
        self.line = stage.line()
        self.worker: Worker | None = None  # the present life's; None before it is there
        self.on_stored: Callable[[str], object] = lambda job_id: None
        self._events = Events()
        self._site: Any = None

    # -- its lives --

    def start(self) -> None:
        """Unless it lives: several may have killed it, and each starts it again."""
        if not self.process.is_dead:
            return
        self.process, self.worker = Process(), None
        self.line = self._stage.line(self.process)
        self.process.run(self._live)

    def _live(self) -> None:
        events = Events()
        worker = Worker(
            self._settings, self._local, on_cluster=events.cluster, on_job=events.job,
            on_step=self._stepped, connect=self._connected,
        )  # fmt: skip
        self.worker, self._events, self._site = worker, events, None
        self._lives.append((worker, self.process))
        worker.run()
        self.process.kill()

    def _connected(self) -> Any:
        client = Client(self._stage.ensemble, self.line, timeout=self._stage.session_s)
        self._lives.append(client)
        client.start_async().wait(zk.CONNECT_DEADLINE_S)
        if not client.connected:
            zk.disconnect(client)
            message = "no server answers"
            raise Unreachable(message)
        return client

    def crash(self) -> None:
        """Its memory is gone, its disk is kept. What it has sent may yet arrive."""
        self.process.kill()
        self.line.down()
        self.line.heal()

    @property
    def is_well(self) -> bool:
        return not self.process.is_dead and not self.process.is_held

    def end(self, patience_s: float) -> None:
        """It hands over in an orderly way, and ends; or it is killed."""
        if self.worker is not None:
            self.process.run(self.worker.stop)
        deadline = zk.Deadline(patience_s)
        while not self.process.is_dead and not deadline.passed:
            eventlet.sleep(0.1)
        self.crash()

    def _stepped(self, step: str, job_id: str) -> None:
        if (moment := moment_of(step)) is not None:
            with acting(None):
                eventlet.spawn(self._moments.now, moment, self.number)
            eventlet.sleep(0)  # who waits for this moment strikes before we go on

    # -- its web site --

    def ask(self, method: str, path: str, patience_s: float, **more: Any) -> Answer | None:
        """None: no answer in time, so what became of it is unknown."""
        answered: Any = event.Event()
        after(self._choose.uniform(*_HTTP_S), self._arrived, answered, method, path, more)
        with eventlet.Timeout(patience_s, False):
            answer: Answer = answered.wait()
            return answer
        return None

    def _arrived(self, answered: Any, method: str, path: str, more: dict[str, Any]) -> None:
        if self.process.is_dead or self.worker is None:
            after(self._choose.uniform(*_HTTP_S), answered.send, Answer(0))
        else:
            self.process.run(self._serve, answered, method, path, more)

    def _serve(self, answered: Any, method: str, path: str, more: dict[str, Any]) -> None:
        if self._site is None and self.worker is not None:  # made for the first: it is some work
            self._site = site(self.worker, self._events)
            self._lives.append(self._site)
        application = self._site
        response = WebClient(application, use_cookies=False).open(path, method=method, **more)
        answer = Answer(response.status_code, response.get_data(), response.get_json(silent=True))
        if path == "/upload" and answer.status == 200:
            self.on_stored(answer.json["job_id"])
        with acting(None):
            after(self._choose.uniform(*_HTTP_S), answered.send, answer)
