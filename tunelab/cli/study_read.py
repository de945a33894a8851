"""``tunelab study ...``: the commands that read."""

from __future__ import annotations

from typing import Annotated

import typer

from tunelab.cli.database import existing_database
from tunelab.cli.options import (
    AsJson,
    Assigned,
    StudyFile,
    StudyName,
    StudyNames,
    TrialNumber,
)


def register(group: typer.Typer) -> None:
    """Add these commands to ``tunelab study``."""
    group.command("list", epilog="Example: tunelab study list --json")(list_studies)
    group.command(epilog="Example: tunelab study show digits")(show)
    group.command(epilog="Example: tunelab study trials digits --sort value")(trials)
    group.command(epilog="Example: tunelab study trial digits 38 --epochs")(trial)
    group.command(epilog="Example: tunelab study compare digits#6 digits#7")(compare)
    group.command(epilog="Example: tunelab study validate studies/digits.yaml")(validate)


def validate(
    study_file: StudyFile,
    assigned: Assigned = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Train an epoch, and estimate the study's time.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check a study file and its data; show the whole search space, and what may not be meant.

    Takes settings as `tunelab study start` does, and leaves nothing behind.
    """
    from tunelab.cli.settings import gathered
    from tunelab.cli.signals import tidy_at_sigterm
    from tunelab.cli.validation import show_rehearsal
    from tunelab.service.estimate import rehearse

    settings = gathered(assigned)
    with tidy_at_sigterm():
        rehearsal = rehearse(study_file, settings, timed=dry_run)
    show_rehearsal(rehearsal, as_json=as_json)


def list_studies(as_json: AsJson = False) -> None:
    """List all studies, the newest first."""
    from tunelab.cli.listing import show_studies
    from tunelab.service.summary import summarize
    from tunelab.storage.studies import all_studies

    with existing_database() as database, database.read() as connection:
        summaries = [summarize(connection, study) for study in all_studies(connection)]
    show_studies(summaries, as_json=as_json)


def show(
    name: StudyName,
    resolved: Annotated[
        bool,
        typer.Option("--resolved", help="Print its whole study file, each value with its source."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show a study's state, its counts and its best trial."""
    from tunelab.storage.studies import get_study

    with existing_database() as database, database.read() as connection:
        study = get_study(connection, name)
        if resolved:
            from tunelab.cli.resolved import show_resolved
            from tunelab.service.resolved import resolved_study

            show_resolved(resolved_study(database, study), as_json=as_json)
        else:
            from tunelab.cli.result import read_result, show_result

            show_result(read_result(connection, study, database), as_json=as_json)


def trials(
    name: StudyName,
    sort: Annotated[
        str,
        typer.Option(
            "--sort", metavar="COLUMN", help="Column or hyperparameter; value: the best first."
        ),
    ] = "number",
    kind: Annotated[
        str,
        typer.Option("--kind", metavar="KIND", help="trial: the search; confirm: its runs; all."),
    ] = "trial",
    as_json: AsJson = False,
) -> None:
    """List a study's trials: a table on a terminal, TAB-separated in a pipe."""
    from tunelab.cli.listing import show_trials
    from tunelab.cli.sorting import kinds, sort_trials
    from tunelab.service.summary import summarize
    from tunelab.storage.studies import get_study
    from tunelab.storage.trials import study_trials

    with existing_database() as database, database.read() as connection:
        summary = summarize(connection, get_study(connection, name))
        rows = [
            row
            for one in kinds(kind)
            for row in study_trials(connection, summary.study.id, kind=one)
        ]
    rows = sort_trials(rows, sort, maximize=summary.spec.objective.direction == "maximize")
    show_trials(summary, rows, as_json=as_json)


def trial(
    name: StudyName,
    number: TrialNumber,
    epochs: Annotated[bool, typer.Option("--epochs", help="List every epoch too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show one trial: why it ended, its hyperparameters and its curves."""
    from tunelab.cli.trial import read_trial, show_trial
    from tunelab.storage.studies import get_study

    with existing_database() as database, database.read() as connection:
        view = read_trial(connection, get_study(connection, name), number)
    show_trial(view, epochs=epochs, as_json=as_json)


def compare(names: StudyNames, as_json: AsJson = False) -> None:
    """Show studies side by side, and whether their results differ beyond chance.

    digits alone is compared with its generation before; of several, the others with the first.
    """
    from tunelab.cli.compare import show_comparison
    from tunelab.service.compare import compare_studies

    with existing_database() as database, database.read() as connection:
        comparison = compare_studies(connection, names)
    show_comparison(comparison, as_json=as_json)
