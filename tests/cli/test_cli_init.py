"""``tunelab init``: a study file that is accepted, started, and told about as it should be."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys

import pytest
from sklearn.datasets import load_iris

from tests.cli.test_cli_help import loaded_by


@pytest.fixture
def iris(home):
    """The irises as a CSV file."""
    flowers = load_iris()
    with (home / "iris.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow([*flowers.feature_names, "species"])
        for row, label in zip(flowers.data.tolist(), flowers.target, strict=True):
            table.writerow([*row, flowers.target_names[label]])
    return home / "iris.csv"


def test_its_file_runs_as_it_is(iris, call):
    ended = call("init", "--data", "iris.csv", "--target", "species", "--name", "flowers")
    assert (ended.code, ended.out) == (0, "iris.yaml\n")
    assert ended.err == (
        "next    tunelab study validate iris.yaml\n        tunelab study start iris.yaml\n"
    )
    valid = call("study", "validate", "iris.yaml")
    assert (valid.code, valid.err) == (0, "")  # not even a warning
    assert valid.out.startswith("iris.yaml: valid\nflowers  minimise validation_loss")
    command = [sys.executable, "-m", "tunelab", "study", "start", "iris.yaml"]
    command += ["--trials", "2", "--set", "search.max_epochs=30", "--no-mirror", "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    best = json.loads(result.stdout.splitlines()[-1])["best"]
    # Three classes: who knows nothing has ln 3 = 1.1.
    assert best["value"] < 0.4


def test_help_loads_no_heavy_library_and_has_an_example(call):
    heavy = {"numpy", "optuna", "sklearn", "sqlalchemy", "mlflow", "rich", "pyarrow"}
    assert not loaded_by("init", "--help") & heavy
    assert "Example: tunelab init --data" in call("init", "--help").out


def test_wrong_calls_end_with_one_error_and_their_exit_code(iris, call):
    data = ("init", "--data", "iris.csv")
    for words, code, message in (
        (("init",), 2, "missing option '--data'"),
        (data, 2, "--target is missing"),
        ((*data, "--target", "specie"), 2, "did you mean 'species'?"),
        ((*data, "--target", "species", "--name", "a/b"), 2, "--name: must be"),
        ((*data, "--target", "species", "--task", "ranking"), 2, "--task: must be"),
        (("init", "--data", "irs.csv", "--target", "species"), 3, "did you mean 'iris.csv'?"),
        ((*data, "--target", "species", "-o", "none/a.yaml"), 3, "there is no folder none"),
    ):
        ended = call(*words)
        assert (ended.code, ended.out) == (code, ""), words
        assert message.lower() in ended.err.lower(), ended.err
        assert "Traceback" not in ended.err
    assert not (iris.parent / "iris.yaml").exists()


def test_a_second_call_leaves_the_file_alone(iris, call):
    (iris.parent / "iris.yaml").write_text("mine")
    ended = call("init", "--data", "iris.csv", "--target", "species")
    assert (ended.code, ended.out) == (2, "")
    assert "iris.yaml exists already" in ended.err
    assert "--force" in ended.err
    assert (iris.parent / "iris.yaml").read_text() == "mine"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_kill_leaves_no_file(iris, number):
    command = [sys.executable, "-m", "tunelab", "init", "--data", "iris.csv", "--target", "species"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.7)
        process.send_signal(number)
    assert process.returncode in (-number, 128 + number)
    assert [item.name for item in iris.parent.iterdir()] == ["iris.csv"]
