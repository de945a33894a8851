"""What stopping costs and saves on simulated runs of the usual shapes, and what verdicts they get.

A guard against gross mistakes: the shapes are invented, so the limits are wide.
"""

from __future__ import annotations

import numpy as np

from tunelab.training.monitor import Signal, Verdict, replay

N = 200


def simulated_run(rng: np.random.Generator, *, overfits: bool):
    """Losses relative to L0 = 1 and the rates: a decay, noise, and a rise where it overfits."""
    t = np.arange(N)
    fast = rng.uniform(0.05, 0.3)
    floor = rng.uniform(0.1, 0.5)
    validation = floor + (1 - floor) * np.exp(-fast * t)
    train = (0.02 if overfits else floor - 0.05) + (1 - floor) * np.exp(-fast * t)
    if overfits:
        onset = rng.integers(5, 50)
        validation += rng.uniform(0.01, 0.04) * np.maximum(t - onset, 0)
        train += 0.3 * floor * np.exp(-0.02 * t)
    train += 0.005 * rng.standard_normal(N)
    validation += 0.01 * rng.standard_normal(N)
    rates = 0.05 * (1 + np.cos(np.pi * t / N)) if rng.random() < 0.5 else np.full(N, 0.1)
    return np.abs(train), np.abs(validation), rates


def judged(preset: str, *, overfits: bool) -> tuple[list[Verdict], float, float]:
    """Verdicts of 60 runs, the mean share of epochs spent and the mean regret as a share of L0."""
    rng = np.random.default_rng(7)
    runs = [simulated_run(rng, overfits=overfits) for _ in range(60)]
    verdicts = [replay(*run, N, 1.0, preset) for run in runs]
    regrets = [
        verdict.best_value - run[1].min() for verdict, run in zip(verdicts, runs, strict=True)
    ]
    return verdicts, float(np.mean([v.epoch for v in verdicts])) / N, float(np.mean(regrets))


def test_runs_that_overfit_are_found_early_and_cheaply():
    verdicts, cost, regret = judged("default", overfits=True)
    assert np.mean([verdict.signal is Signal.OVERFITTING for verdict in verdicts]) >= 0.7
    assert cost <= 0.4
    assert regret <= 0.006


def test_runs_that_settle_are_not_called_overfitting_or_diverged():
    verdicts, cost, regret = judged("default", overfits=False)
    signals = [verdict.signal for verdict in verdicts]
    assert np.mean([signal is Signal.OVERFITTING for signal in signals]) <= 0.05
    assert Signal.DIVERGED not in signals
    assert cost <= 0.4
    assert regret <= 0.02  # two standard deviations of the noise: the luckiest of 200 epochs


def test_patient_presets_pay_more_and_regret_less():
    _, eager_cost, eager_regret = judged("eager", overfits=True)
    _, default_cost, _ = judged("default", overfits=True)
    _, careful_cost, careful_regret = judged("careful", overfits=True)
    _, off_cost, off_regret = judged("off", overfits=True)
    assert eager_cost < default_cost < careful_cost < off_cost == 1.0
    assert eager_regret >= careful_regret >= off_regret == 0.0
