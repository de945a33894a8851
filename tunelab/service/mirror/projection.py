"""Passes over the study: each sends what MLflow lacks and remembers what was sent.

A pass reads the tables, talks to MLflow outside of any transaction and then remembers in one
transaction. If it dies in between, the next pass sends the same again with the same times, which
changes nothing in MLflow; runs that were created and not remembered are found by their tags.
"""

from __future__ import annotations

from tunelab.service.mirror.best_colour import BestColour
from tunelab.service.mirror.destination import Destination
from tunelab.service.mirror.run_files import send_files
from tunelab.service.mirror.study_record import identity_tags
from tunelab.service.mirror.study_sender import StudySender
from tunelab.service.mirror.trial_sender import TrialSender
from tunelab.storage.mirror_runs import study_run
from tunelab.storage.studies import study_by_id


class Projection:
    """The runs of one study at one tracking URI.

    Args:
        destination: The study and where it is sent.

    Raises:
        NotFoundError: If the study has been deleted.
    """

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        with destination.database.read() as connection:
            study = study_by_id(connection, destination.study_id)
            known = study_run(connection, study.id, destination.uri)
        self._colour = BestColour(destination.tracking, identity_tags(study))
        self._study = StudySender(destination, study, self._colour)
        self._trials = TrialSender(destination, study, self._colour)
        self._run_id: str | None = None
        # A request was given up, by this process or the one before: it may have made a run.
        self._doubtful = known is not None

    def run_pass(self) -> bool:
        """Send what is new, at most so many trials of it as a pass has time for.

        Returns:
            Whether there was something to send; then there may be more.

        Raises:
            NotFoundError: If the study has been deleted.
            Exception: Whatever MLflow raises. What was sent before is remembered.
        """
        try:
            return self._run_pass()
        except Exception:
            # Whatever failed may have reached MLflow all the same: look there before creating.
            self._study.forget()
            self._trials.forget()
            self._colour.forget()
            self._doubtful = True
            raise

    def _run_pass(self) -> bool:
        destination = self._destination
        with destination.database.read() as connection:
            study = study_by_id(connection, destination.study_id)
        run = self._study.run(study)
        if run.run_id != self._run_id:
            self._trials.start_over()
            self._study.send_views(study)
            self._run_id = run.run_id
        news = self._trials.send(study, run)
        news = self._study.send(study) or news
        news = self._study.send_model(study) or news
        if self._doubtful and not news:
            self._trials.remove_doubles(run)
            self._doubtful = False
        return news

    def complete(self) -> bool:
        """Send what takes long and builds on the runs: here belongs whatever is not urgent.

        Called now and then, and after the last pass of a study that has ended.

        Returns:
            Whether there was anything to send.

        Raises:
            Exception: Whatever MLflow raises.
        """
        return send_files(self._destination, self._study)
