"""``tunelab sweep ...``: studies that start by the clock."""

from __future__ import annotations

from typing import Annotated

import typer

from tunelab.cli.database import existing_database
from tunelab.cli.options import AsJson, StudyFile, n_trials

SweepName = Annotated[
    str, typer.Argument(metavar="NAME", help="The study's name.", show_default=False)
]
NSlots = Annotated[
    int,
    typer.Option("-n", metavar="N", parser=n_trials, help="How many to show.", show_default=True),
]


def register(group: typer.Typer) -> None:
    """Add these commands to ``tunelab sweep``."""
    group.command(epilog="Example: tunelab sweep add studies/nightly.yaml")(add)
    group.command("list", epilog="Example: tunelab sweep list")(list_)
    group.command("next", epilog="Example: tunelab sweep next digits -n 5")(next_)
    group.command(epilog="Example: tunelab sweep run digits")(run)
    group.command(epilog="Example: tunelab sweep pause digits")(pause)
    group.command(epilog="Example: tunelab sweep resume digits")(resume)
    group.command(epilog="Example: tunelab sweep remove digits")(remove)


def add(study_file: StudyFile) -> None:
    """Add the sweep of a study file, or replace what the file said before.

    What the file says now is kept: a later change counts when it is added again, or when a
    controller watches the file's folder.
    """
    from tunelab.cli.sweeps import add_and_tell

    add_and_tell(study_file)


def list_(as_json: AsJson = False) -> None:
    """List all sweeps with their next start and what became of the last."""
    from tunelab.cli.sweeps import show_sweeps

    with existing_database() as database:
        show_sweeps(database, as_json=as_json)


def next_(name: SweepName, n_slots: NSlots = 5, as_json: AsJson = False) -> None:
    """Show when a sweep starts next."""
    from tunelab.cli.sweeps import show_next

    with existing_database() as database:
        show_next(database, name, n_slots, as_json=as_json)


def run(name: SweepName) -> None:
    """Start the next generation now, beside the schedule and whatever else runs."""
    from tunelab.cli.sweeps import run_and_tell

    with existing_database() as database:
        run_and_tell(database, name)


def pause(name: SweepName) -> None:
    """Let a sweep start nothing until it is resumed; a changed file does not end that."""
    from tunelab.cli.sweeps import pause_and_tell

    with existing_database() as database:
        pause_and_tell(database, name)


def resume(name: SweepName) -> None:
    """End a pause; what came during it is not caught up."""
    from tunelab.cli.sweeps import resume_and_tell

    with existing_database() as database:
        resume_and_tell(database, name)


def remove(name: SweepName) -> None:
    """Delete a sweep with its history; the studies stay.

    A controller that watches the file's folder takes it up again when the file is changed or the
    controller starts anew, unless the file says sweep.enabled: false.
    """
    from tunelab.cli.sweeps import remove_and_tell

    with existing_database() as database:
        remove_and_tell(database, name)
