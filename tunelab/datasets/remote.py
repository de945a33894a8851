"""Prepared arrays for workers on other machines: put into a data store, fetched, checked.

::

    <store>/<key>-<digest>/
        <SHA-256>.npy       one file an array of training or validation rows
        meta.json           written last: what the arrays are, their digests, its own checksum

Files are named by their contents, so that two machines whose float32 values differ in the last bit
never mix their files: the description that was written last says which ones belong together. Raw
rows and test rows are not put there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tunelab.datasets.cache import (
    META_FILE,
    PreparedData,
    array_files,
    load_training_data,
    open_prepared,
    shared_meta,
)
from tunelab.datasets.data_store import DATA_STORE_VARIABLE, DataStore
from tunelab.datasets.digest import canonical_json
from tunelab.datasets.store import Writer, publish, remove_stale
from tunelab.errors import DataError, DiskError

_DIGITS = 16  # of the data's digest, in a folder's name
_CHECKSUM = "checksum"
_META_BYTES = 1 << 28
_LOCK_SECONDS = 600.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class _Description:
    """A description from the store: its bytes, and SHA-256 and size of each array by file name."""

    text: bytes
    digests: Mapping[str, str]
    sizes: Mapping[str, int]


def put(prepared: PreparedData, store: DataStore) -> None:
    """Put the training and validation arrays of ``prepared`` into ``store``, unless they are there.

    A kill in between leaves files that nobody reads; the next call goes on.

    Raises:
        DataError: If the prepared data cannot be read.
        DiskError: If the store cannot be written.
    """
    folder = place(prepared.key, prepared.digest)
    with contextlib.suppress(DataError):
        there = _read_description(store, folder, prepared.digest)
        if all(
            store.size(_blob(folder, digest)) == there.sizes[name]
            for name, digest in there.digests.items()
        ):
            return
    load_training_data(prepared)  # whole, or an error
    digests, sizes = {}, {}
    for name in array_files(prepared):
        file = prepared.path / name
        with file.open("rb") as stream:
            digests[name] = hashlib.file_digest(stream, "sha256").hexdigest()
        sizes[name] = file.stat().st_size
        if store.size(_blob(folder, digests[name])) != sizes[name]:
            store.write(_blob(folder, digests[name]), file)
    meta = {**shared_meta(prepared), "files": sizes, "sha256": digests}
    with tempfile.TemporaryDirectory(prefix="tunelab-") as temporary:
        described = Path(temporary, META_FILE)
        described.write_text(json.dumps({**meta, _CHECKSUM: _checksum(meta)}, allow_nan=False))
        store.write(f"{folder}/{META_FILE}", described)


def fetch(store: DataStore, key: str, digest: str, cache: Path) -> PreparedData:
    """The arrays of one prepared data set, from ``cache`` or from ``store`` by way of it.

    They appear in the cache whole or not at all. Processes of one machine wait for the one of them
    that fetches.

    Args:
        store: Where they were put.
        key: Of the prepared data, the name of their folder.
        digest: What their digest must be.
        cache: Folder for fetched data, made if it is missing.

    Raises:
        DataError: If they are not in the store, or are others than those that were put there.
        DiskError: If the store cannot be read, or the cache not be written.
    """
    folder = place(key, digest)
    target = cache / folder
    if _is_whole(target, digest):
        return open_prepared(target)
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(cache / f".{folder}.lock"):
            if not _is_whole(target, digest):
                remove_stale(cache)
                described = _read_description(store, folder, digest)
                publish(
                    target,
                    _downloads(store, folder, described),
                    is_whole=lambda: _is_whole(target, digest),
                )
    except OSError as error:
        raise DiskError(
            f"{cache}: fetched data cannot be written: {error.strerror or error}",
            hint="check that the folder may be written to and that the disk is not full",
        ) from error
    return open_prepared(target)


def locate(path: Path, digest: str, store: DataStore | None, cache: Path) -> PreparedData:
    """The prepared data of a study, from this machine's disk or else fetched.

    Args:
        path: Where they were prepared, perhaps on another machine.
        digest: What their digest must be.
        store: Where they may have been put; None if there is no store.
        cache: Folder for fetched data.

    Raises:
        DataError: If they are nowhere, damaged, or others.
        DiskError: If the store cannot be read, or the cache not be written.
    """
    try:
        prepared = open_prepared(path)
        if prepared.digest == digest:
            return prepared
        fault = DataError(
            f"{path}: the data are others than the study began with: their digest must be "
            f"{digest[:_DIGITS]}, is {prepared.digest[:_DIGITS]}",
            hint=f"delete the folder {path}; the next start of the study prepares the data again",
        )
    except DataError as error:
        fault = error
    if store is not None:
        return fetch(store, path.name, digest, cache)
    if not path.exists():
        fault = DataError(
            f"{path}: the prepared data are not on this machine",
            hint=f"set {DATA_STORE_VARIABLE} here and where the study is started, or "
            "`tunelab study resume` it to prepare them again",
        )
    raise fault


def remove(store: DataStore, key: str, digest: str) -> None:
    """Remove what :func:`put` has put there.

    Raises:
        DiskError: If the store cannot be changed.
    """
    store.remove(place(key, digest), META_FILE)


def place(key: str, digest: str) -> str:
    """The name of the folder for one prepared data set, in stores and caches."""
    return f"{key}-{digest[:_DIGITS]}"


def _blob(folder: str, digest: str) -> str:
    return f"{folder}/{digest}.npy"


def _checksum(meta: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(meta).encode()).hexdigest()


def _read_description(store: DataStore, folder: str, digest: str) -> _Description:
    file = f"{folder}/{META_FILE}"
    try:
        text = bytearray()
        for chunk in store.chunks(file):
            text += chunk
            if len(text) > _META_BYTES:
                raise ValueError(f"it has more than {_META_BYTES} bytes")
        meta = json.loads(text)
        checksum = meta.pop(_CHECKSUM)
        if checksum != _checksum(meta):
            raise ValueError("its checksum is not that of its contents")
        found = str(meta["digest"])
        sizes = {str(name): int(size) for name, size in meta["files"].items()}
        digests = {name: str(meta["sha256"][name]) for name in sizes}
        if any(Path(name).name != name for name in sizes):
            raise ValueError("it names files outside of its folder")
    except FileNotFoundError:
        raise DataError(
            f"the data store {store.name} does not have the prepared data {folder}",
            hint=f"start or resume the study where its data are, with {DATA_STORE_VARIABLE} set "
            "to the same store: that puts them there",
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"no key {error}" if isinstance(error, KeyError) else str(error)
        raise _damaged(store, file, folder, reason) from error
    if found != digest:
        raise _damaged(
            store,
            file,
            folder,
            f"the digest of the data must be {digest[:_DIGITS]}, is {found[:_DIGITS]}",
        )
    return _Description(bytes(text), digests, sizes)


def _downloads(store: DataStore, folder: str, described: _Description) -> dict[str, Writer]:
    def download(name: str, digest: str) -> Writer:
        def write(stream: IO[bytes]) -> None:
            file = _blob(folder, digest)
            hashed = hashlib.sha256()
            try:
                for chunk in store.chunks(file):
                    hashed.update(chunk)
                    stream.write(chunk)
            except FileNotFoundError:
                raise _damaged(store, file, folder, f"{name} is missing") from None
            if hashed.hexdigest() != digest:
                found = hashed.hexdigest()[:_DIGITS]
                reason = f"SHA-256 of {name} must be {digest[:_DIGITS]}, is {found}"
                raise _damaged(store, file, folder, reason)

        return write

    writers = {name: download(name, digest) for name, digest in described.digests.items()}

    def describe(stream: IO[bytes]) -> None:
        stream.write(described.text)

    return {**writers, META_FILE: describe}


def _is_whole(folder: Path, digest: str) -> bool:
    """Whether a fetched folder can be used; its files' digests were checked when it was fetched."""
    try:
        prepared = open_prepared(folder)
        load_training_data(prepared)
    except DataError:
        return False
    return prepared.digest == digest


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Keep other processes of this machine out, as far as its file system can.

    It saves fetching twice and decides nothing: where locks are missing, or their holder is frozen,
    several fetch, and one result stays.
    """
    with lock.open("ab") as stream:
        try:
            import fcntl
        except ImportError:  # Windows
            yield
            return
        deadline = time.monotonic() + _LOCK_SECONDS
        while time.monotonic() < deadline:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_POLL_SECONDS)
                continue
            except OSError:
                pass
            break
        yield


def _damaged(store: DataStore, file: str, folder: str, reason: str) -> DataError:
    return DataError(
        f"the data store {store.name} is damaged: {file}: {reason}",
        hint=f"delete {folder} in it, then start or resume the study where its data are, with "
        f"{DATA_STORE_VARIABLE} set: that puts them there again",
    )
