"""What came of the races, in words and numbers, for every table that shows it."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from tunelab.service.demos.paths import Outcome, Race, Run

Races = Mapping[str, Mapping[str, Race]]
"""Surface -> optimizer -> race."""


def in_words(run: Run) -> str:
    """Steps to tolerance, or what happened instead.

    >>> from tunelab.service.demos.paths import follow
    >>> from tunelab.service.demos.surfaces import SURFACES
    >>> valley, camel = SURFACES["valley"], SURFACES["camel"]
    >>> in_words(follow("sgd", valley, 0.01, 1000)), in_words(follow("sgd", valley, 0.1, 1000))
    ('412', 'diverged')
    >>> in_words(follow("sgd", valley, 0.01, 10)), in_words(follow("sgd", camel, 0.1, 1000))
    ('never', 'local minimum')
    """
    if run.outcome is Outcome.ARRIVED:
        return str(run.steps)
    return run.ended_at or run.outcome.value


def to_json(races: Races, n_steps: int) -> dict[str, Any]:
    """The results as a JSON document, without the paths."""
    return {
        "schema": 1,
        "max_steps": n_steps,
        "surfaces": [
            {
                "name": name,
                "tolerance": surface.tolerance,
                "start": list(surface.start),
                "minima": [list(point) for point in surface.minima],
                "optimizers": [_race_json(race) for race in by_optimizer.values()],
            }
            for name, by_optimizer in races.items()
            for surface in [next(iter(by_optimizer.values())).best.surface]
        ],
    }


def _race_json(race: Race) -> dict[str, Any]:
    best = race.best
    return {
        "name": best.optimizer,
        "outcome": best.outcome.value,
        "steps": best.steps,
        "ended_at": best.ended_at,
        "learning_rate": best.learning_rate,
        "value_above_minimum": float(best.gaps[-1]),
        "outcomes": {
            f"{rate:g}": outcome.value
            for rate, outcome in zip(race.rates, race.outcomes, strict=True)
        },
    }


_SIGNS = {Outcome.ARRIVED: "●", Outcome.NEVER: "·", Outcome.DIVERGED: "×"}


def strip(race: Race) -> str:
    """How it ended with each rate of the grid, a sign each.

    >>> from tunelab.service.demos.paths import race
    >>> from tunelab.service.demos.surfaces import SURFACES
    >>> strip(race("sgd", SURFACES["valley"], n_steps=1000, rates=(0.001, 0.01, 0.1)))
    '·●×'
    """
    return "".join(_SIGNS[outcome] for outcome in race.outcomes)


def html_table(races: Races) -> str:
    """Steps to tolerance: a row an optimizer, a column a surface."""
    surfaces = [next(iter(of.values())).best.surface for of in races.values()]
    fewest = {
        name: min((race.best.rank[0] for race in of.values()), default=0.0)
        for name, of in races.items()
    }
    head = "".join(f'<th scope="col">{html.escape(surface.title)}</th>' for surface in surfaces)
    rows = []
    for optimizer in next(iter(races.values())):
        cells = []
        for surface, of in races.items():
            race = of[optimizer]
            first = race.best.outcome is Outcome.ARRIVED and race.best.rank[0] == fewest[surface]
            words = html.escape(in_words(race.best))
            arrived, diverged = race.count(Outcome.ARRIVED), race.count(Outcome.DIVERGED)
            spoken = f"arrives with {arrived} of {len(race.rates)} rates, diverges with {diverged}"
            cells.append(
                f"<td><b{' class=first' if first else ''}>{words}</b>"
                f"<small>rate {race.best.learning_rate:g}</small>"
                f'<span class="strip" role="img" aria-label="{spoken}" title="{spoken}">'
                f"{strip(race)}</span></td>"
            )
        name = html.escape(optimizer)
        rows.append(f'<tr><th scope="row" data-look="{name}">{name}</th>{"".join(cells)}</tr>')
    return f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
