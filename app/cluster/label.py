"""The pod's ``role=master`` label, which the notes' ``master-service`` selects by.

The label follows the role; it decides nothing. A pod that is paused can't take its own off, and a request
that the service then sends there is turned away with 403: who leads is what ``/epoch`` says.
"""

import logging
from typing import Any

import eventlet
from eventlet import tpool

log = logging.getLogger(__name__)

# One request to the Kubernetes API, and the pause before it is tried again.
_TIMEOUT_S = 5.0
_RETRY_S = 2.0


class RoleLabel:
    """Sets or removes the label of this pod, in the background, until it is as wanted.

    Args:
        pod: this pod's name.
        namespace: where it lives; None outside Kubernetes, where there is no label and this says so once.
    """

    def __init__(self, pod: str, namespace: str | None) -> None:
        self._pod = pod
        self._namespace = namespace
        self._wanted: bool | None = None
        self._is: bool | None = None  # as far as we know; a restarted container may find an old one
        self._thread: Any = None
        self._api: Any = None
        if namespace is None:
            log.info("outside Kubernetes: no role label")

    def set(self, *, leads: bool) -> None:
        """What the label should say from now on. Never blocks."""
        if self._namespace is None:
            return
        self._wanted = leads
        if self._thread is None or self._thread.dead:
            self._thread = eventlet.spawn(self._make_it_so)

    def settle(self, deadline_s: float) -> None:
        """Wait until it is as wanted, at most this long: at an orderly end."""
        with eventlet.Timeout(deadline_s, False):
            if self._thread is not None:
                self._thread.wait()

    def _make_it_so(self) -> None:
        while self._is != self._wanted:
            wanted = self._wanted
            try:
                tpool.execute(self._patch, "master" if wanted else None)
                self._is = wanted
            except OSError as error:
                log.warning("the role label: %s; again soon", error)
                eventlet.sleep(_RETRY_S)

    def _patch(self, role: str | None) -> None:
        """One PATCH of our own pod's labels. In a thread. Raises OSError."""
        # Imported when first needed: its thousand modules are a third of a worker's memory.
        import urllib3
        from kubernetes import client, config

        try:
            if self._api is None:
                config.load_incluster_config()  # type: ignore[no-untyped-call] # no annotations
                self._api = client.CoreV1Api()
            change = {"metadata": {"labels": {"role": role}}}
            self._api.patch_namespaced_pod(self._pod, self._namespace, change, _request_timeout=_TIMEOUT_S)
        except (client.ApiException, config.ConfigException, urllib3.exceptions.HTTPError) as error:
            message = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            raise OSError(message) from error
