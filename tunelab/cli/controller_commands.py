"""``tunelab controller ...``: the process that leads the studies of a service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

StudiesFolder = Annotated[
    Path | None,
    typer.Option(
        "--studies",
        metavar="FOLDER",
        help="Folder of study files; those with an enabled sweep start by themselves.",
        show_default=False,
    ),
]


def register(group: typer.Typer) -> None:
    """Add these commands to ``tunelab controller``."""
    group.command(epilog="Example: tunelab controller run --studies studies")(run)


def run(studies: StudiesFolder = None) -> None:
    """Lead the submitted studies and start the sweeps, until Ctrl-C.

    Each study that was submitted gets a coordinator of its own; a sweep starts at its times. When
    one of several controllers dies, the others go on.
    """
    from tunelab.cli.controller import run_and_tell

    raise typer.Exit(run_and_tell(studies))
