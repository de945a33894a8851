"""``study start`` with ``--set``, options and variables: which goes first, and what is refused."""

from __future__ import annotations

import json

import pytest

from tunelab.cli import running
from tunelab.service.events import StudyFinished, StudyStarted
from tunelab.service.summary import summarize
from tunelab.storage.states import StudyState
from tunelab.storage.studies import mark_ended, study_by_id

STUDY = """\
name: flowers
task: classification
data: {source: sklearn, name: iris}
search: {trials: 10, max_epochs: 9, workers: 2}
space: {units: {low: 16, high: 64}, batch_size: 8}
"""


@pytest.fixture
def study(home, monkeypatch):
    """A study file; a start of it runs nothing, and is told in the list that is returned."""
    (home / "flowers.yaml").write_text(STUDY)
    runs = []

    def run_study(database, row, *, n_workers, executor, stop, mirrored):
        with database.write() as connection:
            mark_ended(
                connection, row.id, StudyState.STOPPED, end_reason="stopped", running_seconds=1.0
            )
            summary = summarize(connection, study_by_id(connection, row.id))
        runs.append((summary, n_workers))
        yield StudyStarted(summary, n_workers or 1, leads=True)
        yield StudyFinished(summary)

    monkeypatch.setattr(running, "run_study", run_study)
    return runs


def started(call, study, *words):
    """The study's resolved file, trials and workers after `study start`."""
    ended = call("study", "start", "flowers.yaml", "--no-mirror", *words)
    assert ended.code == 130, ended.err
    summary, n_workers = study[-1]
    return summary.spec, summary.study.n_trials, n_workers, ended


def test_an_option_goes_before_set_before_a_variable_before_the_file(call, study, monkeypatch):
    def trials(*words):
        return started(call, study, "--new", *words)[1]

    assert trials() == 10
    monkeypatch.setenv("TUNELAB_TRIALS", "20")
    assert trials() == 20
    assert trials("--set", "search.trials=30") == 30
    assert trials("--set", "search.trials=30", "--trials", "40") == 40
    assert trials("--set", "search.trials=30", "--set", "search.trials=31") == 31


@pytest.mark.parametrize(
    ("words", "variables", "workers"),
    [
        ([], {}, None),  # as the file says
        ([], {"TUNELAB_WORKERS": "3"}, 3),
        (["--set", "search.workers=4"], {"TUNELAB_WORKERS": "3"}, 4),
        (["--workers", "5"], {"TUNELAB_WORKERS": "3"}, 5),
    ],
)
def test_workers_are_those_of_this_start(call, study, monkeypatch, words, variables, workers):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    spec, _, n_workers, _ = started(call, study, *words)
    assert n_workers == workers
    assert spec.search.workers == 2


def test_the_search_and_the_space_can_be_set(call, study, monkeypatch):
    monkeypatch.setenv("TUNELAB_SAMPLER", "random")
    monkeypatch.setenv("TUNELAB_MAX_EPOCHS", "20")
    spec, *_ = started(call, study, "--set", "space.units.high=32", "--set", "search.seed=7")
    assert (spec.search.sampler, spec.search.max_epochs, spec.search.seed) == ("random", 20, 7)
    assert spec.to_mapping()["space"]["units"] == {"low": 16, "high": 32}


def test_a_generation_that_repeats_the_one_before_says_so(call, study):
    def said(*words):
        return started(call, study, "--new", *words)[3].err

    assert "note:" not in said()  # there is none before
    assert (
        "note: flowers #2 has the seed of flowers #1 and begins with the same trials; "
        "`--set search.seed=1` has others\n"
    ) in said("--trials", "30")
    assert "note:" not in said("--set", "search.seed=1")
    assert "note:" not in said("--set", "search.seed=1", "--set", "space.units.high=32")
    assert "note:" not in call("study", "submit", "flowers.yaml", "--new").err
    again = call("study", "submit", "flowers.yaml", "--new")
    assert "note: flowers #6 has the seed of flowers #5 and begins" in again.err


def test_the_way_to_go_on_is_one_that_works(call, study):
    assert started(call, study)[3].err.endswith("; `tunelab study start flowers.yaml` goes on\n")
    ended = started(call, study, "--new", "--set", "search.seed=7")[3]
    # The same command without --set would ask for another study.
    assert ended.err.endswith("; `tunelab study resume flowers` goes on\n")
    refused = call("study", "start", "flowers.yaml", "--no-mirror")
    assert refused.code == 2
    assert "search.seed: 7 -> 0" in refused.err


def test_a_refused_start_names_the_variable_that_is_easily_forgotten(call, study, monkeypatch):
    started(call, study)
    monkeypatch.setenv("TUNELAB_SEED", "7")
    ended = call("study", "start", "flowers.yaml", "--no-mirror", "--trials", "20")
    assert ended.code == 2
    assert "search.seed: 0 -> 7" in ended.err
    assert ended.err.endswith("--new; TUNELAB_SEED went before the study file\n")


def test_everything_wrong_is_told_at_once_and_nothing_is_written(call, study, home, monkeypatch):
    (home / "flowers.yaml").write_text(STUDY.replace("high: 64", "high: 0"))
    monkeypatch.setenv("TUNELAB_TRIALS", "many")
    monkeypatch.setenv("TUNELAB_SAMPLER", "tp")
    words = ["--set", "search.max_epoch=3", "--no-mirror"]
    ended = call("study", "start", "flowers.yaml", *words)
    assert (ended.code, ended.out) == (2, "")
    errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert [line.split(": ")[1] for line in errors] == [
        "--set search.max_epoch",
        "TUNELAB_SAMPLER",
        "TUNELAB_TRIALS",
        "flowers.yaml:5:32",
    ]
    assert "hint: did you mean 'max_epochs'?" in ended.err
    assert ended.err.endswith("4 errors, nothing started\n")
    document = json.loads(call("study", "start", "flowers.yaml", *words, "--json").out)
    assert document["errors"][0]["where"] == "--set search.max_epoch"
    assert [item.name for item in home.iterdir()] == ["flowers.yaml"]


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("file:./mlruns", "MLFLOW_TRACKING_URI must not be a folder"),
        ("./mlruns", "MLFLOW_TRACKING_URI has no scheme"),
        ("mlflow.db", "MLFLOW_TRACKING_URI has no scheme"),
        ("http://", "MLFLOW_TRACKING_URI has no host and port that can be read"),
        ("http://host:abc", "MLFLOW_TRACKING_URI has no host and port that can be read"),
        ("http://me:s3cret#/x@host:5000", "MLFLOW_TRACKING_URI has no host and port"),
        ("https://me:12?s3cret@host:5000", "MLFLOW_TRACKING_URI has no host and port"),
        ("sqlite://", "MLFLOW_TRACKING_URI must name a file"),
        ("sqlite:///:memory:", "MLFLOW_TRACKING_URI must name a file"),
    ],
)
@pytest.mark.parametrize(
    "words", [["study", "start", "flowers.yaml"], ["study", "resume", "flowers"], ["ui"]]
)
def test_a_place_that_mlflow_cannot_be_at_is_refused_first(
    call, study, home, monkeypatch, uri, message, words
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    ended = call(*words)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {message}")
    assert "s3cret" not in ended.err
    assert [item.name for item in home.iterdir()] == ["flowers.yaml"]


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:///m.db?timeout=5",
        "http://localhost:5000/team",
        "http://[::1]:5000",
        "https://me:s3cret%23@host",
        "postgresql://me:s3cret@host/db",
        "databricks",
        "databricks://profile",
    ],
)
def test_a_place_where_mlflow_may_be_is_left_to_it(call, study, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert call("study", "start", "flowers.yaml").code == 130


def test_a_start_that_sends_nothing_does_not_ask_where_to(call, study, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:./mlruns")
    assert call("study", "start", "flowers.yaml", "--no-mirror").code == 130
    monkeypatch.setenv("TUNELAB_MIRROR", "no")
    assert call("study", "start", "flowers.yaml").code == 130


def test_a_server_elsewhere_is_only_named(call, home, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:s3cret@mlflow.example.org")
    ended = call("ui")
    assert ended.code == 0
    assert ended.err == "MLFLOW_TRACKING_URI names a server: open this page there\n"
    assert ended.out.startswith("https://mlflow.example.org/#/experiments")
