"""``matter`` and ``edges`` in ``study show``: drawn once, kept beside the database."""

from __future__ import annotations

import json
import random

import pytest

from tests.cli.conftest import mapping
from tunelab.service import learned as learned_module
from tunelab.spec.study import StudySpec
from tunelab.storage.leases import acquire_lease, coordinator_lease
from tunelab.storage.owners import Owner
from tunelab.storage.rungs import RungLimits
from tunelab.storage.states import EndReason, StudyState
from tunelab.storage.studies import create_study
from tunelab.storage.trials import NewTrial, insert_trials
from tunelab.tuning.optuna_study import OptunaStudy

SPACE = {
    "optimizer": "adam", "schedule": "constant", "layers": 1, "shape": "constant",
    "activation": "relu", "batch_norm": "off", "l2": 0.0, "batch_size": 32,
    "learning_rate": {"low": 1e-4, "high": 3e-2, "scale": "log"},
    "units": {"low": 16, "high": 512, "scale": "log"},
    "dropout_rate": {"low": 0.0, "high": 0.5},
}  # fmt: skip


@pytest.fixture
def searched(maker):
    """Thirty trials whose loss grows with dropout_rate, and with nothing else."""
    spec = StudySpec.from_mapping({**mapping(trials=30), "space": SPACE}).resolve(1000)
    search = OptunaStudy(spec.search_space, sampler="random", seed=1, maximize=False)
    with maker.database.write() as connection:
        study = create_study(
            connection, name="digits", spec=spec.to_mapping(), spec_hash="", data_digest="",
            data_path="x", baseline_loss=2.3, n_trials=30, timeout_seconds=None,
        )  # fmt: skip
        proposals = [search.propose() for _ in range(30)]
        new = [
            NewTrial(number, one.hyperparameters.to_flat(), one.sampler_state, 0, RungLimits())
            for number, one in enumerate(proposals)
        ]
        insert_trials(connection, study.id, new)
    noise = random.Random(0)
    for one in proposals:
        loss = 0.1 + one.hyperparameters.dropout_rate + noise.uniform(0, 0.001)
        maker.train(study, [loss], EndReason.COMPLETED)
    return study


def line(out, label):
    return next((text for text in out.splitlines() if text.startswith(f"{label} ")), None)


def test_what_mattered_and_what_lies_at_an_edge(call, maker, searched):
    maker.finish(searched)
    ended = call("study", "show", "digits")
    assert (ended.code, ended.err) == (0, "")
    matter = line(ended.out, "matter").split()
    assert matter[:2] == ["matter", "dropout_rate"]
    assert float(matter[2]) > 0.6
    assert matter[3] == "▇" * round(10 * float(matter[2]))
    edge = line(ended.out, "edges")
    assert edge.startswith("edges   ! dropout_rate best 0.0")
    assert edge.endswith("lies at its lower bound 0")


def test_it_is_drawn_once_and_anew_for_more_trials(call, maker, searched, home, monkeypatch):
    maker.finish(searched, StudyState.STOPPED)
    first = call("study", "show", "digits").out
    (kept,) = (home / ".tunelab" / "findings").iterdir()
    drawn = []
    real = learned_module._drawn
    monkeypatch.setattr(learned_module, "_drawn", lambda *given: drawn.append(1) or real(*given))
    assert call("study", "show", "digits").out == first
    assert drawn == []
    for damage in (
        "",
        "{}",
        '{"of": 1}',
        "[]",
        json.dumps({**json.loads(kept.read_text()), "edges": 3}),
    ):
        kept.write_text(damage)
        assert call("study", "show", "digits").out == first
    assert len(drawn) == 5
    document = json.loads(kept.read_text())
    kept.write_text(json.dumps({**document, "of": [*document["of"][:3], 29, ""]}))
    assert call("study", "show", "digits").out == first
    assert len(drawn) == 6
    assert call("study", "delete", "digits", "--yes").code == 0
    assert not kept.exists()


def test_a_study_that_runs_is_not_held_up(call, maker, searched, monkeypatch):
    monkeypatch.setattr(learned_module, "_drawn", lambda *given: pytest.fail("drawn"))
    with maker.database.write() as connection:
        acquire_lease(connection, coordinator_lease(searched.id), Owner.this_process())
    out = call("study", "show", "digits").out
    assert out.startswith("digits #1  running\n")
    assert line(out, "matter") is None


def test_a_folder_that_cannot_be_written_changes_nothing(call, maker, searched, home):
    maker.finish(searched)
    (home / ".tunelab").mkdir(exist_ok=True)
    (home / ".tunelab" / "findings").write_text("a file where the folder would be")
    ended = call("study", "show", "digits")
    assert ended.code == 0
    assert line(ended.out, "matter") is not None
