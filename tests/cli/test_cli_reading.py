"""The commands that read, on a small database."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.cli.conftest import on_a_terminal
from tunelab.storage.states import EndReason, StudyState
from tunelab.storage.studies import study_by_id
from tunelab.training.monitor import Signal


def test_show_tells_counts_best_and_comparison(call, digits):
    ended = call("study", "show", "digits")
    assert (ended.code, ended.err) == (0, "")
    title, trials, best, versus, params, following = ended.out.splitlines()
    assert title == "digits #1  stopped"
    assert trials == (
        "trials  5 of 6 trials in 31m 12s  overfitting 1, unfinished 1, diverged 1, failed 1, "
        "pruned 1  saved 92% of epochs"  # 12 of 5 * 30 epochs were trained
    )
    assert best == (
        "best    trial 1  validation_loss 0.0816  accuracy 90.0 %  epoch 3/30  verdict overfitting"
    )
    # (0.0816 - 0.142) / 0.142 = -0.425; 42.54 %
    assert versus == "vs      default configuration (trial 0) 0.142: -43 %"
    assert params.startswith("params  optimizer=adam learning_rate=0.0029 schedule=cosine layers=2")
    assert following.startswith("next    tunelab study resume digits    tunelab study trials")


def test_show_as_json_is_the_stable_document(call, digits):
    document = json.loads(call("study", "show", "digits", "--json").out)
    assert document["schema"] == 1
    assert (document["name"], document["generation"]) == ("digits", 1)
    assert (document["state"], document["metric"]) == ("stopped", "validation_loss")
    assert document["direction"] == "minimize"
    assert document["trials"] == {
        "total": 6, "waiting": 1, "running": 0, "completed": 1, "early_stopped": 1, "pruned": 1,
        "diverged": 1, "failed": 1,
    }  # fmt: skip
    assert document["best"]["number"] == 1
    assert document["best"]["value"] == 0.0816
    assert document["best"]["best_epoch"] == 3
    assert document["best"]["hyperparameters"]["units"] == 2
    assert document["best"]["verdict"] == "overfitting"


def test_show_says_when_the_default_is_the_best(call, maker):
    study = maker.study(2)
    maker.train(study, [0.2], EndReason.COMPLETED)
    maker.train(study, [0.3], EndReason.COMPLETED)
    maker.finish(study)
    out = call("study", "show", "digits").out
    assert out.splitlines()[0] == "digits #1  finished"
    assert "vs      the default configuration (trial 0) is the best so far\n" in out


def test_show_of_a_study_without_a_result(call, maker):
    maker.study()
    out = call("study", "show", "digits").out
    # It says running, and nobody holds its lease.
    assert out.splitlines()[0] == "digits #1  interrupted"
    assert "best    no completed trial yet" in out


def test_list_shows_generations_newest_first(call, maker, digits):
    maker.study(3)
    head, first, second = call("study", "list").out.splitlines()
    assert head.split("\t")[:5] == ["name", "generation", "state", "finished", "trials"]
    assert first.split("\t")[:5] == ["digits", "2", "interrupted", "0", "3"]
    assert second.split("\t")[:8] == [
        "digits", "1", "stopped", "5", "6", "validation_loss", "0.0816", "1",
    ]  # fmt: skip
    studies = json.loads(call("study", "list", "--json").out)["studies"]
    assert [study["generation"] for study in studies] == [2, 1]


def test_a_generation_can_be_named(call, maker, digits):
    maker.study(3)
    assert call("study", "show", "digits").out.startswith("digits #2")
    assert call("study", "show", "digits#1").out.startswith("digits #1")


def test_trials_in_a_pipe_are_tab_separated_with_full_numbers(call, maker):
    study = maker.study(1)
    maker.train(study, [0.1 + 0.2], EndReason.COMPLETED, reason="a\tb\nc")
    head, row = (line.split("\t") for line in call("study", "trials", "digits").out.splitlines())
    cells = dict(zip(head, row, strict=True))
    assert cells["value"] == "0.30000000000000004"
    assert cells["reason"] == "a\\tb\\nc"
    assert (cells["state"], cells["end_reason"]) == ("finished", "completed")
    assert (cells["optimizer"], cells["learning_rate"]) == ("adam", "0.0029")


def test_trials_as_json(call, digits):
    document = json.loads(call("study", "trials", "digits", "--json").out)
    assert document["schema"] == 1
    assert [trial["number"] for trial in document["trials"]] == [0, 1, 2, 3, 4, 5]
    pruned, waiting = document["trials"][2], document["trials"][5]
    keys = {
        "number", "state", "end_reason", "value", "epochs", "best_epoch", "verdict", "reason",
        "hyperparameters", "attempts", "started_at", "ended_at",
    }  # fmt: skip
    assert keys <= set(pruned)
    assert (pruned["end_reason"], pruned["epochs"]) == ("pruned", 2)
    assert (waiting["state"], waiting["end_reason"], waiting["value"]) == ("waiting", None, None)


@pytest.mark.parametrize(
    ("column", "order"),
    [
        # Completed trials first: 0.06 of the pruned trial 2 is no result.
        ("value", [1, 0, 2, 4, 3, 5]),
        ("epochs", [5, 4, 2, 3, 0, 1]),
        ("units", [0, 1, 2, 3, 4, 5]),
        ("verdict", [3, 4, 1, 2, 0, 5]),
    ],
)
def test_trials_are_sorted_by_a_column_or_a_hyperparameter(call, digits, column, order):
    out = call("study", "trials", "digits", "--sort", column, "--json").out
    assert [trial["number"] for trial in json.loads(out)["trials"]] == order


def test_an_unknown_sort_column_is_refused_with_the_nearest(call, digits):
    ended = call("study", "trials", "digits", "--sort", "learning_rat")
    assert ended.code == 2
    assert "--sort: no column 'learning_rat'; there are: number state" in ended.err
    assert ended.err.endswith("  hint: did you mean 'learning_rate'?\n")


def test_trials_on_a_terminal_are_a_table_that_fits(digits):
    for columns in (140, 80, 40, 20):
        lines = on_a_terminal(columns, "study", "trials", "digits", "--sort", "value")
        assert max(map(len, lines)) <= columns
        assert len(lines) == 7
        assert lines[0].split()[:2] == ["TRIAL", "STATE" if columns > 20 else "VALIDATION"]
        assert "0.08160" in lines[1]  # a number is never cut
        assert "\x1b" not in "".join(lines)  # NO_COLOR
    assert "PARAMS" not in lines[0]


def test_a_wide_terminal_also_shows_curves_and_reasons(digits):
    head, _, best, pruned, *_ = on_a_terminal(250, "study", "trials", "digits")
    assert head.split()[7:] == ["TIME", "CURVE", "VERDICT", "PARAMS", "REASON"]
    # Losses 0.8, 0.3, 0.0816, 0.2; ln(0.3 / 0.0816) / ln(0.8 / 0.0816) is 0.57: bar 4 of 0 to 7.
    assert "█▅▁▄" in best
    assert best.endswith("validation_loss has not improved for 10 epochs")
    assert "rank 2 of 3  " in pruned
    assert pruned.endswith("0.06 is above 0.05")


def test_long_lines_are_broken_between_words_on_a_terminal(digits):
    lines = on_a_terminal(60, "study", "show", "digits")
    assert max(map(len, lines)) <= 60
    words = " ".join(" ".join(lines).split())
    assert "activation=relu dropout_rate=0.02" in words


def test_trial_shows_verdict_reason_and_curves(call, digits):
    title, reason, best, time, params, train, valid = call(
        "study", "trial", "digits", "1"
    ).out.splitlines()
    assert title == "digits #1  trial 1  early_stopped  overfitting"
    assert reason == "reason  validation_loss has not improved for 10 epochs"
    assert best == "best    validation_loss 0.0816  epoch 3  accuracy 90.0 %  gap +0.0240"
    assert "4 of 30 epochs" in time
    assert params.startswith("params  optimizer=adam")
    # Both on one scale, ln(0.0616) to ln(0.8): ln(0.28) is at 0.59 of it, bar 4 of 0 to 7.
    assert train == "train   █▅▁▄  0.78 -> 0.18, lowest 0.0616"
    assert valid == "valid   █▅▂▄  0.8 -> 0.2, lowest 0.0816"


def test_a_failed_trial_shows_its_error_without_its_escapes(call, digits):
    out = call("study", "trial", "digits", "4").out
    assert "  Traceback:\n    boom\\x1b[2J\n" in out
    assert "\x1b" not in out


def test_trial_as_json_has_the_curve(call, digits):
    document = json.loads(call("study", "trial", "digits", "1", "--json").out)
    assert document["number"] == 1
    assert [point["epoch"] for point in document["curve"]] == [1, 2, 3, 4]
    assert [point["validation_loss"] for point in document["curve"]] == [0.8, 0.3, 0.0816, 0.2]
    assert document["curve"][0]["learning_rate"] == 0.001


def test_the_epochs_of_a_trial_are_a_table(call, digits):
    head, *rows = call("study", "trial", "digits", "1", "--epochs").out.splitlines()
    assert head.startswith("epoch\ttrain_loss\tvalidation_loss")
    assert len(rows) == 4
    lines = on_a_terminal(100, "study", "trial", "digits", "1", "--epochs")
    head, *rows = (line.split() for line in lines[lines.index("") + 1 :])
    assert head[:5] == ["EPOCH", "TRAIN", "LOSS", "VAL", "LOSS"]
    assert rows[2][:3] == ["3", "0.06160", "0.08160"]


@pytest.mark.parametrize("number", ["6", "99"])
def test_a_trial_that_does_not_exist_names_the_range(call, digits, number):
    ended = call("study", "trial", "digits", number)
    assert ended.code == 3
    assert ended.err == f"error: no trial {number} in digits #1; its trials are 0 to 5\n"


def test_text_of_users_has_no_power_over_the_terminal(call, maker):
    study = maker.study(1)
    evil = "\x1b]0;owned\x07[bold]x[/bold]\u202e\x9b2J"
    maker.train(study, [0.5], EndReason.FAILED, Signal.LEARNING, evil)
    for words in (["trial", "digits", "0"], ["trials", "digits"], ["trials", "digits", "--json"]):
        out = call("study", *words).out
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(out)
        assert "[bold]x[/bold]" in out


def test_a_reader_that_leaves_early_ends_the_program_in_silence(maker):
    maker.study(400)  # more than a pipe holds
    program = subprocess.Popen(
        [sys.executable, "-m", "tunelab", "study", "trials", "digits"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert program.stdout is not None
    assert program.stderr is not None
    program.stdout.readline()
    program.stdout.close()
    assert program.stderr.read() == b""
    assert program.wait(10) == -signal.SIGPIPE
    program.stderr.close()


def test_delete_asks_nobody_where_nobody_can_answer(call, digits, monkeypatch):
    monkeypatch.setattr(sys, "stdin", open(os.devnull))  # noqa: SIM115, PTH123
    ended = call("study", "delete", "digits")
    assert ended.code == 2
    assert "delete digits #1 (5 finished trials) for good?" in ended.err
    assert "--yes" in ended.err
    assert call("study", "show", "digits").code == 0
    sys.stdin.close()


def test_delete_with_yes_deletes_every_generation_or_the_one_named(call, maker, digits):
    maker.study(2)
    assert call("study", "delete", "digits#2", "--yes").err.startswith("deleted digits #2;")
    assert call("study", "show", "digits").out.startswith("digits #1")
    maker.study(2)
    ended = call("study", "delete", "digits", "--yes")
    deleted = [line.partition(";")[0] for line in ended.err.splitlines()]
    assert deleted == ["deleted digits #1", "deleted digits #2"]
    assert call("study", "show", "digits").code == 3


def test_stop_refuses_a_study_that_does_not_run(call, digits):
    ended = call("study", "stop", "digits")
    assert ended.code == 2
    assert "digits #1 does not run: it is stopped" in ended.err


def test_stop_of_an_interrupted_study_says_how_to_go_on(call, maker):
    study = maker.study()
    maker.train(study, [0.5], EndReason.COMPLETED)
    ended = call("study", "stop", "digits")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == (
        "stopped digits #1: 1 of 6 trials finished; `tunelab study resume digits` goes on\n"
    )
    with maker.database.read() as connection:
        assert study_by_id(connection, study.id).state is StudyState.STOPPED
