"""The section ``confirm``: what it means, what is refused, and that it may change."""

from __future__ import annotations

import pytest

from tunelab.errors import StudyFileError
from tunelab.spec.study import ConfirmSpec, StudySpec, differences
from tunelab.spec.study_file import read_study_file, resolved_yaml

HEAD = "name: s\ntask: classification\ndata: {source: sklearn, name: digits}\n"


def read(tmp_path, text):
    path = tmp_path / "study.yaml"
    path.write_text(HEAD + text, encoding="utf-8")
    return read_study_file(path).spec


def test_without_a_word_three_finalists_are_confirmed_on_three_seeds(tmp_path):
    confirm = read(tmp_path, "").confirm
    assert (confirm.finalists, confirm.seeds, confirm.enabled) == (3, 3, True)
    assert confirm.most_runs == 12  # the default configuration beside the three


@pytest.mark.parametrize("text", ["off", "false", "{enabled: off}", "{enabled: false}"])
def test_it_can_be_switched_off_in_a_word(tmp_path, text):
    confirm = read(tmp_path, f"confirm: {text}\n").confirm
    assert confirm == ConfirmSpec(enabled=False)
    assert confirm.most_runs == 0


def test_what_it_says_is_written_to_the_resolved_file_and_read_back(tmp_path):
    spec = read(tmp_path, "confirm: {finalists: 20, seeds: 1}\n").resolve(n_train=1000)
    assert spec.to_mapping()["confirm"] == {"finalists": 20, "seeds": 1, "enabled": True}
    again = tmp_path / "again.yaml"
    again.write_text(resolved_yaml(spec), encoding="utf-8")
    assert read_study_file(again).spec.confirm == spec.confirm


def test_it_may_change_while_a_study_goes_on(tmp_path):
    one, other = (read(tmp_path, f"confirm: {text}\n") for text in ("off", "{seeds: 5}"))
    assert differences(one, other) == []


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ("{finalists: 0}", "confirm.finalists", "must be from 1 to 20, got 0"),
        ("{seeds: 21}", "confirm.seeds", "must be from 1 to 20, got 21"),
        ("{seeds: 2.5}", "confirm.seeds", "must be a whole number from 1 to 20, got 2.5"),
        ("{seed: 3}", "confirm.seed", "unknown key 'seed'; known: finalists seeds enabled"),
        ("{enabled: maybe}", "confirm.enabled", "must be on or off, got 'maybe'"),
        ("3", "confirm", "must be off, or a mapping with the keys finalists seeds enabled"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(tmp_path, text, key, message):
    with pytest.raises(StudyFileError) as refused:
        read(tmp_path, f"confirm: {text}\n")
    (problem,) = refused.value.problems
    assert (problem.key, problem.message, problem.line) == (key, message, 4)


def test_a_study_of_an_older_version_has_the_stage_with_its_defaults():
    mapping = StudySpec.from_mapping(
        {"name": "s", "task": "classification", "data": {"source": "sklearn", "name": "iris"}}
    ).to_mapping()
    mapping.pop("confirm")
    assert StudySpec.from_mapping(mapping).confirm == ConfirmSpec()
