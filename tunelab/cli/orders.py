"""``study stop`` and ``study delete``: what is asked before and told after."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing

import typer

from tunelab.cli.console import is_terminal, tell
from tunelab.cli.formats import count
from tunelab.cli.tracking import check_tracking_uri
from tunelab.errors import TunelabError, UsageError
from tunelab.service.control import cancel, doomed_studies, remove_study, stop_study
from tunelab.service.mirror.environment import tracking_uri
from tunelab.service.mirror.sync import Action
from tunelab.service.resolved import forget_deleted
from tunelab.service.summary import summarize
from tunelab.service.tracking_sync import synchronize
from tunelab.storage.engine import Database
from tunelab.storage.states import StudyState
from tunelab.storage.studies import StudyRow


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


def delete_and_tell(database: Database, name: str, *, yes: bool, mlflow: bool) -> None:
    """Delete a study, after a question where somebody can answer it.

    Args:
        database: The study database.
        name: ``digits`` for all generations, ``digits#7`` for one.
        yes: Whether not to ask.
        mlflow: Whether to delete its runs in MLflow too, before anything else: should that fail,
            the study is still there to try again.

    Raises:
        NotFoundError: If there is no such study.
        UsageError: If it runs or is being mirrored, or nobody can answer and ``yes`` is not given.
        TrackingError: If the runs are to be deleted and MLflow cannot be reached.
    """
    doomed = doomed_studies(database, name)
    if mlflow:
        check_tracking_uri(tracking_uri())
    if not yes:
        shown = ", and their runs in MLflow," if mlflow else ""
        question = f"delete {_sizes(database, doomed)}{shown} for good?"
        if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
            raise UsageError(f"{question} nobody can answer here", hint="--yes does not ask")
        if not typer.confirm(question, err=True):
            tell("nothing deleted")
            return
    n_runs = _remove_runs(database, doomed) if mlflow else {}
    titles = remove_study(database, name, tell)
    forget_deleted(database)
    for title in titles:
        of_runs = "what MLflow shows of it stays there"
        if title in n_runs:
            of_runs = f"{count(n_runs[title], 'run')} in MLflow marked as deleted"
        tell(f"deleted {title}; {of_runs}")


def _remove_runs(database: Database, doomed: Sequence[StudyRow]) -> dict[str, int]:
    """Delete the runs of the studies, and count them by the studies' titles."""
    n_runs = {}
    keys = [study.id for study in doomed]
    with closing(synchronize(database, Action.REMOVE, keys)) as results:
        for result in results:
            if result.busy:
                raise UsageError(
                    f"{result.study} is being mirrored by {result.holder or 'another process'}",
                    hint="nothing was deleted of it; try again when it has sent everything",
                )
            if not result.waiting:
                n_runs[result.study] = result.removed
    return n_runs


def _sizes(database: Database, studies: Sequence[StudyRow]) -> str:
    """``digits #1 (60 finished trials), digits #2 (4 finished trials)``."""
    with database.read() as connection:
        sizes = [
            f"{row.title} ({count(summarize(connection, row).n_finished, 'finished trial')})"
            for row in studies
        ]
    return ", ".join(sizes)
