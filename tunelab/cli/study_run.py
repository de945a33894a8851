"""``tunelab study ...``: the commands that run, stop and delete studies."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from tunelab.cli.console import put, tell
from tunelab.cli.database import existing_database
from tunelab.cli.options import (
    AsJson,
    Assigned,
    DaskAddress,
    ExecutorName,
    Mirrored,
    NConfirmed,
    NTrials,
    NWorkers,
    NWorkersOrVariable,
    StudyFile,
    StudyName,
    Timeout,
)

if TYPE_CHECKING:
    from tunelab.service.resolved_launch import Launched


def register(group: typer.Typer) -> None:
    """Add these commands to ``tunelab study``."""
    group.command(epilog="Example: tunelab study start studies/digits.yaml --trials 100")(start)
    group.command(epilog="Example: tunelab study submit studies/digits.yaml")(submit)
    group.command(epilog="Example: tunelab study watch digits")(watch)
    group.command(epilog="Example: tunelab study resume digits")(resume)
    group.command(epilog="Example: tunelab study confirm digits --seeds 5")(confirm)
    group.command(epilog="Example: tunelab study stop digits")(stop)
    group.command(epilog="Example: tunelab study delete digits --yes")(delete)


def start(
    study_file: StudyFile,
    assigned: Assigned = None,
    n_trials: NTrials = None,
    timeout: Timeout = None,
    n_workers: NWorkers = None,
    executor: ExecutorName = "local",
    dask_address: DaskAddress = None,
    new: Annotated[
        bool, typer.Option("--new", help="Start the next generation, even if one can go on.")
    ] = False,
    mirrored: Mirrored = True,
    as_json: AsJson = False,
) -> None:
    """Run a study, or go on with it, and print its best trial.

    Ctrl-C saves the running trials and leaves; the same command goes on. Every key of the file's
    section search has a variable too, such as TUNELAB_MAX_EPOCHS. An option goes before --set, that
    before a variable, and that before the file.
    """
    from tunelab.cli.running import check_mirror, run
    from tunelab.cli.settings import gathered
    from tunelab.service.executors.choice import make_executor
    from tunelab.service.resolved_launch import launch_with
    from tunelab.storage.location import database_url

    check_mirror(mirrored)
    settings = gathered(assigned, n_trials=n_trials, timeout=timeout, n_workers=n_workers)
    ran_by = make_executor(executor, dask_address)
    launched = launch_with(database_url(), study_file, settings, new=new)
    if launched.has_more:
        _tell_notes(launched)
    code = run(
        launched.database,
        launched.study,
        launched.has_more,
        n_workers=launched.n_workers,
        executor=ran_by,
        mirrored=mirrored,
        # Without the same --set, the file would ask for another study.
        go_on="tunelab study resume " + launched.study.name
        if assigned
        else f"tunelab study start {quote(str(study_file))}",
        as_json=as_json,
    )
    raise typer.Exit(code)


def _tell_notes(launched: Launched) -> None:
    for note in launched.notes:
        tell(f"warning: data: {note}")
    if launched.repeats is not None:
        other = launched.document.spec.search.seed + 1
        tell(
            f"note: {launched.study.title} has the seed of {launched.repeats.title} and begins "
            f"with the same trials; `--set search.seed={other}` has others"
        )


def submit(
    study_file: StudyFile,
    assigned: Assigned = None,
    n_trials: NTrials = None,
    timeout: Timeout = None,
    new: Annotated[
        bool, typer.Option("--new", help="Submit the next generation, even if one can go on.")
    ] = False,
) -> None:
    """Hand a study to the service: a controller leads it, workers anywhere train.

    Its data are prepared here and now. The same command hands over a study that was stopped.
    """
    from tunelab.cli.settings import gathered
    from tunelab.service.resolved_launch import launch_with
    from tunelab.storage.location import database_url
    from tunelab.storage.states import Executor

    settings = gathered(assigned, n_trials=n_trials, timeout=timeout)
    launched = launch_with(
        database_url(), study_file, settings, new=new, executor=Executor.EXTERNAL
    )
    launched.database.close()
    study = launched.study
    if not launched.has_more:
        again = f"`tunelab study submit {quote(str(study_file))}"
        tell(
            f"{study.title} has finished before; {again} --trials N` extends it, {again} --new` "
            "submits the next generation"
        )
        return
    _tell_notes(launched)
    put(study.title)
    tell(f"submitted; `tunelab study watch {study.name}` follows it")


def watch(name: StudyName, as_json: AsJson = False) -> None:
    """Follow a study that runs anywhere, and print its best trial at the end.

    Ctrl-C leaves; the study goes on.
    """
    from tunelab.cli.running import follow

    with existing_database() as database:
        raise typer.Exit(follow(database, name, as_json=as_json))


def resume(
    name: StudyName,
    n_workers: NWorkersOrVariable = None,
    executor: ExecutorName = "local",
    dask_address: DaskAddress = None,
    mirrored: Mirrored = True,
    as_json: AsJson = False,
) -> None:
    """Go on with a study that was stopped or interrupted, without its file."""
    from tunelab.cli.running import check_mirror, run
    from tunelab.service.executors.choice import make_executor
    from tunelab.service.launch import relaunch
    from tunelab.storage.location import database_url

    check_mirror(mirrored)
    ran_by = make_executor(executor, dask_address)
    code = run(
        *relaunch(database_url(), name),
        n_workers=n_workers,
        executor=ran_by,
        mirrored=mirrored,
        go_on=f"tunelab study resume {name}",
        as_json=as_json,
    )
    raise typer.Exit(code)


def confirm(
    name: StudyName,
    finalists: NConfirmed = None,
    seeds: NConfirmed = None,
    n_workers: NWorkersOrVariable = None,
    executor: ExecutorName = "local",
    dask_address: DaskAddress = None,
    mirrored: Mirrored = True,
    as_json: AsJson = False,
) -> None:
    """Train the finalists of a finished study on fresh seeds, and judge the pick on the test rows.

    A study does so by itself at its end, unless its file says `confirm: off`. Again, it trains only
    what is new; each time the test rows are opened is recorded and shown.
    """
    from tunelab.cli.running import check_mirror, run
    from tunelab.service.executors.choice import make_executor
    from tunelab.service.launch import launch_confirmation
    from tunelab.storage.location import database_url

    check_mirror(mirrored)
    ran_by = make_executor(executor, dask_address)
    database, study = launch_confirmation(
        database_url(), name, n_finalists=finalists, n_seeds=seeds
    )
    code = run(
        database,
        study,
        True,
        n_workers=n_workers,
        executor=ran_by,
        mirrored=mirrored,
        go_on=f"tunelab study resume {name}",
        as_json=as_json,
    )
    raise typer.Exit(code)


def stop(
    name: StudyName,
    now: Annotated[
        bool, typer.Option("--now", help="At once: trials go back to their last checkpoints.")
    ] = False,
) -> None:
    """Stop a running study in order: its trials are saved and can go on."""
    from tunelab.cli.orders import cancel_and_tell, stop_and_tell

    with existing_database() as database:
        (cancel_and_tell if now else stop_and_tell)(database, name)


def delete(
    name: StudyName,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    mlflow: Annotated[
        bool, typer.Option("--mlflow", help="Delete its runs in MLflow as well.")
    ] = False,
) -> None:
    """Delete a study for good: all generations of digits, or digits#7 alone."""
    from tunelab.cli.orders import delete_and_tell

    with existing_database() as database:
        delete_and_tell(database, name, yes=yes, mlflow=mlflow)
