"""Where the study database is."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from tunelab.errors import UsageError
from tunelab.storage.engine import DEFAULT_URL

DATABASE_URL_VARIABLE = "TUNELAB_DATABASE_URL"
PASSWORD_FILE_VARIABLE = "TUNELAB_DATABASE_PASSWORD_FILE"  # noqa: S105 - a name, no password


def database_url() -> str:
    """The URL in TUNELAB_DATABASE_URL; without it, ``tunelab.db`` in the working directory.

    The content of the file that TUNELAB_DATABASE_PASSWORD_FILE names becomes the password, in the
    place of one in the URL. There it stands as it is: nothing needs to be written as %40. SQLite
    has no passwords, and the file is not read.

    Raises:
        UsageError: If that file cannot be read or is empty, or names the password of no database.
    """
    url = os.environ.get(DATABASE_URL_VARIABLE)
    if not os.environ.get(PASSWORD_FILE_VARIABLE):
        return url or DEFAULT_URL
    if not url:
        raise UsageError(
            f"{PASSWORD_FILE_VARIABLE} is set, {DATABASE_URL_VARIABLE} is not",
            hint=f"set {DATABASE_URL_VARIABLE}=postgresql+psycopg://user@host/database",
        )
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return url  # which is refused, with the reason, where it is opened
    if parsed.get_backend_name() == "sqlite":
        return url
    password = read_password(PASSWORD_FILE_VARIABLE)
    return parsed.set(password=password).render_as_string(hide_password=False)


def read_password(variable: str) -> str:
    """The content of the file that an environment variable names, without the line's end.

    Raises:
        UsageError: If the variable is not set, or the file cannot be read or holds no password.
    """
    name = os.environ.get(variable)
    if not name:
        raise UsageError(f"{variable} is not set", hint="it names the file with the password")
    try:
        password = Path(name).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        reason = (error.strerror or "it cannot be read").lower()
        raise UsageError(f"{variable}: cannot read {name}: {reason}") from error
    except UnicodeDecodeError:
        raise UsageError(f"{variable}: {name} is not a text in UTF-8") from None
    if not password:
        raise UsageError(f"{variable}: {name} is empty", hint="write the password into it")
    if "\n" in password or "\0" in password:
        raise UsageError(f"{variable}: {name} must hold one line, the password")
    return password
