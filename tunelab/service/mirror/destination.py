"""Where one study is sent, and how what was sent is remembered."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from tunelab.execution.log import say
from tunelab.service.mirror.environment import without_credentials
from tunelab.service.mirror.tracking import Tracking
from tunelab.storage.engine import Database
from tunelab.storage.mirror_runs import MirrorRun, forget, forget_runs, remember


def _nothing() -> None:
    """No one waits for news."""


def _anybody(_connection: Connection) -> None:
    """No lease is asked for."""


@dataclass(frozen=True)
class Destination:
    """One study's place in MLflow.

    Attributes:
        database: The study database.
        study_id: Key of the study.
        tracking: Where the runs are.
        progressed: Called after each trial that has been sent; what it raises ends the pass.
        confirm: Called in each transaction that remembers what was sent; raises if another process
            does so by now.
        tell: Gets warnings of what MLflow did not take and is done without.
    """

    database: Database
    study_id: int
    tracking: Tracking
    progressed: Callable[[], None] = _nothing
    confirm: Callable[[Connection], None] = _anybody
    tell: Callable[[str], None] = say

    @property
    def uri(self) -> str:
        """The tracking URI under which runs are remembered."""
        return without_credentials(self.tracking.uri)

    def remember(self, runs: Sequence[MirrorRun]) -> None:
        """Remember what runs have been sent, in one transaction."""
        with self.database.write() as connection:
            self.confirm(connection)
            for run in runs:
                remember(connection, run)

    def forget(self, run_ids: Iterable[str]) -> None:
        """Forget single runs, so that they are made anew."""
        with self.database.write() as connection:
            self.confirm(connection)
            forget(connection, run_ids)

    def forget_all(self) -> None:
        """Forget every run of the study at this URI."""
        with self.database.write() as connection:
            self.confirm(connection)
            forget_runs(connection, self.study_id, self.uri)

    def write_files(self, run_id: str, fill: Callable[[Path], object]) -> None:
        """Have ``fill`` make files in a folder and store them among the run's artifacts.

        Raises:
            RunGoneError: If the run is not there any more.
        """
        with tempfile.TemporaryDirectory(prefix="tunelab-") as place:
            folder = Path(place)
            fill(folder)
            self.tracking.write_files(run_id, folder)
