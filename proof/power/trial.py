"""One mutant, tried: a copy of the tree, the patch, and the simulation of its world within a limit."""

import json
import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from proof.mutants import Mutant
from proof.mutants.patching import apply, copy_of_the_tree

CONTROL = "as it is"
# What a simulation is made of.
_PARTS = ("app", "lab", "proof")
# Beyond its time a simulation ends the seeds that it is at: five minutes each at most.
_GRACE_S = 310.0

Ending = Literal["convicted", "survived", "undecided", "crashed", "timeout"]
_ENDINGS: dict[int, Ending] = {0: "survived", 1: "convicted", 4: "undecided"}


@dataclass(frozen=True, slots=True)
class Trial:
    """How it ended.

    Attributes:
        ending: ``undecided``: a run broke off, so it shows nothing; the others show no violation.
        seconds: of processor time, so that a busy machine doesn't count; Python's start included.
        seeds, operations: until the verdict.
        judge: the promise that was broken.
        sentence: what the judge said, or the last words of a crash.
        again: the command that repeats it, with the patch applied.
    """

    mutant: Mutant
    ending: Ending
    seconds: float
    seeds: int = 0
    operations: int = 0
    judge: str = ""
    sentence: str = ""
    again: str = ""

    @property
    def as_it_should_be(self) -> bool:
        return self.ending == ("survived" if self.mutant.name == CONTROL else "convicted")


def tried(mutant: Mutant, den: Path, seconds: float, first: int) -> Trial:
    """Simulate its world with the patch, from seed ``first``. ``den``: an empty folder, for the copy.

    Raises DoesNotApply.
    """
    apply(mutant.patch, copy_of_the_tree(den, _PARTS))
    command = [sys.executable, "-m", "proof", "simulate", "--json", "--no-shrink", "--world", mutant.world]
    began = _spent_s()
    process = subprocess.Popen(
        [*command, "--seconds", f"{seconds:g}", "--from", str(first)],
        cwd=den,
        env={**os.environ, "PYTHONPATH": str(den)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # to end it with all that it has started
    )
    try:
        out, err = process.communicate(timeout=seconds + _GRACE_S)
    except subprocess.TimeoutExpired:
        return Trial(mutant, "timeout", _spent_s() - began)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return judged(mutant, process.returncode, out, err, _spent_s() - began)


def _spent_s() -> float:
    """Processor time of all that this process has started, and that has ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def judged(mutant: Mutant, status: int, out: str, err: str, seconds: float) -> Trial:
    """What a simulation's status and its words mean."""
    try:
        told = json.loads(out)
    except ValueError:
        last = (err.strip().splitlines() or [f"status {status}, without a word"])[-1]
        return Trial(mutant, "crashed", seconds, sentence=last)
    world = told["worlds"][mutant.world]
    ending = _ENDINGS.get(status, "crashed")
    judge, again = told["judge"] or "", told["again"] or ""
    return Trial(mutant, ending, seconds, world["seeds"], world["operations"], judge, told["sentence"], again)
