"""The confirm stage on the command line: what is said, of rows that a test has made."""

from __future__ import annotations

import json

import pytest

from tunelab.storage.confirmed import Confirmation, Finalist
from tunelab.storage.openings import note_opening, store_scores
from tunelab.storage.rungs import RungLimits
from tunelab.storage.studies import update_study
from tunelab.storage.trials import CONFIRM, NewTrial, insert_trials, study_trials

FOUND = Confirmation(
    ranked=(
        Finalist(1, 0.08341, 0.00212, 3, True, 9994),
        Finalist(2, 0.08402, 0.00212, 3, True, 4100),
        Finalist(0, 0.15, 0.00212, 3, False, 26122),
    ),
    n_seeds=3,
    new_splits=3,
    pick=2,
    champion=0,
    best=1,
    best_value=0.0816,
    optimism=0.00181,
    default=0,
    default_margin=0.06598,
    beats_default=True,
    at=1000.0,
    least_margin=0.0045,
)


@pytest.fixture
def confirmed(maker, digits):
    """The study of `digits`, confirmed with one run that waits, and judged once."""
    flat = {"optimizer": "adam", "learning_rate": 0.1, "batch_size": 8}
    run = NewTrial(0, flat, {}, 7, RungLimits(), CONFIRM, confirms=2, repeat=1)
    with maker.database.write() as connection:
        insert_trials(connection, digits.id, [run])
        (row,) = study_trials(connection, digits.id, kind=CONFIRM)
        update_study(connection, digits.id, confirmed=FOUND.to_json())
        key = note_opening(
            connection,
            study_id=digits.id,
            trial_id=row.id,
            test_digest="t",
            reason="trial 2 is the pick",
        )
        store_scores(connection, key, {"loss": 0.0911, "accuracy": 0.9722, "rows": 360})
    return digits


def test_show_tells_what_the_result_is_worth(call, confirmed):
    lines = call("study", "show", "digits").out.splitlines()
    assert any(
        line.startswith(
            "best    trial 1  validation_loss 0.0816 (confirmed 0.0834 ± 0.0021 over 3 seeds)"
        )
        for line in lines
    )
    said = {line[:7].strip(): line[8:] for line in lines}
    assert said["winner"] == (
        "trial 2, better than the default configuration by 0.0660 ± 0.0045 seed by seed, "
        "beyond chance"
    )
    assert said["pick"] == (
        "trial 2  confirmed 0.0840 ± 0.0021 over 3 seeds  the smallest of 2 tied networks, 4,100 "
        "weights  trial 1 has the best mean"
    )
    assert said["tied"] == "Tied with the winner: trial 1"
    assert said["search"] == (
        "Optimism: 0.00181, the search's 0.0816 for trial 1 against 0.08341 over fresh seeds"
    )
    assert said["test"].startswith("loss 0.0911  accuracy 97.2 %  on 360 rows  opened once: ")
    assert said["test"].endswith(", trial 2 is the pick")


def test_an_opening_that_was_cut_off_is_shown(call, maker, confirmed):
    with maker.database.write() as connection:
        (row,) = study_trials(connection, confirmed.id, kind=CONFIRM)
        note_opening(
            connection, study_id=confirmed.id, trial_id=row.id, test_digest="t", reason="again"
        )
    out = call("study", "show", "digits").out
    assert "opened 2 times, the last: " in out
    shown = json.loads(call("study", "show", "digits", "--json").out)["confirmation"]
    assert [opening["scores"] is None for opening in shown["test_openings"]] == [False, True]
    assert shown["test"] == {"loss": 0.0911, "accuracy": 0.9722, "rows": 360}
    assert (shown["pick"], shown["tied"], shown["optimism"]) == (2, [1], 0.00181)
    assert shown["runs"] == {"finished": 0, "total": 1}


def test_before_its_end_the_stage_shows_how_far_it_is(call, maker, confirmed):
    with maker.database.write() as connection:
        update_study(connection, confirmed.id, confirmed=None)
    assert "confirm 0/1 runs\n" in call("study", "show", "digits").out


def test_trials_are_listed_by_kind(call, confirmed):
    assert len(json.loads(call("study", "trials", "digits", "--json").out)["trials"]) == 6
    listed = json.loads(call("study", "trials", "digits", "--kind", "confirm", "--json").out)
    ((run),) = listed["trials"]
    assert (run["kind"], run["number"], run["confirms"], run["repeat"]) == ("confirm", 0, 2, 1)
    head, row = call("study", "trials", "digits", "--kind", "confirm").out.splitlines()
    assert head.split("\t")[:4] == ["kind", "confirms", "repeat", "number"]
    assert row.split("\t")[:4] == ["confirm", "2", "1", "0"]
    assert len(call("study", "trials", "digits", "--kind", "all").out.splitlines()) == 8
    refused = call("study", "trials", "digits", "--kind", "both")
    assert (refused.code, refused.err.splitlines()[0]) == (
        2, "error: --kind: must be one of trial confirm all, got 'both'",
    )  # fmt: skip


def test_a_study_that_has_not_finished_is_not_confirmed(call, maker, digits):
    with maker.database.write() as connection:
        update_study(connection, digits.id, state="running")
    refused = call("study", "confirm", "digits", "--no-mirror")
    assert (refused.code, refused.err.splitlines()[0]) == (
        2,
        "error: digits #1 has not finished",
    )
    assert call("study", "confirm", "digits", "--seeds", "21").code == 2
