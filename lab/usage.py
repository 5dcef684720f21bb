"""A command line that can't be meant is refused in one line, before anything is started."""

import argparse
from typing import NoReturn

BAD_USAGE = 2


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; --help has the rest."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_USAGE, f"{self.prog}: {message} (--help says what there is)\n")
