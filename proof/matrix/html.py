"""The matrix as pages: the table, and behind each violated cell the timeline that shows it."""

import html
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from app.checker.guarantees import GUARANTEES, Guarantee, judge_all
from app.checker.history import History
from app.checker.timeline import Chapter, page
from app.checker.verdict import Verdict
from proof.matrix.play import Measured
from proof.matrix.table import FAULTS, Place, cell, convicting, convictions, numbered, verdict

_STYLE = """
:root { color-scheme: light dark; font: 100%/1.4 system-ui, sans-serif; }
body { max-width: 82rem; margin: 1.5rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { border: 1px solid GrayText; padding: .3rem .5rem; text-align: left; }
th[scope=rowgroup] { border-top-width: 3px; }
td.violated { font-weight: bold; outline: 3px solid currentColor; outline-offset: -4px; }
td.violated a { color: inherit; }
small { font-weight: normal; }
td { white-space: nowrap; }
@media print { @page { size: A4 landscape; } body { font-size: 75%; } }
"""


def write(folder: Path, rows: Sequence[Measured], seed: int) -> Path:
    """Write the pages; returns the one to open. What else is in the folder stays."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = numbered(rows)
    for row in rows:
        for place, guarantees in convicting(row).items():
            (folder / f"{numbers[place]}.html").write_text(_timeline(row, guarantees), encoding="utf-8")
    index = folder / "index.html"
    index.write_text(_index(rows, numbers, seed), encoding="utf-8")
    return index


def _timeline(row: Measured, guarantees: Sequence[Guarantee]) -> str:
    """What these have in common: one witness. Its keys alone are shown, and their time is counted anew."""
    guilty = row.findings[guarantees[0]].indexes
    keys = {row.history.operations[index].key for index in guilty}
    mine = [operation for operation in row.history.operations if operation.key in keys]
    shown = History.of([*mine, *row.history.faults])
    finding = judge_all(shown, together=True)[guarantees[0]]
    witness = tuple(shown.operations[index] for index in finding.indexes)
    title = f"{row.mechanism.title}, {FAULTS[row.faults]}"
    judged = Verdict("violated", finding.sentence, witness)
    return page(title, [Chapter(title, shown, judged, ", ".join(guarantees))])


def _index(rows: Sequence[Measured], numbers: Mapping[Place, int], seed: int) -> str:
    said = verdict(rows)
    heads = "".join(f"<th scope=col>{html.escape(guarantee)}</th>" for guarantee in GUARANTEES)
    body = "".join(_rows(rows, numbers))
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>What holds, under which fault</title>
<style>{_STYLE}</style>
<h1>What holds, under which fault</h1>
<p><strong>{html.escape(said.outcome)}</strong>: {html.escape(said.sentence)}.
{html.escape(convictions(rows))}.</p>
<table>
<thead><tr><th scope=col>mechanism</th>{heads}</tr></thead>
{body}
</table>
<p>held N: not broken in any of the N operations that it was asked of, and nothing more is said.
held N*: and theory forbids that any history break it. A violated cell leads to its witness.
Faults: the standard ones, one after the other, the same for all rows (seed {seed}).</p>
</html>
"""


def _rows(rows: Sequence[Measured], numbers: Mapping[Place, int]) -> Iterator[str]:
    last = ""
    for row in rows:
        if row.mechanism.name != last:
            last = row.mechanism.name
            title, does, because = map(
                html.escape, (row.mechanism.title, row.mechanism.does, row.mechanism.because)
            )
            yield (
                f"<tbody><tr><th scope=rowgroup colspan={len(GUARANTEES) + 1}>{title}"
                f"<br><small>{does}. Theory: {because}.</small></th></tr>"
            )
        operations = f"{len(row.history.operations)} operations"
        yield f"<tr><th scope=row>{FAULTS[row.faults]}<br><small>{operations}</small></th>"
        for guarantee in GUARANTEES:
            yield _cell(row, guarantee, numbers)
        yield "</tr>"


def _cell(row: Measured, guarantee: Guarantee, numbers: Mapping[Place, int]) -> str:
    said = html.escape(cell(row, guarantee, numbers))
    finding = row.findings[guarantee]
    if finding.verdict != "violated":
        return f"<td>{said}</td>"
    number = numbers[row.mechanism.name, row.faults, finding.sentence]
    witness = html.escape(finding.sentence, quote=True)
    return f'<td class="violated"><a href="{number}.html" title="{witness}">{said}</a></td>'
