"""Errors: one line, a hint, the right exit code, and a traceback only when asked for."""

from __future__ import annotations

import json

import pytest

from tunelab.cli import running, study_read
from tunelab.cli.errors import report_of
from tunelab.errors import (
    DatabaseError,
    NoCompletedTrialError,
    NotFoundError,
    TunelabError,
    UsageError,
)

BAD_STUDY = """\
name: bad
task: classification
data: {source: sklearn, name: digits}
space:
  optimizer: [adamm]
  units: {low: 5, high: 2}
"""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TunelabError("x"), 1),
        (UsageError("x"), 2),
        (NotFoundError("x"), 3),
        (DatabaseError("x"), 4),
        (NoCompletedTrialError("x"), 5),
        (KeyboardInterrupt(), 130),
        (RuntimeError("x"), 1),
    ],
)
def test_each_exception_has_its_exit_code(error, code):
    assert report_of(error).exit_code == code


def test_a_study_file_gets_a_line_for_every_problem_with_its_place(call, home):
    (home / "bad.yaml").write_text(BAD_STUDY)
    ended = call("study", "validate", "bad.yaml")
    assert (ended.code, ended.out) == (2, "")
    first, hint, second, *_, last = ended.err.splitlines()
    assert first.startswith("error: bad.yaml:5:15: space.optimizer")
    assert hint == "  hint: did you mean 'adam'?"
    assert second.startswith("error: bad.yaml:6:")
    assert last == "2 errors, nothing started"


def test_with_json_the_problems_go_to_standard_output_too(call, home):
    (home / "bad.yaml").write_text(BAD_STUDY)
    ended = call("study", "validate", "bad.yaml", "--json")
    document = json.loads(ended.out)
    assert document["schema"] == 1
    assert len(document["errors"]) == 2
    assert document["error"] == document["errors"][0]
    assert document["error"]["where"].startswith("bad.yaml:5:15: space.optimizer")
    assert document["error"]["hint"] == "did you mean 'adam'?"
    assert ended.err.endswith("2 errors, nothing started\n")


def test_a_missing_file_is_not_found(call, home):
    (home / "digits.yaml").write_text("")
    ended = call("study", "validate", "digit.yaml", "--json")
    assert ended.code == 3
    assert json.loads(ended.out)["error"] == {
        "message": "no study file 'digit.yaml'",
        "where": None,
        "hint": "did you mean 'digits.yaml'?",
    }


DATA_STUDY = """\
name: people
task: classification
data: {source: csv, path: d/people.csv, target: label}
"""


def test_a_missing_file_of_data_ends_as_every_problem_of_a_study_does(call, home):
    (home / "people.yaml").write_text(DATA_STUDY)
    (home / "d").mkdir()
    (home / "d" / "peopel.csv").write_text("x,label\n")
    ended = call("study", "validate", "people.yaml")
    assert (ended.code, ended.out) == (3, "")
    assert ended.err == (
        "error: people.yaml:3:27: data.path: there is no file 'd/people.csv'\n"
        "  hint: did you mean 'd/peopel.csv'?\n"
        "1 error, nothing started\n"
    )


def test_what_is_odd_about_the_data_is_said_when_a_study_starts(call, home, monkeypatch):
    monkeypatch.setattr(running, "run", lambda database, *_, **__: database.close() or 0)
    rows = "".join(f"{k * k % 17},{['yes', 'Yes', 'no'][k % 3]}\n" for k in range(90))
    (home / "d").mkdir()
    (home / "d" / "people.csv").write_text("x,label\n" + rows)
    (home / "people.yaml").write_text(DATA_STUDY)
    ended = call("study", "start", "people.yaml", "--no-mirror")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == (
        "warning: data: column label: 'Yes', 'yes' differ only in case; correct them if they mean "
        "the same\n"
    )


def test_errors_that_are_not_shown_are_counted(call, home):
    (home / "people.yaml").write_text(DATA_STUDY)
    (home / "d").mkdir()
    (home / "d" / "people.csv").write_text("x,label\n" + "1\n" * 600)
    ended = call("study", "start", "people.yaml", "--json")
    assert ended.code == 2
    assert ended.err.count("error: ") == 10
    assert ended.err.endswith("600 errors, nothing started; 590 are not shown\n")
    document = json.loads(ended.out)
    assert (len(document["errors"]), document["n_errors"]) == (10, 600)


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["stduy"], "no such command 'stduy'", "did you mean 'study'?"),
        (["study", "strat"], "no such command 'strat'", "did you mean 'start'?"),
        (["study", "start", "a", "--trails", "3"], "no such option --trails", "--trials?"),
        (["study", "start"], "missing argument 'FILE'", "`tunelab study start --help`"),
        (["study", "start", "a", "--trials", "0"], "--trials: must be from 1 to 1000000", "help"),
        (["study", "start", "a", "--trials", "x"], "--trials: must be a whole number", "help"),
        (["study", "start", "a", "--timeout", "10x"], "--timeout: must be seconds or", "help"),
        (["study", "start", "a", "--workers", "2000"], "--workers: must be from 1 to", "help"),
        (["study", "trial", "digits", "ten"], "NUMBER: ", "help"),
        (["ui", "--port", "80x"], "--port: must be a whole number from 1 to 65535", "help"),
        (["ui", "--port", "70000"], "--port: must be from 1 to 65535, got 70000", "help"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_says_what_is_right(call, home, words, message, hint):
    ended = call(*words)
    assert (ended.code, ended.out) == (2, "")
    first, second = ended.err.splitlines()
    assert first.startswith(f"error: {message}")
    assert second.startswith("  hint: ")
    assert hint in second


def test_a_wrong_value_of_a_variable_names_the_variable(call, home, monkeypatch):
    monkeypatch.setenv("TUNELAB_WORKERS", "many")
    ended = call("study", "resume", "digits")
    assert ended.code == 2
    assert ended.err.startswith("error: TUNELAB_WORKERS: must be a whole number")
    monkeypatch.setenv("TUNELAB_WORKERS", "1")
    monkeypatch.setenv("TUNELAB_MIRROR", "perhaps")
    assert call("study", "resume", "digits").err.startswith(
        "error: TUNELAB_MIRROR: must be yes or no\n"
    )


def test_reading_without_a_database_is_an_error_and_creates_none(call, home):
    ended = call("study", "list")
    assert ended.code == 4
    assert "there is no study database at" in ended.err
    assert not list(home.iterdir())


def test_an_unknown_study_is_not_found_and_the_known_ones_are_named(call, digits):
    ended = call("study", "show", "digit")
    assert (ended.code, ended.out) == (3, "")
    assert ended.err == (
        "error: no study 'digit'; there are: digits\n  hint: did you mean 'digits'?\n"
    )


@pytest.fixture
def defect(monkeypatch, home):
    def fail(*_: object) -> None:
        raise ValueError("a\nb\x1b[2J")

    monkeypatch.setattr(study_read, "existing_database", fail)


def test_an_unexpected_exception_is_one_line(call, defect):
    ended = call("study", "list")
    assert ended.code == 1
    assert ended.err == (
        "error: unexpected ValueError: a\\nb\\x1b[2J: please report; run again with --debug\n"
    )


@pytest.mark.parametrize("words", [["--debug", "study", "list"], ["study", "list", "--debug"]])
def test_debug_prints_the_traceback_wherever_it_stands(call, defect, words):
    ended = call(*words)
    assert ended.code == 1
    assert "Traceback (most recent call last)" in ended.err


def test_an_interrupt_ends_with_130_and_says_nothing(call, home, monkeypatch):
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(study_read, "existing_database", interrupt)
    ended = call("study", "list")
    assert (ended.code, ended.out, ended.err) == (130, "", "")


@pytest.mark.parametrize(
    ("error", "says", "code"),
    [
        (PermissionError(13, "Permission denied", ".tunelab/data"), "allow reading and writing", 4),
        (OSError(36, "File name too long", "aaa"), "choose a shorter path", 4),
        (FileNotFoundError(2, "No such file or directory"), "change to a folder that exists", 4),
        (FileNotFoundError(2, "No such file or directory", "x"), None, 1),
    ],
)
def test_what_the_system_refuses_comes_with_what_to_do(error, says, code):
    report = report_of(error)
    (trouble,) = report.troubles
    assert report.exit_code == code
    assert (trouble.hint or "").startswith(says or "")
    assert "[Errno" not in trouble.message


def test_an_option_without_its_value_names_the_command(call, home):
    ended = call("study", "start", "a.yaml", "--trials")
    assert ended.code == 2
    assert "hint: `tunelab study start --help` shows what it takes" in ended.err


@pytest.mark.parametrize("uri", ["foo://x", "foo+bar://x", "ftp://user:s3cret@host"])
def test_a_scheme_that_mlflow_does_not_know_is_refused_at_the_start(call, home, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    (home / "iris.yaml").write_text(BAD_STUDY)
    ended = call("study", "start", "iris.yaml")
    assert ended.code == 2
    assert "MLFLOW_TRACKING_URI has a scheme that MLflow does not know" in ended.err
    assert "s3cret" not in ended.err
