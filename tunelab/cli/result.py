"""``study show``: what a study has found, and how it got there."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass

from rich.text import Text
from sqlalchemy import Connection

from tunelab.cli.confirm import confirm_lines, confirmed, score
from tunelab.cli.console import is_terminal, put_json, put_lines, terminal_width
from tunelab.cli.formats import clean, count, duration, number, percent
from tunelab.cli.hyperparameters import assignments
from tunelab.cli.learned import learned_lines
from tunelab.cli.outcomes import count_outcomes, outcome, tally
from tunelab.cli.paragraphs import INDENT, labelled, wrapped
from tunelab.service.compare import difference as compared
from tunelab.service.compare import pick_of
from tunelab.service.learned import Learned, learned
from tunelab.service.summary import StudySummary, summarize
from tunelab.spec.study import StudySpec
from tunelab.spec.tables import GRID
from tunelab.storage.confirmed import Finalist
from tunelab.storage.engine import Database
from tunelab.storage.models import champion, latest_model
from tunelab.storage.states import StudyState, TrialState
from tunelab.storage.studies import StudyRow, earlier_study, find_study
from tunelab.storage.trials import EpochRow, TrialRow, study_trials, trial_curve

_STATE_STYLES = {
    "queued": "cyan",
    "running": "cyan",
    "finished": "green",
    "stopped": "yellow",
    "interrupted": "red",
}


@dataclass(frozen=True)
class Result:
    """What ``study show`` tells.

    Attributes:
        summary: The study as a whole.
        outcomes: How its finished trials ended.
        best_epoch: The best trial's best epoch; None while there is none.
        pick: The trial whose configuration is the result, if that is not the search's best.
        earlier: The generation before it; None if there is none.
        learned: What its trials say about its space; None while it runs.
        is_latest: Whether its name alone means this generation.
        is_champion: Whether its model holds the title; None if it has no model.
    """

    summary: StudySummary
    outcomes: Counter[str]
    best_epoch: EpochRow | None
    pick: TrialRow | None = None
    earlier: StudySummary | None = None
    learned: Learned | None = None
    is_latest: bool = True
    is_champion: bool | None = None


def read_result(
    connection: Connection, study: StudyRow, database: Database | None = None
) -> Result:
    """Read what ``study show`` tells.

    Args:
        connection: A read transaction.
        study: The study.
        database: What its trials say about its space is kept beside it, and drawn now where it is
            not; None: leave that out.
    """
    summary = summarize(connection, study)
    best = summary.best
    epoch = None
    if best is not None and best.best_epoch is not None:
        rows = trial_curve(connection, best.id, after_epoch=best.best_epoch - 1)
        epoch = rows[0] if rows else None
    before = earlier_study(connection, study)
    earlier = None if before is None else summarize(connection, before)
    known = None if database is None else learned(database, connection, summary)
    latest = find_study(connection, study.name)
    is_latest = latest is not None and latest.id == study.id
    pick = _picked(connection, summary)
    outcomes = count_outcomes(summary.finished)
    is_champion = _is_champion(connection, study)
    return Result(summary, outcomes, epoch, pick, earlier, known, is_latest, is_champion)


def _is_champion(connection: Connection, study: StudyRow) -> bool | None:
    own, holder = latest_model(connection, study.id), champion(connection, study.name)
    if own is None:
        return None
    return holder is not None and holder.id == own.id


def _picked(connection: Connection, summary: StudySummary) -> TrialRow | None:
    found = summary.confirmation
    if found is None or found.pick in (None, found.best):
        return None
    rows = study_trials(connection, summary.study.id, numbers=[found.pick])
    return rows[0] if rows else None


def show_result(result: Result, *, as_json: bool) -> None:
    """Print a study's result."""
    if as_json:
        put_json(result.summary.to_json())
        return
    put_lines(result_lines(result))


def result_lines(result: Result) -> list[Text]:
    """The text of ``study show``."""
    summary = result.summary
    lines = [*wrapped(_title(summary)), _trials(result)]
    if summary.best is None:
        lines.append(labelled("best", "no completed trial yet" if _is_open(summary) else "none"))
    else:
        lines.append(_best(summary, summary.best, result.best_epoch))
        lines += confirm_lines(summary)
        versus = [
            _against_default(summary, summary.best),
            _against_earlier(summary, summary.best, result.earlier),
        ]
        known = [part for part in versus if part]
        lines += [labelled("" if place else "vs", part) for place, part in enumerate(known)]
        lines.append(_params(result.pick, summary.best))
        lines += learned_lines(result.learned)
    lines.append(_next(result))
    return lines


def score_name(spec: StudySpec) -> str:
    """The score of every epoch: the objective's, or the usual one of the task."""
    if spec.objective.metric != "validation_loss":
        return spec.objective.metric
    return "accuracy" if spec.task == "classification" else "rmse"


def second_value(spec: StudySpec, epoch: EpochRow | None) -> str:
    """Beside the objective, the score, or the loss where a score is the objective."""
    if epoch is None:
        return ""
    if spec.objective.metric != "validation_loss":
        return f"validation_loss {number(epoch.validation_loss)}"
    if epoch.validation_score is None:
        return ""
    name = score_name(spec)
    return f"{name} {score(name, epoch.validation_score)}"


def difference(value: float, reference: float) -> str:
    """How far a value lies from a reference, in percent of it.

    >>> difference(0.0816, 0.142), difference(0.5, 0.0)
    ('-43 %', '+0.5')
    """
    if reference == 0:
        return f"{value:+.4g}"
    share = 100 * (value - reference) / abs(reference)
    return f"{share:+.0f} %" if abs(share) >= 10 else f"{share:+.2g} %"


def _title(summary: StudySummary) -> Text:
    study = summary.study
    line = Text(clean(study.title), style="bold")
    line.append(f"  {summary.state}", _STATE_STYLES.get(summary.state, ""))
    ended_early = study.state is StudyState.FINISHED and summary.n_finished < study.n_trials
    if ended_early and study.end_reason:
        line.append(f" ({clean(study.end_reason)})")
    return line


def _trials(result: Result) -> Text:
    summary = result.summary
    n, total = summary.n_finished, summary.study.n_trials
    amount = count(n, "trial") if n >= total else f"{n} of {count(total, 'trial')}"
    spent = duration(summary.study.running_seconds)
    saved = f"saved {percent(summary.epochs_saved)} of epochs" if n else ""
    return labelled("trials", f"{amount} in {spent}", tally(result.outcomes), saved)


def _best(summary: StudySummary, best: TrialRow, epoch: EpochRow | None) -> Text:
    metric = summary.spec.objective.metric
    value = score(metric, best.value or 0.0) if metric == "accuracy" else number(best.value)
    budget = summary.spec.search.max_epochs
    line = labelled(
        "best",
        f"trial {best.number}",
        f"{metric} {value}{_confirmed_value(summary, best.number)}",
        second_value(summary.spec, epoch),
        f"epoch {best.best_epoch}/{budget}",
        f"verdict {outcome(best)}",
    )
    line.highlight_words([value], "bold")
    return line


def _confirmed_value(summary: StudySummary, trial: int) -> str:
    found = summary.confirmation
    entry = found.of(trial) if found else None
    if found is None or entry is None or entry.mean is None:
        return ""
    return f" ({confirmed(entry, summary.spec.objective.metric)})"


def _against_default(summary: StudySummary, best: TrialRow) -> str:
    """The result against trial 0: over fresh seeds where there are, else in the search."""
    default = summary.default
    grid = summary.spec.search.sampler == GRID
    name = f"{'first cell' if grid else 'default configuration'} (trial 0)"
    if default is None or default.state is not TrialState.FINISHED:
        return ""
    found, metric = summary.confirmation, summary.spec.objective.metric
    pick, again = pick_of(summary), found.of(default.number) if found else None
    if found and pick and again and pick.mean is not None and again.mean is not None:
        if pick.number == default.number:
            return f"the {name} is the pick"
        noise = " (within noise)" if found.beats_default is False else ""
        mean = score(metric, again.mean)
        apart = difference(pick.mean, again.mean)
        return f"{_subject(pick, best)}{name} confirmed {mean}: {apart}{noise}"
    if default.number == best.number:
        return f"the {name} is the best so far"
    if default.value is None or best.value is None:
        return f"{name}: {outcome(default)}"
    ended = "" if default.end_reason and default.end_reason.is_complete else f", {outcome(default)}"
    return f"{name} {number(default.value)}{ended}: {difference(best.value, default.value)}"


def _against_earlier(summary: StudySummary, best: TrialRow, earlier: StudySummary | None) -> str:
    """The result against that of the generation before, if that has one."""
    if earlier is None or earlier.best is None or earlier.best.value is None:
        return ""
    metric, title = summary.spec.objective.metric, earlier.study.title
    found = compared(summary, earlier)
    mine, its = pick_of(summary), pick_of(earlier)
    if found.reason is None and mine and its and mine.mean is not None and its.mean is not None:
        noise = " (within noise)" if found.within_noise else ""
        mean = score(metric, its.mean)
        apart = difference(mine.mean, its.mean)
        return f"{_subject(mine, best)}{title} confirmed {mean}: {apart}{noise}"
    if not found.same_question or best.value is None:
        return f"{title}: {found.reason}"
    value = score(metric, earlier.best.value)
    return f"{title} {value}: {difference(best.value, earlier.best.value)} (in the search alone)"


def _subject(pick: Finalist, best: TrialRow) -> str:
    """Whose numbers are compared, where they are not those of the search's best."""
    return "" if pick.number == best.number else f"the pick, trial {pick.number}, against "


def _params(pick: TrialRow | None, best: TrialRow) -> Text:
    """The configuration of the result."""
    if pick is None:
        return labelled("params", assignments(best.hyperparameters))
    return labelled("params", f"trial {pick.number}", assignments(pick.hyperparameters))


def _is_open(summary: StudySummary) -> bool:
    return summary.study.state is not StudyState.FINISHED


def _next(result: Result) -> Text:
    summary = result.summary
    study = summary.study
    name = clean(study.name if result.is_latest else study.reference)
    commands = []
    if summary.state in ("stopped", "interrupted"):
        commands.append(f"tunelab study resume {name}")
    if summary.state == "queued":
        commands.append(f"tunelab study watch {name}")
    if summary.state in ("queued", "running"):
        commands.append(f"tunelab study stop {name}")
    if summary.n_finished:
        commands.append(f"tunelab study trials {name} --sort value")
    if result.earlier is not None:
        commands.append(f"tunelab study compare {name}")
    if summary.best is not None:
        shown = result.pick or summary.best
        commands.append(f"tunelab study trial {name} {shown.number}")
        commands.append(f"tunelab study report {name}")
        if result.is_champion is not None:
            predicts = f"predict {clean(study.name)} DATA.csv"  # with the champion
            promotes = f"promote {clean(study.name)} {study.generation}"
            commands.append(f"tunelab model {predicts if result.is_champion else promotes}")
        commands.append("tunelab ui")
    line = labelled("next")
    one_line = "    ".join(commands)
    if is_terminal(sys.stdout) and len(one_line) + INDENT > terminal_width():
        return line.append(("\n" + " " * INDENT).join(commands))
    return line.append(one_line)
