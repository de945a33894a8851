"""``study compare``, and the same comparison in ``study show``, of rows that a test has made."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from tests.cli.conftest import on_a_terminal
from tests.cli.test_cli_confirm import FOUND
from tunelab.storage.confirmed import Finalist
from tunelab.storage.openings import note_opening, store_scores
from tunelab.storage.rungs import RungLimits
from tunelab.storage.states import EndReason
from tunelab.storage.studies import update_study
from tunelab.storage.trials import CONFIRM, NewTrial, insert_trials, study_trials
from tunelab.training.monitor import Signal


def found(mean, half_width=0.003, pick=1):
    """What a confirm stage came to whose pick has this mean."""
    ranked = (Finalist(pick, mean, half_width, 3, True, 100), *FOUND.ranked[2:])
    return replace(FOUND, ranked=ranked, pick=pick, best=1)


def confirm(maker, study, confirmation):
    with maker.database.write() as connection:
        update_study(connection, study.id, confirmed=confirmation and confirmation.to_json())


@pytest.fixture
def generations(maker):
    """Two: the second with one trial more, another learning rate limit and a better best trial."""
    first = maker.study(2)
    maker.train(first, [0.9, 0.142], EndReason.COMPLETED, Signal.UNFINISHED)
    maker.train(first, [0.8, 0.2], EndReason.EARLY_STOPPED, Signal.OVERFITTING)
    first = maker.finish(first)
    second = maker.study(3, seed=5)
    maker.train(second, [0.9, 0.15], EndReason.COMPLETED, Signal.UNFINISHED)
    maker.train(second, [0.8, 0.1, 0.12], EndReason.EARLY_STOPPED, Signal.PLATEAU)
    maker.train(second, [0.9], EndReason.PRUNED, Signal.LEARNING)
    return first, maker.finish(second)


def table(out):
    head, *rows = (line.split("\t") for line in out.splitlines())
    assert all(len(row) == len(head) for row in rows)
    return head, {row[0]: row[1:] for row in rows}


def test_in_a_pipe_everything_stands_in_full(call, maker, generations):
    for study, mean in zip(generations, (0.16, 0.1), strict=True):
        confirm(maker, study, found(mean))
    with maker.database.write() as connection:
        new = NewTrial(0, {"units": 2}, {}, 7, RungLimits(), CONFIRM, confirms=1, repeat=0)
        insert_trials(connection, generations[1].id, [new])
        (run,) = study_trials(connection, generations[1].id, kind=CONFIRM)
        key = note_opening(
            connection, study_id=generations[1].id, trial_id=run.id, test_digest="t", reason="r"
        )
        store_scores(connection, key, {"loss": 0.11, "accuracy": 0.97, "rows": 360})
    ended = call("study", "compare", "digits")
    assert (ended.code, ended.err) == (0, "")
    head, rows = table(ended.out)
    assert head == ["what", "digits#1", "digits#2"]
    assert (rows["state"], rows["finished"]) == (["finished"] * 2, ["2", "3"])
    assert (rows["best"], rows["best_trial"]) == (["0.142", "0.1"], ["0", "1"])
    assert (rows["pick"], rows["confirmed"]) == (["1", "1"], ["0.16", "0.1"])
    assert rows["test_accuracy"] == ["", "0.97"]
    assert (rows["pruned"], rows["verdict_plateau"]) == (["0", "1"], ["0", "1"])
    assert (rows["epochs"], rows["seconds"]) == (["4", "6"], ["1872.0", "1872.0"])
    # 0.1 - 0.16 with 0.003 on both sides: sqrt(2) * 0.003 = 0.0042
    assert float(rows["difference"][1]) == pytest.approx(-0.06)
    assert float(rows["difference_half_width"][1]) == pytest.approx(math.sqrt(2) * 0.003)
    assert rows["within_noise"] == ["", "no"]
    assert rows["hyperparameter.units"] == ["2", "2"]
    assert (rows["study_file.search.trials"], rows["study_file.search.seed"]) == (
        ["2", "3"], ["0", "5"],
    )  # fmt: skip
    assert not any(name.startswith("study_file.space") for name in rows)


def test_on_a_terminal_the_verdict_is_a_sentence_and_what_differs_is_marked(maker, generations):
    confirm(maker, generations[0], found(0.1))
    confirm(maker, generations[1], found(0.102, pick=0))
    lines = on_a_terminal(100, "study", "compare", "digits")
    assert max(map(len, lines)) <= 100
    text = "\n".join(lines)
    assert lines[0].split() == ["digits", "#1", "digits", "#2"]
    (means,) = (line for line in lines if line.startswith("confirmed mean"))
    assert means.split()[2:] == ["0.1000", "±", "0.0030", "0.1020", "±", "0.0030"]
    # sqrt(2) * 0.003 = 0.0042
    assert (
        "vs      digits #2 against digits #1: +2 % over fresh seeds (+0.002 ± 0.0042): within noise"
    ) in text
    assert any(line.split() == ["≠", "units", "2", "1"] for line in lines)
    assert any(line.split() == ["optimizer", "adam", "adam"] for line in lines)
    assert any(line.split() == ["search.seed", "0", "5"] for line in lines)


def test_names_stand_above_their_values_where_the_terminal_is_narrow(maker, generations):
    lines = on_a_terminal(36, "study", "compare", "digits")
    place = lines.index("search's best")
    assert lines[place + 1 : place + 3] == [
        "  digits #1  0.142 (trial 0)",
        "  digits #2  0.1 (trial 1)",
    ]
    assert max(map(len, lines)) <= 36


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, "digits #1 has no confirm stage behind it"),
        ({"data_digest": "other"}, "the data, or their split, differ"),
        ({"metric": "accuracy"}, "the metrics differ: validation_loss and accuracy"),
        ({"half_width": None}, "one seed alone says nothing about chance"),
        ({"pick": None}, "no finalist of digits #1 completed with every seed"),
    ],
)
def test_what_cannot_be_compared_is_said(call, maker, generations, change, reason):
    first, second = generations
    confirm(maker, second, found(0.1))
    with maker.database.write() as connection:
        if "data_digest" in change:
            update_study(connection, first.id, **change)
        if "metric" in change:
            spec = {**first.spec, "objective": {"metric": "accuracy"}}
            update_study(connection, first.id, spec=spec)
    if "half_width" in change:
        confirm(maker, first, found(0.1, half_width=None))
    if "pick" in change:
        confirm(maker, first, replace(found(0.1), pick=None))
    _, rows = table(call("study", "compare", "digits").out)
    assert rows["not_compared"] == ["", reason]
    assert (rows["difference"], rows["within_noise"]) == (["", ""], ["", ""])
    if not change:
        text = "\n".join(on_a_terminal(120, "study", "compare", "digits"))
        assert f"cannot be compared: {reason}" in text


@pytest.mark.parametrize(
    ("loss", "reason"),
    [
        ("squared_error", None),  # what a regression trains with anyway
        ("absolute_error", "the losses differ: absolute_error and squared_error"),
    ],
)
def test_losses_are_compared_by_what_they_are(call, maker, generations, loss, reason):
    for study, objective in zip(generations, ({}, {"loss": loss}), strict=True):
        data = {"source": "sklearn", "name": "diabetes"}
        spec = {**study.spec, "task": "regression", "data": data, "objective": objective}
        with maker.database.write() as connection:
            update_study(connection, study.id, spec=spec)
        confirm(maker, study, found(0.1))
    document = json.loads(call("study", "compare", "digits", "--json").out)
    assert document["differences"][0]["reason"] == reason


def test_as_json_it_is_one_document(call, maker, generations):
    confirm(maker, generations[0], found(0.1))
    confirm(maker, generations[1], found(0.2))
    document = json.loads(call("study", "compare", "digits#2", "digits#1", "--json").out)
    assert document["schema"] == 1
    assert [study["generation"] for study in document["studies"]] == [2, 1]
    assert document["studies"][0]["result"]["number"] == 1
    (difference,) = document["differences"]
    assert (difference["study"], difference["against"]) == ("digits#1", "digits#2")
    assert difference["difference"] == pytest.approx(-0.1)
    assert (difference["within_noise"], difference["better"]) == (False, True)
    assert document["study_files"]["search.seed"] == [5, 0]


def test_more_is_better_where_it_is_maximised(call, maker, generations):
    for study, mean in zip(generations, (0.8, 0.9), strict=True):
        with maker.database.write() as connection:
            spec = {**study.spec, "objective": {"metric": "accuracy"}}
            update_study(connection, study.id, spec=spec)
        confirm(maker, study, found(mean))
    document = json.loads(call("study", "compare", "digits", "--json").out)
    assert document["differences"][0]["better"] is True


@pytest.mark.parametrize(
    ("names", "code", "said"),
    [
        (["digits#1"], 2, "digits #1 has no earlier generation to be compared with"),
        (["digits", "digits#2"], 2, "digits #2 is named twice"),
        (["digits", "digit"], 3, "no study 'digit'"),
        ([], 2, "missing argument"),
    ],
)
def test_what_cannot_be_meant_is_refused(call, generations, names, code, said):
    ended = call("study", "compare", *names)
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err.splitlines()[0]


def test_show_holds_the_result_against_the_default_and_the_generation_before(
    call, maker, generations
):
    lines = call("study", "show", "digits").out.splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("vs "))
    assert lines[place : place + 2] == [
        "vs      default configuration (trial 0) 0.15: -33 %",
        "        digits #1 0.142: -30 % (in the search alone)",
    ]
    confirm(maker, generations[0], found(0.12))
    confirm(maker, generations[1], found(0.121, pick=2))
    lines = call("study", "show", "digits").out.splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("vs "))
    assert lines[place : place + 2] == [
        # (0.121 - 0.15) / 0.15, which the stage calls beyond chance
        "vs      the pick, trial 2, against default configuration (trial 0) confirmed 0.15: -19 %",
        "        the pick, trial 2, against digits #1 confirmed 0.12: +0.83 % (within noise)",
    ]
    assert "tunelab study compare digits" in lines[-1]
    assert "tunelab study trials digits#1" in call("study", "show", "digits#1").out
    with maker.database.write() as connection:
        update_study(connection, generations[0].id, data_digest="other")
    assert (
        "        digits #1: the data, or their split, differ\n"
        in call("study", "show", "digits").out
    )


def test_generations_that_share_their_seeds_are_compared_seed_by_seed(call, maker, generations):
    third = maker.study(2)
    maker.train(third, [0.9, 0.2], EndReason.COMPLETED, Signal.UNFINISHED)
    maker.train(third, [0.9, 0.3], EndReason.COMPLETED, Signal.UNFINISHED)
    third = maker.finish(third)
    for study, mean, least in ((generations[0], 0.12, 0.003), (third, 0.13, 0.004)):
        confirm(maker, study, replace(found(mean), least_margin=least))
    names = (generations[0].reference, third.reference)
    (known,) = json.loads(call("study", "compare", *names, "--json").out)["differences"]
    assert known["by_seed"]
    assert known["half_width"] == pytest.approx(math.sqrt((0.003**2 + 0.004**2) / 2))
    assert not known["within_noise"]
    shown = " ".join("\n".join(on_a_terminal(100, "study", "compare", *names)).split())
    assert "over fresh seeds, one by one (+0.01 ± 0.0035)" in shown


def test_every_terminal_gets_what_it_can_show(maker, generations):
    words = ["study", "compare", "digits"]
    plain = "\n".join(on_a_terminal(80, *words, TERM="dumb", NO_COLOR="", PYTHONIOENCODING="ascii"))
    assert plain.isascii()
    assert "\x1b" not in plain
    assert "\x1b[1m" in "\n".join(on_a_terminal(80, *words, NO_COLOR=""))
