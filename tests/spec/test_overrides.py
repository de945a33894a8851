"""Settings that go before a study file: what they say, which goes first, and who is blamed."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunelab.errors import StudyFileError
from tunelab.spec.overrides import assignments, merge, option, variables
from tunelab.spec.sections import SearchSpec
from tunelab.spec.study import StudySpec
from tunelab.spec.study_file import read_study_file, resolved_yaml
from tunelab.spec.yaml_tree import read_tree
from tunelab.spec.yaml_writer import to_yaml

STUDY = {
    "name": "s",
    "task": "classification",
    "data": {"source": "sklearn", "name": "digits"},
    "search": {"trials": 60, "max_epochs": 50, "pruner": "median"},
    "space": {"optimizer": ["sgd", "adam"], "units": {"low": 16, "high": 512, "scale": "log"}},
}

# Key -> values that are valid there, as a study file would have them.
VALUES = {
    "name": ["other", "a.b-c"],
    "search.trials": [1, 100],
    "search.seed": [0, 7],
    "search.sampler": ["random"],
    "search.pruner": ["none", {"name": "median", "startup_trials": 3}],
    "search.timeout": ["10m", 90],
    "search.trial_timeout": ["90s", 0.5],
    "search.trial_memory": ["2GB", 64000000],
    "space.units": [64, [16, 32], {"low": 8, "high": 9}],
    "space.units.low": [20],
    "space.units.high": [256],
    "space.layers": [{"low": 1, "high": 2}, 3],
    "space.optimizer": ["sgd", ["adam"], {"sgd": {"learning_rate": 0.1}}],
    "space.dropout_rate": [0.0, [0.1, 0.2]],
    "space.batch_norm": ["on"],
    "monitor.patience": [5],
    "data.label_noise": [{"share": 0.1}],
    "data.split.validation": [0.3],
    "description": ["some: text", "1", "# no comment"],
    "objective.metric": ["accuracy"],
}
settings_of_keys = st.sampled_from(sorted(VALUES)).flatmap(
    lambda key: st.tuples(st.just(key), st.sampled_from(VALUES[key]))
)


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(to_yaml(STUDY))
    return path


def edited(key, value, mapping=STUDY):
    """The mapping with one value changed, as somebody would edit the file."""
    mapping = copy.deepcopy(mapping)
    *sections, last = key.split(".")
    inner = mapping
    for section in sections:
        inner = inner.setdefault(section, {})
    inner[last] = value
    return mapping


def flow(value):
    """A value as YAML on one line."""
    return to_yaml({"k": [value]}).removeprefix("k: [").rstrip()[:-1]


@given(chosen=st.lists(settings_of_keys, min_size=1, max_size=4))
def test_a_setting_means_what_the_same_value_in_the_file_means(tmp_path_factory, chosen):
    path = tmp_path_factory.mktemp("study") / "study.yaml"
    path.write_text(to_yaml(STUDY))
    expected, texts, whole = STUDY, [], set()
    for key, value in chosen:
        if any(key.startswith(f"{done}.") for done in whole):
            continue  # what was replaced as a whole may be no mapping any more
        whole.add(key)
        expected = edited(key, value, expected)
        texts.append(f"{key}={flow(value)}")
    spec = read_study_file(path, assignments(texts)).spec
    assert spec == StudySpec.from_mapping(expected)


anything = st.text(max_size=12) | st.sampled_from(
    [
        "0",
        "-1",
        ".nan",
        "[1, 2]",
        "{low: 1}",
        "{low: 2, high: 1}",
        "~",
        "&a 1",
        "*a",
        "!x 1",
        "a: b",
    ]
)
any_key = st.lists(
    st.sampled_from([*STUDY, *STUDY["space"], "trials", "low", "x", "y z", "\x1b[2J"]),
    min_size=1,
    max_size=4,
).map(".".join)


@given(key=any_key, value=anything)
def test_any_setting_is_a_study_or_a_problem_that_names_it(tmp_path_factory, key, value):
    path = tmp_path_factory.mktemp("study") / "study.yaml"
    path.write_text(to_yaml(STUDY))
    try:
        read_study_file(path, assignments([f"{key}={value}"]))
    except StudyFileError as error:
        for problem in error.problems:
            assert str(problem).startswith("--set")
            assert str(problem).isprintable()


def test_the_later_setting_goes_before_the_earlier(study):
    settings = [
        *variables({"TUNELAB_SEED": "1", "TUNELAB_MAX_EPOCHS": "9"}),
        *assignments(["search.seed=2", "search.seed=3"]),
        option(("search", "trials"), 5, "--trials"),
    ]
    document = read_study_file(study, settings)
    search = document.spec.search
    assert (search.seed, search.max_epochs, search.trials) == (3, 9, 5)
    assert document.source(("search", "seed")) == "--set search.seed"
    assert document.source(("search", "max_epochs")) == "TUNELAB_MAX_EPOCHS"
    assert document.source(("search", "trials")) == "--trials"


def test_every_key_of_the_search_has_a_variable_and_an_empty_one_is_not_set():
    names = [f"TUNELAB_{key.upper()}" for key in SearchSpec.known_keys()]
    assert {"TUNELAB_TRIALS", "TUNELAB_TIMEOUT", "TUNELAB_WORKERS", "TUNELAB_SAMPLER"} <= {*names}
    found = variables({**dict.fromkeys(names, "1"), "TUNELAB_DATABASE_URL": "x", "TRIALS": "2"})
    assert [setting.origin for setting in found] == names
    assert variables(dict.fromkeys(names, " ")) == []


def test_an_anchor_shares_its_value_but_not_the_setting():
    tree, _ = read_tree("a: &x {low: 1}\nb: *x\n")
    merged = merge(tree, assignments(["b.low=2"]))
    assert merged.tree.plain() == {"a": {"low": 1}, "b": {"low": 2}}
    assert tree.plain() == {"a": {"low": 1}, "b": {"low": 1}}


def problems(path, *texts, environment=None):
    with pytest.raises(StudyFileError) as caught:
        read_study_file(path, [*variables(environment or {}), *assignments(texts)])
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("search.trials=0", "--set search.trials: must be from 1 to 1000000, got 0"),
        ("search.trails=3", "--set search.trails: unknown key 'trails'; known: "),
        ("space.units={low: 5, high: 2}", "--set space.units: space.units.low: low must not be"),
        # The file's own bound is refused, because of the setting.
        ("space.units.low=600", "--set space.units.low: low must not be above high, got low 600"),
        # A section that only the setting has made.
        ("space.layers.low=1", "--set space.layers.low: space.layers.high: is missing"),
        ("data.name.x=3", "--set data.name.x: cannot go into data.name, which is no mapping"),
        ("space.optimizer.adam.l2=1", "--set space.optimizer.adam.l2: cannot go into space.opti"),
        ("units=3", "--set units: unknown key 'units'; known: name task"),
        ("search=3", "--set search: must be a mapping with the keys sampler"),
        ("search.seed=", "--set search.seed: has no value"),
        ("search.seed=null", "--set search.seed: has no value"),
        ("search.seed=!!python/name:os.system", "--set search.seed: tags are not allowed"),
        ("space.units=[1, 2", "--set space.units: not valid YAML: expected ',' or ']'"),
        ("name=a\x1b[2J", "--set name: must be text, got the character U+001B"),
        ("name=" + "x" * 30_000, "--set name: must have at most 20000 characters, got 30000"),
        ("space.units=" + "[" * 50, "--set space.units: must nest at most 40 levels deep"),
        ("search.trials", "--set: must look like search.trials=100, got 'search.trials'"),
        ("=3", "--set: must look like search.trials=100, got '=3'"),
        (".".join(["a"] * 5000) + "=3", "--set: must look like search.trials=100, got 'a.a.a."),
        ("search..trials=3", "--set: must look like search.trials=100, got"),
        ("", "--set: must look like search.trials=100, got ''"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_setting_is_told_under_its_name(study, text, problem):
    first, *_ = problems(study, text)
    assert first.startswith(problem)


def test_a_variable_is_blamed_by_its_name(study):
    assert problems(study, environment={"TUNELAB_SEED": "x", "TUNELAB_TRIALS": "0"}) == [
        "TUNELAB_TRIALS: must be from 1 to 1000000, got 0",
        "TUNELAB_SEED: must be a whole number from 0 to 4294967295, got 'x'",
    ]
    assert problems(study, environment={"TUNELAB_PRUNER": "{nam: x}"})[0].startswith(
        "TUNELAB_PRUNER: search.pruner.nam: unknown key 'nam'"
    )


def test_problems_of_the_file_and_of_settings_come_together(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(to_yaml(edited("space.layers", 0)))
    setting, in_file = problems(path, "search.trials=0")
    assert setting.startswith("--set search.trials: ")
    assert in_file.startswith(f"{path}:")
    assert "space.layers: must be from 1" in in_file


def test_a_setting_hides_what_is_wrong_in_its_place_alone(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(to_yaml(edited("search.trials", 0)))
    assert read_study_file(path, assignments(["search.trials=3"])).spec.search.trials == 3


def test_what_the_data_make_impossible_is_blamed_on_the_setting(study):
    document = read_study_file(study, assignments(["space.batch_size=512"]))
    with pytest.raises(StudyFileError) as caught:
        document.resolve(n_train=100)
    assert caught.value.problems[0].where == "--set space.batch_size"


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("name", "FILE:1"),
        ("search.pruner.name", "FILE:4"),  # `pruner: median` is its name
        ("search.pruner.startup_trials", None),
        ("space.optimizer.sgd", "FILE:6"),  # in the list of names
        ("space.optimizer.sgd.learning_rate", None),
        ("space.optimizer.nadam", None),
        ("space.units.low", "FILE:7"),
        ("space.units.high", "--set space.units.high"),
        ("space.layers.low", "--set space.layers"),
        ("search.seed", None),
        ("monitor.preset", None),
    ],
)
def test_each_value_has_its_source(study, place, source):
    document = read_study_file(
        study, assignments(["space.units.high=64", "space.layers={low: 1, high: 2}"])
    )
    expected = source and source.replace("FILE", str(study))
    assert document.source(tuple(place.split("."))) == expected


def test_a_path_counts_from_the_file_and_one_of_a_setting_from_here(tmp_path, monkeypatch):
    folder = tmp_path / "studies"
    folder.mkdir()
    path = folder / "study.yaml"
    data = {"source": "csv", "path": "data/rows.csv", "target": "y"}
    path.write_text(to_yaml({**STUDY, "data": data}))
    monkeypatch.chdir(tmp_path)
    for name in (path, "studies/study.yaml"):
        assert read_study_file(name).spec.data.path == str(folder / "data" / "rows.csv")
        spec = read_study_file(name, assignments(["data.path=other.csv"])).spec
        assert spec.data.path == str(tmp_path / "other.csv")
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(resolved_yaml(read_study_file(path).spec))
    assert read_study_file(resolved).spec == read_study_file(path).spec


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b"\x1f\x8b\x08\x00\xff", "compressed with gzip"),
        ("name: ä".encode("utf-16"), "UTF-16"),
        (b"name: \xff\n", "iconv -f WINDOWS-1252 -t UTF-8"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path, content, hint):
    path = tmp_path / "study.yaml"
    path.write_bytes(content)
    with pytest.raises(StudyFileError) as caught:
        read_study_file(path)
    (problem,) = caught.value.problems
    assert problem.message.startswith("must be UTF-8 text")
    assert hint in problem.hint
