"""Links to MLflow's pages, and the cases in which no server is started."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tunelab.errors import UsageError
from tunelab.service.dashboard import (
    dashboard_url,
    serve_dashboard,
    start_server,
    study_dashboard,
)
from tunelab.service.links import runs_url
from tunelab.storage.mirror_runs import MirrorRun, remember
from tunelab.storage.schema import open_database
from tunelab.storage.studies import create_study


def test_the_link_leads_to_the_table_of_runs() -> None:
    assert runs_url("http://localhost:5000", "12") == (
        "http://localhost:5000/#/experiments/12/runs?workflowType=machine_learning"
    )


def test_the_link_is_that_of_the_study_mirrored_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////elsewhere/mlflow.db")
    url = f"sqlite:///{tmp_path / 'tunelab.db'}"
    assert dashboard_url(url, "http://x") == "http://x/#/experiments?workflowType=machine_learning"
    database = open_database(url)
    with database.write() as connection:
        for name, experiment in (("a", "3"), ("b", "4")):
            study = create_study(
                connection,
                name=name,
                spec={},
                spec_hash="",
                data_digest="",
                data_path="",
                baseline_loss=1.0,
                n_trials=1,
                timeout_seconds=None,
            )
            uri = "sqlite:////elsewhere/mlflow.db"
            remember(connection, MirrorRun(study.id, None, uri, experiment, name, 0, ""))
    database.close()
    assert dashboard_url(url, "http://x") == runs_url("http://x", "4")


def test_a_port_that_is_taken_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port}") as refusal:
            start_server(port)
    assert "--port" in (refusal.value.hint or "")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match="--port must be in"):
        start_server(70000)


def test_where_a_server_runs_already_its_link_is_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@mlflow.example.org")
    said: list[str] = []
    serve_dashboard(f"sqlite:///{tmp_path / 'tunelab.db'}", 5000, said.append)
    assert said == ["https://mlflow.example.org/#/experiments?workflowType=machine_learning"]
    with pytest.raises(UsageError, match=r"names a server already: https://\*\*\*@mlflow"):
        start_server(5000)


def test_a_running_study_is_linked_to_where_its_runs_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'tunelab.db'}")
    with database.write() as connection:
        values = dict.fromkeys(["spec_hash", "data_digest", "data_path"], "")
        study = create_study(
            connection, name="a", spec={}, baseline_loss=1.0, n_trials=1, timeout_seconds=None,
            **values,
        )  # fmt: skip
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    assert study_dashboard(database, study) is None  # `tunelab ui` shows it
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@mlflow.example.org")
    place = "https://mlflow.example.org/#/experiments"
    assert study_dashboard(database, study) == f"{place}?workflowType=machine_learning"
    with database.write() as connection:
        uri = "https://***@mlflow.example.org"
        remember(connection, MirrorRun(study.id, None, uri, "7", "r", 0, ""))
    assert study_dashboard(database, study) == f"{place}/7/runs?workflowType=machine_learning"
    database.close()
