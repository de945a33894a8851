"""Files of the runs: tables and pictures of the study, pictures of the trials worth a look.

A file takes as long to send as all numbers of a trial, a picture longer. So only the best trials
and the worst overfitter get any, and the study's own tables are made when it has ended.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple, replace
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from tunelab.errors import DatabaseError
from tunelab.service.events import epoch_json, trial_json
from tunelab.service.mirror.destination import Destination
from tunelab.service.mirror.notes import run_name
from tunelab.service.mirror.study_sender import StudySender
from tunelab.service.mirror.tracking import RunGoneError
from tunelab.service.spreadsheet import csv_text
from tunelab.service.summary import effective_spec
from tunelab.service.trial_table import trial_table
from tunelab.spec.study import StudySpec
from tunelab.storage.confirmed import Confirmation
from tunelab.storage.mirror_runs import trial_runs
from tunelab.storage.states import StudyState, TrialState
from tunelab.storage.studies import StudyRow, study_by_id
from tunelab.storage.trials import (
    CONFIRM,
    EpochRow,
    TrialRow,
    best_trials,
    study_curves,
    study_trials,
)
from tunelab.training.monitor import Signal

N_PICTURES = 10
_N_LEADERS = 20
# Those that decide what comes out, or how it is read.
_PACKAGES = ("tunelab", "numpy", "scikit-learn", "optuna", "mlflow", "sqlalchemy", "threadpoolctl")


def send_files(destination: Destination, sender: StudySender) -> bool:
    """Send the files that are missing: of a study that runs the best trial's alone.

    Args:
        destination: Where to.
        sender: Knows the study's run and what it has been sent.

    Returns:
        Whether there were any.

    Raises:
        NotFoundError: If the study has been deleted.
        Exception: Whatever MLflow raises.
    """
    with destination.database.read() as connection:
        study = study_by_id(connection, destination.study_id)
        spec = effective_spec(study)
        maximize = spec.objective.direction == "maximize"
        has_ended = study.state is not StudyState.RUNNING
        n = N_PICTURES if has_ended else 1
        chosen = best_trials(connection, study.id, n, maximize=maximize)
        trials = study_trials(connection, study.id) if has_ended else []
        confirm = study_trials(connection, study.id, kind=CONFIRM) if has_ended else []
        chosen += [trial for trial in _worst_overfitter(trials) if trial not in chosen]
        missing = [trial for trial in chosen if trial.id not in sender.sent.pictures]
        curves = study_curves(connection, {trial.id: 0 for trial in missing})
    news = _draw(destination, sender, study, missing, curves)
    if has_ended:
        news = _send_tables(destination, sender, study, spec, trials, confirm) or news
    return news


def _draw(
    destination: Destination,
    sender: StudySender,
    study: StudyRow,
    trials: Sequence[TrialRow],
    curves: dict[int, list[EpochRow]],
) -> bool:
    """Send each trial's curve as picture and table, and what is known of it."""
    with destination.database.read() as connection:
        keys = [trial.id for trial in trials]
        runs = trial_runs(connection, study.id, destination.uri, keys)
    drawn = [trial for trial in trials if trial.id in runs]
    for trial in drawn:
        with suppress(RunGoneError):
            destination.write_files(
                runs[trial.id].run_id,
                partial(_fill, study, trial, curves[trial.id]),
            )
        sender.note(replace(sender.sent, pictures=(*sender.sent.pictures, trial.id)))
        destination.progressed()
    return bool(drawn)


def _fill(study: StudyRow, trial: TrialRow, curve: Sequence[EpochRow], folder: Path) -> None:
    from tunelab.service.mirror.picture import draw_learning_curve

    (folder / "plots").mkdir()
    draw_learning_curve(
        folder / "plots" / "learning_curve.png",
        curve,
        title=f"{study.reference} {run_name(trial)}: {trial.signal or 'no verdict'}",
        best_epoch=trial.best_epoch,
        onset=trial.onset,
    )
    epochs = [epoch_json(row) for row in curve]
    head = list(epochs[0]) if epochs else []
    _write(folder / "history.csv", csv_text(head, [list(epoch.values()) for epoch in epochs]))
    _write(folder / "trial.json", json.dumps(trial_json(trial), indent=1))


def _send_tables(
    destination: Destination,
    sender: StudySender,
    study: StudyRow,
    spec: StudySpec,
    trials: Sequence[TrialRow],
    confirm: Sequence[TrialRow],
) -> bool:
    """Send the files of the study's own run, unless they are there."""
    ended = [trial for trial in trials if trial.state is TrialState.FINISHED]
    made_of = f"{astuple(study)}{len(ended)}{len(confirm)}{version('tunelab')}"
    fingerprint = sha256(made_of.encode()).hexdigest()[:16]
    if sender.sent.files == fingerprint:
        return False
    maximize = spec.objective.direction == "maximize"
    found = study.confirmation

    def fill(folder: Path) -> None:
        from tunelab.service.mirror.picture import draw_history
        from tunelab.service.reports import write_report

        (folder / "plots").mkdir()
        try:
            write_report(destination.database, study.id, folder / "report.html", light=True)
        except DatabaseError:
            raise
        except Exception as error:  # whatever it is: it would keep all other files from MLflow
            destination.tell(f"{study.title}: no report.html in MLflow: {error!r}")
        draw_history(
            folder / "plots" / "history.png",
            ended,
            title=f"{study.reference}: {len(ended)} of {study.n_trials} trials",
            metric=spec.objective.metric,
            maximize=maximize,
        )
        _write(folder / "environment.json", json.dumps(environment(), indent=1))
        _write(folder / "trials.csv", csv_text(*trial_table([*trials, *confirm])))
        _write(folder / "leaderboard.csv", csv_text(*leaderboard(ended, found, maximize=maximize)))

    with suppress(RunGoneError):
        destination.write_files(sender.run(study).run_id, fill)
    sender.note(replace(sender.sent, files=fingerprint))
    return True


def environment() -> dict[str, object]:
    """What the study was sent with: interpreter, kind of machine, versions of packages."""
    return {
        "python": sys.version.split()[0],
        "system": platform.system(),
        "machine": platform.machine(),
        "packages": {name: version(name) for name in _PACKAGES},
    }


def leaderboard(
    ended: Sequence[TrialRow], found: Confirmation | None, *, maximize: bool
) -> tuple[list[str], list[list[object]]]:
    """Head and rows of the best trials, with what the confirm stage found of the finalists."""
    complete = [t for t in ended if t.end_reason is not None and t.end_reason.is_complete]
    valued = [trial for trial in complete if trial.value is not None]
    valued.sort(key=lambda trial: trial.value or 0.0, reverse=maximize)
    names = list(dict.fromkeys(name for trial in valued for name in trial.hyperparameters))
    head = ["rank", "trial", "value", "confirmed_mean", "confirmed_half_width", "tied"]
    head += ["best_epoch", "gap", "verdict", *names]
    rows: list[list[object]] = []
    for rank, trial in enumerate(valued[:_N_LEADERS], start=1):
        entry = None if found is None else found.of(trial.number)
        confirmed: list[object] = [None] * 3
        if entry is not None:
            confirmed = [entry.mean, entry.half_width, entry.is_tied]
        own: list[object] = [trial.best_epoch, trial.gap, trial.signal]
        settings = [trial.hyperparameters.get(name) for name in names]
        rows.append([rank, trial.number, trial.value, *confirmed, *own, *settings])
    return head, rows


def _worst_overfitter(trials: Sequence[TrialRow]) -> list[TrialRow]:
    """The trial with the widest gap of those that overfit; none if none did."""
    found = [t for t in trials if t.signal == Signal.OVERFITTING and t.gap is not None]
    return [max(found, key=lambda trial: trial.gap or 0.0)] if found else []


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8"))
