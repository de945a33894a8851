"""``tunelab study report``: write the page, and say where it is."""

from __future__ import annotations

from pathlib import Path

from tunelab.cli.console import put, tell
from tunelab.cli.database import existing_database
from tunelab.cli.formats import clean
from tunelab.service.reports.writing import check_place, write_report
from tunelab.storage.studies import get_study


def write(name: str, output: Path | None, *, light: bool) -> None:
    """Write the report on the study ``name`` and print its path.

    Args:
        name: The study, with or without its generation.
        output: The file; None: one named after the study, in the working directory.
        light: Without scripts.
    """
    with existing_database() as database:
        with database.read() as connection:
            study = get_study(connection, name)
        generation = f"-{study.generation}" if "#" in name else ""
        path = output or Path(f"{study.name}{generation}-report.html")
        check_place(path)
        replaced = path.exists()
        write_report(database, study.id, path, light=light)
    put(clean(str(path)))
    if replaced:
        tell("(replaced the file that was there)")
