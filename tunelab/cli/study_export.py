"""``tunelab study export``: a study for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunelab.cli.database import existing_database
from tunelab.cli.options import StudyName


def register(group: typer.Typer) -> None:
    """Add the command to ``tunelab study``."""
    group.command(epilog="Example: tunelab study export digits --csv trials.csv")(export)


def _which(text: str) -> str:
    if text != "best" and not (text.isdecimal() and len(text) <= 9):
        raise typer.BadParameter(f"must be best or the number of a trial, got {text[:60]!r}")
    return text


def export(
    name: StudyName,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="[FILE]",
            help="Where the study file of --yaml goes; without it, to standard output.",
            show_default=False,
        ),
    ] = Path("-"),
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            metavar="FILE",
            help="A table with one row a trial. - is standard output.",
            show_default=False,
        ),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(
            "--json",
            metavar="FILE",
            help="Everything, with the curves of all trials. - is standard output.",
            show_default=False,
        ),
    ] = None,
    yaml: Annotated[
        str | None,
        typer.Option(
            "--yaml",
            metavar="WHICH",
            parser=_which,
            help="A study file of the best trial (best) or of another (its number), with every "
            "hyperparameter fixed.",
            show_default=False,
        ),
    ] = None,
    optuna: Annotated[
        str | None,
        typer.Option(
            "--optuna",
            metavar="URL",
            help="An Optuna database, such as sqlite:///optuna.db, for optuna-dashboard.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a study for other programs. Several at once are possible; no file is replaced.

    --yaml best takes the pick of the confirm stage, where there is one. An earlier export to the
    same Optuna database is replaced.
    """
    from tunelab.cli.console import put_text, tell
    from tunelab.service.export import Wanted, export_study

    wanted = Wanted(csv, json, yaml, file, optuna)
    with existing_database() as database:
        for place, what in export_study(database, name, wanted):
            if place == "-":
                put_text(what)
            else:
                tell(f"wrote {what} to {place}")
