"""Arguments and options that several commands share, and how their values are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXECUTORS = ("local", "external", "dask")


def _whole_number(text: str, greatest: int, least: int = 1) -> int:
    from tunelab.spec.rules import Number, RefusedError

    rule = Number("int", least, greatest)
    try:
        return int(rule.check(int(text)))
    except RefusedError as error:
        raise typer.BadParameter(error.message) from None
    except ValueError:
        raise typer.BadParameter(
            f"must be a whole number from {least} to {greatest}, got {text[:60]!r}"
        ) from None


def n_trials(text: str) -> int:
    """A number of trials, as `--trials` takes it."""
    return _whole_number(text, 1_000_000)


def trial_number(text: str) -> int:
    """The number of a trial, as `study trial` takes it."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"must be a whole number from 0, got {text[:60]!r}") from None


def n_demo_steps(text: str) -> int:
    """A number of steps, as `demo surfaces --steps` takes it."""
    return _whole_number(text, 10_000)


def n_demo_epochs(text: str) -> int:
    """A number of epochs, as `demo schedules --epochs` takes it."""
    return _whole_number(text, 10_000, least=3)


def n_workers(text: str) -> int:
    """A number of worker processes, as `--workers` takes it."""
    return _whole_number(text, 1024)


def n_confirmed(text: str) -> int:
    """A number of finalists or seeds, as `study confirm` takes it."""
    return _whole_number(text, 20)


def executor(text: str) -> str:
    """The name of an executor, as `--executor` takes it."""
    from tunelab.errors import nearest

    if text in EXECUTORS:
        return text
    match = nearest(text, EXECUTORS)
    meant = f"; did you mean {match}?" if match else ""
    raise typer.BadParameter(f"must be {', '.join(EXECUTORS)}, got {text[:60]!r}{meant}")


def port(text: str) -> int:
    """A port to listen at, as `--port` takes it."""
    return _whole_number(text, 65_535)


def timeout(text: str) -> float:
    """A time span in seconds, from ``90``, ``90s``, ``10m`` or ``1h30m``."""
    from tunelab.spec.durations import seconds
    from tunelab.spec.rules import RefusedError

    try:
        given: float | str = float(text)
    except ValueError:
        given = text
    try:
        return seconds(given)
    except RefusedError as error:
        raise typer.BadParameter(error.message) from None


StudyFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        readable=False,  # whoever reads it says so in the words of all other errors
        help="The study file, YAML.",
        show_default=False,
    ),
]
StudyName = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="The study: digits is its latest generation, digits#7 its 7th.",
        show_default=False,
    ),
]
StudyNames = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME...",
        help="Studies: digits is its latest generation, digits#7 its 7th.",
        show_default=False,
    ),
]
TrialNumber = Annotated[
    int,
    typer.Argument(
        metavar="NUMBER",
        parser=trial_number,
        help="The trial's number, from 0.",
        show_default=False,
    ),
]
NTrials = Annotated[
    int | None,
    typer.Option(
        "--trials",
        metavar="N",
        parser=n_trials,
        help="Trials in total; more than before extends a study.  [env var: TUNELAB_TRIALS]",
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="T",
        parser=timeout,
        help="Running time in total: 45s, 10m, 1h30m, or seconds.  [env var: TUNELAB_TIMEOUT]",
    ),
]
NConfirmed = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        parser=n_confirmed,
        show_default=False,
        help="From 1 to 20; without it, as the study says.",
    ),
]
NWorkers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        parser=n_workers,
        help="Worker processes.  [env var: TUNELAB_WORKERS]",
    ),
]
NWorkersOrVariable = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        envvar="TUNELAB_WORKERS",
        parser=n_workers,
        help="Worker processes.",
    ),
]
ExecutorName = Annotated[
    str,
    typer.Option(
        "--executor",
        metavar="NAME",
        parser=executor,
        help="What runs the workers: local, external (worker run, elsewhere) or dask.",
    ),
]
DaskAddress = Annotated[
    str | None,
    typer.Option(
        "--dask-address",
        metavar="ADDRESS",
        help="Scheduler of --executor dask: tcp://host:8786, or its scheduler file.",
        show_default=False,
    ),
]
Assigned = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Value in place of the file's: space.units.high=256. Repeatable.",
        show_default=False,
    ),
]
Port = Annotated[
    int, typer.Option("--port", metavar="N", parser=port, help="Port of the dashboard.")
]
Mirrored = Annotated[
    bool,
    typer.Option(
        "--mirror/--no-mirror",
        envvar="TUNELAB_MIRROR",
        help="Send to MLflow now, or leave it to a later start.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
