"""``demo_easy_eventual.py --live KEY=VALUE``: the one thing that touches the live configuration.

It publishes as any publisher does, then watches what each live worker announces until all have applied the
new value. What is measured is when a worker *announces* it: a moment later, on purpose, so that the
announcements don't compete with the value on its way to the other copies.
"""

import logging
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from eventlet import queue
from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError
from pydantic import JsonValue

from app.checker.history import History
from app.checker.verdict import Verdict
from app.cluster.nodes import told_by
from app.consistency.engine.configuration import Parameters
from app.consistency.eventual import publish
from app.demo.options import Options
from app.demo.pod_selection import live_workers
from app.demo.recording import NOT_A_RESULT
from app.demo.story import INTERRUPTED, UNREACHABLE, USAGE, Interrupted, Story, conclude
from app.errors import BadSettingError, Malformed, Refused, Unreachable
from app.settings import Settings
from app.zookeeper import client as zk, paths

log = logging.getLogger(__name__)

GUARANTEE = "eventual convergence of the live workers"
CONVERGE_S = 10.0
_SESSION_S = 10.0


@dataclass
class LivePublication:
    """One publication to the live workers, and what came of it. ``demo``, ``program``: for messages."""

    demo: str
    program: str
    key: str
    value: JsonValue
    options: Options
    settings: Settings
    story: Story
    silent_s = 0.0  # every step has a deadline of its own
    ending = False  # True: only cleaning up is left

    def run(self) -> int:
        try:
            with ExitStack() as closing:
                try:
                    return self._publish(closing)
                finally:
                    self.ending = True
        except Interrupted:
            self.story.say("interrupted: what was published stays")
            return INTERRUPTED
        except Unreachable as error:
            return self._complain(error, UNREACHABLE)
        except (BadSettingError, Malformed, Refused) as error:
            return self._complain(error, USAGE)
        except NOT_A_RESULT as error:
            return self._conclude(Verdict("in doubt", str(error) or repr(error)), {})

    def _complain(self, error: Exception, status: int) -> int:
        print(f"{self.program}: --live: {error}", file=sys.stderr)  # noqa: T201 (there is no story)
        return status

    def _publish(self, closing: ExitStack) -> int:
        client = zk.connect(self.settings.zk_hosts, session_timeout_s=_SESSION_S)
        closing.callback(zk.disconnect, client)
        pods = list(live_workers(client))
        if not pods:
            message = "no live worker listens: `make lab` starts five; nothing was written"
            raise BadSettingError(message)
        began = time.monotonic()
        published = publish(client, {self.key: self.value})
        answered_ms = (time.monotonic() - began) * 1000
        self.story.act(f"{self.key}={self.value} for {len(pods)} live workers")
        self.story.say(
            f"published as zxid {published.mzxid:#x}; its publisher knows after {answered_ms:.1f} ms"
        )
        self.story.look_with(f"zkCli.sh get {paths.CONFIG}")
        if self.key not in Parameters.model_fields:
            self.story.say(f"no worker knows the key {self.key!r}: it is kept, and means nothing to them")
        lags_ms = self._await(client, pods, published.mzxid, began)
        self._show(pods, lags_ms)
        return self._conclude(self._judge(pods, lags_ms, published.mzxid), lags_ms, pods)

    def _await(self, client: KazooClient, pods: list[str], mzxid: int, began: float) -> dict[str, float]:
        """Milliseconds from the call until each worker announced that it has applied the value, if it did."""
        lags_ms: dict[str, float] = {}
        deadline = zk.Deadline(CONVERGE_S)
        changed: Any = queue.LightQueue()
        client.add_listener(changed.put)  # a watch may be lost with the connection
        try:
            while True:
                awaited = [pod for pod in pods if pod not in lags_ms]
                for pod, version in self._versions(client, awaited, changed).items():
                    if version >= mzxid:
                        lags_ms[pod] = (time.monotonic() - began) * 1000
                if len(lags_ms) == len(pods):
                    break
                changed.get(timeout=deadline.left_s)
        except queue.Empty:
            log.info("not all within %g s", CONVERGE_S)
        finally:
            client.remove_listener(changed.put)
        return lags_ms

    def _versions(self, client: KazooClient, pods: list[str], changed: Any) -> dict[str, int]:
        """The version that each of these announces as applied, if it announces one. Leaves watches."""
        deadline, versions = zk.Deadline(zk.STEP_S), {}
        for pod in pods:
            client.exists_async(paths.node(pod), watch=changed.put)  # also for one that may come back
        asked = [(pod, client.get_async(paths.node(pod))) for pod in pods]
        for pod, result in asked:
            try:
                node = told_by(zk.wait(result, deadline)[0]) or {}
            except NoNodeError:
                continue
            except zk.NO_REPLY as error:
                log.info("%s: %r; again on reconnect", pod, error)
                continue
            if isinstance(version := node.get("config_version"), int):
                versions[pod] = version
        return versions

    def _show(self, pods: list[str], lags_ms: dict[str, float]) -> None:
        rows = [(pod, f"{lags_ms[pod]:.0f} ms" if pod in lags_ms else "not yet") for pod in pods]
        self.story.table(("worker", "announced after"), rows)
        self.story.say(
            "measured: from the call until its /nodes entry has the new version; a worker applies it in "
            "milliseconds, and announces it about 50 ms later, on purpose"
        )

    def _judge(self, pods: list[str], lags_ms: dict[str, float], mzxid: int) -> Verdict:
        missing = [pod for pod in pods if pod not in lags_ms]
        if missing:
            late = f"{', '.join(missing)} did not say within {CONVERGE_S:g} s that zxid {mzxid:#x} is applied"
            return Verdict("in doubt", late)
        last = f"all {len(pods)} live workers have applied {self.key}={self.value} (zxid {mzxid:#x})"
        return Verdict("held", f"{last}; the last announced it after {max(lags_ms.values()):.0f} ms")

    def _conclude(self, verdict: Verdict, lags_ms: dict[str, float], pods: Sequence[str] = ()) -> int:
        rounded = {pod: round(lag_ms, 1) for pod, lag_ms in lags_ms.items()}
        demo = (self.demo, GUARANTEE)
        return conclude(self.story, self.options, demo, (verdict, None), History(), pods, lags_ms=rounded)
