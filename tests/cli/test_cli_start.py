"""``study start`` around a scripted run: streams, plain lines, JSON events, exit codes, signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from tunelab.cli import running
from tunelab.cli.board import Board
from tunelab.cli.signals import two_step_signals
from tunelab.cli.views import PlainView
from tunelab.service.events import Notice, StudyFinished, StudyStarted, TrialFinished
from tunelab.service.summary import summarize
from tunelab.storage.schema import open_database
from tunelab.storage.states import EndReason, StudyState, TrialState
from tunelab.storage.studies import study_by_id
from tunelab.storage.trials import study_trials
from tunelab.training.monitor import Signal


def summary_of(maker, study):
    with maker.database.read() as connection:
        return summarize(connection, study_by_id(connection, study.id))


def trials_of(maker, study):
    with maker.database.read() as connection:
        return study_trials(connection, study.id)


@pytest.fixture
def scripted(maker, monkeypatch):
    """Replace the run of a study: ``scripted(study, losses, end)``; returns what it was given."""
    given = {}

    def script(study, trainings, *, state=StudyState.FINISHED, signal_number=None, closed=None):
        def run_study(database, row, *, n_workers, executor, stop, mirrored):
            given.update(n_workers=n_workers, mirrored=mirrored, study=row.title)
            try:
                yield StudyStarted(summary_of(maker, study), n_workers or 1, leads=True)
                for losses, end, *rest in trainings:
                    number = maker.train(study, losses, end, *rest).number
                    yield None
                    yield TrialFinished(trials_of(maker, study)[number], is_best=number == 0)
                if signal_number is not None:
                    os.kill(os.getpid(), signal_number)
                    yield None
                    assert stop.signal == signal_number
                maker.finish(study, state)
                yield StudyFinished(summary_of(maker, study))
            finally:
                given["closed"] = True

        def relaunch(url, name):
            database = open_database(url)
            return database, study, study.state is not StudyState.FINISHED

        def catch_up(database, row, stop):
            given["caught_up"] = row.title
            yield Notice("MLflow: 3 trials left to send")
            yield None

        monkeypatch.setattr(running, "run_study", run_study)
        monkeypatch.setattr(running, "catch_up", catch_up)
        monkeypatch.setattr("tunelab.service.launch.relaunch", relaunch)
        return given

    return script


TWO = [
    ([0.9, 0.0816], EndReason.EARLY_STOPPED),
    ([0.9, 0.4728], EndReason.PRUNED, Signal.LEARNING, "rank 14 of 20 at epoch 2"),
]


def test_without_a_terminal_every_finished_trial_is_a_line(call, maker, scripted):
    study = maker.study(2)
    given = scripted(study, TWO)
    ended = call("study", "resume", "digits", "--workers", "3")
    assert ended.code == 0
    assert given == {"n_workers": 3, "mirrored": True, "study": "digits #1", "closed": True}
    times, lines = zip(*(line.split(" ", 1) for line in ended.err.splitlines()), strict=True)
    assert all(time.endswith("Z") and len(time) == 20 for time in times)
    assert lines == (
        "study digits#1 started trials=2 workers=3",
        "trial 0 early_stopped objective=0.0816 epoch=2/30 gap=+0.0240 verdict=plateau best=true",
        'trial 1 pruned epoch=2/30 objective=0.4728 reason="rank 14 of 20 at epoch 2"',
        "study digits#1 finished done=2/2 best=0.0816@0",
    )
    assert "\x1b" not in ended.err + ended.out
    assert ended.out.startswith("digits #1  finished\ntrials  2 trials in 31m 12s")


def test_with_json_standard_output_is_one_event_a_line(call, maker, scripted):
    study = maker.study(2)
    scripted(study, TWO)
    ended = call("study", "resume", "digits", "--json")
    assert (ended.code, ended.err) == (0, "")
    events = [json.loads(line) for line in ended.out.splitlines()]
    assert [event["event"] for event in events] == [
        "study_started", "trial_finished", "trial_finished", "study_finished",
    ]  # fmt: skip
    shown = json.loads(call("study", "show", "digits", "--json").out)
    assert events[-1] == {"event": "study_finished", **shown}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_in_order_and_says_how_to_go_on(call, maker, scripted, number, code):
    study = maker.study(2)
    scripted(study, TWO[:1], state=StudyState.STOPPED, signal_number=number)
    before = signal.getsignal(number)
    ended = call("study", "resume", "digits")
    assert ended.code == code
    assert "Z stopping: saving the running trials\n" in ended.err
    assert ended.err.endswith(
        "stopped: 1 of 2 trials finished; `tunelab study resume digits` goes on\n"
    )
    assert ended.out.startswith("digits #1  stopped\n")
    assert signal.getsignal(number) is before


def test_a_finished_study_is_not_run_but_its_result_is_printed(call, maker, scripted):
    study = maker.study(1)
    maker.train(study, [0.3], EndReason.COMPLETED)
    given = scripted(maker.finish(study), [])
    ended = call("study", "resume", "digits")
    assert (ended.code, given) == (0, {"caught_up": "digits #1"})
    assert "Z notice MLflow: 3 trials left to send\n" in ended.err
    assert (
        "digits #1 has finished before; `tunelab study start FILE --trials N` extends it"
        in ended.err
    )
    assert ended.out.startswith("digits #1  finished\n")
    events = call("study", "resume", "digits", "--json").out.splitlines()
    assert [json.loads(event)["event"] for event in events] == ["notice", "study_finished"]


def test_a_study_without_a_completed_trial_ends_with_5(call, maker, scripted):
    study = maker.study(1)
    scripted(study, [([0.5], EndReason.FAILED)])
    ended = call("study", "resume", "digits", "--json")
    assert ended.code == 5
    assert json.loads(ended.out.splitlines()[-1])["event"] == "study_finished"
    assert ended.err.startswith("error: digits #1 has finished, and none of its 1 trials completed")


def test_an_error_while_the_study_runs_ends_the_run(call, maker, scripted, monkeypatch):
    study = maker.study(1)
    given = scripted(study, TWO[:1])

    def fail(*_):
        raise ValueError("boom")

    monkeypatch.setattr(PlainView, "_line", fail)
    ended = call("study", "resume", "digits")
    assert ended.code == 1
    assert "error: unexpected ValueError: boom" in ended.err
    assert given["closed"]


def test_plain_lines_have_a_heartbeat_only_after_30_quiet_seconds(maker):
    study = maker.study(4)
    clock = [0.0]
    lines = []
    view = PlainView(
        Board({}, lambda: clock[0]), lines.append, lambda: False, lambda: clock[0], lambda: clock[0]
    )
    view.show(StudyStarted(summary_of(maker, study), 2, leads=True))
    maker.train(study, [0.5], EndReason.COMPLETED)
    clock[0] = 20.0
    view.show(TrialFinished(trials_of(maker, study)[0], is_best=True))
    for clock[0] in (29.0, 49.0, 50.0, 60.0, 80.0):
        view.show(None)
    assert len(lines) == 4
    # One trial in 50 s, three to go.
    assert lines[2] == "1970-01-01T00:00:50Z heartbeat done=1/4 best=0.5@0 running=0 eta=150s"
    assert lines[3].startswith("1970-01-01T00:01:20Z heartbeat ")


def test_plain_lines_neutralise_what_users_wrote(maker):
    study = maker.study(1)
    lines = []
    view = PlainView(Board({}), lines.append, lambda: False)
    view.show(StudyStarted(summary_of(maker, study), 2, leads=True))
    view.show(Notice("a\nb\x1b[2J"))
    maker.train(study, [0.5], EndReason.FAILED, Signal.LEARNING, 'x "y"\n\x1b]0;z\x07')
    (trial,) = trials_of(maker, study)
    assert trial.state is TrialState.FINISHED
    view.show(TrialFinished(trial, is_best=False))
    assert lines[1].endswith("Z notice a\\nb\\x1b[2J")
    assert lines[2].endswith('reason="x \\"y\\"\\n\\x1b]0;z\\x07"')


def test_signals_are_handled_even_if_they_were_ignored_before():
    asked = []
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with two_step_signals(asked.append, before_exit=pytest.fail):
            os.kill(os.getpid(), signal.SIGINT)
        assert asked == [signal.SIGINT]
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_the_second_signal_leaves_at_once_and_leaves_the_terminal_as_it_was(number, code):
    program = f"""
import os, signal, sys, time
from rich.console import Console
from tunelab.cli.board import Board
from tunelab.cli.signals import two_step_signals
from tunelab.cli.views import LiveView
view = LiveView(Board({{}}), Console(file=sys.stderr), lambda: False)
with two_step_signals(lambda number: None, before_exit=view.abandon):
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.{number})
    time.sleep(30)
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False
    )
    assert (result.returncode, result.stderr) == (code, "\x1b[?25h\n")
