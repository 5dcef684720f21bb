"""How fast are the protocols, as ratios to the raw ZooKeeper calls that they can't do without?

Milliseconds say more about a machine than about a program. So every operation is timed beside its *floor*:
the same calls, made bare, with the same sessions and the same handler, sample by sample in turn; and beside
the notes' listing of it. The ratio is what the protocol itself costs. Each floor stands beside its code:

    primary_backup.py   write until the user is answered
    quorum.py           a register's read and write, all well and with one replica slow
    configuration.py    publish until five copies have it

And how it grows with its load, as the exponent of a power law (``growth.py``) with what limits it:

    replicas.py  watchers.py  clients.py  uploads.py (pictures and tasks, on five worker processes)

``worker.py`` has what isn't a growth: five workers idle, over a long day, and without their master.
``run.py`` is the whole of it, ``report.py`` and ``chart.py`` tell it; docs/bench.md says how to read it.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

SUMMARY = "How fast are the protocols, beside what they can't do without, and how does it grow?"
SAMPLES = 200
# In the order in which they are measured.
SECTIONS = {
    "primary-backup": "a write until its user is answered",
    "quorum": "a register's read and write, also with one replica slow",
    "configuration": "publish until five copies have it",
    "replicas": "growth of a register's read and write with 3 to 51 replicas",
    "watchers": "growth of convergence with 5 to 500 copies, a session each",
    "clients": "growth with 1 to 64 clients of one register",
    "pictures": "uploads of 1 to 75 MP, on five worker processes",
    "tasks": "jobs of 20 to 2,000 tasks, on the same",
    "worker": "the same idle, over a long day, and when their master goes",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Sections: " + "; ".join(f"{name}: {what}" for name, what in SECTIONS.items()) + "."
    parser.add_argument(
        "--samples",
        type=_samples,
        default=SAMPLES,
        metavar="N",
        help=f"of each operation ({SAMPLES}); growth is measured accordingly, under 20 at small loads only",
    )
    parser.add_argument(
        "--only", type=_sections, default=tuple(SECTIONS), metavar="NAME[,NAME]", help="these sections alone"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    parser.add_argument("--svg", type=_file, metavar="FILE", help="also the chart")
    parser.add_argument(
        "--into", type=_folder, metavar="FOLDER", help="all three, as bench.txt, .json and .svg"
    )


def measure(hosts: str, options: argparse.Namespace) -> str:
    from proof.bench.run import measure

    return measure(hosts, options)


def _samples(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        message = f"{text!r} is no number of samples: 1 to 10000"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _sections(text: str) -> tuple[str, ...]:
    names = text.split(",")
    if unknown := [name for name in names if name not in SECTIONS]:
        message = f"there is no section {unknown[0]!r}: choose from {', '.join(SECTIONS)}"
        raise argparse.ArgumentTypeError(message)
    return tuple(name for name in SECTIONS if name in names)


def _file(text: str) -> Path:
    """Checked now, and not after seven minutes."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        message = f"{text!r} can't be written: name a file in a folder that exists"
        raise argparse.ArgumentTypeError(message)
    return _drawable(path)


def _folder(text: str) -> Path:
    path = Path(text)
    if (path.exists() or path.is_symlink()) and not path.is_dir():
        message = f"{text!r} is not a folder: name one, it is made if need be"
        raise argparse.ArgumentTypeError(message)
    return _drawable(path)


def _drawable(path: Path) -> Path:
    if find_spec("matplotlib") is None:
        message = "the chart needs matplotlib: .venv/bin/python -m pip install -r requirements-dev.txt"
        raise argparse.ArgumentTypeError(message)
    return path
