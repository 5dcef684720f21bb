"""Run every command of docs/outputs.md, and put what it prints there: ``python -m docs.generate.outputs``.

It starts three servers and five workers of its own. The page is the source of the commands; its words between
the blocks stay as they are. A test compares the acts that the page shows with those of each demo.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PAGE = TOP / "docs" / "outputs.md"
# An indented command, and the block of what it prints.
_BLOCK = re.compile(
    r"(^    python3 (?P<command>[^\n]+)\n\n```text\n)(?P<output>.*?)(^```$)", re.DOTALL | re.MULTILINE
)
_PATIENCE_S = 300


def regenerated(page: str, zk_hosts: str) -> str:
    """``page`` with the output of each of its commands, run on these servers.

    Raises subprocess.CalledProcessError if a command's verdict isn't "held".
    """
    environment = {**os.environ, "ZK_HOSTS": zk_hosts, "COLUMNS": "80"}

    def printed(block: re.Match[str]) -> str:
        command = [sys.executable, *block["command"].split()]
        ended = subprocess.run(
            command,
            cwd=TOP,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            timeout=_PATIENCE_S,
            check=True,
        )
        return block[1] + ended.stdout.strip("\n") + "\n" + block[4]

    return _BLOCK.sub(printed, page)


def main() -> int:
    command = [sys.executable, "-m", "lab", "up", "--workers", "5", "--json"]
    with subprocess.Popen(command, cwd=TOP, stdout=subprocess.PIPE, text=True) as cluster:
        try:
            announced = cluster.stdout.readline() if cluster.stdout else ""
            if not announced:
                print("no cluster was started: see above", file=sys.stderr)
                return 1
            page = regenerated(PAGE.read_text(encoding="utf-8"), json.loads(announced)["zk_hosts"])
        finally:
            cluster.terminate()
    PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
