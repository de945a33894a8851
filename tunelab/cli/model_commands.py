"""``tunelab model ...``: the networks that studies ended with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunelab.cli.database import existing_database
from tunelab.cli.options import AsJson, generation_number

ModelName = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="The study: digits is its champion, digits#7 the model of its 7th generation.",
        show_default=False,
    ),
]
Generation = Annotated[
    int | None,
    typer.Option(
        "--generation",
        metavar="N",
        parser=generation_number,
        help="The model of this generation, champion or not.",
        show_default=False,
    ),
]


def register(group: typer.Typer) -> None:
    """Add these commands to ``tunelab model``."""
    group.command("list", epilog="Example: tunelab model list digits")(list_)
    group.command(epilog="Example: tunelab model promote digits 7 --reason 'fewer inputs'")(promote)
    group.command(epilog="Example: tunelab model predict customers new.csv -o predicted.csv")(
        predict
    )
    group.command(epilog="Example: tunelab model export digits digits-model")(export)


def list_(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="One study.  [default: all]", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the models, who holds the title of champion, and why."""
    from tunelab.cli.models import show_models

    with existing_database() as database:
        show_models(database, name, as_json=as_json)


def promote(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The study.", show_default=False)],
    generation: Annotated[
        int | None,
        typer.Argument(
            metavar="[GENERATION]",
            parser=generation_number,
            help="Whose model it shall be.  [default: the latest that has one]",
            show_default=False,
        ),
    ] = None,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept.")
    ] = "by hand",
) -> None:
    """Make a model the champion by hand, whatever the comparison has said."""
    from tunelab.cli.models import promote_and_tell

    with existing_database() as database:
        promote_and_tell(database, name, generation, reason)


def predict(
    name: ModelName,
    data: Annotated[
        str,
        typer.Argument(metavar="DATA.csv", help="The rows to predict.", show_default=False),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Where to write.  [default: standard output]"
        ),
    ] = None,
    generation: Generation = None,
) -> None:
    """Predict the rows of a CSV file: labels with probabilities, or numbers.

    Reads the columns that the model was trained on, in any order, and ignores others.
    """
    from tunelab.cli.models import predict_and_write

    with existing_database() as database:
        predict_and_write(database, name, generation, data, output)


def export(
    name: ModelName,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A new folder.", show_default=False)
    ],
    generation: Generation = None,
) -> None:
    """Write a model as .npz and JSON, with a file that predicts with NumPy alone."""
    from tunelab.cli.models import export_and_tell

    with existing_database() as database:
        export_and_tell(database, name, generation, folder)
