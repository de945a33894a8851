"""Ring 7: the command line. A command parses, calls one function of the rings below, and shows."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from typing import NoReturn

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run ``tunelab`` with these arguments (those of the process) and exit."""
    # While libraries load there is nothing to leave in order, and Ctrl-C ends the process there
    # and then. As an exception it would come out of whatever module is being read.
    interrupts = signal.getsignal(signal.SIGINT)
    here = threading.current_thread() is threading.main_thread()
    if here and interrupts is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from tunelab.cli import program
    from tunelab.cli.app import command

    tree = command()
    if here:
        signal.signal(signal.SIGINT, interrupts)
    program.main(tree, arguments)
