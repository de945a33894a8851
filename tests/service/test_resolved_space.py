"""A space as a list, against the questions that a configuration really asks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunelab.service.resolved_space import axes, count_searched, is_searched
from tunelab.spec.default_space import complete_space, default_configuration
from tunelab.spec.space import Choice, Fixed, FloatRange, IntRange, Space
from tunelab.spec.space_reader import read_space
from tunelab.spec.tables import OPTIMIZERS, SCHEDULES

dimensions = st.sampled_from([[0.01, 0.1], {"low": 0.01, "high": 0.1}, 0.05])
sizes = st.sampled_from([{"low": 1, "high": 3}, 2, [1, 3]])
names = st.lists(st.sampled_from(["sgd", "momentum", "adam", "adamw"]), min_size=1, unique=True)
schedules = st.lists(
    st.sampled_from(["constant", "step_drop", "cosine", "linear"]), min_size=1, unique=True
)
given_spaces = st.fixed_dictionaries(
    {},
    optional={
        "optimizer": names,
        "schedule": schedules,
        "learning_rate": dimensions,
        "momentum": dimensions,
        "l2": dimensions,
        "units": st.sampled_from(
            [{"low": 8, "high": 16}, 8, [[8, 16], [4]], [[8], {"low": 2, "high": 4}]]
        ),
    },
)


def asked(space, optimizer, schedule, layers):
    """Name -> dimension of all that one kind of configuration asks for."""
    questions = {}

    def answer(name, dimension):
        questions[name] = dimension
        if name in ("optimizer", "schedule"):
            return optimizer if name == "optimizer" else schedule
        if name == "layers":
            return layers
        if isinstance(dimension, Fixed):
            return dimension.value
        return dimension.values[0] if isinstance(dimension, Choice) else dimension.low

    space.configure(answer)
    return questions


def every_kind(space):
    layers = space.network["layers"]
    depths = [layers.value] if isinstance(layers, Fixed) else range(1, 5)
    depths = [n for n in depths if not space.units_by_layer or n <= len(space.units_by_layer)]
    return [
        asked(space, optimizer, schedule, n)
        for optimizer in space.optimizers
        for schedule in space.schedules
        for n in depths
    ]


@settings(max_examples=200)
@given(raw=given_spaces)
def test_the_axes_are_what_configurations_ask_for(raw):
    read, complaints = read_space(raw)
    if complaints:
        return  # a shared dimension that no optimizer takes
    space = complete_space(read, max_epochs=50, n_train=1000)
    kinds = every_kind(space)
    questions = {name: dimension for kind in kinds for name, dimension in kind.items()}
    assert {axis.name: axis.dimension for axis in axes(space)} == questions
    searched = [sum(map(is_searched, kind.values())) for kind in kinds]
    assert count_searched(space) == (max(searched), sum(map(is_searched, questions.values())))


def test_the_default_space_has_every_member_and_the_defaults_of_trial_0():
    space = complete_space(Space(), max_epochs=100, n_train=1000)
    by_name = {axis.name: axis for axis in axes(space)}
    flat = default_configuration(space).to_flat()
    assert by_name["optimizer"].default == flat["optimizer"] == "adam"
    assert by_name["optimizer.adam.learning_rate"].default == flat["learning_rate"]
    assert by_name["units"].default == flat["units"]
    assert by_name["units"].place == ("space", "units")
    assert by_name["schedule.step_drop.every"].place == ("space", "schedule", "step_drop", "every")
    assert {name.split(".")[1] for name in by_name if name.startswith("optimizer.")} <= {
        *OPTIMIZERS
    }
    assert {name.split(".")[1] for name in by_name if name.startswith("schedule.")} <= {*SCHEDULES}


@pytest.mark.parametrize(
    ("dimension", "searched"),
    [
        (Fixed("adam"), False),
        (Choice((1, 2)), True),
        (IntRange(3, 3), False),
        (IntRange(3, 4), True),
        (FloatRange(0.1, 0.1), False),
        (FloatRange(0.1, 0.1, optional=True), True),  # off, or 0.1
        (FloatRange(0.0, 0.0, optional=True), False),
    ],
)
def test_what_has_one_value_is_not_searched(dimension, searched):
    assert is_searched(dimension) is searched
