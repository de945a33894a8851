"""``tracking run``: the service's mirror, with a line for what happens to it."""

from __future__ import annotations

from contextlib import closing

from tunelab.cli.console import tell
from tunelab.cli.signals import two_step_signals
from tunelab.cli.tracking import check_tracking_uri
from tunelab.service.mirror.environment import tracking_uri, without_credentials
from tunelab.service.mirror_service import MirrorService
from tunelab.service.stop import StopRequest
from tunelab.storage.location import database_url
from tunelab.storage.outages import OUTAGE_SECONDS, Patience
from tunelab.storage.schema import open_database


def run_and_tell() -> int:
    """Mirror all studies until told to leave.

    Returns:
        The exit code.

    Raises:
        UsageError: If MLFLOW_TRACKING_URI cannot be meant.
        DatabaseError: If the database cannot be opened.
    """
    check_tracking_uri(tracking_uri())
    stop = StopRequest()
    services: list[MirrorService] = []

    def kill() -> None:
        for service in services:
            service.kill()

    def should_leave() -> bool:
        return stop.signal is not None

    with two_step_signals(stop.request, before_exit=kill):
        patience = Patience(OUTAGE_SECONDS, should_leave, tell)
        with closing(open_database(database_url(), create=False, patience=patience)) as database:
            service = MirrorService(database)
            services.append(service)
            tell(f"mirroring studies to MLflow at {without_credentials(tracking_uri())}")
            with closing(service.run(should_leave)) as lines:
                for line in lines:
                    tell(line)
    return 0 if stop.signal is None else 128 + stop.signal
