"""A demo's run from start to end: options in, acts on the screen, a verdict and an exit status out."""

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, NoReturn, TextIO

import eventlet

from app.checker.history import History, Recorder
from app.checker.verdict import Verdict, substance
from app.cluster.election import prepare
from app.demo.drawing import chapters_of, draw, writable
from app.demo.live import LivePublication
from app.demo.live_replicas import watch_live_replicas
from app.demo.options import STANDARD_OUTPUT, Options, parse
from app.demo.pod_selection import GuestPods, choose_pods
from app.demo.recording import NOT_A_RESULT
from app.demo.run import Run, run_folder, sweep_folders
from app.demo.simulated import start_over
from app.demo.stage import LOST_AFTER_S, CannotGoOn, Group, Stage, first_line
from app.demo.story import INTERRUPTED, UNREACHABLE, USAGE, Interrupted, Story, conclude
from app.errors import BadSettingError, Unreachable
from app.settings import Settings
from app.zookeeper import client as zk

# How often the main thread looks at what signal handlers and listeners have noted; they can't wake it.
_TICK_S = 0.05


@dataclass(frozen=True, slots=True)
class Demo(Generic[Group]):
    """What is one demo's own; the rest is the same for all three.

    Attributes:
        name: easy, medium or hard.
        claim: one sentence for ``--help``.
        guarantee: what the verdict is about, for ``--json``.
        opening: the first act: brings the participants on stage, and returns them.
        play: performs the acts of one protocol ("notes" or "full") with them.
        judge: decides the history of one protocol.
        operations: the load's size by default, so that a run stays under half a minute.
        quorum: whether ``--n --w --r --weak --watch`` apply.
        live: whether ``--live`` does.
        pods: how many pods take part, and how many of them must be left to go on.
    """

    name: str
    program: str
    claim: str
    guarantee: str
    opening: Callable[[Stage], Group]
    play: Callable[[Group, str], None]
    judge: Callable[[History], Verdict]
    operations: int = 120
    quorum: bool = False
    live: bool = False
    pods: Callable[[Options], tuple[int, int]] = lambda options: (5, 2)


def main_of(demo: Demo[Any], argv: Sequence[str] | None) -> int:
    """Run a demo; returns its exit status. Only bad usage ends the process from within."""
    options = parse(
        argv,
        program=demo.program,
        claim=demo.claim,
        operations=demo.operations,
        quorum=demo.quorum,
        live=demo.live,
    )
    if options.watch_s is not None:
        demo = replace(
            demo,
            opening=lambda stage: stage,
            play=lambda stage, protocol: watch_live_replicas(stage),
            pods=lambda options: (0, 0),
        )
    # A cut link is the lesson, and kazoo logs each one: LOGLEVEL=INFO shows it.
    logging.basicConfig(level=os.environ.get("LOGLEVEL", "CRITICAL").upper(), format="%(name)s: %(message)s")
    try:
        if options.simulated:
            start_over(options.seed)
        settings = Settings.from_environment(os.environ)
        with writable(options.timeline), _history_file(options) as sink:
            return _run(demo, options, settings, sink)
    except BadSettingError as error:
        print(f"{demo.program}: {error}", file=sys.stderr)  # noqa: T201 (before there is a story)
        return USAGE


def leave(status: int) -> NoReturn:
    """End the process. At a usual exit kazoo would wait for green threads that no hub runs any more."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


@contextmanager
def _history_file(options: Options) -> Iterator[TextIO | None]:
    if options.history is None:
        yield None
    elif options.history == STANDARD_OUTPUT:
        yield sys.stdout
    else:
        try:
            sink = options.history.open("w", encoding="utf-8")
        except OSError as error:
            message = f"--history: can't write {options.history}: {error.strerror}; choose another file"
            raise BadSettingError(message) from error
        with sink:
            yield sink


def _run(demo: Demo[Any], options: Options, settings: Settings, sink: TextIO | None) -> int:
    """Run in a green thread, which a signal or a lost ZooKeeper ends, cleanly."""
    out = sys.stderr if options.history == STANDARD_OUTPUT else sys.stdout
    story = Story(
        out, silent=options.json, color=options.color, step=options.step, simulated=options.simulated
    )
    story.begin()
    runs: DemoRun | LivePublication = DemoRun(demo, options, settings, story, sink)
    if options.live is not None:
        runs = LivePublication(demo.name, demo.program, *options.live, options, settings, story)
    signals: list[int] = []

    def note(number: int, frame: object) -> None:
        del frame
        signals.append(number)
        if len(signals) > 1:
            os._exit(INTERRUPTED)  # a second signal: at once; the next run sweeps what is left

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    thread = eventlet.spawn(runs.run)
    try:
        while not thread.dead:
            eventlet.sleep(_TICK_S)
            if signals and not runs.ending:
                runs.ending = True
                thread.kill(Interrupted())
            elif runs.silent_s > LOST_AFTER_S and not runs.ending:
                runs.ending = True
                message = f"ZooKeeper was lost and did not come back within {LOST_AFTER_S:g} s"
                thread.kill(CannotGoOn(message))
        return int(thread.wait())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class DemoRun:
    """The part that may be interrupted at any moment, and always cleans up."""

    def __init__(
        self, demo: Demo[Any], options: Options, settings: Settings, story: Story, sink: TextIO | None
    ) -> None:
        self._demo, self._options, self._settings = demo, options, settings
        self._story, self._sink = story, sink
        self._run: Run | None = None
        self._stage: Stage | None = None
        self._verdicts: dict[str, Verdict] = {}
        self._begun = False
        self.ending = False  # True: only cleaning up is left

    @property
    def silent_s(self) -> float:
        """Seconds since ZooKeeper was lost."""
        return self._run.silent_s if self._run is not None else 0.0

    def run(self) -> int:
        """Until the end; the exit status."""
        try:
            with ExitStack() as closing:
                try:
                    self._perform(closing)
                finally:
                    self.ending = True  # what is left is to clean up, and that is not interrupted
        except Interrupted:
            self._story.say("interrupted: everything that this run created is removed")
            return INTERRUPTED
        except BadSettingError as error:
            print(f"{self._demo.program}: {error}", file=sys.stderr)  # noqa: T201 (there is no story yet)
            return USAGE
        except CannotGoOn as error:
            return self._conclude(Verdict("in doubt", str(error)))
        except Unreachable as error:
            if not self._begun:
                print(f"{self._demo.program}: {error}", file=sys.stderr)  # noqa: T201 (there is no story yet)
                return UNREACHABLE
            return self._conclude(Verdict("in doubt", first_line(error)))
        except NOT_A_RESULT as error:
            return self._conclude(Verdict("in doubt", f"the run could not go on: {first_line(error)}"))
        return self._conclude(self._verdicts[self._options.shows[-1]], self._stage)

    def _perform(self, closing: ExitStack) -> None:
        options, hosts = self._options, self._settings.zk_hosts
        own = zk.connect(hosts, session_timeout_s=max(options.session_timeout_s, 10.0))
        closing.callback(zk.disconnect, own)
        needed, least = self._demo.pods(options)
        pods = choose_pods(options, needed, own, os.environ)
        run = Run(own, self._demo.name, pods)
        closing.callback(run.close)
        run.open()
        self._run = run
        sweep_folders()
        folder = Path(closing.enter_context(run_folder()))
        recorder = Recorder(self._sink)
        closing.callback(recorder.close)
        client = zk.connect(hosts, chroot=run.chroot, session_timeout_s=options.session_timeout_s)
        closing.callback(zk.disconnect, client)
        prepare(client, zk.Deadline(zk.CONNECT_DEADLINE_S))
        guests = GuestPods(client, pods, least)
        closing.callback(guests.close)
        guests.open()
        stage = Stage(options, self._story, recorder, run, client, hosts, folder, self._sink, guests)
        self._stage = stage
        closing.callback(stage.close)
        self._begun = True
        group = self._demo.opening(stage)
        for protocol in options.shows:
            stage.protocol = protocol
            self._demo.play(group, protocol)
            if (history := stage.history(protocol)).operations:
                self._verdicts[protocol] = substance(history.operations, self._demo.judge(history))
        self._story.pause()

    def _conclude(self, verdict: Verdict, stage: Stage | None = None) -> int:
        """Without a stage the run has broken off: then nothing but the verdict is reported."""
        options, ended = self._options, stage is not None
        judged = stage.history(options.shows[-1]) if stage else History()
        names = [*(one.name for one in stage.participants), *stage.watched] if stage else []
        notes = self._verdicts.get("notes") if ended and len(self._verdicts) > 1 else None
        self._draw(verdict)
        demo = (self._demo.name, self._demo.guarantee)
        return conclude(self._story, options, demo, (verdict, notes), judged, names)

    def _draw(self, verdict: Verdict) -> None:
        """The run's page, if the options ask for one: each protocol that was played, in order."""
        stage, file = self._stage, self._options.timeline
        if file is None or stage is None:
            return
        chapters = chapters_of(stage, self._demo.guarantee, self._verdicts, verdict)
        self._story.note(draw(file, self._demo.program, chapters))
