"""The title of champion is taken by what is better on rows that neither was trained on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select, update

from tests.service.champions import Place, make_spec, network, write_rows
from tunelab.datasets import cache, load_training_data
from tunelab.datasets.cache import open_sealed
from tunelab.errors import NotFoundError, TunelabError, UsageError
from tunelab.execution.backends import NumpyBackend
from tunelab.service import champion as gate
from tunelab.service.champion import decide_champion
from tunelab.service.control import remove_study
from tunelab.service.models import find_model, list_models, promote
from tunelab.service.open_test import open_test
from tunelab.storage.checkpoints import delete_weights
from tunelab.storage.gate import GateDecision
from tunelab.storage.leases import acquire_lease, coordinator_lease
from tunelab.storage.models import (
    challenger,
    champion,
    champion_configuration,
    latest_model,
    read_bundle,
    reigns,
)
from tunelab.storage.openings import study_openings
from tunelab.storage.owners import Owner
from tunelab.storage.schema import open_database
from tunelab.storage.states import Executor
from tunelab.storage.studies import StudyRow, create_study, study_by_id, update_study
from tunelab.storage.tables import champions, models, trials
from tunelab.storage.trials import CONFIRM, study_trials
from tunelab.tuning.coordinator import Coordinator
from tunelab.tuning.optuna_study import OptunaStudy


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows")
    write_rows(path / "rows.csv", 500)
    return path


@pytest.fixture
def place(request: pytest.FixtureRequest, folder: Path) -> Iterator[Place]:
    kind = getattr(request, "param", "sqlite")
    database = open_database(request.getfixturevalue(f"{kind}_url"))
    yield Place(database, folder)
    database.close()


both_databases = pytest.mark.parametrize("place", ["sqlite", "postgresql"], indirect=True)


def conclude(place: Place, study: StudyRow) -> GateDecision:
    assert open_test(place.database, study.id) == []
    assert decide_champion(place.database, study.id) == []
    with place.database.read() as connection:
        row = study_by_id(connection, study.id)
    assert row.gate is not None
    decision = GateDecision.from_json(row.gate)
    assert decision.to_json() == dict(row.gate) | {"interval": decision.interval}
    return decision


def holder(place: Place, name: str = "leaving") -> int | None:
    with place.database.read() as connection:
        row = champion(connection, name)
    return None if row is None else row.generation


def n_openings(place: Place, study: StudyRow) -> int:
    with place.database.read() as connection:
        openings = study_openings(connection, study.id)
    assert all(opening.scores is not None for opening in openings)
    return len(openings)


@both_databases
def test_the_first_model_is_champion_and_a_better_one_takes_the_title(place, folder):
    spec = make_spec(folder / "rows.csv")
    first = place.confirmed(spec, n_epochs=1)
    decision = conclude(place, first)
    assert (decision.outcome, decision.against) == ("champion", None)
    assert decision.sentence.startswith("Champion: the first model of leaving with a test score")
    assert n_openings(place, first) == 1

    second = place.confirmed(spec, n_epochs=15)
    decision = conclude(place, second)
    assert (decision.outcome, decision.against) == ("champion", 1)
    assert decision.interval[0] > 0
    assert decision.improvement == pytest.approx(decision.champion_score - decision.score)
    assert decision.sentence.startswith("Champion: better than leaving #1 beyond chance: ")
    assert f"{decision.score:.4g} against {decision.champion_score:.4g}" in decision.sentence
    assert holder(place) == 2
    # The look at the test rows for the old champion is an opening, too.
    assert n_openings(place, second) == 2
    with place.database.read() as connection:
        last = study_openings(connection, second.id)[-1]
        assert [reign.generation for reign in reigns(connection, "leaving")] == [1, 2]
        assert champion_configuration(connection, "leaving", 0.0) is None
        assert champion_configuration(connection, "leaving", 1e12)["units"] == 16
    assert last.reason == "the champion leaving #1 is compared with leaving #2"
    assert last.scores["loss"] == pytest.approx(decision.champion_score)


@pytest.mark.parametrize("n_epochs", [1, 15])
def test_a_worse_or_an_equal_model_is_the_challenger(place, folder, n_epochs):
    spec = make_spec(folder / "rows.csv")
    conclude(place, place.confirmed(spec, n_epochs=15))
    decision = conclude(place, place.confirmed(spec, n_epochs=n_epochs))
    assert (decision.outcome, decision.against) == ("challenger", 1)
    assert decision.interval[0] <= 0
    assert decision.sentence.startswith("Challenger: not better than the champion leaving #1")
    assert holder(place) == 1
    with place.database.read() as connection:
        assert challenger(connection, "leaving").generation == 2


@pytest.mark.parametrize("metric", ["accuracy", "roc_auc"])
def test_the_score_is_that_of_the_trained_network_on_the_test_rows(place, folder, metric):
    spec = make_spec(folder / "rows.csv", objective={"metric": metric})
    study = place.confirmed(spec)
    decision = conclude(place, study)
    worse = conclude(place, place.confirmed(spec, n_epochs=1))
    # The bundle of the first generation, judged again, has the score of its network.
    assert worse.champion_score == pytest.approx(decision.score, abs=1e-6)
    assert worse.score < decision.score


def test_a_bundle_predicts_raw_rows_as_the_trained_network_does(place, folder):
    spec = make_spec(folder / "rows.csv")
    study = place.confirmed(spec)
    conclude(place, study)
    data = place.prepare(spec)
    sealed = open_sealed(data)
    flat, weights = network(data.path, 15, 1)
    expected = NumpyBackend().predict(flat, weights, cache.test_data(data, sealed))
    _, _, model = find_model(place.database, "leaving", None)
    predicted = model.predict({column.name: column.values for column in sealed.columns})
    given = np.stack([predicted[f"probability_{name}"] for name in data.class_names], axis=1)
    assert len(given) > 100
    np.testing.assert_allclose(given, expected, rtol=0, atol=1e-6)


def test_regression_is_compared_in_the_units_of_the_newcomer(place, folder):
    write_rows(folder / "amounts.csv", 400, regression=True)
    spec = make_spec(folder / "amounts.csv", name="amount", task="regression")
    first = conclude(place, place.confirmed(spec, n_epochs=15))
    again = conclude(place, place.confirmed(spec, n_epochs=15))
    assert again.outcome == "challenger"
    assert again.champion_score == pytest.approx(first.score, rel=1e-5)
    assert again.score == pytest.approx(first.score, rel=1e-5)


# What cannot be compared


def test_rows_that_were_added_under_hash_leave_the_champion_comparable(place, folder):
    spec = make_spec(folder / "rows.csv")
    conclude(place, place.confirmed(spec, n_epochs=1))
    text = (folder / "rows.csv").read_text().splitlines()
    write_rows(folder / "more.csv", 300, seed=9)
    more = (folder / "more.csv").read_text().splitlines()[1:]
    (folder / "refreshed.csv").write_text("\n".join([*text, *more]) + "\n")
    refreshed = make_spec(folder / "refreshed.csv")
    decision = conclude(place, place.confirmed(refreshed, n_epochs=15))
    assert (decision.outcome, decision.against) == ("champion", 1)
    # The rows by which they were compared: none of them was in the champion's training.
    trained = load_training_data(place.prepare(spec))
    rows = cache.test_data(place.prepare(spec), open_sealed(place.prepare(refreshed)))
    of_training = {row.tobytes() for row in np.asarray(trained.x_train)}
    assert not of_training & {row.tobytes() for row in rows.x_validation}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"data": {"split": {"method": "stratified", "test": 0.3}}}, "the data have changed"),
        ({"data": {"split": {"method": "hash", "seed": 4, "test": 0.3}}}, "data.split.seed was 0"),
        ({"data": {"split": {"method": "hash", "test": 0.4}}}, "data.split.test was 0.3 and is"),
        ({"data": {"drop": ["color"]}}, "it has other columns"),
        ({"data": {"target": "color", "drop": ["left"]}}, "it has other columns"),
        ({"objective": {"metric": "accuracy"}}, "it has another objective"),
    ],
)
def test_what_cannot_be_compared_leaves_the_champion_and_says_why(place, folder, change, reason):
    conclude(place, place.confirmed(make_spec(folder / "rows.csv"), n_epochs=1))
    study = place.confirmed(make_spec(folder / "rows.csv", **change))
    decision = conclude(place, study)
    assert (decision.outcome, decision.against) == ("not_compared", 1)
    start = f"Not compared with the champion leaving #1, which stays: {reason}"
    assert decision.sentence.startswith(start)
    assert holder(place) == 1
    assert n_openings(place, study) == 1  # nobody has looked


def test_a_smaller_test_share_under_hash_is_a_part_of_the_rows_that_were_test_before(place, folder):
    conclude(place, place.confirmed(make_spec(folder / "rows.csv"), n_epochs=1))
    smaller = {"split": {"method": "hash", "test": 0.2, "validation": 0.2}}
    decision = conclude(place, place.confirmed(make_spec(folder / "rows.csv", data=smaller)))
    assert decision.outcome == "champion"


def test_a_damaged_champion_is_not_compared_and_no_damaged_model_is_promoted(place, folder):
    spec = make_spec(folder / "rows.csv")
    conclude(place, place.confirmed(spec))
    with place.database.write() as connection:
        (arrays,) = connection.scalars(select(models.c.arrays)).all()
        broken = bytes(arrays[:-200]) + bytes(200)
        connection.execute(update(models).values(arrays=broken))
    decision = conclude(place, place.confirmed(spec))
    assert decision.outcome == "not_compared"
    assert "its stored copy cannot be used: the model cannot be read" in decision.sentence
    with pytest.raises(TunelabError, match="leaving #1: the model cannot be read"):
        find_model(place.database, "leaving", None)
    promote(place.database, "leaving", 2, "the other is broken")
    with pytest.raises(TunelabError, match="leaving #1: the model cannot be read"):
        promote(place.database, "leaving", 1, "back")
    assert holder(place) == 2


def test_without_a_test_score_nobody_becomes_champion(place, folder, monkeypatch):
    study = place.confirmed(make_spec(folder / "rows.csv"))
    monkeypatch.setattr("tunelab.service.open_test.has_sealed", lambda _: False)
    open_test(place.database, study.id)
    assert decide_champion(place.database, study.id) == []
    assert holder(place) is None
    _, history = list_models(place.database)
    assert history == {"leaving": []}
    with place.database.read() as connection:
        gate_of = GateDecision.from_json(study_by_id(connection, study.id).gate)
        assert challenger(connection, "leaving").generation == 1
    assert gate_of.outcome == "not_compared"
    assert gate_of.sentence == "Not compared: the pick has no test score; there is no champion"
    with pytest.raises(NotFoundError, match="leaving has no champion"):
        find_model(place.database, "leaving", None)
    assert find_model(place.database, "leaving", 1)[0].generation == 1


def test_a_run_without_weights_gives_no_model_and_one_sentence(place, folder):
    study = place.confirmed(make_spec(folder / "rows.csv"))
    with place.database.write() as connection:
        (run,) = study_trials(connection, study.id, kind=CONFIRM)
        delete_weights(connection, run.id)
    (said,) = decide_champion(place.database, study.id)
    assert said == "there is no model of the pick: confirm run 0 has no weights"


# Deaths, races, repetition


@both_databases
def test_whoever_dies_before_the_end_leaves_nothing_and_the_next_does_it_once(
    place, folder, monkeypatch
):
    spec = make_spec(folder / "rows.csv")
    conclude(place, place.confirmed(spec, n_epochs=1))
    study = place.confirmed(spec, n_epochs=15)
    open_test(place.database, study.id)
    for step in ("store_model", "crown", "update_study"):
        whole = getattr(gate, step)

        def dies(*given, whole=whole, **named):
            whole(*given, **named)
            raise KeyboardInterrupt

        monkeypatch.setattr(gate, step, dies)
        with pytest.raises(KeyboardInterrupt):
            decide_champion(place.database, study.id)
        monkeypatch.setattr(gate, step, whole)
        with place.database.read() as connection:
            assert latest_model(connection, study.id) is None
            assert study_by_id(connection, study.id).gate is None
        assert holder(place) == 1
    assert decide_champion(place.database, study.id) == []
    assert holder(place) == 2
    before = n_openings(place, study)
    assert decide_champion(place.database, study.id) == []  # done is done
    assert n_openings(place, study) == before
    with place.database.read() as connection:
        assert len(connection.execute(select(champions)).all()) == 2


def test_a_title_that_changes_hands_meanwhile_is_fought_for_again(place, folder, monkeypatch):
    spec = make_spec(folder / "rows.csv")
    conclude(place, place.confirmed(spec, n_epochs=1))
    conclude(place, place.confirmed(spec, n_epochs=1, seed=2))
    study = place.confirmed(spec, n_epochs=15)
    open_test(place.database, study.id)
    compared, whole = [], gate.compare_models

    def meanwhile(new, old, rows):
        if not compared:
            promote(place.database, "leaving", 2 if holder(place) == 1 else 1, "meanwhile")
        compared.append(old.document["generation"])
        return whole(new, old, rows)

    first = holder(place)
    monkeypatch.setattr(gate, "compare_models", meanwhile)
    decide_champion(place.database, study.id)
    assert compared == [first, 3 - first]
    assert holder(place) == 3


@both_databases
def test_two_generations_that_end_together_leave_one_champion(place, folder):
    spec = make_spec(folder / "rows.csv")
    studies = [place.confirmed(spec, n_epochs=n) for n in (15, 1)]
    for study in studies:
        open_test(place.database, study.id)
    threads = [
        threading.Thread(target=decide_champion, args=(place.database, study.id))
        for study in studies
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Whoever was first, the better one holds the title in the end.
    assert holder(place) == 1
    with place.database.read() as connection:
        assert all(study_by_id(connection, study.id).gate for study in studies)


def test_confirming_again_decides_again_and_keeps_who_was_champion(place, folder):
    spec = make_spec(folder / "rows.csv")
    study = place.confirmed(spec)
    conclude(place, study)
    from tests.service.champions import confirmation

    with place.database.write() as connection:
        update_study(connection, study.id, confirmed=confirmation().to_json())
    decision = conclude(place, study)
    assert decision.sentence.startswith("Champion: it holds the title already")
    with place.database.read() as connection:
        assert len(reigns(connection, "leaving")) == 1


# By hand


@both_databases
def test_a_choice_by_hand_is_kept_with_its_reason_and_ends_with_the_generation(place, folder):
    spec = make_spec(folder / "rows.csv")
    for n_epochs in (15, 1):
        place.finish(study := place.confirmed(spec, n_epochs=n_epochs))
        conclude(place, study)
    assert promote(place.database, "leaving", None, "fewer inputs").generation == 2
    with pytest.raises(UsageError, match="leaving #2 is the champion already"):
        promote(place.database, "leaving#2", None, "")
    with pytest.raises(UsageError, match="names a generation, and so does 1"):
        promote(place.database, "leaving#2", 1, "")
    with place.database.read() as connection:
        last = reigns(connection, "leaving")[-1]
        assert (last.generation, last.chosen_by, last.reason) == (2, "hand", "fewer inputs")
    listed, _ = list_models(place.database, "leaving")
    assert [(one.model.generation, one.title) for one in listed] == [(2, "champion"), (1, "")]
    assert find_model(place.database, "leaving", None)[0].generation == 2
    remove_study(place.database, "leaving#2")
    assert holder(place) == 1
    with place.database.read() as connection:
        assert read_bundle(connection, champion(connection, "leaving").id).open()
    with pytest.raises(NotFoundError, match="no study 'leaving#2'"):
        promote(place.database, "leaving", 2, "")


# Sweeps


def test_a_generation_of_a_sweep_tries_the_champion_first_and_then_the_best(place, folder):
    free = {"layers": {"low": 1, "high": 3}, "units": {"low": 8, "high": 64}}
    spec = make_spec(folder / "rows.csv", sweep={"cron": "0 2 * * *"}, space=free)
    optuna = OptunaStudy(spec.search_space, sampler="random", seed=4, maximize=False)
    _, of_champion, best, later = (
        dict(optuna.propose().hyperparameters.to_flat()) for _ in range(4)
    )
    titled, other = place.confirmed(spec, n_epochs=15), place.confirmed(spec, n_epochs=1)
    for study in (titled, other):
        conclude(place, study)
    data = place.prepare(spec)
    with place.database.write() as connection:
        for study, flat, kind in ((titled, of_champion, CONFIRM), (other, best, "trial")):
            of_kind = (trials.c.study_id == study.id) & (trials.c.kind == kind)
            connection.execute(update(trials).where(of_kind).values(hyperparameters=flat))
        study = create_study(
            connection, executor=Executor.EXTERNAL, name=spec.name, spec=spec.to_mapping(),
            spec_hash="", data_digest=data.digest, data_path=str(data.path), baseline_loss=1.0,
            n_trials=5, timeout_seconds=None,
        )  # fmt: skip
        lease = acquire_lease(connection, coordinator_lease(study.id), Owner.this_process())
    # Who takes the title while it runs changes nothing for it.
    promote(place.database, "leaving", 2, "meanwhile")
    Coordinator(place.database, study, lease, n_workers=4).tick()
    with place.database.read() as connection:
        proposed = [row.hyperparameters for row in study_trials(connection, study.id)]

    def sizes(flat):
        return flat["layers"], flat["units"], pytest.approx(flat["learning_rate"])

    assert len(proposed) >= 3
    assert [sizes(flat) for flat in proposed[1:3]] == [sizes(of_champion), sizes(best)]
    assert sizes(later) not in [sizes(flat) for flat in proposed[:3]]


def test_generations_of_a_sweep_draw_what_those_before_have_not_and_train_with_the_same_seeds(
    place, folder
):
    free = {"layers": {"low": 1, "high": 3}, "units": {"low": 8, "high": 512}}
    spec = make_spec(folder / "rows.csv", sweep={"cron": "0 2 * * *"}, space=free)
    data = place.prepare(spec)

    def first_trials(executor):
        with place.database.write() as connection:
            study = create_study(
                connection, executor=executor, name="drawn", spec=spec.to_mapping(),
                spec_hash="", data_digest=data.digest, data_path=str(data.path),
                baseline_loss=1.0, n_trials=9, timeout_seconds=None,
            )  # fmt: skip
            lease = acquire_lease(connection, coordinator_lease(study.id), Owner.this_process())
        Coordinator(place.database, study, lease, n_workers=4).tick()
        with place.database.read() as connection:
            rows = study_trials(connection, study.id)
        return [row.hyperparameters for row in rows], [row.seed for row in rows]

    swept = [first_trials(Executor.EXTERNAL) for _ in range(3)]
    by_hand, _ = first_trials(Executor.LOCAL)
    configurations = [flat for flats, _ in swept for flat in flats[1:]]
    assert len(configurations) == 15
    assert all(configurations.count(flat) == 1 for flat in configurations)
    assert by_hand == swept[0][0]  # a study that a person starts repeats, as its seed says
    assert len({tuple(seeds) for _, seeds in swept}) == 1
