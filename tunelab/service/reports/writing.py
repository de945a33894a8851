"""A study -> its report as a file."""

from __future__ import annotations

from pathlib import Path

from tunelab.errors import UsageError
from tunelab.service.reports.material import read_material
from tunelab.service.reports.page import build_page
from tunelab.service.resolved import resolved_study
from tunelab.storage.engine import Database
from tunelab.storage.files import write_whole
from tunelab.storage.studies import study_by_id


def write_report(database: Database, study_id: int, path: Path, *, light: bool = False) -> None:
    """Write the report on a study as one HTML file that needs no network.

    Args:
        database: The study database.
        study_id: Key of the study, which may still run.
        path: The file; it is there whole or not at all, and replaces what was there.
        light: Leave out scripts and what needs them: under 500 kB instead of some 5 MB.

    Raises:
        NotFoundError: If the study has been deleted.
        UsageError: If the file's folder does not exist, or what stands there is no file.
        DiskError: If the file cannot be written.
    """
    check_place(path)
    with database.read() as connection:
        study = study_by_id(connection, study_id)
        n_workers = resolved_study(database, study).mapping["search"].get("workers")
        material = read_material(connection, study, n_workers=n_workers)
    write_whole(path, build_page(material, light=light).encode("utf-8", "replace"))


def check_place(path: Path) -> None:
    """Whether a file can stand at ``path``.

    Raises:
        UsageError: If its folder does not exist, or what stands there is no file: replacing a
            device or a pipe would take it away from everybody.
    """
    if path.is_dir():
        raise UsageError(f"--output must be a file, and {path} is a folder")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is not a file", hint="choose another name with --output")
    if not path.parent.is_dir():
        raise UsageError(
            f"--output: there is no folder {str(path.parent)!r}", hint="make it, or name another"
        )
