"""Where the pictures go: files that replace none but an earlier one of the same kind."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from tunelab.errors import DiskError, TunelabError, UsageError

_HEAD = 65536  # bytes at the beginning of a file, where the mark is


def targets(given: Path, names: Sequence[str]) -> dict[str, Path]:
    """The files to write, by the ending of their name.

    Args:
        given: A folder for all of them, which need not exist; or one file with one of the endings,
            for that one alone.
        names: Their names in a folder.

    Raises:
        UsageError: If ``given`` has another ending.

    >>> sorted(targets(Path("new/pictures"), ["demo.html", "demo.gif"]).items())
    [('.gif', PosixPath('new/pictures/demo.gif')), ('.html', PosixPath('new/pictures/demo.html'))]
    >>> targets(Path("a.gif"), ["demo.html", "demo.gif"])
    {'.gif': PosixPath('a.gif')}
    """
    by_ending = {Path(name).suffix: given / name for name in names}
    ending = given.suffix.lower()
    if given.is_dir() or not ending:
        return by_ending
    if ending not in by_ending:
        endings = " or ".join(by_ending)
        raise UsageError(
            f"--output must be a folder or end in {endings}, got {given}",
            hint=f"--output {given.with_suffix('')} would be a folder" if given.stem else None,
        )
    return {ending: given}


def check_target(path: Path, mark: str, *, force: bool) -> None:
    """Find out before the work whether ``path`` can be written, and make its folder.

    Args:
        path: The file.
        mark: What every file that the same command wrote has near its beginning.
        force: Replace whatever is there.

    Raises:
        UsageError: If another file is there.
        DiskError: If the folder cannot be written.
    """
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} is not a file", hint="choose another name with --output")
        if path.exists() and not force and not _bears(path, mark):
            raise UsageError(
                f"{path} exists, and was not made by `{mark}`",
                hint="choose another name with --output, or replace it with --force",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise _cannot_write(path, error) from error


def _bears(path: Path, mark: str) -> bool:
    with path.open("rb") as file:
        return mark.encode() in file.read(_HEAD)


def _cannot_write(path: Path, error: OSError) -> TunelabError:
    cause = error.strerror or str(error)
    return DiskError(
        f"cannot write {path}: {cause[:1].lower()}{cause[1:]}",
        hint="choose another place with --output",
    )
