"""All verdicts of random runs against the criteria written a second time, over whole curves.

Nothing is carried from epoch to epoch here: averages are one matrix product, minima are
accumulated, runs are lengths of blocks, resets are found by looking ahead.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunelab.training.monitor import PRESETS, Criteria, Monitor, replay
from tunelab.training.records import EpochRecord

# the criteria over whole curves ------------------------------------------------------------------


def averages(x, s):
    """e_t = (1 - s) * sum_i s^(t - i) x_i / (1 - s^t), for t = 1..n."""
    t = np.arange(1, len(x) + 1)
    age = t[:, None] - t[None, :]
    weights = np.where(age >= 0, (1 - s) * s ** np.maximum(age, 0.0), 0.0)
    return weights @ x / (1 - s**t)


def block_lengths(condition):
    """For how many entries running ``condition`` has held, at each entry."""
    index = np.arange(len(condition))
    return index - np.maximum.accumulate(np.where(condition, -1, index))


def waits(n, resets):
    """Epochs since the last reset; before the first one, since the start."""
    index = np.arange(1, n + 1)
    last = np.zeros(n, int)
    last[resets] = index[resets]
    return index - np.maximum.accumulate(last)


def loss_resets(e, delta):
    resets = [0]
    while True:
        better = np.flatnonzero(e[resets[-1]] - e > delta)
        later = better[better > resets[-1]]
        if not len(later):
            return resets
        resets.append(int(later[0]))


def score_resets(e, delta, utility, margin):
    """``utility`` is the smoothed score, higher is better, nan where the score is not finite."""
    n = len(e)
    started = np.flatnonzero(~np.isnan(utility))
    if not len(started):
        return []
    resets = [int(started[0])]
    reference = utility[started[0]]
    while True:
        better = utility - reference > margin
        level = (np.abs(utility - reference) <= margin) & (e[resets[-1]] - e > delta)
        later = np.flatnonzero((better | level) & (np.arange(n) > resets[-1]))
        if not len(later):
            return resets
        resets.append(int(later[0]))
        if better[later[0]]:
            reference = utility[later[0]]


def patience_of(epoch, rates, n, c):
    base = Fraction(c.patience or max(c.patience_min, Fraction(str(c.patience_share)) * n))
    half = c.high_rate_share * np.max(rates)
    if rates[epoch - 1] > half and np.any(rates[epoch:] < half):
        return base * Fraction(str(c.high_rate_factor))
    return base


def warm_up_of(rates, n, c):
    leading = np.flatnonzero(np.diff(rates) <= 0)
    climbing = leading[0] if len(leading) else n - 1
    share = Fraction(str(c.warm_up_share)) * n
    derived = ceil(max(c.warm_up_min, min(c.warm_up_max, share)))
    return max(climbing, derived if c.warm_up is None else c.warm_up)


def reference_verdicts(train, validation, rates, n, L0, c, scores=None, direction=None, scale=1.0):
    """(signal, stop, best epoch, onset) of epochs 1.. as if nothing ever stopped but a nan."""
    broken = np.flatnonzero(~(np.isfinite(train) & np.isfinite(validation)))
    seen = int(broken[0]) if len(broken) else len(train)
    x, v = train[:seen], validation[:seen]
    e, a = averages(v, c.smoothing), averages(x, c.smoothing)
    m = np.minimum.accumulate(e)
    gl = 100 * (e - m) / np.maximum(m, c.gl_floor * L0)
    falling = np.zeros(seen, bool)
    k = c.falling_epochs
    falling[k:] = a[k:] < (1 - c.falling_delta) * a[:-k] if seen > k else False
    rising = block_lengths((gl > c.gl_limit) & falling)
    runaway = block_lengths((x > c.divergence_factor * L0) & ~falling)

    if direction is None:
        wait = waits(seen, loss_resets(e, c.min_delta * L0) if seen else [])
        rank = [(v[i], 0.0, i) for i in range(seen)]
    else:
        sign = 1 if direction == "maximize" else -1
        known = np.isfinite(scores[:seen])
        utility = np.full(seen, np.nan)
        utility[known] = averages(sign * scores[:seen][known], c.smoothing)
        wait = waits(seen, score_resets(e, c.min_delta * L0, utility, c.min_delta * scale))
        rank = [(-sign * scores[i], v[i], i) for i in range(seen) if known[i]]

    warm_up = warm_up_of(rates, n, c)
    verdicts = []
    for t in range(1, seen + 1):
        i = t - 1
        best = min((entry for entry in rank if entry[2] < t), default=(0, 0, -1))[2] + 1
        out = wait[i] >= patience_of(t, rates, n, c)
        end = t == n
        late = n - max(1, round(c.unfinished_share * n))
        labels = {
            "diverged": runaway[i] >= c.divergence_epochs,
            "overfitting": (rising[i] >= c.gl_epochs and t - best >= c.best_age)
            or (out and gl[i] > c.gl_patience),
            "underfitting": ((out and c.early_stopping) or end)
            and x[:t].min() > c.underfitting_share * L0,
            "plateau": out,
            "unfinished": end
            and late >= 1
            and e[late - 1] - e[i] > c.unfinished_delta * e[late - 1],
            "learning": True,
        }
        signal = next(name for name, holds in labels.items() if holds)
        stop = bool(labels["diverged"] or labels["overfitting"] or out) and c.early_stopping
        if t <= warm_up:
            signal, stop = "warming_up", False
        onset = int(np.argmin(v[:t])) + 1 if signal == "overfitting" else None
        verdicts.append((signal, stop, best, onset))
    if seen < len(train):
        best = min(rank, default=(0, 0, -1))[2] + 1
        verdicts.append(("diverged", True, best, None))
    return verdicts


# random runs -------------------------------------------------------------------------------------


def random_run(seed: int) -> dict[str, Any]:
    """Curves of all shapes: decays, onsets, spikes, steps, runaways and non-finite ends."""
    rng = np.random.default_rng(seed)
    n = int(rng.choice([1, 2, 5, 20, 50, 100, 140, 200]))
    L0 = float(rng.uniform(0.1, 3.0))
    t = np.arange(n)
    floor, fast = rng.uniform(0, 0.9), rng.uniform(0.01, 0.4)
    train = L0 * (floor * rng.uniform(0.0, 1.0) + (1 - floor) * np.exp(-fast * t))
    validation = L0 * (floor + (1 - floor) * np.exp(-fast * t))
    noise = rng.choice([0.0, 0.003, 0.02, 0.1]) * L0
    shape = rng.choice(["plain", "onset", "jump", "spikes", "stuck", "runaway", "slow", "broken"])
    if shape in ("onset", "spikes"):
        onset = rng.integers(1, n + 1)
        validation += L0 * rng.uniform(0.002, 0.1) * np.maximum(t - onset, 0)
    if shape == "jump":
        validation += L0 * rng.uniform(0.05, 1.0) * (t > rng.integers(1, n + 1))
    if shape == "spikes":
        validation += L0 * 5 * (rng.random(n) < 0.05)
    if shape == "stuck":
        train = np.full(n, 0.8 * L0)
    if shape == "slow":
        validation = L0 * (1 - 0.5 * t / n)
    if shape == "runaway":
        start = rng.integers(0, n + 1)
        train = np.where(t >= start, L0 * rng.uniform(5, 40), train)
        train = np.where(t >= start + rng.integers(2, 60), 0.5 * L0, train)
    train = np.abs(train + noise * rng.standard_normal(n))
    validation = np.abs(validation + noise * rng.standard_normal(n))
    if shape == "broken":
        where = rng.integers(0, n)
        (train if rng.random() < 0.5 else validation)[where:] = rng.choice([np.nan, np.inf])
    if rng.random() < 0.2:  # equal values in a row; a grid would put GL on its limits exactly
        train, validation = train[t // 4 * 4], validation[t // 4 * 4]
    peak = 0.1
    rates = {
        "constant": np.full(n, peak),
        "cosine": peak / 2 * (1 + np.cos(np.pi * t / n)),
        "steps": peak * 0.5 ** (t // 30),
        "climbing": peak
        * np.minimum(1, (t + 1) / rng.integers(1, 40))
        * np.where(t > n / 2, 0.3, 1),
    }[rng.choice(["constant", "cosine", "steps", "climbing"])]
    grid = int(rng.choice([30, 97, 1000]))
    scores = np.round(np.clip(1 - validation / (2 * L0), 0, 1) * grid) / grid
    scores = np.where(rng.random(n) < rng.choice([0.0, 0.1]), np.nan, scores)
    return {
        "train": train,
        "validation": validation,
        "rates": rates,
        "n": n,
        "L0": L0,
        "scores": scores,
    }


def random_criteria(seed: int) -> Criteria:
    rng = np.random.default_rng([seed, 1])
    return Criteria(
        patience=rng.choice([None, 1, 4, 15, 40]),
        patience_min=int(rng.choice([1, 10])),
        patience_share=float(rng.choice([0.1, 0.15])),
        high_rate_factor=float(rng.choice([1.0, 2.0, 2.5])),
        high_rate_share=float(rng.choice([0.3, 0.45, 0.7])),
        min_delta=float(rng.choice([0.0013, 0.0101, 0.0507])),
        smoothing=float(rng.choice([0.0, 0.6, 0.9])),
        warm_up=rng.choice([None, 0, 2, 25]),
        warm_up_min=int(rng.choice([0, 3])),
        warm_up_max=int(rng.choice([2, 10, 20])),
        warm_up_share=float(rng.choice([0.05, 0.3])),
        gl_limit=float(rng.choice([7.1, 40.0])),
        gl_epochs=int(rng.choice([1, 3, 10])),
        gl_floor=float(rng.choice([0.001, 0.05, 0.5])),
        gl_patience=float(rng.choice([2.3, 10.0, 30.0])),
        best_age=int(rng.choice([0, 10, 25])),
        falling_delta=float(rng.choice([0.001, 0.05])),
        falling_epochs=int(rng.choice([1, 5, 9])),
        divergence_factor=float(rng.choice([2.0, 10.0])),
        divergence_epochs=int(rng.choice([1, 5])),
        underfitting_share=float(rng.choice([0.2, 0.6])),
        unfinished_delta=float(rng.choice([0.01, 0.1])),
        unfinished_share=float(rng.choice([0.0, 0.2, 0.37, 1.0])),
        early_stopping=bool(rng.random() < 0.7),
    )


def observed(run: dict[str, Any], criteria: Criteria, direction: str | None = None) -> list[Any]:
    """The monitor's verdicts, going on after a stop but not after a non-finite loss."""
    monitor = Monitor(
        max_epochs=run["n"],
        baseline_loss=run["L0"],
        learning_rates=run["rates"],
        criteria=criteria,
        score_direction=direction,
        score_scale=0.7,
    )
    verdicts = []
    rows = zip(run["train"], run["validation"], run["rates"], run["scores"], strict=True)
    for epoch, (train, validation, rate, score) in enumerate(rows, 1):
        verdict = monitor.observe(
            EpochRecord(epoch, train, validation, rate, 1.0, 0.0, None, score)
        )
        assert verdict.epoch == epoch
        assert verdict.is_best == (verdict.best_epoch == epoch)
        verdicts.append((str(verdict.signal), verdict.stop, verdict.best_epoch, verdict.onset))
        if not np.isfinite(train + validation):
            break
    return verdicts


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), direction=st.sampled_from([None, "maximize", "minimize"]))
def test_all_verdicts_equal_the_whole_array_rewrite(seed, direction):
    run, criteria = random_run(seed), random_criteria(seed)
    assert observed(run, criteria, direction) == reference_verdicts(
        **{**run, "scores": run["scores"] if direction else None},
        c=criteria,
        direction=direction,
        scale=0.7,
    )


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), preset=st.sampled_from(sorted(PRESETS)))
def test_replay_equals_the_whole_array_rewrite_under_every_preset(seed, preset):
    run = random_run(seed)
    expected = reference_verdicts(**{**run, "scores": None}, c=PRESETS[preset])
    last = next((i for i, verdict in enumerate(expected) if verdict[1]), len(expected) - 1)
    verdict = replay(run["train"], run["validation"], run["rates"], run["n"], run["L0"], preset)
    assert (verdict.signal, verdict.stop, verdict.best_epoch, verdict.onset) == expected[last]
    assert verdict.epoch == last + 1
    if verdict.best_epoch:
        best = verdict.best_epoch - 1
        assert verdict.best_value == run["validation"][best]
        assert verdict.gap == pytest.approx(run["validation"][best] - run["train"][best])


def test_the_random_runs_meet_every_signal_often():
    counts = Counter(
        signal
        for seed in range(300)
        for signal in {verdict[0] for verdict in observed(random_run(seed), PRESETS["default"])}
    )
    assert set(counts) == {
        "warming_up",
        "learning",
        "overfitting",
        "plateau",
        "underfitting",
        "unfinished",
        "diverged",
    }
    assert min(counts.values()) >= 10, counts
