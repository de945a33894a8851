"""``tunelab ui``: the dashboard in the foreground."""

from __future__ import annotations

from tunelab.cli.console import put, tell
from tunelab.cli.tracking import check_tracking_uri
from tunelab.service.dashboard import serve_dashboard
from tunelab.service.mirror.environment import (
    TRACKING_URI_VARIABLE,
    is_server,
    tracking_uri,
)
from tunelab.storage.location import database_url


def serve(port: int) -> None:
    """Serve the dashboard until a signal ends it; a server that runs elsewhere is only named."""
    uri = tracking_uri()
    check_tracking_uri(uri)
    elsewhere = is_server(uri)
    if not elsewhere:
        tell("starting MLflow, which takes some seconds ...")

    def show_link(link: str) -> None:
        named = f"{TRACKING_URI_VARIABLE} names a server: open this page there"
        tell(named if elsewhere else "open this page; Ctrl-C ends the server")
        put(link, flush=True)

    serve_dashboard(database_url(), port, show_link)
