"""The best epoch, and a score as the objective."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from tunelab.training.monitor import Criteria, Monitor, Signal, Verdict
from tunelab.training.records import EpochRecord

QUICK = Criteria(patience=5, warm_up=0, smoothing=0.0)


def score_verdicts(
    scores: Sequence[float],
    validation: Sequence[float] | None = None,
    *,
    direction: str = "maximize",
    criteria: Criteria = QUICK,
    train: Sequence[float] | None = None,
    score_scale: float = 1.0,
    name: str = "accuracy",
) -> list[Verdict]:
    n = len(scores)
    monitor = Monitor(
        max_epochs=n,
        baseline_loss=1.0,
        learning_rates=[0.1] * n,
        criteria=criteria,
        score_direction=direction,
        score_name=name,
        score_scale=score_scale,
    )
    given: list[Verdict] = []
    for k in range(n):
        loss = 0.5 if validation is None else validation[k]
        train_loss = 0.2 if train is None else train[k]
        given.append(
            monitor.observe(EpochRecord(k + 1, train_loss, loss, 0.1, 1.0, 0.0, 0.9, scores[k]))
        )
        assert (given[-1].best_epoch, given[-1].best_value) == (
            monitor.best_epoch,
            monitor.best_value,
        )
        if given[-1].stop:
            break
    return given


def bests(given: list[Verdict]) -> list[int]:
    return [verdict.epoch for verdict in given if verdict.is_best]


def test_a_maximised_score_that_rises_is_learning_and_one_that_falls_is_not():
    # A sign error in min_delta would turn these two around.
    rising = score_verdicts([0.5 + 0.02 * k for k in range(20)])
    assert (rising[-1].signal, rising[-1].epoch) == (Signal.LEARNING, 20)
    assert (rising[-1].best_epoch, rising[-1].best_value) == (20, 0.5 + 0.02 * 19)
    falling = score_verdicts([0.9 - 0.02 * k for k in range(20)])
    assert (falling[-1].signal, falling[-1].epoch) == (Signal.PLATEAU, 6)
    assert (falling[-1].best_epoch, falling[-1].best_value) == (1, 0.9)


def test_a_minimised_score_that_falls_is_learning_and_one_that_rises_is_not():
    falling = score_verdicts([9.0 - 0.2 * k for k in range(20)], direction="minimize")
    assert (falling[-1].signal, falling[-1].best_epoch) == (Signal.LEARNING, 20)
    rising = score_verdicts([5.0 + 0.2 * k for k in range(20)], direction="minimize")
    assert (rising[-1].signal, rising[-1].epoch) == (Signal.PLATEAU, 6)
    assert (rising[-1].best_epoch, rising[-1].best_value) == (1, 5.0)


@pytest.mark.parametrize("step", [0.009, 0.011])
def test_min_delta_is_in_units_of_the_score_scale(step):
    scores = [1.0] * 3 + [1.0 + 50 * step] * 17
    given = score_verdicts(scores, score_scale=50.0)
    # 0.01 * 50 = 0.5: a step of 0.45 does not count, one of 0.55 resets the wait at epoch 4.
    assert given[-1].epoch == (6 if step < 0.01 else 9)
    assert given[-1].best_epoch == 4


def test_equal_scores_are_decided_by_the_lower_loss_then_by_the_earlier_epoch():
    scores = [0.90, 0.95, 0.95, 0.95, 0.95, 0.95]
    losses = [0.40, 0.50, 0.45, 0.45, 0.46, 0.44]
    given = score_verdicts(scores, losses)
    assert bests(given) == [1, 2, 3, 6]
    assert [verdict.best_value for verdict in given] == scores


def test_equal_losses_keep_the_earliest_epoch():
    monitor = Monitor(max_epochs=9, baseline_loss=1.0, learning_rates=[0.1])
    given = [
        monitor.observe(EpochRecord(epoch, 0.2, loss, 0.1, 1.0, 0.0))
        for epoch, loss in enumerate([0.6, 0.5, 0.5, 0.7, 0.5], 1)
    ]
    assert bests(given) == [1, 2]
    assert monitor.best_epoch == 2


def test_a_score_in_steps_of_one_nth_is_kept_alive_by_the_loss():
    # Accuracy stands at 27 of 30; the loss gains 0.02 an epoch up to epoch 20.
    scores = [27 / 30] * 40
    losses = [0.9 - 0.02 * min(k, 20) for k in range(1, 41)]
    given = score_verdicts(scores, losses)
    assert (given[-1].signal, given[-1].epoch, given[-1].best_epoch) == (Signal.PLATEAU, 25, 20)


def test_without_min_delta_the_loss_still_decides_between_equal_scores():
    criteria = Criteria(patience=5, warm_up=0, smoothing=0.6, min_delta=0.0)
    losses = [0.9 - 0.02 * k for k in range(40)]
    assert score_verdicts([27 / 30] * 40, losses, criteria=criteria)[-1].epoch == 40
    assert score_verdicts([27 / 30] * 40, criteria=criteria)[-1].epoch == 6


def test_the_loss_does_not_reset_the_wait_below_the_band_of_the_score():
    # One of 30 is worth 0.033, more than min_delta: a lower score is worse whatever the loss does.
    scores = [27 / 30] + [26 / 30] * 39
    losses = [0.9 - 0.02 * k for k in range(40)]
    assert score_verdicts(scores, losses)[-1].epoch == 6


def test_a_score_cannot_creep_down_while_the_loss_falls():
    # 0.004 an epoch: within the band of 0.01 below 0.9 for epochs 2 and 3 only.
    scores = [0.9 - 0.004 * k for k in range(40)]
    losses = [0.9 - 0.02 * k for k in range(40)]
    assert score_verdicts(scores, losses)[-1].epoch == 3 + 5


def test_a_loss_that_fell_together_with_a_better_score_counts_once():
    scores = [0.5] * 2 + [0.6] * 38
    losses = [0.9] * 2 + [0.7] * 38
    assert score_verdicts(scores, losses)[-1].epoch == 3 + 5


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_a_score_that_is_not_finite_is_no_improvement(bad, direction):
    given = score_verdicts([0.5, bad, 0.5, 0.5, 0.5, 0.5, 0.5], direction=direction)
    assert bests(given) == [1]
    assert (given[-1].signal, given[-1].epoch, given[-1].best_value) == (Signal.PLATEAU, 6, 0.5)


def test_a_first_score_that_is_not_finite_leaves_no_best():
    first, second, *_ = score_verdicts([math.nan, 0.5, 0.5])
    assert (first.best_epoch, first.best_value, first.gap) == (0, None, None)
    assert (second.best_epoch, second.best_value, second.is_best) == (2, 0.5, True)
    last = score_verdicts([math.nan] * 9)[-1]
    assert (last.signal, last.epoch, last.best_epoch) == (Signal.PLATEAU, 5, 0)
    assert last.reason.endswith("; no finite accuracy before")


def test_a_non_finite_loss_diverges_whatever_the_score():
    verdict = score_verdicts([0.5, 0.9], [0.5, math.nan])[-1]
    assert (verdict.signal, verdict.stop) == (Signal.DIVERGED, True)
    assert (verdict.best_epoch, verdict.best_value) == (1, 0.5)


def test_onset_is_the_losss_and_the_best_epoch_the_scores():
    # The loss turns at epoch 4, the accuracy at epoch 10; wait reaches 5 at epoch 15.
    scores = [0.5 + 0.02 * min(k, 10) for k in range(1, 31)]
    losses = [0.9, 0.8, 0.7, 0.6] + [1.0] * 26
    train = [0.5 - 0.01 * k for k in range(30)]
    verdict = score_verdicts(scores, losses, train=train)[-1]
    assert (verdict.signal, verdict.epoch) == (Signal.OVERFITTING, 15)
    assert (verdict.onset, verdict.best_epoch) == (4, 10)
    assert verdict.gap == pytest.approx(1.0 - 0.41)
    assert verdict.reason == (
        "accuracy has not beaten 0.7000 (epoch 10) for 5 epochs "
        "while train_loss fell 0.4100 -> 0.3600"
    )


def test_an_improving_score_holds_off_persisting_overfitting():
    scores = [0.5 + 0.01 * k for k in range(40)]
    losses = [0.5] * 4 + [1.0] * 36
    train = [0.5 * 0.97**k for k in range(40)]
    stuck = score_verdicts([0.5] * 40, losses, train=train, criteria=Criteria(patience=30))
    assert (stuck[-1].signal, stuck[-1].epoch) == (Signal.OVERFITTING, 15)
    # With the score the criterion is old only when the score has stopped improving as well.
    going = score_verdicts(scores, losses, train=train, criteria=Criteria(patience=30))
    assert (going[-1].signal, going[-1].epoch) == (Signal.LEARNING, 40)


def test_numpy_numbers_give_plain_ones():
    monitor = Monitor(
        max_epochs=np.int64(3),
        baseline_loss=np.float32(1.0),
        learning_rates=np.full(3, 0.1, np.float32),
        score_direction="maximize",
    )
    loss, score = np.float32(0.5), np.float32(0.75)
    verdict = monitor.observe(EpochRecord(1, loss, loss, 0.1, 1.0, 0.0, score, score))
    assert type(verdict.best_value) is float
    assert type(verdict.gap) is float


def test_a_record_without_the_score_is_refused():
    monitor = Monitor(
        max_epochs=3, baseline_loss=1.0, learning_rates=[0.1], score_direction="maximize"
    )
    with pytest.raises(ValueError, match="epoch 1 must have a validation_score"):
        monitor.observe(EpochRecord(1, 0.5, 0.5, 0.1, 1.0, 0.0))
