"""How the Lab's commands read their options and end: 0, or 2 after one line on stderr."""

import argparse
import sys
from collections.abc import Callable


class Options(argparse.ArgumentParser):
    """A parser that raises where the options are wrong, so that `run_command` says so."""

    def error(self, message: str) -> None:
        """Raise ValueError with argparse's message."""
        raise ValueError(f"{message}; --help lists the options.")


def run_command(work: Callable[[], None]) -> int:
    """Do a command's work and return its exit status.

    A ValueError or OSError becomes one line on stderr and status 2; all else is a fault of the
    program and is left to Python.
    """
    try:
        work()
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{' '.join(str(error).split())}\n")
        return 2
    return 0
