"""The names and ranges of study files are those of the training engine."""

from __future__ import annotations

import inspect
import math

import pytest

from tunelab.spec import tables
from tunelab.training.activations import ACTIVATIONS
from tunelab.training.metrics import METRICS
from tunelab.training.monitor import PRESETS
from tunelab.training.optimizers import OPTIMIZERS, make_optimizer
from tunelab.training.schedules import SCHEDULES, make_schedule


def test_names_equal_those_of_the_registries():
    assert set(tables.OPTIMIZERS) == set(OPTIMIZERS)
    assert set(tables.SCHEDULES) == set(SCHEDULES)
    assert set(tables.NETWORK["activation"].known) == set(ACTIVATIONS)
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
        expected = set(inspect.signature(SCHEDULES[name]).parameters) - {"initial", "max_epochs"}
        assert set(rules) == expected


def ends(rule):
    """Numbers at a rule's ends, and whether each is valid."""
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
                make_schedule(name, 1.0, 10, {key: end})
            else:
                with pytest.raises(ValueError, match=key):
                    make_schedule(name, 1.0, 10, {key: end})


def test_the_engine_takes_every_rate_above_0():
    for name in tables.SCHEDULES:
        with pytest.raises(ValueError, match="learning_rate"):
            make_schedule(name, 0.0, 10, {})
