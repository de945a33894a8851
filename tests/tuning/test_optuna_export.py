"""A study in Optuna's form: what Optuna reads is what the rows say, in memory and in a database."""

from __future__ import annotations

import random
import time
from dataclasses import replace

import optuna
import pytest
from optuna.trial import TrialState as OptunaState

from tests.tuning.conftest import study_spec
from tests.tuning.test_optuna_study import row
from tunelab.errors import DatabaseError, UsageError
from tunelab.spec.sections import ObjectiveSpec
from tunelab.storage.foreign import foreign_database
from tunelab.storage.schema import open_database
from tunelab.storage.states import EndReason, TrialState
from tunelab.storage.trials import EpochRow
from tunelab.tuning.optuna_export import write_optuna
from tunelab.tuning.optuna_study import OptunaStudy
from tunelab.tuning.optuna_trials import optuna_study, optuna_trials

SPEC = study_spec()
OBJECTIVE = SPEC.objective
IDENTITY = {"name": "digits#1", "created_at": 1.5}
ENDS = [*EndReason, EndReason.COMPLETED, EndReason.EARLY_STOPPED]


def epoch(key, number, loss, score=None):
    return EpochRow(key, number, 0.0, 0.1, loss, 0.9, score, 0.01, 1.0, 0.1, "learning")


def made(n, n_epochs=3, space=SPEC.search_space):
    """Rows as a search leaves them, one running, one waiting at the end, and their curves."""
    generator = random.Random(7)
    search = OptunaStudy(space, sampler="random", seed=5, maximize=False)
    rows, curves = [], {}
    for number in range(n):
        end = ENDS[number % len(ENDS)]
        losses = [generator.uniform(0.1, 2.0) for _ in range(n_epochs)]
        value = None if end is EndReason.FAILED else min(losses)
        one = row(number, search.propose(), end, value, n_epochs)
        one = replace(
            one, signal="plateau", reason="r", best_epoch=2, gap=0.5,
            started_at=1_700_000_000.0 + number, ended_at=1_700_000_060.5 + number,
        )  # fmt: skip
        rows.append(one)
        curves[one.id] = [epoch(one.id, k, loss) for k, loss in enumerate(losses, start=1)]
    open_ones = [TrialState.RUNNING, TrialState.WAITING]
    for place, state in zip((-2, -1), open_ones, strict=True):
        rows[place] = replace(rows[place], state=state, end_reason=None, value=None, ended_at=None)
    return rows, curves


def facts(study):
    return [
        (
            trial.number, trial.state, trial.value, trial.params, trial.distributions,
            trial.intermediate_values, trial.user_attrs, trial.datetime_start,
            trial.datetime_complete,
        )
        for trial in study.trials
    ]  # fmt: skip


def test_optuna_sees_states_values_curves_and_what_it_proposed():
    rows, curves = made(9)
    study = optuna_study("digits#1", optuna_trials(rows, curves, OBJECTIVE), OBJECTIVE, {"a": 1})
    assert (study.study_name, study.user_attrs) == ("digits#1", {"a": 1})
    assert study.direction == optuna.study.StudyDirection.MINIMIZE
    # completed, early_stopped, pruned, diverged, failed, completed, early_stopped; open ones.
    assert [trial.state for trial in study.trials] == [
        OptunaState.COMPLETE, OptunaState.COMPLETE, OptunaState.PRUNED, OptunaState.PRUNED,
        OptunaState.FAIL, OptunaState.COMPLETE, OptunaState.COMPLETE, OptunaState.RUNNING,
        OptunaState.WAITING,
    ]  # fmt: skip
    for one, trial in zip(rows, study.trials, strict=True):
        assert trial.value == one.value
        assert trial.params == one.sampler_state["params"]
        losses = {point.epoch: point.validation_loss for point in curves[one.id]}
        assert trial.intermediate_values == losses
    first = study.trials[0]
    assert first.datetime_start.timestamp() == 1_700_000_000.0
    assert first.datetime_complete.timestamp() == 1_700_000_060.5
    assert (first.user_attrs["verdict"], first.user_attrs["best_epoch"]) == ("plateau", 2)


def test_what_optuna_has_no_value_of_is_an_attribute():
    """Fixed, on a grid of steps (dropout_rate 0.1), reversed (momentum), off (l2)."""
    rows, curves = made(40)
    seen = set()
    for one, trial in zip(rows, optuna_trials(rows, curves, OBJECTIVE), strict=True):
        flat = dict(one.hyperparameters)
        known = {name.rpartition(".")[2]: value for name, value in trial.params.items()}
        for name, value in flat.items():
            shown = trial.user_attrs.get(name, known.get(name.removeprefix("schedule.")))
            assert shown == value, name
        assert trial.user_attrs["dropout_rate"] == flat["dropout_rate"]
        seen |= set(trial.user_attrs) & {"momentum", "l2", "learning_rate"}
    assert seen == {"momentum", "l2"}


def test_a_score_is_reported_where_it_is_the_objective_and_numbers_alone():
    (one, *_), _ = made(3)
    curve = [epoch(one.id, 1, 0.5, 0.8), epoch(one.id, 2, 0.4, None), epoch(one.id, 3, 0.3, 0.9)]
    objective = ObjectiveSpec(metric="accuracy")
    (trial,) = optuna_trials([one], {one.id: curve}, objective)
    assert trial.intermediate_values == {1: 0.8, 3: 0.9}


def test_optunas_tools_work_on_it():
    rows, curves = made(30)
    study = optuna_study("s", optuna_trials(rows, curves, OBJECTIVE), OBJECTIVE, {})
    complete = [one for one in rows if one.end_reason and one.end_reason.is_complete]
    assert study.best_value == min(one.value for one in complete)
    importances = optuna.importance.get_param_importances(
        study, evaluator=optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.5)
    )
    assert set(importances) >= {"optimizer", "layers", "units"}
    study.sampler = optuna.samplers.RandomSampler(seed=0)
    study.ask()  # takes the waiting trial up


def write(url, rows, curves, identity=IDENTITY, name="digits#1"):
    database = foreign_database(url, "--optuna")
    write_optuna(database, name, optuna_trials(rows, curves, OBJECTIVE), OBJECTIVE, identity)


def test_a_database_holds_what_the_study_in_memory_has(tmp_path):
    rows, curves = made(20)
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    write(url, rows, curves)
    read = optuna.load_study(study_name="digits#1", storage=url)
    trials = optuna_trials(rows, curves, OBJECTIVE)
    assert facts(read) == facts(optuna_study("x", trials, OBJECTIVE, {}))
    assert read.user_attrs == {"tunelab": {"study": IDENTITY, "trials": 20}}
    assert [path.name for path in tmp_path.iterdir()] == ["optuna.db"]
    # Optuna goes on with it: the trial that waits first, then one of its own.
    assert [read.ask().number, read.ask().number] == [19, 20]


def test_a_server_holds_it_too(postgresql_url, request):
    url = request.getfixturevalue("postgresql").create()
    rows, curves = made(9)
    write(url, rows, curves)
    write(url, rows, curves)
    url = url.replace("postgresql://", "postgresql+psycopg://")
    read = optuna.load_study(study_name="digits#1", storage=url)
    trials = optuna_trials(rows, curves, OBJECTIVE)
    assert facts(read) == facts(optuna_study("x", trials, OBJECTIVE, {}))
    read._storage._backend.engine.dispose()


def test_the_same_study_is_replaced_and_everything_else_stays(tmp_path):
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    rows, curves = made(9)
    write(url, rows[:5], curves)
    write(url, rows[:7], curves, {"name": "other"}, "other#1")
    write(url, rows, curves)
    assert len(optuna.load_study(study_name="digits#1", storage=url).trials) == 9
    assert len(optuna.load_study(study_name="other#1", storage=url).trials) == 7
    with pytest.raises(UsageError, match="'digits#1' that is no export of this one"):
        write(url, rows, curves, {**IDENTITY, "created_at": 2.0})
    optuna.load_study(study_name="digits#1", storage=url).ask()
    optuna.load_study(study_name="digits#1", storage=url).ask()
    with pytest.raises(UsageError, match="trials have been added to"):
        write(url, rows, curves)
    assert len(optuna.load_study(study_name="digits#1", storage=url).trials) == 10
    optuna.create_study(study_name="mine", storage=url)
    with pytest.raises(UsageError, match="no export of this one"):
        write(url, rows, curves, name="mine")


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    rows, curves = made(9)
    trials = optuna_trials(rows, curves, OBJECTIVE)
    trials[5].user_attrs["odd"] = object()  # no JSON: found when the last table is written
    database = foreign_database(url, "--optuna")
    with pytest.raises(TypeError):
        write_optuna(database, "digits#1", trials, OBJECTIVE, IDENTITY)
    assert list(tmp_path.iterdir()) == []
    write(url, rows[:4], curves)
    with pytest.raises(TypeError):
        write_optuna(database, "digits#1", trials, OBJECTIVE, IDENTITY)
    assert len(optuna.load_study(study_name="digits#1", storage=url).trials) == 4


def test_a_database_of_something_else_is_left_alone(tmp_path):
    path = tmp_path / "tunelab.db"
    open_database(f"sqlite:///{path}").close()
    before = path.read_bytes()
    rows, curves = made(3)
    with pytest.raises(UsageError, match="is no Optuna database: it has other tables"):
        write(f"sqlite:///{path}", rows, curves)
    assert path.read_bytes() == before
    (tmp_path / "text").write_text("not a database, and long enough to be told from one" * 9)
    with pytest.raises(DatabaseError, match="file is not a database"):
        write(f"sqlite:///{tmp_path / 'text'}", rows, curves)


@pytest.mark.parametrize(
    "url", ["optuna.db", "mongo://host/x", "sqlite://", "sqlite:///:memory:", "", "http://a b"]
)
def test_what_is_no_database_url_is_refused_without_being_shown(url):
    with pytest.raises(UsageError, match="--optuna: "):
        foreign_database(url, "--optuna")


def test_passwords_are_not_shown():
    database = foreign_database("postgresql://me:secret@host/optuna", "--optuna")
    assert "secret" not in database.place
    assert "secret" in database.url


def test_many_trials_of_many_epochs_take_a_moment(tmp_path):
    rows, curves = made(200, n_epochs=30)
    before = time.process_time()
    write(f"sqlite:///{tmp_path / 'optuna.db'}", rows, curves)
    assert time.process_time() - before < 4.0  # Optuna's own add_trials takes 10
