"""A monitor saved and restored goes on as if nothing had happened."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunelab.training.monitor import PRESETS, Monitor, Signal, Verdict
from tunelab.training.records import EpochRecord

LOSSES = st.floats(0.0, 30.0) | st.sampled_from([0.5, 0.5, 0.51, math.nan, math.inf, 0.0])
EPOCHS = st.lists(st.tuples(LOSSES, LOSSES, LOSSES), min_size=1, max_size=60)


def through_json(state: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(state, allow_nan=False))


def watch(
    curves: list[tuple[float, float, float]], *, restart: bool, **arguments: Any
) -> list[Verdict]:
    """All verdicts; with ``restart`` a new monitor takes over after every epoch."""

    def build() -> Monitor:
        return Monitor(max_epochs=60, learning_rates=[0.1] * 40 + [0.01] * 20, **arguments)

    monitor, verdicts = build(), []
    for epoch, (train, validation, score) in enumerate(curves, 1):
        if restart:
            state = through_json(monitor.state_dict())
            monitor = build()
            monitor.load_state_dict(state)
        verdicts.append(
            monitor.observe(EpochRecord(epoch, train, validation, 0.1, 1.0, 0.0, score, score))
        )
    return verdicts


@settings(max_examples=100, deadline=None)
@given(
    curves=EPOCHS,
    preset=st.sampled_from(sorted(PRESETS)),
    direction=st.sampled_from([None, "maximize", "minimize"]),
    baseline_loss=st.sampled_from([0.0, 0.7, 3.0]),
)
def test_a_restart_before_every_epoch_changes_nothing(curves, preset, direction, baseline_loss):
    arguments: dict[str, Any] = {
        "criteria": PRESETS[preset],
        "score_direction": direction,
        "baseline_loss": baseline_loss,
    }
    # repr, for nan is not equal to itself
    assert repr(watch(curves, restart=True, **arguments)) == repr(
        watch(curves, restart=False, **arguments)
    )


@settings(max_examples=50, deadline=None)
@given(curves=EPOCHS)
def test_a_signal_that_is_no_divergence_has_a_reason_with_numbers(curves):
    for verdict in watch(curves, restart=False, baseline_loss=0.7):
        assert "nan" not in verdict.reason or verdict.signal is Signal.DIVERGED
        assert any(character.isdigit() for character in verdict.reason)
        assert "\n" not in verdict.reason


@pytest.mark.parametrize("pause", range(1, 31))
def test_patience_survives_a_pause(pause):
    def build() -> Monitor:
        return Monitor(max_epochs=200, baseline_loss=1.0, learning_rates=[0.1])

    monitor = build()
    for epoch in range(1, 32):
        loss = 0.9 - 0.05 * min(epoch, 11)  # the floor from epoch 11
        verdict = monitor.observe(EpochRecord(epoch, 0.1, loss, 0.1, 1.0, 0.0))
        assert not verdict.stop
        if epoch == pause:
            state = through_json(monitor.state_dict())
            monitor = build()
            monitor.load_state_dict(state)
            assert (monitor.best_epoch, monitor.best_value) == (
                verdict.best_epoch,
                verdict.best_value,
            )
    stops = [
        monitor.observe(EpochRecord(epoch, 0.1, 0.35, 0.1, 1.0, 0.0)).stop
        for epoch in range(32, 40)
    ]
    # e - 0.35 is 0.075 * 0.6^k at epoch 11 + k. Drops of more than 0.01 since the last reset come
    # at k = 0, 1 (0.03), 2 (0.018), 3 (0.0108) and 5 (0.0104 over two): wait 0 at epoch 16.
    assert stops.index(True) == 36 - 32


def test_a_state_is_a_copy():
    monitor = Monitor(max_epochs=9, baseline_loss=1.0, learning_rates=[0.1])
    monitor.observe(EpochRecord(1, 0.5, 0.5, 0.1, 1.0, 0.0))
    state = monitor.state_dict()
    before = through_json(state)
    other = Monitor(max_epochs=9, baseline_loss=1.0, learning_rates=[0.1])
    other.load_state_dict(state)
    other.observe(EpochRecord(2, 0.4, 0.4, 0.1, 1.0, 0.0))
    monitor.observe(EpochRecord(2, 0.3, 0.3, 0.1, 1.0, 0.0))
    assert state == before


def test_a_fresh_state_has_no_infinities():
    state = Monitor(max_epochs=9, baseline_loss=1.0, learning_rates=[0.1]).state_dict()
    assert through_json(state) == state
    assert state["lowest"] is None


def test_a_state_with_other_names_is_refused():
    monitor = Monitor(max_epochs=9, baseline_loss=1.0, learning_rates=[0.1])
    state = monitor.state_dict()
    del state["wait"]
    with pytest.raises(ValueError, match="monitor state: missing or unknown wait"):
        monitor.load_state_dict(state)
