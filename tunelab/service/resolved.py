"""A study as it runs: its resolved file, and where each value in it came from.

The sources are recorded in ``.tunelab/sources/`` beside the database when a study starts. They
explain a study and decide nothing, so they are not part of it: another file or another option that
says the same does not make another study.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunelab.service.learned import findings_folder
from tunelab.service.summary import effective_spec
from tunelab.spec.part import Place
from tunelab.spec.problems import dotted
from tunelab.spec.study import StudySpec
from tunelab.spec.study_file import StudyDocument
from tunelab.storage.engine import Database
from tunelab.storage.files import replace_whole
from tunelab.storage.studies import StudyRow, all_studies

DEFAULT = "default"
EARLIER = "an earlier start"


def sources_of(document: StudyDocument, spec: StudySpec) -> dict[str, str]:
    """Dotted key of each value of the resolved ``spec`` -> where it was given; else it is missing.

    The values are those of `StudySpec.to_mapping`; a mapping without entries is one as well.
    """
    found = {dotted(place): document.source(place) for place in values_in(spec.to_mapping())}
    return {key: source for key, source in found.items() if source is not None}


def values_in(mapping: Mapping[str, Any], above: Place = ()) -> Iterator[Place]:
    """The place of each value in nested mappings, in their order.

    >>> list(values_in({"name": "a", "space": {"units": {"low": 1}, "schedule": {}}}))
    [('name',), ('space', 'units', 'low'), ('space', 'schedule')]
    """
    for key, value in mapping.items():
        if isinstance(value, Mapping) and value:
            yield from values_in(value, (*above, key))
        else:
            yield (*above, key)


@dataclass(frozen=True)
class Resolved:
    """A study as it runs.

    Attributes:
        mapping: The resolved study file, with the budget that is in force.
        sources: Dotted key -> where the value was given; what is missing is a default. None where
            it was not recorded.
    """

    mapping: Mapping[str, Any]
    sources: Mapping[str, str] | None


def resolved_study(database: Database, study: StudyRow) -> Resolved:
    """The resolved study file of a study that exists, and the sources of its values."""
    mapping, sources = effective_spec(study).to_mapping(), _recorded(database, study)
    n_workers = (_record(database, study) or {}).get("workers")
    if n_workers is not None:
        mapping["search"]["workers"] = n_workers
    return Resolved(mapping, sources)


def record_sources(database: Database, study: StudyRow, document: StudyDocument) -> None:
    """Record where the values of a study that is about to run were given.

    Args:
        database: The study database.
        study: The study's row, with the budget in force.
        document: The study file with all settings.
    """
    spec = effective_spec(study)
    sources = sources_of(document, spec)
    filed = StudySpec.from_mapping(study.spec).search
    before = _recorded(database, study) or {}
    for key, in_force, in_file in (
        ("search.trials", spec.search.trials, filed.trials),
        ("search.timeout", spec.search.timeout_seconds, filed.timeout_seconds),
    ):
        # A budget that an option set stays until an option or a changed file sets another.
        if key not in document.origins and in_force != in_file:
            sources[key] = before.get(key, EARLIER)
    # How many workers are at work is no part of what the study is, so its row does not say it.
    n_workers = document.spec.search.workers
    if n_workers is not None:
        sources["search.workers"] = document.source(("search", "workers")) or DEFAULT
    record = {"study": _identity(study), "workers": n_workers, "sources": sources}
    # A record that cannot be written is missed by nobody but `show --resolved`.
    with contextlib.suppress(OSError):
        replace_whole(_file(database, study), json.dumps(record, indent=1))


def forget_deleted(database: Database) -> None:
    """Remove the records of studies that are no longer there, and what was learned from them."""
    with database.read() as connection:
        kept = {_file(database, study).name for study in all_studies(connection)}
    for folder in (_folder(database), findings_folder(database)):
        for file in folder.glob("*.json"):
            if file.name not in kept:
                with contextlib.suppress(OSError):
                    file.unlink()


def _folder(database: Database) -> Path:
    return database.home / "sources"


def _file(database: Database, study: StudyRow) -> Path:
    return _folder(database) / f"study-{study.id}.json"


def _recorded(database: Database, study: StudyRow) -> dict[str, str] | None:
    record = _record(database, study)
    return None if record is None else record["sources"]


def _record(database: Database, study: StudyRow) -> dict[str, Any] | None:
    """What was recorded of the study; None if it cannot be read or is another's."""
    try:
        record = json.loads(_file(database, study).read_text(encoding="utf-8"))
        if record["study"] != _identity(study):
            return None  # of a database that stood here before
        n_workers = record["workers"]
        return {
            "sources": {str(key): str(source) for key, source in record["sources"].items()},
            "workers": None if n_workers is None else int(n_workers),
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _identity(study: StudyRow) -> list[Any]:
    return [study.name, study.generation, study.created_at]
