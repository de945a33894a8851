"""The best trial's run is green, and no other of the study's."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from tunelab.service.mirror.messages import BEST_COLOR, COLOR_TAG, Entries
from tunelab.service.mirror.tracking import RunGoneError, Tracking
from tunelab.storage.mirror_runs import MirrorRun


class BestColour:
    """Moves the colour from one run to the next.

    Args:
        tracking: Where the runs are.
        identity: Tags of every run of the study.
    """

    def __init__(self, tracking: Tracking, identity: Mapping[str, str]) -> None:
        self._tracking = tracking
        self._identity = identity
        self._coloured: set[str] | None = None  # None: MLflow has to be asked

    @property
    def tag(self) -> dict[str, str]:
        """What the best run is tagged with; sent with other tags it saves a request."""
        return {COLOR_TAG: BEST_COLOR}

    def note(self, run_id: str) -> None:
        """Take note of a run that was sent the tag."""
        if self._coloured is not None:
            self._coloured.add(run_id)

    def forget(self) -> None:
        """Ask MLflow again which runs are coloured."""
        self._coloured = None

    def move(self, experiment_id: str, best: MirrorRun | None) -> None:
        """Colour the best trial's run, and no other.

        Raises:
            Exception: Whatever MLflow raises.
        """
        if self._coloured is None:
            found = self._tracking.find(experiment_id, {**self._identity, **self.tag})
            self._coloured = {run.run_id for run in found}
        wanted = {best.run_id} if best else set()
        for run_id in wanted - self._coloured:
            with suppress(RunGoneError):
                self._tracking.log(run_id, Entries(tags=self.tag))
        for run_id in self._coloured - wanted:
            with suppress(RunGoneError):
                self._tracking.delete_tag(run_id, COLOR_TAG)
        self._coloured = wanted
