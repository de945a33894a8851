"""Make the service's two databases, each with a role of its own, and bring both up to date.

Run by the service ``init`` before all others, at every ``docker compose up``: what is there already
stays, and a role gets the password that its file holds now.

Variables: PGHOST, PGUSER and PGPASSWORD_FILE of the administrator; TUNELAB_DATABASE_URL with
TUNELAB_DATABASE_PASSWORD_FILE, and MLFLOW_BACKEND_STORE_URI with MLFLOW_DATABASE_PASSWORD_FILE.
"""

from __future__ import annotations

import os
import subprocess
import sys

import psycopg
from psycopg import sql
from sqlalchemy import URL, make_url

from tunelab.errors import TunelabError
from tunelab.storage.location import read_password

TUNELAB = ("TUNELAB_DATABASE_URL", "TUNELAB_DATABASE_PASSWORD_FILE")
MLFLOW = ("MLFLOW_BACKEND_STORE_URI", "MLFLOW_DATABASE_PASSWORD_FILE")


def target(url_variable: str, password_variable: str) -> URL:
    """The database that two variables name, with the password from its file."""
    return make_url(os.environ[url_variable]).set(password=read_password(password_variable))


def make_role_and_database(connection: psycopg.Connection, url: URL) -> None:
    """Make the role and the database of ``url``, which nobody else may enter.

    Args:
        connection: An administrator's, which commits each statement.
        url: User, password and database.
    """
    role, database = sql.Identifier(str(url.username)), sql.Identifier(str(url.database))
    # Encrypted here: the password itself never comes into a statement, which a server may log.
    verifier = connection.pgconn.encrypt_password(
        str(url.password).encode(), str(url.username).encode(), b"scram-sha-256"
    )
    known = "SELECT 1 FROM pg_roles WHERE rolname = %s"
    verb = "ALTER" if connection.execute(known, [url.username]).fetchone() else "CREATE"
    connection.execute(
        sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(
            sql.SQL(verb), role, sql.Literal(verifier.decode())
        )
    )
    known = "SELECT 1 FROM pg_database WHERE datname = %s"
    if connection.execute(known, [url.database]).fetchone() is None:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role))
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))


def upgrade_mlflow(url: URL) -> None:
    """Make or upgrade MLflow's tables; its server refuses those of another version."""
    from mlflow.db import commands

    commands.main(["upgrade", url.render_as_string(hide_password=False)], standalone_mode=False)


def main() -> None:
    """Make both databases and upgrade them."""
    try:
        tunelab, mlflow = target(*TUNELAB), target(*MLFLOW)
        administrator = read_password("PGPASSWORD_FILE")
    except TunelabError as error:
        sys.exit(error.message)
    with psycopg.connect(dbname="postgres", password=administrator, autocommit=True) as connection:
        for url in (tunelab, mlflow):
            make_role_and_database(connection, url)
            print(f"role {url.username} and database {url.database} are there", file=sys.stderr)
    subprocess.run(["tunelab", "db", "upgrade"], check=True)  # noqa: S607 - the image's own
    upgrade_mlflow(mlflow)


if __name__ == "__main__":
    main()
