"""PyTorch's own optimizers, recorded: equal where the formulas are, otherwise as documented.

The recording, torch_reference.json, is made by make_torch_reference.py.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.training.optimizers.make_torch_reference import (
    FIXTURE,
    GRADIENTS,
    RUNS,
    START,
    trajectories,
)
from tests.training.optimizers.textbook import TEXTBOOK
from tunelab.training.optimizers import make_optimizer

RECORDED = {
    name: np.array(points) for name, points in json.loads(FIXTURE.read_text())["runs"].items()
}


def ours(name, settings, run):
    """The parameters after every step, on the gradients and rates of a recorded run."""
    params = np.array(START)
    optimizer = make_optimizer(name, settings).bind(params)
    points = []
    for gradient, rate in zip(GRADIENTS, RUNS[run][2], strict=True):
        optimizer.step(params, np.array(gradient), rate)
        points.append(params.copy())
    return np.array(points)


def rewritten(name, settings, run):
    """Likewise, by a textbook class turned into PyTorch's variant."""
    w, points = np.array(START), []
    textbook = TEXTBOOK[name](**settings)
    for gradient, rate in zip(GRADIENTS, RUNS[run][2], strict=True):
        w = textbook.step(w, np.array(gradient), rate)
        points.append(w)
    return np.array(points)


@pytest.mark.parametrize(
    ("run", "name", "settings"),
    [
        ("sgd", "sgd", {}),
        ("momentum", "momentum", {}),
        ("nesterov", "nesterov", {}),
        ("adadelta", "adadelta", {}),
        ("adadelta, large epsilon", "adadelta", {"rho": 0.8, "epsilon": 0.1}),
        ("adam", "adam", {}),
        ("adam, large epsilon", "adam", {"beta_1": 0.8, "beta_2": 0.99, "epsilon": 0.1}),
        ("adamw", "adamw", {"weight_decay": 0.3}),
    ],
)
def test_equal_where_the_formulas_are(run, name, settings):
    np.testing.assert_allclose(ours(name, settings, run), RECORDED[run], rtol=1e-12)


@pytest.mark.parametrize("name", ["momentum", "nesterov"])
def test_a_changing_rate_parts_the_two_forms_of_momentum(name):
    """PyTorch multiplies the rate in after the velocity: that is the only difference."""
    run = f"{name}, changing rate"
    theirs = rewritten(name, {"rate_inside": False}, run)
    np.testing.assert_allclose(theirs, RECORDED[run], rtol=1e-12)
    # The rate changes first at the third step.
    distance = np.abs(ours(name, {}, run) - RECORDED[run]).max(axis=1)
    assert distance[1] < 1e-12 < 1e-3 < distance[2]


@pytest.mark.parametrize("name", ["adagrad", "rmsprop"])
def test_epsilon_outside_the_root_is_the_only_difference(name):
    large = f"{name}, large epsilon"
    theirs = rewritten(name, {"epsilon": 0.1, "inside": False}, large)
    np.testing.assert_allclose(theirs, RECORDED[large], rtol=1e-12)
    distance = np.abs(ours(name, {"epsilon": 0.1}, large) - RECORDED[large]).max(axis=0)
    # The gradients' sizes are about 1, 0.03 and 100, to which a root of 0.1 is, in turn, much,
    # almost everything, and nothing.
    assert distance[0] > 1e-3
    assert distance[1] > 1e-3
    assert distance[2] < 1e-3


@pytest.mark.parametrize("name", ["adagrad", "rmsprop"])
def test_with_a_small_epsilon_its_place_does_not_matter(name):
    np.testing.assert_allclose(ours(name, {}, name), RECORDED[name], rtol=1e-5)


def test_nadam_differs_by_the_rise_of_the_momentum_and_the_correction_of_m():
    theirs = rewritten("nadam", {"rise": 0.004}, "nadam")
    np.testing.assert_allclose(theirs, RECORDED["nadam"], rtol=1e-12)
    # A momentum_decay this large ends the rise before the first step: 0.96^1e6 is 0. Only the
    # correction is left, 1 - 0.9^(t + 1) where ours has 1 - 0.9^t.
    constant = "nadam, constant momentum"
    theirs = rewritten("nadam", {"rise": 1e6}, constant)
    np.testing.assert_allclose(theirs, RECORDED[constant], rtol=1e-12)
    # At the first step m = 0.1 g and sqrt(v) = |g|, so w moves by 0.01 times the gradient's sign
    # times 0.9 * 0.1 / 0.19 + 1 = 28/19 there, 0.9 + 1 = 1.9 here, and, with both differences,
    # mu = 0.45 * (2 - 0.96^0.004), nearly 0.45: 1 + 0.1 * 0.4501 / (1 - 0.4501^2) = 1.0564 there.
    first = np.array(START) - 0.01 * np.sign(GRADIENTS[0]) * np.array([[28 / 19], [1.9], [1.0564]])
    np.testing.assert_allclose(RECORDED[constant][0], first[0], rtol=1e-7)
    np.testing.assert_allclose(ours("nadam", {}, "nadam")[0], first[1], rtol=1e-7)
    np.testing.assert_allclose(RECORDED["nadam"][0], first[2], rtol=1e-5)


def test_the_recording_is_complete():
    assert set(RECORDED) == set(RUNS)
    assert all(points.shape == (len(GRADIENTS), len(START)) for points in RECORDED.values())


def test_the_recording_is_what_pytorch_computes_today():
    pytest.importorskip("torch")
    for name, points in trajectories().items():
        np.testing.assert_allclose(points, RECORDED[name], rtol=1e-12, err_msg=name)
