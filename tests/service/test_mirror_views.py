"""What people look at in MLflow: saved views, descriptions, links, data, files."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unicodedata import category

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from sqlalchemy import insert, update

from tests.service.conftest import running_study
from tunelab.datasets import prepare
from tunelab.service.dashboard import dashboard_url
from tunelab.service.links import CURVES, FAILURES, LEADERBOARD, VIEWS, runs_url
from tunelab.service.mirror.environment import tracking_uri
from tunelab.service.mirror.markdown import plain
from tunelab.spec.study import StudySpec
from tunelab.storage.confirmed import Confirmation, Finalist
from tunelab.storage.schema import open_database
from tunelab.storage.states import EndReason, StudyState, TrialState
from tunelab.storage.studies import StudyRow, mark_ended, study_by_id, update_study
from tunelab.storage.tables import epochs, trials

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from mlflow.entities import Run
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    from tunelab.service.mirror import run_files, views
    from tunelab.service.mirror.destination import Destination
    from tunelab.service.mirror.notes import LONGEST_NOTE, StudyNote
    from tunelab.service.mirror.projection import Projection
    from tunelab.service.mirror.tracking import Tracking

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")

START = 1_700_000_000.0
HOSTILE = (
    "=cmd|' /C calc'!A1 <script>alert(1)</script> [x](javascript:alert(1))\n| a | **b** \x1b[31m"
)
# How the trials end, and with which value: by number.
ENDS = (
    (EndReason.EARLY_STOPPED, 0.2, "overfitting", 0.3),
    (EndReason.PRUNED, 0.05, "learning", 0.1),
    (EndReason.COMPLETED, 0.1, "plateau", 0.02),
    (EndReason.DIVERGED, 0.01, "diverged", None),
    (EndReason.EARLY_STOPPED, 0.4, "plateau", 0.1),
    (EndReason.FAILED, None, None, None),
)


def spec_of(**given: Any) -> StudySpec:
    mapping = {
        "name": "digits",
        "task": "classification",
        "data": {"source": "sklearn", "name": "iris"},
        "search": {"max_epochs": 30, "trials": len(ENDS)},
        "confirm": "off",
        **given,
    }
    return StudySpec.from_mapping(mapping).resolve(1000)


SPEC = spec_of()


class Mirrored:
    """A study database, and MLflow beside it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.database = open_database(f"sqlite:///{place / 'tunelab.db'}")
        self.client = MlflowClient(tracking_uri())
        self.said: list[str] = []

    def study(self, spec: StudySpec = SPEC) -> StudyRow:
        """A study all of whose trials have ended."""
        study = running_study(self.database, spec, len(ENDS))
        for number, (end, value, signal, gap) in enumerate(ENDS):
            self.end_trial(study, number, end_reason=end, value=value, signal=signal, gap=gap)
        return study

    def end_trial(self, study: StudyRow, number: int, **values: Any) -> None:
        begin = START + 100 * number
        found = (trials.c.study_id == study.id) & (trials.c.number == number)
        given = {"reason": HOSTILE, "best_epoch": 2, "n_epochs": 3, "attempts": 1, **values}
        with self.database.write() as connection:
            key = connection.scalar(trials.select().with_only_columns(trials.c.id).where(found))
            rows = [
                {
                    "trial_id": key,
                    "epoch": epoch,
                    "recorded_at": begin + epoch,
                    "train_loss": 1 / epoch,
                    "validation_loss": 1 / epoch + 0.25,
                    "train_score": 0.9,
                    "validation_score": 0.8,
                    "learning_rate": 0.01,
                    "gradient_norm": 1.5,
                    "seconds": 0.5,
                    "signal": "learning",
                }
                for epoch in (1, 2, 3)
            ]
            connection.execute(insert(epochs), rows)
            state = {"state": TrialState.FINISHED, "started_at": begin, "ended_at": begin + 4}
            connection.execute(update(trials).where(found).values(**state, **given))

    def end_study(self, study: StudyRow) -> None:
        with self.database.write() as connection:
            state = StudyState.FINISHED
            mark_ended(connection, study.id, state, end_reason="done", running_seconds=1.0)

    def send(self, study: StudyRow) -> Projection:
        destination = Destination(
            self.database, study.id, Tracking(tracking_uri()), tell=self.said.append
        )
        projection = Projection(destination)
        while projection.run_pass():
            pass
        return projection

    def tags(self) -> dict[str, str]:
        return dict(self.client.get_experiment("1").tags)

    def state(self, view: str) -> dict[str, Any]:
        return views.unpacked(self.tags()[f"mlflow.sharedViewState.{view}"])

    def opened(self, view: str) -> list[Run]:
        """The runs as MLflow's page asks for them when the view is opened."""
        state = self.state(view)
        way = "ASC" if state["orderByAsc"] else "DESC"
        order = [f"{state['orderByKey']} {way}"]
        return list(self.client.search_runs(["1"], state["searchFilter"], order_by=order))

    def run(self, name: str) -> Run:
        (run,) = self.client.search_runs(["1"], f"attributes.run_name = '{name}'")
        return run

    def note(self, name: str) -> str:
        return str(self.run(name).data.tags["mlflow.note.content"])

    def files(self, name: str) -> dict[str, Path]:
        """Files of a run: path within the run -> where it is."""
        folder = self.place / "mlruns" / "1" / self.run(name).info.run_id / "artifacts"
        found = (path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): path for path in found}


@pytest.fixture
def mirrored(
    tracking_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Mirrored]:
    shutil.copy(tracking_database, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    mirrored = Mirrored(tmp_path)
    yield mirrored
    mirrored.database.close()


def cells(line: str) -> list[str]:
    """The cells of a line of a table."""
    return [cell.replace("&ensp;", "").strip() for cell in line.strip("|").split("|")]


def names(runs: list[Run]) -> list[str]:
    return [run.info.run_name for run in runs]


def test_views_are_stored_once_and_the_same_again(mirrored: Mirrored) -> None:
    study = mirrored.study()
    mirrored.send(study)
    before = mirrored.tags()
    assert {key for key in before if key.startswith("mlflow.sharedViewState.")} == {
        f"mlflow.sharedViewState.{view}" for view in VIEWS
    }
    mirrored.send(study)
    assert mirrored.tags() == before
    assert mirrored.said == []
    assert all(len(text) <= 5000 for text in before.values())


def test_each_view_finds_its_trials_and_names_what_they_have(mirrored: Mirrored) -> None:
    mirrored.send(mirrored.study())
    assert names(mirrored.opened(LEADERBOARD)) == ["trial-002", "trial-000", "trial-004"]
    assert names(mirrored.opened(CURVES)) == ["trial-002", "trial-000", "trial-004"]
    failures = mirrored.opened(FAILURES)
    assert names(failures) == ["trial-003", "trial-005", "trial-001"]  # diverged, failed, pruned
    best = mirrored.run("trial-002").data
    present = {"metrics": best.metrics, "params": best.params, "tags": best.tags}
    for view in VIEWS:
        for column in mirrored.state(view)["selectedColumns"]:
            kind, _, name = column.partition(".")
            assert name.strip("`") in present[kind], (view, column)
    columns = mirrored.state(LEADERBOARD)["selectedColumns"]
    assert columns[:5] == [
        "tags.`tunelab.generation`",
        "tags.`tunelab.verdict`",
        "tags.`tunelab.end_reason`",
        "metrics.`objective`",
        "metrics.`summary/accuracy`",
    ]
    losses, *others, parallel = mirrored.state(CURVES)["compareRunCharts"]
    # Of several metrics of a run, MLflow draws the first solid, the second dashed.
    assert losses["selectedMetricKeys"] == ["loss/train", "loss/validation"]
    assert losses["scaleType"] == "log"
    for card in (losses, *others):
        assert set(card["selectedMetricKeys"]) <= best.metrics.keys()
    axes = [*parallel["selectedParams"], *parallel["selectedMetrics"]]
    assert len(axes) == 5
    assert set(parallel["selectedMetrics"]) <= best.metrics.keys()
    assert set(parallel["selectedParams"]) <= best.params.keys()


def test_a_greater_objective_leads_where_greater_is_better(mirrored: Mirrored) -> None:
    spec = spec_of(objective={"metric": "accuracy"})
    mirrored.send(mirrored.study(spec))
    assert names(mirrored.opened(LEADERBOARD)) == ["trial-004", "trial-000", "trial-002"]


def test_a_space_without_choice_has_no_axes_and_one_of_all_kinds_fits_a_tag() -> None:
    fixed = {
        "optimizer": {"sgd": {"learning_rate": 0.1}},
        "schedule": {"constant": {}},
        "layers": 1,
        "units": 8,
        "shape": "constant",
        "activation": "relu",
        "batch_norm": "off",
        "dropout_rate": 0.0,
        "l2": 0.0,
        "batch_size": 32,
    }
    tags = views.view_tags(spec_of(space=fixed), 0)
    cards = views.unpacked(tags["mlflow.sharedViewState.curves"])["compareRunCharts"]
    assert {card["type"] for card in cards} == {"LINE"}
    free = {
        "units": [[16, 32], {"low": 8, "high": 64, "scale": "log"}],
        "layers": [1, 2],
        "l1": {"low": 1e-7, "high": 1e-2, "scale": "log", "optional": True},
        "gradient_clip": [0.0, 1.0],
        "initializer": ["he_normal", "glorot_uniform"],
        "class_weight": ["none", "balanced"],
        "label_smoothing": {"low": 0.0, "high": 0.2},
    }
    tags = views.view_tags(spec_of(space=free), 0)
    columns = views.unpacked(tags["mlflow.sharedViewState.leaderboard"])["selectedColumns"]
    assert "params.`units_1`" in columns
    assert "params.`units_2`" not in columns  # a network of one layer has none


@pytest.mark.parametrize(
    "error",
    [
        MlflowException("experiment tag value exceeds length limit of 500"),
        TypeError("set_experiment_tag() takes 3 positional arguments"),
    ],
)
def test_an_mlflow_that_refuses_the_views_costs_one_warning_and_nothing_else(
    mirrored: Mirrored, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    set_tag = MlflowClient.set_experiment_tag

    def refuse(client: MlflowClient, experiment_id: str, key: str, value: str) -> None:
        if key.startswith("mlflow.sharedViewState."):
            raise error
        set_tag(client, experiment_id, key, value)

    monkeypatch.setattr(MlflowClient, "set_experiment_tag", refuse)
    study = mirrored.study()
    projection = mirrored.send(study)
    assert not projection.run_pass()
    (warning,) = mirrored.said
    assert warning.startswith("warning: ")
    assert str(error) in warning
    assert "3.17.2" in warning
    runs = mirrored.client.search_runs(["1"])
    assert len(runs) == 1 + len(ENDS)
    assert "viewStateShareKey" not in mirrored.tags()["mlflow.note.content"]
    url = f"sqlite:///{mirrored.place / 'tunelab.db'}"
    assert dashboard_url(url, "http://x") == runs_url("http://x", "1")
    monkeypatch.undo()
    monkeypatch.chdir(mirrored.place)
    mirrored.send(study)  # the next start stores them
    assert dashboard_url(url, "http://x") == runs_url("http://x", "1", CURVES)
    assert len(mirrored.opened(LEADERBOARD)) == 3


def test_the_experiment_is_described_by_its_latest_generation(mirrored: Mirrored) -> None:
    first = mirrored.study()
    second = mirrored.study(spec_of(objective={"metric": "accuracy"}))
    mirrored.send(second)
    described = mirrored.tags()
    mirrored.send(first)
    assert mirrored.tags() == described


def test_links_carry_nothing_that_would_cancel_a_view() -> None:
    for view in VIEWS:
        address, _, facets = runs_url("http://localhost:5000/", "7", view).partition("?")
        assert address == "http://localhost:5000/#/experiments/7/runs"
        keys = [facet.partition("=")[0] for facet in facets.split("&")]
        assert keys == ["workflowType", "compareRunsMode", "viewStateShareKey"]
        assert facets.startswith("workflowType=machine_learning&")


def test_a_study_is_described_by_its_verdict_first(mirrored: Mirrored) -> None:
    study = running_study(mirrored.database, SPEC, len(ENDS))
    projection = mirrored.send(study)
    assert mirrored.note("digits #1").startswith("**no complete trial yet**\n")
    for number in (0, 2):
        end, value, signal, gap = ENDS[number]
        mirrored.end_trial(study, number, end_reason=end, value=value, signal=signal, gap=gap)
    while projection.run_pass():
        pass
    best = mirrored.run("trial-002").info.run_id
    page = f"#/experiments/1/runs/{best}?workflowType=machine_learning"
    first, _, links, _, head, _, row, *_ = mirrored.note("digits #1").splitlines()
    assert first == (f"**Best so far: validation_loss 0.1** in [trial-002]({page}), epoch 2 of 30")
    assert links == " · ".join(
        [
            *(f"[{view.capitalize()}]({runs_url('', '1', view)})" for view in VIEWS),
            f"[Best trial]({page})",
        ]
    )
    columns = ["trial", "validation_loss", "gap", "best epoch", "verdict", "configuration"]
    assert cells(head) == columns
    assert cells(row)[:5] == [f"[trial-002]({page})", "0.1", "0.02", "2", "plateau"]
    assert cells(row)[5].startswith("adam ")
    mirrored.end_study(study)
    while projection.run_pass():
        pass
    assert mirrored.note("digits #1").startswith("**Best: validation_loss 0.1** in ")
    assert "2 of 6 trials have ended: 1 completed, 1 early_stopped" in mirrored.note("digits #1")


def test_after_the_confirm_stage_the_winner_stands_first_with_its_interval(
    mirrored: Mirrored,
) -> None:
    study = mirrored.study()
    ranked = (Finalist(0, 0.21234, 0.0123, 3, False, 99), Finalist(2, 0.3, 0.0123, 3, False, 99))
    found = Confirmation(ranked, 3, 0, 0, 1, 2, 0.1, 0.2, None, None, None, START)
    with mirrored.database.write() as connection:
        update_study(connection, study.id, confirmed=found.to_json())
    mirrored.end_study(study)
    mirrored.send(study)
    pick = mirrored.run("trial-000").info.run_id
    first, *rest = mirrored.note("digits #1").splitlines()
    assert first == (
        f"**Winner: trial 0**: [trial-000](#/experiments/1/runs/{pick}?workflowType="
        "machine_learning) has validation_loss 0.212 ± 0.012 over 3 fresh seeds"
    )
    assert "- Tied with the winner: none" in rest
    assert any(line.startswith("- Optimism: 0.2, ") for line in rest)


def test_a_trial_is_described_by_verdict_reason_and_losses(mirrored: Mirrored) -> None:
    mirrored.send(mirrored.study())
    first, *rest = mirrored.note("trial-000").splitlines()
    assert first.startswith(
        "**overfitting** (early_stopped): =cmd\\|' /C calc'\\!A1 &lt;script&gt;"
    )
    assert [cells(line) for line in rest[-2:]] == [
        ["loss", "0.5", "0.75"],
        ["accuracy", "0.9", "0.8"],
    ]


def test_what_users_wrote_does_nothing_in_a_description(mirrored: Mirrored) -> None:
    study = mirrored.study(spec_of(description=HOSTILE.replace("\x1b", "")))
    mirrored.send(study)
    notes = [mirrored.note("trial-000"), mirrored.tags()["mlflow.note.content"]]
    for note in notes:
        page = MarkdownIt("commonmark").enable("table").render(note)
        assert "<script" not in page
        assert "javascript:alert(1)" in re.sub(r"<[^>]*>", "", page)  # as text
        links = re.findall(r'href="([^"]*)"', page)
        assert all(link.startswith("#/experiments/1/") for link in links)
        assert "\x1b" not in note


@given(st.text(max_size=60))
@settings(max_examples=100, deadline=None)
def test_any_text_is_shown_as_it_is(text: str) -> None:
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(f"x: {plain(text)}")
    shown = html.unescape(page.removeprefix("<p>x:").removesuffix("</p>\n")).strip()
    words = " ".join(text.split())
    visible = "".join(c for c in words if category(c) not in ("Cc", "Cf", "Cs"))
    assert shown == visible.strip()
    assert re.findall(r"<[a-z/]", page) == ["<p", "</"]


@given(
    st.text(max_size=10_000),
    st.lists(st.text(max_size=9000), max_size=3),
    st.sampled_from(StudyState),
)
@settings(max_examples=30, deadline=None)
def test_a_description_never_outgrows_mlflows_limit(
    reason: str, further: list[str], state: StudyState
) -> None:
    counts = dict.fromkeys([*map(str, TrialState), *map(str, EndReason)], 1)
    row = StudyRow(
        *(1, "digits", 1, state, "local", {}, "", "", "", 1.0, 6, None, 1.0, False, reason),
        *(0.0, 0.0, 0.0),
    )
    note = StudyNote(row, SPEC, counts, [], None, "1", {}, further)
    assert len(note.text()) <= LONGEST_NOTE


def test_every_run_names_the_rows_it_was_trained_on_and_judged_by(mirrored: Mirrored) -> None:
    prepared = prepare(SPEC.data, SPEC.task, mirrored.place / "data")
    study = mirrored.study()
    with mirrored.database.write() as connection:
        values = {"data_path": str(prepared.path), "data_digest": prepared.digest}
        update_study(connection, study.id, **values)
        study = study_by_id(connection, study.id)
    mirrored.send(study)
    mirrored.send(study)
    for name in ("digits #1", "trial-000", "trial-005"):
        inputs = mirrored.run(name).inputs.dataset_inputs
        found = {
            entry.tags[0].value: (entry.dataset.name, entry.dataset.digest, entry.dataset.profile)
            for entry in inputs
        }
        assert len(inputs) == 2
        assert found.keys() == {"training", "validation"}
        for context, rows in (("training", prepared.n_train), ("validation", 30)):
            dataset, digest, profile = found[context]
            assert dataset == f"iris/{context}"
            assert prepared.digest.startswith(digest)
            assert json.loads(profile)["num_rows"] == rows


def test_the_best_trials_and_the_worst_overfitter_have_files_and_the_study_its_tables(
    mirrored: Mirrored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_files, "N_PICTURES", 1)
    study = mirrored.study()
    projection = mirrored.send(study)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert projection.complete()
        assert set(mirrored.files("digits #1")) == {"study.yaml"}  # it still runs
        mirrored.end_study(study)
        projection.run_pass()
        assert projection.complete()
    assert not projection.complete()
    own = {"plots/learning_curve.png", "history.csv", "trial.json"}
    given_files = {f"trial-{n:03d}": set(mirrored.files(f"trial-{n:03d}")) for n in range(6)}
    assert {name for name, files in given_files.items() if files} == {"trial-000", "trial-002"}
    assert given_files["trial-000"] == given_files["trial-002"] == own
    history = mirrored.files("trial-002")["history.csv"].read_text("utf-8")
    rows = list(csv.DictReader(io.StringIO(history)))
    assert [float(row["train_loss"]) for row in rows] == [1, 1 / 2, 1 / 3]
    files = mirrored.files("digits #1")
    assert set(files) == {
        "study.yaml",
        "environment.json",
        "report.html",
        "trials.csv",
        "leaderboard.csv",
        "plots/history.png",
    }
    table = list(csv.DictReader(io.StringIO(files["trials.csv"].read_text("utf-8"))))
    assert [row["number"] for row in table] == ["0", "1", "2", "3", "4", "5"]
    assert all(row["reason"].startswith("'=cmd") for row in table)
    assert "mlflow" in json.loads(files["environment.json"].read_text())["packages"]
    leaders = list(csv.DictReader(io.StringIO(files["leaderboard.csv"].read_text("utf-8"))))
    assert [(row["rank"], row["trial"]) for row in leaders] == [("1", "2"), ("2", "0"), ("3", "4")]
    assert files["plots/history.png"].read_bytes().startswith(b"\x89PNG")


def test_a_report_that_cannot_be_drawn_keeps_nothing_else_from_mlflow(
    mirrored: Mirrored, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("no bars")

    monkeypatch.setattr("tunelab.service.reports.write_report", broken)
    study = mirrored.study()
    mirrored.end_study(study)
    projection = mirrored.send(study)
    assert projection.complete()
    assert not projection.complete()  # and it is not tried again and again
    files = set(mirrored.files("digits #1"))
    assert {"trials.csv", "leaderboard.csv", "plots/history.png"} <= files
    assert "report.html" not in files
    (said,) = (line for line in mirrored.said if "report" in line)
    assert said == "digits #1: no report.html in MLflow: ZeroDivisionError('no bars')"


def test_the_best_trials_colour_moves_with_it(mirrored: Mirrored) -> None:
    study = running_study(mirrored.database, SPEC, 2)
    mirrored.end_trial(study, 0, end_reason=EndReason.COMPLETED, value=0.5)
    projection = mirrored.send(study)
    assert mirrored.run("trial-000").data.tags["mlflow.runColor"]
    mirrored.end_trial(study, 1, end_reason=EndReason.COMPLETED, value=0.4)
    while projection.run_pass():
        pass
    assert "mlflow.runColor" not in mirrored.run("trial-000").data.tags
    assert mirrored.run("trial-001").data.tags["mlflow.runColor"]
