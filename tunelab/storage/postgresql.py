"""A study database on a PostgreSQL server, shared by many machines.

Readers see one state of the database (REPEATABLE READ, read only). Writers run at READ COMMITTED
and lock the rows that they decide upon; where two may insert the same thing, an advisory lock or
``ON CONFLICT`` decides. A connection that has died is noticed before it is used.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from tunelab.errors import DatabaseError

DRIVER = "postgresql+psycopg"
_CONNECT_SECONDS = 10
# A server that vanishes without a word (a cut cable) is given up after this time. So is, by the
# server, a client that vanishes or is frozen in the middle of a transaction: what it has locked,
# others wait for.
_SILENCE_SECONDS = 30
_SESSION = f"""
SET idle_in_transaction_session_timeout = '{_SILENCE_SECONDS}s';
SET tcp_keepalives_idle = {_SILENCE_SECONDS // 3};
SET tcp_keepalives_interval = {_SILENCE_SECONDS // 3};
SET tcp_keepalives_count = 2;
"""

_NOTHING = ";"  # an empty statement: it is answered all the same
_SERIALIZATION = ("40001", "40P01")  # a race that the transaction lost, a deadlock
# The server is there and will not have us: waiting does not help.
_HOPELESS = {
    "28P01": "the password is wrong",
    "28000": "the server does not let this user in",
    "3D000": "there is no such database",
    "42501": "this user may not do that",
}
# It is shut down, has crashed, is starting, or has ended a session that was silent for too long.
_SHUT = ("57P01", "57P02", "57P03", "25P03")
_TOO_MANY = "53300"
_HOST = "host"  # no code of the server's, which was not found
_FULL = ("53100", "53200")


def normalized(url: URL) -> URL:
    """The URL with the one driver that is used, whatever it was called."""
    return url.set(drivername=DRIVER)


def fault(url: URL) -> tuple[str, str | None]:
    """What is wrong with a PostgreSQL URL, or an empty text; and what to do."""
    if url.drivername not in ("postgresql", DRIVER):
        return f"the driver {url.drivername} is not available", f"write {DRIVER}://..."
    if not url.database:
        return "the name of the database is missing", f"{DRIVER}://user:password@host/database"
    if importlib.util.find_spec("psycopg") is None:
        return "PostgreSQL needs the package psycopg", "pip install 'tunelab[postgres]'"
    if _half_a_password(url):
        hint = "in a password write %40 for @, %23 for #, %2F for /, %3A for :, %25 for %"
        return "this is not a database URL", hint
    return "", None


def _half_a_password(url: URL) -> bool:
    """Whether a character of the password has divided the URL at the wrong place."""
    texts = (url.host or "", url.database or "")
    return any(mark in text for text in texts for mark in "@#?") or "/" in (url.database or "")


def create_postgresql_engine(url: URL) -> Engine:
    """The engine of one server's database."""
    engine = create_engine(
        url,
        pool_size=2,
        max_overflow=3,
        connect_args={
            "connect_timeout": _CONNECT_SECONDS,
            "application_name": "tunelab",
            "keepalives_idle": _SILENCE_SECONDS // 3,
            "keepalives_interval": _SILENCE_SECONDS // 3,
            "keepalives_count": 2,
            "tcp_user_timeout": 1000 * _SILENCE_SECONDS,
        },
    )
    event.listen(engine, "connect", _limit_silence)
    return engine


@contextmanager
def connected(engine: Engine) -> Iterator[Connection]:
    """A connection that has answered, and whose transaction has begun.

    SQLAlchemy's own look at whether a connection lives (``pool_pre_ping``) is a transaction of its
    own, which the server commits: whoever polls would commit all day.
    """
    with ExitStack() as opened:
        connection = opened.enter_context(engine.connect())
        try:
            connection.exec_driver_sql(_NOTHING)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            # The pool has dropped all connections that are as old: this one is new.
            connection = opened.enter_context(engine.connect())
            connection.exec_driver_sql(_NOTHING)
        yield connection


def _limit_silence(connection: Any, _record: object) -> None:
    # Not among the options of the connection itself: connection poolers refuse those.
    connection.execute(_SESSION)
    connection.commit()


def reader(engine: Engine) -> Engine:
    """The engine for transactions that change nothing."""
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def place(url: URL) -> str:
    """Host, port and database, and nothing of the credentials."""
    host = url.host or "localhost"
    port = f":{url.port}" if url.port else ""
    return f"database {url.database} on {host}{port}"


def is_passing(error: DBAPIError) -> bool:
    """Whether the same transaction may succeed later: an outage, or a race that was lost."""
    code = getattr(error.orig, "sqlstate", None)
    if code is None:
        # psycopg gives no code where no connection came about; the server's words tell.
        return error.connection_invalidated or (
            _is_operational(error) and not any(words in str(error.orig) for words in _REFUSED)
        )
    return code in _SERIALIZATION or code in _SHUT or code == _TOO_MANY or code.startswith("08")


# What a server says to a client that it will not have, in the messages of libpq.
_REFUSED = {
    "password authentication failed": "28P01",
    "no password supplied": "28P01",
    "no pg_hba.conf entry": "28000",
    "does not exist": "3D000",
    "permission denied": "42501",
}
# No refusal: the name of a container, for one, is unknown while the container restarts.
_UNKNOWN_HOST = ("could not translate host name", "Name or service not known", "name resolution")
_NO_ROOM = ("too many clients", "remaining connection slots")


def explain(error: DBAPIError, url: URL) -> DatabaseError:
    """What a server's or driver's error means to the person who runs the study."""
    text = " ".join(str(error.orig).split())
    code = getattr(error.orig, "sqlstate", None)
    if code is None:
        codes = _REFUSED | dict.fromkeys(_NO_ROOM, _TOO_MANY) | dict.fromkeys(_UNKNOWN_HOST, _HOST)
        code = next((code for words, code in codes.items() if words in text), None)
    where = place(url)
    if code == _HOST:
        return DatabaseError(
            f"cannot reach the {where}: no such host", hint="check TUNELAB_DATABASE_URL"
        )
    if code in _HOPELESS:
        reason = _HOPELESS[code]
        if code == "3D000" and "role" in text:
            reason = f"there is no user {url.username}"
        return DatabaseError(
            f"cannot use the {where}: {reason}",
            hint="check TUNELAB_DATABASE_URL; in a password, write %40 for @ and %23 for #",
        )
    if code in _FULL:
        return DatabaseError(
            f"cannot write the {where}: the server's disk or memory is full",
            hint="make room and run the same command again: nothing that was stored is lost",
        )
    if code == _TOO_MANY:
        return DatabaseError(
            f"cannot reach the {where}: it has no connection left (max_connections)",
            hint="end other programs, or raise max_connections",
        )
    if is_passing(error):
        return DatabaseError(f"cannot reach the {where}: {_cause(text)}")
    return DatabaseError(f"{where}: {_cause(text)}")


def _cause(text: str) -> str:
    """The last and most particular part of libpq's message, without addresses in front."""
    found = re.search(r"(Connection refused|timeout expired|server closed the connection)", text)
    if found:
        return found[0][0].lower() + found[0][1:]
    return text.rpartition("FATAL: ")[2].strip() or text


def _is_operational(error: DBAPIError) -> bool:
    return type(error).__name__ == "OperationalError"
