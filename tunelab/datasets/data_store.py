"""Where prepared arrays lie for workers on other machines: a shared folder, or any fsspec URL.

A store keeps files by names such as ``KEY/meta.json``. Whoever reads it trusts nothing but digests,
so that a store need not be able to rename, nor to write a file whole.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

from tunelab.errors import DiskError, TunelabError, UsageError

DATA_STORE_VARIABLE = "TUNELAB_DATA_STORE"

_CHUNK_BYTES = 1 << 20
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}


class DataStore(ABC):
    """Files by name, for any number of processes at once.

    Every method raises :class:`DiskError` if the store cannot be reached or used; its message
    holds no credentials.

    Attributes:
        name: The store as it may be shown.
    """

    name: str

    def size(self, file: str) -> int | None:
        """Bytes of ``file``; None if there is no such file."""
        with self._errors_named():
            try:
                return self._size(file)
            except FileNotFoundError:
                return None

    def chunks(self, file: str) -> Iterator[bytes]:
        """The contents of ``file`` piece by piece.

        Raises:
            FileNotFoundError: If there is no such file.
        """
        with self._errors_named():
            stream = self._open(file)
        with contextlib.closing(stream):
            while True:
                with self._errors_named():
                    chunk = stream.read(_CHUNK_BYTES)
                if not chunk:
                    return
                yield chunk

    def write(self, file: str, source: Path) -> None:
        """Put a copy of the file ``source`` there, in place of what was there."""
        with self._errors_named():
            try:
                self._write(file, source)
            except FileNotFoundError as error:
                raise OSError(f"{type(error).__name__}: {error}") from error

    def remove(self, folder: str, first: str) -> None:
        """Remove ``folder`` with all its files, of them ``first`` before the others."""
        with self._errors_named(), contextlib.suppress(FileNotFoundError):
            self._remove(folder, first)

    @abstractmethod
    def _size(self, file: str) -> int: ...

    @abstractmethod
    def _open(self, file: str) -> IO[bytes]: ...

    @abstractmethod
    def _write(self, file: str, source: Path) -> None: ...

    @abstractmethod
    def _remove(self, folder: str, first: str) -> None: ...

    @abstractmethod
    def _cause(self, error: Exception) -> str:
        """What went wrong, without credentials."""

    @contextlib.contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, TunelabError):
            raise
        except Exception as error:  # libraries of object stores raise whatever they like
            # Not chained: a traceback would show the library's own text.
            raise DiskError(
                f"the data store {self.name} cannot be used: {self._cause(error)}",
                hint=f"check {DATA_STORE_VARIABLE}, its credentials, and that it can be reached",
            ) from None


class FolderStore(DataStore):
    """A folder that all machines see. New files get the rights that the umask leaves them.

    Args:
        folder: It must exist: one that is not mounted shall not be filled on the local disk.
    """

    def __init__(self, folder: Path) -> None:
        self.name = str(folder)
        self._folder = folder

    def _size(self, file: str) -> int:
        return (self._root() / file).stat().st_size

    def _open(self, file: str) -> IO[bytes]:
        return (self._root() / file).open("rb")

    def _write(self, file: str, source: Path) -> None:
        target = self._root() / file
        target.parent.mkdir(exist_ok=True)
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            with source.open("rb") as reader, temporary.open("xb") as writer:
                shutil.copyfileobj(reader, writer, _CHUNK_BYTES)
                writer.flush()
                os.fsync(writer.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    def _remove(self, folder: str, first: str) -> None:
        (self._root() / folder / first).unlink(missing_ok=True)
        shutil.rmtree(self._root() / folder)

    def _cause(self, error: Exception) -> str:
        return getattr(error, "strerror", None) or str(error)

    def _root(self) -> Path:
        if not self._folder.is_dir():
            raise DiskError(
                f"the data store {self.name} cannot be used: there is no such folder",
                hint=f"make or mount it, or correct {DATA_STORE_VARIABLE}",
            )
        return self._folder


class UrlStore(DataStore):
    """What fsspec makes of a URL: ``s3://bucket/folder``, ``gs://bucket/folder``.

    Raises:
        UsageError: If the URL cannot be understood, or a package for it is missing.
    """

    def __init__(self, url: str) -> None:
        self.name = without_credentials(url)
        self._secrets = _secrets(url)
        scheme = url.partition("://")[0]
        extra = _EXTRAS.get(scheme, "s3")
        try:
            from fsspec.core import url_to_fs

            self._files, self._folder = url_to_fs(url)
        except ImportError as error:
            raise UsageError(
                f"{DATA_STORE_VARIABLE}: {self.name}: a package is missing: {self._cause(error)}",
                hint=f"pip install 'tunelab[{extra}]'" if scheme in _EXTRAS else None,
            ) from None
        except Exception as error:
            raise UsageError(
                f"{DATA_STORE_VARIABLE}: {self.name} is no data store: {self._cause(error)}",
                hint="a folder, or a URL such as s3://bucket/folder",
            ) from None

    def _size(self, file: str) -> int:
        self._files.invalidate_cache()  # others write, too
        return int(self._files.info(self._path(file))["size"])

    def _open(self, file: str) -> IO[bytes]:
        opened: IO[bytes] = self._files.open(self._path(file), "rb")
        return opened

    def _write(self, file: str, source: Path) -> None:
        self._files.put_file(str(source), self._path(file))

    def _remove(self, folder: str, first: str) -> None:
        self._files.invalidate_cache()
        with contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._path(f"{folder}/{first}"))
        self._files.rm(self._path(folder), recursive=True)

    def _cause(self, error: Exception) -> str:
        lines: list[Any] = str(error).splitlines()
        text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _path(self, file: str) -> str:
        return f"{self._folder.rstrip('/')}/{file}"


def open_store(place: str) -> DataStore:
    """The store at ``place``: the path of a folder, or a URL.

    Raises:
        UsageError: If it is neither.
    """
    scheme, mark, rest = place.partition("://")
    if not mark:
        return FolderStore(Path(place).expanduser().absolute())
    if "::" in scheme:
        raise UsageError(f"{DATA_STORE_VARIABLE}: chained URLs ({scheme}://) are not data stores")
    if scheme in ("file", "local"):
        return FolderStore(Path(unquote(rest)).absolute())
    return UrlStore(place)


def without_credentials(url: str) -> str:
    """The URL as it may be shown: nothing before the last ``@``, nothing of a query.

    >>> without_credentials("sftp://me:se/cr@t@host/data?token=1")
    'sftp://***@host/data'
    """
    scheme, mark, rest = url.partition("://")
    before, at, rest = rest.rpartition("@")
    del before
    return f"{scheme}{mark}{'***' if at else ''}{at}{rest.partition('?')[0].partition('#')[0]}"


def _secrets(url: str) -> list[str]:
    """The texts of a URL that no message may hold, the longest first."""
    _, _, rest = url.partition("://")
    before, _, after = rest.rpartition("@")
    query = after.partition("?")[2]
    found = {url, rest, before, before.partition(":")[2], query}
    found |= {pair.partition("=")[2] for pair in query.split("&")}
    found |= {unquote(text) for text in found}
    if not before and not query:
        return []
    return sorted(found - {""}, key=len, reverse=True)
