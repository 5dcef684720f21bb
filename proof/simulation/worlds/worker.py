"""Five workers with all that they do: uploads, jobs, tasks, slots, a quorum object, a shared volume.

The workers are ``app``'s own, with their web site, each in a process that can be cut off, slowed, stopped and
killed. Users upload texts and jobs of two phases under a key, and send them again when in doubt; chunk_size
changes meanwhile. In the end all is healed, every job ends, and everything that chaos audits is audited.
"""

from __future__ import annotations

import gc
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import eventlet

from app import jobs
from app.checker import replicas
from app.checker.history import History
from app.checker.verdict import Verdict
from app.demo.faults import Moment
from app.zookeeper import client as zk, paths
from proof.chaos import audit
from proof.chaos.audit import Violation
from proof.simulation.nemesis import Moments
from proof.simulation.script import Played, Script
from proof.simulation.stage import Stage
from proof.simulation.worlds.worker_hosts import Host
from proof.simulation.worlds.worker_judge import LogJudge, leftovers, of_users
from proof.simulation.worlds.worker_load import Publisher, User
from proof.simulation.worlds.worker_nemesis import Harm

WORKERS = 5
UPLOADS = 6
_MIN_NODES = (1, 3, 5)
# For so long the nemesis goes on when everything was uploaded, at most, in virtual seconds.
_GOES_ON_S = 20.0
# Virtual seconds until all is whole again, until all jobs have ended, and until nothing is left that should
# go. Workers sweep their disks once in a minute, give or take a quarter.
_WHOLE_S, _END_S, _CLEAN_S = 120.0, 300.0, 200.0
_LOOK_S = 1.0


@dataclass
class World:
    stage: Stage
    root: Path
    hosts: list[Host]
    users: list[User]
    publisher: Publisher
    judge: LogJudge
    moments: Moments


def play(script: Script) -> Played:
    gc.disable()  # a dead process' green threads must not be unwound, and a run is short
    add_jobs()
    root = Path(tempfile.mkdtemp(prefix="simulated-", dir=_memory()))
    try:
        return _played(script, root)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def add_jobs() -> None:
    folder = str(Path(__file__).parents[1] / "jobs")
    if folder not in jobs.__path__:
        jobs.__path__.append(folder)


def _memory() -> str | None:
    """A file system in memory, where there is one: thousands of files are synced."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _played(script: Script, root: Path) -> Played:
    stage = Stage(script)
    world = brought_up(stage, root)
    harm = Harm(stage, world.hosts, world.moments, root / "shared")
    world.judge.on_claim.append(harm.claimed)
    uploads = stage.at_most(stage.chance("uploads").randint(2, UPLOADS), script.operations)
    shares = [len(range(number, uploads, len(world.users))) for number in range(len(world.users))]
    publishing = stage.spawn(world.publisher.act)
    for thread in [stage.spawn(user.act, share) for user, share in zip(world.users, shares, strict=True)]:
        thread.wait()
    publishing.kill()
    eventlet.sleep(stage.choose.uniform(0.0, _GOES_ON_S))
    harm.stop()
    found = _ended(world)
    history = stage.recorder.history()
    judge, verdict = _verdict(found, _configuration(history))
    verdict = replace(verdict, sentence=verdict.sentence.replace(f"{root}/", ""))
    return Played(
        script, verdict, judge, list(history.lines()),
        Counter(operation.outcome for operation in history.operations), harm.faults, harm.struck,
        len(world.users), stage.hub.now_s,
    )  # fmt: skip


def brought_up(stage: Stage, root: Path) -> World:
    choose, moments = stage.chance("cast"), Moments()
    min_nodes = choose.choice(_MIN_NODES)
    (root / "shared").mkdir()
    hosts = [Host(stage, moments, number, root, min_nodes) for number in range(1, WORKERS + 1)]

    def claimed(task: str, name: str, attempt: int) -> None:
        if (number := name.rpartition("-")[2]).isdecimal():
            eventlet.spawn(moments.now, Moment.CLAIMED, int(number))

    judge = LogJudge(stage.ensemble, [host.disk for host in hosts])
    judge.on_claim.append(claimed)
    for host in hosts:
        host.on_stored = judge.answered
        host.start()
    wait_for(partial(_is_whole, stage), _WHOLE_S)
    count = stage.at_most(choose.randint(1, 3), stage.script.clients)
    users = [User(stage, hosts, f"user{number}", judge.expect) for number in range(1, count + 1)]
    return World(stage, root, hosts, users, Publisher(stage), judge, moments)


# -- the end --


def _ended(world: World) -> dict[str, list[Violation]]:
    """All is whole again: wait for the jobs and for the cleaning up; then audit. By judge."""
    judge, stage = world.judge, world.stage
    uploads = [upload for user in world.users for upload in user.uploads]
    whole = wait_for(partial(_is_whole, stage), _WHOLE_S)
    wait_for(lambda: not judge.unfinished(), _END_S)
    change_master(world)
    wait_for(lambda: not any(_left(world).values()) and _has_converged(world), _CLEAN_S)
    for user in world.users:
        for upload in user.uploads:
            wait_for(partial(user.look, upload), _END_S)
    _observe(world)
    ends = [Violation("every job ends", f"{judge.manifests[one].name} has not") for one in judge.unfinished()]
    if not whole:
        ends.append(Violation("five workers come back", "they did not, in time"))
    return {
        "the store's log": judge.violations,
        "the users' answers": list(of_users(uploads, judge)),
        "the end": ends,
        "what is left": list(audit.of_leftovers(_left(world))),
    }


def _is_whole(stage: Stage) -> bool:
    """Every worker is there with a slot and a seat, and one leads with a backup."""
    nodes = stage.ensemble.nodes
    counted = (paths.NODES, paths.ELECTION, paths.HOSTS)
    epoch = nodes.get(paths.EPOCH)
    return (
        all(path in nodes and len(nodes[path].children) == WORKERS for path in counted)
        and epoch is not None and b'"backup_seat":"' in epoch.data
    )  # fmt: skip


def change_master(world: World) -> None:
    """The master ends in an orderly way and comes back: its successor removes what belongs to no job."""
    for host in world.hosts:
        if host.worker is not None and host.worker.master is not None:
            host.end(30.0)
            host.start()
            break
    wait_for(partial(_is_whole, world.stage), _WHOLE_S)


def _left(world: World) -> dict[str, list[str]]:
    return leftovers(world.stage.ensemble, world.root, WORKERS)


def _has_converged(world: World) -> bool:
    latest = world.stage.ensemble.nodes[paths.CONFIG].mzxid
    lives = [host.worker.life for host in world.hosts if host.worker is not None]
    return all(life is not None and life.config.copy.mzxid == latest for life in lives)


def _observe(world: World) -> None:
    for host in world.hosts:
        life = host.worker.life if host.worker is not None else None
        copy = life.config.copy if life is not None else None
        value = dict(copy.value or {}).get("chunk_size") if copy is not None else None
        world.stage.recorder.observe(host.name, "chunk_size", value, (copy.mzxid if copy else -1, ""))  # type: ignore[arg-type]


def _configuration(history: History) -> Verdict:
    """Have all copies come to hold the last value?"""
    operations = [one for one in history.operations if one.key == "chunk_size"]
    return replicas.converged(History.of(operations))


def _verdict(found: Mapping[str, Sequence[Violation]], configuration: Verdict) -> tuple[str, Verdict]:
    """(who judged, the verdict)."""
    for judge, violations in found.items():
        if violations:
            return judge, Verdict("violated", str(violations[0]))
    if configuration.outcome == "violated":
        return "the copies of the configuration", configuration
    return "what chaos audits", Verdict("held", "nothing was lost, nothing done twice, nothing left")


def wait_for(condition: Callable[[], bool], for_s: float) -> bool:
    deadline = zk.Deadline(for_s)
    while not condition():
        if deadline.passed:
            return False
        eventlet.sleep(_LOOK_S)
    return True
