"""Optuna's study is rebuilt from rows to the point, and is told only what it may know."""

from __future__ import annotations

import json
import math
import random
from types import MappingProxyType

import optuna
import pytest
from optuna.trial import TrialState as OptunaState

from tests.tuning.conftest import same_configuration, study_spec
from tunelab.spec.default_space import default_configuration
from tunelab.spec.study import StudySpec
from tunelab.storage.states import EndReason, TrialState
from tunelab.storage.trials import TrialRow
from tunelab.tuning.optuna_study import OptunaStudy

SPACE = study_spec().search_space


def row(number, proposal, end=None, value=None, n_epochs=10):
    """The trial's row, after a trip through JSON as the table makes it."""
    state = json.loads(json.dumps(proposal.sampler_state))
    return TrialRow(
        id=number + 1,
        study_id=1,
        number=number,
        state=TrialState.RUNNING if end is None else TrialState.FINISHED,
        hyperparameters=proposal.hyperparameters.to_flat(),
        sampler_state=MappingProxyType(state),
        rung_values=None,
        attempts=1,
        n_epochs=n_epochs,
        value=value,
        best_epoch=None,
        signal=None,
        onset=None,
        gap=None,
        reason=None,
        end_reason=end,
        error=None,
        started_at=None,
        ended_at=None,
    )


def new_study(sampler, maximize=False):
    return OptunaStudy(SPACE, sampler=sampler, seed=11, maximize=maximize)


def some_end(generator, n_ended):
    """Every end in turn, each second one complete; with a value where such an end has one."""
    end = EndReason.COMPLETED if n_ended % 2 else list(EndReason)[n_ended // 2 % len(EndReason)]
    value = generator.uniform(0, 2)
    if end is EndReason.FAILED or (end is EndReason.DIVERGED and generator.random() < 0.5):
        value = None
    return end, value, generator.randint(0 if value is None else 1, 40)


def proposals_equal(left, right):
    return left.hyperparameters == right.hyperparameters and json.dumps(
        left.sampler_state
    ) == json.dumps(right.sampler_state)


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_rebuilt_study_proposes_what_the_live_one_does(sampler, maximize):
    """With running, pruned, diverged and failed trials in its history, told in any order."""
    generator = random.Random(f"{sampler} {maximize}")
    live = new_study(sampler, maximize)
    proposals, ends = [], {}
    n_running = 0
    for number in range(40):
        rebuilt = new_study(sampler, maximize)
        for known, proposal in enumerate(proposals):
            # Half of those that have ended with their ends, the others are told afterwards.
            told = known in ends and known % 2 == 0
            rebuilt.restore(row(known, proposal, *(ends[known] if told else ())), told=told)
        for known, (end, value, n_epochs) in ends.items():
            if known % 2:
                rebuilt.tell(row(known, proposals[known], end, value, n_epochs))
        proposals.append(live.propose())
        n_running += number - len(ends)
        if number % 3 == 2:
            assert proposals_equal(rebuilt.propose(), proposals[-1]), number
        open_trials = [n for n in range(number + 1) if n not in ends]
        while len(open_trials) > generator.randint(0, 4):
            told = open_trials.pop(generator.randrange(len(open_trials)))
            ends[told] = some_end(generator, len(ends))
            live.tell(row(told, proposals[told], *ends[told]))
    assert len({str(proposal.hyperparameters) for proposal in proposals}) == 40
    assert {end for end, _, _ in ends.values()} == set(EndReason)
    assert n_running > 20


def test_the_history_decides_what_tpe_proposes():
    """Otherwise the comparison above would show nothing."""

    def after(reverse):
        study = new_study("tpe")
        proposals = [study.propose() for _ in range(15)]
        for number, proposal in enumerate(proposals):
            value = proposal.hyperparameters.learning_rate * (-1 if reverse else 1)
            study.tell(row(number, proposal, EndReason.COMPLETED, value))
        return study.propose().hyperparameters

    assert after(False) != after(True)


def test_trial_0_is_the_default_configuration_and_others_are_not():
    study = new_study("tpe")
    first, second = study.propose(), study.propose()
    default = default_configuration(SPACE)
    assert same_configuration(first.hyperparameters.to_flat(), default.to_flat())
    assert second.hyperparameters != first.hyperparameters
    assert [trial.state for trial in study.trials] == [OptunaState.RUNNING] * 2


def told(end, value, n_epochs=10, maximize=False):
    study = new_study("random", maximize)
    study.tell(row(0, study.propose(), end, value, n_epochs))
    return study.trials[0]


@pytest.mark.parametrize("value", [0.5, math.inf, None])
@pytest.mark.parametrize("end", EndReason)
def test_a_trial_taken_in_with_its_end_is_as_if_it_had_been_told(end, value):
    proposal = new_study("random").propose()
    rebuilt = new_study("random")
    rebuilt.restore(row(0, proposal, end, value, n_epochs=7), told=True)
    there, expected = rebuilt.trials[0], told(end, value, n_epochs=7)
    for name in ("state", "values", "intermediate_values", "params", "distributions"):
        assert getattr(there, name) == getattr(expected, name)


@pytest.mark.parametrize("end", [EndReason.COMPLETED, EndReason.EARLY_STOPPED])
def test_a_complete_trial_is_told_with_its_best_value(end):
    trial = told(end, 0.25)
    assert (trial.state, trial.value) == (OptunaState.COMPLETE, 0.25)


@pytest.mark.parametrize("end", [EndReason.PRUNED, EndReason.DIVERGED])
def test_a_pruned_or_diverged_trial_is_told_as_pruned_where_it_ended(end):
    trial = told(end, 0.75, n_epochs=12)
    assert (trial.state, trial.value) == (OptunaState.PRUNED, 0.75)
    assert trial.intermediate_values == {12: 0.75}


@pytest.mark.parametrize("end", [EndReason.PRUNED, EndReason.DIVERGED])
def test_a_trial_that_never_had_a_finite_value_is_pruned_without_one(end):
    trial = told(end, None, n_epochs=1)
    assert (trial.state, trial.value) == (OptunaState.PRUNED, None)
    assert trial.intermediate_values == {}


@pytest.mark.parametrize("value", [None, 0.5])
def test_a_failed_trial_is_told_as_failed(value):
    trial = told(EndReason.FAILED, value)
    assert (trial.state, trial.value) == (OptunaState.FAIL, None)


@pytest.mark.parametrize("end", list(EndReason))
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_number_that_is_not_finite_never_reaches_optuna(end, value, monkeypatch):
    seen = []
    tell, report = optuna.Study.tell, optuna.trial.Trial.report

    def spy_tell(self, trial, values=None, **arguments):
        seen.append(values)
        return tell(self, trial, values, **arguments)

    def spy_report(self, number, step):
        seen.append(number)
        return report(self, number, step)

    monkeypatch.setattr(optuna.Study, "tell", spy_tell)
    monkeypatch.setattr(optuna.trial.Trial, "report", spy_report)
    trial = told(end, value)
    assert seen
    assert all(number is None or math.isfinite(number) for number in seen)
    assert trial.state in (OptunaState.PRUNED, OptunaState.FAIL)


def test_rows_must_come_in_order_and_without_gaps():
    study = new_study("random")
    with pytest.raises(ValueError, match="expected trial 0, got 1"):
        study.restore(row(1, new_study("random").propose()))


def test_a_grid_proposes_every_cell_once_also_through_a_restart():
    mapping = {**study_spec().to_mapping(), "search": {"sampler": "grid"}}
    mapping["space"] = {"optimizer": ["sgd", "adam"], "units": [8, 16], "l2": [0.0, 1e-3]}
    space = StudySpec.from_mapping(mapping).resolve(1000).search_space
    first, second = (OptunaStudy(space, sampler="grid", seed=0, maximize=False) for _ in "ab")
    proposals = []
    for number in range(8):
        study = first if number < 5 else second
        proposals.append(study.propose())
        if number < 5:
            second.restore(row(number, proposals[-1]))
    trials = [proposal.hyperparameters for proposal in proposals]
    assert trials[0] == default_configuration(space)
    assert len({(trial.optimizer, trial.units, trial.l2) for trial in trials}) == 8
    assert second.trials[6].params == proposals[6].sampler_state["params"]
    with pytest.raises(IndexError):
        second.propose()
