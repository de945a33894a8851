"""The live view, from scripted events, on terminals of fixed sizes."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace

import pytest
from rich.console import Console

from tunelab.cli.board import Board
from tunelab.cli.live import frame, status_line
from tunelab.cli.views import LiveView, PlainView
from tunelab.service.events import (
    ConfirmEpochFinished,
    ConfirmProgress,
    ConfirmRunStarted,
    EpochFinished,
    Notice,
    StudyFinished,
    StudyStarted,
    TrialFinished,
    TrialStarted,
)
from tunelab.service.summary import summarize
from tunelab.storage.states import EndReason, TrialState
from tunelab.storage.trials import CONFIRM, EpochRow, study_trials

RANK = "rank 14 of 20 at epoch 15: validation_loss 0.4 is above 0.3, the median of 19 trials"


class Time:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def study(maker):
    """The summary of a study of 6 trials that has just begun, and its waiting trials."""
    row = maker.study()
    with maker.database.read() as connection:
        return summarize(connection, row), study_trials(connection, row.id)


def epoch(number, validation_loss, train_loss=0.1):
    return EpochRow(
        1, number, 0.0, train_loss, validation_loss, 0.9, 0.8, 0.001, 1.0, 1.0, "learning",
        "overfitting? 3/10" if number == 5 else None,
    )  # fmt: skip


def ended(trial, value, end_reason=EndReason.EARLY_STOPPED, **changes):
    return replace(
        trial, state=TrialState.FINISHED, end_reason=end_reason, value=value, signal="plateau",
        **{"n_epochs": 15, "best_epoch": 2, "gap": 0.024, **changes},
    )  # fmt: skip


@pytest.fixture
def script(study):
    """Trial 0 ends with 0.2, trial 1 with 0.1, trial 2 is pruned, trial 3 diverges, 4 runs."""
    summary, trials = study
    events = [StudyStarted(summary, n_workers=2, leads=True)]
    for trial in trials[:5]:
        losses = [0.8, 0.2, 0.3, 0.3, 0.3] if trial.number == 4 else [0.8, 0.2]
        events += [TrialStarted(trial)]
        events += [EpochFinished(trial.number, epoch(i + 1, x)) for i, x in enumerate(losses)]
    return [
        *events,
        TrialFinished(ended(trials[0], 0.2), is_best=True),
        TrialFinished(ended(trials[1], 0.1), is_best=True),
        TrialFinished(ended(trials[2], 0.4, EndReason.PRUNED, reason=RANK), is_best=False),
        TrialFinished(ended(trials[3], None, EndReason.DIVERGED, gap=None), is_best=False),
    ]


@pytest.fixture
def board(script):
    clock = Time()
    board = Board({}, clock)
    for event in script:
        board.take(event)
    clock.seconds += 60.0
    return board


def lines_of(board, width, height=40, *, stopping=False):
    return [line.plain for line in frame(board, width, height, stopping=stopping)]


def test_the_picture_tells_everything_on_a_wide_terminal(board):
    bar, head, *rows, footer = lines_of(board, 130)
    # 4 of 6 trials in 60 s; 60 of 4 * 30 epochs; 2 trials left at 4 a minute.
    assert bar.endswith("  4/6  best 0.1 (trial 1)  4 trials/min  saved 50% of epochs  ETA 30s")
    assert bar.startswith("━" * 18 + "╸" + "─" * 9)  # 28 * 4 / 6 = 18.7
    assert head.split() == [
        "TRIAL", "STATE", "EPOCH", "VAL", "LOSS", "GAP", "CURVE", "VERDICT", "PARAMS",
    ]  # fmt: skip
    # The running trial first, then the newest that have ended.
    assert [row.split()[:2] for row in rows] == [
        ["4", "running"], ["3", "diverged"], ["2", "pruned"], ["1", "done"], ["0", "done"],
    ]  # fmt: skip
    # ln(0.3 / 0.2) / ln(0.8 / 0.2) = 0.29: bar 2 of 0 to 7.
    assert rows[0].split()[2:6] == ["5/30", "0.3000", "+0.200", "█▁▃▃▃"]
    assert "overfitting? 3/10" in rows[0]
    assert "rank 14 of 20  " in rows[2]
    assert "plateau  ★ best" in rows[3]
    assert "★" not in rows[4]
    assert rows[4].endswith("adam 2.9e-3 cosine 2x1 relu d.02 b32")
    assert footer == "plateau 2 · diverged 1 · pruned 1        Ctrl-C stops gracefully"


@pytest.mark.parametrize("width", [20, 30, 40, 60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_cut(board, width):
    lines = lines_of(board, width)
    assert max(map(len, lines)) <= width
    assert "0.3000" in lines[2]
    assert "4/6" in lines[0]


@pytest.mark.parametrize("width", range(50, 131))
def test_a_suspicion_is_whole_wherever_there_are_verdicts(board, width):
    running = board.running[4]
    longest = "underfitting? 100/200"
    running.epochs[5] = replace(running.epochs[5], suspicion=longest)
    _, head, row, *_ = lines_of(board, width)
    assert (longest in row) == ("VERDICT" in head)


def test_columns_go_by_priority(board):
    def columns(width):
        return lines_of(board, width)[1].replace("VAL LOSS", "LOSS").split()

    everything = columns(130)
    seen = [columns(width) for width in range(130, 19, -1)]
    gone = []
    for fewer in seen:
        gone += [name for name in everything if name not in fewer and name not in gone]
    assert gone == ["PARAMS", "GAP", "EPOCH", "VERDICT", "CURVE", "STATE"]


@pytest.mark.parametrize("height", [8, 10, 24])
def test_rows_are_limited_to_the_terminal_less_six_lines(board, height):
    lines = lines_of(board, 100, height)
    assert len(lines) - 3 == min(height - 6, 5)
    assert lines[2].split()[1] == "running"


def test_the_bar_gives_way_to_the_numbers(board):
    assert status_line(board, 200).plain.startswith("━" * 18 + "╸" + "─" * 9 + "  4/6")
    for width in range(30, 120):
        line = status_line(board, width).plain
        assert len(line) <= width
        assert line.count("━") + line.count("─") >= 9


def test_a_continued_study_counts_what_was_before(study):
    summary, trials = study
    before = replace(summary, counts={**summary.counts, "finished": 2}, epochs_trained=60)
    board = Board({"pruned": 2}, Time())
    board.take(StudyStarted(before, n_workers=1, leads=True))
    assert (board.n_finished, board.epochs_saved) == (2, 0.0)
    assert (board.trials_per_minute, board.eta_seconds) == (None, None)
    board.take(TrialFinished(ended(trials[2], 0.3, n_epochs=30), is_best=True))
    assert board.n_finished == 3
    assert board.outcomes == {"pruned": 2, "plateau": 1}


def test_the_time_of_the_study_limits_the_estimate(study):
    summary, _ = study
    limited = replace(summary.study, timeout_seconds=100.0, running_seconds=30.0)
    clock = Time()
    board = Board({}, clock)
    board.take(StudyStarted(replace(summary, study=limited), n_workers=1, leads=True))
    clock.seconds += 20.0
    assert board.eta_seconds == 50.0


def test_a_trial_that_starts_again_keeps_its_curve(study):
    summary, trials = study
    board = Board({}, Time())
    board.take(StudyStarted(summary, n_workers=1, leads=True))
    board.take(TrialStarted(trials[0]))
    board.take(EpochFinished(0, epoch(1, 0.9)))
    board.take(TrialStarted(replace(trials[0], attempts=2)))
    board.take(EpochFinished(0, epoch(2, 0.8)))
    assert board.running[0].losses == [0.9, 0.8]


def test_a_score_has_a_column_of_its_own(maker):
    row = maker.study()
    with maker.database.read() as connection:
        summary = summarize(connection, row)
        trials = study_trials(connection, row.id)
    objective = summary.spec.objective.model_copy(update={"metric": "accuracy"})
    summary = replace(summary, spec=summary.spec.model_copy(update={"objective": objective}))
    board = Board({}, Time())
    board.take(StudyStarted(summary, n_workers=1, leads=True))
    board.take(TrialStarted(trials[0]))
    board.take(EpochFinished(0, epoch(1, 0.9)))
    _, head, row_line, _ = lines_of(board, 120)
    assert head.split()[3:6] == ["ACCURACY", "VAL", "LOSS"]
    assert row_line.split()[3:5] == ["0.8000", "0.9000"]


@pytest.fixture
def confirming(script, study):
    """The study behind its search, with a confirm run that has ended, one that trains, one more."""
    _, trials = study
    runs = [
        replace(trials[1], id=100 + repeat, kind=CONFIRM, number=repeat, confirms=1, repeat=repeat)
        for repeat in range(3)
    ]
    rest = [ended(trials[number], 0.5) for number in (4, 5)]
    return [
        *script,
        *(TrialFinished(trial, is_best=False) for trial in rest),
        ConfirmProgress(0, 3),
        ConfirmRunStarted(runs[0]),
        *(ConfirmEpochFinished(0, epoch(i, loss)) for i, loss in enumerate([0.8, 0.11], start=1)),
        ConfirmProgress(1, 3, ended(runs[0], 0.11)),
        ConfirmRunStarted(runs[1]),
        *(ConfirmEpochFinished(1, epoch(i, loss)) for i, loss in enumerate([0.8, 0.4], start=1)),
    ]


def test_the_confirm_stage_has_a_row_for_each_run(confirming):
    clock = Time()
    board = Board({}, clock)
    for event in confirming:
        board.take(event)
        clock.seconds += 30.0 * isinstance(event, ConfirmProgress)
    bar, _, *rows, footer = lines_of(board, 120)
    assert "confirming: 1 of 3 runs  best 0.1 (trial 1)" in bar
    assert bar.endswith("ETA 2m")  # one in the 60 s since it began, so two in 120 s
    assert bar.startswith("━━━━━━━━━─")  # 28 / 3 = 9.3
    cells = [row.split() for row in rows]
    assert cells[0][:4] == ["1", "seed", "1", "running"]
    assert cells[0][4:8] == ["2/30", "0.4000", "+0.300", "█▁"]
    assert cells[1][:6] == ["1", "seed", "0", "done", "2/30", "0.1100"]
    # The same number as the search's best trial, and not that.
    assert "★" not in rows[0] + rows[1]
    assert sum("★" in row for row in rows) == 1
    assert footer.startswith("plateau 4 · diverged 1 · pruned 1")


def test_behind_the_confirm_stage_the_bar_is_full_again(confirming, study):
    board = Board({}, Time())
    for event in confirming:
        board.take(event)
    last = [replace(study[1][1], id=100 + n, kind=CONFIRM, number=n) for n in (1, 2)]
    board.take(ConfirmProgress(2, 3, ended(last[0], 0.3)))
    board.take(ConfirmProgress(3, 3, ended(last[1], 0.3)))
    line = status_line(board, 120).plain
    assert "6/6  confirmed 3/3" in line
    assert "─" not in line
    assert board.eta_seconds is None


def test_without_a_terminal_each_confirm_run_has_a_line(confirming):
    lines = []
    view = PlainView(Board({}), lines.append, lambda: False, now=lambda: 0.0)
    for event in confirming:
        view.show(event)
    assert lines[-2:] == [
        "1970-01-01T00:00:00Z confirm 0/3 started",
        "1970-01-01T00:00:00Z confirm 1/3 trial 1 seed 0 early_stopped objective=0.11 epoch=15/30",
    ]


def test_a_best_trial_is_new_for_a_moment(script):
    clock = Time()
    board = Board({}, clock)
    for event in script:
        board.take(event)
    assert any("★ new best" in line for line in lines_of(board, 120))
    clock.seconds += 60.0
    assert not any("★ new best" in line for line in lines_of(board, 120))
    assert any("★ best" in line for line in lines_of(board, 120))


def test_the_link_to_the_dashboard_stands_above_the_picture(script):
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=40, color_system=None)
    link = "http://localhost:5000/#/experiments/1/runs?workflowType=machine_learning"
    with LiveView(Board({}), console, lambda: False, link) as view:
        view.show(script[0])
    assert f"dashboard  {link}" in out.getvalue()  # in one piece, to be opened


def on_a_console(events, *, stopping=False):
    """What the terminal receives."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, height=24, color_system=None,
                      markup=False, highlight=False, legacy_windows=False)  # fmt: skip
    with LiveView(Board({}), console, lambda: stopping) as view:
        for event in events:
            view.show(event)
            view.show(None)
    return out.getvalue()


def test_the_view_opens_with_the_study_and_leaves_the_cursor_visible(script, study):
    text = on_a_console([*script, StudyFinished(study[0])])
    assert text.startswith(
        "digits #1  minimise validation_loss  tpe + median  6 trials of at most 30 epochs"
    )
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert "★ new best" in text


def test_the_view_says_that_it_is_stopping(script):
    text = on_a_console(script, stopping=True)
    assert "stopping, nothing is lost; Ctrl-C again leaves at once" in text


def test_notices_stand_above_the_picture_and_cannot_steer_the_terminal(script):
    text = on_a_console([*script, Notice("a worker ended [red]\x1b]0;x\x07")])
    assert "a worker ended [red]\\x1b]0;x\\x07" in text


def test_an_error_leaves_the_cursor_visible(script):
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, height=24, color_system=None)
    with contextlib.suppress(RuntimeError), LiveView(Board({}), console, lambda: False) as view:
        view.show(script[0])
        raise RuntimeError
    text = out.getvalue()
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
