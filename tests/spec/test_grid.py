"""A grid's cells: every configuration once, the default one first."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunelab.errors import StudyFileError
from tunelab.spec.default_space import complete_space, default_configuration
from tunelab.spec.grid import cells, count_cells
from tunelab.spec.space import Choice, Fixed, FloatRange, IntRange, Space
from tunelab.spec.study import StudySpec


def grid_of(**given):
    return complete_space(Space(**given), max_epochs=100, n_train=1000, fixed=True)


def configurations(space):
    return [
        space.configure(lambda name, dimension: cell[name])  # noqa: B023
        for cell in cells(space)
    ]


def test_a_setting_multiplies_only_the_branches_that_have_it():
    space = grid_of(
        optimizers={
            "sgd": {"learning_rate": Choice((0.1, 0.01, 0.001))},
            "momentum": {"learning_rate": Choice((0.1, 0.01)), "momentum": Choice((0.5, 0.9))},
            "adam": {},
        },
        schedules={"constant": {}, "step_drop": {"every": IntRange(5, 20, step=5)}},
    )
    assert count_cells(space) == (3 + 2 * 2 + 1) * (1 + 4)


def test_layers_multiply_only_the_units_they_have():
    space = grid_of(
        units_by_layer=(Choice((8, 16)), Choice((4, 8, 12))), network={"layers": IntRange(1, 2)}
    )
    assert [trial.units for trial in configurations(space)][1:] == [
        (8,),
        (16,),
        (8, 4),
        (8, 8),
        (8, 12),
        (16, 4),
        (16, 8),
    ]
    assert configurations(space)[0].units == (16, 12)


def test_the_default_configuration_comes_first_and_once():
    space = grid_of(network={"units": Choice((32, 100, 150)), "dropout_rate": Choice((0.0, 0.3))})
    trials = configurations(space)
    assert trials[0] == default_configuration(space)
    assert (trials[0].units, trials[0].dropout_rate) == (150, 0.0)
    assert [(trial.units, trial.dropout_rate) for trial in trials[1:]] == [
        (32, 0.0),
        (32, 0.3),
        (100, 0.0),
        (100, 0.3),
        (150, 0.3),
    ]


def test_what_a_grid_leaves_out_stays_at_its_default():
    (only,) = configurations(grid_of())
    assert only == default_configuration(complete_space(Space(), 100, 1000))
    rates = {
        trial.optimizer: trial.learning_rate
        for trial in configurations(grid_of(optimizers={"sgd": {}, "adam": {}, "adadelta": {}}))
    }
    assert rates == {"sgd": 0.1, "adam": 0.001, "adadelta": 1.0}


@pytest.mark.parametrize(
    ("dimension", "values"),
    [
        (FloatRange(0.1, 0.5, step=0.2), [0.1, 0.3, 0.5]),
        (FloatRange(0.0, 0.5, step=0.25, optional=True), [0.0, 0.25, 0.5]),
        (FloatRange(0.25, 0.5, step=0.25, optional=True), [0.0, 0.25, 0.5]),
        (FloatRange(0.25, 0.25), [0.25]),
        (Fixed(0.4), [0.4]),
    ],
)
def test_a_range_with_a_step_is_a_list(dimension, values):
    space = grid_of(network={"dropout_rate": dimension})
    assert sorted(trial.dropout_rate for trial in configurations(space)) == values


def test_a_range_without_a_step_has_no_cells():
    with pytest.raises(ValueError, match="list or a step"):
        list(cells(grid_of(network={"dropout_rate": FloatRange(0.0, 0.5)})))


lists = st.lists(st.integers(1, 100), min_size=1, max_size=4, unique=True).map(
    lambda values: Choice(tuple(values))
)


@given(
    st.dictionaries(
        st.sampled_from(["sgd", "adam", "adagrad"]),
        st.fixed_dictionaries({}, optional={"learning_rate": lists}),
    ),
    st.dictionaries(
        st.sampled_from(["step_drop", "linear"]),
        st.fixed_dictionaries({}, optional={"warm_up": lists}),
    ),
    st.fixed_dictionaries({}, optional={"units": lists, "batch_size": lists}),
)
def test_cells_are_all_different_and_as_many_as_the_product(optimizers, schedules, network):
    space = grid_of(optimizers=optimizers, schedules=schedules, network=network)

    def size(dimensions):
        sizes = (len(item.values) for item in dimensions.values() if isinstance(item, Choice))
        return math.prod(sizes)

    expected = size(network)
    for members in (optimizers, schedules):
        expected *= sum(size(own) for own in members.values()) if members else 1
    trials = configurations(space)
    assert len(trials) == count_cells(space) == expected
    assert len({str(sorted(trial.to_flat().items())) for trial in trials}) == expected


STUDY = {
    "name": "a",
    "task": "classification",
    "data": {"source": "sklearn", "name": "iris"},
    "search": {"sampler": "grid"},
    "space": {"units": [8, 16, 32]},
}


def test_a_study_has_a_trial_for_each_cell_unless_it_wants_fewer():
    assert StudySpec.from_mapping(STUDY).search.n_trials is None
    assert StudySpec.from_mapping(STUDY).resolve(100).n_trials == 3
    fewer = {**STUDY, "search": {"sampler": "grid", "trials": 2}}
    assert StudySpec.from_mapping(fewer).resolve(100).n_trials == 2
    more = {**STUDY, "search": {"sampler": "grid", "trials": 4}}
    with pytest.raises(StudyFileError, match="at most 3, the cells of the grid, got 4"):
        StudySpec.from_mapping(more).resolve(100)


def test_a_grid_beyond_all_reason_is_refused():
    space = {"units": {"low": 1, "high": 60_000}, "batch_size": [1, 2, 3]}
    study = StudySpec.from_mapping({**STUDY, "space": space})
    with pytest.raises(StudyFileError, match="at most 100000 cells"):
        study.resolve(100)
