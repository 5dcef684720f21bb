"""A scene of the simulated workers: ``python -m tests.unit.simulation.worker_scenes``."""

import json
import sys
import tempfile
from pathlib import Path

from proof.simulation.script import Script
from proof.simulation.stage import Stage
from proof.simulation.worlds.worker import add_jobs, brought_up, change_master, wait_for

SEED = 1


def an_upload_that_was_copied_after_its_jobs_end(root: Path) -> tuple[list[str], int]:
    """What is on the shared volume under the next master: uploads, and how many results."""
    world = brought_up(Stage(Script("worker", SEED)), root)
    world.users[0].act(1)
    ended = wait_for(lambda: bool(world.judge.manifests) and not world.judge.unfinished(), 60)
    assert ended
    wait_for(lambda: not any((root / "shared/uploads").iterdir()), 60)
    ((job_id, manifest),) = world.judge.manifests.items()
    (root / "shared/uploads" / f"{job_id}.{manifest.sha256}").write_bytes(b"late")
    change_master(world)
    wait_for(lambda: not any((root / "shared/uploads").iterdir()), 60)
    left = sorted(path.name for path in (root / "shared/uploads").iterdir())
    return left, len(list((root / "shared/results").iterdir()))


if __name__ == "__main__":
    add_jobs()
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(json.dumps(an_upload_that_was_copied_after_its_jobs_end(Path(folder))))
