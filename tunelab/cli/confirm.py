"""The confirm stage in words."""

from __future__ import annotations

import math

from rich.text import Text

from tunelab.cli.formats import count, instant, number
from tunelab.cli.paragraphs import labelled
from tunelab.service.summary import StudySummary
from tunelab.storage.confirmed import Confirmation, Finalist

_DIGITS = 2  # of an interval's half width; its mean is shown to the same place


def confirm_lines(summary: StudySummary) -> list[Text]:
    """What ``study show`` says of the stage; nothing before it begins."""
    finished, total = summary.confirm_runs
    found = summary.confirmation
    if found is None:
        return [labelled("confirm", f"{finished}/{total} runs")] if finished < total else []
    lines = [labelled("winner", found.winner_sentence.removeprefix("Winner: "))]
    if found.pick is not None and found.pick != found.best:
        lines.append(labelled("pick", *_pick(found, summary.spec.objective.metric)))
    lines += [
        labelled("tied", found.tie_sentence),
        labelled("search", found.optimism_sentence),
        labelled("test", *_test(summary)),
    ]
    if summary.gate is not None:
        lines.append(labelled("model", summary.gate.sentence))
    return lines


def confirmed(entry: Finalist, metric: str) -> str:
    """A finalist's mean and how sure it is.

    >>> confirmed(Finalist(38, 0.083412, 0.00213, 3, True, 9994), "validation_loss")
    'confirmed 0.0834 ± 0.0021 over 3 seeds'
    """
    return f"confirmed {interval(entry, metric)} over {count(entry.n_scores, 'seed')}"


def interval(entry: Finalist, metric: str) -> str:
    """Mean and half width, both to the place of the latter's second digit.

    >>> interval(Finalist(38, 0.96612, 0.0123, 3, True, None), "accuracy")
    '96.6 % ± 1.2 %'
    >>> interval(Finalist(38, 0.083412, None, 1, True, None), "validation_loss")
    '0.08341'
    """
    mean, half = entry.mean, entry.half_width
    if mean is None:
        return "-"
    if half is None:
        return score(metric, mean)
    if metric == "accuracy":
        return f"{score(metric, mean)} ± {score(metric, half)}"
    if half == 0 or not math.isfinite(half):
        return f"{number(mean)} ± {number(half)}"
    places = _DIGITS - 1 - math.floor(math.log10(half))
    if not 0 <= places <= 6:
        return f"{number(mean)} ± {number(half)}"
    return f"{mean:.{places}f} ± {half:.{places}f}"


def score(name: str, value: float) -> str:
    """A score as people read it.

    >>> score("accuracy", 0.96612), score("rmse", 53.71234)
    ('96.6 %', '53.71')
    """
    return f"{100 * value:.1f} %" if name == "accuracy" else number(value)


def _pick(found: Confirmation, metric: str) -> list[str]:
    entry = found.of(found.pick)
    if entry is None:
        return []
    parts = [f"trial {entry.number}", confirmed(entry, metric)]
    if not found.tied:
        return [*parts, "the best mean"]
    size = "" if entry.n_weights is None else f", {entry.n_weights:,} weights"
    parts.append(f"the smallest of {len(found.tied) + 1} tied networks{size}")
    first = found.ranked[0].number
    return parts if first == entry.number else [*parts, f"trial {first} has the best mean"]


def _test(summary: StudySummary) -> list[str]:
    """The pick's scores on the test rows, and how often those were opened."""
    opening = summary.test
    parts = ["no score"]
    if opening is not None and opening.scores is not None:
        scores = opening.scores
        shown = [
            f"{name} {score(name, value)}"
            for name, value in scores.items()
            if name != "rows" and value is not None
        ]
        parts = [*shown, f"on {count(int(scores['rows']), 'row')}"]
    n = len(summary.openings)
    if n:
        last = summary.openings[-1]
        times = "once" if n == 1 else f"{n} times, the last"
        parts.append(f"opened {times}: {instant(last.opened_at)}, {last.reason}")
    elsewhere = summary.n_openings - n
    if elsewhere:
        times = "once" if elsewhere == 1 else f"{elsewhere} times"
        parts.append(f"the same rows {times} for other studies or generations")
    return parts
