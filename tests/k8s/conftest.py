"""No cluster can run here, so its tools are replaced by some that write down what they are asked."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

Answers = dict[str, dict[str, Any]]
RUN_S = 120  # patience costs nothing
FAKE = Path(__file__).with_name("fake_tool.py")


class Tools:
    """A folder with tools, which is all that ``python -m lab`` finds on its PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        self._answers: Answers = {}
        self._started: list[subprocess.Popen[str]] = []
        self.answer({})

    def install(self, *names: str) -> None:
        for name in names:
            tool = self.bin / name
            tool.write_text(f"#!{sys.executable} -IS\n{FAKE.read_text(encoding='utf-8')}", encoding="utf-8")
            tool.chmod(0o755)

    def answer(self, answers: Answers) -> None:
        """To every question with these words in it; the first that fits. Others are answered by success."""
        self._answers = {
            **answers,
            **{part: one for part, one in self._answers.items() if part not in answers},
        }
        temporary = self.folder / "answers.new"
        temporary.write_text(json.dumps(self._answers), encoding="utf-8")
        temporary.replace(self.folder / "answers.json")  # never half of it

    def asked(self) -> list[dict[str, Any]]:
        log = self.folder / "asked.jsonl"
        return (
            [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
            if log.exists()
            else []
        )

    def commands(self) -> list[str]:
        return [one["asked"] for one in self.asked()]

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """``python -m lab`` with these tools and no others."""
        inherited = {
            name: os.environ[name] for name in os.environ if name not in ("PIP_INDEX_URL", "DOCKER_HOST")
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "lab", *arguments],
            cwd=ROOT,
            env={**inherited, "PATH": str(self.bin), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def run(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        process = self.start(*arguments, **environment)
        output, errors = process.communicate(timeout=RUN_S)
        return process.returncode, output, errors

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.terminate()
            process.communicate(timeout=RUN_S)


@pytest.fixture
def tools(tmp_path: Path) -> Iterator[Tools]:
    made = Tools(tmp_path)
    try:
        yield made
    finally:
        made.close()
