"""``tunelab controller ...``: the process that leads the studies of a service."""

from __future__ import annotations

import typer


def register(group: typer.Typer) -> None:
    """Add these commands to ``tunelab controller``."""
    group.command(epilog="Example: tunelab controller run")(run)


def run() -> None:
    """Lead the submitted studies, until Ctrl-C.

    Each study that was submitted gets a coordinator of its own. Several controllers may run on one
    database: when one dies, another goes on.
    """
    from tunelab.cli.controller import run_and_tell

    raise typer.Exit(run_and_tell())
