"""Which dimensions a configuration asks for, and what trial 0 is."""

from __future__ import annotations

import pytest

from tunelab.spec.default_space import complete_space, default_configuration
from tunelab.spec.hyperparameters import Hyperparameters
from tunelab.spec.space import Choice, Fixed, FloatRange, IntRange, Space

NETWORK = [
    "layers",
    "units",
    "shape",
    "activation",
    "batch_norm",
    "dropout_rate",
    "l2",
    "batch_size",
]


def complete(**given):
    return complete_space(Space(**given), max_epochs=100, n_train=1000)


def asked_by(space, **answers):
    """Names and dimensions in the order they are asked for; the first value where none is given."""
    asked = {}

    def suggest(name, dimension):
        assert name not in asked
        asked[name] = dimension
        if name in answers:
            return answers[name]
        if isinstance(dimension, Fixed):
            return dimension.value
        return dimension.values[0] if isinstance(dimension, Choice) else dimension.low

    return asked, space.configure(suggest)


def test_only_the_chosen_optimizer_and_schedule_are_asked_about():
    asked, trial = asked_by(complete(), optimizer="nesterov", schedule="step_drop")
    assert list(asked) == [
        "optimizer",
        "optimizer.nesterov.learning_rate",
        "optimizer.nesterov.momentum",
        "schedule",
        "schedule.step_drop.factor",
        "schedule.step_drop.every",
        *NETWORK,
    ]
    assert trial == Hyperparameters(
        optimizer="nesterov",
        learning_rate=0.001,
        optimizer_settings={"momentum": 0.5},
        schedule="step_drop",
        schedule_settings={"factor": 0.1, "every": 5},
        layers=1,
        units=16,
        activation="relu",
        dropout_rate=0.0,
        l2=1e-7,
        batch_size=16,
    )
    asked, _ = asked_by(complete(), optimizer="sgd", schedule="constant")
    assert list(asked) == ["optimizer", "optimizer.sgd.learning_rate", "schedule", *NETWORK]


def test_a_shared_dimension_has_the_bare_name_and_only_for_optimizers_that_have_it():
    rate, momentum = FloatRange(0.1, 0.2), Fixed(0.8)
    space = complete(shared={"learning_rate": rate, "momentum": momentum})
    asked, trial = asked_by(space, optimizer="momentum")
    assert (asked["learning_rate"], asked["momentum"]) == (rate, momentum)
    assert (trial.learning_rate, trial.optimizer_settings) == (0.1, {"momentum": 0.8})
    asked, trial = asked_by(space, optimizer="sgd")
    assert "momentum" not in asked
    assert trial.optimizer_settings == {}


def test_an_own_dimension_goes_before_a_shared_one():
    own = {"sgd": {}, "adam": {"learning_rate": Fixed(0.5)}}
    space = complete(optimizers=own, shared={"learning_rate": Fixed(0.25)})
    assert asked_by(space, optimizer="adam")[1].learning_rate == 0.5
    assert asked_by(space, optimizer="sgd")[1].learning_rate == 0.25


def test_the_optimizer_is_a_choice_or_fixed_when_there_is_one():
    assert asked_by(complete())[0]["optimizer"] == Choice(
        ("sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam")
    )
    assert asked_by(complete(optimizers={"adam": {}}))[0]["optimizer"] == Fixed("adam")
    turned = complete(optimizers={"adam": {}, "sgd": {}})
    assert asked_by(turned)[0]["optimizer"] == Choice(("sgd", "adam"))


def test_a_space_with_gaps_cannot_be_configured():
    with pytest.raises(ValueError, match="gaps"):
        asked_by(Space())


def test_the_default_space_is_the_documented_one():
    space = complete()
    wide, reverse = FloatRange(1e-3, 1.0, "log"), FloatRange(0.5, 0.99, "reverse_log")
    assert space.optimizers == {
        "sgd": {"learning_rate": wide},
        "momentum": {"learning_rate": wide, "momentum": reverse},
        "nesterov": {"learning_rate": wide, "momentum": reverse},
        "adagrad": {"learning_rate": FloatRange(1e-3, 0.3, "log")},
        "adadelta": {"learning_rate": FloatRange(0.1, 2.0, "log")},
        "rmsprop": {"learning_rate": FloatRange(1e-4, 3e-2, "log")},
        "adam": {"learning_rate": FloatRange(1e-4, 3e-2, "log")},
    }
    assert space.schedules == {
        "constant": {},
        "linear": {"tau": IntRange(50, 100)},
        "inverse_time": {"decay_rate": FloatRange(0.01, 0.19, "log")},
        "step_drop": {"factor": Choice((0.1, 0.5)), "every": IntRange(5, 20)},
        "hold_then_exponential": {
            "hold": IntRange(5, 30),
            "decay_rate": FloatRange(0.02, 0.2, "log"),
        },
        "cosine": {},
    }
    assert space.network == {
        "layers": IntRange(1, 4),
        "units": IntRange(16, 512, "log"),
        "shape": Choice(("constant", "funnel")),
        "activation": Choice(("relu", "tanh", "elu", "gelu")),
        "batch_norm": Choice(("off", "on")),
        "dropout_rate": FloatRange(0.0, 0.5),
        "l2": FloatRange(1e-7, 1e-2, "log", optional=True),
        "batch_size": Choice((16, 32, 64)),
    }


@pytest.mark.parametrize(("max_epochs", "low", "high"), [(1, 1, 1), (10, 1, 2), (200, 10, 40)])
def test_step_drops_come_every_twentieth_to_fifth_of_the_budget(max_epochs, low, high):
    space = complete_space(Space(), max_epochs, n_train=1000)
    assert space.schedules["step_drop"]["every"] == IntRange(low, high)


def test_trial_0_is_the_documented_configuration():
    assert default_configuration(complete()).to_flat() == {
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "schedule": "cosine",
        "layers": 2,
        "units": 128,
        "shape": "constant",
        "activation": "relu",
        "batch_norm": "off",
        "dropout_rate": 0.1,
        "l2": 1e-5,
        "batch_size": 32,
    }


@pytest.mark.parametrize(
    ("name", "dimension", "nearest"),
    [
        ("units", IntRange(16, 64), 64),
        ("units", IntRange(200, 300), 200),
        ("units", IntRange(100, 200, step=50), 150),  # 100, 150, 200
        ("units", IntRange(100, 140, step=30), 130),  # 100, 130
        ("units", IntRange(100, 125, step=20), 120),  # 100, 120
        ("units", Choice((64, 160)), 160),
        ("units", Fixed(7), 7),
        ("layers", Choice((1, 3)), 1),  # equally near: the first
        ("activation", Choice(("tanh", "relu")), "relu"),
        ("activation", Choice(("tanh",)), "tanh"),
        ("dropout_rate", FloatRange(0.0, 0.9, step=0.3), 0.0),
        ("dropout_rate", FloatRange(0.0, 0.6, step=0.15), 0.15),
        ("dropout_rate", FloatRange(0.3, 0.5), 0.3),
        ("dropout_rate", FloatRange(0.3, 0.5, optional=True), 0.0),  # 0.1 away, 0.3 is 0.2 away
        ("l2", FloatRange(1e-3, 1e-2, "log", optional=True), 1e-3),  # 0 is infinitely far in ln
        ("l2", FloatRange(0.0, 1e-6), 1e-6),
    ],
)
def test_trial_0_moves_to_the_nearest_value_of_a_dimension(name, dimension, nearest):
    space = complete(network={name: dimension})
    assert default_configuration(space).to_flat()[name] == nearest


def test_trial_0_takes_the_first_optimizer_and_schedule_where_the_default_is_not_offered():
    space = complete(optimizers={"nesterov": {}, "momentum": {}}, schedules={"step_drop": {}})
    trial = default_configuration(space)
    assert (trial.optimizer, trial.learning_rate) == ("momentum", 1e-2)
    assert trial.optimizer_settings == {"momentum": 0.9}
    assert trial.schedule_settings == {"factor": 0.5, "every": 10}


def test_trial_0_begins_every_optimizer_at_a_rate_that_suits_it():
    rates = {
        name: default_configuration(complete(optimizers={name: {}})).learning_rate
        for name in ("sgd", "nesterov", "adagrad", "adadelta", "rmsprop", "adamw")
    }
    assert rates == {
        "sgd": 0.1,
        "nesterov": 0.01,
        "adagrad": 0.01,
        "adadelta": 1.0,
        "rmsprop": 0.001,
        "adamw": 0.001,
    }


def test_named_members_get_settings_that_the_default_study_lacks():
    space = complete(optimizers={"adamw": {}}, schedules={"one_cycle": {}, "polynomial": {}})
    assert space.optimizers["adamw"]["weight_decay"] == FloatRange(1e-4, 0.1, "log")
    assert space.schedules == {"polynomial": {}, "one_cycle": {}}
    assert space.complete


def test_what_the_engine_decides_is_asked_only_if_a_study_gives_it():
    asked, trial = asked_by(complete())
    assert not {"l1", "initializer", "gradient_clip", "label_smoothing", "class_weight"} & {*asked}
    assert (trial.l1, trial.gradient_clip, trial.initializer) == (None, None, None)
    asked, trial = asked_by(complete(network={"l1": Choice((0.0, 1e-4))}))
    assert (asked["l1"], trial.l1) == (Choice((0.0, 1e-4)), 0.0)
    assert trial.to_flat()["l1"] == 0.0


def test_every_layer_may_have_units_of_its_own():
    by_layer = (Choice((8, 16)), Fixed(4), IntRange(2, 3))
    space = complete(units_by_layer=by_layer, network={"layers": IntRange(1, 3)})
    asked, trial = asked_by(space, layers=2)
    assert [name for name in asked if name.startswith(("units", "shape"))] == ["units_1", "units_2"]
    assert (trial.units, trial.shape, trial.widths(10)) == ((8, 4), None, (8, 4))
    assert {"units_1": 8, "units_2": 4}.items() <= trial.to_flat().items()
    assert Hyperparameters.from_flat(trial.to_flat()) == trial
    assert complete(units_by_layer=by_layer).network["layers"] == Fixed(3)


@pytest.mark.parametrize(
    ("layers", "units", "n_outputs", "widths"),
    [
        (1, 64, 10, (64,)),
        (4, 100, 20, (100, 80, 60, 40)),
        (3, 16, 10, (16, 14, 12)),
        (3, 8, 10, (8, 8, 8)),  # it never widens
    ],
)
def test_a_funnel_narrows_evenly_towards_the_outputs(layers, units, n_outputs, widths):
    _, trial = asked_by(complete(), layers=layers, units=units, shape="funnel")
    assert trial.widths(n_outputs) == widths
    _, constant = asked_by(complete(), layers=layers, units=units, shape="constant")
    assert constant.widths(n_outputs) == (units,) * layers
