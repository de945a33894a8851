"""``tunelab worker ...``: processes that train what studies elsewhere ask for."""

from __future__ import annotations

from typing import Annotated

import typer

from tunelab.cli.database import existing_database
from tunelab.cli.options import AsJson, n_trials, n_workers

ServedStudy = Annotated[
    str | None,
    typer.Option(
        "--study",
        metavar="NAME",
        help="Serve this study alone, and leave when it ends.  [default: all of the service]",
        show_default=False,
    ),
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        "--concurrency",
        metavar="N",
        parser=n_workers,
        help="Worker processes.  [default: one for each core]",
        show_default=False,
    ),
]
MaxTrials = Annotated[
    int | None,
    typer.Option(
        "--max-trials",
        metavar="N",
        parser=n_trials,
        help="Leave after so many trials in all.",
        show_default=False,
    ),
]


def register(group: typer.Typer) -> None:
    """Add these commands to ``tunelab worker``."""
    group.command(epilog="Example: tunelab worker run --concurrency 4")(run)
    group.command("list", epilog="Example: tunelab worker list --json")(list_workers)


def run(
    study: ServedStudy = None,
    concurrency: Concurrency = None,
    max_trials: MaxTrials = None,
) -> None:
    """Train trials of the studies that the service runs, until told to leave.

    Ctrl-C or SIGTERM: running trials are saved, wait for other workers, and this one leaves.
    """
    from tunelab.cli.workers import run_and_tell

    raise typer.Exit(run_and_tell(study, concurrency, max_trials))


def list_workers(as_json: AsJson = False) -> None:
    """List the worker processes of all machines, and what each of them does."""
    from tunelab.cli.workers import show_workers

    with existing_database() as database:
        show_workers(database, as_json=as_json)
