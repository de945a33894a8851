"""This installation: versions, threads of numerical libraries, what killed programs left behind."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tunelab.service.children import THREAD_VARIABLES
from tunelab.service.doctor.findings import Finding, ok, wrong
from tunelab.storage.files import PART

# Of the libraries on whose versions most depends: the least, and for some the first too new.
_REQUIRED: dict[str, tuple[tuple[int, ...], tuple[int, ...] | None]] = {
    "numpy": ((2, 1), None),
    "optuna": ((5,), (6,)),
    "mlflow": ((3, 16, 1), (4,)),
    "sqlalchemy": ((2, 0, 36), None),
}
_POSTGRESQL_DRIVER: dict[str, tuple[tuple[int, ...], tuple[int, ...] | None]] = {
    "psycopg": ((3, 2), (4,))
}
_LEFT_BEHIND_SECONDS = 86_400.0
_TEMPORARY_NAME = re.compile(r"tunelab-[a-z0-9_]{8}")  # as tempfile writes them
_PREPARING = ".preparing-*"


def versions(*, with_postgresql: bool) -> Iterator[Finding]:
    """Whether every library is there in a version that tunelab works with."""
    required = _REQUIRED | (_POSTGRESQL_DRIVER if with_postgresql else {})
    found = [f"Python {sys.version.split()[0]}", f"tunelab {_version('tunelab') or 'uninstalled'}"]
    for name, (least, too_new) in required.items():
        present = _version(name)
        bounds = f"{name} {_dotted(least)} or newer" + (
            f", before {_dotted(too_new)}" if too_new else ""
        )
        hint = "reinstall tunelab: pip install -c constraints.txt -e ."
        if present is None:
            yield wrong("versions", f"{name} is not installed; tunelab needs {bounds}", hint)
        elif _parts(present) < least or (too_new and _parts(present) >= too_new):
            yield wrong("versions", f"{name} {present} is installed; needed is {bounds}", hint)
        else:
            found.append(f"{name} {present}")
    yield ok("versions", ", ".join(found))


def threads(environ: Mapping[str, str]) -> Finding:
    """Whether the variables that limit BLAS threads can be read.

    >>> threads({"OMP_NUM_THREADS": "many"}).message
    'OMP_NUM_THREADS must be a whole number from 1'
    """
    given = {name: environ[name] for name in THREAD_VARIABLES if environ.get(name)}
    for name, text in given.items():
        # OpenMP takes a list as well, a number for each level of nesting.
        if not all(part.strip().isdecimal() and int(part) for part in text.split(",")):
            return wrong("threads", f"{name} must be a whole number from 1", f"unset {name}")
    if given:
        listed = ", ".join(f"{name}={text}" for name, text in given.items())
        return ok("threads", f"one BLAS thread a worker, whatever this shell has ({listed})")
    return ok("threads", "one BLAS thread a worker")


def leftovers(home: Path, tracking_database: Path | None) -> Finding:
    """Temporary files of programs that were killed, older than a day."""
    found = list(_left_behind(home, tracking_database))
    if not found:
        return ok("leftovers", "no temporary folders")
    names = ", ".join(str(path) for path in found[:3]) + (" ..." if len(found) > 3 else "")
    what = "a temporary folder was" if len(found) == 1 else f"{len(found)} temporary folders were"

    def remove() -> str:
        for path in found:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        return f"removed {names}"

    return wrong("leftovers", f"{what} left behind: {names}", "delete, or run with --fix", remove)


def _left_behind(home: Path, tracking_database: Path | None) -> Iterator[Path]:
    temporary = Path(tempfile.gettempdir())
    candidates = [
        path for path in temporary.glob("tunelab-*") if _TEMPORARY_NAME.fullmatch(path.name)
    ]
    candidates += (home / "data").glob(_PREPARING)
    candidates += home.parent.glob(f".*{PART}")
    if tracking_database is not None:
        candidates += tracking_database.parent.glob(f".{tracking_database.name}.creating-*")
    for path in sorted(candidates):
        try:
            status = path.lstat()
        except OSError:
            continue
        own = not hasattr(os, "getuid") or status.st_uid == os.getuid()
        old = time.time() - status.st_mtime > _LEFT_BEHIND_SECONDS
        if own and old and not stat.S_ISLNK(status.st_mode):
            yield path


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _parts(text: str) -> tuple[int, ...]:
    """The numbers a version begins with.

    >>> _parts("3.16.1rc2"), _parts("2.0")
    ((3, 16, 1), (2, 0))
    """
    match = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def _dotted(parts: Sequence[int]) -> str:
    return ".".join(map(str, parts))
