"""What is concluded from the runs of the confirm stage."""

from __future__ import annotations

import json

import pytest

from tunelab.storage.confirmed import Confirmation
from tunelab.storage.states import EndReason, TrialState
from tunelab.storage.trials import TrialRow
from tunelab.tuning.confirmation import conclude
from tunelab.tuning.samplers import confirm_seed, split_seed, trial_seed


def row(number, value, end=EndReason.COMPLETED, **more):
    return TrialRow(
        id=number, study_id=1, number=number, state=TrialState.FINISHED, hyperparameters={},
        sampler_state={}, rung_values=None, attempts=1, n_epochs=3, value=value, best_epoch=1,
        signal=None, onset=None, gap=None, reason=None, end_reason=end, error=None,
        started_at=1.0, ended_at=2.0, **more,
    )  # fmt: skip


def concluded(scores, sizes=None, *, best_value=0.05, maximize=False, default=0, ends=None):
    """From scores by trial number, the search's best first; ``ends`` of single runs."""
    ends = ends or {}
    numbers = iter(range(1000))
    runs = {
        number: [
            row(
                next(numbers),
                value,
                ends.get((number, repeat), EndReason.COMPLETED),
                confirms=number,
                repeat=repeat,
            )
            for repeat, value in enumerate(values)
        ]
        for number, values in scores.items()
    }
    finalists = [row(number, best_value) for number in scores]
    sizes = sizes or dict.fromkeys(scores, 100)
    return conclude(finalists, runs, sizes, maximize=maximize, default=default, at=5.0)


CLOSE = {5: [0.10, 0.11, 0.12], 3: [0.101, 0.109, 0.121], 0: [0.50, 0.51, 0.52]}


def test_of_those_tied_for_the_first_place_the_smallest_network_is_picked():
    found = concluded(CLOSE, {5: 900, 3: 200, 0: 50})
    assert (found.pick, found.best, found.tied) == (3, 5, (5,))
    assert found.tie_sentence == "Tied with the winner: trial 5"
    assert concluded(CLOSE, {5: 200, 3: 900, 0: 50}).pick == 5
    # Of equal size: the better mean, which is 0.11 for trial 5 and 0.110333 for trial 3.
    assert concluded(CLOSE).pick == 5


def test_the_champion_is_the_picks_run_with_the_median_score():
    found = concluded({5: [0.3, 0.1, 0.2], 0: [0.9, 0.9, 0.8]})
    assert (found.pick, found.champion) == (5, 2)  # 0.2, the third run of all


def test_optimism_is_the_searchs_number_against_the_mean_of_the_same_trial():
    found = concluded(CLOSE, {5: 900, 3: 200, 0: 50}, best_value=0.05)
    assert found.optimism == pytest.approx(0.11 - 0.05)
    accuracy = {5: [0.90, 0.92, 0.91], 0: [0.5, 0.5, 0.51]}
    found = concluded(accuracy, best_value=0.95, maximize=True)
    assert found.pick == 5
    assert found.optimism == pytest.approx(0.95 - 0.91)
    assert found.default_margin == pytest.approx(0.91 - 1.51 / 3)
    assert found.beats_default is True


@pytest.mark.parametrize("end", [EndReason.FAILED, EndReason.DIVERGED])
def test_one_that_did_not_complete_with_every_seed_cannot_win(end):
    found = concluded(CLOSE, ends={(5, 1): end})
    assert found.pick == 3
    assert [entry.number for entry in found.ranked][-1] == 5
    assert found.optimism is None
    assert found.optimism_sentence.startswith("Optimism: unknown")


def test_where_nobody_completed_there_is_no_pick():
    ends = dict.fromkeys([(5, 0), (3, 1), (0, 2)], EndReason.FAILED)
    found = concluded(CLOSE, ends=ends)
    assert (found.pick, found.champion, found.tied) == (None, None, ())
    assert found.winner_sentence.startswith("No winner: none of the finalists completed")


def test_where_the_default_configuration_is_tied_that_is_said():
    found = concluded({5: [0.10, 0.14, 0.12], 3: [0.9, 0.91, 0.92], 0: [0.11, 0.13, 0.125]})
    assert found.tied == (0,)
    assert found.beats_default is False
    assert found.winner_sentence == (
        "Winner: trial 5, but it is not better than the default configuration beyond chance"
    )


def test_with_one_seed_nothing_can_be_told_apart():
    found = concluded({5: [0.1], 0: [0.9]}, {5: 10, 0: 20})
    assert found.tied == (0,)
    assert not found.has_winner
    assert found.ranked[0].half_width is None


def test_it_is_stored_as_json_and_read_back():
    found = concluded(CLOSE)
    assert Confirmation.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert found.equals(concluded(CLOSE))
    assert not found.equals(concluded({**CLOSE, 3: [0.2, 0.2, 0.2]}))


def test_seeds_of_the_stage_are_none_of_the_searchs_and_differ_from_each_other():
    for root in (0, 3, 2**32 - 1):
        of_search = {trial_seed(root, number) for number in range(2000)}
        of_stage = [confirm_seed(root, repeat) for repeat in range(20)]
        assert len(set(of_stage)) == 20
        assert not of_search & set(of_stage)
        assert max(of_stage) < 2**63  # a column of the database
        splits = {split_seed(root, repeat, attempt) for repeat in range(20) for attempt in (0, 1)}
        assert len(splits) == 40
        assert max(splits) < 2**32
