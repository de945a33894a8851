"""The test split of a study, opened for its pick when nothing is trained or chosen any more.

Every opening is noted before the rows are read. One that was cut off is seen by its missing scores,
and the next is noted beside it.
"""

from __future__ import annotations

import math
from pathlib import Path

from tunelab.datasets import PreparedData, find_prepared
from tunelab.datasets.cache import has_sealed, open_sealed, test_data
from tunelab.errors import DataError
from tunelab.execution.tasks import load_task
from tunelab.spec.hyperparameters import Hyperparameters
from tunelab.storage.checkpoints import DamagedCheckpointError, read_best_weights
from tunelab.storage.engine import Database
from tunelab.storage.openings import judged, note_opening, store_scores, study_openings
from tunelab.storage.studies import StudyRow, study_by_id
from tunelab.storage.study_data import study_data
from tunelab.storage.trials import CONFIRM, TrialRow, study_trials


def open_test(database: Database, study_id: int) -> list[str]:
    """Judge the champion of a study's confirm stage on the test rows, unless that has been done.

    The champion is the pick's confirm run with the median score; its rows are preprocessed as its
    own training rows have taught it.

    Args:
        database: The study database.
        study_id: Key of the study; none of its trials is trained at present.

    Returns:
        What a person should know, if the champion cannot be judged.

    Raises:
        DatabaseError: If the database cannot be read or written.
    """
    study = database.fetch(lambda connection: study_by_id(connection, study_id))
    found = study.confirmation
    if found is None or found.champion is None:
        return []
    numbers = [found.champion]
    with database.read() as connection:
        (champion,) = study_trials(connection, study_id, numbers=numbers, kind=CONFIRM)
        openings = study_openings(connection, study_id)
    opening = judged(openings, found.at)
    if opening is not None and opening.trial_id == champion.id:
        return []
    try:
        return _judge(database, study, champion, f"trial {found.pick} is the pick")
    except (DataError, DamagedCheckpointError) as error:
        return [f"the pick has no test score: {error.message}"]


def _judge(database: Database, study: StudyRow, champion: TrialRow, reason: str) -> list[str]:
    sealed = with_test_rows(database, study)
    if sealed is None:
        where = f"`tunelab study confirm {study.name}` opens them where they were prepared"
        return [f"the pick has no test score: the test rows are not on this machine; {where}"]
    with database.read() as connection:
        weights = read_best_weights(connection, champion.id)
    if weights is None:
        return [f"the pick has no test score: confirm run {champion.number} has no weights"]
    own = champion_data(champion)
    task = load_task(database, study, data=own)
    prepared = study_data(database, study, own)

    # From here on the test rows count as seen.
    key = database.attempt(
        lambda connection: note_opening(
            connection,
            study_id=study.id,
            trial_id=champion.id,
            test_digest=sealed.test_digest,
            reason=reason,
        )
    )
    data = test_data(prepared, open_sealed(sealed))
    loss, score = task.backend.evaluate(
        Hyperparameters.from_flat(champion.hyperparameters),
        weights[1],
        data,
        loss=task.spec.objective.loss,
        score=task.score,
    )
    scores = {
        "loss": _finite(loss),
        task.score: None if score is None else _finite(score),
        "rows": len(data.x_validation),
    }
    database.attempt(lambda connection: store_scores(connection, key, scores))
    return []


def champion_data(champion: TrialRow) -> tuple[str, str] | None:
    """Path and digest of the data that a confirm run was trained on; None: the study's."""
    if champion.data_path is None or champion.data_digest is None:
        return None
    return champion.data_path, champion.data_digest


def with_test_rows(database: Database, study: StudyRow) -> PreparedData | None:
    """The study's data with their test rows, if they are here; these are not opened."""
    # The folder may have moved with the project.
    for path in (Path(study.data_path), database.home / "data" / Path(study.data_path).name):
        prepared = find_prepared(path)
        if prepared and prepared.digest == study.data_digest and has_sealed(prepared):
            return prepared
    return None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
