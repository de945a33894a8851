"""``study validate``: what a study would be, and what in it may not be meant."""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from rich.text import Text

from tunelab.cli.console import is_terminal, put_json, put_lines, tell, terminal_width
from tunelab.cli.dimensions import searched
from tunelab.cli.formats import clean, count, duration, instant, number, rough_duration
from tunelab.cli.hyperparameters import plain
from tunelab.cli.paragraphs import labelled, wrapped
from tunelab.cli.tables import Column, table
from tunelab.errors import Problem
from tunelab.service.advice import advice_on
from tunelab.service.estimate import Estimate, Rehearsal
from tunelab.service.resolved import DEFAULT, sources_of
from tunelab.service.resolved_space import Axis, axes, count_searched
from tunelab.service.summary import SCHEMA
from tunelab.service.sweeps.slots import upcoming
from tunelab.spec.grid import count_cells
from tunelab.spec.study import StudySpec, SweepSpec
from tunelab.spec.tables import GRID

_MOST_CLASSES = 10
_LONGEST_CLASS = 30
_NEXT_SLOTS = 3
_NO_TIMEZONE = "no timezone is given: the times are UTC"


def show_rehearsal(rehearsal: Rehearsal, *, as_json: bool) -> None:
    """Print that a study can start, and what it would do."""
    warnings = advice_on(rehearsal.document, rehearsal.spec, rehearsal.rows)
    now = time.time()
    if as_json:
        put_json(_document(rehearsal, warnings, now))
    else:
        width = terminal_width() if is_terminal(sys.stdout) else sys.maxsize
        put_lines(validation_lines(rehearsal, width, now))
    for warning in warnings:
        tell(f"warning: {warning}")
        if warning.hint:
            tell(f"  hint: {warning.hint}")


def validation_lines(rehearsal: Rehearsal, width: int, now: float) -> Iterator[Text]:
    """The text of ``study validate``."""
    spec, estimate = rehearsal.spec, rehearsal.estimate
    yield from wrapped(Text(f"{clean(str(rehearsal.document.path))}: valid", "bold"))
    yield from wrapped(Text(f"{spec.name}  {header(spec)}"))
    if spec.description:
        yield labelled("about", " ".join(spec.description.split()))
    yield labelled("data", *_data(rehearsal))
    yield labelled("space", *_size(spec))
    yield labelled("confirm", _confirm(spec))
    if estimate is not None:
        yield labelled("time", _time(spec, estimate))
    if spec.sweep is not None:
        yield from _sweep(rehearsal, spec.sweep, now)
    yield Text()
    yield from _space(rehearsal, width)


def header(spec: StudySpec) -> str:
    """A study in one line: objective, search and budget.

    >>> header(StudySpec.from_mapping({"name": "a", "task": "classification",
    ...                                "data": {"source": "sklearn", "name": "iris"},
    ...                                "search": {"trials": 60, "timeout": "10m"}}))
    'minimise validation_loss  tpe + median  60 trials of at most 100 epochs  at most 10m'
    """
    verb = "minimise" if spec.objective.direction == "minimize" else "maximise"
    search = spec.search
    trials = "a trial for each cell" if search.n_trials is None else count(search.n_trials, "trial")
    pruner = "" if search.pruner.name == "none" else f" + {search.pruner.name}"
    parts = [
        f"{verb} {spec.objective.metric}",
        f"{search.sampler}{pruner}",
        f"{trials} of at most {count(search.max_epochs, 'epoch')}",
    ]
    if search.timeout_seconds is not None:
        parts.append(f"at most {rough_duration(search.timeout_seconds)}")
    return "  ".join(parts)


def _data(rehearsal: Rehearsal) -> list[str]:
    data = rehearsal.data
    targets = count(data.n_outputs, "class").replace("classs", "classes") + _classes(rehearsal)
    if not data.class_names:
        targets = count(data.n_outputs, "target")
    dropped = f", {data.n_dropped} left out" if data.n_dropped else ""
    return [
        f"{data.n_train} training rows, {data.n_validation} validation, {data.n_test} test"
        + dropped,
        count(data.n_features, "feature"),
        targets,
    ]


def _classes(rehearsal: Rehearsal) -> str:
    """The classes with their training rows; of many, the first."""
    counts = [(name, n_train) for name, (n_train, _) in rehearsal.rows.class_counts.items()]
    parts = [f"{_cut(name)} ({n_train})" for name, n_train in counts[:_MOST_CLASSES]]
    if not parts:
        return ""
    parts[0] = parts[0].removesuffix(")") + " training rows)"
    more = f" and {len(counts) - _MOST_CLASSES} more" if len(counts) > _MOST_CLASSES else ""
    return f": {', '.join(parts)}{more}"


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST_CLASS else name[: _LONGEST_CLASS - 3] + "..."


def _size(spec: StudySpec) -> list[str]:
    active, everywhere = count_searched(spec.search_space)
    parts = [f"{count(active, 'hyperparameter')} at most in a trial, {everywhere} in all"]
    cells = _cells(spec)
    return [*parts, f"a grid of {count(cells, 'cell')}"] if cells is not None else parts


def _cells(spec: StudySpec) -> int | None:
    return count_cells(spec.search_space) if spec.search.sampler == GRID else None


def _confirm(spec: StudySpec) -> str:
    """What is trained again behind the search.

    >>> _confirm(StudySpec.from_mapping({"name": "a", "task": "classification", "confirm": "off",
    ...                                  "data": {"source": "sklearn", "name": "iris"}}))
    'off'
    """
    confirm = spec.confirm
    if not confirm.enabled:
        return "off"
    best = f"the best {confirm.finalists}" if confirm.finalists > 1 else "the best"
    return (
        f"{best} and the default configuration on {count(confirm.seeds, 'fresh seed')}: "
        f"at most {count(confirm.most_runs, 'more run')}"
    )


def _time(spec: StudySpec, estimate: Estimate) -> str:
    trials, epochs = count(spec.n_trials, "trial"), count(spec.search.max_epochs, "epoch")
    if n_confirm := spec.confirm.most_runs:
        trials += f" and {count(n_confirm, 'confirm run')}"
    return (
        f"at most about {rough_duration(estimate.seconds)}: {trials} of {epochs} by "
        f"{count(estimate.n_workers, 'worker')}, {_fine(estimate.epoch_seconds)} for an epoch of "
        "the default configuration; less where trials end early, more where networks are larger"
    )


def _sweep(rehearsal: Rehearsal, sweep: SweepSpec, now: float) -> Iterator[Text]:
    rules = f"catchup {sweep.catchup}, overlap {sweep.overlap}, grace"
    yield labelled(
        "sweep",
        f"{sweep.expression} in {sweep.timezone}",
        f"{rules} {duration(sweep.grace_seconds)}",
        f"the champion and the best {sweep.start_from_best} of earlier generations first"
        if sweep.start_from_best
        else "",
        "" if sweep.enabled else "not enabled",
    )
    for index, slot in enumerate(upcoming(sweep.cron, now, _NEXT_SLOTS)):
        there = datetime.fromtimestamp(slot, ZoneInfo(sweep.timezone)).isoformat(timespec="seconds")
        in_zone = "" if sweep.timezone == "UTC" else there
        yield labelled("" if index else "next", in_zone, instant(slot))
    for note in _sweep_notes(rehearsal):
        yield labelled("note", note)


def _sweep_notes(rehearsal: Rehearsal) -> list[str]:
    given = rehearsal.document.source(("sweep", "timezone")) is not None
    return [] if given else [_NO_TIMEZONE]


def _fine(seconds: float) -> str:
    return f"{number(seconds)}s" if seconds >= 1 else f"{1000 * seconds:.2g}ms"


def _space(rehearsal: Rehearsal, width: int) -> Iterator[Text]:
    every = axes(rehearsal.spec.search_space)
    columns = [
        Column("HYPERPARAMETER", [axis.name for axis in every]),
        Column("SEARCHED", [searched(axis.dimension) for axis in every], drop=1, least=24),
        Column("DEFAULT", [plain(axis.default) for axis in every], drop=2),
        Column("FROM", [_source(rehearsal, axis) for axis in every], drop=3),
    ]
    if columns[0].width + 2 + columns[1].least <= width:
        yield from table(columns, width)
        return
    # A name alone tells nothing: on a narrow terminal the range stands below it.
    for axis in every:
        yield Text(axis.name)
        for line in textwrap.wrap(searched(axis.dimension), max(width - 2, 1)):
            yield Text(f"  {line}")


def _source(rehearsal: Rehearsal, axis: Axis) -> str:
    source = rehearsal.document.source(axis.place) or DEFAULT
    file = f"{rehearsal.document.path}:"
    return f"line {source.removeprefix(file)}" if source.startswith(file) else source


def _document(rehearsal: Rehearsal, warnings: list[Problem], now: float) -> dict[str, Any]:
    spec, data, estimate = rehearsal.spec, rehearsal.data, rehearsal.estimate
    active, everywhere = count_searched(spec.search_space)
    return {
        "schema": SCHEMA,
        "valid": True,
        "name": spec.name,
        "study": spec.to_mapping(),
        "sources": sources_of(rehearsal.document, spec),
        "data": {
            "train": data.n_train,
            "validation": data.n_validation,
            "test": data.n_test,
            "dropped": data.n_dropped,
            "features": data.n_features,
            "outputs": data.n_outputs,
            "classes": {
                name: n_train for name, (n_train, _) in rehearsal.rows.class_counts.items()
            },
        },
        "hyperparameters": {"active": active, "all": everywhere},
        "cells": _cells(spec),
        "estimate": estimate
        and {
            "epoch_seconds": estimate.epoch_seconds,
            "workers": estimate.n_workers,
            "seconds": estimate.seconds,
        },
        "sweep": spec.sweep
        and {
            "next": [instant(slot) for slot in upcoming(spec.sweep.cron, now, _NEXT_SLOTS)],
            "notes": _sweep_notes(rehearsal),
        },
        "warnings": [
            {"message": warning.message, "where": warning.where, "hint": warning.hint}
            for warning in warnings
        ],
    }
