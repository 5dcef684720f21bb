"""`make page`: one local port that always leads to the master's pod.

`kubectl port-forward svc/master-service` picks a pod when it starts and ends with it. So here each master
gets a port-forward of its own. In front of them stands the forwarder of `make lab`, where clients wait
for the next one.
"""

import argparse
import json
import re
import subprocess
import time
from collections.abc import Collection
from contextlib import ExitStack
from typing import Any

from lab.console import print_to_stderr
from lab.interrupts import Interrupted, Interrupts
from lab.kubectl import ClusterError, Listener, Said, end, kubectl, run
from lab.proxy import Forwarder, entrance

SELECTOR = "app=zk-app,role=master"  # as master-service has it
PORT = 5000  # the one that master-service leads to
LOOK_S = 2.0  # between two looks for the master ...
LOOK_SOON_S = 0.5  # ... and while there is no master
FIRST_MASTER_S = 30.0
SILENCE_S = 60.0  # without an answer of the cluster
TUNNEL_S = 10.0  # for a port-forward to say its port

_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) ->")


def masters_in(pods: dict[str, Any]) -> set[str]:
    """Those of kubectl's list that the service would lead to: ready, and not about to go."""
    return {
        pod["metadata"]["name"]
        for pod in pods.get("items", [])
        if "deletionTimestamp" not in pod["metadata"] and _ready(pod)
    }


def _ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def chosen(masters: Collection[str], before: Collection[str], current: str | None) -> str | None:
    """The master to lead to. A deposed one may keep its label for a while, so the newest label wins."""
    new = sorted(set(masters) - set(before))
    if new:
        return new[0]
    return current if current in masters else min(masters, default=None)


class Tunnel:
    """A port-forward to one pod."""

    def __init__(self, context: str, pod: str, interrupts: Interrupts) -> None:
        self.pod = pod
        command = [*kubectl(context), "port-forward", "--address", "127.0.0.1", f"pod/{pod}", f":{PORT}"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        # It says something of every connection; the first lines have the port.
        self._output = Listener(self._process.stdout, keep=10)
        Listener(self._process.stderr, keep=0)
        try:
            self.port = self._wait_for_port(interrupts)
        except BaseException:
            self.close()
            raise

    @property
    def open(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        end(self._process)

    def _wait_for_port(self, interrupts: Interrupts) -> int | None:
        """None: it ended or printed no port; the pod may be gone."""
        deadline = time.monotonic() + TUNNEL_S
        while self.open and time.monotonic() < deadline:
            fits = next(filter(None, map(_FORWARDING.match, self._output.lines)), None)
            if fits:
                return int(fits[1])
            interrupts.sleep(0.05)
        return None


class Guide:
    """Keeps the forwarder pointed at the master, and prints which pod that is."""

    def __init__(self, context: str, forwarder: Forwarder, interrupts: Interrupts) -> None:
        self._context = context
        self._forwarder = forwarder
        self._interrupts = interrupts
        self._tunnel: Tunnel | None = None
        self._masters: set[str] = set()
        self._heard = time.monotonic()

    def tend(self) -> None:
        """Look once. Raises ClusterError when the cluster has been silent for long."""
        pods = self._look()
        if pods is None:
            return
        masters = masters_in(pods)
        tunnel = self._tunnel
        wanted = chosen(masters, self._masters, tunnel.pod if tunnel else None)
        self._masters = masters
        if tunnel and (not tunnel.open or wanted != tunnel.pod):
            print_to_stderr(f"{tunnel.pod} no longer leads, or is gone: the page waits")
            self.close()
        if wanted and self._tunnel is None:
            self._lead_to(wanted)

    @property
    def pod(self) -> str | None:
        return self._tunnel.pod if self._tunnel else None

    def close(self) -> None:
        self._forwarder.point_to(None)
        if self._tunnel:
            self._tunnel.close()
            self._tunnel = None

    def wait(self) -> None:
        """Until it is time to look again: at once when the port-forward has ended."""
        deadline = time.monotonic() + (LOOK_S if self._tunnel else LOOK_SOON_S)
        while time.monotonic() < deadline and (self._tunnel is None or self._tunnel.open):
            self._interrupts.sleep(0.1)

    def _lead_to(self, pod: str) -> None:
        tunnel = Tunnel(self._context, pod, self._interrupts)
        if tunnel.port is None:
            tunnel.close()
            return
        self._tunnel = tunnel
        self._forwarder.point_to(tunnel.port)
        print_to_stderr(f"{pod} leads")

    def _look(self) -> dict[str, Any] | None:
        command = [*kubectl(self._context), "get", "pods", "-l", SELECTOR, "-o", "json"]
        said = run(command, self._interrupts)
        if said.status == 0:
            self._heard = time.monotonic()
            return _parsed(said)
        if time.monotonic() - self._heard > SILENCE_S:
            raise ClusterError(f"the cluster has been silent for {SILENCE_S:g} s ({said.last_line})")
        return None


def _parsed(said: Said) -> dict[str, Any]:
    try:
        pods = json.loads(said.output)
    except ValueError as exc:
        raise ClusterError(f"kubectl get pods -o json answers no JSON: {said.last_line}") from exc
    return pods if isinstance(pods, dict) else {}


def page(arguments: argparse.Namespace, interrupts: Interrupts) -> int:
    """Forward to the master until a signal ends it."""
    _need_a_cluster(arguments.context, interrupts)
    with ExitStack() as stack:
        forwarder = stack.enter_context(entrance(arguments.port, ClusterError))
        guide = Guide(arguments.context, forwarder, interrupts)
        stack.callback(guide.close)
        _wait_for_first(guide)
        print(
            f"The page, always the master's:  http://localhost:{forwarder.port}   (until Ctrl-C)", flush=True
        )
        try:
            while True:
                guide.wait()
                guide.tend()
        except Interrupted:
            return 0


def _need_a_cluster(context: str, interrupts: Interrupts) -> None:
    said = run([*kubectl(context), "get", "deployment/zk-app", "-o", "name"], interrupts)
    if said.status != 0:
        raise ClusterError(f"nothing is deployed on {context} ({said.last_line}): make deploy")


def _wait_for_first(guide: Guide) -> None:
    deadline = time.monotonic() + FIRST_MASTER_S
    while True:
        guide.tend()
        if guide.pod:
            return
        if time.monotonic() > deadline:
            raise ClusterError(
                f"no ready pod has had role=master for {FIRST_MASTER_S:g} s: look with "
                "kubectl get pods -l app=zk-app -L role, and kubectl logs -l app=zk-app"
            )
        guide.wait()
