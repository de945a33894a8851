"""What ``tunelab model`` does and prints."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tunelab.cli.confirm import score
from tunelab.cli.console import is_terminal, put, put_json, put_lines, tell, terminal_width
from tunelab.cli.formats import NOTHING, count, instant
from tunelab.cli.tables import Column, tab_separated, table
from tunelab.service.models import (
    ListedModel,
    export_model,
    find_model,
    list_models,
    predict_file,
    promote,
)
from tunelab.service.summary import SCHEMA
from tunelab.storage.engine import Database
from tunelab.storage.files import new_file
from tunelab.storage.models import Reign

_HEAD = ["model", "title", "trial", "metric", "test", "rows", "made", "why"]


def show_models(database: Database, name: str | None, *, as_json: bool) -> None:
    """Print the models: a table on a terminal, TAB-separated in a pipe."""
    listed, history = list_models(database, name)
    if as_json:
        put_json({"schema": SCHEMA, "models": [_document(one, history) for one in listed]})
        return
    if not listed:
        tell("no models yet; a study gets one when its pick has been confirmed")
        return
    rows = [_row(one, history) for one in listed]
    if not is_terminal(sys.stdout):
        for line in tab_separated(_HEAD, rows):
            put(line)
        return
    cells = [list(map(str, column)) for column in zip(*rows, strict=True)]
    titles = [head.upper() for head in _HEAD]
    drops = (0, 0, 3, 2, 0, 4, 5, 1)
    columns = [
        Column(
            title, of, right=head in ("trial", "test", "rows"), drop=drop, least=20 * (drop == 1)
        )
        for head, title, of, drop in zip(_HEAD, titles, cells, drops, strict=True)
    ]
    put_lines(table(columns, terminal_width()))


def promote_and_tell(database: Database, name: str, generation: int | None, reason: str) -> None:
    """Make a model the champion, and say so."""
    model = promote(database, name, generation, reason)
    tell(
        f"{model.title} is the champion; `tunelab tracking sync {model.name}#{model.generation}` "
        "moves the alias in MLflow"
    )


def predict_and_write(
    database: Database, name: str, generation: int | None, data: str, output: Path | None
) -> None:
    """Predict a file, and write the result whole or not at all."""
    row, _, model = find_model(database, name, generation)
    text, n_rows = predict_file(model, data)
    if output is None:
        sys.stdout.write(text.replace("\r\n", "\n"))
        sys.stdout.flush()
        return
    with new_file(output, private=False) as part:
        part.write_bytes(text.encode())
    tell(f"{count(n_rows, 'row')} predicted by {row.title}: {output}")


def export_and_tell(database: Database, name: str, generation: int | None, folder: Path) -> None:
    """Write a model's files, and say where."""
    row, bundle, model = find_model(database, name, generation)
    export_model(bundle, model, row.title, folder)
    tell(f"{row.title} written to {folder}; README.md there says how to use it")


def _row(one: ListedModel, history: dict[str, list[Reign]]) -> list[object]:
    model, gate = one.model, one.gate
    value = None if gate is None else gate.score
    return [
        model.title,
        one.title or NOTHING,
        model.confirms,
        NOTHING if gate is None else gate.metric,
        NOTHING if gate is None or value is None else score(gate.metric, value),
        NOTHING if gate is None or gate.n_rows is None else gate.n_rows,
        instant(model.made_at),
        _why(one, history[model.name]),
    ]


def _why(one: ListedModel, history: list[Reign]) -> str:
    """Why it holds its title: the gate's sentence, or what was given with a choice by hand."""
    last = history[-1] if history else None
    if one.title == "champion" and last is not None and last.chosen_by == "hand":
        return f"chosen by hand: {last.reason}"
    if one.gate is not None:
        return one.gate.sentence
    return last.reason if one.title == "champion" and last is not None else NOTHING


def _document(one: ListedModel, history: dict[str, list[Reign]]) -> dict[str, Any]:
    model = one.model
    return {
        "name": model.name,
        "generation": model.generation,
        "title": one.title or None,
        "trial": model.confirms,
        "made_at": model.made_at,
        "checksum": model.checksum,
        "gate": one.gate and one.gate.to_json(),
        "reigns": [
            {"since": reign.since, "chosen_by": reign.chosen_by, "reason": reign.reason}
            for reign in history[model.name]
            if reign.model_id == model.id
        ],
    }
