"""eventlet.wsgi, with limits: a slow or silent client costs a green thread and nothing else."""

import logging
from typing import Any

from eventlet import wsgi

log = logging.getLogger(__name__)

# Connections at once: a class with a page each, and its uploads.
_MOST_CONNECTIONS = 256
# A connection that says nothing for so long is closed.
_SILENCE_S = 60.0


class _Quiet:
    """What eventlet.wsgi tells of broken connections: for the log, not for the screen."""

    def write(self, text: str) -> None:
        log.debug("%s", text.rstrip())


def serve(listener: Any, application: Any) -> None:
    """Serve until the process ends."""
    wsgi.server(
        listener,
        application,
        log=_Quiet(),
        log_output=False,
        max_size=_MOST_CONNECTIONS,
        socket_timeout=_SILENCE_S,
        debug=False,  # a traceback is for the log, never for a user
    )
