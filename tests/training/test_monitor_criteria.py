"""Every criterion: its range, and a curve on which it decides."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any, NamedTuple

import pytest

from tunelab.training.monitor import PRESETS, Criteria, Monitor, Signal, replay
from tunelab.training.records import EpochRecord

OVERFITTING, PLATEAU, LEARNING = Signal.OVERFITTING, Signal.PLATEAU, Signal.LEARNING
UNDERFITTING, UNFINISHED, DIVERGED = Signal.UNDERFITTING, Signal.UNFINISHED, Signal.DIVERGED


def flat(level: float, n: int = 200) -> list[float]:
    return [level] * n


def jump(low: float, high: float, n: int = 200) -> list[float]:
    """``low`` for epochs 1..12, then ``high``: e = high - (high - low) * 0.6^k at epoch 12 + k."""
    return [low] * 12 + [high] * (n - 12)


SHRINKING = [0.5 * 0.97**k for k in range(200)]
DIP = [0.48 if epoch == 15 else 0.5 for epoch in range(1, 201)]
STEP_DOWN = [0.1] * 100 + [0.01] * 100


class Case(NamedTuple):
    changed: Any
    before: tuple[Signal, int]  # signal and epoch of the last verdict with the default
    after: tuple[Signal, int]
    validation: list[float]
    train: list[float] = flat(0.1)
    rates: list[float] = flat(0.1)
    others: Criteria = Criteria()


LONG = Criteria(patience=100)
SHORT = Criteria(patience=2)
CASES = {
    "patience": Case(15, (PLATEAU, 21), (PLATEAU, 16), flat(0.5)),
    "patience_min": Case(20, (PLATEAU, 11), (PLATEAU, 21), flat(0.5, 50)),
    "patience_share": Case(0.2, (PLATEAU, 21), (PLATEAU, 41), flat(0.5)),
    "high_rate_factor": Case(3.0, (PLATEAU, 41), (PLATEAU, 61), flat(0.5), rates=STEP_DOWN),
    # A later rate at 60 % of the peak counts as low below 0.8, not below 0.5.
    "high_rate_share": Case(
        0.8, (PLATEAU, 21), (PLATEAU, 41), flat(0.5), rates=[0.1] * 100 + [0.06] * 100
    ),
    # 0.005 an epoch resets the wait every few epochs at 0.01, and not within 20 at 0.5.
    "min_delta": Case(0.5, (UNFINISHED, 200), (PLATEAU, 21), [2 - 0.005 * k for k in range(200)]),
    # The dip of 0.02 weighs 0.4 * 0.02 = 0.008 < min_delta when smoothed.
    "smoothing": Case(0.0, (PLATEAU, 21), (PLATEAU, 35), DIP),
    "warm_up": Case(30, (PLATEAU, 21), (PLATEAU, 31), flat(0.5)),
    "warm_up_min": Case(6, (PLATEAU, 4), (PLATEAU, 7), flat(0.5, 40), others=SHORT),
    "warm_up_max": Case(15, (PLATEAU, 11), (PLATEAU, 16), flat(0.5, 400), others=SHORT),
    "warm_up_share": Case(0.2, (PLATEAU, 4), (PLATEAU, 9), flat(0.5, 40), others=SHORT),
    # Up 30 %: GL is 12, 19.2, 23.5 ... %, above 20 from epoch 15, for ten epochs at 24.
    "gl_limit": Case(
        20.0, (OVERFITTING, 101), (OVERFITTING, 24), jump(0.5, 0.65), SHRINKING, others=LONG
    ),
    # Up 60 %: GL is 24, 38.4, 47 ... %, above 40 from epoch 15.
    "gl_epochs": Case(
        15, (OVERFITTING, 24), (OVERFITTING, 29), jump(0.5, 0.8), SHRINKING, others=LONG
    ),
    # 0.01 -> 0.025 is 30 % of the floor 0.05 and 150 % of 0.01: 60 % at epoch 13 already.
    "gl_floor": Case(
        0.0, (OVERFITTING, 101), (OVERFITTING, 22), jump(0.01, 0.025), SHRINKING, others=LONG
    ),
    "gl_patience": Case(50.0, (OVERFITTING, 21), (PLATEAU, 21), jump(0.5, 0.65), SHRINKING),
    "best_age": Case(
        50, (OVERFITTING, 24), (OVERFITTING, 51), jump(0.5, 0.8), SHRINKING, others=LONG
    ),
    # 0.97^5 = 0.859: a fall of 14 % in five epochs.
    "falling_delta": Case(
        0.3, (OVERFITTING, 24), (OVERFITTING, 101), jump(0.5, 0.8), SHRINKING, others=LONG
    ),
    # Not falling before epoch 21, so the ten epochs are 21..30.
    "falling_epochs": Case(
        20, (OVERFITTING, 24), (OVERFITTING, 30), jump(0.5, 0.8), SHRINKING, others=LONG
    ),
    "divergence_factor": Case(30.0, (DIVERGED, 11), (UNDERFITTING, 21), flat(0.5), flat(20.0)),
    "divergence_epochs": Case(15, (DIVERGED, 11), (DIVERGED, 15), flat(0.5), flat(20.0)),
    "underfitting_share": Case(0.9, (UNDERFITTING, 21), (PLATEAU, 21), flat(0.5), flat(0.7)),
    # 0.99^40 = 0.669: a fall of 33 % in the last fifth.
    "unfinished_delta": Case(
        0.5,
        (UNFINISHED, 200),
        (LEARNING, 200),
        [0.5 * 0.99**k for k in range(200)],
        others=Criteria(patience=200),
    ),
    # Falls up to epoch 151 and is flat after: nothing since 160, a third since 100.
    "unfinished_share": Case(
        0.5,
        (LEARNING, 200),
        (UNFINISHED, 200),
        [0.5 * 0.99 ** min(k, 150) for k in range(200)],
        others=Criteria(patience=200),
    ),
    "early_stopping": Case(False, (PLATEAU, 21), (PLATEAU, 200), flat(0.5)),
}


def outcome(case: Case, criteria: Criteria) -> tuple[Signal, int]:
    n = len(case.validation)
    monitor = Monitor(max_epochs=n, baseline_loss=1.0, learning_rates=case.rates, criteria=criteria)
    for k in range(n):
        train = case.train[min(k, 199)]
        verdict = monitor.observe(EpochRecord(k + 1, train, case.validation[k], 0.1, 1.0, 0.0))
        if verdict.stop:
            break
    return verdict.signal, verdict.epoch


def test_there_is_a_case_for_every_criterion():
    assert CASES.keys() == {field.name for field in fields(Criteria)}


@pytest.mark.parametrize("name", CASES)
def test_every_criterion_decides_something(name):
    case = CASES[name]
    assert outcome(case, case.others) == case.before
    assert outcome(case, replace(case.others, **{name: case.changed})) == case.after


@pytest.mark.parametrize(
    ("name", "refused", "allowed"),
    [
        ("patience", (0, -1, 2.5, math.nan, True, "5"), (1, None)),
        ("patience_min", (0, None), (1,)),
        ("patience_share", (-0.1, 1.1, math.nan), (0.0, 1.0)),
        ("high_rate_factor", (0.9, math.inf), (1.0, 3)),
        ("high_rate_share", (0.0, 1.1), (1.0,)),
        ("min_delta", (-0.01, math.nan, math.inf, None), (0.0, 5.0)),
        ("smoothing", (-0.1, 1.0), (0.0, 0.99)),
        ("warm_up", (-1, 1.5), (0, None)),
        ("warm_up_min", (-1,), (0,)),
        ("warm_up_max", (-1,), (0,)),
        ("warm_up_share", (-0.1, 1.1), (0.0, 1.0)),
        ("gl_limit", (-1.0, math.inf), (0.0,)),
        ("gl_epochs", (0,), (1,)),
        ("gl_floor", (-0.1,), (0.0,)),
        ("gl_patience", (-1.0,), (0.0,)),
        ("best_age", (-1,), (0,)),
        ("falling_delta", (-0.1, 1.0), (0.0,)),
        ("falling_epochs", (0,), (1,)),
        ("divergence_factor", (0.0, -1.0, math.nan), (0.5,)),
        ("divergence_epochs", (0,), (1,)),
        ("underfitting_share", (-0.1,), (0.0, 2.0)),
        ("unfinished_delta", (-0.1, 1.0), (0.0,)),
        ("unfinished_share", (-0.1, 1.1), (0.0, 1.0)),
        ("early_stopping", (), (True, False)),
    ],
)
def test_every_criterion_has_its_range(name, refused, allowed):
    for value in refused:
        with pytest.raises(ValueError, match=f"^{name} must be "):
            Criteria(**{name: value})
    for value in allowed:
        assert getattr(Criteria(**{name: value}), name) == value


def test_a_refusal_names_range_and_value():
    with pytest.raises(ValueError, match=r"^smoothing must be in \[0, 1\), got 1\.5$"):
        Criteria(smoothing=1.5)
    with pytest.raises(ValueError, match=r"^patience must be a whole number at least 1, got 2\.5$"):
        Criteria(patience=2.5)
    with pytest.raises(ValueError, match=r"^divergence_factor must be above 0, got 0\.0$"):
        Criteria(divergence_factor=0.0)


@pytest.mark.parametrize(
    ("preset", "epoch"), [("default", 21), ("careful", 31), ("eager", 11), ("off", 200)]
)
def test_presets_differ_in_patience(preset, epoch):
    verdict = replay(flat(0.1), flat(0.5), flat(0.1), 200, 1.0, preset)
    assert (verdict.signal, verdict.epoch, verdict.stop) == (PLATEAU, epoch, preset != "off")


def test_careful_counts_smaller_improvements():
    validation = [1.0 - 0.0002 * k for k in range(200)]  # 0.004 in 20 epochs, 0.006 in 30
    assert replay(flat(0.1), validation, flat(0.1), 200, 1.0).epoch == 21
    careful = replay(flat(0.1), validation, flat(0.1), 200, 1.0, "careful")
    assert (careful.signal, careful.epoch) == (LEARNING, 200)


def test_off_judges_and_does_not_stop():
    off = replay(SHRINKING, jump(0.5, 0.8), flat(0.1), 200, 1.0, "off")
    assert (off.signal, off.stop, off.epoch, off.onset) == (OVERFITTING, False, 200, 1)
    runaway = replay(flat(20.0), flat(0.5), flat(0.1), 200, 1.0, "off")
    assert (runaway.signal, runaway.stop, runaway.epoch) == (DIVERGED, False, 200)
    poor = replay(flat(0.9), flat(0.9), flat(0.1), 200, 1.0, "off")
    assert (poor.signal, poor.stop, poor.epoch) == (UNDERFITTING, False, 200)


def test_presets_are_frozen():
    assert set(PRESETS) == {"default", "careful", "eager", "off"}
    with pytest.raises(AttributeError):
        PRESETS["default"].patience = 5
