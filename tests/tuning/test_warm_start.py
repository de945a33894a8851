"""What earlier generations found is proposed first, as far as it fits."""

from __future__ import annotations

import pytest

from tunelab.spec.default_space import default_configuration
from tunelab.spec.study import StudySpec
from tunelab.tuning.optuna_study import OptunaStudy
from tunelab.tuning.warm_start import fitting


def space(**given):
    spec = StudySpec.from_mapping(
        {
            "name": "a",
            "task": "classification",
            "data": {"source": "sklearn", "name": "iris"},
            "search": {"trials": 10},
            "space": given,
        }
    )
    return spec.resolve(1000).search_space


def proposals(of, n, seed=0, sampler="random", first=()):
    study = OptunaStudy(of, sampler=sampler, seed=seed, maximize=False, first=first)
    return [dict(study.propose().hyperparameters.to_flat()) for _ in range(n)]


def rounded(flat):
    """Without the last digits, which 1 - (1 - x) may change."""
    return {
        name: value if isinstance(value, str) else float(f"{value:.12g}")
        for name, value in flat.items()
    }


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_whatever_a_space_proposes_fits_it_and_is_proposed_again_behind_the_default(sampler):
    of = space()
    earlier = proposals(of, 30, seed=7)[1:]
    first = fitting(of, earlier, 29)
    assert first == earlier
    again = proposals(of, 31, sampler=sampler, first=first)
    assert again[0] == default_configuration(of).to_flat()
    assert [rounded(flat) for flat in again[1:30]] == [rounded(flat) for flat in earlier]
    assert again[30] not in earlier


def test_what_is_outside_of_a_space_is_left_out():
    wide = space(optimizer=["sgd", "adam"], units={"low": 8, "high": 256}, batch_size=[16, 32])
    narrow = space(optimizer=["adam"], units={"low": 8, "high": 64, "step": 8}, batch_size=[16, 32])
    earlier = proposals(wide, 200)[1:]
    expected = [
        flat
        for flat in earlier
        if flat["optimizer"] == "adam" and flat["units"] <= 64 and flat["units"] % 8 == 0
    ]
    assert fitting(narrow, earlier, 200) == expected
    assert expected


def test_the_default_and_doubles_do_not_count():
    of = space()
    default, one, two, three = proposals(of, 4)
    assert fitting(of, [default, one, one, two, three], 2) == [one, two]
    assert fitting(of, [one], 0) == []


def test_a_plan_is_kept():
    of = space()
    first = fitting(of, proposals(of, 4, seed=5)[1:], 3)
    assert proposals(of, 4, sampler="qmc", first=first) == proposals(of, 4, sampler="qmc")
