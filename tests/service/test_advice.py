"""What `study validate` warns of, at the edge of each rule and on both sides of it."""

from __future__ import annotations

import pytest

from tunelab.service.advice import Rows, advice_on
from tunelab.spec.overrides import assignments
from tunelab.spec.study_file import read_study_file

# 3 searched hyperparameters: units, dropout_rate, learning_rate; nothing to warn of.
STUDY = """\
name: s
task: classification
data: {source: sklearn, name: digits}
search: {trials: 30, max_epochs: 100}
space:
  optimizer: adam
  schedule: constant
  layers: 2
  shape: constant
  activation: relu
  batch_norm: off
  l2: 0.0
  batch_size: 32
"""
ROWS = Rows(1000, 300, {"a": (500, 150), "b": (500, 150)})


@pytest.fixture
def advised(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)

    def advise(*texts, rows=ROWS):
        document = read_study_file(path, assignments(texts))
        found = advice_on(document, document.resolve(rows.n_train), rows)
        return [str(item).removeprefix(f"{path}:") for item in found]

    return advise


def test_a_sound_study_gets_no_advice(advised):
    assert advised() == []


def test_ten_trials_for_each_hyperparameter_are_enough_and_fewer_are_not(advised):
    assert advised("search.trials=30") == []
    assert advised("search.trials=29") == [
        "--set search.trials: 29 is few for 3 hyperparameters",
    ]
    assert advised("space.l2=[0.0, 1e-5]") == [
        "4:18: search.trials: 30 is few for 4 hyperparameters"
    ]
    # A grid tries all there is.
    assert advised("search.sampler=grid", "search.trials=1", "space.units=[8, 16]") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("space.units={low: 16, high: 128}", None),
        ("space.units={low: 16, high: 127}", "16 to 127 leaves out the default, 128"),
        ("space.dropout_rate={low: 0.2, high: 0.5}", "0.2 to 0.5 leaves out the default, 0.1"),
        ("space.l2={low: 1e-4, high: 1e-2, scale: log, optional: true}", "leaves out the default"),
        ("space.optimizer={adam: {learning_rate: {low: 0.01, high: 0.1}}}", "the default, 0.001"),
        # Its own default: 0.1.
        ("space.optimizer={sgd: {learning_rate: {low: 0.01, high: 1.0}}}", None),
        # Values that were picked one by one are meant.
        ("space.units=[8, 16]", None),
        ("space.units=8", None),
        ("space.schedule={linear: {tau: {low: 10, high: 50}}}", None),
    ],
)
def test_a_range_that_leaves_out_the_default_is_named(advised, text, said):
    found = [line for line in advised(text, "search.trials=1000") if "default" in line]
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


@pytest.mark.parametrize(
    ("texts", "warned"),
    [
        # Patience is 10 at 100 epochs, 20 before a rate falls for the first time.
        (["space.schedule={step_drop: {every: {low: 5, high: 10}}}"], False),
        (["space.schedule={step_drop: {every: {low: 5, high: 11}}}"], True),
        (["space.schedule={step_drop: {every: 11}}", "monitor.patience=11"], False),
        (["space.schedule={step_drop: {every: 11}}", "monitor.early_stopping=false"], False),
        (["space.schedule={step_drop: {every: 11}}", "monitor.preset=off"], False),
        (["space.schedule={hold_then_exponential: {hold: 20}}"], False),
        (["space.schedule={hold_then_exponential: {hold: 21}}"], True),
        (["space.schedule={piecewise: {rates: {10: 0.1, 20: 0.01}}}"], False),
        (["space.schedule={piecewise: {rates: {10: 0.1, 21: 0.01}}}"], True),
        # The default space's own intervals are nobody's mistake, unless the patience is.
        (["space.schedule=step_drop"], False),
        (["space.schedule=step_drop", "monitor.patience=3"], True),
        (["space.schedule=cosine", "monitor.patience=3"], False),
        # No longer than the budget.
        (["space.schedule={step_drop: {every: 50}}", "search.max_epochs=10"], False),
    ],
)
def test_an_interval_longer_than_the_patience_is_named(advised, texts, warned):
    found = [line for line in advised(*texts, "search.trials=1000") if "patience" in line]
    assert bool(found) is warned


def test_a_batch_of_more_than_a_tenth_of_the_rows_is_named(advised):
    assert advised("space.batch_size=100") == []
    (line,) = advised("space.batch_size=101")
    assert line.startswith("--set space.batch_size: 101 is more than a tenth of the 1000 training")
    assert line.endswith("rows: an epoch has 10 steps")
    small = Rows(100, 30, {})
    assert advised("space.batch_size=10", rows=small) == []
    assert advised("space.batch_size=100", rows=small)[0].endswith("an epoch has 1 step")


def test_small_classes_are_named_the_smallest_first_and_not_all_of_a_thousand(advised):
    few = {"x": (9, 2), "y": (10, 2), "z": (1, 1)}
    first, second = advised(rows=Rows(1000, 300, few))
    assert "class 'z' has 1 of the training rows" in first
    assert "class 'x' has 9 of the training rows" in second
    many = {f"class {i}": (3, 1) for i in range(1000)}
    lines = advised(rows=Rows(3000, 1000, many))
    assert len(lines) == 6
    assert lines[-1].endswith("995 more classes have fewer than 10 training rows")


def test_what_was_odd_about_the_data_is_told(advised):
    rows = Rows(1000, 300, {}, ("column a: the same value in every row",))
    assert advised(rows=rows) == ["3:7: data: column a: the same value in every row"]


def test_a_sweep_over_a_growing_file_is_warned_of_a_split_that_moves_rows(advised):
    sweep, table = "sweep={cron: 0 2 * * *}", "data={source: csv, path: x.csv, target: y"
    assert advised(sweep, f"{table}}}") == []  # by hash
    assert advised(sweep, f"{table}, split: {{method: time, time: t}}}}") == []
    assert advised(f"{table}, split: {{method: stratified}}}}") == []
    assert advised(sweep, "data.split.method=stratified") == []  # these rows stay as they are
    (line,) = advised(sweep, f"{table}, split: {{method: stratified}}}}")
    assert line.startswith("--set data: data.split.method: stratified deals all rows out anew")


def test_advice_stands_in_the_order_of_the_file(advised):
    lines = advised("search.max_epochs=100", rows=Rows(100, 30, {"a": (3, 1)}))
    places = [line.split(" ")[0] for line in lines]
    assert places == sorted(places, key=lambda place: int(place.split(":")[0]))
    assert len(places) == 2  # the class, the batch size
