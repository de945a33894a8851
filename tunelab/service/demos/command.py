"""The two demos from start to end: check the targets, compute, write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tunelab.service.demos.files import check_target, targets
from tunelab.service.demos.paths import race_all
from tunelab.service.demos.results import Races
from tunelab.storage.files import write_whole

SURFACES_MARK = "tunelab demo surfaces"
SCHEDULES_MARK = "tunelab demo schedules"

Said = Callable[[Path, int], None]
"""Told of each file that was written, and its bytes."""


def surfaces_files(output: Path, *, force: bool) -> dict[str, Path]:
    """Where the page and the GIF go, if they may.

    Args:
        output: A folder, or one file that ends in .html or .gif.
        force: Replace files that are no earlier result of this.

    Raises:
        UsageError: If ``output`` has another ending, or another file is there.
        DiskError: If a file cannot be written.
    """
    files = targets(output, ["demo-surfaces.html", "demo-surfaces.gif"])
    for path in files.values():
        check_target(path, SURFACES_MARK, force=force)
    return files


def write_surfaces(files: Mapping[str, Path], n_steps: int, said: Said) -> Races:
    """Let the optimizers run, and write the page and the GIF.

    Args:
        files: From :func:`surfaces_files`.
        n_steps: Steps of every run.
        said: Told of each file.

    Raises:
        DiskError: If a file cannot be written.
    """
    races = race_all(n_steps)
    if ".html" in files:
        from tunelab.service.demos.page import build_page

        _write(files[".html"], build_page(races, n_steps).encode(), said)
    if ".gif" in files:
        from tunelab.service.demos.animation import build_gif

        _write(files[".gif"], build_gif(races, n_steps), said)
    return races


def write_schedules(output: Path, *, max_epochs: int, force: bool, said: Said) -> None:
    """Draw every schedule.

    Args:
        output: A folder, or a file that ends in .png or .svg.
        max_epochs: Epochs of the run, at least 2.
        force: Replace a file that is no earlier result of this.
        said: Told of the file.

    Raises:
        UsageError: If ``output`` has another ending, or another file is there.
        DiskError: If the file cannot be written.
    """
    from tunelab.service.demos.schedules import draw_schedules

    # In a folder the picture is a PNG.
    named = targets(output, ["demo-schedules.svg", "demo-schedules.png"])
    ending = ".png" if len(named) > 1 else next(iter(named))
    path = named[ending]
    check_target(path, SCHEDULES_MARK, force=force)
    _write(path, draw_schedules(max_epochs, ending), said)


def _write(path: Path, content: bytes, said: Said) -> None:
    write_whole(path, content)
    said(path, len(content))
