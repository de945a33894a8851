"""``study start`` and ``study resume``: the run from its first event to its exit code."""

from __future__ import annotations

import signal
from contextlib import closing

from tunelab.cli.console import put_json, tell
from tunelab.cli.errors import report_of, show
from tunelab.cli.formats import count
from tunelab.cli.outcomes import count_outcomes
from tunelab.cli.result import Result, read_result, show_result
from tunelab.cli.signals import two_step_signals
from tunelab.cli.tracking import check_tracking_uri
from tunelab.cli.views import choose_view
from tunelab.errors import NoCompletedTrialError
from tunelab.service.dashboard import study_dashboard
from tunelab.service.events import StudyFinished
from tunelab.service.executors.base import Executor
from tunelab.service.following import follow_study
from tunelab.service.launch import check_result
from tunelab.service.mirror.environment import tracking_uri
from tunelab.service.running import Events, catch_up, run_study
from tunelab.service.stop import StopRequest
from tunelab.storage.engine import Database
from tunelab.storage.states import StudyState, TrialState
from tunelab.storage.studies import StudyRow, get_study, study_by_id
from tunelab.storage.trials import count_trials_alike


def check_mirror(mirrored: bool) -> None:
    """See that MLflow's place makes sense, if MLflow is sent anything, before all else.

    Raises:
        UsageError: If it does not.
    """
    if mirrored:
        check_tracking_uri(tracking_uri())


def run(
    database: Database,
    study: StudyRow,
    has_more: bool,
    *,
    n_workers: int | None,
    executor: Executor,
    mirrored: bool,
    go_on: str,
    as_json: bool,
) -> int:
    """Run a study, show how it goes, and print its result.

    Args:
        database: The study database, which is closed at the end.
        study: The study.
        has_more: Whether there is anything to run.
        n_workers: Workers; None: as the study file says.
        executor: What runs them.
        mirrored: Whether MLflow is sent the study now.
        go_on: The command that goes on with the study if it is left before its end.
        as_json: Whether standard output gets events instead of text.

    Returns:
        The exit code.
    """
    try:
        stop = StopRequest()
        if has_more:
            events = run_study(
                database,
                study,
                n_workers=n_workers,
                executor=executor,
                stop=stop,
                mirrored=mirrored,
            )
            shown = _dashboard(database, study) if mirrored else None
            _follow(database, study, events, stop, as_json=as_json, dashboard=shown)
        elif mirrored:
            _follow(database, study, catch_up(database, study, stop), stop, as_json=as_json)
        result = _read(database, study, as_json=as_json)
        if not has_more:
            start = "`tunelab study start FILE"
            hint = f"{start} --trials N` extends it, {start} --new` starts the next generation"
            tell(f"{study.title} has finished before; {hint}")
            if as_json:
                put_json(StudyFinished(result.summary).to_json(), line=True)
        if not as_json:
            show_result(result, as_json=False)
        return _exit_code(database, result, stop, go_on)
    finally:
        database.close()


def follow(database: Database, name: str, *, as_json: bool) -> int:
    """Show how a study goes that others run, and print its result.

    Returns:
        The exit code.

    Raises:
        NotFoundError: If there is no such study.
    """
    with database.read() as connection:
        study = get_study(connection, name)
    stop = StopRequest()
    if study.state is StudyState.RUNNING or as_json:
        events = follow_study(database, study, stop)
        shown = _dashboard(database, study)
        _follow(database, study, events, stop, as_json=as_json, dashboard=shown)
    result = _read(database, study, as_json=as_json)
    if not as_json:
        show_result(result, as_json=False)
    return _exit_code(database, result, stop, f"tunelab study resume {study.name}")


def _follow(
    database: Database,
    study: StudyRow,
    events: Events,
    stop: StopRequest,
    *,
    as_json: bool,
    dashboard: str | None = None,
) -> None:
    with database.read() as connection:
        outcomes = count_outcomes(
            group
            for group in count_trials_alike(connection, study.id)
            if group.state is TrialState.FINISHED
        )
    view = choose_view(
        outcomes, lambda: stop.signal is not None, as_json=as_json, dashboard=dashboard
    )
    with (
        two_step_signals(stop.request, before_exit=view.abandon),
        # A generator: its children are ended when this function is left by an exception.
        closing(events),
        view,
    ):
        for event in events:
            view.show(event)


def _dashboard(database: Database, study: StudyRow) -> str:
    return study_dashboard(database, study) or "tunelab ui"


def _read(database: Database, study: StudyRow, *, as_json: bool) -> Result:
    with database.read() as connection:
        study = study_by_id(connection, study.id)
        return read_result(connection, study, None if as_json else database)


def _exit_code(database: Database, result: Result, stop: StopRequest, go_on: str) -> int:
    summary = result.summary
    progress = f"{summary.n_finished} of {count(summary.study.n_trials, 'trial')} finished"
    if summary.study.state is StudyState.FINISHED:
        try:
            check_result(database, summary.study.id)
        except NoCompletedTrialError as error:
            # Not as JSON: the last line there is the study_finished event.
            report = report_of(error)
            show(report, as_json=False)
            return report.exit_code
        return 0
    if summary.study.state is StudyState.STOPPED:
        tell(f"stopped: {progress}; `{go_on}` goes on")
        # Stopped from elsewhere: it did not finish, and is saved, as after Ctrl-C.
        return 128 + (stop.signal or signal.SIGINT)
    tell(f"left: {progress}; the study goes on in another process")
    return 0 if stop.signal is None else 128 + stop.signal
