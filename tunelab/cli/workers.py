"""``worker run``: the service's workers, with a line for what happens to them."""

from __future__ import annotations

from contextlib import closing

from tunelab.cli.console import tell
from tunelab.cli.signals import two_step_signals
from tunelab.service.stop import StopRequest, available_cores
from tunelab.service.worker_service import WorkerService
from tunelab.storage.location import database_url
from tunelab.storage.outages import OUTAGE_SECONDS, Patience
from tunelab.storage.schema import open_database
from tunelab.storage.states import StudyState
from tunelab.storage.studies import get_study


def run_and_tell(name: str | None, n_workers: int | None, max_trials: int | None) -> int:
    """Run workers until they are told to leave or have nothing more to do.

    Args:
        name: The only study to serve; None: all that the service runs.
        n_workers: How many processes; None: one for each core.
        max_trials: How many trials they end in all; None: no limit.

    Returns:
        The exit code.

    Raises:
        NotFoundError: If there is no such study.
        DatabaseError: If the database cannot be opened.
    """
    stop = StopRequest()
    services: list[WorkerService] = []

    def kill() -> None:
        for service in services:
            service.kill()

    def should_leave() -> bool:
        return stop.signal is not None

    with two_step_signals(stop.request, before_exit=kill):
        patience = Patience(OUTAGE_SECONDS, should_leave, tell)
        with closing(open_database(database_url(), create=False, patience=patience)) as database:
            study = None
            if name is not None:
                study = database.fetch(lambda connection: get_study(connection, name))
                if study.state is not StudyState.RUNNING:
                    tell(f"{study.title} does not run: it is {study.state}")
                    return 0
            n_workers = n_workers or available_cores()
            service = WorkerService(database, n_workers, study=study, max_trials=max_trials)
            services.append(service)
            for line in service.run(should_leave):
                tell(line)
    return 0 if stop.signal is None else 128 + stop.signal
