"""What is said of the trials: line by line in a terminal, and as the table of docs/power.md."""

import re
from collections.abc import Iterator, Sequence

from app.checker.verdict import Verdict
from app.checker.wording import counted
from proof.mutants import TOP
from proof.power.trial import CONTROL, Trial

_PLACE = re.compile(r"(<!-- table: (?P<world>\w+) -->\n)(.*?)(<!-- end of table -->)", re.DOTALL)


def tell(trial: Trial) -> None:
    """One line, as soon as it is known."""
    name = f"{trial.mutant.world}/{trial.mutant.name}"
    mark = " " if trial.as_it_should_be else "!"
    size = f"{trial.seeds:5} seeds {trial.operations:7} operations {trial.seconds:5.1f} s"
    print(f"{mark} {name:48} {trial.ending:9} {size}  {trial.judge}", flush=True)


def into(page: str, trials: Sequence[Trial], seconds: float) -> str:
    """``page`` with the table of each world that was tried, in its place."""

    def current(place: re.Match[str]) -> str:
        tried = [one for one in trials if one.mutant.world == place["world"]]
        return place[1] + ("\n".join([*as_markdown(tried, seconds), ""]) if tried else place[3]) + place[4]

    return _PLACE.sub(current, page)


def as_markdown(trials: Sequence[Trial], seconds: float) -> Iterator[str]:
    """Of one world."""
    for trial in trials:
        if trial.mutant.name == CONTROL:
            held = "held" if trial.as_it_should_be else f"**{trial.ending}**"
            size = f"{counted(trial.seeds, 'seed')}, {counted(trial.operations, 'operation')}, {seconds:g} s"
            yield f"The code as it is: {held} ({size}).\n"
    yield "| what it makes untrue | mutant | seeds | operations | seconds | judge |"
    yield "|---|---|--:|--:|--:|---|"
    yield from (_row(one) for one in trials if one.mutant.name != CONTROL)


def _row(trial: Trial) -> str:
    mutant = trial.mutant
    link = f"[{mutant.name}](../{mutant.patch.relative_to(TOP).as_posix()})"
    judge = trial.judge if trial.as_it_should_be else f"**{trial.ending}** {trial.judge}"
    size = f"{trial.seeds:,} | {trial.operations:,} | {trial.seconds:.1f}"
    return f"| {mutant.sentence} | {link} | {size} | {judge} |"


def verdict(trials: Sequence[Trial]) -> Verdict:
    """Held if every mutant was convicted by a judge, and nothing was found in the code as it is."""
    wrong = [one for one in trials if not one.as_it_should_be]
    controls = [one for one in trials if one.mutant.name == CONTROL]
    mutants = len(trials) - len(controls)
    if wrong:
        names = ", ".join(f"{one.mutant.world}/{one.mutant.name} {one.ending}" for one in wrong)
        return Verdict("violated", f"{len(wrong)} of {len(trials)} trials ended otherwise: {names}")
    slowest = max((one.seconds for one in trials if one not in controls), default=0.0)
    size = f"{counted(mutants, 'mutant')}, the slowest after {slowest:.0f} s"
    return Verdict("held", f"each was convicted by a judge ({size}), and the code as it is by none")
