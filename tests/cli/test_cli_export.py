"""``study export`` and `tunelab.load_study`: what other programs get, on a small database."""

from __future__ import annotations

import csv
import io
import json

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

import tunelab
from tests.cli.conftest import PRUNED, mapping
from tests.cli.test_cli_confirm import confirmed  # noqa: F401 - a fixture
from tests.tuning.test_suggestions import complete_spaces, values_of
from tunelab.errors import NotFoundError
from tunelab.service.fixed_study import space_of
from tunelab.service.resolved_space import count_searched
from tunelab.service.spreadsheet import csv_text
from tunelab.spec.study import StudySpec
from tunelab.spec.study_file import read_study_file
from tunelab.storage.rungs import RungLimits
from tunelab.storage.states import EndReason
from tunelab.storage.studies import create_study
from tunelab.storage.trials import NewTrial, insert_trials, study_trials
from tunelab.tuning.optuna_study import OptunaStudy


def read_csv(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_csv_has_a_row_a_trial_with_numbers_in_full(call, digits):
    ended = call("study", "export", "digits", "--csv", "-")
    assert (ended.code, ended.err) == (0, "")
    rows = read_csv(ended.out)
    assert [row["number"] for row in rows] == ["0", "1", "2", "3", "4", "5"]
    assert rows[1]["value"] == "0.0816"
    assert (rows[1]["end_reason"], rows[1]["verdict"]) == ("early_stopped", "overfitting")
    assert (rows[2]["end_reason"], rows[2]["reason"]) == ("pruned", PRUNED)
    assert (rows[5]["state"], rows[5]["value"], rows[5]["reason"]) == ("waiting", "", "")
    assert [row["units"] for row in rows] == ["1", "2", "4", "8", "16", "32"]


def test_csv_leaves_nothing_to_compute():
    """Quotes as in RFC 4180; formulas as texts; no control characters in any cell."""
    cells = ["=1+1", "+x", "-x", "@x", "  =x", "＝x", "\t=x", "a\r\nb", 'say "a,b"', "\x1b[2J"]
    text = csv_text(["a"] * 11, [[*cells, -0.5]])
    _, read = csv.reader(io.StringIO(text, newline=""))
    assert read == [
        "'=1+1", "'+x", "'-x", "'@x", "'  =x", "'＝x", "\\t=x", "a\\r\\nb", 'say "a,b"',
        "\\x1b[2J", "-0.5",
    ]  # fmt: skip


def test_json_has_everything(call, home, confirmed):  # noqa: F811
    ended = call("study", "export", "digits", "--json", "all.json")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == "wrote digits#1 with all curves to all.json\n"
    document = json.loads((home / "all.json").read_text())
    assert (document["schema"], document["study"]["best"]["number"]) == (1, 1)
    assert document["study_file"]["search"]["max_epochs"] == 30
    assert [len(trial["curve"]) for trial in document["trials"]] == [3, 4, 2, 2, 1, 0]
    assert document["trials"][1]["curve"][2]["validation_loss"] == 0.0816
    assert [(run["confirms"], run["repeat"]) for run in document["confirm_runs"]] == [(2, 1)]


def test_a_fixed_study_file_is_the_picks_where_there_is_one(call, home, confirmed):  # noqa: F811
    """Trial 2 is picked, trial 1 is the search's best."""
    assert call("study", "export", "digits", "--yaml", "best", "best.yaml").code == 0
    text = (home / "best.yaml").read_text()
    assert text.startswith(
        "# Trial 2 of digits #1, every hyperparameter fixed.\n"
        "# In the search: validation_loss 0.06 at epoch 2.\n"
        "# Over 3 fresh seeds: 0.08402 ± 0.0021.\n"
    )
    spec = read_study_file(home / "best.yaml").spec
    assert (spec.name, spec.search.trials, spec.sweep) == ("digits-trial-2", 1, None)
    space = YAML(typ="safe").load(text)["space"]
    assert space["units"] == 4
    assert space["optimizer"] == {"adam": {"learning_rate": 0.0029}}
    assert count_searched(spec.resolve(1000).search_space)[0] == 0


def test_a_fixed_study_file_of_any_trial_goes_to_standard_output(call, digits):
    out = call("study", "export", "digits", "--yaml", "3").out
    assert "name: digits-trial-3\n" in out
    assert "units: 8\n" in out
    best = call("study", "export", "digits", "--yaml", "best").out
    assert "name: digits-trial-1\n" in best


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_every_configuration_can_be_fixed(data):
    """Whatever a space proposes: the study file of it has that one configuration."""
    space = data.draw(complete_spaces())
    found = space.configure(lambda name, dimension: data.draw(values_of(dimension)))
    fixed = space_of(found)
    spec = StudySpec.from_mapping({**mapping(), "space": fixed.to_mapping()}).resolve(1_000_000)
    again = spec.search_space.configure(lambda name, dimension: only(dimension))
    assert again.to_flat() == found.to_flat()


def only(dimension):
    return dimension.value  # of a `Fixed`; anything else has none


def test_several_go_at_once_and_nothing_is_replaced(call, home, digits):
    words = ["--csv", "a.csv", "--json", "a.json", "--yaml", "best", "a.yaml"]
    ended = call("study", "export", "digits", *words)
    assert ended.code == 0
    assert sorted(path.name for path in home.glob("a.*")) == ["a.csv", "a.json", "a.yaml"]
    (home / "a.json").unlink()
    before = (home / "a.csv").read_bytes()
    again = call("study", "export", "digits", *words)
    assert (again.code, again.err.splitlines()[0]) == (2, "error: a.csv exists already")
    assert (home / "a.csv").read_bytes() == before
    assert not (home / "a.json").exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--json", "none/a.json"], 4),
        (["--json", "folder/../a.csv"], 2),
        (["--optuna", "no URL"], 2),
    ],
)
def test_of_several_none_is_written_where_one_is_refused(call, home, digits, words, code):
    (home / "folder").mkdir()
    assert call("study", "export", "digits", "--csv", "a.csv", *words).code == code
    assert not (home / "a.csv").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "say what to export: --csv FILE"),
        (["--csv", "-", "--json", "-"], 2, "two exports cannot both go to standard output"),
        (["--csv", "x", "--json", "x"], 2, "two exports cannot both go to x"),
        (["a.yaml"], 2, "a.yaml: a FILE at the end goes with --yaml best"),
        (["--yaml", "first"], 2, "--yaml: must be best or the number of a trial, got 'first'"),
        (["--yaml", "17"], 3, "no trial 17 in digits #1; its trials are 0 to 5"),
        (["--optuna", "o.db"], 2, "--optuna: this is not a database URL"),
        (["--csv", "no/such/folder.csv"], 4, "cannot write no/such/folder.csv"),
    ],
)
def test_what_cannot_be_exported_is_said(call, digits, words, code, said):
    ended = call("study", "export", "digits", *words)
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err.splitlines()[0]
    assert call("study", "show", "digits").code == 0


def test_a_study_without_a_result_has_no_best(call, maker):
    maker.study()
    ended = call("study", "export", "digits", "--yaml", "best")
    assert ended.code == 5
    assert "digits #1 has no completed trial yet" in ended.err


@pytest.fixture
def searched(maker):
    """A study of which each trial was proposed by Optuna."""
    spec = StudySpec.from_mapping(mapping(trials=4)).resolve(1000)
    search = OptunaStudy(spec.search_space, sampler="random", seed=1, maximize=False)
    with maker.database.write() as connection:
        study = create_study(
            connection, name="digits", spec=spec.to_mapping(), spec_hash="", data_digest="",
            data_path="x", baseline_loss=2.3, n_trials=4, timeout_seconds=None,
        )  # fmt: skip
        new = []
        for number in range(4):
            proposal = search.propose()
            flat = proposal.hyperparameters.to_flat()
            new.append(NewTrial(number, flat, proposal.sampler_state, 0, RungLimits()))
        insert_trials(connection, study.id, new)
    maker.train(study, [0.5, 0.3], EndReason.COMPLETED)
    maker.train(study, [0.5, 0.2], EndReason.EARLY_STOPPED)
    maker.train(study, [0.5], EndReason.PRUNED)
    return study


def test_an_optuna_database_is_written_and_replaced(call, home, searched):
    for _ in range(2):
        ended = call("study", "export", "digits", "--optuna", "sqlite:///optuna.db")
        assert (ended.code, ended.out) == (0, "")
        assert ended.err.startswith("wrote the Optuna study digits#1 to /")
    study = optuna.load_study(study_name="digits#1", storage="sqlite:///optuna.db")
    assert (study.best_trial.number, study.best_value) == (1, 0.2)
    assert study.trials[1].intermediate_values == {1: 0.5, 2: 0.2}
    words = ("--csv", "a.csv", "--optuna", "sqlite:///tunelab.db")
    refused = call("study", "export", "digits", *words)
    assert refused.code == 2
    assert "is no Optuna database" in refused.err
    assert not (home / "a.csv").exists()


def test_a_study_is_loaded_for_scripts(searched, maker):
    study = tunelab.load_study("digits")
    assert study.summary["best"]["number"] == 1
    assert [trial["value"] for trial in study.trials] == [0.3, 0.2, 0.5, None]
    assert [point["validation_loss"] for point in study.trial(1)["curve"]] == [0.5, 0.2]
    assert study.to_optuna().best_params == tunelab.load_study("digits#1").to_optuna().best_params
    assert study.to_optuna().best_trial.params == study.row(1).sampler_state["params"]
    with maker.database.read() as connection:
        assert study.rows == study_trials(connection, searched.id)
    with pytest.raises(NotFoundError, match="no study 'digit'"):
        tunelab.load_study("digit", "sqlite:///tunelab.db")
