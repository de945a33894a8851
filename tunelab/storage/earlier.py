"""What earlier generations of a study found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from tunelab.storage.states import EndReason
from tunelab.storage.studies import StudyRow
from tunelab.storage.tables import studies, trials
from tunelab.storage.trials import SEARCH

_MOST_READ = 1000


def best_of_earlier(
    connection: Connection, study: StudyRow, *, maximize: bool
) -> list[Mapping[str, Any]]:
    """The flat hyperparameters of complete trials of earlier generations, the best first.

    Those count that had ended when the study was created, so that the answer stays the same while
    the study goes on; of generations with another objective none does.
    """
    generations = connection.execute(
        select(studies.c.id, studies.c.spec).where(
            studies.c.name == study.name, studies.c.generation < study.generation
        )
    ).all()
    alike = [row.id for row in generations if row.spec["objective"] == study.spec["objective"]]
    query = (
        select(trials.c.hyperparameters)
        .where(
            trials.c.study_id.in_(alike),
            trials.c.kind == SEARCH,
            trials.c.end_reason.in_([reason for reason in EndReason if reason.is_complete]),
            trials.c.value.is_not(None),
            trials.c.ended_at < study.created_at,
        )
        .order_by(trials.c.value.desc() if maximize else trials.c.value, trials.c.id)
        .limit(_MOST_READ)
    )
    return list(connection.scalars(query).all())
