"""The catalogue of mutants: small patches against ``app``, each of which makes one promise untrue.

A patch says in its first lines, as a comment, which sentence it makes untrue; folders are the worlds of
proof/simulation that are to convict it. The exercises' patches stay beside their scenes.
"""

from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent
WORLDS = ("quorum", "pair", "eventual", "worker")
# Patches of docs/exercises, without a comment there, since students are to find the sentence themselves. Not
# small_quorums: that one is refused before anything is sent. quorums_that_do_not_meet is what it asks for.
EXERCISES = {
    "no_write_back": ("quorum", "Before a read returns a value, W replicas hold it."),
    "clients_id": ("quorum", "One version names one value: each write has an id of its own."),
    "plain_get": ("quorum", "A replica's answer is of now, and comes only while its host lives."),
    "no_epoch_check": ("pair", "A deposed primary answers no read."),
    "ack_first": ("pair", "A backup acknowledges what is on its disk, not what is on its way."),
    "blind_publisher": ("eventual", "A publisher writes only over the version that it has read."),
    "chaos/no_version_check": ("worker", "A task counts for its last claimant alone."),
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change that is to be convicted.

    Attributes:
        world: the simulation's, whose judges are to convict it.
        sentence: what it makes untrue.
    """

    name: str
    world: str
    sentence: str
    patch: Path


def catalogue() -> list[Mutant]:
    """All mutants, by world and name."""
    own = [_own(path) for world in WORLDS for path in FOLDER.glob(f"{world}/*.patch")]
    borrowed = [
        Mutant(name.rpartition("/")[2], world, sentence, TOP / "docs" / "exercises" / f"{name}.patch")
        for name, (world, sentence) in EXERCISES.items()
    ]
    return sorted([*own, *borrowed], key=lambda one: (WORLDS.index(one.world), one.name))


def _own(path: Path) -> Mutant:
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = [line.removeprefix("#").strip() for line in lines if line.startswith("#")]
    return Mutant(path.stem, path.parent.name, " ".join(comment), path)
