"""``study trial``: one trial, its verdict and its curves."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text
from sqlalchemy import Connection

from tunelab.cli.console import is_terminal, put, put_json, put_lines, terminal_width
from tunelab.cli.formats import aligned, clean, clean_lines, duration, instant, number, signed
from tunelab.cli.hyperparameters import assignments
from tunelab.cli.outcomes import STYLES, state_word
from tunelab.cli.paragraphs import labelled, wrapped
from tunelab.cli.result import score_name, second_value
from tunelab.cli.sparkline import Curve, extent, sparkline
from tunelab.cli.tables import Column, tab_separated, table
from tunelab.errors import NotFoundError
from tunelab.service.events import epoch_json, trial_json
from tunelab.service.summary import SCHEMA
from tunelab.spec.study import StudySpec
from tunelab.storage.studies import StudyRow
from tunelab.storage.trials import EpochRow, TrialRow, latest_number, study_trials, trial_curve

_CURVE_WIDTH = 40
_GREATEST = 2**31 - 1


@dataclass(frozen=True)
class TrialView:
    """What ``study trial`` tells."""

    study: StudyRow
    spec: StudySpec
    trial: TrialRow
    curve: Sequence[EpochRow]


def read_trial(connection: Connection, study: StudyRow, number: int) -> TrialView:
    """Read one trial and its curve.

    Raises:
        NotFoundError: If the study has no trial of that number.
    """
    possible = 0 <= number <= _GREATEST  # beyond it no database column can hold it
    rows = study_trials(connection, study.id, numbers=[number]) if possible else []
    if not rows:
        greatest = latest_number(connection, study.id)
        present = "it has none yet" if greatest is None else f"its trials are 0 to {greatest}"
        raise NotFoundError(f"no trial {number} in {study.title}; {present}")
    curve = trial_curve(connection, rows[0].id)
    return TrialView(study, StudySpec.from_mapping(study.spec), rows[0], curve)


def show_trial(view: TrialView, *, epochs: bool, as_json: bool) -> None:
    """Print one trial; ``epochs``: with a table of its epochs."""
    if as_json:
        curve = [epoch_json(epoch) for epoch in view.curve]
        put_json({"schema": SCHEMA, **trial_json(view.trial), "curve": curve})
        return
    if epochs and not is_terminal(sys.stdout):
        # For other programs: the table alone.
        for line in _epoch_lines(view.curve):
            put(line)
        return
    put_lines(trial_lines(view))
    if epochs and view.curve:
        put("")
        put_lines(table(_epoch_columns(view), terminal_width()))


def trial_lines(view: TrialView) -> list[Text]:
    """The text of ``study trial``."""
    trial, spec = view.trial, view.spec
    state = state_word(trial)
    title = Text(f"{clean(view.study.title)}  trial {trial.number}", style="bold")
    title.append(f"  {trial.end_reason or trial.state}", STYLES[state])
    if trial.signal and trial.signal != trial.end_reason:
        title.append(f"  {trial.signal.replace('_', ' ')}")
    lines = wrapped(title)
    if trial.reason:
        lines.append(labelled("reason", trial.reason))
    lines.append(labelled("best", *_best(view)))
    spent = duration(trial.seconds)
    attempts = f"  {trial.attempts} attempts" if trial.attempts > 1 else ""
    epochs = f"{trial.n_epochs} of {spec.search.max_epochs} epochs"
    started = f"  started {instant(trial.started_at)}" if trial.started_at else ""
    lines.append(labelled("time", f"{spent} for {epochs}{attempts}{started}"))
    lines.append(labelled("params", assignments(trial.hyperparameters)))
    if view.curve:
        lines += _curves(view.curve)
    if trial.error and trial.error != trial.reason:
        lines.append(labelled("error", ""))
        lines += [Text(f"  {line}") for line in clean_lines(trial.error).splitlines()]
    return lines


def _best(view: TrialView) -> list[str]:
    trial, metric = view.trial, view.spec.objective.metric
    if trial.value is None:
        return [f"no finite {metric} yet" if trial.end_reason is None else f"no finite {metric}"]
    epoch = next((row for row in view.curve if row.epoch == trial.best_epoch), None)
    gap = f"gap {signed(trial.gap)}" if trial.gap is not None else ""
    onset = f"overfitting from epoch {trial.onset} on" if trial.onset else ""
    parts = [f"{metric} {number(trial.value)}", f"epoch {trial.best_epoch}"]
    return [part for part in (*parts, second_value(view.spec, epoch), gap, onset) if part]


def _curves(curve: Sequence[EpochRow]) -> list[Text]:
    train = [row.train_loss for row in curve]
    validation = [row.validation_loss for row in curve]
    scale = extent(train, validation)  # one scale for both shows the gap between them
    return [
        labelled("train", _curve(train, scale)),
        labelled("valid", _curve(validation, scale)),
    ]


def _curve(curve: Curve, scale: tuple[float, float]) -> str:
    bars = sparkline(curve, width=_CURVE_WIDTH, scale=scale)
    first, last = ("not finite" if end is None else number(end) for end in (curve[0], curve[-1]))
    finite = [value for value in curve if value is not None]
    lowest = f", lowest {number(min(finite))}" if finite else ""
    return f"{bars}  {first} -> {last}{lowest}"


def _epoch_columns(view: TrialView) -> list[Column]:
    curve = view.curve
    name = score_name(view.spec).upper()
    best = ["bold" if row.epoch == view.trial.best_epoch else "" for row in curve]
    columns = [
        Column("EPOCH", [str(row.epoch) for row in curve], right=True, styles=best),
        Column("TRAIN LOSS", [aligned(row.train_loss) for row in curve], right=True, drop=1),
        Column("VAL LOSS", [aligned(row.validation_loss) for row in curve], right=True),
    ]
    if any(row.validation_score is not None for row in curve):
        train = [aligned(row.train_score) for row in curve]
        validation = [aligned(row.validation_score) for row in curve]
        columns += [
            Column(f"TRAIN {name}", train, right=True, drop=6),
            Column(f"VAL {name}", validation, right=True, drop=2),
        ]
    return [
        *columns,
        Column("RATE", [number(row.learning_rate) for row in curve], right=True, drop=3),
        Column("GRADIENT", [number(row.gradient_norm) for row in curve], right=True, drop=7),
        Column("TIME", [f"{row.seconds:.3f}s" for row in curve], right=True, drop=5),
        Column("VERDICT", [row.signal for row in curve], drop=4),
    ]


def _epoch_lines(curve: Sequence[EpochRow]) -> list[str]:
    rows = [epoch_json(epoch) for epoch in curve]
    head = list(rows[0]) if rows else ["epoch"]
    return list(tab_separated(head, [list(row.values()) for row in rows]))
