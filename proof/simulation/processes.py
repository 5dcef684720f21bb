"""One process for each run: it shares nothing with another, its memory and its time are bounded.

A child is forked from a parent that has imported everything and has started nothing: no hub, no client.
"""

from __future__ import annotations

import os
import pickle
import resource
import select
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import BinaryIO

from app.checker.verdict import Verdict
from proof.simulation.script import Played, Script

# A run takes a second or two of a busy core, some of the pair a minute; and some 100 MB: numpy's libraries
# alone reserve a gigabyte.
_MOST_S = 300.0
_MOST_BYTES = 4 << 30


@dataclass
class _Child:
    script: Script
    pid: int
    result: BinaryIO
    began_s: float
    said: bytes = b""


def play_all(
    scripts: Iterator[Script], at_once: int, enough: Callable[[], bool]
) -> Iterator[tuple[Played, float]]:
    """Play scripts side by side, until there are no more, or ``enough()``: what came of each, and seconds."""
    running: dict[int, _Child] = {}
    try:
        while True:
            while len(running) < at_once and not enough() and (script := next(scripts, None)) is not None:
                child = _start(script)
                running[child.result.fileno()] = child
            if not running:
                return
            yield from _ended(running)
    finally:
        for child in running.values():
            _end(child)


def play_one(script: Script) -> Played:
    """As :func:`play_all`, of one."""
    return next(play_all(iter([script]), 1, lambda: False))[0]


def _ended(running: dict[int, _Child]) -> Iterator[tuple[Played, float]]:
    """Those that end within a moment."""
    ready, _, _ = select.select(list(running), [], [], 0.5)
    for number in ready:
        child = running[number]
        piece = os.read(number, 1 << 20)
        child.said += piece
        if not piece:
            del running[number]
            yield _played(child), time.monotonic() - child.began_s
    for number, child in list(running.items()):
        if time.monotonic() - child.began_s > _MOST_S:
            del running[number]
            _end(child)
            yield _broken_off(child.script, f"it took longer than {_MOST_S:g} s"), _MOST_S


def _start(script: Script) -> _Child:
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        _in_the_child(script, writing)
    os.close(writing)
    return _Child(script, pid, os.fdopen(reading, "rb", buffering=0), time.monotonic())


def _in_the_child(script: Script, writing: int) -> None:
    """Never returns: what a fork inherits is not to be run twice."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
        try:
            played = import_module(f"proof.simulation.worlds.{script.world}").play(script)
        except Exception as error:  # noqa: BLE001 (the parent reports it)
            played = _broken_off(script, repr(error))
        with os.fdopen(writing, "wb") as out:
            pickle.dump(played, out)
    finally:
        os._exit(0)


def _played(child: _Child) -> Played:
    _end(child)
    if not child.said:
        return _broken_off(child.script, "its process ended without a word")
    played: Played = pickle.loads(child.said)
    return played


def _end(child: _Child) -> None:
    child.result.close()
    try:
        os.kill(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    os.waitpid(child.pid, 0)


def _broken_off(script: Script, why: str) -> Played:
    verdict = Verdict("in doubt", f"{script.world}, seed {script.seed}: the run broke off: {why}")
    return Played(script, verdict, "nothing", [])
