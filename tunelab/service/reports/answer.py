"""The first screen: which configuration, how good, how sure, compared with what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tunelab.service.findings.wording import count, share
from tunelab.service.reports.formats import (
    NOTHING,
    beside,
    duration,
    mean,
    percent,
    score,
    setting,
    share_interval,
)
from tunelab.service.reports.material import Material
from tunelab.storage.trials import TrialRow


@dataclass(frozen=True)
class Tile:
    """One number of the first screen.

    Attributes:
        label: What it is.
        value: The number.
        note: What to know about it.
    """

    label: str
    value: str
    note: str


@dataclass(frozen=True)
class Setting:
    """One hyperparameter of the named configuration.

    Attributes:
        name: Its name.
        value: Its value.
        default: That of the default configuration, where it differs; empty otherwise.
    """

    name: str
    value: str
    default: str


def headline(material: Material) -> str:
    """The result in one sentence."""
    pick = material.pick
    found = material.summary.confirmation
    if pick is None:
        n = len(material.evidence.finished)
        otherwise = f": {count(n, 'trial')} ended otherwise"
        return f"No trial has completed{otherwise if n else ' yet'}"
    if found is not None and found.pick is not None:
        entry = found.of(found.pick)
        value = mean(entry.mean, entry.half_width) if entry else NOTHING
        n = entry.n_scores if entry else 0
        return f"{_named(material, pick)}: {material.metric} {value} over {count(n, 'fresh seed')}"
    value = score(pick.value)
    return f"{_named(material, pick)}: {material.metric} {value} in the search, not yet confirmed"


def explanation(material: Material) -> list[str]:
    """What to know about the headline, the most important first."""
    found = material.summary.confirmation
    rounded = material.confirmation
    said = [] if rounded is None else rounded.sentences
    if found is None and material.summary.best is not None:
        finished, total = material.summary.confirm_runs
        n = count(len(material.evidence.complete), "complete trial")
        stage = "nothing was trained on fresh seeds to check it"
        if total:
            stage = f"{finished} of {total} runs on fresh seeds have ended"
        said.append(f"The search's own number is optimistic: it is the best of {n}, and {stage}")
    if found is not None and found.pick is not None and found.tied:
        said.append(
            f"Trial {found.pick} is named because its network is the smallest of those that share "
            "the first place"
        )
    return said


def tiles(material: Material) -> Iterator[Tile]:
    """The numbers of the first screen."""
    summary, found = material.summary, material.summary.confirmation
    metric = material.metric
    pick = material.pick
    if found is not None and (entry := found.of(found.pick)) is not None:
        note = f"mean and 95 % interval, {count(entry.n_scores, 'seed')}"
        yield Tile(f"confirmed {metric}", mean(entry.mean, entry.half_width), note)
    if pick is not None:
        yield Tile("in the search", score(pick.value), f"trial {pick.number}, one seed")
    yield from _default(material)
    yield from _earlier(material)
    if summary.test is not None and summary.test.scores is not None:
        scores = summary.test.scores
        names = [name for name in scores if name not in ("rows", "loss")] or ["loss"]
        for name in names[:1]:
            rows = int(scores["rows"])
            value = percent(scores[name]) if name == "accuracy" else score(scores[name])
            note = f"{count(rows, 'row')} that chose nothing, one model"
            if name == "accuracy":
                low, high = share_interval(scores[name], rows)
                note = f"95 % interval {percent(low)} to {percent(high)}; {note}"
            if material.label_noise:
                note = f"{note}; {material.label_noise}"
            yield Tile(f"test {name}", value, note)
    yield _counts(material)
    saved = material.findings.epochs_saved
    note = f"{saved.saved:,} of {saved.budget:,}, by stopping and pruning"
    yield Tile("epochs saved", share(saved.saved, saved.budget) if saved.budget else NOTHING, note)
    yield Tile("time", duration(summary.study.running_seconds), _time_note(material))


def _time_note(material: Material) -> str:
    begins = [row.started_at for row in material.confirm_runs if row.started_at is not None]
    ends = [row.ended_at for row in material.confirm_runs if row.ended_at is not None]
    if not begins or not ends:
        return "that the search has run"
    took = duration(max(ends) - min(begins))
    return f"that the search has run; its confirmation took {took} from first start to last end"


def settings(material: Material) -> list[Setting]:
    """The named configuration, beside the default one."""
    pick = material.pick
    if pick is None:
        return []
    default = material.summary.default
    usual: Mapping[str, Any] = {} if default is None else default.hyperparameters
    optional = material.evidence.optional
    return [
        Setting(
            name,
            setting(value, optional=name in optional),
            setting(usual[name], optional=name in optional)
            if name in usual and usual[name] != value
            else "",
        )
        for name, value in pick.hyperparameters.items()
    ]


def _named(material: Material, pick: TrialRow) -> str:
    default = material.summary.default
    same = default is not None and default.hyperparameters == pick.hyperparameters
    return f"Trial {pick.number}, the default configuration" if same else f"Trial {pick.number}"


def _default(material: Material) -> Iterator[Tile]:
    summary, found = material.summary, material.summary.confirmation
    if found is not None and (entry := found.of(found.default)) is not None:
        value = mean(entry.mean, entry.half_width)
        if found.pick == found.default:
            note = "it is the configuration named here"
        elif found.beats_default is None or found.default_margin is None:
            note = "cannot be compared"
        else:
            chance = "beyond chance" if found.beats_default else "within chance"
            note = f"{beside(abs(found.default_margin), entry.half_width)} apart, {chance}"
        yield Tile("default configuration", value, note)
    elif summary.default is not None:
        note = "trial 0, one seed"
        yield Tile("default configuration", score(_complete(summary.default)), note)


def _earlier(material: Material) -> Iterator[Tile]:
    earlier = material.earlier
    if earlier is None:
        return
    title = earlier.study.title
    found = earlier.confirmation
    if found is not None and (entry := found.of(found.pick)) is not None:
        yield Tile(title, mean(entry.mean, entry.half_width), "previous generation, confirmed")
    elif earlier.best is not None:
        note = f"previous generation, trial {earlier.best.number}, one seed"
        yield Tile(title, score(earlier.best.value), note)


def _counts(material: Material) -> Tile:
    counts = material.summary.counts
    kinds = {
        "complete": counts["completed"] + counts["early_stopped"],
        "pruned": counts["pruned"],
        "diverged": counts["diverged"],
        "failed": counts["failed"],
        "running": counts["running"],
        "waiting": counts["waiting"],
    }
    note = ", ".join(f"{n} {name}" for name, n in kinds.items() if n)
    return Tile("trials", str(len(material.evidence.finished)), note)


def _complete(row: TrialRow) -> float | None:
    complete = row.end_reason is not None and row.end_reason.is_complete
    return row.value if complete else None
