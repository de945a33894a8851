"""The names and ranges of study files are those of the training engine."""

from __future__ import annotations

import inspect
import math

import pytest

from tunelab.spec import tables
from tunelab.spec.default_space import DEFAULTS
from tunelab.spec.rules import Number
from tunelab.training.activations import ACTIVATIONS
from tunelab.training.initializers import INITIALIZERS
from tunelab.training.losses import loss_names
from tunelab.training.metrics import METRICS
from tunelab.training.monitor import PRESETS
from tunelab.training.optimizers import OPTIMIZERS, make_optimizer
from tunelab.training.schedules import SCHEDULES, make_schedule


def test_names_equal_those_of_the_registries():
    assert set(tables.OPTIMIZERS) == set(OPTIMIZERS)
    assert set(tables.SCHEDULES) == set(SCHEDULES)
    assert set(tables.NETWORK["activation"].known) == set(ACTIVATIONS)
    assert set(tables.NETWORK["initializer"].known) == {"matched", *INITIALIZERS}
    for task, losses in tables.LOSSES.items():
        assert losses == loss_names(task)
    assert tuple(PRESETS) == tables.PRESETS


def test_metrics_equal_those_of_the_engine_beside_the_loss():
    ours = {
        (task, name, direction)
        for task, metrics in tables.METRICS.items()
        for name, direction in metrics.items()
        if name != "validation_loss"
    }
    theirs = {(metric.task, metric.name, metric.direction) for metric in METRICS.values()}
    assert ours == theirs


def test_settings_equal_the_parameters_of_the_factories():
    for name, rules in tables.OPTIMIZERS.items():
        expected = set(inspect.signature(OPTIMIZERS[name]).parameters) | {"learning_rate"}
        assert set(rules) == expected
    for name, rules in tables.SCHEDULES.items():
        given = {"initial", "peak", "max_epochs", "steps_per_epoch"}
        own = set(inspect.signature(SCHEDULES[name]).parameters) - given
        assert set(rules) == own | ({"warm_up"} if name != "one_cycle" else set())


def defaults_of(factory):
    return {
        name: parameter.default
        for name, parameter in inspect.signature(factory).parameters.items()
        if parameter.default not in (inspect.Parameter.empty, None)
    }


@pytest.mark.parametrize(
    ("name", "factory"), [*OPTIMIZERS.items(), *SCHEDULES.items()], ids=lambda item: str(item)[:20]
)
def test_a_study_begins_at_the_engines_defaults(name, factory):
    for key, default in defaults_of(factory).items():
        ours = DEFAULTS.get(f"{name}.{key}", DEFAULTS[key])
        assert ours == default, key


def ends(rule):
    """Numbers at a rule's ends, and whether each is valid."""
    if not isinstance(rule, Number):
        return
    for end, is_open in ((rule.low, rule.low_open), (rule.high, rule.high_open)):
        if math.isfinite(end):
            yield (int(end) if rule.kind == "int" else end), not is_open


@pytest.mark.parametrize("name", tables.OPTIMIZERS)
def test_the_engine_agrees_about_the_ends_of_an_optimizers_ranges(name):
    for key, rule in tables.OPTIMIZERS[name].items():
        for end, valid in ends(rule):
            if key == "learning_rate":
                continue
            if valid:
                make_optimizer(name, {key: end})
            else:
                with pytest.raises(ValueError, match=key):
                    make_optimizer(name, {key: end})


@pytest.mark.parametrize("name", tables.SCHEDULES)
def test_the_engine_agrees_about_the_ends_of_a_schedules_ranges(name):
    for key, rule in tables.SCHEDULES[name].items():
        for end, valid in ends(rule):
            if valid:
                start(name, 1.0, {key: end})
            else:
                with pytest.raises(ValueError, match=key):
                    start(name, 1.0, {key: end})


def start(name, rate, settings):
    needed = {"rates": "10: 0.1"} if name == "piecewise" else {}
    return make_schedule(name, rate, 2_000_000, {**needed, **settings}, steps_per_epoch=3)


def test_the_engine_takes_every_name_of_a_schedules_setting():
    for name, rules in tables.SCHEDULES.items():
        for key, rule in rules.items():
            for value in getattr(rule, "known", ()):
                assert start(name, 1.0, {key: value})(0) == 1.0


def test_the_engine_takes_every_rate_above_0():
    for name in tables.SCHEDULES:
        with pytest.raises(ValueError, match="learning_rate"):
            start(name, 0.0, {})
