"""Ring 7: the command line. A command parses, calls one function of the rings below, and shows."""

from tunelab.cli.program import main

__all__ = ["main"]
