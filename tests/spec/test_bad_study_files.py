"""Each kind of mistake in a study file, and the exact place and words it is answered with."""

from __future__ import annotations

import pytest

from tunelab.errors import StudyFileError
from tunelab.spec.study_file import read_study_file

HEAD = "name: s\ntask: classification\ndata: {source: sklearn, name: digits}\n"
REGRESSION = "name: s\ntask: regression\ndata: {source: sklearn, name: diabetes}\n"


def problems_in(tmp_path, text):
    path = tmp_path / "bad.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(StudyFileError) as caught:
        read_study_file(path)
    assert {problem.file for problem in caught.value.problems} == {str(path)}
    return caught.value.problems


# What follows HEAD begins in line 4. (text, line, column, key, message, part of the hint)
SEARCH = [
    ("search: {trials: 0}", 4, 18, "search.trials", "must be from 1 to 1000000, got 0", None),
    ("search: {trials: -1}", 4, 18, "search.trials", "must be from 1 to 1000000, got -1", None),
    (
        "search: {trials: 1.5}",
        4,
        18,
        "search.trials",
        "must be a whole number from 1 to 1000000, got 1.5",
        None,
    ),
    (
        "search: {trials: ten}",
        4,
        18,
        "search.trials",
        "must be a whole number from 1 to 1000000, got 'ten'",
        None,
    ),
    (
        'search: {trials: "10"}',
        4,
        18,
        "search.trials",
        "must be a whole number from 1 to 1000000, got '10'",
        "without quotes",
    ),
    (
        "search:\n  trials: true",
        5,
        11,
        "search.trials",
        "must be a whole number from 1 to 1000000, got true",
        None,
    ),
    (
        "search:\n  trials: .nan",
        5,
        11,
        "search.trials",
        "must be a finite number from 1 to 1000000, got nan",
        None,
    ),
    (
        "search: {max_epochs: 0}",
        4,
        22,
        "search.max_epochs",
        "must be from 1 to 1000000, got 0",
        None,
    ),
    ("search: {seed: -1}", 4, 16, "search.seed", "must be from 0 to 4294967295, got -1", None),
    (
        "search: {seed: 4294967296}",
        4,
        16,
        "search.seed",
        "must be from 0 to 4294967295, got 4294967296",
        None,
    ),
    ("search: {workers: 0}", 4, 19, "search.workers", "must be from 1 to 1024, got 0", None),
    (
        "search: {timeout: 0}",
        4,
        19,
        "search.timeout",
        "must be in (0, 31622400], got 0",
        None,
    ),
    (
        "search: {timeout: 10 min}",
        4,
        19,
        "search.timeout",
        "must be seconds or a duration such as 10m, 1h30m or 45s, got '10 min'",
        None,
    ),
    ("search: {timeout: 0m}", 4, 19, "search.timeout", "must be in (0, 31622400], got 0", None),
    (
        "search: {sampler: tpee}",
        4,
        19,
        "search.sampler",
        "unknown sampler 'tpee'; known: tpe random qmc grid",
        "'tpe'",
    ),
    (
        "search: {pruner: medan}",
        4,
        18,
        "search.pruner",
        "unknown pruner 'medan'; known: median percentile successive_halving none",
        "'median'",
    ),
    (
        "search: {pruner: {min_trials: 0}}",
        4,
        31,
        "search.pruner.min_trials",
        "must be from 1 to 1000000, got 0",
        None,
    ),
    (
        "search: {pruner: {warmup: 3}}",
        4,
        19,
        "search.pruner.warmup",
        "unknown key 'warmup'; known: name startup_trials warm_up_epochs min_trials",
        "'warm_up_epochs'",
    ),
    (
        "search: 5",
        4,
        9,
        "search",
        "must be a mapping with the keys sampler pruner trials timeout max_epochs seed",
        None,
    ),
    ("search: {trials: }", 4, 10, "search.trials", "has no value", "remove the key"),
    ("search:\n  seed:\n  trials: 3", 5, 3, "search.seed", "has no value", "remove the key"),
    ("search: {seed: null}", 4, 10, "search.seed", "has no value", "remove the key"),
]

TOP = [
    (
        "optimzer: {}",
        4,
        1,
        "optimzer",
        "unknown key 'optimzer'; known: name task data objective search space monitor confirm s",
        "did you mean 'optimizer'? it belongs under space",
    ),
    ("serach: {}", 4, 1, "serach", "unknown key 'serach'; known: ", "'search'"),
    ("name: t", 4, 1, "name", "duplicate key 'name' in line 4, first given in line 1", None),
    ("3: x", 4, 1, "3", "unknown key '3'; known: name", None),
    ("0.5: x", 4, 1, "", "a key must be text, got 0.5", "quotes"),
    ("true: x", 4, 1, "", "a key must be text, got true", "quotes"),
    ("? [a]\n: x", 4, 3, "", "a key must be text, got a list", None),
    ("backend: torch", 4, 10, "backend", "unknown backend 'torch'; known: numpy", None),
    ("description: 3", 4, 14, "description", "must be text, got 3", "quotes"),
    (
        'description: "\\e[31m"',
        4,
        14,
        "description",
        "must be printable text, got the character U+001B",
        None,
    ),
    ("objective: {metric: rmse}", 4, 21, "objective.metric", "rmse is no metric of class", None),
    (
        "objective: {metric: acuracy}",
        4,
        21,
        "objective.metric",
        "unknown metric 'acuracy'; known: validation_loss accuracy balanced_accuracy",
        "'accuracy'",
    ),
    ("monitor: off", 4, 10, "monitor", "must be a mapping such as {preset: default}, got", None),
    ("monitor: {preset: lazy}", 4, 19, "monitor.preset", "unknown preset 'lazy'; known: ", None),
    (
        "monitor: {patience: 0}",
        4,
        21,
        "monitor.patience",
        "must be a whole number at least 1",
        None,
    ),
    ("monitor: {patience: 1.5}", 4, 21, "monitor.patience", "must be a whole number", None),
    ("monitor: {min_delta: .inf}", 4, 22, "monitor.min_delta", "must be a finite number", None),
    ("monitor: {min_delta: -1}", 4, 22, "monitor.min_delta", "must be at least 0, got -1", None),
    ("monitor: {patiense: 3}", 4, 11, "monitor.patiense", "unknown criterion", "'patience'"),
    (
        "monitor: {early_stopping: 1}",
        4,
        27,
        "monitor.early_stopping",
        "must be true or false, got 1",
        None,
    ),
]

SPACE = [
    ("space: []", 4, 8, "space", "must be a mapping with the keys optimizer ", None),
    ("space: {unit: 3}", 4, 9, "space.unit", "unknown hyperparameter 'unit'; known: ", "'units'"),
    (
        "space: {optimizer: rmsprob}",
        4,
        20,
        "space.optimizer",
        "unknown optimizer 'rmsprob'; known: sgd momentum nesterov adagrad",
        "'rmsprop'",
    ),
    (
        "space: {optimizer: {adamm: {}}}",
        4,
        21,
        "space.optimizer.adamm",
        "unknown optimizer 'adamm'; known: sgd momentum nesterov adagrad",
        "'adam'",
    ),
    ("space: {optimizer: [sgd, asgd]}", 4, 26, "space.optimizer", "unknown optimizer", "'sgd'"),
    ("space: {optimizer: [sgd, sgd]}", 4, 26, "space.optimizer", "'sgd' is listed twice", None),
    ("space: {optimizer: []}", 4, 20, "space.optimizer", "needs at least one optimizer", None),
    ("space: {optimizer: {}}", 4, 20, "space.optimizer", "needs at least one optimizer", None),
    ("space: {optimizer: 3}", 4, 20, "space.optimizer", "must be one or more of sgd ", None),
    ("space: {optimizer: [3]}", 4, 21, "space.optimizer", "must be one of sgd ", None),
    ("space: {optimizer: [{sgd: {}}]}", 4, 21, "space.optimizer", "a list holds only", "mapping"),
    ("space: {optimizer: {sgd: 1}}", 4, 26, "space.optimizer.sgd", "must be a mapping", "sgd: {}"),
    (
        "space: {optimizer: {adam: {momentum: 0.9}}}",
        4,
        28,
        "space.optimizer.adam.momentum",
        "unknown adam hyperparameter 'momentum'; known: learning_rate beta_1 beta_2 epsilon",
        None,
    ),
    (
        "space: {optimizer: {momentum: {momentum: 1.5}}}",
        4,
        42,
        "space.optimizer.momentum.momentum",
        "must be in [0, 1), got 1.5",
        None,
    ),
    (
        "space: {momentum: -0.1}",
        4,
        19,
        "space.momentum",
        "must be in [0, 1), got -0.1",
        None,
    ),
    (
        "space: {optimizer: nesterov, momentum: 0}",
        4,
        40,
        "space.momentum",
        "must be in (0, 1), got 0",
        None,
    ),
    (
        "space: {optimizer: [sgd, adam], momentum: 0.9}",
        4,
        33,
        "space.momentum",
        "has no effect: none of sgd adam takes it from here",
        "remove",
    ),
    ("space: {schedule: linea}", 4, 19, "space.schedule", "unknown schedule 'linea'", "'linear'"),
    (
        "space: {schedule: {constant: {factor: 1}}}",
        4,
        31,
        "space.schedule.constant.factor",
        "unknown constant hyperparameter 'factor'; known: warm_up",
        None,
    ),
    (
        "space: {schedule: {step_drop: {every: 0}}}",
        4,
        39,
        "space.schedule.step_drop.every",
        "must be from 1 to 1000000, got 0",
        None,
    ),
    (
        "space: {optimizer: adam, schedule: {cosine: {end: 1.5}}}",
        4,
        51,
        "space.schedule.cosine.end",
        "must be in [0, 1], got 1.5",
        None,
    ),
    ("space: {layers: 0}", 4, 17, "space.layers", "must be from 1 to 100, got 0", None),
    ("space: {batch_size: 0}", 4, 21, "space.batch_size", "must be from 1 to 1000000", None),
    ("space: {dropout_rate: 1.0}", 4, 23, "space.dropout_rate", "must be in [0, 1), got 1.0", None),
    ("space: {l2: 2020-01-01}", 4, 13, "space.l2", "must be a number in [0, 1000], got '20", None),
    ("space: {l2: 1e999}", 4, 13, "space.l2", "must be a finite number in [0, 1000]", None),
    ("space: {activation: reluu}", 4, 21, "space.activation", "unknown activation", "'relu'"),
    ("space: {activation: 3}", 4, 21, "space.activation", "must be one of relu leaky_relu", None),
    (
        "space: {activation: {low: 1, high: 2}}",
        4,
        21,
        "space.activation",
        "must be one or more of relu leaky_relu",
        None,
    ),
    ("space: {units: []}", 4, 16, "space.units", "needs at least one value to choose from", None),
    ("space: {units: [8, x]}", 4, 20, "space.units", "must be a whole number from 1", None),
    ("space: {units: [8, 8.0]}", 4, 20, "space.units", "8.0 is listed twice", None),
    ("space: {units: [[8], [x]]}", 4, 23, "space.units", "must be a whole number from 1", None),
    ("space: {units: [[8], []]}", 4, 22, "space.units", "needs at least one value", None),
    ("space: {units: [[8], 9], layers: 3}", 4, 34, "space.layers", "must reach up to 2, the", None),
    ("space: {units: [[8]], shape: funnel}", 4, 23, "space.shape", "has no effect: every", None),
    (
        "space: {batch_norm: maybe}",
        4,
        21,
        "space.batch_norm",
        "must be on or off, got 'maybe'",
        None,
    ),
    ("space: {batch_norm: 1}", 4, 21, "space.batch_norm", "must be on or off, got 1", None),
    (
        "space: {batch_norm: on, batch_size: 1}",
        4,
        37,
        "space.batch_size",
        "must be at least 2",
        None,
    ),
    ("space: {gradient_clip: -1}", 4, 24, "space.gradient_clip", "must be in [0, 1000000]", None),
    ("space: {schedule: piecewise}", 4, 9, "space.schedule.piecewise", "piecewise needs", "rates"),
    (
        "space: {schedule: {piecewise: {rates: 0.1}}}",
        4,
        39,
        "space.schedule.piecewise.rates",
        "must be a mapping from epochs done to rates, got 0.1",
        "{10: 0.01, 20: 0.001}",
    ),
    (
        "space: {schedule: {piecewise: {rates: '20: 0.1, 10: 0.2'}}}",
        4,
        39,
        "space.schedule.piecewise.rates",
        "must have each k greater than the one before, got 20 and then 10",
        "{10: 0.01, 20: 0.001}",
    ),
    (
        "space: {schedule: {piecewise: {rates: {20: 1001}}}}",
        4,
        39,
        "space.schedule.piecewise.rates",
        "must be in (0, 1000], got 1001",
        None,
    ),
    (
        "space: {schedule: {piecewise: {rates: {10: fast}}}}",
        4,
        39,
        "space.schedule.piecewise.rates",
        "must have rates > 0 and finite, got 'fast' at k = 10",
        "{10: 0.01, 20: 0.001}",
    ),
    (
        "space: {schedule: {inverse_time: {unit: step}}}",
        4,
        41,
        "space.schedule.inverse_time.unit",
        "needs a decay_rate beside it",
        None,
    ),
    (
        "space: {schedule: {cosine: {warm_up: 100}}}",
        4,
        38,
        "space.schedule.cosine.warm_up",
        "must be less than max_epochs, 100, got 100",
        None,
    ),
    (
        "search: {sampler: grid}\nspace: {l2: {low: 0, high: 1}}",
        5,
        13,
        "space.l2",
        "a grid needs single values",
        "give the range a step",
    ),
    (
        "search: {sampler: grid}\nspace: {momentum: [0.5, 0.9]}",
        5,
        9,
        "space.momentum",
        "has no effect: a grid that names no optimizer",
        "name the optimizers",
    ),
    (
        "space: {l1: {low: 0, high: 1, step: 5e-324}}",
        4,
        37,
        "space.l1.step",
        "must be at least 1e-06: a range has at most 1000000 steps",
        None,
    ),
    (
        "space: {l1: {low: 0, high: 1, step: 0x1" + "0" * 290 + "}}",
        4,
        37,
        "space.l1.step",
        "must be greater than 0, got a huge number",
        None,
    ),
    (
        "space: {schedule: {piecewise: {rates: {10: 0x1" + "0" * 290 + "}}}}",
        4,
        39,
        "space.schedule.piecewise.rates",
        "must have rates > 0 and finite",
        "{10: 0.01, 20: 0.001}",
    ),
    (
        "space: {schedule: {piecewise: {rates: {'010': 0.1, 10: 0.2}}}}",
        4,
        39,
        "space.schedule.piecewise.rates",
        "must list every epoch once",
        None,
    ),
    (
        "space: {schedule: {piecewise: {rates: {100: 0.1}}}}",
        4,
        39,
        "space.schedule.piecewise.rates",
        "epochs must be less than max_epochs, 100, got 100",
        None,
    ),
    (
        "space: {units: [[4], [8], [16]], layers: 1}",
        4,
        42,
        "space.layers",
        "must reach up to 3",
        None,
    ),
    (
        "search: {max_epochs: 20.0}\nspace: {schedule: {piecewise: {rates: {18: 1}, warm_up: 5}}}",
        5,
        39,
        "space.schedule.piecewise.rates",
        "epochs must be less than max_epochs, 20 less the warm-up's 5, got 18",
        None,
    ),
    (
        "search: {max_epochs: true}\nspace: {schedule: {cosine: {warm_up: 5}}}",
        4,
        22,
        "search.max_epochs",
        "must be a whole number",
        None,
    ),
    ("objective: {loss: squared_error}", 4, 19, "objective.loss", "squared_error is no loss", None),
    ("space: {l2: [0.1, .nan]}", 4, 19, "space.l2", "must be a finite number", None),
    ("space: {units: [8, ~]}", 4, 20, "space.units", "has no value", None),
    ("space: {units: {low: 9, high: 8}}", 4, 22, "space.units.low", "low must not be above", None),
    (
        "space: {l2: {low: 0, high: 1, stp: 1}}",
        4,
        31,
        "space.l2.stp",
        "unknown range key",
        "'step'",
    ),
    (
        "space: {units: {low: 9}}",
        4,
        9,
        "space.units.high",
        "is missing; a range needs low and high",
        None,
    ),
    (
        "space: {units: {low: 1.5, high: 8}}",
        4,
        22,
        "space.units.low",
        "must be a whole number from 1 to 65536, got 1.5",
        None,
    ),
    ("space: {l2: {low: .inf, high: 1}}", 4, 19, "space.l2.low", "must be a finite number", None),
    (
        "space: {l2: {low: 0.0, high: 1, scale: log}}",
        4,
        19,
        "space.l2.low",
        "a log scale needs low > 0, got 0.0",
        "optional: true",
    ),
    (
        "space: {l2: {low: 0.1, high: 1, scale: reverse_log}}",
        4,
        30,
        "space.l2.high",
        "a reverse_log scale needs low and high in [0, 1), got 1.0",
        None,
    ),
    (
        "space: {units: {low: 1, high: 9, scale: reverse_log}}",
        4,
        41,
        "space.units.scale",
        "unknown scale 'reverse_log'; known: linear log",
        None,
    ),
    ("space: {l2: {low: 0, high: 1, step: 0}}", 4, 37, "space.l2.step", "must be greater", None),
    (
        "space: {l2: {low: 0, high: 1, step: 2}}",
        4,
        37,
        "space.l2.step",
        "must be at most high - low = 1, got 2.0",
        None,
    ),
    ("space: {units: {low: 1, high: 9, step: 0.5}}", 4, 40, "space.units.step", "must be", None),
    (
        "space: {units: {low: 1, high: 9, step: 2, scale: log}}",
        4,
        40,
        "space.units.step",
        "must not stand together with scale log",
        None,
    ),
    (
        "space: {units: {low: 1, high: 9, optional: true}}",
        4,
        44,
        "space.units.optional",
        "must be false: 0, which stands for off, is no valid value here",
        None,
    ),
    (
        "space: {l2: {low: 0, high: 1, optional: yes}}",
        4,
        41,
        "space.l2.optional",
        "must be true or false, got 'yes'",
        None,
    ),
    (
        "space: {l2: !!python/object/apply:os.system [x]}",
        4,
        13,
        "space.l2",
        "tags are not allowed, got '!!python/object/apply:os.system'",
        None,
    ),
    ("space: {<<: {units: 3}}", 4, 9, "space", "merge keys are not allowed", None),
    ("space: &a {units: *a}", 4, 19, "space.units", "the alias 'a' has no anchor above", "quotes"),
    (
        "space:\n  layers: 2\n  units: 8\n  layers: 3",
        7,
        3,
        "space.layers",
        "duplicate key 'layers' in line 7, first given in line 5",
        None,
    ),
]

SYNTAX = [
    ("space:\n\tunits: 3", 5, 1, "", "tabs cannot indent", "spaces"),
    ("space: {units: 3", 5, 1, "", "not valid YAML: expected ',' or '}'", None),
    ("space: @a", 4, 8, "", "not valid YAML: found character '@' that no value", "in quotes"),
    ("space: * a", 4, 9, "", "not valid YAML: expected alphabetic or num", "begins with * or &"),
    ("space: a: b", 4, 9, "", "not valid YAML: mapping values are not allowed here", "quotes"),
    ("space:\n   a: 1\n  b: 2", 6, 3, "", "not valid YAML: expected the end of the ind", "indent"),
    ("---\nname: t", 4, 1, "", "must hold one document, found a second one", None),
    ("space: \x07", 4, 8, "", "must be text, got the character U+0007", None),
]


@pytest.mark.parametrize(
    ("text", "line", "column", "key", "message", "hint"),
    [*SEARCH, *TOP, *SPACE, *SYNTAX],
    ids=lambda value: value.strip()[:50] if isinstance(value, str) and ":" in value else "",
)
def test_a_mistake_is_answered_with_its_place_and_what_must_hold(
    tmp_path, text, line, column, key, message, hint
):
    (problem,) = problems_in(tmp_path, HEAD + text + "\n")
    assert (problem.line, problem.column, problem.key) == (line, column, key)
    assert problem.message.startswith(message)
    assert hint is None or hint in problem.hint


DATA = [
    ("{source: sklearn, name: mnist}", 31, "data.name", "unknown data set 'mnist'; known: iris "),
    ("{source: excel, name: digits}", 16, "data.source", "unknown data source 'excel'; known: "),
    ("{source: sklearn}", 1, "data.name", "is missing"),
    ("{source: sklearn, name: digits, path: x}", 39, "data.path", "has no effect with source"),
    ("{source: sklearn, name: digits, split: {test: 1}}", 53, "data.split.test", "must be in (0"),
    (
        "{source: sklearn, name: digits, split: {validation: 0.5, test: 0.5}}",
        59,
        "data.split.validation",
        "validation and test must leave rows for training, got 0.5 + 0.5 of 1",
    ),
    (
        "{source: sklearn, name: digits, label_noise: {share: 2}}",
        60,
        "data.label_noise.share",
        "must be in [0, 1], got 2",
    ),
    ("{source: sklearn, name: digits, label_noise: {}}", 39, "data.label_noise.share", "is miss"),
    ("[]", 7, "data", "must be a mapping with the keys source name path target drop keep "),
]


@pytest.mark.parametrize(("data", "column", "key", "message"), DATA, ids=[row[0] for row in DATA])
def test_a_mistake_in_the_data_section(tmp_path, data, column, key, message):
    (problem,) = problems_in(tmp_path, f"name: s\ntask: classification\ndata: {data}\n")
    assert (problem.line, problem.column, problem.key) == (3, column, key)
    assert problem.message.startswith(message)


@pytest.mark.parametrize("name", ["a b", "ä", "..", ".", "a/b", "x" * 101, ""])
def test_a_study_name_must_be_usable_as_a_file_name(tmp_path, name):
    (problem,) = problems_in(tmp_path, HEAD.replace("name: s", f'name: "{name}"', 1))
    assert (problem.line, problem.column, problem.key) == (1, 7, "name")
    assert problem.message.startswith("must be 1 to 100 letters, digits, dots, hyphens")


def test_a_study_name_of_digits_alone_needs_quotes(tmp_path):
    (problem,) = problems_in(tmp_path, HEAD.replace("name: s", "name: 2024", 1))
    assert (problem.message, problem.hint) == ("must be text, got 2024", "put the name in quotes")


def test_the_task_must_suit_the_data(tmp_path):
    (problem,) = problems_in(tmp_path, HEAD.replace("digits", "linnerud"))
    assert (problem.line, problem.column, problem.key) == (2, 7, "task")
    message = "must be regression for the data set linnerud, got classification"
    assert problem.message == message


def test_regression_has_neither_accuracy_nor_label_noise(tmp_path):
    noisy = REGRESSION.replace("diabetes}", "diabetes, label_noise: {share: 0.1}}")
    noise, metric = problems_in(tmp_path, noisy + "objective: {metric: accuracy}\n")
    assert (noise.line, noise.column, noise.key) == (3, 41, "data.label_noise")
    assert noise.message == "needs classification: targets have no labels"
    assert (metric.line, metric.column, metric.key) == (4, 21, "objective.metric")
    assert metric.message.endswith("known: validation_loss rmse mae r2")


def test_all_problems_are_reported_at_once_in_file_order(tmp_path):
    text = """\
name: s
task: classification
data: {source: sklearn, name: diabetes}
objective: {metric: rmse}
search:
  trials: ten
  trials: 3
  sampler: tpee
space:
  optimizer: {adamm: {}, adam: {learning_rate: 0}}
  units: [8, 8, 1.5]
monitor: {patience: 0}
sweep: {}
"""
    problems = problems_in(tmp_path, text)
    assert [(problem.line, problem.column, problem.key) for problem in problems] == [
        (2, 7, "task"),
        (4, 21, "objective.metric"),
        (6, 11, "search.trials"),
        (7, 3, "search.trials"),
        (8, 12, "search.sampler"),
        (10, 15, "space.optimizer.adamm"),
        (10, 48, "space.optimizer.adam.learning_rate"),
        (11, 14, "space.units"),
        (11, 17, "space.units"),
        (12, 21, "monitor.patience"),
        (13, 1, "sweep.cron"),
    ]


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "\ufeff", "---\n"])
def test_an_empty_file_is_called_empty(tmp_path, text):
    (problem,) = problems_in(tmp_path, text)
    assert (problem.key, problem.message) == ("", "the study file is empty")


@pytest.mark.parametrize(
    ("text", "got"), [("- a\n", "a list"), ("hello\n", "'hello'"), ("3\n", "3")]
)
def test_the_top_level_must_be_a_mapping(tmp_path, text, got):
    (problem,) = problems_in(tmp_path, text)
    assert (problem.line, problem.column, problem.key) == (1, 1, "")
    assert problem.message.startswith("must be a mapping with the keys name task data ")
    assert problem.message.endswith(f"got {got}")


def test_bytes_that_are_no_text_are_located(tmp_path):
    (problem,) = problems_in(tmp_path, b"name: s\ntask: \xff\xfe")
    assert (problem.line, problem.column) == (2, 7)
    assert problem.message == "must be UTF-8 text, got the byte 0xff"


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefghijk", "bcdefghijkl", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"#" * 100_000_000, "must have at most 1000000 bytes, got more"),
        ("a: " + "[" * 5_000, "must nest at most 40 levels deep"),
        ("a: " + "{b: " * 4_000, "must nest at most 40 levels deep"),
        ("- " * 5_000, "must nest at most 40 levels deep"),
        (BOMB, "must hold at most 5000 values, aliases counted as written out"),
        ("a: [" + "1," * 400_000, "a line must have at most 20000 characters, got 800004"),
        ("".join(f"k{i}: 1\n" for i in range(60_000)), "must hold at most 5000 values"),
        ("a: !" + "x" * 900_000, "a line must have at most 20000 characters, got 900004"),
        ("a: " + "9" * 10_000, "unknown key 'a'"),
    ],
    ids=["100 MB", "brackets", "braces", "dashes", "aliases", "line", "keys", "tag", "digits"],
)
def test_a_file_made_to_exhaust_the_reader_is_refused(tmp_path, text, message):
    problems = problems_in(tmp_path, text)
    assert any(problem.message.startswith(message) for problem in problems)


def test_a_huge_number_is_refused_in_readable_words(tmp_path):
    for number in ("9" * 10_000, "0x" + "f" * 5_000, "-" + "9" * 250):
        (problem,) = problems_in(tmp_path, HEAD + f"search: {{trials: {number}}}\n")
        assert problem.key == "search.trials"
        assert len(problem.message) < 80


def test_nothing_of_a_key_reaches_the_terminal_raw(tmp_path):
    (problem,) = problems_in(tmp_path, HEAD + '"\\e[31m\\n": 1\n')
    assert problem.key == r"\x1b[31m\n"
    assert problem.message.startswith(r"unknown key '\x1b[31m\n'")


def test_messages_name_no_library_and_no_class(tmp_path):
    for text in ("a: [", "a: 'b", "a: b: c", "\ta: b", "a: *b", "%YAML x", "&", "a: |x", "? : ?"):
        for problem in problems_in(tmp_path, text):
            words = f"{problem.message} {problem.hint}".lower()
            assert not any(name in words for name in ("ruamel", "pydantic", "error", "token"))


def test_a_misspelled_end_of_a_range_is_both_unknown_and_missing(tmp_path):
    missing, unknown = problems_in(tmp_path, HEAD + "space: {units: {lo: 9, high: 10}}\n")
    assert (missing.line, missing.column, missing.key) == (4, 9, "space.units.low")
    assert (unknown.line, unknown.column, unknown.key) == (4, 17, "space.units.lo")
    assert (missing.message, unknown.hint) == (
        "is missing; a range needs low and high",
        "did you mean 'low'?",
    )


def test_a_file_of_windows_names_the_way_to_utf_8(tmp_path):
    (problem,) = problems_in(tmp_path, "description: früher".encode("windows-1252"))
    assert problem.message == "must be UTF-8 text, got the byte 0xfc"
    path = tmp_path / "bad.yaml"
    assert problem.hint == f"save it as UTF-8: iconv -f WINDOWS-1252 -t UTF-8 {path}"
