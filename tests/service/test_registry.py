"""MLflow's registry: what is read back is checked before a name points to it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.service.champions import Place, make_spec, write_rows
from tests.service.conftest import environment
from tunelab.datasets.bundle.probes import probe_rows
from tunelab.service.champion import decide_champion
from tunelab.service.mirror.backlog import unsent
from tunelab.service.models import find_model, promote
from tunelab.service.open_test import open_test
from tunelab.storage.schema import open_database
from tunelab.storage.studies import StudyRow

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pandas as pd
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    from tunelab.service.mirror import registry as registry_module
    from tunelab.service.mirror.comparison import compare
    from tunelab.service.mirror.destination import Destination
    from tunelab.service.mirror.environment import tracking_uri
    from tunelab.service.mirror.projection import Projection
    from tunelab.service.mirror.registered_models import RegisteredModels
    from tunelab.service.mirror.registry import DamagedArtifactError
    from tunelab.service.mirror.removal import remove
    from tunelab.service.mirror.repair import repair
    from tunelab.service.mirror.tracking import Tracking

# MLflow and pandas warn of what their libraries have deprecated; the mirror's process is silent.
pytestmark = pytest.mark.filterwarnings("ignore")

CHECKED = "tunelab.checked"


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows")
    write_rows(path / "rows.csv", 500)
    return path


@pytest.fixture
def place(
    rows: Path,
    tracking_database: Path,
    sqlite_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Place]:
    shutil.copy(tracking_database, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    database = open_database(sqlite_url)
    yield Place(database, rows)
    database.close()


def conclude(place: Place, n_epochs: int, **others: Any) -> StudyRow:
    study = place.confirmed(make_spec(place.folder / "rows.csv", **others), n_epochs=n_epochs)
    open_test(place.database, study.id)
    decide_champion(place.database, study.id)
    return place.finish(study)


def send(place: Place, study: StudyRow) -> None:
    projection = Projection(Destination(place.database, study.id, Tracking(tracking_uri())))
    while projection.run_pass():
        pass


def client() -> MlflowClient:
    return MlflowClient(tracking_uri=tracking_uri(), registry_uri=tracking_uri())


def aliases(name: str = "leaving") -> dict[str, str]:
    return {alias: str(n) for alias, n in client().get_registered_model(name).aliases.items()}


def versions(name: str = "leaving") -> dict[str, str]:
    """Version -> generation, of those that have been checked."""
    found = client().search_model_versions(f"name = '{name}'")
    return {
        str(v.version): v.tags["tunelab.generation"] for v in found if v.tags.get(CHECKED) == "true"
    }


def artifacts(version: str, name: str = "weights.npz") -> Path:
    """A file of a version where MLflow keeps it."""
    found = client().get_model_version("leaving", version)
    (path,) = Path("mlruns").rglob(f"{found.source.removeprefix('models:/')}/**/{name}")
    return path


def asked(query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect("mlflow.db")) as connection:
        return connection.execute(query).fetchall()


def test_the_champion_is_registered_with_signature_and_pinned_requirements_and_no_pickle(place):
    from mlflow.models import get_model_info
    from mlflow.pyfunc import load_model

    study = conclude(place, 15)
    send(place, study)
    assert unsent(place.database, study.id) is None
    assert (aliases(), versions()) == ({"champion": "1"}, {"1": "1"})
    folder = artifacts("1", "MLmodel").parent
    files = {path.name for path in folder.rglob("*") if path.is_file()}
    assert {"weights.npz", "model.json", "tunelab_model.py", "pyfunc_model.py"} <= files
    assert not any(name.endswith((".pkl", ".pickle", ".joblib")) for name in files)
    requirements = (folder / "requirements.txt").read_text().split()
    assert sorted(line.partition("==")[0] for line in requirements) == ["mlflow", "numpy", "pandas"]
    assert all("==" in line for line in requirements)
    info = get_model_info(str(folder))
    assert info.signature.inputs.input_names() == ["size", "color", "weight"]
    assert info.signature.outputs.input_names() == ["label", "probability_-1", "probability_no"]
    assert info.signature.outputs.input_types()[0].name == "string"

    # Whole numbers, missing values, further columns, any order: as raw data come.
    frame = pd.DataFrame(
        {"id": [7, 8], "weight": [5.5, None], "color": ["blue", "?"], "size": [1, -1]},
        index=[10, 20],
    )
    predicted = load_model(str(folder)).predict(frame)
    _, _, model = find_model(place.database, "leaving", None)
    own = model.predict({"size": [1, -1], "color": ["blue", "?"], "weight": [5.5, None]})
    assert predicted["label"].tolist() == own["label"].tolist()
    assert predicted.index.tolist() == [10, 20]
    np.testing.assert_allclose(predicted["probability_no"], own["probability_no"], atol=1e-6)
    with pytest.raises(MlflowException, match="weight"):
        load_model(str(folder)).predict(frame[["size", "color"]])


def test_names_follow_the_titles_and_nothing_is_made_twice(place):
    first = conclude(place, 1)
    send(place, first)
    second = conclude(place, 15)
    send(place, second)
    send(place, first)
    assert versions() == {"1": "1", "2": "2"}
    assert aliases() == {"champion": "2"}
    third = conclude(place, 1)
    send(place, third)
    assert aliases() == {"champion": "2", "challenger": "3"}
    models = asked("SELECT count(*) FROM logged_models WHERE lifecycle_stage = 'active'")
    assert models == [(3,)]
    tracking = Tracking(tracking_uri())
    assert not compare(place.database, third.id, tracking).differences
    # A choice by hand counts in MLflow after a sync.
    promote(place.database, "leaving", 1, "because")
    assert compare(place.database, first.id, tracking).differences.wrong_models == 1
    repair(place.database, first.id, tracking, lambda: None, lambda _: None, print)
    assert aliases() == {"champion": "1", "challenger": "3"}
    assert not compare(place.database, first.id, tracking).differences


def test_what_a_kill_has_left_is_gone_on_with(place, monkeypatch):
    study = conclude(place, 15)
    steps = ("log", "register", "download", "tag", "set_alias")
    for step in steps:
        whole = getattr(RegisteredModels, step)

        def dies(self, *given, whole=whole, **named):
            whole(self, *given, **named)
            raise KeyboardInterrupt

        monkeypatch.setattr(RegisteredModels, step, dies)
        with pytest.raises(KeyboardInterrupt):
            send(place, study)
        monkeypatch.setattr(RegisteredModels, step, whole)
        named = aliases() if step not in ("log",) else {}
        assert named == ({"champion": "1"} if step == "set_alias" else {})
    send(place, study)
    assert (aliases(), versions()) == ({"champion": "1"}, {"1": "1"})
    live = asked("SELECT count(*) FROM logged_models WHERE lifecycle_stage = 'active'")
    assert live == [(1,)]


LONG = pytest.mark.long


@pytest.mark.parametrize(
    "name",
    [
        "weights.npz",
        pytest.param("model.json", marks=LONG),
        pytest.param("tunelab_model.py", marks=LONG),
        pytest.param("MLmodel", marks=LONG),
    ],
)
def test_a_damaged_artifact_never_becomes_champion(place, monkeypatch, name):
    send(place, conclude(place, 1))
    study = conclude(place, 15)  # the better one: the study database calls it champion
    whole = RegisteredModels.register

    def damaged_on_its_way(self, *given, **named):
        number = whole(self, *given, **named)
        path = artifacts(number, name)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2] + b"\0" + content[len(content) // 2 + 1 :])
        return number

    monkeypatch.setattr(RegisteredModels, "register", damaged_on_its_way)
    for _ in range(2):
        with pytest.raises(DamagedArtifactError, match="leaving #2 cannot be used as MLflow gives"):
            send(place, study)
        assert aliases() == {"champion": "1"}
        assert versions() == {"1": "1"}
    assert unsent(place.database, study.id) == "the study's model"
    monkeypatch.setattr(RegisteredModels, "register", whole)
    send(place, study)
    assert versions()[aliases()["champion"]] == "2"


def test_an_artifact_that_predicts_otherwise_never_becomes_champion(place, monkeypatch):
    """The network of another study under the right tags: whole, but not what was stored."""
    study = conclude(place, 15)
    whole = registry_module.write_bundle

    def otherwise(bundle, folder):
        whole(bundle, folder)
        code = folder / "tunelab_model.py"
        code.write_text(code.read_text().replace("np.maximum(z, 0.0)", "np.maximum(z, 1e-4)"))

    monkeypatch.setattr(registry_module, "write_bundle", otherwise)
    with pytest.raises(DamagedArtifactError, match="its predictions are off by up to"):
        send(place, study)
    assert (aliases(), versions()) == ({}, {})


def test_sync_finds_a_version_that_was_damaged_or_deleted_later_and_makes_it_anew(place):
    study = conclude(place, 15)
    send(place, study)
    tracking = Tracking(tracking_uri())
    path = artifacts("1")
    path.write_bytes(path.read_bytes()[:-300])
    assert compare(place.database, study.id, tracking).differences.wrong_models == 1
    made = repair(place.database, study.id, tracking, lambda: None, lambda _: None, print)
    assert made.wrong_models == 1
    assert (aliases(), versions()) == ({"champion": "2"}, {"2": "1"})
    shutil.rmtree(artifacts("2").parents[2])
    client().delete_registered_model_alias("leaving", "champion")
    repair(place.database, study.id, tracking, lambda: None, lambda _: None, print)
    assert (aliases(), versions()) == ({"champion": "3"}, {"3": "1"})
    code = artifacts("3", "pyfunc_model.py")  # the network is whole, what serves it is not
    code.write_text(code.read_text() + "\nraise RuntimeError\n")
    assert compare(place.database, study.id, tracking).differences.wrong_models == 1
    repair(place.database, study.id, tracking, lambda: None, lambda _: None, print)
    assert (aliases(), versions()) == ({"champion": "4"}, {"4": "1"})
    client().delete_registered_model("leaving")
    repair(place.database, study.id, tracking, lambda: None, lambda _: None, print)
    assert (aliases(), versions()) == ({"champion": "1"}, {"1": "1"})
    assert not repair(place.database, study.id, tracking, lambda: None, lambda _: None, print)


def test_removing_a_study_from_mlflow_removes_its_model(place):
    first, second = conclude(place, 1), conclude(place, 15)
    for study in (first, second):
        send(place, study)
    tracking = Tracking(tracking_uri())
    remove(place.database, first.id, tracking, lambda: None, lambda _: None)
    assert (aliases(), versions()) == ({"champion": "2"}, {"2": "2"})
    remove(place.database, second.id, tracking, lambda: None, lambda _: None)
    assert client().search_registered_models() == []


def test_a_study_without_a_model_never_touches_the_registry(place, monkeypatch):
    monkeypatch.setattr(registry_module, "RegisteredModels", None)
    study = place.finish(place.confirmed(make_spec(place.folder / "rows.csv")))
    send(place, study)
    assert unsent(place.database, study.id) is None


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.mark.long
def test_mlflow_serves_the_champion_over_http_as_the_trained_network_predicts(place):
    study = conclude(place, 15)
    send(place, study)
    _, _, model = find_model(place.database, "leaving", None)
    columns = probe_rows(model.document, 50)
    expected = model.predict(columns)
    port = free_port()
    server = subprocess.Popen(
        [
            sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/leaving@champion",
            "--env-manager", "local", "--port", str(port), "--host", "127.0.0.1",
        ],
        # MLflow starts uvicorn by its name.
        env={
            **environment(),
            "MLFLOW_TRACKING_URI": tracking_uri(),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        body = json.dumps({"dataframe_split": pd.DataFrame(columns).to_dict("split")}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"}
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(request) as answer:
                    predictions = json.load(answer)["predictions"]
                break
            except urllib.error.URLError:
                assert time.monotonic() < deadline
                time.sleep(0.2)
    finally:
        os.killpg(server.pid, 9)
        server.wait()
    assert [row["label"] for row in predictions] == expected["label"].tolist()
    given = [row["probability_no"] for row in predictions]
    np.testing.assert_allclose(given, expected["probability_no"], rtol=0, atol=1e-6)
