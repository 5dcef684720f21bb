"""Copy each exercise's patch into its block of docs/break-it-yourself.md: ``python -m docs.generate.diffs``.

The patch is what a student applies, so it is the source. With ``--check`` nothing is written, and the status
is 1 where the page is stale.
"""

import re
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PAGE = TOP / "docs" / "break-it-yourself.md"
# A diff, and the first command after it, which names the patch.
_BLOCK = re.compile(r"(```diff\n)(?P<diff>.*?)(```\n\n```sh\npatch -p1 < (?P<patch>\S+)\n)", re.DOTALL)


def regenerated(page: str) -> str:
    """``page`` with every diff as its patch has it."""

    def current(block: re.Match[str]) -> str:
        return block[1] + (TOP / block["patch"]).read_text(encoding="utf-8") + block[3]

    return _BLOCK.sub(current, page)


def main(arguments: list[str]) -> int:
    before = PAGE.read_text(encoding="utf-8")
    after = regenerated(before)
    if arguments == ["--check"]:
        if before != after:
            print(f"{PAGE.name} is stale: python -m docs.generate.diffs", file=sys.stderr)
        return int(before != after)
    PAGE.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
