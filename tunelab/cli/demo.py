"""Steps to tolerance on a terminal, in a pipe, or as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tunelab.cli.console import is_terminal, put, put_json, put_lines, tell, terminal_width
from tunelab.cli.tables import Column, tab_separated, table
from tunelab.service.demos.command import surfaces_files, write_surfaces
from tunelab.service.demos.results import Races, in_words, to_json

_HEAD = ["optimizer", "surface", "outcome", "steps", "learning_rate", "value_above_minimum"]
_HEAD += ["ended_at", "rates_arrived", "rates_diverged", "rates_tried"]


def show_surfaces(output: Path, *, n_steps: int, force: bool, as_json: bool) -> None:
    """Write the page and the GIF, and print the table."""
    files = surfaces_files(output, force=force)
    tell("the optimizers run, which takes some seconds ...")
    races = write_surfaces(files, n_steps, wrote)
    show_table(races, n_steps, as_json=as_json)


def wrote(path: Path, n_bytes: int) -> None:
    """Tell of a file that was written."""
    tell(f"wrote {path} ({n_bytes / 1000:.0f} kB)")


def show_table(races: Races, n_steps: int, *, as_json: bool) -> None:
    """Print a row for each optimizer and a column for each surface; in a pipe, a line for each."""
    if as_json:
        put_json(to_json(races, n_steps))
    elif not is_terminal(sys.stdout):
        for line in tab_separated(_HEAD, _cells(races)):
            put(line)
    else:
        first = next(iter(races.values()))
        columns = [Column("OPTIMIZER", list(first))]
        for number, (surface, of) in enumerate(races.items()):
            steps = [in_words(race.best) for race in of.values()]
            rates = [f"{race.best.learning_rate:g}" for race in of.values()]
            # On a narrow terminal the rates go first.
            columns.append(Column(surface.upper(), steps, right=True, drop=number))
            columns.append(Column("RATE", rates, drop=len(races) + number))
        put_lines(table(columns, terminal_width()))
        tolerance = next(iter(first.values())).best.surface.tolerance
        tell(
            f"steps until the value stays within {tolerance:g} of the lowest one, of {n_steps}, "
            "at the best rate of each"
        )


def _cells(races: Races) -> Iterator[Sequence[object]]:
    document = to_json(races, 0)
    for surface in document["surfaces"]:
        for own in surface["optimizers"]:
            outcomes = list(own["outcomes"].values())
            yield [
                own["name"],
                surface["name"],
                own["outcome"],
                own["steps"],
                own["learning_rate"],
                own["value_above_minimum"],
                own["ended_at"],
                outcomes.count("arrived"),
                outcomes.count("diverged"),
                len(outcomes),
            ]
