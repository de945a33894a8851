"""The twenty best trials, those confirmed with their intervals, ties alike."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tunelab.service.reports.charts.scales import Scale, fitting
from tunelab.service.reports.formats import NOTHING, aligned, mean, setting, signed
from tunelab.service.reports.material import Material
from tunelab.storage.confirmed import Confirmation, Finalist
from tunelab.storage.trials import TrialRow

N_ROWS = 20
_N_PARAMS = 4  # hyperparameters shown
_WIDTH = 100


@dataclass(frozen=True)
class Entry:
    """One row.

    Attributes:
        place: From 1.
        number: Of the trial.
        search: What the search had found.
        confirmed: Mean and interval over fresh seeds.
        bar: The interval as SVG; empty where there is none.
        epochs: Best epoch, and how many there were.
        gap: Validation loss minus training loss at the best epoch.
        verdict: The monitor's.
        settings: Values of `Leaderboard.names`.
        is_tied: Whether it shares the first place.
        is_pick: Whether it is the configuration that the report names.
        is_default: Whether it is the default configuration.
    """

    place: int
    number: int
    search: str
    confirmed: str
    bar: str
    epochs: str
    gap: str
    verdict: str
    settings: tuple[str, ...]
    is_tied: bool
    is_pick: bool
    is_default: bool


@dataclass(frozen=True)
class Leaderboard:
    """The table.

    Attributes:
        names: Hyperparameters in columns: those that matter most.
        entries: The rows; finalists by their confirmed means, then the others by the search.
        has_bars: Whether there is an interval to draw.
        n_seeds: Seeds of each finalist; 0 where nothing was confirmed.
    """

    names: tuple[str, ...]
    entries: tuple[Entry, ...]
    has_bars: bool
    n_seeds: int


def leaderboard(material: Material) -> Leaderboard:
    """The best trials of the study."""
    found = material.summary.confirmation
    finalists = list(found.ranked) if found is not None else []
    rows = {row.number: row for row in material.evidence.trials}
    confirmed = {entry.number: entry for entry in finalists if entry.number in rows}
    others = [row for row in material.evidence.complete if row.number not in confirmed]
    ordered = [*(rows[number] for number in confirmed), *others][:N_ROWS]
    names = _names(material)
    scale = _scale(finalists)
    optional = material.evidence.optional
    return Leaderboard(
        names,
        tuple(
            _entry(place, row, confirmed.get(row.number), found, names, optional, scale)
            for place, row in enumerate(ordered, start=1)
        ),
        scale is not None,
        0 if found is None else found.n_seeds,
    )


def _names(material: Material) -> tuple[str, ...]:
    searched = material.evidence.searched
    known = [i.name for i in material.findings.importances if i.name in searched]
    chosen = (known or searched)[:_N_PARAMS]
    if "optimizer" in searched and "optimizer" not in chosen:
        chosen = ["optimizer", *chosen[: _N_PARAMS - 1]]
    return tuple(chosen)


def _entry(
    place: int,
    row: TrialRow,
    entry: Finalist | None,
    found: Confirmation | None,
    names: Sequence[str],
    optional: Collection[str],
    scale: Scale | None,
) -> Entry:
    return Entry(
        place,
        row.number,
        aligned(row.value),
        NOTHING if entry is None else mean(entry.mean, entry.half_width),
        _bar(entry, scale),
        f"{row.best_epoch} / {row.n_epochs}" if row.best_epoch else str(row.n_epochs),
        signed(row.gap),
        (row.signal or NOTHING).replace("_", " "),
        tuple(
            setting(row.hyperparameters[name], 3, optional=name in optional)
            if name in row.hyperparameters
            else NOTHING
            for name in names
        ),
        entry is not None and entry.is_tied,
        found is not None and row.number == found.pick,
        found is not None and row.number == found.default,
    )


def _scale(finalists: Sequence[Finalist]) -> Scale | None:
    ends = [
        entry.mean + sign * entry.half_width
        for entry in finalists
        if entry.mean is not None and entry.half_width is not None
        for sign in (-1.0, 1.0)
    ]
    return fitting(ends, 4, _WIDTH - 4, log=False) if ends else None


def _bar(entry: Finalist | None, scale: Scale | None) -> str:
    if entry is None or scale is None or entry.mean is None or entry.half_width is None:
        return ""
    a, b = scale(entry.mean - entry.half_width), scale(entry.mean + entry.half_width)
    return (
        f'<svg class="chart interval" viewBox="0 0 {_WIDTH} 16" aria-hidden="true">'
        f'<path class="line own" d="M{a:.4g} 8H{b:.4g}M{a:.4g} 4v8M{b:.4g} 4v8"/>'
        f'<path class="dots large own" d="M{scale(entry.mean):.4g} 8h0"/></svg>'
    )
