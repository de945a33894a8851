"""Files that are whole or not there: written under another name, then renamed."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tunelab.errors import DiskError, UsageError

PART = ".tunelab-part"  # ends the name of a file that is not whole yet


@contextlib.contextmanager
def new_file(path: Path, *, private: bool = True) -> Iterator[Path]:
    """A place to write a file that nobody else may read; it becomes ``path`` behind the block.

    It lies in the same folder. On an exception nothing is left of it; a process that is killed
    leaves a file whose name begins with a dot and ends in ``.tunelab-part``.

    Args:
        path: The file.
        private: Whether it stays so; else it gets the mode that any new file gets here.

    Yields:
        An empty file with mode 0600.

    Raises:
        UsageError: If ``path`` exists already, also if somebody else made it meanwhile.
        DiskError: If the file cannot be written.
    """
    _refuse_existing(path)
    try:
        number, name = tempfile.mkstemp(PART, f".{path.name}.", path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    os.close(number)
    part = Path(name)
    try:
        yield part
        try:
            if not private:
                part.chmod(0o666 & ~_umask())
            _sync(part)
            _publish(part, path)
            _sync(path.parent)
        except OSError as error:
            raise _cannot_write(path, error) from error
    finally:
        part.unlink(missing_ok=True)


def replace_whole(path: Path, text: str) -> None:
    """Write a file that is never there by half, in the place of an earlier one; mode 0600.

    Raises:
        OSError: If it cannot be written; then nothing of it is left.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(PART, f".{path.name}.", path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: bytes) -> None:
    """Write a file to be handed on, never there by half, in the place of an earlier one.

    Raises:
        DiskError: If it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _publish(part: Path, path: Path) -> None:
    """Give ``part`` its name, in one step that replaces nothing where there are hard links."""
    try:
        os.link(part, path)
    except FileExistsError:
        _refuse_existing(path)
    except OSError:  # a file system without hard links
        _refuse_existing(path)
        part.rename(path)


def _refuse_existing(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise UsageError(f"{path} exists already", hint="choose another name, or move it away")


def _sync(path: Path) -> None:
    """Have the system write what it holds of a file, or of a folder's list of names."""
    if os.name == "nt" and path.is_dir():
        return
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _cannot_write(path: Path, error: OSError) -> DiskError:
    cause = error.strerror or str(error)
    return DiskError(f"cannot write {path}: {cause[:1].lower()}{cause[1:]}")
