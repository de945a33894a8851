"""The page, from what was read."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from tunelab.service.findings.groups import batch_size_sentence, optimizer_sentence
from tunelab.service.findings.overfitting import Overfitting
from tunelab.service.findings.wording import count, trials_named
from tunelab.service.reports import answer
from tunelab.service.reports.charts import comparison, curves, history, space
from tunelab.service.reports.charts.figures import Figure
from tunelab.service.reports.formats import beside, instant, score, visible
from tunelab.service.reports.leaderboard import leaderboard
from tunelab.service.reports.material import N_BEST, Material
from tunelab.service.summary import effective_spec
from tunelab.spec.study_file import resolved_yaml
from tunelab.storage.trials import TrialRow
from tunelab.tuning.plots import interactive_plots

CONTENTS = (
    ("answer", "The answer"),
    ("leaderboard", "Leaderboard"),
    ("curves", "Learning curves"),
    ("history", "How the search went"),
    ("mattered", "What mattered"),
    ("optimizers", "Optimizers at equal budget"),
    ("batch-size", "Batch size"),
    ("failures", "Failures"),
    ("findings", "Findings in words"),
    ("honesty", "How far to trust this"),
    ("reproduce", "How to reproduce"),
)
"""The sections, in the order in which they are read."""

_HOME = Path(__file__).parent
_N_SLICES = 6
_LIBRARIES = ("tunelab", "numpy", "optuna", "scikit-learn")

# Nothing may be loaded from anywhere, and in the light page nothing may run. Plotly's parallel
# coordinates are compiled as they are drawn, which asks for "unsafe-eval".
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:"
_WITH_SCRIPTS = "; script-src 'unsafe-inline' 'unsafe-eval'"


def build_page(material: Material, *, light: bool) -> str:
    """The report as one HTML page that asks for nothing else.

    Args:
        material: What was read.
        light: Leave out what needs scripts: Optuna's plots, and plotly.js with them.
    """
    environment = Environment(
        loader=FileSystemLoader(_HOME),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["score"] = score
    environment.filters["coded"] = coded
    environment.filters["named"] = trials_named
    plots: Mapping[str, Any] = {} if light else _plots(material)
    context = {
        "contents": CONTENTS,
        "heading": dict(CONTENTS),
        "policy": _POLICY + (_WITH_SCRIPTS if plots else ""),
        "style": Markup(_text("page.css")),  # noqa: S704 - our own file
        "plots": plots,
        "plots_json": embedded(plots),
        "plotly_js": _plotly_js() if plots else "",
        "script": _text("page.js"),
        **_head(material),
        **_answer(material),
        **_figures(material),
        **_end(material),
    }
    return environment.get_template("page.html").render(context)


def _harmless(value: Any) -> Any:
    """What an expression of the template gives: text from anywhere loses its control characters."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def coded(text: str) -> Markup:
    """A sentence whose `commands` stand in backticks, as HTML.

    >>> print(coded("a < b: `tunelab ui`"))
    a &lt; b: <code>tunelab ui</code>
    """
    parts = [escape(visible(part)) for part in text.split("`")]
    for place in range(1, len(parts) - 1, 2):
        parts[place] = Markup("<code>") + parts[place] + Markup("</code>")
    return Markup("").join(parts)


def embedded(document: Any) -> str:
    r"""JSON that may stand in a script element: nothing in it can end that, or begin another.

    >>> print(embedded({"name": "</script><script>"}))
    {"name":"\u003c/script\u003e\u003cscript\u003e"}
    """
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _head(material: Material) -> dict[str, Any]:
    summary = material.summary
    search = summary.spec.search
    return {
        "study": summary.study,
        "state": summary.state,
        "description": summary.spec.description or "",
        "metric": material.metric,
        "direction": summary.spec.objective.direction,
        "sampler": search.sampler,
        "pruner": search.pruner.name,
        "started": instant(summary.study.started_at or summary.study.created_at),
        "written": instant(time.time()),
        "unfinished": _unfinished(material),
    }


def _unfinished(material: Material) -> str:
    summary = material.summary
    if summary.state == "finished":
        return ""
    ended, total = len(material.evidence.finished), summary.study.n_trials
    said = f"The study is {summary.state}: {ended} of {count(total, 'trial')} have ended"
    finished, runs = summary.confirm_runs
    if runs and summary.confirmation is None:
        said += f", and {finished} of {runs} confirm runs"
    return f"{said}. What follows is what is known so far."


def _answer(material: Material) -> dict[str, Any]:
    findings = material.findings
    short = [
        findings.overfit.sentence,
        *_sure(findings.overfit),
        findings.importance_sentence,
        *(edge.sentence for edge in findings.edges),
    ]
    return {
        "headline": answer.headline(material),
        "explanation": answer.explanation(material),
        "gate": "" if material.summary.gate is None else material.summary.gate.sentence,
        "tiles": list(answer.tiles(material)),
        "settings": answer.settings(material),
        "short": short,
        "findings": findings,
        "overfit_sure": _sure(findings.overfit),
        # What the first screen and "How far to trust this" say is not said a third time.
        "topics": [
            (topic, said)
            for topic, said in findings.by_topic
            if topic not in ("Result", "Test rows")
            or (topic == "Result" and not findings.confirmed)
        ],
        "board": leaderboard(material),
    }


def _sure(overfit: Overfitting) -> list[str]:
    """What goes with overfitting beyond chance; the rest stands among all findings."""
    said = ((overfit.common, overfit.common_sentence), (overfit.gap, overfit.gap_sentence))
    return [words for condition, words in said if condition is not None and condition.sure]


def _figures(material: Material) -> dict[str, Any]:
    evidence, findings, metric = material.evidence, material.findings, material.metric
    best = evidence.complete[:N_BEST]
    worst = [row for row in material.shown if row.number == findings.overfit.worst]
    return {
        "curves": _curves(material, best),
        "worst": next(iter(_curves(material, worst)), None),
        "worst_reason": next((row.reason for row in worst), None),
        "curve_keys": curves.KEYS,
        "curves_intro": _curves_intro(material),
        "best_so_far": history.best_so_far(
            evidence.trials, maximize=evidence.maximize, metric=metric
        ),
        "distribution": _distribution(material),
        "timeline": history.timeline(evidence.trials, material.confirm_runs),
        "importances": space.importance_bars(findings.importances),
        "slices": _slices(material),
        "slice_keys": space.KEYS,
        "optimizer_sentence": optimizer_sentence(findings.optimizers),
        "optimizer_figure": comparison.optimizer_intervals(findings.optimizers, metric=metric),
        "batch_size_sentence": batch_size_sentence(findings.batch_sizes),
        "batch_times": comparison.batch_size_times(findings.batch_sizes),
        "batch_values": comparison.batch_size_values(evidence, findings.batch_sizes, metric=metric),
        "diverged": comparison.diverged_region(evidence),
        "pruning": comparison.pruning_epochs(evidence),
    }


def _curves(material: Material, rows: Sequence[TrialRow]) -> list[Figure]:
    pick = material.pick
    figures = []
    best = material.evidence.complete[:N_BEST]
    for row in rows:
        tags = [f"search's no. {best.index(row) + 1}"] if row in best else []
        if pick is not None and row.number == pick.number:
            tags.append("pick")
        if row.number == material.findings.overfit.worst:
            tags.append("worst overfitter")
        figures.append(curves.learning_curve(row, material.curves[row.id], tuple(tags)))
    return figures


def _curves_intro(material: Material) -> str:
    n = min(len(material.evidence.complete), N_BEST)
    return f"The best {count(n, 'trial')} of the search." if n != 1 else "The one complete trial."


def _distribution(material: Material) -> Figure | None:
    earlier = material.earlier
    own = [row.value for row in material.evidence.complete if row.value is not None]
    others = [
        row.value
        for row in material.earlier_trials
        if row.end_reason is not None and row.end_reason.is_complete and row.value is not None
    ]
    titles = (material.summary.study.title, "" if earlier is None else earlier.study.title)
    return history.distribution(own, others, titles, metric=material.metric)


def _names(material: Material) -> list[str]:
    """The searched hyperparameters, the most important first."""
    searched = material.evidence.searched
    known = [i.name for i in material.findings.importances if i.name in searched]
    return known + [name for name in searched if name not in known]


def _slices(material: Material) -> list[Figure]:
    if not material.evidence.complete:
        return []
    drawn = (
        space.objective_over(material.evidence, name, metric=material.metric)
        for name in _names(material)
    )
    return [figure for figure in drawn if figure is not None][:_N_SLICES]


def _plots(material: Material) -> dict[str, Any]:
    return interactive_plots(
        material.evidence.trials,
        _names(material),
        maximize=material.evidence.maximize,
        metric=material.metric,
    )


def _plotly_js() -> str:
    from plotly.offline import get_plotlyjs

    text: str = get_plotlyjs()
    if "</script" in text.lower():
        raise ValueError("plotly.js holds what would end the element that holds it")
    return text


def _end(material: Material) -> dict[str, Any]:
    summary = material.summary
    spec = effective_spec(summary.study)
    search = spec.search
    file_name = f"{summary.study.name}.yaml"
    provenance = [
        ("study", summary.study.reference),
        ("data digest", summary.study.data_digest),
        ("seed of the search", str(search.seed)),
        ("seed of the split", str(spec.data.split.seed)),
        ("fresh seeds", _fresh_seeds(material)),
        ("python", platform.python_version()),
        *((name, version(name)) for name in _LIBRARIES),
    ]
    return {
        "honesty": _honesty(material),
        "openings": [
            {
                "at": instant(opening.opened_at),
                "reason": opening.reason,
                "scores": _scores(opening.scores),
            }
            for opening in summary.openings
        ],
        "file_name": file_name,
        "command": f"tunelab study start {file_name} --workers 1",
        "workers": _workers(material),
        "winner_command": ""
        if material.pick is None
        else f"tunelab study export {summary.study.reference} --yaml best winner.yaml"
        " && tunelab study start winner.yaml",
        "provenance": [(name, value) for name, value in provenance if value],
        "exactness": "The versions are those of the machine that wrote this report.",
        "study_file": resolved_yaml(spec),
    }


def _workers(material: Material) -> str:
    """How many workers the study ran with, and what that means for a repetition."""
    n = material.n_workers
    most = _most_at_once(material.evidence.trials)
    ran = "How many workers this study ran with is not known"
    if n is not None:
        ran = f"This study was last started with {count(n, 'worker')}"
    if most > 1:
        ran += f"; up to {most} of its trials were under way at the same time"
    if n == 1 and most <= 1:
        return f"{ran}: the command below repeats it exactly on the same kind of machine."
    return (
        f"{ran}. With more than one worker, the order in which trials end decides what is proposed "
        "next, so no command repeats such a search exactly: for that, run both times with "
        "--workers 1, on the same kind of machine."
    )


def _most_at_once(rows: Sequence[TrialRow]) -> int:
    """The greatest number of trials that were under way at one moment."""
    moments: list[tuple[float, int]] = []
    for row in rows:
        if row.started_at is not None and row.ended_at is not None:
            # At the same moment, one that ends makes room for one that begins.
            moments += [(row.started_at, 1), (row.ended_at, -1)]
    return max(accumulate(step for _, step in sorted(moments)), default=0)


def _fresh_seeds(material: Material) -> str:
    seeds = dict.fromkeys(
        row.seed for row in sorted(material.confirm_runs, key=lambda row: row.repeat or 0)
    )
    return ", ".join(map(str, seeds))


def _scores(scores: Mapping[str, Any] | None) -> str:
    if scores is None:
        return "none: it was cut off"
    return ", ".join(
        f"{name} {score(value)}" for name, value in scores.items() if value is not None
    )


def _honesty(material: Material) -> list[str]:
    found = material.confirmation
    said = []
    if found is None:
        said.append(
            "Optimism: unknown, as no configuration was trained again on fresh seeds; the search's "
            "best number is the luckiest of all that it saw"
        )
    else:
        said += [found.optimism_sentence, found.tie_sentence, found.winner_sentence]
        entry = found.of(found.pick)
        if entry is not None and entry.half_width is not None:
            new = f", {found.new_splits} of which split the rows anew" if found.new_splits else ""
            half = beside(entry.half_width, entry.half_width)
            said.append(
                f"The winner's mean is known to ± {half} (95 % interval, "
                f"variance pooled over {count(len(found.ranked), 'configuration')}) from "
                f"{count(entry.n_scores, 'seed')}{new}"
            )
    if material.label_noise:
        said.append(material.label_noise)
    said.append(material.findings.openings)
    said.append("Trials were chosen by validation rows alone; the test rows chose nothing")
    return said


def _text(name: str) -> str:
    return (_HOME / name).read_text(encoding="utf-8")
