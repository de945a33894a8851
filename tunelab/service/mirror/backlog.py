"""What MLflow still lacks of a study, told from the study database alone."""

from __future__ import annotations

from tunelab.service.mirror.environment import tracking_uri, without_credentials
from tunelab.service.mirror.sent import Sent
from tunelab.storage.engine import Database
from tunelab.storage.mirror_runs import count_behind, study_run
from tunelab.storage.models import latest_model
from tunelab.storage.studies import study_by_id


def unsent(database: Database, study_id: int) -> str | None:
    """What MLflow lacks, in words: ``12 trials``; None if it has everything."""
    uri = without_credentials(tracking_uri())
    with database.read() as connection:
        study = study_by_id(connection, study_id)
        n_trials = count_behind(connection, study, uri)
        run = study_run(connection, study_id, uri)
        model = latest_model(connection, study_id)
    if n_trials:
        return "1 trial" if n_trials == 1 else f"{n_trials} trials"
    sent = Sent.from_text(run.sent) if run else Sent()
    shown = (sent.state, sent.ended)
    if shown != (study.state, study.ended_at):
        return "the study's run"
    return None if model is None or model.checksum == sent.model else "the study's model"
