"""Disks that are full or read-only, and a database file that is deleted or damaged."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.faults.accounts import acknowledged, row, unfinished
from benchmarks.faults.place import Place, listen
from tests.service.conftest import Folder

_SIZES = ("400k", "1M", "4M")
_ENOUGH = "64M"
_SOME = 60  # epochs that are stored before the fault
_SKIPPED = {
    "postgresql": "only for a file",
    "rights": "left out: to make disks, this must be run as root on Linux",
}


def full_disks(place: Place, times: int) -> str:
    """Somebody fills a small disk in mid-run; then there is room, and the study goes on."""
    if reason := _reason_to_skip(place):
        return reason
    counts = Counts()
    for _ in range(times):
        for size in _SIZES:
            path = place.path()
            with _mounted(path, "-t", "tmpfs", "-o", f"size={size}", "tunelab"):
                folder = place.folder(60, data="iris", path=path)
                counts.fail(folder, _fill, says=("tunelab.db", "disk is full", "bytes free"))
                _command("mount", "-o", f"remount,size={_ENOUGH}", str(path))
                counts.go_on(folder)
    return counts.row(f"{times} x {', '.join(_SIZES)}")


def full_log_disks(place: Place, times: int) -> str:
    """The disk with the logs is full, and that of the database is not: nothing comes of it."""
    if place.kind != "postgresql":
        return "only for a server: a file has its logs beside it"
    if os.geteuid() != 0:
        return _SKIPPED["rights"]
    numbers = dict.fromkeys(("wrong_exit", "taken_for_dead", "failed", "unfinished"), 0)
    for _ in range(times):
        path = place.path()
        with _mounted(path, "-t", "tmpfs", "-o", "size=4M", "tunelab"):
            # So many that the lines about them fill more than the page that a file has already.
            folder = place.folder(900, max_epochs=3, path=path)
            process = folder.start("--workers", "2")
            said = listen(process)
            folder.wait_for_finished(2)
            _fill(folder)
            said.result(timeout=300)
        numbers["wrong_exit"] += process.returncode != 0
        numbers["unfinished"] += unfinished(folder)
        for lost, end_reason in folder.sql("SELECT lost_leases, end_reason FROM trials"):
            numbers["taken_for_dead"] += lost
            numbers["failed"] += end_reason == "failed"
    return row(f"{times} times", **numbers)


def read_only_disks(place: Place, times: int) -> str:
    """A disk becomes read-only in mid-run, as after an error; it is still read, and then written.

    No disk can be made read-only by an order while files on it are open; so it is an ext4 that is
    told of an error.
    """
    if reason := _reason_to_skip(place):
        return reason
    counts = Counts()
    unread = 0
    for _ in range(times):
        image, path = place.path() / "image", place.path()
        with image.open("wb") as file:
            file.truncate(32_000_000)
        _command("mkfs.ext4", "-q", str(image))
        disk = ("-o", "loop,errors=remount-ro", str(image))
        with _mounted(path, *disk):
            folder = place.folder(60, data="iris", path=path)
            counts.fail(
                folder,
                lambda at: _command("mount", "-o", "remount,abort", str(at.path)),
                says=("tunelab.db", "read-only"),
            )
            for words in (("study", "list"), ("study", "show", "small")):
                try:
                    unread += "small" not in folder.tunelab(*words)
                except AssertionError as error:
                    counts.remarks.append(str(error))
                    unread += 1
        # As an administrator would; without it the disk may find its error again.
        subprocess.run(["e2fsck", "-f", "-y", str(image)], check=False, capture_output=True)
        with _mounted(path, *disk):
            counts.go_on(folder)
    return counts.row(f"{times} times", unread=unread)


def deletions(place: Place, times: int) -> str:
    """The database is deleted in mid-run."""
    return _file_faults(place, times, _delete, "deleted")


def damages(place: Place, times: int) -> str:
    """Pages of the database are overwritten in mid-run."""
    return _file_faults(place, times, _damage, "damaged")


def _file_faults(place: Place, times: int, happen: Callable[[Folder], None], word: str) -> str:
    if place.kind != "sqlite":
        return _SKIPPED["postgresql"]
    counts = Counts()
    for _ in range(times):
        counts.fail(place.folder(60), happen, says=("tunelab.db", word))
    return counts.row(f"{times} times")


class Counts:
    """What went wrong over all tries.

    Attributes:
        remarks: The words of what was not as it should be.
    """

    def __init__(self) -> None:
        self._numbers = dict.fromkeys(("wrong_exit", "unsaid", "more_than_said", "tracebacks"), 0)
        self._seen: set[tuple[int, int]] = set()
        self._n_stored = 0
        self.remarks: list[str] = []

    def fail(
        self, folder: Folder, spoil: Callable[[Folder], object], says: tuple[str, ...]
    ) -> None:
        """Run a study and spoil its disk: it ends with 4 and one message that ``says`` so."""
        process = folder.start("--workers", "2")
        said = listen(process)
        self._seen = set()
        while process.poll() is None and len(self._seen) < _SOME:  # or the disk is too small
            time.sleep(0.05)
            self._seen = acknowledged(folder)
        self._n_stored += len(self._seen)
        spoil(folder)
        try:
            _, errors = said.result(timeout=150)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        told = [line for line in errors.splitlines() if line.startswith("error: ")]
        wrong = {
            "wrong_exit": process.returncode != 4,
            "unsaid": not all(words in " ".join(told) for words in says),
            "more_than_said": len(told) > 1,
            "tracebacks": "Traceback" in errors,
        }
        for name, is_wrong in wrong.items():
            self._numbers[name] += is_wrong
        if any(wrong.values()):
            self.remarks.append(f"exit {process.returncode}: {errors.strip()}")

    def go_on(self, folder: Folder) -> None:
        """Cured, the study goes on to its end and has all that was stored before."""
        numbers = dict.fromkeys(("not_whole", "epochs_lost", "unfinished", "not_resumed"), 0)
        numbers["not_whole"] = folder.sql("PRAGMA integrity_check") != [("ok",)]
        try:
            folder.tunelab("study", "start", "small.yaml")
        except AssertionError as error:
            numbers["not_resumed"] = 1
            self.remarks.append(str(error))
        else:
            numbers["epochs_lost"] = len(self._seen - acknowledged(folder))
            numbers["unfinished"] = unfinished(folder)
            numbers["not_whole"] |= folder.sql("PRAGMA integrity_check") != [("ok",)]
        for name, number in numbers.items():
            self._numbers[name] = self._numbers.get(name, 0) + number

    def row(self, what: str, **more: int) -> str:
        """The row, and below it what was not as it should be."""
        told = row(f"{what}, {self._n_stored} epochs before", **self._numbers, **more)
        return "\n    ".join([told, *dict.fromkeys(self.remarks)])


def _reason_to_skip(place: Place) -> str | None:
    if place.kind != "sqlite":
        return _SKIPPED["postgresql"]
    return None if os.geteuid() == 0 and shutil.which("mkfs.ext4") else _SKIPPED["rights"]


@contextlib.contextmanager
def _mounted(path: Path, *arguments: str) -> Iterator[None]:
    _command("mount", *arguments, str(path))
    try:
        yield
    finally:
        _command("umount", str(path))


def _command(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def _fill(folder: Folder) -> None:
    with contextlib.suppress(OSError), (folder.path / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(4096))


def _delete(folder: Folder) -> None:
    (folder.path / "tunelab.db").unlink()


def _damage(folder: Folder) -> None:
    """Overwrite all but the beginnings of the database and of its log, which say what they are."""
    for name in ("tunelab.db", "tunelab.db-wal"):
        with (folder.path / name).open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(4096)
            file.write(random.Random(0).randbytes(max(0, size - 4096)))
