"""``tracking run``: the service's mirror, with a line for what happens to it."""

from __future__ import annotations

from contextlib import closing

from tunelab.cli.console import tell
from tunelab.cli.serving import Serving
from tunelab.cli.tracking import check_tracking_uri
from tunelab.service.mirror.environment import tracking_uri, without_credentials
from tunelab.service.mirror_service import MirrorService


def run_and_tell() -> int:
    """Mirror all studies until told to leave.

    Returns:
        The exit code.

    Raises:
        UsageError: If MLFLOW_TRACKING_URI cannot be meant.
        DatabaseError: If the database cannot be opened.
    """
    check_tracking_uri(tracking_uri())
    serving = Serving()
    with serving.on_database() as database:
        service = MirrorService(database)
        serving.kill = service.kill
        tell(f"mirroring studies to MLflow at {without_credentials(tracking_uri())}")
        with closing(service.run(serving.should_leave)) as lines:
            for line in lines:
                tell(line)
    return serving.exit_code
