"""``tunelab init``: a study file for one's own data."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from tunelab.cli.console import put, tell

TASKS = ("classification", "regression")


def _task(text: str) -> str:
    if text not in TASKS:
        raise typer.BadParameter(f"must be {' or '.join(TASKS)}, got {text[:60]!r}")
    return text


def _name(text: str) -> str:
    from tunelab.spec.rules import RefusedError
    from tunelab.spec.study import study_name

    try:
        return study_name(text)
    except RefusedError as error:
        raise typer.BadParameter(error.message) from None


def register(group: typer.Typer) -> None:
    """Add the command to ``tunelab``."""
    group.command(epilog="Example: tunelab init --data customers.csv --target left")(init)


def init(
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="FILE",
            readable=False,
            help="The data, a CSV or Parquet file.",
            show_default=False,
        ),
    ],
    targets: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            metavar="COLUMN",
            help="The column to predict; without it, the columns are listed. Repeatable: several "
            "columns of numbers are predicted together.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The study file; otherwise beside the data, as FILE.yaml.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="NAME",
            parser=_name,
            help="The study's name; otherwise that of the data's file.",
            show_default=False,
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            metavar="TASK",
            parser=_task,
            help="classification or regression; otherwise as the target suggests.",
            show_default=False,
        ),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(
            "--drop",
            metavar="COLUMN",
            help="A column to leave out, besides useless ones. Repeatable.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the study file if there is one.")
    ] = False,
) -> None:
    """Write a study file for a table of data, with a reason for every choice.

    It is tried out before it appears: what is written can be started as it is.
    """
    from tunelab.cli.signals import tidy_at_sigterm
    from tunelab.service.drafts import list_columns, write_study_file

    with tidy_at_sigterm():
        if not targets:
            raise list_columns(data)
        written = write_study_file(
            data,
            targets,
            output=output,
            name=name,
            task=task,
            drop=drop or (),
            force=force,
        )
    for note in written.draft.notes:
        tell(f"worth a look: {note}")
    put(str(written.path))
    tell(f"next    tunelab study validate {quote(str(written.path))}")
    tell(f"        tunelab study start {quote(str(written.path))}")
