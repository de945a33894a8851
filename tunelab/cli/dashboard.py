"""``tunelab ui``: the dashboard in the foreground."""

from __future__ import annotations

from tunelab.cli.console import put, tell
from tunelab.service.dashboard import serve_dashboard
from tunelab.storage.location import database_url


def serve(port: int) -> None:
    """Serve the dashboard until a signal ends it."""
    tell("starting MLflow, which takes some seconds ...")
    serve_dashboard(database_url(), port, _show_link)


def _show_link(link: str) -> None:
    tell("open this page; Ctrl-C ends the server")
    put(link, flush=True)
