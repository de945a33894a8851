"""A study for other programs: CSV, JSON, a study file of its best trial, an Optuna database."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tunelab.errors import DiskError, UsageError
from tunelab.service.fixed_study import best_number, fixed_study
from tunelab.service.loaded import LoadedStudy, read_study
from tunelab.service.spreadsheet import csv_text
from tunelab.service.trial_table import trial_table
from tunelab.storage.engine import Database
from tunelab.storage.files import new_file

BEST = "best"
STDOUT = Path("-")


@dataclass(frozen=True)
class Wanted:
    """What is to be written where; ``-`` is standard output, None leaves it out.

    Attributes:
        csv: The trials as a table.
        json: Everything, with all curves.
        yaml: Which trial to write a study file of: ``best`` or a number.
        yaml_file: Where to.
        optuna: URL of an Optuna database.
    """

    csv: Path | None = None
    json: Path | None = None
    yaml: str | None = None
    yaml_file: Path = STDOUT
    optuna: str | None = None


def export_study(database: Database, name: str, wanted: Wanted) -> Iterator[tuple[str, str]]:
    """Write a study; each file is whole or not there, and none that exists is replaced.

    Yields:
        Where something was written, and what; for standard output, ``-`` and the text that is to
        go there.

    Raises:
        UsageError: If nothing is wanted, two things are to go to the same place, a file exists,
            or the Optuna database is none. Then nothing has been written.
        NotFoundError: If there is no such study or trial.
        NoCompletedTrialError: If the best trial is wanted and there is none.
        DatabaseError: If a database cannot be read or written.
        DiskError: If a file cannot be written, or its folder does not exist.
    """
    _check(wanted)
    study = read_study(database, name)
    texts = _texts(study, wanted)
    if wanted.optuna is not None:  # the first, as only the writing tells whether it is refused
        yield study.write_optuna(wanted.optuna), f"the Optuna study {study.name}"
    for path, text, what in texts:
        if path == STDOUT:
            yield "-", text
        else:
            _write(path, text)
            yield str(path), what


def _check(wanted: Wanted) -> None:
    if wanted.yaml is None and wanted.yaml_file != STDOUT:
        raise UsageError(f"{wanted.yaml_file}: a FILE at the end goes with --yaml best")
    files = [wanted.csv, wanted.json, wanted.yaml_file if wanted.yaml else None]
    if all(file is None for file in files) and wanted.optuna is None:
        raise UsageError(
            "say what to export: --csv FILE, --json FILE, --yaml best, --optuna URL",
            hint="- in the place of FILE is standard output",
        )
    given = [file for file in files if file is not None]
    places = [file if file == STDOUT else Path(os.path.realpath(file)) for file in given]
    for file, place in zip(given, places, strict=True):
        if places.count(place) > 1:
            shown = "standard output" if file == STDOUT else str(file)
            raise UsageError(f"two exports cannot both go to {shown}")
        if file == STDOUT:
            continue
        if file.exists() or file.is_symlink():
            raise UsageError(f"{file} exists already", hint="choose another name, or move it away")
        if not file.parent.is_dir():
            raise DiskError(
                f"cannot write {file}: there is no folder {str(file.parent)!r}",
                hint="make it, or name another",
            )


def _texts(study: LoadedStudy, wanted: Wanted) -> list[tuple[Path, str, str]]:
    texts = []
    if wanted.csv is not None:
        head, rows = trial_table(study.rows)
        texts.append((wanted.csv, csv_text(head, rows), f"{len(rows)} trials of {study.name}"))
    if wanted.json is not None:
        document = json.dumps(study.to_json(), indent=1, allow_nan=False) + "\n"
        texts.append((wanted.json, document, f"{study.name} with all curves"))
    if wanted.yaml is not None:
        number = best_number(study.found) if wanted.yaml == BEST else int(wanted.yaml)
        text = fixed_study(study.found, study.row(number))
        texts.append((wanted.yaml_file, text, f"a study file of trial {number} of {study.name}"))
    return texts


def _write(path: Path, text: str) -> None:
    with new_file(path, private=False) as part:
        part.write_bytes(text.encode("utf-8"))
