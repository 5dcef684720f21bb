"""What the commands print, and how they refuse options: in one line, before anything is started."""

import argparse
import sys
from typing import NoReturn

BAD_USAGE = 2


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; --help has the rest."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_USAGE, f"{self.prog}: {message} (--help lists the options)\n")


def print_to_stderr(line: str) -> None:
    print(f"lab: {line}", file=sys.stderr, flush=True)
