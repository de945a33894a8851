"""Planted curves: each signal, when it comes, and the sentence that explains it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from tunelab.training.monitor import PRESETS, Criteria, Monitor, Signal, Suspicion, Verdict, replay
from tunelab.training.records import EpochRecord

UNSMOOTHED = Criteria(smoothing=0.0)


def verdicts(
    train: Sequence[float],
    validation: Sequence[float],
    *,
    max_epochs: int = 200,
    baseline_loss: float = 1.0,
    rates: Sequence[float] = (0.1,),
    criteria: Criteria = PRESETS["default"],
) -> list[Verdict]:
    """Verdicts up to the first that stops, or up to the end of the curves."""
    monitor = Monitor(
        max_epochs=max_epochs,
        baseline_loss=baseline_loss,
        learning_rates=rates,
        criteria=criteria,
    )
    given: list[Verdict] = []
    for epoch, (train_loss, validation_loss) in enumerate(zip(train, validation, strict=True), 1):
        given.append(
            monitor.observe(EpochRecord(epoch, train_loss, validation_loss, 0.1, 1.0, 0.01))
        )
        if given[-1].stop:
            break
    return given


def cosine(n: int) -> list[float]:
    return [0.05 * (1 + math.cos(math.pi * k / n)) for k in range(n)]


def planted_onset(at: int, rise: float, n: int = 200) -> tuple[list[float], list[float]]:
    """Validation falls by 0.1 an epoch to 0.9 at epoch ``at``, then jumps by ``rise`` and stays."""
    validation = [0.9 + 0.1 * (at - k) if k <= at else 0.9 + rise for k in range(1, n + 1)]
    train = [0.8 - 0.02 * (k - at) if k - at < 35 else 0.1 for k in range(1, n + 1)]
    return train, validation


# suspicion ------------------------------------------------------------------------------------


def test_a_rising_loss_is_suspected_of_overfitting_until_patience_runs_out():
    # GL = 22 %: over gl_patience, under gl_limit. Epoch 12 is the best, patience is 20.
    given = verdicts(*planted_onset(12, rise=0.2), criteria=UNSMOOTHED)
    assert [verdict.suspicion for verdict in given[:14]] == [None] * 14
    assert [str(verdict.suspicion) for verdict in given[14:31]] == [
        f"overfitting? {wait}/20" for wait in range(3, 20)
    ]
    assert (given[-1].signal, given[-1].suspicion) == (Signal.OVERFITTING, None)


def test_persisting_overfitting_is_the_nearer_stop():
    # GL = 67 %: over gl_limit from epoch 13 on, for gl_epochs = 10.
    given = verdicts(*planted_onset(12, rise=0.6), criteria=UNSMOOTHED)
    assert str(given[14].suspicion) == "overfitting? 3/10"
    assert (given[-1].signal, given[-1].epoch) == (Signal.OVERFITTING, 22)


def test_a_flat_loss_is_suspected_of_a_plateau_or_of_underfitting():
    for train, signal in ((0.5, Signal.PLATEAU), (0.7, Signal.UNDERFITTING)):
        given = verdicts([train] * 60, [0.9] * 60, criteria=UNSMOOTHED)
        assert given[-1].signal is signal  # at epoch 21: patience is 20
        assert given[-2].suspicion == Suspicion(signal, 19, 20)


def test_a_run_that_improves_again_is_suspected_no_more():
    loss = [0.9, *[0.8] * 15, 0.7, 0.7]
    given = verdicts([0.5] * 18, loss, criteria=UNSMOOTHED)
    assert str(given[15].suspicion) == "plateau? 14/20"
    assert given[16].suspicion is None


# overfitting -----------------------------------------------------------------------------------


def test_overfitting_by_patience_names_best_age_and_both_training_losses():
    # GL = 0.2 / 0.9 = 22 %: over 10, under 40; wait is 20 at epoch 12 + 20.
    *earlier, last = verdicts(*planted_onset(12, rise=0.2), criteria=UNSMOOTHED)
    assert last.reason == (
        "validation_loss has not beaten 0.9000 (epoch 12) for 20 epochs "
        "while train_loss fell 0.8000 -> 0.4000"
    )
    assert (last.signal, last.stop, last.epoch) == (Signal.OVERFITTING, True, 32)
    assert (last.best_epoch, last.onset, last.best_value) == (12, 12, 0.9)
    assert last.gap == pytest.approx(0.9 - 0.8)
    assert all(verdict.onset is None for verdict in earlier)


@pytest.mark.parametrize("at", [3, 12, 40, 90])
def test_a_planted_onset_is_found_by_every_preset(at):
    train, validation = planted_onset(at, rise=0.6)
    for preset in ("default", "careful", "eager"):
        verdict = replay(train, validation, [0.1] * 200, 200, 1.0, preset)
        assert verdict.signal is Signal.OVERFITTING, preset
        assert (verdict.onset, verdict.best_epoch) == (at, at)
        assert at < verdict.epoch <= at + 30


def test_persisting_overfitting_stops_before_patience_runs_out():
    # e at the onset is 0.9 + 0.1 * 1.5 = 1.05 (an average over 0.6 lags a line by 1.5 steps), then
    # 2 - 0.95 * 0.6^k: GL = 36 % at k = 1, 58 % at k = 2, so k = 2..11 are the ten epochs.
    verdict = verdicts(*planted_onset(40, rise=1.1), criteria=Criteria(patience=50))[-1]
    assert (verdict.signal, verdict.epoch, verdict.onset) == (Signal.OVERFITTING, 51, 40)


def test_persistence_needs_a_training_loss_that_falls():
    _, validation = planted_onset(40, rise=1.1)
    verdict = verdicts([0.3] * 200, validation, criteria=Criteria(patience=50))[-1]
    assert (verdict.signal, verdict.epoch) == (Signal.OVERFITTING, 90)
    assert verdict.reason.endswith("for 50 epochs while train_loss went 0.3000 -> 0.3000")


def test_a_training_loss_of_zero_does_not_fall():
    _, validation = planted_onset(40, rise=1.1)
    assert verdicts([0.0] * 200, validation, criteria=Criteria(patience=50))[-1].epoch == 90


def test_persistence_is_broken_by_one_epoch_below_the_limit():
    train, validation = planted_onset(40, rise=1.1)
    validation[46] = 0.95  # epoch 47, the seventh of the ten: GL is 5.6 %
    criteria = Criteria(patience=50, smoothing=0.0)
    verdict = verdicts(train, validation, criteria=criteria)[-1]
    assert (verdict.signal, verdict.epoch) == (Signal.OVERFITTING, 57)


def test_persistence_waits_for_the_best_epoch_to_be_old():
    train, validation = planted_onset(40, rise=1.1)
    validation[43] = 0.89  # a single new raw best at epoch 44; e stays above
    verdict = verdicts(train, validation, criteria=Criteria(patience=50, gl_epochs=3))[-1]
    assert (verdict.signal, verdict.epoch, verdict.best_epoch) == (Signal.OVERFITTING, 54, 44)


def test_a_low_loss_that_doubles_is_not_overfitting_by_itself():
    # m = 0.004: GL is taken against 0.05 * L0 = 0.05, so doubling is 8 %.
    train = [0.004 * 0.99**k for k in range(200)]
    validation = [0.004 if k < 30 else 0.008 for k in range(200)]
    assert verdicts(train, validation, criteria=Criteria(patience=40))[-1].signal is Signal.PLATEAU


# plateau and patience --------------------------------------------------------------------------


@pytest.mark.parametrize("patience", [1, 2, 7, 20, 60])
@pytest.mark.parametrize("min_delta", [0.0, 0.01])
@pytest.mark.parametrize("loss", [0.7, 1 / 3, 1e-12, 0.0])
def test_a_constant_loss_stops_after_exactly_patience_checks(patience, min_delta, loss):
    criteria = Criteria(patience=patience, min_delta=min_delta, warm_up=0)
    verdict = verdicts([loss / 2] * 200, [loss] * 200, criteria=criteria)[-1]
    assert (verdict.signal, verdict.epoch, verdict.stop) == (Signal.PLATEAU, patience + 1, True)
    assert (verdict.best_epoch, verdict.best_value) == (1, loss)


def test_plateau_names_the_improvement_that_was_missing():
    verdict = verdicts([0.2] * 200, [0.5] * 200, baseline_loss=0.7)[-1]
    assert verdict.reason == (
        "validation_loss, smoothed, has not improved by more than 0.007000 for 20 epochs; "
        "best 0.5000 (epoch 1)"
    )
    assert verdict.onset is None


@pytest.mark.parametrize(
    ("max_epochs", "patience"), [(50, 10), (100, 10), (101, 11), (200, 20), (1000, 100)]
)
def test_derived_patience_is_a_tenth_of_the_budget_and_at_least_ten(max_epochs, patience):
    verdict = verdicts([0.2] * max_epochs, [0.5] * max_epochs, max_epochs=max_epochs)[-1]
    assert verdict.epoch == patience + 1


def test_a_rate_may_end_at_zero():
    rates = [0.1 * (1 - k / 199) for k in range(200)]
    assert rates[-1] == 0.0
    assert verdicts([0.2] * 200, [0.5] * 200, rates=rates)[-1].epoch == 41


def test_patience_doubles_while_a_high_rate_will_still_decay():
    n = 200
    flat = [0.2] * n, [0.5] * n
    assert verdicts(*flat, rates=[0.1] * n)[-1].epoch == 21
    assert verdicts(*flat, rates=cosine(n))[-1].epoch == 41
    assert verdicts(*flat, rates=cosine(n), criteria=Criteria(patience=30))[-1].epoch == 61
    # A rate that never gets below half its peak has no late gains to wait for.
    assert verdicts(*flat, rates=[0.1] * 100 + [0.05] * 100)[-1].epoch == 21
    assert verdicts(*flat, rates=[0.1] * 100 + [0.049] * 100)[-1].epoch == 41


def test_doubled_patience_ends_with_the_high_rate():
    # Cosine over 200 epochs is above half its peak up to epoch 100. The loss reaches its floor at
    # epoch 75: at 100 the wait is 25 of 40, at 101 it is 26 of 20.
    n = 200
    validation = [1.25 - 0.01 * k if k < 75 else 0.5 for k in range(1, n + 1)]
    given = verdicts([0.2] * n, validation, rates=cosine(n), criteria=UNSMOOTHED)
    assert (given[-1].signal, given[-1].epoch) == (Signal.PLATEAU, 101)


def test_improvements_smaller_than_min_delta_move_the_best_epoch_but_not_the_wait():
    validation = [0.5 - 1e-5 * k for k in range(200)]
    given = verdicts([0.2] * 200, validation)
    assert given[-1].epoch == 21
    assert given[-1].best_epoch == 21
    assert all(verdict.is_best for verdict in given)


def test_slow_progress_adds_up_against_the_last_reset():
    # 0.002 an epoch is below min_delta = 0.01 of L0 each time, and above it every sixth epoch.
    n = 200
    given = verdicts([0.2] * n, [1.0 - 0.002 * k for k in range(n)], criteria=UNSMOOTHED)
    assert len(given) == n
    assert given[-1].signal is Signal.UNFINISHED


# warm-up ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("max_epochs", "last"), [(4, 3), (20, 3), (61, 4), (140, 7), (141, 8), (200, 10), (2000, 10)]
)
def test_warm_up_is_five_percent_between_three_and_ten_epochs(max_epochs, last):
    # ceil(0.05 * 140) is 7, though 0.05 * 140 is 7.000000000000001 in floating point.
    n = min(max_epochs, 12)
    given = verdicts([0.2] * n, [0.5] * n, max_epochs=max_epochs, criteria=Criteria(patience=30))
    signals = [verdict.signal for verdict in given]
    assert signals[:last] == [Signal.WARMING_UP] * last
    assert Signal.WARMING_UP not in signals[last:]


def test_warm_up_lasts_while_the_planned_rate_climbs():
    rates = [0.1 * k / 25 for k in range(1, 26)] + [0.1] * 175
    given = verdicts([0.2] * 200, [0.5] * 200, rates=rates)
    # Rates 1..24 are below the next one; the wait has been counted from epoch 1.
    assert [verdict.signal for verdict in given[:24]] == [Signal.WARMING_UP] * 24
    assert (given[-1].signal, given[-1].epoch) == (Signal.PLATEAU, 25)
    assert given[4].reason == (
        "epoch 5 of 24 epochs of warm-up: train_loss 0.2000, validation_loss 0.5000"
    )


def test_a_rate_that_climbs_later_is_no_warm_up():
    rates = [0.1, 0.1] + [0.1 * k for k in range(1, 199)]
    assert verdicts([0.2] * 12, [0.5] * 12, rates=rates)[10].signal is Signal.LEARNING


def test_one_epoch_is_warming_up():
    (verdict,) = verdicts([0.9], [0.8], max_epochs=1)
    assert verdict == replay([0.9], [0.8], [0.1], 1, 1.0)
    assert (verdict.signal, verdict.stop, verdict.epoch) == (Signal.WARMING_UP, False, 1)
    assert (verdict.best_epoch, verdict.best_value, verdict.is_best) == (1, 0.8, True)


def test_one_epoch_without_warm_up_is_learning_or_underfitting():
    criteria = Criteria(warm_up=0)
    assert verdicts([0.3], [0.8], max_epochs=1, criteria=criteria)[0].signal is Signal.LEARNING
    assert verdicts([0.9], [0.8], max_epochs=1, criteria=criteria)[0].signal is Signal.UNDERFITTING


def test_the_first_average_is_the_first_loss():
    # Without bias correction e would start at 0.4 * 1.0 and climb: GL would see a rise.
    given = verdicts([0.2] * 60, [1.0] * 60, max_epochs=60, criteria=Criteria(patience=50))
    assert given[-1].signal is Signal.PLATEAU
    # After 1.0 and 0.0 it is (0.6 * 0.4 * 1.0 + 0.4 * 0.0) / (1 - 0.36) = 0.375.
    criteria = Criteria(warm_up=0, unfinished_share=0.0, unfinished_delta=0.0)
    last = verdicts([0.2] * 2, [1.0, 0.0], max_epochs=2, criteria=criteria)[-1]
    assert "1.000 -> 0.3750" in last.reason


# labels at the end -----------------------------------------------------------------------------


def test_underfitting_is_told_at_a_stop():
    *earlier, last = verdicts([0.65] * 200, [0.66] * 200, baseline_loss=0.7)
    assert (last.signal, last.stop, last.epoch) == (Signal.UNDERFITTING, True, 21)
    assert Signal.UNDERFITTING not in {verdict.signal for verdict in earlier}
    assert last.reason == (
        "train_loss never fell below 0.6500 in 21 epochs, more than 0.6 of the baseline loss 0.7000"
    )


def test_underfitting_is_told_at_the_end_of_the_budget_without_a_stop():
    validation = [0.99 - 0.011 * k for k in range(30)]
    given = verdicts([0.65] * 30, validation, max_epochs=30)
    assert (given[-1].signal, given[-1].stop) == (Signal.UNDERFITTING, False)
    assert given[-2].signal is Signal.LEARNING


def test_one_low_training_loss_is_enough_against_underfitting():
    train = [0.65] * 200
    train[4] = 0.41
    assert verdicts(train, [0.66] * 200, baseline_loss=0.7)[-1].signal is Signal.PLATEAU


def test_unfinished_compares_with_the_last_fifth():
    # Falls by 0.01 an epoch: unsmoothed 0.41 at epoch 80, 0.21 at epoch 100.
    validation = [1.2 - 0.01 * k + 0.01 for k in range(1, 101)]
    given = verdicts([0.1] * 100, validation, max_epochs=100, criteria=UNSMOOTHED)
    assert (given[-1].signal, given[-1].stop, given[-1].epoch) == (Signal.UNFINISHED, False, 100)
    assert given[-2].signal is Signal.LEARNING
    assert given[-1].reason == (
        "the budget of 100 epochs ended while validation_loss still fell "
        "0.4100 -> 0.2100 (smoothed) since epoch 80"
    )


def test_learning_to_the_end_without_a_late_fall_is_learning():
    validation = [1.0 - 0.01 * min(k, 75) for k in range(1, 101)]
    last = verdicts([0.1] * 100, validation, max_epochs=100, criteria=Criteria(patience=40))[-1]
    assert (last.signal, last.stop) == (Signal.LEARNING, False)
    assert "of 40 epochs of patience used; best 0.2500 (epoch 75)" in last.reason


def test_a_loss_of_zero_does_not_fall_at_the_end():
    zeros = [0.0] * 30
    last = verdicts(zeros, zeros, max_epochs=30, criteria=Criteria(patience=40))[-1]
    assert (last.signal, last.epoch) == (Signal.LEARNING, 30)


# diverged --------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("curve", [0, 1])
@pytest.mark.parametrize("preset", PRESETS)
def test_a_loss_that_is_not_finite_stops_at_once_under_every_preset(bad, curve, preset):
    curves = [0.5 - k / 64 for k in range(20)], [0.625 - k / 64 for k in range(20)]
    curves[curve][6] = bad
    verdict = replay(*curves, [0.1] * 20, 20, 1.0, preset)
    assert (verdict.signal, verdict.stop, verdict.epoch) == (Signal.DIVERGED, True, 7)
    assert (verdict.best_epoch, verdict.best_value, verdict.is_best) == (6, 0.546875, False)
    assert verdict.gap == 0.125
    name = ("train_loss", "validation_loss")[curve]
    assert verdict.reason == f"{name} was {bad} at epoch 7; best 0.5469 (epoch 6)"


def test_nan_in_the_first_epoch_leaves_no_best():
    verdict = replay([math.nan], [math.nan], [0.1], 10, 1.0)
    assert (verdict.signal, verdict.stop) == (Signal.DIVERGED, True)
    assert (verdict.best_epoch, verdict.best_value, verdict.gap) == (0, None, None)
    assert verdict.reason == "train_loss was nan at epoch 1; no finite validation_loss before"


def test_going_on_after_a_non_finite_epoch_judges_the_finite_ones():
    monitor = Monitor(max_epochs=10, baseline_loss=1.0, learning_rates=[0.1])
    for epoch, loss in enumerate([math.nan, 0.5, math.inf, 0.25], 1):
        verdict = monitor.observe(EpochRecord(epoch, loss, loss, 0.1, 1.0, 0.01))
    assert (verdict.signal, verdict.stop) == (Signal.LEARNING, False)
    assert (verdict.best_epoch, verdict.best_value) == (4, 0.25)


def test_a_runaway_training_loss_is_counted_from_epoch_one_and_acted_on_after_warm_up():
    train = [2.0**k for k in range(50)]  # above 10 from epoch 5
    given = verdicts(train, train, max_epochs=60)  # warm-up: 3 epochs
    assert (given[-1].signal, given[-1].stop, given[-1].epoch) == (Signal.DIVERGED, True, 9)
    assert given[-1].reason == (
        "train_loss was 256.0 at epoch 9 and has not fallen for 5 epochs above 10 times the "
        "baseline loss 1.000; best 1.000 (epoch 1)"
    )
    given = verdicts(train, train, max_epochs=200)  # warm-up: 10 epochs
    assert (given[-1].signal, given[-1].epoch) == (Signal.DIVERGED, 11)


def test_a_high_loss_that_recovers_is_no_divergence():
    spike = [0.5] * 12 + [50.0] * 4 + [0.5] * 14
    assert Signal.DIVERGED not in {v.signal for v in verdicts(spike, spike, max_epochs=30)}
    slowly = [100.0 * 0.95**k for k in range(30)]  # above 10 all the time, and falling
    given = verdicts(slowly, slowly, max_epochs=30, criteria=Criteria(warm_up=5))
    assert Signal.DIVERGED not in {verdict.signal for verdict in given[5:]}


def test_a_high_validation_loss_alone_is_no_divergence():
    given = verdicts([0.5] * 30, [0.5 + 10.0 * k for k in range(30)], max_epochs=30)
    assert Signal.DIVERGED not in {verdict.signal for verdict in given}


# precedence ------------------------------------------------------------------------------------


def test_diverged_precedes_overfitting():
    train = [0.5] * 5 + [20.0] * 30
    validation = [0.5] * 5 + [50.0] * 30
    given = verdicts(train, validation, max_epochs=40, criteria=Criteria(patience=9))
    # Epoch 10: wait 9 of 9 with a large GL, and five epochs of 20 without falling.
    assert (given[-1].signal, given[-1].epoch) == (Signal.DIVERGED, 10)


def test_overfitting_precedes_underfitting():
    _, validation = planted_onset(12, rise=0.6)
    last = verdicts([0.9] * 200, validation)[-1]
    assert last.signal is Signal.OVERFITTING


def test_underfitting_precedes_unfinished():
    validation = [2.0 - 0.01 * k for k in range(100)]
    last = verdicts([0.9] * 100, validation, max_epochs=100)[-1]
    assert last.signal is Signal.UNDERFITTING


def test_plateau_at_the_last_epoch_precedes_unfinished():
    # Patience 20 runs out at epoch 21 = max_epochs while e fell by 5 % of itself, 0.005 of L0.
    validation = [0.1 - 0.001 * k * (k > 15) / 4 for k in range(21)]
    last = verdicts([0.05] * 21, validation, max_epochs=21, criteria=Criteria(patience=20))[-1]
    assert (last.signal, last.stop) == (Signal.PLATEAU, True)
    last = verdicts([0.05] * 21, validation, max_epochs=21, criteria=Criteria(patience=21))[-1]
    assert (last.signal, last.stop) == (Signal.UNFINISHED, False)


# the baseline ----------------------------------------------------------------------------------


@pytest.mark.parametrize("baseline_loss", [1.0, 0.0, 5e-324])
def test_zero_losses_divide_by_nothing(baseline_loss):
    zeros = [0.0] * 200
    last = verdicts(zeros, zeros, baseline_loss=baseline_loss)[-1]
    assert (last.signal, last.epoch, last.best_value, last.gap) == (Signal.PLATEAU, 21, 0.0, 0.0)


def test_a_loss_that_leaves_zero_divides_by_nothing():
    validation = [0.0] * 15 + [0.2] * 185
    train = [0.3 * 0.97**k for k in range(200)]
    # GL = 100 * 0.2 / (0.05 * 1.0) = 400 %
    last = verdicts(train, validation, criteria=Criteria(patience=50))[-1]
    assert (last.signal, last.onset) == (Signal.OVERFITTING, 1)


def test_a_baseline_of_zero_takes_the_first_positive_loss_for_scale():
    validation = [0.5 * 0.9**k for k in range(60)]
    train = [0.4 * 0.9**k for k in range(60)]
    from_zero = verdicts(train, validation, max_epochs=60, baseline_loss=0.0)
    assert from_zero == verdicts(train, validation, max_epochs=60, baseline_loss=0.5)
    assert Signal.DIVERGED not in {verdict.signal for verdict in from_zero}


# refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("baseline_loss", [-1.0, math.nan, math.inf])
def test_a_baseline_that_is_no_loss_is_refused(baseline_loss):
    with pytest.raises(ValueError, match="baseline_loss must be finite and at least 0, got"):
        Monitor(max_epochs=10, baseline_loss=baseline_loss, learning_rates=[0.1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_epochs": 0}, "max_epochs must be at least 1, got 0"),
        ({"learning_rates": []}, "at least epoch 1, got none"),
        ({"learning_rates": [0.1, -0.1]}, "finite and at least 0, got -0.1 for epoch 2"),
        ({"learning_rates": [math.nan]}, "finite and at least 0, got nan for epoch 1"),
        ({"score_direction": "up"}, "maximize, minimize or None, got 'up'"),
        ({"score_scale": 0.0}, "score_scale must be finite and above 0, got 0.0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    valid = {"max_epochs": 10, "baseline_loss": 1.0, "learning_rates": [0.1]}
    with pytest.raises(ValueError, match=message):
        Monitor(**{**valid, **arguments})


def test_epochs_must_come_in_order_and_within_the_budget():
    monitor = Monitor(max_epochs=1, baseline_loss=1.0, learning_rates=[0.1])
    with pytest.raises(ValueError, match="epoch 1 must be observed next, got epoch 0"):
        monitor.observe(EpochRecord(0, 0.5, 0.5, 0.1, 1.0, 0.01))
    monitor.observe(EpochRecord(1, 0.5, 0.5, 0.1, 1.0, 0.01))
    with pytest.raises(ValueError, match="epoch must be at most max_epochs 1"):
        monitor.observe(EpochRecord(2, 0.5, 0.5, 0.1, 1.0, 0.01))


def test_replay_refuses_curves_that_do_not_fit_together():
    with pytest.raises(ValueError, match=r"equally long, .* got \(2, 1, 2\)"):
        replay([0.5, 0.4], [0.5], [0.1, 0.1], 10, 1.0)
    with pytest.raises(ValueError, match=r"got \(0, 0, 0\)"):
        replay([], [], [], 10, 1.0)
    with pytest.raises(ValueError, match=r"1 to max_epochs = 1 values, got \(2, 2, 2\)"):
        replay([0.5] * 2, [0.5] * 2, [0.1] * 2, 1, 1.0)
    with pytest.raises(ValueError, match="got 'carefull'; did you mean careful"):
        replay([0.5], [0.5], [0.1], 1, 1.0, "carefull")
