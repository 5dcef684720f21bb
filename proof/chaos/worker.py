"""The worker as it is (``python -m app``), with the jobs of a chaos run beside the built-in ones."""

import runpy
from pathlib import Path

from app import jobs

if __name__ == "__main__":
    jobs.__path__.append(str(Path(__file__).parent / "jobs"))
    runpy.run_module("app", run_name="__main__", alter_sys=True)
