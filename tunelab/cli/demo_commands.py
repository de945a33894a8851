"""``tunelab demo surfaces`` and ``tunelab demo schedules``: the lecture's pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunelab.cli.options import AsJson, n_demo_epochs, n_demo_steps

_Force = Annotated[
    bool, typer.Option("--force", help="Replace files that this command did not make.")
]
_NSteps = Annotated[
    int,
    typer.Option("--steps", metavar="N", parser=n_demo_steps, help="Steps of each optimizer."),
]
_NEpochs = Annotated[
    int,
    typer.Option("--epochs", metavar="N", parser=n_demo_epochs, help="Epochs of the run."),
]
_SurfacesOutput = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="PATH",
        help="A folder for both files, or one file, .html or .gif.",
    ),
]
_SchedulesOutput = Annotated[
    Path,
    typer.Option(
        "--output", "-o", metavar="PATH", help="The file, .png or .svg, or a folder for it."
    ),
]


def register(group: typer.Typer) -> None:
    """Add these commands to ``tunelab demo``."""
    group.command(epilog="Example: tunelab demo surfaces -o pictures")(surfaces)
    group.command(epilog="Example: tunelab demo schedules -o schedules.svg")(schedules)


def surfaces(
    output: _SurfacesOutput = Path(),
    n_steps: _NSteps = 1000,
    force: _Force = False,
    as_json: AsJson = False,
) -> None:
    """Animate every optimizer on five surfaces, and print its steps to tolerance.

    Writes demo-surfaces.html, a page that needs no network, and demo-surfaces.gif. Each optimizer
    has the best of 13 constant rates on each surface. Earlier results are replaced.
    """
    from tunelab.cli.demo import show_surfaces

    show_surfaces(output, n_steps=n_steps, force=force, as_json=as_json)


def schedules(
    output: _SchedulesOutput = Path("demo-schedules.png"),
    max_epochs: _NEpochs = 60,
    force: _Force = False,
) -> None:
    """Draw every learning rate schedule over the epochs, with and without a warm-up.

    An earlier result is replaced.
    """
    from tunelab.cli.demo import wrote
    from tunelab.service.demos.command import write_schedules

    write_schedules(output, max_epochs=max_epochs, force=force, said=wrote)
