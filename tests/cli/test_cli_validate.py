"""``study validate``: the resolved space, its size, what a study would take, and warnings."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.cli.conftest import on_a_terminal

STUDY = """\
name: flowers
task: classification
description: |
  Three kinds of iris,
  in two lines.
data: {source: sklearn, name: iris}
objective: {metric: accuracy}
search: {trials: 100, max_epochs: 9, pruner: none}
space:
  optimizer: [sgd, adam]
  schedule: [constant, cosine]
  layers: 2
  shape: constant
  activation: relu
  batch_norm: [off, on]
  units: {low: 16, high: 256}
  dropout_rate: {low: 0.0, high: 0.5}
  l2: {low: 1e-7, high: 1e-2, scale: log, optional: true}
  batch_size: 8
"""


@pytest.fixture
def study(home):
    path = home / "flowers.yaml"
    path.write_text(STUDY)
    return path


def test_it_shows_the_study_its_data_and_its_whole_space(call, study, home):
    ended = call("study", "validate", "flowers.yaml")
    assert (ended.code, ended.err) == (0, "")
    head, space = ended.out.split("\n\n")
    classes = "setosa (30 training rows), versicolor (30), virginica (30)"
    assert head.splitlines() == [
        "flowers.yaml: valid",
        "flowers  maximise accuracy  tpe  100 trials of at most 9 epochs",
        "about   Three kinds of iris, in two lines.",
        f"data    90 training rows, 30 validation, 30 test  4 features  3 classes: {classes}",
        # optimizer, one rate, schedule, batch_norm, units, dropout_rate, l2; two rates in all
        "space   7 hyperparameters at most in a trial, 8 in all",
        "confirm the best 3 and the default configuration on 3 fresh seeds: at most 12 more runs",
    ]
    title, *rows = (line.split() for line in space.splitlines())
    assert title == ["HYPERPARAMETER", "SEARCHED", "DEFAULT", "FROM"]
    table = {name: " ".join(rest) for name, *rest in rows}
    assert table == {
        "optimizer": "sgd, adam adam line 10",
        "optimizer.sgd.learning_rate": "0.001 to 1, log 0.1 default",
        "optimizer.adam.learning_rate": "0.0001 to 0.03, log 0.001 default",
        "schedule": "constant, cosine cosine line 11",
        "layers": "2 2 line 12",
        "units": "16 to 256 128 line 16",
        "shape": "constant constant line 13",
        "activation": "relu relu line 14",
        "batch_norm": "off, on off line 15",
        "dropout_rate": "0 to 0.5 0.1 line 17",
        "l2": "1e-07 to 0.01, log, or off 1e-05 line 18",
        "batch_size": "8 8 line 19",
    }
    assert [item.name for item in home.iterdir()] == ["flowers.yaml"]


def test_of_many_classes_the_first_are_named_and_spellings_are_warned_of(call, home):
    names = [*"abcdefghi", "Yes", "yes", "z" * 50]
    rows = "".join(f"{k * k % 17},{names[k % 12]}\n" for k in range(240))
    (home / "answers.csv").write_text("x,answer\n" + rows)
    (home / "answers.yaml").write_text(
        "name: answers\ntask: classification\n"
        "data: {source: csv, path: answers.csv, target: answer}\nsearch: {trials: 200}\n"
        "space: {batch_size: 8}\n"
    )
    ended = call("study", "validate", "answers.yaml")
    line = next(line for line in ended.out.splitlines() if line.startswith("data"))
    assert "  12 classes: Yes (12 training rows), a (12), b (12), " in line
    assert line.endswith(", i (12) and 2 more")
    assert ended.err == (
        "warning: answers.yaml:3:7: data: column answer: 'Yes', 'yes' differ only in case; correct "
        "them if they mean the same\n"
    )
    document = json.loads(call("study", "validate", "answers.yaml", "--json").out)
    assert document["data"]["classes"]["yes"] == 12


def test_settings_and_variables_go_before_the_file_and_are_named(call, study, monkeypatch):
    monkeypatch.setenv("TUNELAB_TRIALS", "70")
    monkeypatch.setenv("TUNELAB_MAX_EPOCHS", "20")
    words = ["--set", "search.max_epochs=30", "--set", "space.units=[32, 64]"]
    ended = call("study", "validate", "flowers.yaml", *words)
    assert ended.code == 0
    assert "  70 trials of at most 30 epochs\n" in ended.out
    row = next(line for line in ended.out.splitlines() if line.startswith("units"))
    assert row.split()[1:] == ["32,", "64", "64", "--set", "space.units"]


def test_a_grid_tells_its_size(call, study):
    words = ["--set", "search={sampler: grid}", "--set", "space={units: [8, 16], layers: [1, 2]}"]
    ended = call("study", "validate", "flowers.yaml", *words)
    assert "2 in all  a grid of 4 cells\n" in ended.out
    assert "  4 trials of at most 100 epochs\n" in ended.out


def test_warnings_have_their_place_and_a_hint_and_change_nothing(call, study):
    words = ["--set", "search.trials=5", "--set", "space.batch_size=64"]
    ended = call("study", "validate", "flowers.yaml", *words)
    assert ended.code == 0
    trials, enough, batch, smaller = ended.err.splitlines()
    assert trials == "warning: --set search.trials: 5 is few for 7 hyperparameters"
    assert enough == "  hint: 70 would be 10 for each; or fix some of them"
    assert batch.startswith("warning: --set space.batch_size: 64 is more than a tenth of the 90 ")
    assert smaller == "  hint: at most 9 keeps ten or more"
    document = json.loads(call("study", "validate", "flowers.yaml", *words, "--json").out)
    assert [warning["where"] for warning in document["warnings"]] == [
        "--set search.trials",
        "--set space.batch_size",
    ]


def test_as_json_it_is_one_document(call, study):
    ended = call("study", "validate", "flowers.yaml", "--json", "--dry-run")
    document = json.loads(ended.out)
    assert (document["schema"], document["valid"], document["name"]) == (1, True, "flowers")
    assert document["study"]["objective"] == {"metric": "accuracy"}
    assert document["sources"]["search.trials"] == "flowers.yaml:8"
    assert document["data"]["train"] == 90
    assert document["hyperparameters"] == {"active": 7, "all": 8}
    assert (document["cells"], document["warnings"]) == (None, [])
    assert document["estimate"]["epoch_seconds"] > 0
    assert document["estimate"]["seconds"] > document["estimate"]["epoch_seconds"]


def test_a_dry_run_estimates_the_time_from_an_epoch(call, study, home):
    ended = call("study", "validate", "flowers.yaml", "--dry-run", "--set", "search.workers=1")
    line = next(line for line in ended.out.splitlines() if line.startswith("time"))
    assert line.startswith("time    at most about ")
    assert ": 100 trials and 12 confirm runs of 9 epochs by 1 worker, " in line
    assert [item.name for item in home.iterdir()] == ["flowers.yaml"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_middle_leaves_nothing_behind(study, tmp_path, number):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    # A shell starts what runs in the background with SIGINT ignored, and so would the tests.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-m", "tunelab", "study", "validate", "flowers.yaml", "--dry-run"],
        env={**os.environ, "TMPDIR": str(scratch)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 30
    # Not just anything: Python itself tries the folder with a file that is gone at once.
    while not list(scratch.glob("tunelab-*")) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    assert list(scratch.glob("tunelab-*"))
    process.send_signal(number)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert b"Traceback" not in told
    assert not list(scratch.iterdir())


def test_what_start_would_refuse_is_an_error_with_its_place(call, study, home):
    ended = call("study", "validate", "flowers.yaml", "--set", "space.batch_size=91")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "error: --set space.batch_size: batch_size 91 > 90 training rows\n"
        "  hint: use at most 90\n1 error, nothing started\n"
    )
    study.write_text(STUDY.replace("batch_size: 8", "batch_size: 91"))
    ended = call("study", "validate", "flowers.yaml")
    assert ended.err.startswith("error: flowers.yaml:19:15: space.batch_size: batch_size 91 > 90 t")


def test_a_misspelt_variable_is_named(call, study, monkeypatch):
    monkeypatch.setenv("TUNELAB_TRAILS", "5")
    monkeypatch.setenv("TUNELAB_DATABASE_URL", "sqlite:///x.db")
    monkeypatch.setenv("TUNELAB_SOMETHING_ELSE", "1")
    ended = call("study", "validate", "flowers.yaml")
    assert ended.code == 0
    assert ended.err == "warning: TUNELAB_TRAILS is no setting; did you mean TUNELAB_TRIALS?\n"


@pytest.mark.long
def test_on_a_narrow_terminal_ranges_stand_below_the_names(study):
    lines = on_a_terminal(60, "study", "validate", "flowers.yaml")
    assert max(map(len, lines)) <= 60
    assert "HYPERPARAMETER" in " ".join(lines)
    lines = on_a_terminal(30, "study", "validate", "flowers.yaml")
    assert max(map(len, lines)) <= 30
    assert "HYPERPARAMETER" not in " ".join(lines)
    assert lines[lines.index("l2") + 1] == "  1e-07 to 0.01, log, or off"


@pytest.fixture
def march(monkeypatch):
    """It is 2026-03-28, 12:00 UTC; clocks in Berlin are put forward in the night."""
    monkeypatch.setattr("tunelab.cli.validation.time.time", lambda: 1774699200.0)


def test_a_sweep_is_shown_with_its_next_starts_in_its_zone_and_in_utc(call, study, march):
    rules = "overlap: queue, grace: 90m"
    study.write_text(f'{STUDY}sweep: {{cron: "30 2 * * *", timezone: Europe/Berlin, {rules}}}\n')
    ended = call("study", "validate", "flowers.yaml")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.split("\n\n")[0].splitlines()
    at = next(index for index, line in enumerate(lines) if line.startswith("sweep"))
    rules = "catchup latest, overlap queue, grace 1h 30m"
    first = "the champion and the best 3 of earlier generations first"
    assert lines[at:] == [
        f"sweep   30 2 * * * in Europe/Berlin  {rules}  {first}",
        "next    2026-03-29T03:00:00+02:00  2026-03-29T01:00:00Z",
        "        2026-03-30T02:30:00+02:00  2026-03-30T00:30:00Z",
        "        2026-03-31T02:30:00+02:00  2026-03-31T00:30:00Z",
    ]


def test_a_sweep_without_a_time_zone_is_noted_to_be_in_utc(call, study, march):
    words = ["--set", "sweep={cron: 0 2 1 * *, enabled: off, start_from_best: 0}"]
    ended = call("study", "validate", "flowers.yaml", *words)
    lines = ended.out.split("\n\n")[0].splitlines()
    assert lines[-5:] == [
        "sweep   0 2 1 * * in UTC  catchup latest, overlap skip, grace 1d 00h  not enabled",
        "next    2026-04-01T02:00:00Z",
        "        2026-05-01T02:00:00Z",
        "        2026-06-01T02:00:00Z",
        "note    no timezone is given: the times are UTC",
    ]
    document = json.loads(call("study", "validate", "flowers.yaml", *words, "--json").out)
    assert document["study"]["data"]["split"]["method"] == "hash"
    assert document["sweep"] == {
        "next": ["2026-04-01T02:00:00Z", "2026-05-01T02:00:00Z", "2026-06-01T02:00:00Z"],
        "notes": ["no timezone is given: the times are UTC"],
    }
    assert json.loads(call("study", "validate", "flowers.yaml", "--json").out)["sweep"] is None


def test_a_wrong_sweep_is_answered_with_file_and_line(call, study):
    study.write_text(f'{STUDY}sweep:\n  cron: "61 2 * * *"\n  timezone: Berlin\n')
    ended = call("study", "validate", "flowers.yaml")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "error: flowers.yaml:21:9: sweep.cron: the minute must be from 0 to 59, got '61'\n"
        "error: flowers.yaml:22:13: sweep.timezone: unknown time zone 'Berlin'\n"
        "  hint: did you mean 'Europe/Berlin'?\n2 errors, nothing started\n"
    )
