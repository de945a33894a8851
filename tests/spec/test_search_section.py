"""The section ``search``: a pruner has its own settings and no others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunelab.errors import StudyFileError
from tunelab.spec.overrides import variables
from tunelab.spec.sections import PrunerSpec, SearchSpec
from tunelab.spec.study import StudySpec
from tunelab.spec.study_file import read_study_file
from tunelab.spec.tables import PRUNERS, SAMPLERS

HEAD = "name: s\ntask: classification\ndata: {source: sklearn, name: digits}\n"
COMPARED = {"startup_trials": 5, "warm_up_epochs": 10, "min_trials": 3}
SETTINGS = {
    "median": COMPARED,
    "percentile": {"percentile": 25.0, **COMPARED},
    "successive_halving": {
        "min_resource": 10,
        "reduction_factor": 3,
        "min_early_stopping_rate": 0,
    },
    "none": {},
}


def search(tmp_path, text):
    path = tmp_path / "study.yaml"
    path.write_text(HEAD + text)
    return read_study_file(path).spec.search


def problem(tmp_path, text):
    with pytest.raises(StudyFileError) as caught:
        search(tmp_path, text)
    (only,) = caught.value.problems
    return only


@pytest.mark.parametrize("name", PRUNERS)
def test_a_pruner_named_alone_has_its_defaults_and_no_others(tmp_path, name):
    pruner = search(tmp_path, f"search: {{pruner: {name}}}").pruner
    assert pruner.to_mapping() == {"name": name, **SETTINGS[name]}
    assert PrunerSpec(**pruner.to_mapping()) == pruner


OWN = [(name, key) for name, keys in SETTINGS.items() for key in keys]
ALL = sorted({key for _, key in OWN})


@pytest.mark.parametrize(("name", "key"), OWN)
def test_each_setting_is_read(tmp_path, name, key):
    pruner = search(tmp_path, f"search: {{pruner: {{name: {name}, {key}: 7}}}}").pruner
    assert pruner.to_mapping() == {"name": name, **SETTINGS[name], key: 7}


@pytest.mark.parametrize("name", PRUNERS)
@pytest.mark.parametrize("key", ALL)
def test_a_setting_of_another_pruner_is_refused_by_its_name(tmp_path, name, key):
    if key in SETTINGS[name]:
        return
    found = problem(tmp_path, f"search:\n  pruner:\n    name: {name}\n    {key}: 7")
    assert (found.line, found.column, found.key) == (7, 5, f"search.pruner.{key}")
    owners = " and ".join(other for other in PRUNERS if key in SETTINGS[other])
    has = " ".join(SETTINGS[name]) or "no settings"
    assert found.message == (f"is a setting of {owners}, but the pruner is {name}, which has {has}")
    assert "name the pruner" in found.hint


def test_settings_without_a_name_are_the_medians(tmp_path):
    assert search(tmp_path, "search: {pruner: {min_trials: 4}}").pruner.name == "median"
    found = problem(tmp_path, "search: {pruner: {percentile: 4}}")
    assert found.message.startswith("is a setting of percentile, but the pruner is median")


@pytest.mark.parametrize(
    ("name", "setting", "message"),
    [
        ("percentile", "percentile: 101", "must be in [0, 100], got 101"),
        ("percentile", "percentile: half", "must be a number in [0, 100], got 'half'"),
        ("percentile", "min_trials: 0", "must be from 1 to 1000000, got 0"),
        ("successive_halving", "min_resource: 0", "must be from 1 to 1000000, got 0"),
        (
            "successive_halving",
            "min_resource: auto",
            "must be a whole number from 1 to 1000000, got 'auto'",
        ),
        ("successive_halving", "reduction_factor: 1", "must be from 2 to 1000, got 1"),
        ("successive_halving", "min_early_stopping_rate: 21", "must be from 0 to 20, got 21"),
        (
            "successive_halving",
            "eta: 3",
            "unknown key 'eta'; known: name min_resource reduction_factor min_early_stopping_rate",
        ),
        ("none", "eta: 3", "unknown key 'eta'; known: name"),
    ],
)
def test_what_a_setting_cannot_be(tmp_path, name, setting, message):
    assert problem(tmp_path, f"search: {{pruner: {{name: {name}, {setting}}}}}").message == message


def test_of_an_unknown_pruner_every_settings_name_may_stand(tmp_path):
    text = "search: {pruner: {name: percentil, percentile: 20, min_resource: 3}}"
    found = problem(tmp_path, text)
    assert found.key == "search.pruner.name"
    assert found.hint == "did you mean 'percentile'?"


@pytest.mark.parametrize(
    ("name", "standard"),
    [
        ("median", "the median"),
        ("percentile", "the worst of the best 25 %"),
        ("successive_halving", "the worst of the best 1/3"),
    ],
)
def test_a_pruner_says_what_a_trial_is_held_against(name, standard):
    assert PrunerSpec(name=name).standard == standard


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_can_be_named(tmp_path, sampler):
    assert search(tmp_path, f"search: {{sampler: {sampler}}}\n{SPACE}").sampler == sampler


SPACE = "space: {optimizer: [sgd, adam]}"


def test_a_study_may_end_when_it_is_flat(tmp_path):
    assert search(tmp_path, "").stop_when_flat is False
    for text in ("true", "on"):
        read = search(tmp_path, f"search: {{stop_when_flat: {text}}}")
        assert read.stop_when_flat is True
        assert SearchSpec(**read.to_mapping()) == read
    found = problem(tmp_path, "search: {stop_when_flat: 15}")
    assert (found.key, found.message) == (
        "search.stop_when_flat",
        "must be on or off, got 15",
    )


def test_a_grid_is_walked_to_its_end(tmp_path):
    found = problem(tmp_path, f"search: {{sampler: grid, stop_when_flat: true}}\n{SPACE}")
    assert (found.line, found.key) == (4, "search.stop_when_flat")
    assert found.message == "must be off for the sampler grid, which visits every cell"


@st.composite
def pruners(draw):
    name = draw(st.sampled_from(PRUNERS))
    keys = (
        draw(st.lists(st.sampled_from(sorted(SETTINGS[name])), unique=True))
        if name != "none"
        else []
    )
    return {"name": name, **{key: draw(st.integers(2, 20)) for key in keys}}


@given(pruners(), st.sampled_from(["tpe", "random", "qmc"]), st.booleans())
def test_every_search_means_the_same_when_it_is_read_again(pruner, sampler, flat):
    given_search = {"pruner": pruner, "sampler": sampler, "stop_when_flat": flat}
    mapping = {
        "name": "s",
        "task": "classification",
        "data": {"source": "sklearn", "name": "iris"},
        "search": given_search,
    }
    spec = StudySpec.from_mapping(mapping)
    assert StudySpec.from_mapping(spec.to_mapping()) == spec
    written = spec.search.pruner.to_mapping()
    assert {key: written[key] for key in pruner} == pruner
    assert list(written)[1:] == list(SETTINGS[pruner["name"]])


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2GB", 2_000_000_000),
        ("512MB", 512_000_000),
        ("1.5 GiB", 1_610_612_736),
        ("900000KB", 900_000_000),
        ("3000000", 3_000_000),
    ],
)
def test_a_trials_memory_is_bytes_or_a_size(tmp_path, text, size):
    read = search(tmp_path, f"search: {{trial_memory: {text}}}")
    assert read.trial_memory_bytes == size
    assert read.to_mapping()["trial_memory"] == size
    assert SearchSpec(**read.to_mapping()) == read


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2 gigabytes", "must be a size such as 2GB or 512MB, got '2 gigabytes'"),
        ("2gb", "must be a size such as 2GB or 512MB, got '2gb'"),
        ("-1MB", "must be a size such as 2GB or 512MB, got '-1MB'"),
        ("0", "must be from 1MB to 1000TB, got 0"),
        ("512", "must be from 1MB to 1000TB, got 512"),
        (".inf", "must be from 1MB to 1000TB, got inf"),
        (".nan", "must be from 1MB to 1000TB, got nan"),
        ("2000TB", "must be from 1MB to 1000TB, got '2000TB'"),
        ("true", "must be a size such as 2GB or 512MB, got true"),
        ("[1GB]", "must be a size such as 2GB or 512MB, got a list"),
    ],
)
def test_what_a_trials_memory_cannot_be(tmp_path, text, message):
    found = problem(tmp_path, f"search: {{trial_memory: {text}}}")
    assert (found.key, found.message) == ("search.trial_memory", message)


def test_a_trials_time_is_a_duration(tmp_path):
    read = search(tmp_path, "search: {trial_timeout: 1m30s}")
    assert read.trial_timeout_seconds == 90.0
    assert search(tmp_path, "").trial_timeout_seconds is None
    assert "trial_timeout" not in search(tmp_path, "").to_mapping()
    found = problem(tmp_path, "search: {trial_timeout: 0s}")
    assert (found.key, found.message) == (
        "search.trial_timeout",
        "must be in (0, 31622400], got 0",
    )


def test_the_limits_of_a_trial_have_variables(tmp_path):
    given = {"TUNELAB_TRIAL_TIMEOUT": "10m", "TUNELAB_TRIAL_MEMORY": "2GB"}
    found = {setting.key: setting.node.plain() for setting in variables(given)}
    assert found == {"search.trial_timeout": "10m", "search.trial_memory": "2GB"}
