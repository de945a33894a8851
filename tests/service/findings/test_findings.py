"""What is found in studies whose truth was planted, and what is not claimed of too few trials."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.service.planted import SPACE, Fate, Planter, bowl
from tunelab.service.findings import read_findings
from tunelab.spec.study import StudySpec
from tunelab.spec.yaml_tree import read_tree
from tunelab.storage.states import EndReason
from tunelab.storage.studies import study_by_id, update_study


def findings_of(planter, fate):
    study = planter.grow(fate)
    with planter.database.read() as connection:
        return read_findings(connection, study)


def said(findings, text):
    (sentence,) = [sentence for sentence in findings.sentences if text in sentence]
    return sentence


def test_what_decided_comes_first_and_its_share_is_beyond_its_spread(database):
    found = findings_of(Planter(database, 80), lambda n, flat: Fate(bowl(flat)))
    first = found.importances[0]
    assert first.name == "learning_rate"
    assert first.share - 2 * first.spread > 1 / len(found.importances)
    assert sum(i.share for i in found.importances) == pytest.approx(1.0)
    assert said(found, "What mattered").startswith(
        "What mattered, as shares of the importance: learning_rate "
    )


def test_trials_that_were_pruned_count_behind_complete_ones(database):
    def fate(number, flat):
        # Small networks are pruned while they look best: their value is no result.
        small = flat["units"] < 90
        return Fate(0.1, EndReason.PRUNED) if small else Fate(1.0 + number * 1e-6)

    found = findings_of(Planter(database, 80), fate)
    assert found.importances[0].name == "units"


def test_nothing_is_claimed_of_few_trials(database):
    found = findings_of(Planter(database, 7), lambda n, flat: Fate(bowl(flat)))
    assert found.importances == ()
    assert found.edges == ()
    assert "cannot be told from 7 trials: 20 are needed" in said(found, "hyperparameter matters")
    assert "cannot be told from 7 complete trials: 10" in said(found, "edge of their range")
    assert "cannot be compared" in said(found, "The optimizers")
    assert "too few" in said(found, "the gap between")


def test_a_best_value_at_the_edge_gets_a_wider_range_that_a_study_takes(database):
    def fate(number, flat):
        return Fate(1.0 + abs(math.log(flat["units"] / 512)) + 0.001 * flat["dropout_rate"])

    planter = Planter(database, 60)
    (edge,) = findings_of(planter, fate).edges
    assert (edge.name, edge.side, edge.bound) == ("units", "upper", 512)
    assert (edge.support, edge.of) == (4, 6)  # 6 is a tenth of 60; all 4 have units > 362
    tree, flaws = read_tree(edge.suggested)
    assert not flaws
    wider = tree.plain()["space"]
    assert wider["units"]["low"] == 16
    assert wider["units"]["high"] == 2000
    mapping = planter.spec.to_mapping()
    mapping["space"] |= wider
    StudySpec.from_mapping(mapping)


def test_an_edge_of_what_is_possible_at_all_is_told_without_a_wider_range(database):
    found = findings_of(Planter(database, 60), lambda n, flat: Fate(1.0 + flat["dropout_rate"]))
    (edge,) = [edge for edge in found.edges if edge.name == "dropout_rate"]
    assert (edge.side, edge.bound, edge.suggested) == ("lower", 0.0, None)
    assert edge.sentence.endswith("and no value beyond it is possible")


@pytest.mark.parametrize("is_off", [False, True])
def test_no_direction_is_drawn_from_a_hyperparameter_that_is_off_in_some(database, is_off):
    planter = Planter(database, 24)
    for number, flat in enumerate(planter.flats):
        flat |= {"dropout_rate": 0.2, "units": 64, "layers": 2}
        flat["l2"] = 1e-3 if 3 <= number < 8 else 1e-5
    planter.flats[4]["l2"] = 0.0 if is_off else 1e-3

    def fate(number, flat):
        if number >= 12:
            return Fate(2.0, EndReason.PRUNED, "learning")
        return Fate(1 + number * 1e-4, signal="overfitting" if number < 3 else "plateau")

    steps = findings_of(planter, fate).next
    assert any(step.startswith("Try greater l2") for step in steps) is not is_off


@pytest.mark.parametrize(
    ("name", "side"), [("learning_rate", "lower"), ("momentum", "upper"), ("layers", "upper")]
)
def test_ranges_of_every_scale_grow_outwards_at_the_side_that_is_best(database, name, side):
    sign = 1.0 if side == "lower" else -1.0

    def fate(number, flat):
        if flat["optimizer"] != "nesterov":
            return Fate(50.0)
        value = flat[name]
        return Fate(sign * (math.log(value) if name == "learning_rate" else value) + 10)

    planter = Planter(database, 100)
    (edge,) = [edge for edge in findings_of(planter, fate).edges if edge.name == name]
    given = planter.spec.to_mapping()["space"]
    new = read_tree(edge.suggested)[0].plain()["space"]
    old = given[name] if name in given else given["optimizer"]["nesterov"][name]
    wider = new[name] if name in new else new["optimizer"]["nesterov"][name]
    end = "low" if side == "lower" else "high"
    other = "high" if side == "lower" else "low"
    assert sign * wider[end] < sign * old[end]
    assert wider[other] == old[other]


def test_an_inner_optimum_is_no_edge(database):
    found = findings_of(
        Planter(database, 80),
        lambda n, flat: Fate(
            1 + abs(math.log(flat["units"] / 90)) + 5 * abs(flat["dropout_rate"] - 0.25)
        ),
    )
    assert not [edge for edge in found.edges if edge.name in ("units", "dropout_rate")]


def test_what_overfitted_trials_have_in_common_is_found_with_its_numbers(database):
    planter = Planter(database, 80)
    wide = {n for n, flat in enumerate(planter.flats) if flat["units"] >= 200}

    def fate(number, flat):
        over = number in wide
        signal = "overfitting" if over else "plateau"
        return Fate(bowl(flat), signal=signal, gap=0.8 if over else 0.1)

    found = findings_of(planter, fate)
    overfit = found.overfit
    assert set(overfit.numbers) == wide
    assert overfit.sentence.startswith(
        f"Of 80 trials that ran to their end, {len(wide)} were found to overfit (trials "
    )
    assert (overfit.common.name, overfit.gap.name) == ("units", "units")
    assert overfit.common.sure
    assert overfit.common_sentence.startswith(
        f"{len(wide)} of the {len(wide)} overfitted trials have units >= "
    )
    assert f"against 0 of the {80 - len(wide)} that ran" in overfit.common_sentence
    assert any("Try fewer trials with units >= " in step for step in found.next)


def test_only_trials_that_ran_to_their_end_are_judged_and_their_curves_count_too(database):
    planter = Planter(database, 40)

    def fate(number, flat):
        if number in (0, 7):
            return Fate(0.5, signal="overfitting", gap=0.5)
        if number in (5, 13, 16):
            return Fate(0.5)
        if number == 33:
            return Fate(0.5, EndReason.PRUNED, "overfitting", n_epochs=10)
        if number % 4:
            return Fate(0.5, EndReason.PRUNED, "learning", n_epochs=20 if number == 1 else 10)
        return Fate(0.5)

    study = planter.grow(fate)
    with database.write() as connection:
        # After the best epoch, which is 9 of 12, the losses part.
        connection.exec_driver_sql(
            "UPDATE epochs SET validation_loss = validation_loss + 0.1 * (epoch - 9),"
            " train_loss = train_loss - 0.1 * (epoch - 9) WHERE epoch > 9 AND trial_id IN"
            " (SELECT id FROM trials WHERE number IN (0, 5, 13, 16, 6))"
        )
    with database.read() as connection:
        overfit = read_findings(connection, study).overfit
    assert overfit.numbers == (0, 7)
    assert overfit.widening == (5, 13, 16)
    n = overfit.n_judged
    assert overfit.sentence == (
        f"Of {n} trials that ran to their end, 2 were found to overfit (trials 0, 7), and 3 more "
        "were past their best epoch with a widening gap (trials 5, 13, 16). "
        f"{40 - n} were pruned, most at epoch 10: too early to judge, though the monitor had seen "
        "overfitting in trial 33"
    )


def test_what_overfitted_is_compared_with_the_best_that_did_not(database):
    planter = Planter(database, 24)
    for number, flat in enumerate(planter.flats):
        flat["dropout_rate"] = 0.4 if number in (3, 4, 5, 6, 7) else 0.1

    def fate(number, flat):
        if number >= 12:
            return Fate(2.0, EndReason.PRUNED, "learning")
        signal = "overfitting" if number < 3 else "plateau"
        return Fate(1 - flat["dropout_rate"] + number * 1e-4, signal=signal)

    found = findings_of(planter, fate)
    assert not found.overfit.common.sure
    assert (
        "Try greater dropout_rate, which is a hint and no proof: the best 5 trials that did not "
        "overfit have 0.4 in the median, those that did 0.1: "
        "3 of the 12 trials that ran to their end overfitted"
    ) in found.next


def test_an_edge_that_the_confirmed_pick_does_not_share_is_none(database):
    planter = Planter(database, 60)
    planter.grow(lambda n, flat: Fate(1.0 + 3 - flat["layers"] + 1e-4 * n))
    with database.read() as connection:
        (edge,) = [e for e in read_findings(connection, planter.study).edges if e.name == "layers"]
    assert (edge.side, edge.value) == ("upper", 3)
    number = next(n for n, flat in enumerate(planter.flats) if flat["layers"] == 1)
    found = planter.confirm(lambda n: 0.5, noise=0.1)  # all alike: the pick's are tied with it
    for pick, tied, is_edge in ((number, False, False), (number, True, True)):
        changed = replace(
            found,
            pick=pick,
            ranked=tuple(replace(entry, is_tied=tied) for entry in found.ranked),
        )
        with database.write() as connection:
            update_study(connection, planter.study.id, confirmed=changed.to_json())
        with database.read() as connection:
            study = study_by_id(connection, planter.study.id)
            edges = read_findings(connection, study).edges
        assert any(edge.name == "layers" for edge in edges) is is_edge


def test_overfitting_by_chance_has_no_cause_that_is_called_sure(database):
    generator = np.random.default_rng(1)
    over = set(generator.choice(60, 15, replace=False).tolist())
    found = findings_of(
        Planter(database, 60),
        lambda n, flat: Fate(bowl(flat), signal="overfitting" if n in over else "plateau"),
    )
    assert not found.overfit.common.sure
    assert "may be chance" in found.overfit.common_sentence


def test_failures_name_region_reason_and_trials(database):
    planter = Planter(database, 60)

    def fate(number, flat):
        if number == 5:
            return Fate(None, EndReason.FAILED, error="Traceback:\n  x\nValueError: <boom>")
        if flat["optimizer"] == "nesterov" and flat["learning_rate"] > 0.3:
            return Fate(None, EndReason.DIVERGED, "diverged", n_epochs=2)
        return Fate(bowl(flat))

    found = findings_of(planter, fate)
    failures = found.failures
    (region,) = failures.regions
    assert region.optimizer == "nesterov"
    assert region.diverged == region.above == len(failures.diverged) > 3
    assert region.lowest > 0.3
    assert failures.condition.name == "learning_rate"
    assert failures.errors == (("ValueError: <boom>", (5,)),)
    assert "1 of 60 trials failed: trial 5; most often (1): ValueError: <boom>" in found.sentences


def test_duplicates_and_saved_epochs_are_counted(database):
    planter = Planter(database, 12)
    planter.flats[7] = planter.flats[9] = planter.flats[3]

    def fate(number, flat):
        end = EndReason.PRUNED if number >= 10 else EndReason.EARLY_STOPPED
        return Fate(1.0 + number / 100, end, n_epochs=10)

    found = findings_of(planter, fate)
    assert found.duplicates.groups == ((3, 7, 9),)
    assert (found.duplicates.n_repeats, found.duplicates.spread) == (2, pytest.approx(0.06))
    saved = found.epochs_saved
    assert (saved.trained, saved.budget, saved.early_stopped, saved.pruned) == (120, 480, 300, 60)
    assert saved.sentence == (
        "Early ends saved 360 of 480 epochs (75 %): early stopping 300, pruning 60"
    )


def test_scores_that_are_to_grow_are_compared_the_other_way_round(database):
    def fate(number, flat):
        better = 0.2 if flat["optimizer"] == "adam" else 0.0
        return Fate(0.6 + better + 1e-4 * (number % 7))

    found = findings_of(Planter(database, 60, objective="accuracy"), fate)
    assert [result.name for result in found.optimizers] == ["adam", "nesterov"]
    adam, nesterov = found.optimizers
    assert adam.n_near == adam.n_trials
    assert nesterov.n_near == 0
    assert any("Leave out optimizers" in step and "nesterov" in step for step in found.next)


def test_a_study_without_trials_has_findings_that_say_so(database):
    planter = Planter(database, 1)
    with database.read() as connection:
        found = read_findings(connection, planter.study)
    assert found.overfit.sentence == (
        "No trial ran to its end, so none can be judged for overfitting"
    )
    assert found.next


def test_a_conditional_space_with_units_of_each_layer_has_findings(database):
    space = {**SPACE, "layers": 2, "units": [[16, 32, 64, 128], [16, 32, 64, 128]]}
    del space["shape"]
    planter = Planter(database, 60, space=space)
    found = findings_of(planter, lambda n, flat: Fate(500.0 - flat["units_2"]))
    (edge,) = [edge for edge in found.edges if edge.name == "units_2"]
    assert "256" in edge.suggested
