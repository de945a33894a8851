"""Properties of every study: drawn at random, written out, read back, damaged."""

from __future__ import annotations

import json
import math
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunelab.errors import StudyFileError
from tunelab.spec.default_space import default_configuration
from tunelab.spec.hyperparameters import Hyperparameters
from tunelab.spec.rules import Name, Number, RateTable, Switch
from tunelab.spec.space import Choice, Fixed, FloatRange, IntRange
from tunelab.spec.study import StudySpec, differences
from tunelab.spec.study_file import read_study_file, resolved_yaml
from tunelab.spec.sweep_section import CATCHUPS, OVERLAPS
from tunelab.spec.tables import (
    CLASSIFICATION_ONLY,
    DATASETS,
    METRICS,
    NETWORK,
    OPTIMIZERS,
    SCHEDULES,
)

DIGITS = (Path(__file__).parents[2] / "studies" / "digits.yaml").read_text(encoding="utf-8")
N_TRAIN = 1_000_000

unhurried = settings(
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def values(rule):
    """Valid values of a hyperparameter."""
    if isinstance(rule, Name | Switch):
        return st.sampled_from(rule.known)
    if isinstance(rule, RateTable):
        epochs = st.lists(st.integers(1, 10), min_size=1, max_size=4, unique=True).map(sorted)
        rates = st.floats(1e-6, 100)
        return epochs.flatmap(
            lambda epochs: st.tuples(*(rates for _ in epochs)).map(
                lambda rates: ", ".join(f"{k}: {r!r}" for k, r in zip(epochs, rates, strict=True))
            )
        )
    if rule.kind == "int":
        return st.integers(int(rule.low), int(rule.high))
    return st.floats(
        rule.low, rule.high, exclude_min=rule.low_open, exclude_max=rule.high_open, width=64
    ).map(abs)  # -0.0 is 0.0


@st.composite
def ranges(draw, rule):
    low, high = sorted(draw(st.tuples(values(rule), values(rule))))
    scales = ["linear"] + ["log"] * (low > 0) + ["reverse_log"] * (rule.high == 1 and high < 1)
    if rule.kind == "int":
        scales = [scale for scale in scales if scale != "reverse_log"]
    written = {"low": low, "high": high, "scale": draw(st.sampled_from(scales))}
    if written["scale"] == "linear" and high > low and draw(st.booleans()):
        width = high - low
        if rule.kind == "int":
            written["step"] = draw(st.integers(1, width))
        elif width > 1e-9:
            written["step"] = width / draw(st.floats(1, 50))
    if rule.low == 0 and not rule.low_open:
        written["optional"] = draw(st.booleans())
    return written


def dimensions(rule):
    forms = [values(rule), st.lists(values(rule), min_size=1, max_size=4, unique=True)]
    return st.one_of(*forms, *([ranges(rule)] if isinstance(rule, Number) else []))


def some(rules):
    """A mapping of any of the hyperparameters that a table lists."""
    return st.fixed_dictionaries(
        {}, optional={name: dimensions(rule) for name, rule in rules.items()}
    )


def family(table):
    """Members of a family by name, as a list, or with own hyperparameters."""
    return st.one_of(
        st.sampled_from(sorted(table)),
        st.lists(st.sampled_from(sorted(table)), min_size=1, unique=True),
        st.fixed_dictionaries(
            {}, optional={name: some(rules) for name, rules in table.items()}
        ).filter(bool),
    )


# What may not stand together has tests of its own.
OWN = {
    "warm_up": Number("int", 0, 10),
    "unit": Name("unit", ("epoch",)),
}
COMPATIBLE_SCHEDULES = {
    name: {key: OWN.get(key, rule) for key, rule in rules.items()}
    for name, rules in SCHEDULES.items()
    if name != "piecewise"
}
COMPATIBLE_NETWORK = {
    **{name: rule for name, rule in NETWORK.items() if name not in CLASSIFICATION_ONLY},
    "batch_size": Number("int", 2, 1_000_000),
}

spaces = st.fixed_dictionaries(
    {},
    optional={
        "optimizer": family(OPTIMIZERS),
        "schedule": family(COMPATIBLE_SCHEDULES),
        **{name: dimensions(rule) for name, rule in COMPATIBLE_NETWORK.items()},
    },
)
shared = st.fixed_dictionaries(
    {},
    optional={
        key: dimensions(OPTIMIZERS["nesterov"][key]) for key in ("learning_rate", "momentum")
    },
)
sweeps = st.fixed_dictionaries(
    {"cron": st.sampled_from(["0 2 * * *", "*/5 8-17 * * mon-fri", "0  0 L 2 *"])},
    optional={
        "timezone": st.sampled_from(["UTC", "Europe/Berlin", "Etc/GMT+3"]),
        "catchup": st.sampled_from(CATCHUPS),
        "overlap": st.sampled_from(OVERLAPS),
        "grace": st.sampled_from([5, 0.25, "10m", "24h"]),
        "enabled": st.sampled_from([True, False, "on", "off"]),
        "start_from_best": st.integers(0, 100),
        "notify": st.just("https://example.org:8443/hook?a=1"),
    },
)
printable = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]))


@st.composite
def studies(draw):
    name = draw(st.sampled_from(sorted(DATASETS)))
    task = DATASETS[name]
    space = draw(spaces)
    if task == "classification":
        space |= draw(some({key: NETWORK[key] for key in CLASSIFICATION_ONLY}))
    if draw(st.booleans()):
        rates = draw(dimensions(SCHEDULES["piecewise"]["rates"]))
        space["schedule"] = {"constant": {}, "piecewise": {"rates": rates}}
    if draw(st.booleans()):
        units = st.lists(dimensions(NETWORK["units"]), min_size=1, max_size=4)
        space["units"] = [as_list(item) for item in draw(units)]
        space.pop("shape", None)
        space.pop("layers", None)
    if "optimizer" not in space:
        space |= draw(shared)
    study = {
        "name": draw(st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,20}", fullmatch=True)),
        "task": task,
        "data": {"source": "sklearn", "name": name},
        "objective": {"metric": draw(st.sampled_from(sorted(METRICS[task])))},
        "search": {
            "pruner": draw(st.sampled_from(["none", "median", {"startup_trials": 2}])),
            "trials": draw(st.integers(1, 1000)),
            "timeout": draw(st.sampled_from([5, 0.25, "10m", "1h30m"])),
            "max_epochs": draw(st.integers(21, 500)),
        },
        "space": space,
        "monitor": draw(
            st.fixed_dictionaries(
                {"preset": st.sampled_from(["default", "careful", "eager", "off"])},
                optional={"patience": st.integers(1, 99), "min_delta": st.floats(0, 1)},
            )
        ),
        **draw(st.fixed_dictionaries({}, optional={"sweep": sweeps})),
        "description": draw(printable | st.sampled_from(["a\nb\t", "null", "1e3", " x ", "- a"])),
    }
    if task == "classification" and draw(st.booleans()):
        study["data"]["label_noise"] = {"share": draw(st.floats(0, 1)), "seed": 3}
    return study


def as_list(item):
    return item if isinstance(item, list | dict) else [item]


def contains(dimension, value):
    if isinstance(dimension, Fixed):
        return value == dimension.value
    if isinstance(dimension, Choice):
        return value in dimension.values
    if dimension.optional and value == 0:
        return True
    if not dimension.low <= value <= dimension.high:
        return False
    step = dimension.step
    return step is None or math.isclose(
        (value - dimension.low) / step, round((value - dimension.low) / step), abs_tol=1e-6
    )


@unhurried
@given(studies())
def test_mapping_and_file_of_a_study_mean_the_study(tmp_path, mapping):
    given_spec = StudySpec.from_mapping(mapping)
    for spec in (given_spec, given_spec.resolve(N_TRAIN)):
        again = StudySpec.from_mapping(json.loads(json.dumps(spec.to_mapping(), sort_keys=True)))
        assert again == spec
        assert json.dumps(again.to_mapping()) == json.dumps(spec.to_mapping())
        assert differences(spec, again) == []
        path = tmp_path / "study.yaml"
        path.write_text(resolved_yaml(spec), encoding="utf-8")
        assert read_study_file(path).spec == spec


@unhurried
@given(studies())
def test_trial_0_lies_in_every_space_and_asks_only_for_what_is_active(mapping):
    space = StudySpec.from_mapping(mapping).resolve(N_TRAIN).search_space
    flat = default_configuration(space).to_flat()
    asked = {}

    def replay(name, dimension):
        asked[name] = dimension
        key = name if name.startswith("schedule") else name.rsplit(".", maxsplit=1)[-1]
        key = "schedule." + key.rsplit(".", maxsplit=1)[-1] if key.count(".") else key
        return flat[key]

    assert space.configure(replay).to_flat() == flat
    assert len(asked) == len(flat)
    for name, dimension in asked.items():
        assert contains(dimension, replay(name, dimension)), name


@unhurried
@given(studies(), st.data())
def test_a_configuration_and_its_flat_form_are_the_same(mapping, data):
    space = StudySpec.from_mapping(mapping).resolve(N_TRAIN).search_space

    def suggest(name, dimension):
        if isinstance(dimension, Fixed):
            return dimension.value
        if isinstance(dimension, Choice):
            return data.draw(st.sampled_from(dimension.values))
        if dimension.optional and data.draw(st.booleans()):
            return 0
        if isinstance(dimension, IntRange):
            return data.draw(st.integers(dimension.low, dimension.high))
        assert isinstance(dimension, FloatRange)
        return data.draw(st.floats(dimension.low, dimension.high))

    trial = space.configure(suggest)
    flat = json.loads(json.dumps(trial.to_flat()))
    assert Hyperparameters.from_flat(flat) == trial
    assert Hyperparameters.from_flat(flat).to_flat() == trial.to_flat()
    optimizer = OPTIMIZERS[trial.optimizer]
    assert set(trial.optimizer_settings) <= set(optimizer) - {"learning_rate"}
    assert set(trial.schedule_settings) <= set(SCHEDULES[trial.schedule])


damages = st.lists(
    st.tuples(
        st.sampled_from(["delete", "replace", "insert", "drop line", "copy line", "indent"]),
        st.integers(0, len(DIGITS) - 1),
        st.sampled_from([*"\t\n :,-[]{}&*!|>'\"%@`#?~0e.x<=", "\0", "é", "\u2028", "- ", ": "]),
    ),
    min_size=1,
    max_size=4,
)


def damaged(text, damage):
    kind, position, piece = damage
    if kind == "delete":
        return text[:position] + text[position + 1 :]
    if kind == "replace":
        return text[:position] + piece + text[position + 1 :]
    if kind == "insert":
        return text[:position] + piece + text[position:]
    lines = text.splitlines(keepends=True)
    index = text.count("\n", 0, position) % len(lines)
    if kind == "drop line":
        del lines[index]
    elif kind == "copy line":
        lines.insert(index, lines[index])
    else:
        lines[index] = " " + lines[index]
    return "".join(lines)


def check_answer(path):
    """A study that means something, or problems that say where."""
    problems = None
    try:
        assert read_study_file(path).spec.resolve(N_TRAIN).search_space.complete
    except StudyFileError as error:
        problems = error.problems
    assert problems is None or len(problems) > 0
    for problem in problems or ():
        assert problem.message
        empty = problem.message == "the study file is empty"
        assert empty or (problem.line >= 1 and problem.column >= 1)


@settings(unhurried, max_examples=200)
@given(damages)
def test_a_damaged_file_is_read_or_answered_with_a_place(tmp_path, changes):
    text = DIGITS
    for change in changes:
        text = damaged(text, change)
    path = tmp_path / "study.yaml"
    path.write_bytes(text.encode())
    check_answer(path)


@unhurried
@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8")))
def test_any_bytes_are_read_or_answered_with_a_place(tmp_path, data):
    path = tmp_path / "study.yaml"
    path.write_bytes(data)
    check_answer(path)


nonsense = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["low", "high", "scale", "adam", "name", "patience", "x"]), inner
        )
    ),
    max_leaves=6,
)


@st.composite
def studies_with_nonsense(draw):
    """A valid study in which a value somewhere is anything at all."""
    study = draw(studies())
    place = study
    while True:
        key = draw(st.sampled_from(sorted(place)))
        if isinstance(place[key], dict) and place[key] and draw(st.booleans()):
            place = place[key]
        else:
            place[key] = draw(nonsense)
            return study


@unhurried
@given(studies_with_nonsense())
def test_nonsense_in_a_mapping_is_a_study_or_a_study_file_error(mapping):
    try:
        spec = StudySpec.from_mapping(mapping)
    except StudyFileError:
        pass
    else:
        assert StudySpec.from_mapping(spec.to_mapping()) == spec
