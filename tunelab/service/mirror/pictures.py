"""Which trials' runs get a picture of their learning curve, and when."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from tunelab.service.mirror.destination import Destination
from tunelab.service.mirror.notes import trial_name
from tunelab.service.mirror.study_sender import StudySender
from tunelab.service.mirror.tracking import RunGoneError
from tunelab.storage.mirror_runs import trial_runs
from tunelab.storage.trials import study_trials, trial_curve


def draw_best(destination: Destination, study: StudySender, title: str) -> bool:
    """Draw the learning curve of the best trial, unless that has been done.

    Args:
        destination: Where to.
        study: Knows the best trial and what was drawn.
        title: The study's name and generation.

    Returns:
        Whether it was drawn.

    Raises:
        Exception: Whatever MLflow raises.
    """
    sent = study.sent
    if sent.best is None or sent.best == sent.picture:
        return False
    with destination.database.read() as connection:
        trial = study_trials(connection, destination.study_id, numbers=[sent.best])[0]
        runs = trial_runs(connection, destination.study_id, destination.uri, [trial.id])
        curve = trial_curve(connection, trial.id)
    from tunelab.service.mirror.picture import draw_learning_curve

    title = f"{title} {trial_name(trial.number)}: {trial.signal or 'no verdict'}"
    with suppress(RunGoneError):
        destination.write_file(
            runs[trial.id].run_id,
            "learning_curve.png",
            lambda path: draw_learning_curve(
                path, curve, title=title, best_epoch=trial.best_epoch, onset=trial.onset
            ),
            folder="plots",
        )
    study.note(replace(sent, picture=sent.best))
    return True
