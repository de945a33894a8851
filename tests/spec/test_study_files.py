"""What can be read as a study file, and what it then says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tunelab.errors import NotFoundError, StudyFileError
from tunelab.spec.space import Choice, Fixed, FloatRange, IntRange
from tunelab.spec.study_file import read_study_file, resolved_yaml

STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.yaml"))
HEAD = "name: s\ntask: classification\ndata: {source: sklearn, name: digits}\n"


def read(tmp_path, text):
    path = tmp_path / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return read_study_file(path)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_shipped_study_is_valid_and_named_like_its_file(path):
    document = read_study_file(path)
    assert document.spec.name == path.stem
    assert document.text == path.read_text(encoding="utf-8")
    assert document.resolve(n_train=1078).search_space.complete


def test_there_are_shipped_studies():
    assert {path.stem for path in STUDIES} >= {
        "breast_cancer",
        "customers",
        "diabetes",
        "digits",
        "digits_noisy",
        "lecture_batch_size",
        "lecture_optimizers",
        "lecture_regularization",
        "lecture_schedules",
        "wine",
    }


def test_the_shipped_table_is_small_and_made_by_the_script_beside_it(tmp_path):
    folder = STUDIES[0].parent / "data"
    script = tmp_path / "make_customers.py"
    script.write_bytes((folder / "make_customers.py").read_bytes())
    subprocess.run([sys.executable, script], check=True)
    made = (tmp_path / "customers.csv").read_bytes()
    assert made == (folder / "customers.csv").read_bytes()
    assert len(made) < 200_000


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_resolved_file_reads_back_as_the_same_study(tmp_path, path):
    spec = read_study_file(path).resolve(n_train=1078)
    assert read(tmp_path, resolved_yaml(spec)).spec == spec


def test_the_shortest_study_file_gets_every_default(tmp_path):
    spec = read(tmp_path, HEAD).spec
    assert (spec.objective.metric, spec.objective.direction) == ("validation_loss", "minimize")
    assert (spec.search.sampler, spec.search.pruner.name) == ("tpe", "median")
    assert (spec.n_trials, spec.search.max_epochs, spec.search.seed) == (60, 100, 0)
    assert (spec.search.timeout_seconds, spec.search.workers) == (None, None)
    pruner = spec.search.pruner
    assert (pruner.startup_trials, pruner.warm_up_epochs, pruner.min_trials) == (5, 10, 3)
    assert (spec.data.split.validation, spec.data.split.test, spec.data.split.seed) == (0.2, 0.2, 0)
    assert (spec.backend, spec.monitor.preset, spec.description) == ("numpy", "default", None)


def test_each_form_of_a_dimension_is_read(tmp_path):
    text = """
space:
  optimizer: {adam: {learning_rate: 1e-3, beta_1: {low: 0.8, high: 0.99, scale: reverse_log}}}
  schedule: {step_drop: {factor: [0.5], every: {low: 5, high: 20, step: 4}}}
  layers: 2.0
  units: {low: 16, high: 1e2, scale: log}
  activation: [tanh, relu]
  dropout_rate: {low: 0, high: 0.5, step: 0.2}
  l2: {low: 1e-7, high: 1, scale: log, optional: true}
  batch_size: [64, 32]
"""
    space = read(tmp_path, HEAD + text).spec.space
    assert space.optimizers == {
        "adam": {"learning_rate": Fixed(0.001), "beta_1": FloatRange(0.8, 0.99, "reverse_log")}
    }
    # 5, 9, 13, 17: the end that the step reaches replaces the one that was written.
    assert space.schedules == {
        "step_drop": {"factor": Fixed(0.5), "every": IntRange(5, 17, step=4)}
    }
    assert space.network == {
        "layers": Fixed(2),
        "units": IntRange(16, 100, "log"),
        "activation": Choice(("tanh", "relu")),
        "dropout_rate": FloatRange(0.0, 0.4, step=0.2),
        "l2": FloatRange(1e-7, 1.0, "log", optional=True),
        "batch_size": Choice((64, 32)),
    }
    assert isinstance(space.network["layers"].value, int)
    assert isinstance(space.network["dropout_rate"].low, float)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10m", 600), ("1h30m", 5400), ("45s", 45), ("90", 90), ("0.5", 0.5), ("2h0m1s", 7201)],
)
def test_a_timeout_is_seconds_or_a_duration(tmp_path, text, seconds):
    spec = read(tmp_path, HEAD + f"search: {{timeout: {text}}}\n").spec
    assert spec.search.timeout_seconds == seconds


def test_the_monitor_is_a_preset_and_overrides(tmp_path):
    text = "monitor: {preset: careful, patience: 12.0, gl_limit: 50, early_stopping: false}\n"
    monitor = read(tmp_path, HEAD + text).spec.monitor
    criteria = monitor.criteria()
    assert (criteria.patience, criteria.gl_limit, criteria.early_stopping) == (12, 50.0, False)
    assert criteria.min_delta == 0.003  # careful's own
    assert isinstance(criteria.patience, int)
    assert isinstance(criteria.gl_limit, float)


def test_a_pruner_may_be_a_name_or_a_mapping(tmp_path):
    assert read(tmp_path, HEAD + "search: {pruner: none}\n").spec.search.pruner.name == "none"
    text = "search: {pruner: {name: median, startup_trials: 0}}\n"
    assert read(tmp_path, HEAD + text).spec.search.pruner.startup_trials == 0


def test_an_alias_means_what_its_anchor_holds(tmp_path):
    text = """
space:
  optimizer:
    sgd: {learning_rate: &rate {low: 1e-3, high: 1, scale: log}}
    momentum: {learning_rate: *rate}
"""
    optimizers = read(tmp_path, HEAD + text).spec.space.optimizers
    assert optimizers["sgd"] == optimizers["momentum"]


def test_a_problem_behind_an_alias_is_located_at_the_alias(tmp_path):
    with pytest.raises(StudyFileError) as caught:
        read(tmp_path, HEAD + "search: {trials: &n 2.5, seed: *n}\n")
    assert [(p.key, p.line, p.column) for p in caught.value.problems] == [
        ("search.trials", 4, 18),
        ("search.seed", 4, 32),
    ]


@pytest.mark.parametrize("text", ["\ufeff" + HEAD, HEAD.replace("\n", "\r\n"), "---\n" + HEAD])
def test_byte_order_mark_line_ends_and_document_start_do_not_matter(tmp_path, text):
    path = tmp_path / "study.yaml"
    path.write_bytes(text.encode())
    assert read_study_file(path).spec.name == "s"


def test_words_that_were_booleans_once_are_text(tmp_path):
    assert read(tmp_path, HEAD.replace("name: s", "name: no", 1)).spec.name == "no"


def test_a_batch_beyond_the_rows_is_located_when_the_rows_are_known(tmp_path):
    document = read(tmp_path, HEAD + "space:\n  batch_size: [32, 512]\n")
    with pytest.raises(StudyFileError) as caught:
        document.resolve(n_train=300)
    (problem,) = caught.value.problems
    assert str(problem) == (
        f"{tmp_path / 'study.yaml'}:5:15: space.batch_size: batch_size 512 > 300 training rows"
    )


def test_a_missing_file_is_not_found_and_its_neighbour_named(tmp_path):
    (tmp_path / "digits.yaml").write_text(HEAD)
    with pytest.raises(NotFoundError, match="no study file") as caught:
        read_study_file(tmp_path / "digit.yaml")
    assert "digits.yaml" in caught.value.hint
    with pytest.raises(NotFoundError):
        read_study_file(tmp_path / "digits.yaml" / "x.yaml")


def test_a_folder_is_no_study_file(tmp_path):
    with pytest.raises(NotFoundError, match="is a folder"):
        read_study_file(tmp_path)


def test_pipes_and_devices_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(StudyFileError, match="must be a regular file"):
            read_study_file(path)


def test_impossible_paths_are_refused(tmp_path):
    for name in ("a\0b", "x" * 5000):
        with pytest.raises(StudyFileError, match="cannot be read"):
            read_study_file(tmp_path / name)


def test_reading_study_files_loads_no_heavy_library():
    code = (
        "import sys; from tunelab.spec.study_file import read_study_file as r;"
        f"r({str(STUDIES[0])!r});"
        "print([m for m in ('numpy', 'optuna', 'sklearn', 'sqlalchemy', 'mlflow', 'matplotlib')"
        " if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"
