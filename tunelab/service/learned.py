"""What a study's trials say about its space, in the few numbers that ``study show`` prints.

Drawing them loads Optuna's importances, which takes seconds, so they are kept in
``.tunelab/findings/`` beside the database once a study has ended, and drawn anew when it has more
trials or another pick. The database stays the only truth: a file that is missing, damaged or of
other trials is replaced.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from tunelab.service.summary import StudySummary
from tunelab.storage.engine import Database
from tunelab.storage.files import replace_whole
from tunelab.storage.studies import StudyRow

_VERSION = 2  # of the files


@dataclass(frozen=True)
class Mattered:
    """A hyperparameter and its share of all that was decided, in [0, 1]."""

    name: str
    share: float


@dataclass(frozen=True)
class AtEdge:
    """A hyperparameter whose best values lie at one bound of its range."""

    name: str
    value: float
    side: str
    bound: float


@dataclass(frozen=True)
class Learned:
    """What the trials say.

    Attributes:
        mattered: The hyperparameters, the most important first; empty where trials are too few.
        edges: Best values at the edge of their range.
    """

    mattered: tuple[Mattered, ...]
    edges: tuple[AtEdge, ...]

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Learned:
        """The inverse of `asdict`."""
        return cls(
            tuple(
                Mattered(str(item["name"]), float(item["share"])) for item in document["mattered"]
            ),
            tuple(
                AtEdge(
                    str(item["name"]), float(item["value"]), str(item["side"]), float(item["bound"])
                )
                for item in document["edges"]
            ),
        )


def learned(database: Database, connection: Connection, summary: StudySummary) -> Learned | None:
    """What a study has taught, from its file or drawn now; None while it runs, or has no result.

    Args:
        database: The file lies beside it; one that cannot be written is drawn anew each time.
        connection: A read transaction, in which ``summary`` was read.
        summary: The study.
    """
    if summary.best is None or summary.state in ("queued", "running"):
        return None
    file = findings_folder(database) / f"study-{summary.study.id}.json"
    identity = _identity(summary)
    known = _kept(file, identity)
    if known is None:
        known = _drawn(connection, summary.study)
        with contextlib.suppress(OSError):
            replace_whole(file, json.dumps({"of": identity, **asdict(known)}))
    return known


def findings_folder(database: Database) -> Path:
    """Where the files lie, one a study: ``study-7.json`` by the key of its row."""
    return database.home / "findings"


def _drawn(connection: Connection, study: StudyRow) -> Learned:
    from tunelab.service.findings.edges import find_edges
    from tunelab.service.findings.evidence import read_evidence
    from tunelab.tuning.importances import importances  # loads Optuna

    evidence = read_evidence(connection, study)
    mattered = importances(evidence.finished, maximize=evidence.maximize, spread=False)
    return Learned(
        tuple(Mattered(item.name, item.share) for item in mattered),
        tuple(
            AtEdge(item.name, item.value, item.side, item.bound) for item in find_edges(evidence)
        ),
    )


def _identity(summary: StudySummary) -> list[Any]:
    study, found = summary.study, summary.confirmation
    concluded = None if found is None else found.at  # an edge counts if the pick lies at it
    trials = [study.reference, study.created_at, summary.n_finished, study.spec_hash]
    return [_VERSION, *trials, concluded]


def _kept(file: Path, identity: list[Any]) -> Learned | None:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        return Learned.from_json(document) if document["of"] == identity else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
