"""Writing a prepared folder so that it is there whole or not at all.

Files go to a temporary folder in the same cache, are forced to disk, and appear under their key by
one rename. A kill leaves a temporary folder, which nobody reads and a later preparation removes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

TEMPORARY_PREFIX = ".preparing-"
STALE_SECONDS = 3600.0
"""Age at which a temporary folder counts as left behind; writing one takes seconds."""

Writer = Callable[[IO[bytes]], None]


def publish(
    folder: Path,
    files: Mapping[str, Writer],
    is_whole: Callable[[], bool],
    accept: Callable[[Path], None] | None = None,
) -> None:
    """Write ``files`` into ``folder``, unless another process was faster.

    Args:
        folder: Where the files shall be. It may exist already.
        files: Path within the folder -> what writes it. The last one is written last, also when
            a damaged folder is repaired, and should be the one by which readers know it.
        is_whole: Whether ``folder``, if it exists, can be used as it is.
        accept: Called with the folder of the finished files before they appear. If it raises,
            nothing is left of them.
    """
    made = [place for place in folder.parents if not place.exists()]
    temporary = _temporary_in(folder.parent)
    try:
        for name, write in files.items():
            _write_file(temporary / name, write)
        for inside in {(temporary / name).parent for name in files}:
            _sync_folder(inside)
        if accept is not None:
            accept(temporary)
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
            # Another process has made the folder in the meantime, or it was there and damaged.
            if not is_whole():
                _repair(folder, temporary, files)
        _sync_folder(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        for place in made:
            with contextlib.suppress(OSError):  # it is in use
                place.rmdir()


def remove_stale(cache: Path) -> None:
    """Remove what killed preparations left in ``cache`` more than an hour ago."""
    for leftover in cache.glob(f"{TEMPORARY_PREFIX}*"):
        try:
            age = time.time() - leftover.stat().st_mtime
        except OSError:  # its owner has just finished
            continue
        if age > STALE_SECONDS:
            shutil.rmtree(leftover, ignore_errors=True)


def _temporary_in(cache: Path) -> Path:
    """A new folder for one preparation, of mode 0700."""
    while True:
        _make_folders(cache)
        try:
            return Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=cache))
        except FileNotFoundError:
            continue  # another preparation has just failed and taken the empty cache with it


def _repair(folder: Path, temporary: Path, files: Mapping[str, Writer]) -> None:
    """Replace the files of ``folder`` one by one.

    The description decides the contents, so that whoever repairs puts the same bytes there, and
    at no time is a sound file missing.
    """
    for name in files:
        _make_folders((folder / name).parent)
        (temporary / name).replace(folder / name)
    for inside in {(folder / name).parent for name in files}:
        _sync_folder(inside)


def _write_file(file: Path, write: Writer) -> None:
    _make_folders(file.parent)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(file, flags, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        write(stream)
        stream.flush()
        os.fsync(stream.fileno())


def _make_folders(folder: Path) -> None:
    """Make ``folder`` and its missing parents, for their owner alone."""
    if not folder.is_dir():
        _make_folders(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` survive a power cut, where folders can be synced at all."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
