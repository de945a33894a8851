"""``tunelab optimizers`` and ``tunelab schedules``: what the engine can do."""

from __future__ import annotations

from typing import Annotated

import typer

from tunelab.cli.options import AsJson

Optimizer = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="Show this one in full.", show_default=False),
]
Schedule = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="Show this one, or warm_up, in full.", show_default=False),
]


def register(group: typer.Typer) -> None:
    """Add these commands to ``tunelab``."""
    group.command(epilog="Example: tunelab optimizers adam")(optimizers)
    group.command(epilog="Example: tunelab schedules step_drop")(schedules)


def optimizers(name: Optimizer = None, as_json: AsJson = False) -> None:
    """List the optimizers: formulas, settings, ranges."""
    from tunelab.cli.catalogue import show_catalogue
    from tunelab.service import catalogue

    show_catalogue(catalogue.optimizers(), name, as_json=as_json)


def schedules(name: Schedule = None, as_json: AsJson = False) -> None:
    """List the learning rate schedules: formulas, settings, ranges."""
    from tunelab.cli.catalogue import show_catalogue
    from tunelab.service import catalogue

    show_catalogue(catalogue.schedules(), name, as_json=as_json)
