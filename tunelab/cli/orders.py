"""``study stop`` and ``study delete``: what is asked before and told after."""

from __future__ import annotations

import sys

import typer

from tunelab.cli.console import is_terminal, tell
from tunelab.cli.formats import count
from tunelab.errors import TunelabError, UsageError
from tunelab.service.control import cancel, remove_study, stop_study
from tunelab.service.resolved import forget_deleted
from tunelab.service.summary import summarize
from tunelab.storage.engine import Database
from tunelab.storage.states import StudyState
from tunelab.storage.studies import all_studies, get_study


def stop_and_tell(database: Database, name: str) -> None:
    """Stop a study and say where it stands.

    Raises:
        TunelabError: If it has not stopped in time.
    """
    study = stop_study(database, name)
    if study.state is StudyState.RUNNING:
        raise TunelabError(
            f"{study.title} has been asked to stop and still runs",
            hint=f"`tunelab study show {study.name}` tells when it has stopped",
        )
    with database.read() as connection:
        n_finished = summarize(connection, study).n_finished
    tell(
        f"stopped {study.title}: {n_finished} of {count(study.n_trials, 'trial')} finished; "
        f"`tunelab study resume {study.name}` goes on"
    )


def cancel_and_tell(database: Database, name: str) -> None:
    """Stop a study at once and say where it stands."""
    study = cancel(database, name)
    with database.read() as connection:
        n_finished = summarize(connection, study).n_finished
    tell(
        f"cancelled {study.title}: {n_finished} of {count(study.n_trials, 'trial')} finished; "
        f"`tunelab study resume {study.name}` goes on, from the last checkpoints"
    )


def delete_and_tell(database: Database, name: str, *, yes: bool) -> None:
    """Delete a study, after a question where somebody can answer it.

    Raises:
        UsageError: If nobody can, and ``--yes`` was not given.
    """
    if not yes:
        question = f"delete {_doomed(database, name)} for good?"
        if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
            raise UsageError(f"{question} nobody can answer here", hint="--yes does not ask")
        if not typer.confirm(question, err=True):
            tell("nothing deleted")
            return
    titles = remove_study(database, name)
    forget_deleted(database)
    for title in titles:
        tell(f"deleted {title}; what MLflow shows of it stays there")


def _doomed(database: Database, name: str) -> str:
    """What the name stands for: ``digits #1 (60 trials), digits #2 (4 trials)``."""
    with database.read() as connection:
        named = get_study(connection, name)
        studies = [named]
        if "#" not in name:
            studies = [row for row in all_studies(connection) if row.name == named.name][::-1]
        sizes = [
            f"{row.title} ({count(summarize(connection, row).n_finished, 'finished trial')})"
            for row in studies
        ]
    return ", ".join(sizes)
