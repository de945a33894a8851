"""The data section of a study file: which keys go with which source, and what may stand there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunelab.errors import StudyFileError
from tunelab.spec.data_rules import DEFAULTS, MISSING_POLICIES, NEEDED_KEYS, SOURCE_KEYS
from tunelab.spec.sections import SPLIT_METHODS, DataSpec, LabelNoise
from tunelab.spec.study import StudySpec
from tunelab.spec.study_file import read_study_file, resolved_yaml

EXAMPLES = {
    "sklearn": {"source": "sklearn", "name": "iris"},
    "csv": {"source": "csv", "path": "people.csv", "target": "income"},
    "parquet": {"source": "parquet", "path": "people.parquet", "target": "income"},
    "npz": {"source": "npz", "path": "people.npz"},
}
VALUES = {
    "name": "iris",
    "path": "people.csv",
    "target": "income",
    "drop": ["id"],
    "keep": ["age"],
    "categorical": ["sex"],
    "delimiter": ";",
    "missing": "drop",
}


def problems_in(tmp_path, data):
    path = tmp_path / "study.yaml"
    path.write_text(f"name: s\ntask: classification\ndata: {data}\n", encoding="utf-8")
    with pytest.raises(StudyFileError) as caught:
        read_study_file(path)
    return caught.value.problems


def section(data):
    study = StudySpec.from_mapping({"name": "s", "task": "classification", "data": data})
    return study.data


@pytest.mark.parametrize("source", SOURCE_KEYS)
def test_what_is_left_out_means_the_defaults_of_the_source(source):
    data = section(EXAMPLES[source])
    for key in ("target", "delimiter", "missing"):
        given_value = ("income",) if key in EXAMPLES[source] else None
        assert getattr(data, key) == (given_value or DEFAULTS[source].get(key))
    assert (data.drop, data.keep, data.categorical) == ((), None, ())


def test_a_csv_file_is_split_at_commas_and_must_be_complete_unless_said_otherwise():
    data = section(EXAMPLES["csv"])
    assert (data.delimiter, data.missing) == (",", "error")
    assert section(EXAMPLES["npz"]).target == ("y",)


@pytest.mark.parametrize("source", SOURCE_KEYS)
@pytest.mark.parametrize("key", VALUES)
def test_a_key_goes_with_the_sources_it_has_an_effect_on(source, key):
    given_keys = {**EXAMPLES[source], key: VALUES[key]}
    if key in SOURCE_KEYS[source]:
        section(given_keys)
    else:
        with pytest.raises(StudyFileError) as caught:
            section(given_keys)
        (problem,) = caught.value.problems
        assert problem.key == f"data.{key}"
        assert problem.message == f"has no effect with source: {source}"
        assert problem.hint == "remove the key"


@pytest.mark.parametrize("source", NEEDED_KEYS)
def test_everything_that_a_source_needs_is_asked_for_at_once(source):
    with pytest.raises(StudyFileError) as caught:
        section({"source": source})
    assert [problem.key for problem in caught.value.problems] == [
        f"data.{key}" for key in NEEDED_KEYS[source]
    ]
    assert {problem.message for problem in caught.value.problems} == {"is missing"}


def test_one_column_may_stand_without_its_list():
    data = section({**EXAMPLES["csv"], "drop": "id", "categorical": ["sex", "town"]})
    assert (data.target, data.drop, data.categorical) == (("income",), ("id",), ("sex", "town"))


@pytest.mark.parametrize("written", ['"\\t"', "'\\t'", "\\t"])
def test_a_tab_may_be_written_with_any_quotes(tmp_path, written):
    text = f"{{source: csv, path: a.csv, target: y, delimiter: {written}}}"
    path = tmp_path / "study.yaml"
    path.write_text(f"name: s\ntask: classification\ndata: {text}\n", encoding="utf-8")
    assert read_study_file(path).spec.data.delimiter == "\t"


CSV = "{source: csv, path: a.csv, target: y, "
# (data, the text that stands at the place told, key, message, part of the hint)
MISTAKES = [
    ("{source: cvs}", "cvs", "source", "unknown data source 'cvs'; known: sklearn", "'csv'"),
    ("{source: [csv]}", "[csv", "source", "must be one of sklearn csv parquet npz, got a", None),
    ("{source: csv, path: 3, target: y}", "3", "path", "must be the path of a file, got 3", "quot"),
    ("{source: csv, path: ' ', target: y}", "' '", "path", "must be the path of a file, got", None),
    (
        "{source: csv, path: 'https://a.b/c.csv', target: y}",
        "'https",
        "path",
        "must be a file on this machine, got 'https://a.b/c.csv'",
        "download it",
    ),
    ('{source: csv, path: "\\e[2J", target: y}', '"', "path", "must be printable text, got", None),
    ("{source: csv, path: a, target: 7}", "7", "target", "must be the name of a column", "quotes"),
    (CSV + "drop: [a, b, a]}", "[a, b", "drop", "'a' is listed twice", None),
    (CSV + "drop: {a: b}}", "{a", "drop", "must be the name of a column, or a list of", None),
    (CSV + 'drop: [""]}', "[", "drop", "must be the name of a column, got an empty text", None),
    (CSV + "drop: [2020]}", "[", "drop", "must be the name of a column, or a list", "in quotes"),
    (CSV + "drop: [true]}", "[", "drop", "must be the name of a column, or a list", "in quotes"),
    (
        CSV + "keep: []}",
        "[]",
        "keep",
        "must name at least one column, got an empty list",
        "name one",
    ),
    (CSV + "delimiter: tab}", "tab}", "delimiter", "must be one character, got 'tab'", '"\\t"'),
    (CSV + "delimiter: ''}", "''", "delimiter", "must be one character, got ''", '";"'),
    (CSV + "delimiter: 1}", "1", "delimiter", "must be one character, got 1", None),
    (CSV + "delimiter: é}", "é", "delimiter", "must be a character that no number or quot", None),
    (CSV + "delimiter: '.'}", "'.'", "delimiter", "must be a character that no number or q", None),
    (CSV + "delimiter: '\"'}", "'\"", "delimiter", "must be a character that no number or q", None),
    (CSV + 'delimiter: "\\n"}', '"', "delimiter", "must be a character that no number or", None),
    (CSV + "missing: drp}", "drp", "missing", "unknown policy 'drp'; known: error", "'drop'"),
    (CSV + "targets: y}", "targets", "targets", "unknown key 'targets'; known: source", "'target'"),
    # Each key is right by itself, and another contradicts it.
    (CSV + "drop: [a], keep: [b]}", "drop", "drop", "goes without keep, which drops every", None),
    (CSV + "drop: [a, y]}", "y]", "drop", "'y' is the target, which cannot be dropped", None),
    (CSV + "keep: [y]}", "[y]", "keep", "must list a feature, a column that is neither", None),
    (CSV + "categorical: [y]}", "y]", "categorical", "'y' is the target: the task decides", None),
    (CSV + "drop: [a], categorical: [a]}", "a]}", "categorical", "'a' is dropped, so it is", None),
    (CSV + "keep: [a], categorical: [b]}", "b]", "categorical", "'b' is dropped, so it is", None),
    (CSV + "split: {method: group, group: y}}", "y}}", "split.group", "'y' is the target", None),
    (
        CSV + "categorical: [u], split: {method: time, time: u}}",
        "u]",
        "categorical",
        "'u' decides the split and is no feature",
        None,
    ),
]


@pytest.mark.parametrize(
    ("data", "at", "key", "message", "hint"), MISTAKES, ids=[row[0] for row in MISTAKES]
)
def test_a_mistake_is_told_with_its_place(tmp_path, data, at, key, message, hint):
    (problem,) = problems_in(tmp_path, data)
    column = f"data: {data}".index(at) + 1
    assert (problem.line, problem.column, problem.key) == (3, column, f"data.{key}")
    assert problem.message.startswith(message)
    assert hint is None or hint in problem.hint


def test_all_mistakes_are_told_at_once(tmp_path):
    data = "{source: csv, name: iris, path: 3, delimiter: ab, drop: [a, a], split: {test: 2}}"
    keys = [problem.key for problem in problems_in(tmp_path, data)]
    expected = ["data.target", "data.name", "data.path", "data.delimiter", "data.drop"]
    assert keys == [*expected, "data.split.test"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("people.csv", "/home/me/studies/people.csv"),
        ("../data/people.csv", "/home/me/studies/../data/people.csv"),
        ("/data/people.csv", "/data/people.csv"),
        ("~/people.csv", str(Path("~/people.csv").expanduser())),
        ("~nobody-of-this-name/people.csv", "/home/me/studies/~nobody-of-this-name/people.csv"),
    ],
)
def test_a_relative_path_counts_from_the_study_files_folder(path, expected):
    data = section({**EXAMPLES["csv"], "path": path})
    located = data.located(Path("/home/me/studies"))
    assert located.path == expected
    assert located.model_copy(update={"path": path}) == data


def test_a_relative_folder_counts_from_the_working_directory(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    located = section(EXAMPLES["csv"]).located(Path("studies"))
    assert located.path == str(tmp_path / "studies" / "people.csv")


def test_data_without_a_file_stay_where_they_are():
    data = section(EXAMPLES["sklearn"])
    assert data.located(Path("/anywhere")) is data


COLUMNS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)


@st.composite
def sections(draw):
    source = draw(st.sampled_from(sorted(SOURCE_KEYS)))
    data = dict(EXAMPLES[source])
    names = draw(st.lists(COLUMNS, min_size=6, max_size=6, unique=True))
    if source != "sklearn":
        data["path"] = draw(st.sampled_from(["a.csv", "../b c/ü.x", "/tmp/data"]))
        data["target"] = draw(st.sampled_from([names[0], names[:1], names[:2]]))
        data |= draw(
            st.sampled_from(
                [
                    {},
                    {"drop": names[2:3]},
                    {"keep": names[3:], "categorical": names[3]},
                    {"drop": [], "categorical": names[2:]},
                ]
            )
        )
        if draw(st.booleans()):
            data["missing"] = draw(st.sampled_from(MISSING_POLICIES))
    if source == "csv":
        data["delimiter"] = draw(st.sampled_from([",", ";", "\t", "|", " ", ":", "¦"]))
    if draw(st.booleans()):
        data["label_noise"] = {"share": draw(st.floats(0, 1))}
    return data


@settings(deadline=None, max_examples=60)
@given(sections())
def test_what_is_written_out_reads_back_the_same(tmp_path_factory, data):
    study = StudySpec.from_mapping({"name": "s", "task": "classification", "data": data})
    assert StudySpec.from_mapping(study.to_mapping()) == study
    assert DataSpec.model_validate_json(study.data.model_dump_json()) == study.data
    path = tmp_path_factory.mktemp("written") / "study.yaml"
    path.write_text(resolved_yaml(study), encoding="utf-8")
    again = read_study_file(path).spec
    assert again.data == study.data.located(path.parent)


def test_the_section_can_be_built_in_python():
    data = DataSpec(
        source="csv", path="a.csv", target="y", label_noise=LabelNoise(share=0.1), drop="id"
    )
    assert (data.target, data.delimiter, data.split.method) == (("y",), ",", SPLIT_METHODS[0])
