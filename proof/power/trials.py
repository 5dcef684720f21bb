"""All the trials that were asked for, each told as it ends."""

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from app.errors import BadSettingError
from proof.mutants import WORLDS, Mutant, catalogue
from proof.power.trial import CONTROL, Trial, tried

# A world's code as it is: with the same seeds and the same judges nothing may be found. An empty patch.
_CONTROLS = [Mutant(CONTROL, world, "Nothing is changed.", Path(os.devnull)) for world in WORLDS]


def chosen(names: Sequence[str] | None) -> list[Mutant]:
    """The mutants of these names, or of these worlds, each world's unchanged code first.

    Raises BadSettingError.
    """
    known = catalogue()
    strange = {*(names or ())} - {name for one in known for name in _names(one)}
    if strange:
        message = f"there is no mutant {min(strange)!r}: proof/mutants has them all"
        raise BadSettingError(message)
    wanted = [one for one in known if not names or _names(one) & {*names}]
    worlds = {one.world for one in wanted}
    controls = [one for one in _CONTROLS if one.world in worlds]
    return sorted([*controls, *wanted], key=lambda one: WORLDS.index(one.world))


def _names(mutant: Mutant) -> set[str]:
    return {mutant.name, mutant.world, f"{mutant.world}/{mutant.name}"}


def all_of(
    mutants: Sequence[Mutant], seconds: float, first: int, tell: Callable[[Trial], None]
) -> list[Trial]:
    """One after the other, since each keeps all cores busy; ``tell`` is called with each as it ends."""
    trials = []
    for mutant in mutants:
        with tempfile.TemporaryDirectory(prefix="power-") as den:
            trials.append(tried(mutant, Path(den), seconds, first))
        tell(trials[-1])
    return trials
