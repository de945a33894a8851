"""Files of data: opened with care, known by their contents, named by their fingerprint."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn

from tunelab.datasets.sources.flaws import Flaw, report
from tunelab.errors import DataError, MissingDataFileError, Problem, nearest

if TYPE_CHECKING:  # a worker imports this package and needs no study file
    from tunelab.spec.study import DataSpec

MAX_BYTES = 2 << 30
MAX_VALUES = 100_000_000
"""Rows times columns: 800 MB of numbers."""

MAX_COLUMNS = 20_000

_HEAD_BYTES = 4096
_ENDINGS = (".csv", ".tsv", ".txt", ".parquet", ".npz")


@dataclass(frozen=True)
class Content:
    """What a file holds, as its first bytes tell.

    Attributes:
        source: The source that reads it, or None.
        noun: What to call it.
        hint: What to do with it.
    """

    source: str | None
    noun: str
    hint: str


_SIGNATURES: tuple[tuple[bytes, Content], ...] = (
    (b"PAR1", Content("parquet", "a Parquet file", "set data.source: parquet")),
    (b"\x1f\x8b", Content(None, "a gzip file", "unpack it with gunzip")),
    (b"BZh", Content(None, "a bzip2 file", "unpack it with bunzip2")),
    (b"\xfd7zXZ\0", Content(None, "an xz file", "unpack it with unxz")),
    (b"\x28\xb5\x2f\xfd", Content(None, "a zstd file", "unpack it with unzstd")),
    (b"7z\xbc\xaf", Content(None, "a 7z archive", "unpack it")),
    (b"\x93NUMPY", Content(None, "one NumPy array", "save x and y together with numpy.savez")),
    (b"\xd0\xcf\x11\xe0", Content(None, "an Excel workbook", "save the sheet as CSV")),
    (b"\x89HDF", Content(None, "an HDF5 file", "convert it to Parquet or CSV")),
    (b"ARROW1", Content(None, "an Arrow file", "convert it to Parquet or CSV")),
    (b"ORC", Content(None, "an ORC file", "convert it to Parquet or CSV")),
    (b"SQLite format 3", Content(None, "an SQLite database", "export the table as CSV")),
    (b"%PDF", Content(None, "a PDF document", "export the table as CSV")),
    (b"\x89PNG", Content(None, "a picture", "give a table of numbers")),
    (b"\xff\xd8\xff", Content(None, "a picture", "give a table of numbers")),
    (b"\xff\xfe\0\0", Content(None, "UTF-32 text", "save it as UTF-8")),
    (b"\xff\xfe", Content(None, "UTF-16 text", "save it as UTF-8")),
    (b"\xfe\xff", Content(None, "UTF-16 text", "save it as UTF-8")),
)
_PICKLE = Content(None, "a pickle, which may run code", "save the table as CSV or Parquet")
_WORKBOOK = Content(None, "an Excel workbook", "save the sheet as CSV")
_ARRAYS = Content("npz", "an archive of NumPy arrays", "set data.source: npz")
_ZIP = Content(None, "a zip archive", "unpack it")
_PAGE = Content(None, "a web page", "download the file itself")
_JSON = Content(None, "JSON", "convert it to CSV")
_TEXT = Content("csv", "text", "set data.source: csv")
_UTF16 = Content(None, "UTF-16 text", "save it as UTF-8")
_BINARY = Content(None, "binary data", "give a CSV, Parquet or NPZ file")
_CONTROLS = bytes(byte for byte in range(32) if byte not in b"\t\n\f\r\x1b")
_EXPECTED = {"csv": "a CSV file", "parquet": "a Parquet file", "npz": "an NPZ archive"}


def content_of(head: bytes) -> Content:
    """What a file is that begins with ``head``.

    >>> content_of(b"age,income").noun, content_of(b"PAR1").source
    ('text', 'parquet')
    """
    for signature, content in _SIGNATURES:
        if head.startswith(signature):
            return content
    if head.startswith(b"PK"):
        return _archive(head)
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        return _PICKLE
    fewest, most = sorted(part.count(0) for part in (head[0::2], head[1::2]))
    if most > 0.35 * len(head) > 10 * fewest:  # every other byte of European text in UTF-16 is 0
        return _UTF16
    if len(head.translate(None, _CONTROLS)) < 0.98 * len(head):
        return _BINARY
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:20].lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return _PAGE
    if start.startswith((b'{"', b"[{", b"[[")):
        return _JSON
    return _TEXT


def _archive(head: bytes) -> Content:
    if b"[Content_Types].xml" in head or b"xl/" in head:
        return _WORKBOOK
    return _ARRAYS if b".npy" in head or head.startswith(b"PK\x05\x06") else _ZIP


@contextmanager
def opened(path: str, source: str) -> Iterator[IO[bytes]]:
    """The regular file at ``path``, which holds what ``source`` reads.

    Raises:
        MissingDataFileError: If there is no such file.
        DataError: If it cannot be read, is empty, damaged, too large or of another kind, or
            changes while it is read.
    """
    _status(path)
    try:
        # A pipe that takes the file's place just now would wait for its writer.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        handle = os.open(path, flags)
    except OSError as error:
        _unreadable(path, error)
    with os.fdopen(handle, "rb") as file:
        before = os.fstat(handle)
        _check(path, before)
        content = content_of(file.read(_HEAD_BYTES))
        if content.source != source:
            refuse(path, f"must be {_EXPECTED[source]}, got {content.noun}", content.hint)
        file.seek(0)
        try:
            yield file
        except (DataError, DamagedError, MemoryError) as error:
            _check_unchanged(path, handle, before)
            if isinstance(error, DamagedError):
                refuse(path, f"is damaged, or not {_EXPECTED[source]}", "write it again")
            if isinstance(error, MemoryError):
                refuse(path, "needs more memory than there is", "give fewer rows or columns")
            raise
        _check_unchanged(path, handle, before)


def source_of(path: str) -> str:
    """The source that reads the file at ``path``, by its first bytes; ``csv`` where none does.

    Raises:
        MissingDataFileError: If there is no such file.
        DataError: If it cannot be read.
    """
    _status(path)
    try:
        with Path(path).open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        _unreadable(path, error)
    return content_of(head).source or "csv"


class DamagedError(Exception):
    """A library could not read what should be a file of its kind."""


@contextmanager
def damage() -> Iterator[None]:
    """Turn whatever a library raises on a damaged file into `DamagedError`.

    What that is no library says; fuzzed files bring out OSError, struct.error and KeyError.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise DamagedError from error


def file_fingerprint(data: DataSpec) -> str:
    """A text that changes whenever the file's contents may have; found without reading them.

    It says nothing of the path: a file keeps it when its folder is renamed.

    Raises:
        MissingDataFileError: If there is no such file.
        DataError: If it is none that could be read.
    """
    return _print_of(_status(str(data.path)))


def refuse(path: str, message: str, hint: str | None = None) -> NoReturn:
    """Raise the error for something that is wrong with the whole file.

    Raises:
        DataError: Always.
    """
    raise report(shown_path(path), [Flaw(message, hint)])


def shown_path(path: str) -> str:
    """The path as people write it: relative to the working directory where it is inside."""
    try:
        shown = str(Path(path).relative_to(Path.cwd()))
    except (ValueError, OSError):
        shown = path
    return shown if shown.isprintable() else repr(shown)[1:-1]


def _status(path: str) -> os.stat_result:
    try:
        status = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        _missing(Path(path))
    except (OSError, ValueError) as error:
        _unreadable(path, error)
    _check(path, status)
    return status


def _check(path: str, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        refuse(path, "must be a file, got a folder", "name a file in it under data.path")
    if not stat.S_ISREG(status.st_mode):
        refuse(path, "must be a regular file, got a pipe or device", "save the data in a file")
    if status.st_size == 0:
        refuse(path, "is empty")
    if status.st_size > MAX_BYTES:
        size = f"{status.st_size / 1e9:,.1f} GB"
        refuse(path, f"must have at most {MAX_BYTES / 1e9:.1f} GB, got {size}", "give fewer rows")


def _check_unchanged(path: str, handle: int, before: os.stat_result) -> None:
    if _print_of(os.fstat(handle)) != _print_of(before):
        refuse(path, "changed while it was read", "start again when it is complete")


def _print_of(status: os.stat_result) -> str:
    # The time of change tells what a program hides that sets back the time of modification.
    return (
        f"{status.st_size} bytes, inode {status.st_ino}, modified {status.st_mtime_ns}, "
        f"changed {status.st_ctime_ns}"
    )


def _unreadable(path: str, error: Exception) -> NoReturn:
    reason = getattr(error, "strerror", None) or str(error)
    refuse(path, f"cannot be read: {reason[:1].lower()}{reason[1:]}")


def _missing(path: Path) -> NoReturn:
    try:
        names = [item.name for item in path.parent.iterdir() if item.is_file()]
    except (OSError, ValueError):
        neighbour = None
        hint = f"there is no folder {shown_path(str(path.parent))!r} either"
    else:
        neighbour = _neighbour(path, names)
        hint = "a path in a study file counts from the folder of that file"
        if neighbour is not None:
            hint = f"did you mean {shown_path(str(path.with_name(neighbour)))!r}?"
    message = f"there is no file {shown_path(str(path))!r}"
    problem = Problem("", None, None, "data.path", message, hint)
    raise MissingDataFileError(problem, neighbour) from None


def _neighbour(path: Path, names: Sequence[str]) -> str | None:
    """The file of data that may have been meant: its name without the ending tells.

    >>> _neighbour(Path("poeple.csv"), ["people.yaml", "people.csv"])
    'people.csv'
    >>> _neighbour(Path("no.npz"), ["obj.npz"]) is None
    True
    """
    endings = {path.suffix.lower(), *_ENDINGS}
    stems: dict[str, list[str]] = {}
    # Of the same stem, the first is meant: that with the same ending.
    for name in sorted(names, key=lambda name: (Path(name).suffix != path.suffix, name)):
        if Path(name).suffix.lower() in endings:
            stems.setdefault(Path(name).stem.lower(), []).append(name)
    match = nearest(path.stem.lower(), list(stems))
    return None if match is None else stems[match][0]
