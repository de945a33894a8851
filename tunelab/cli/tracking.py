"""MLFLOW_TRACKING_URI, looked at before anything is started: MLflow itself says it late."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from tunelab.errors import UsageError
from tunelab.service.mirror.environment import TRACKING_URI_VARIABLE, is_server

_EXAMPLES = "expected something like sqlite:///mlflow.db or http://localhost:5000"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9.-]*)(\+[A-Za-z0-9]+)?://")
_SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql")
_ENCODED = "in a user name or password write @ as %40, # as %23, / as %2F, ? as %3F, : as %3A"


def check_tracking_uri(uri: str) -> None:
    """See that MLflow can be meant by ``uri``.

    >>> check_tracking_uri("file:./mlruns")
    Traceback (most recent call last):
    ...
    tunelab.errors.UsageError: MLFLOW_TRACKING_URI must not be a folder, which MLflow no longer \
writes; expected something like sqlite:///mlflow.db or http://localhost:5000

    Raises:
        UsageError: If it cannot. The message shows nothing of the URI: it may hold a password.
    """
    if uri.startswith("databricks"):
        return  # a name of MLflow's own, with or without a profile behind it
    if uri.startswith("file:"):
        raise UsageError(
            f"{TRACKING_URI_VARIABLE} must not be a folder, which MLflow no longer writes; "
            f"{_EXAMPLES}"
        )
    scheme = _SCHEME.match(uri)
    if scheme and scheme[1] not in _SCHEMES:
        raise UsageError(
            f"{TRACKING_URI_VARIABLE} has a scheme that MLflow does not know; {_EXAMPLES}",
            hint=f"it knows {', '.join(_SCHEMES)}",
        )
    if not scheme:
        raise UsageError(
            f"{TRACKING_URI_VARIABLE} has no scheme; {_EXAMPLES}",
            hint="for a database in a file write sqlite:/// and its path",
        )
    if is_server(uri) and not _names_a_host(uri):
        raise UsageError(
            f"{TRACKING_URI_VARIABLE} has no host and port that can be read; {_EXAMPLES}",
            hint=_ENCODED,
        )
    if re.fullmatch(r"sqlite:/{0,3}(:memory:)?", uri.partition("?")[0]):
        raise UsageError(f"{TRACKING_URI_VARIABLE} must name a file; {_EXAMPLES}")


def _names_a_host(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
        known = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
    # What looks like a query or fragment with an address in it is the end of a password.
    return known and "@" not in parts.query + parts.fragment
