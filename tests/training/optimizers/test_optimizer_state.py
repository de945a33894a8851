"""The contract of every optimizer: saved state, shapes, names and ranges."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from tests.training.optimizers.textbook import VARIANTS, gradients_and_rates
from tunelab.training.optimizers import OPTIMIZERS, make_optimizer

N_SLOTS = {
    "sgd": 0,
    "momentum": 1,
    "nesterov": 1,
    "adagrad": 1,
    "adadelta": 2,
    "rmsprop": 1,
    "adam": 2,
    "adamw": 2,
    "nadam": 2,
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "settings"), VARIANTS, ids=str)
def test_a_restored_optimizer_continues_bit_for_bit(name, settings, dtype):
    """Also across steps 64 and 128, where the slots are kept out of the denormal numbers.

    The gradients are small, and one stays 0 after 5 steps, so that this changes something.
    """
    params = np.ones(7, dtype)
    optimizer = make_optimizer(name, settings).bind(params, n_weights=5)
    steps = []
    for number, (gradient, rate) in enumerate(gradients_and_rates(140, 7, 1e-15)):
        gradient[3] *= number < 5
        steps.append((gradient.astype(dtype), rate))
    saved = []
    for gradient, rate in steps:
        saved.append((optimizer.state_dict(), params.copy()))
        optimizer.step(params, gradient, rate)
    for after in (0, 1, 63, 64, 65, 100, 128):
        state, restored_params = saved[after]
        restored = make_optimizer(name, settings).bind(restored_params, n_weights=5)
        restored.load_state_dict(state)
        for gradient, rate in steps[after:]:
            restored.step(restored_params, gradient, rate)
        np.testing.assert_array_equal(restored_params, params)
        np.testing.assert_array_equal(restored.slots, optimizer.slots)
        assert restored.counters == optimizer.counters


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_is_a_copy_and_binding_again_forgets(name):
    params = np.ones(3)
    optimizer = make_optimizer(name, {}).bind(params)
    optimizer.step(params, np.ones(3), 0.1)
    state = optimizer.state_dict()
    slots, counters = state["slots"].copy(), dict(state["counters"])
    optimizer.step(params, np.ones(3), 0.1)
    np.testing.assert_array_equal(state["slots"], slots)
    assert state["counters"] == counters
    optimizer.load_state_dict(state)
    optimizer.step(params, np.ones(3), 0.1)
    np.testing.assert_array_equal(state["slots"], slots)
    assert state["counters"] == counters
    optimizer.bind(params)
    assert set(optimizer.counters.values()) <= {0}
    assert (optimizer.slots == 0.0).all()


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_slots_have_the_parameters_shape_and_type(name, dtype):
    optimizer = make_optimizer(name, {}).bind(np.ones(5, dtype))
    assert optimizer.n_slots == N_SLOTS[name]
    assert optimizer.slots.shape == (N_SLOTS[name], 5)
    assert optimizer.slots.dtype == dtype
    assert (optimizer.slots == 0.0).all()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_of_another_shape_is_refused(name):
    state = make_optimizer(name, {}).bind(np.ones(3)).state_dict()
    with pytest.raises(ValueError, match="slots must have shape"):
        make_optimizer(name, {}).bind(np.ones(4)).load_state_dict(state)


def test_state_of_another_method_is_refused_and_changes_nothing():
    adam = make_optimizer("adam", {}).bind(np.ones(3))
    with pytest.raises(ValueError, match="slots must have shape"):
        adam.load_state_dict(make_optimizer("rmsprop", {}).bind(np.ones(3)).state_dict())
    rmsprop = make_optimizer("rmsprop", {}).bind(np.ones(3))
    adagrad = make_optimizer("adagrad", {}).bind(np.ones(3))
    adagrad.step(np.ones(3), np.ones(3), 0.1)
    with pytest.raises(ValueError, match="counters must be"):
        rmsprop.load_state_dict(adagrad.state_dict())
    assert (rmsprop.slots == 0.0).all()
    assert rmsprop.counters == {"t": 0}


@pytest.mark.parametrize("n_weights", [-1, 4])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_there_are_no_more_weights_than_parameters(name, n_weights):
    with pytest.raises(ValueError, match=rf"n_weights must be in 0\.\.3, got {n_weights}"):
        make_optimizer(name, {}).bind(np.ones(3), n_weights)


DEFAULTS = {
    "sgd": {},
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9},
    "adagrad": {"epsilon": 1e-8},
    "adadelta": {"rho": 0.95, "epsilon": 1e-6},
    "rmsprop": {"rho": 0.9, "epsilon": 1e-8},
    "adam": {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8},
    "adamw": {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8, "weight_decay": 0.01},
    "nadam": {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8},
}


def test_names_settings_and_defaults_are_those_of_study_files():
    assert {
        name: {key: setting.default for key, setting in inspect.signature(make).parameters.items()}
        for name, make in OPTIMIZERS.items()
    } == DEFAULTS


OUTSIDE = {
    "momentum": [-0.1, 1.0, 1.5, float("nan")],
    "rho": [-0.1, 1.0, float("nan")],
    "beta_1": [-0.1, 1.0, float("nan")],
    "beta_2": [-0.5, 1.0, float("nan")],
    "epsilon": [0.0, -1e-8, float("inf"), float("nan")],
    "weight_decay": [-0.1, float("inf"), float("nan")],
}


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        (name, key, value)
        for name, settings in DEFAULTS.items()
        for key in settings
        for value in OUTSIDE[key]
    ],
)
def test_settings_out_of_range_are_refused_by_name(name, key, value):
    with pytest.raises(ValueError, match=f"{key} must be .*, got {value}"):
        make_optimizer(name, {key: value})


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("adagrat", {}, "optimizer must be one of sgd, .*, got 'adagrat'"),
        ("sgd", {"momentum": 0.9}, "sgd: unknown settings momentum"),
        ("adam", {"weight_decay": 0.1, "rho": 0.9}, "adam: unknown settings rho, weight_decay"),
        ("nesterov", {"momentum": 0.0}, "nesterov needs a momentum > 0"),
    ],
)
def test_unknown_names_are_refused(name, settings, message):
    with pytest.raises(ValueError, match=message):
        make_optimizer(name, settings)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_factory_explains_itself(name):
    """A summary line, a formula that fits a terminal, arguments, a source, an example."""
    doc = inspect.getdoc(OPTIMIZERS[name])
    lines = doc.splitlines()
    assert lines[0].endswith(".")
    assert lines[1] == ""
    opening = next(number for number, line in enumerate(lines) if line.endswith("::"))
    formula = []
    for line in lines[opening + 2 :]:
        if not line.startswith("    "):
            break
        formula.append(line.strip())
    assert any(line.startswith("w <- ") for line in formula)
    assert all(len(line) <= 90 for line in formula)
    for key in DEFAULTS[name]:
        assert any(key in line for line in formula)
        assert f"\n    {key}: " in doc
    assert ("Args:" in doc) == ("Raises:" in doc) == bool(DEFAULTS[name])
    for part in ("Source: ", "PyTorch", "Keras", ">>> "):
        assert part in doc
