"""Openings of test splits: noted before the rows are read, with their scores behind it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from tunelab.storage.tables import test_openings


@dataclass(frozen=True)
class Opening:
    """One look at the test rows of a study.

    Attributes:
        id: Key of its row.
        trial_id: Key of the confirm run whose weights were to be judged.
        test_digest: Of the test rows.
        opened_at: When it was noted, before the rows were read.
        reason: What for.
        scores: What came out; None if the end was not reached.
    """

    id: int
    trial_id: int
    test_digest: str
    opened_at: float
    reason: str
    scores: Mapping[str, Any] | None


def note_opening(
    connection: Connection, *, study_id: int, trial_id: int, test_digest: str, reason: str
) -> int:
    """Note that the test rows are about to be read; its key. In a write transaction."""
    result = connection.execute(
        insert(test_openings).values(
            study_id=study_id,
            trial_id=trial_id,
            test_digest=test_digest,
            opened_at=time.time(),
            reason=reason,
        )
    )
    (key,) = result.inserted_primary_key or (0,)
    return int(key)


def store_scores(connection: Connection, opening_id: int, scores: Mapping[str, Any]) -> None:
    """Store what came out. In a write transaction."""
    statement = update(test_openings).where(test_openings.c.id == opening_id)
    connection.execute(statement.values(scores=dict(scores)))


def study_openings(connection: Connection, study_id: int) -> list[Opening]:
    """The openings for one study, in order."""
    columns = [test_openings.c[field.name] for field in fields(Opening)]
    query = select(*columns).where(test_openings.c.study_id == study_id)
    return [Opening(*row) for row in connection.execute(query.order_by(test_openings.c.id))]


def judged(openings: Sequence[Opening], since: float) -> Opening | None:
    """The opening that judged the pick of a confirm stage; None if none has, or not to its end.

    Args:
        openings: Those of the study, in order. Later ones may have judged a champion beside it.
        since: When the stage was concluded.
    """
    whole = (opening for opening in openings if opening.scores is not None)
    return next((opening for opening in whole if opening.opened_at >= since), None)


def count_openings(connection: Connection, test_digest: str) -> int:
    """How often these test rows were opened, for whichever study of this database."""
    query = select(func.count()).where(test_openings.c.test_digest == test_digest)
    return connection.scalar(query) or 0
