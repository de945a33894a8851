"""MLflow: whether it answers under the name in use, and whether it shows what the studies have."""

from __future__ import annotations

import base64
import http.client
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from urllib.parse import unquote, urlsplit, urlunsplit

from tunelab.errors import TunelabError
from tunelab.service.doctor.findings import Finding, note, ok, wrong
from tunelab.service.mirror.environment import is_server, sqlite_path, without_credentials
from tunelab.service.mirror.sync import Action
from tunelab.service.tracking_sync import Compared, synchronize
from tunelab.storage.engine import Database
from tunelab.storage.mirror_runs import study_run
from tunelab.storage.studies import StudyRow, all_studies

_AREA = "MLflow"
_ANSWER_SECONDS = 5.0
# /health answers also where a request for data gets 403 for its host name.
_REQUEST = "/api/2.0/mlflow/experiments/search?max_results=1"
_SYNC = "`tunelab tracking sync`, or run with --fix"

_DIFFERENT = {
    "missing_runs": "runs missing: {}",
    "double_runs": "runs twice: {}",
    "stray_runs": "runs without a trial: {}",
    "wrong_states": "runs in a wrong state: {}",
    "missing_points": "points missing: {}",
    "wrong_points": "points wrong: {}",
    "wrong_labels": "params or tags wrong: {}",
    "wrong_models": "models or aliases wrong: {}",
}


def reachable(uri: str) -> tuple[Finding, bool]:
    """Whether MLflow answers at ``uri``, without loading its library.

    Returns:
        What was found, and whether it is worth while to ask MLflow for more.
    """
    shown = without_credentials(uri)
    path = sqlite_path(uri)
    if path is not None:
        if not path.parent.is_dir():
            hint = "create it, or set MLFLOW_TRACKING_URI"
            return wrong(_AREA, f"the folder {path.parent} does not exist", hint), False
        if not path.exists():
            return ok(_AREA, f"none yet; the first study makes {path}"), True
        if not os.access(path, os.W_OK):
            return wrong(_AREA, f"{path} may not be written", "allow writing to it"), False
        return ok(_AREA, shown), True
    if not is_server(uri):
        return ok(_AREA, f"{shown} (asked only where there are studies)"), True
    trouble = _asked(uri)
    if trouble is None:
        return ok(_AREA, f"{shown} answers"), True
    return wrong(_AREA, f"{shown} {trouble[0]}", trouble[1]), False


def _asked(uri: str) -> tuple[str, str] | None:
    """What is wrong with a server's answer, and what to do; None if nothing is."""
    parts = urlsplit(uri)
    request = urllib.request.Request(_address(uri), headers=_credentials(uri))  # noqa: S310
    context = ssl.create_default_context()
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() == "true":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(  # noqa: S310 - http and https alone come here
            request, timeout=_ANSWER_SECONDS, context=context if parts.scheme == "https" else None
        ) as answer:
            if b"experiments" in answer.read(1000) or answer.headers.get_content_type().endswith(
                "json"
            ):
                return None
            return "answers, but is no MLflow server", "check MLFLOW_TRACKING_URI"
    except urllib.error.HTTPError as error:
        with error:
            return _refused(error.code, str(parts.hostname))
    except http.client.HTTPException as error:
        said = f"answers, but not in HTTP: {type(error).__name__}"
        return said, "another program listens there; check MLFLOW_TRACKING_URI"
    except (OSError, ValueError) as error:
        cause = getattr(error, "reason", error)
        text = str(getattr(cause, "strerror", None) or cause) or type(error).__name__
        hint = "start it, or check MLFLOW_TRACKING_URI; studies run without it, and it catches up"
        if isinstance(cause, TimeoutError):
            text = f"no answer in {_ANSWER_SECONDS:.0f} s"
        return f"cannot be reached: {text}", hint


def _refused(code: int, host: str) -> tuple[str, str]:
    if code == 403:
        hint = (
            f"start the server with --allowed-hosts '{host}:*,localhost:*', or give the user rights"
        )
        return f"refuses requests for the host name {host} (HTTP 403)", hint
    if code == 401:
        hint = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        return "asks for a login (HTTP 401)", hint
    if code == 404:
        return "answers, but is no MLflow server (HTTP 404)", "check MLFLOW_TRACKING_URI"
    return f"answers with HTTP {code}", "look into the server's own log"


def _address(uri: str) -> str:
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/") + _REQUEST.partition("?")[0],
                       _REQUEST.partition("?")[2], ""))  # fmt: skip


def _credentials(uri: str) -> dict[str, str]:
    """The header that MLflow's client would send."""
    parts, environ = urlsplit(uri), os.environ
    user = unquote(parts.username or "") or environ.get("MLFLOW_TRACKING_USERNAME", "")
    password = unquote(parts.password or "") or environ.get("MLFLOW_TRACKING_PASSWORD", "")
    if user:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}
    token = environ.get("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def agreement(database: Database, uri: str) -> Iterator[Finding]:
    """Whether MLflow shows what the study database has.

    Studies that were never sent there, and those that are being sent, are left out.
    """
    shown = without_credentials(uri)
    with database.read() as connection:
        studies = all_studies(connection)
        sent = [study for study in studies if study_run(connection, study.id, shown)]
    if len(sent) < len(studies):
        titles = ", ".join(study.title for study in studies if study not in sent)
        yield note(_AREA, f"never sent to {shown}: {titles}", "`tunelab tracking sync` sends them")
    if not sent:
        return
    keys = [study.id for study in sent]

    path = sqlite_path(uri)
    if path is not None and not path.exists():  # a comparison would create it
        yield wrong(_AREA, f"{path} is gone, and with it all runs", _SYNC, _repair(database, sent))
        return
    try:
        with closing(synchronize(database, Action.COMPARE, keys)) as results:
            compared = [result for result in results if not result.busy]
    except TunelabError as error:
        hint = error.hint or "studies run without MLflow, and it catches up"
        yield wrong(_AREA, f"could not be compared: {error.message}", hint)
        return
    different = [result for result in compared if not result.agrees]
    for result in different:
        its_own = [study for study in sent if study.title == result.study]
        yield wrong(_AREA, _described(result), _SYNC, _repair(database, its_own))
    if compared and not different:
        yield ok(_AREA, f"shows what {_counted(len(compared))} of the study database has")


def _described(result: Compared) -> str:
    parts = [
        words.format(result.differences[kind])
        for kind, words in _DIFFERENT.items()
        if result.differences.get(kind)
    ]
    return f"{result.study}: {', '.join(parts)}"


def _counted(n: int) -> str:
    return "the one study" if n == 1 else f"each of {n} studies"


def _repair(database: Database, studies: Sequence[StudyRow]) -> Callable[[], str]:
    keys = [study.id for study in studies]

    def repair() -> str:
        busy = [result for result in synchronize(database, Action.REPAIR, keys) if result.busy]
        if busy:
            raise TunelabError(
                f"{', '.join(result.study for result in busy)} is being mirrored",
                hint="its mirror sends what is missing; look again when the study has ended",
            )
        return "MLflow shows what the study database has"

    return repair
