"""What a study is beside its file: mappings, resolving, differences."""

from __future__ import annotations

import json

import pytest

from tunelab.errors import StudyFileError
from tunelab.spec.space import Choice, Fixed
from tunelab.spec.study import DataSpec, SearchSpec, StudySpec, differences

GIVEN = {
    "name": "s",
    "task": "classification",
    "data": {"source": "sklearn", "name": "digits"},
    "space": {"units": {"low": 16, "high": 256, "scale": "log"}, "optimizer": ["sgd", "adam"]},
}


def study(**changes):
    return StudySpec.from_mapping({**GIVEN, **changes})


def test_a_mapping_is_plain_complete_and_the_same_whatever_order_it_came_in():
    spec = study(search={"timeout": "10m", "trials": 5})
    backwards = {key: spec.to_mapping()[key] for key in reversed(spec.to_mapping())}
    again = StudySpec.from_mapping(json.loads(json.dumps(backwards)))
    assert again == spec
    assert json.dumps(again.to_mapping()) == json.dumps(spec.to_mapping())
    assert spec.to_mapping()["search"]["timeout"] == 600.0


def test_the_order_of_optimizers_in_a_file_does_not_make_another_study():
    turned = study(space={"optimizer": {"adam": {}, "sgd": {}}, "units": GIVEN["space"]["units"]})
    assert json.dumps(turned.to_mapping()) == json.dumps(study().to_mapping())


def test_from_mapping_reports_every_problem_without_lines():
    with pytest.raises(StudyFileError) as caught:
        study(search={"trials": 0}, monitor={"preset": "x"})
    assert [str(problem).split(":")[1].strip() for problem in caught.value.problems] == [
        "search.trials",
        "monitor.preset",
    ]


def test_sections_can_be_built_in_code_and_check_themselves():
    data = DataSpec(source="sklearn", name="wine")
    assert StudySpec(name="s", task="classification", data=data).search == SearchSpec()
    with pytest.raises(ValueError, match="must be regression"):
        StudySpec(name="s", task="classification", data=DataSpec(source="sklearn", name="diabetes"))


def test_a_study_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        study().name = "other"


def test_resolving_fills_the_space_once_and_keeps_what_was_given():
    spec = study()
    with pytest.raises(ValueError, match="resolve"):
        _ = spec.search_space
    resolved = spec.resolve(n_train=1000)
    assert resolved.search_space.network["units"] == spec.space.network["units"]
    assert set(resolved.search_space.optimizers) == {"sgd", "adam"}
    assert resolved.resolve(n_train=1000) == resolved


@pytest.mark.parametrize(
    ("n_train", "sizes"),
    [
        (5000, Choice((16, 32, 64, 128, 256))),
        (1000, Choice((16, 32, 64))),
        (320, Choice((16, 32))),
        (319, Fixed(16)),
        (90, Fixed(16)),
        (12, Fixed(12)),
    ],
)
def test_default_batches_hold_at_most_a_tenth_of_the_rows_where_one_can(n_train, sizes):
    assert study().resolve(n_train).search_space.network["batch_size"] == sizes


@pytest.mark.parametrize("batch_size", [512, [32, 512], {"low": 8, "high": 512}])
def test_a_batch_beyond_the_rows_is_refused(batch_size):
    with pytest.raises(StudyFileError, match="batch_size 512 > 300 training rows"):
        study(space={"batch_size": batch_size}).resolve(n_train=300)


def test_differences_name_key_and_both_values():
    new = study(
        space={"units": {"low": 16, "high": 512, "scale": "log"}, "layers": 2, "optimizer": "sgd"},
        monitor={"patience": 3},
    )
    assert differences(study(), new) == [
        "space.optimizer.adam: {} -> not given",
        "space.units.high: 256 -> 512",
        "space.layers: not given -> 2",
        "monitor.patience: not given -> 3",
    ]


def test_a_change_of_form_is_shown_whole():
    assert differences(study(space={"units": 8}), study(space={"units": [8, 16]})) == [
        "space.units: 8 -> [8, 16]"
    ]


def test_budget_and_description_are_no_difference():
    new = study(search={"trials": 900, "timeout": 5, "workers": 3}, description="again")
    assert differences(study(), new) == []
    assert differences(study(), study(search={"max_epochs": 9})) == ["search.max_epochs: 100 -> 9"]


@pytest.mark.parametrize(
    ("n_train", "space"), [(100, {"batch_size": 1}), (100, {"batch_size": [1, 16]}), (1, {})]
)
def test_the_default_space_has_no_batch_norm_where_a_batch_may_be_a_single_row(n_train, space):
    resolved = StudySpec.from_mapping({**GIVEN, "space": space}).resolve(n_train)
    assert resolved.search_space.network["batch_norm"] == Fixed("off")
    assert StudySpec.from_mapping(resolved.to_mapping()) == resolved


def test_batch_norm_on_a_single_training_row_is_refused_before_anything_is_written():
    study = StudySpec.from_mapping({**GIVEN, "space": {"batch_norm": "on"}})
    with pytest.raises(StudyFileError, match="must be at least 2 with batch_norm"):
        study.resolve(1)


def test_a_grid_gives_up_no_cell_unless_a_pruner_is_named():
    for search, pruner in (({"sampler": "grid"}, "none"), ({}, "median")):
        assert StudySpec.from_mapping({**GIVEN, "search": search}).search.pruner.name == pruner
    named = {"sampler": "grid", "pruner": "median"}
    assert StudySpec.from_mapping({**GIVEN, "search": named}).search.pruner.name == "median"


def test_contradictions_are_told_together_with_everything_else():
    space = {"label_smoothing": 0.1, "class_weight": "balanced", "units": 0, "momentum": 0.9}
    study = {**GIVEN, "task": "regression", "space": {"optimizer": "adam", **space}}
    study["data"] = {"source": "sklearn", "name": "diabetes"}
    with pytest.raises(StudyFileError) as caught:
        StudySpec.from_mapping(study)
    assert {problem.key for problem in caught.value.problems} == {
        "space.label_smoothing",
        "space.class_weight",
        "space.units",
        "space.momentum",
    }
