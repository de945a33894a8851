"""Where MLflow keeps its data, and the settings it gets before it is loaded."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

TRACKING_URI_VARIABLE = "MLFLOW_TRACKING_URI"
DEFAULT_FILE = "mlflow.db"
_SQLITE = "sqlite:///"

_ALWAYS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
# By default one call to a server that is away blocks for minutes; the mirror retries by itself.
_UNLESS_SET = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI; without it ``mlflow.db`` in the working directory.

    A path to an SQLite file becomes absolute, so that a study that is started from another folder
    with the same URI is not taken for the same runs.
    """
    uri = os.environ.get(TRACKING_URI_VARIABLE) or _SQLITE + DEFAULT_FILE
    path = sqlite_path(uri)
    if path is None:
        return uri
    _, mark, options = uri.partition("?")
    return f"{_SQLITE}{path}{mark}{options}"


def sqlite_path(uri: str) -> Path | None:
    """The absolute path of an SQLite tracking database; None for anything else.

    >>> sqlite_path("sqlite:////data/mlflow.db"), sqlite_path("http://localhost:5000")
    (PosixPath('/data/mlflow.db'), None)
    """
    if not uri.startswith(_SQLITE):
        return None
    name = uri.removeprefix(_SQLITE).partition("?")[0]
    return None if name in ("", ":memory:") else Path(name).absolute()


def is_server(uri: str) -> bool:
    """Whether the URI names a tracking server, not a database.

    >>> is_server("https://mlflow.example.org"), is_server("sqlite:///mlflow.db")
    (True, False)
    """
    return uri.startswith(("http://", "https://"))


def without_credentials(uri: str) -> str:
    """The URI as it may be shown and stored.

    A password may hold what divides a URI, so everything up to the last ``@`` is hidden.

    >>> without_credentials("https://me:secret@mlflow.example.org:5000/team")
    'https://***@mlflow.example.org:5000/team'
    >>> without_credentials("https://me:s3cret@#/x@mlflow.example.org")
    'https://***@mlflow.example.org'
    >>> without_credentials("sqlite:////home/me@work/mlflow.db")
    'sqlite:////home/me@work/mlflow.db'
    """
    scheme, mark, rest = uri.partition("://")
    if "@" not in rest or uri.startswith(_SQLITE):
        return uri
    return f"{scheme}{mark}***@{rest.rpartition('@')[2]}"


def prepare(environ: MutableMapping[str, str]) -> None:
    """Set what MLflow reads when it is imported: no telemetry, no chatter, few retries."""
    environ.update(_ALWAYS)
    for name, value in _UNLESS_SET.items():
        environ.setdefault(name, value)
