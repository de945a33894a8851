"""``study list`` and ``study trials``."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from tunelab.cli.console import is_terminal, put, put_json, put_lines, tell, terminal_width
from tunelab.cli.formats import ago, aligned, duration, instant, number, signed
from tunelab.cli.hyperparameters import constant_names, short
from tunelab.cli.outcomes import STYLES, remark, state_word, trial_label
from tunelab.cli.tables import Column, tab_separated, table
from tunelab.service.events import trial_json
from tunelab.service.summary import SCHEMA, StudySummary
from tunelab.service.trial_table import trial_table
from tunelab.storage.trials import SEARCH, TrialRow


def show_studies(summaries: Sequence[StudySummary], *, as_json: bool) -> None:
    """Print all studies."""
    if as_json:
        put_json({"schema": SCHEMA, "studies": [summary.to_json() for summary in summaries]})
    elif is_terminal(sys.stdout):
        if not summaries:
            tell("no studies yet; `tunelab study start FILE` starts one")
            return
        put_lines(table(_study_columns(summaries, time.time()), terminal_width()))
    else:
        head = ["name", "generation", "state", "finished", "trials", "metric", "best", "trial"]
        head += ["created_at", "running_seconds"]
        for line in tab_separated(head, map(_study_cells, summaries)):
            put(line)


def show_trials(summary: StudySummary, trials: Sequence[TrialRow], *, as_json: bool) -> None:
    """Print a study's trials, in the order given."""
    if as_json:
        put_json({"schema": SCHEMA, "trials": [trial_json(trial) for trial in trials]})
    elif is_terminal(sys.stdout):
        if not trials:
            tell(f"{summary.study.title} has no trials yet")
            return
        put_lines(table(trial_columns(summary, trials), terminal_width()))
    else:
        head, cells = trial_table(trials)
        for line in tab_separated(head, cells):
            put(line)


def trial_columns(summary: StudySummary, trials: Sequence[TrialRow]) -> list[Column]:
    """The table of ``study trials`` on a terminal."""
    best = summary.best.number if summary.best else None
    if any(trial.kind != SEARCH for trial in trials):
        best = None  # numbers of two kinds
    max_epochs = summary.spec.search.max_epochs
    states = [state_word(trial) for trial in trials]
    same = constant_names(summary.spec.search_space)
    return [
        Column("TRIAL", [trial_label(trial) for trial in trials], right=True),
        Column("STATE", states, drop=1, styles=[STYLES[state] for state in states]),
        Column("EPOCHS", [f"{t.n_epochs}/{max_epochs}" for t in trials], right=True, drop=4),
        Column(
            summary.spec.objective.metric.upper().replace("_", " "),
            [aligned(trial.value) for trial in trials],
            right=True,
            styles=["bold" if trial.number == best else "" for trial in trials],
        ),
        Column("AT", [number(trial.best_epoch) for trial in trials], right=True, drop=5),
        Column("GAP", [signed(trial.gap) for trial in trials], right=True, drop=6),
        Column("TIME", [duration(trial.seconds) for trial in trials], right=True, drop=8),
        Column(
            "VERDICT",
            [remark(t) + ("  ★ best" if t.number == best else "") for t in trials],
            drop=2,
            least=20,
        ),
        Column("PARAMS", [short(t.hyperparameters, same) for t in trials], drop=7, least=18),
    ]


def _study_columns(summaries: Sequence[StudySummary], now: float) -> list[Column]:
    rows = [(summary, summary.study) for summary in summaries]
    return [
        Column("STUDY", [study.title for _, study in rows]),
        Column("STATE", [summary.state for summary, _ in rows], drop=1),
        Column("TRIALS", [f"{s.n_finished}/{row.n_trials}" for s, row in rows], right=True, drop=2),
        Column("METRIC", [summary.spec.objective.metric for summary, _ in rows], drop=4),
        Column("BEST", [aligned(s.best.value if s.best else None) for s, _ in rows], right=True),
        Column("TRIAL", [str(s.best.number) if s.best else "-" for s, _ in rows], True, drop=6),
        Column("TIME", [duration(row.running_seconds) for _, row in rows], right=True, drop=5),
        Column("CREATED", [ago(now - row.created_at) for _, row in rows], right=True, drop=3),
    ]


def _study_cells(summary: StudySummary) -> list[object]:
    study, best = summary.study, summary.best
    cells: list[object] = [study.name, study.generation, summary.state, summary.n_finished]
    cells += [study.n_trials, summary.spec.objective.metric]
    cells += [best.value if best else None, best.number if best else None]
    return [*cells, instant(study.created_at), study.running_seconds]
