"""The split of a study file: its methods, and which keys go with which."""

from __future__ import annotations

import pytest

from tunelab.datasets.split import SPLIT_METHODS as IMPLEMENTED
from tunelab.errors import StudyFileError
from tunelab.spec.sections import SPLIT_METHODS, SplitSpec
from tunelab.spec.study_file import read_study_file, resolved_yaml

HEAD = "name: s\ntask: classification\ndata:\n  source: csv\n  path: x.csv\n  target: y\n"


def read(tmp_path, split):
    path = tmp_path / "study.yaml"
    path.write_text(f"{HEAD}  split: {split}\n", encoding="utf-8")
    return read_study_file(path)


def problems(tmp_path, split):
    with pytest.raises(StudyFileError) as caught:
        read(tmp_path, split)
    return caught.value.problems


def test_every_method_that_may_be_named_is_implemented():
    assert tuple(IMPLEMENTED) == SPLIT_METHODS


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("{}", SplitSpec()),
        ("{method: stratified}", SplitSpec()),
        ("{method: hash, seed: 4}", SplitSpec(method="hash", seed=4)),
        ("{group: site, method: group}", SplitSpec(method="group", group="site")),
        (
            "{method: time, time: 'tag der messung'}",
            SplitSpec(method="time", time="tag der messung"),
        ),
        ('{method: group, group: "7"}', SplitSpec(method="group", group="7")),
    ],
)
def test_a_split_means_what_it_says_and_is_written_back_so(tmp_path, split, expected):
    spec = read(tmp_path, split).spec
    assert spec.data.split == expected
    (tmp_path / "study.yaml").write_text(resolved_yaml(spec), encoding="utf-8")
    assert read_study_file(tmp_path / "study.yaml").spec.data.split == expected


# (split, column in line 7, key, message, part of the hint)
MISTAKES = [
    ("{method: hsh}", 19, "method", "unknown split method 'hsh'; known: stratified hash", "'hash'"),
    ("{method: 1}", 19, "method", "must be one of stratified hash group time, got 1", None),
    ("{method: group}", 3, "group", "is missing; the method group needs", "add this key"),
    ("{method: time}", 3, "time", "is missing; the method time needs", "add this key"),
    ("{group: site}", 11, "group", "has no effect with the method stratified", "method: group"),
    ("{method: hash, time: t}", 25, "time", "has no effect with the method hash", "method: time"),
    ("{method: group, group: 7}", 33, "group", "must be the name of a column, got 7", "in quotes"),
    ("{method: group, group: ''}", 33, "group", "must be the name of a column, got ''", None),
    ("{method: time, time: [a]}", 31, "time", "must be the name of a column, got a list", None),
    ("{groups: site}", 11, "groups", "unknown key 'groups'; known: validation test", "'group'"),
    ("{seed: 1.5}", 17, "seed", "must be a whole number from 0", None),
    ("{test: 0}", 17, "test", "must be in (0, 1), got 0", None),
    ("{test: 0.9}", 17, "test", "validation and test must leave rows for training", None),
]


@pytest.mark.parametrize(
    ("split", "column", "key", "message", "hint"), MISTAKES, ids=[row[0] for row in MISTAKES]
)
def test_a_mistake_is_told_where_it_stands(tmp_path, split, column, key, message, hint):
    (problem,) = problems(tmp_path, split)
    assert (problem.line, problem.key) == (7, f"data.split.{key}")
    assert problem.message.startswith(message)
    assert problem.column == column
    assert hint is None or hint in problem.hint


def test_mistakes_of_a_split_are_told_together(tmp_path):
    found = problems(tmp_path, "{method: group, time: 3, validation: 0.6, test: 0.6}")
    assert [problem.key.removeprefix("data.split.") for problem in found] == [
        "group",
        "time",
        "time",
        "validation",
    ]
