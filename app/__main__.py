"""The worker: ``python -m app``. Wiring, and nothing else.

Nothing is monkey patched: kazoo has its own green handler, eventlet.wsgi green sockets of its own, and what
blocks (disks, pictures, the Kubernetes API) runs in tpool's threads. Patched locks in those threads would be
a trap.
"""

import os
import signal

if __name__ == "__main__":
    # Process 1 of a container hears no signal that it has no handler for, and the imports take a second.
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(128 + number))

import logging
import socket
import sys

import eventlet
from eventlet import hubs

from app.errors import BadSettingError
from app.settings import Settings, WorkerSettings
from app.web.events import Events
from app.web.logs import TAIL
from app.web.site import serve, site
from app.worker import Worker

log = logging.getLogger(__name__)

USAGE = 2
# How long the last answers may take to leave, and the label to come off.
_FAREWELL_S = 2.0
# An orderly end takes a second or two. Who asks for one is rarely more patient than ten.
_ENDING_S = 6.0


def main() -> int:
    logging.basicConfig(
        level=os.environ.get("LOGLEVEL", "INFO").upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("kazoo").setLevel(logging.WARNING)
    logging.getLogger().addHandler(TAIL)
    try:
        settings = Settings.from_environment(os.environ)
        local = WorkerSettings.from_environment(os.environ)
    except BadSettingError as error:
        print(f"worker: {error}", file=sys.stderr)  # noqa: T201 (before there is a log)
        return USAGE
    events = Events()
    worker = Worker(settings, local, on_cluster=events.cluster, on_job=events.job, on_step=events.step)
    try:
        listener = eventlet.listen((local.bind, local.port))
    except OSError as error:
        why = f"can't listen on {local.bind}:{local.port} ({error.strerror}): choose another PORT"
        print(f"worker: {why}", file=sys.stderr)  # noqa: T201 (before anybody reads the log)
        return USAGE

    eventlet.spawn(_stop_on_signal, worker)
    # Without its HTTP a worker is of no use: it ends, and its supervisor starts another.
    eventlet.spawn(serve, listener, site(worker, events)).link(lambda thread: worker.stop())
    worker.run()
    worker.label.settle(_FAREWELL_S)
    return 0


def _stop_on_signal(worker: Worker) -> None:
    """A handler could not wake a hub that waits; the byte that Python writes for each signal does."""
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    signal.set_wakeup_fd(writing.fileno())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: None)
    hubs.trampoline(reading, read=True)
    worker.stop()
    signal.set_wakeup_fd(-1)
    eventlet.sleep(_ENDING_S)
    log.warning("ZooKeeper doesn't answer, so nothing could be handed over: our session will run out")
    os._exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(
        status
    )  # threads of tpool and kazoo's atexit hook would hold the exit for the length of their work
