"""Which model implies which, on histories out of a seed: none of them may be a counterexample.

    python -m tests.unit.checker.implications [HISTORIES [SEED]]

Small histories of three processes, of one key or two, some with the order of writes that the system recorded.
Of each, every model is decided by the engine; and the brute force says of one key whether it is causal by its
own definition (an order for each process), and whether the four for one client are kept in one explanation.
"""

import random
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from app.checker.history import History, Operation, Value
from app.checker.models import BUDGET, MODELS, Name, recorded_versions
from app.checker.register import unwritten_reads
from app.checker.wording import Wording
from tests.unit.checker import model_oracles as oracle
from tests.unit.checker.making import READ_OUTCOMES, WRITE_OUTCOMES, read, write

FOUR: tuple[Name, ...] = ("monotonic reads", "monotonic writes", "read your writes", "writes follow reads")
ARROWS: tuple[tuple[Name, Name], ...] = (
    ("linearizable", "sequential"),
    ("linearizable", "real-time causal"),
    ("sequential", "causal"),
    ("real-time causal", "causal"),
    *(("causal", one) for one in FOUR),
)


def keeps(name: Name, operations: Sequence[Operation]) -> bool:
    """Each by itself, by nothing but its definition."""
    if any(unwritten_reads(operations, Wording(0))):
        return False
    outcome = MODELS[name].judge(operations, recorded_versions(operations), BUDGET).outcome
    assert outcome != "undecided"
    return outcome == "held"


def kept(operations: Sequence[Operation]) -> set[Name]:
    return {name for name in MODELS if keeps(name, operations)}


def counterexamples(operations: Sequence[Operation]) -> list[str]:
    """What should imply what, and does not, by these operations."""
    groups = History.of(operations).by_key().values()
    apart = [kept(group) for group in groups]
    wrong = [
        f"{one} but not {two}" for one, two in ARROWS for found in apart if one in found and two not in found
    ]
    together = {name for name in ("sequential", "real-time causal", "causal") if keeps(name, operations)}
    everywhere = set.intersection(*apart)
    if "linearizable" in everywhere and len(together) < 3:
        wrong.append("each key linearizable, but not sequential together")
    if together & {"sequential", "real-time causal"} and "causal" not in together:
        wrong.append("sequential or real-time causal together, but not causal")
    wrong += [f"{name} together, but not of each key" for name in together - everywhere]
    for group, found in zip(groups, apart, strict=True):
        all_four = oracle.keeps(group, oracle.AXIOMS["causal"])
        if not oracle.is_causal(group) == all_four == ("causal" in found):
            wrong.append("causal is not the four together")
    return wrong


def random_history(chance: random.Random, most: int = 9) -> list[Operation]:
    """Three processes, each of which does one thing after the other; values are read late or again."""
    free = dict.fromkeys("pqr", 0)
    keys = chance.choice(("x", "x", "xy"))
    plan = []
    for number in range(chance.randint(2, most)):
        process = chance.choice("pqr")
        began = free[process] + chance.randint(0, 2)
        ended = began + chance.randint(0, 3)
        free[process] = ended + 1
        plan.append((began, ended, process, chance.choice("wwrrr"), chance.choice(keys), number))
    plan.sort()
    clock = chance.random() < 0.8
    written = [(began, key, f"{key}{number}") for began, _, _, op, key, number in plan if op == "w"]
    operations = []
    for began, ended, process, op, key, number in plan:
        if op == "w":
            outcome = chance.choice(WRITE_OUTCOMES)
            operations.append(write(process, f"{key}{number}", began, ended, outcome, key=key))
        else:
            there: list[Value] = [v for at, its, v in written if its == key and (at <= ended or not clock)]
            value = chance.choice(there[-2:] + there or [None])
            operations.append(read(process, value, began, ended, chance.choice(READ_OUTCOMES), key=key))
    return _recorded(operations, chance)


def _recorded(operations: list[Operation], chance: random.Random) -> list[Operation]:
    """With versions for none of the values, for all in the order of their writes, or for some in any."""
    values = [one.value for one in operations if one.op == "write"]
    kind = chance.choice(("none", "faithful", "any"))
    ranks = range(len(values)) if kind == "faithful" else [chance.randint(0, len(values)) for _ in values]
    given = {
        v: (rank, "")
        for v, rank in zip(values, ranks, strict=True)
        if kind == "faithful" or chance.random() < 0.7
    }
    if kind == "none":
        return operations
    return [replace(one, version=given.get(one.value)) if one.outcome == "ok" else one for one in operations]


def main(histories: int = 100_000, seed: int = 1) -> int:
    chance = random.Random(seed)
    found: Counter[str] = Counter()
    wrong = 0
    for number in range(histories):
        operations = random_history(chance)
        for what in counterexamples(operations):
            wrong += 1
            sys.stdout.write(f"history {number}: {what}: {operations}\n")
        if len({one.key for one in operations}) > 1:
            found["of two keys"] += 1
            continue
        models = kept(operations)
        found.update(models)
        found["each of the four by itself, but not causal"] += set(FOUR) <= models and "causal" not in models
    sys.stdout.write(f"{histories} histories (seed {seed}), {wrong} counterexamples\n")
    for what, number in sorted(found.items()):
        sys.stdout.write(f"{number:7} {what}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
