"""``tunelab tracking ...``: orders about MLflow."""

from __future__ import annotations

from typing import Annotated

import typer

from tunelab.cli.database import existing_database
from tunelab.cli.options import AsJson

SyncedStudy = Annotated[
    str | None,
    typer.Argument(
        metavar="[STUDY]",
        help="One study: digits is its latest generation, digits#7 its 7th.  [default: all]",
        show_default=False,
    ),
]


def register(group: typer.Typer) -> None:
    """Add these commands to ``tunelab tracking``."""
    group.command(epilog="Example: tunelab tracking sync digits")(sync)
    group.command(epilog="Example: tunelab tracking run")(run)


def sync(name: SyncedStudy = None, as_json: AsJson = False) -> None:
    """Compare MLflow with the study database, and repair what MLflow shows.

    Makes runs that are missing or were deleted, removes those that are there twice, corrects
    states, and adds or replaces points, params and tags. Nothing changes where both agree.
    """
    from tunelab.cli.sync import sync_and_tell

    with existing_database() as database:
        raise typer.Exit(sync_and_tell(database, name, as_json=as_json))


def run() -> None:
    """Show the studies of the service in MLflow, until told to leave.

    Sends what is new twice a second, and of studies that have ended what MLflow still lacks. An
    absence of MLflow is outlasted. Studies that run by `study start` are sent by that command.
    """
    from tunelab.cli.mirror import run_and_tell

    raise typer.Exit(run_and_tell())
