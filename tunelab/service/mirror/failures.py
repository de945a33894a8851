"""What went wrong between the mirror and MLflow, in one sentence without a password."""

from __future__ import annotations

from tunelab.errors import TrackingError
from tunelab.service.mirror.environment import without_credentials

_LONGEST_CAUSE = 300
# Libraries whose errors come through MLflow's client besides its own.
_RAISED_ON_THE_WAY = {"mlflow", "sqlalchemy", "alembic", "sqlite3", "requests", "urllib3"}


def explain(error: Exception, uri: str) -> str:
    """The sentence for an error that came up while MLflow at ``uri`` was used.

    >>> explain(ConnectionRefusedError("Connection refused"), "http://me:secret@localhost:5000")
    'MLflow at http://***@localhost:5000 cannot be reached: Connection refused'
    >>> explain(KeyError("digits"), "http://localhost:5000")
    "sending to MLflow at http://localhost:5000 failed: KeyError: 'digits'"
    """
    place, cause = without_credentials(uri), _cause(error, uri)
    if comes_from_mlflow(error):
        return f"MLflow at {place} cannot be reached: {cause}"
    return f"sending to MLflow at {place} failed: {type(error).__name__}: {cause}"


def comes_from_mlflow(error: Exception) -> bool:
    """Whether MLflow or the way to it has failed, and not this program itself."""
    if isinstance(error, (OSError, TrackingError)):
        return True
    return type(error).__module__.partition(".")[0] in _RAISED_ON_THE_WAY


def _cause(error: Exception, uri: str) -> str:
    # What lies at the bottom says it best: "Connection refused", not the pools and retries above.
    root: BaseException = error
    while root.__cause__ or root.__context__:
        root = root.__cause__ or root.__context__ or root
    text = " ".join((str(root) or str(error)).split()).replace(uri, without_credentials(uri))
    text = text or type(root).__name__
    return text if len(text) <= _LONGEST_CAUSE else text[:_LONGEST_CAUSE] + " ..."
