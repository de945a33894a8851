"""Any valid study file: it is accepted, it runs, and its resolved form means the same."""

from __future__ import annotations

import threading
import time
from contextlib import closing

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.spec.test_random_studies import (
    COMPATIBLE_NETWORK,
    COMPATIBLE_SCHEDULES,
    as_list,
    damaged,
    damages,
    dimensions,
    family,
    some,
)
from tunelab.errors import TunelabError
from tunelab.execution.worker import work
from tunelab.service.estimate import rehearse
from tunelab.service.resolved_launch import launch_with
from tunelab.spec.rules import Number
from tunelab.spec.study import StudySpec, differences
from tunelab.spec.study_file import read_study_file, resolved_yaml
from tunelab.spec.tables import CLASSIFICATION_ONLY, METRICS, NETWORK, OPTIMIZERS
from tunelab.spec.yaml_writer import to_yaml
from tunelab.storage.leases import acquire_lease
from tunelab.storage.owners import Owner
from tunelab.storage.states import EndReason, TrialState
from tunelab.storage.trials import study_trials
from tunelab.tuning.coordinator import Coordinator, Progress

# Networks and batches that fit the smallest of the data, and train in no time.
SMALL_NETWORK = {
    **COMPATIBLE_NETWORK,
    "layers": Number("int", 1, 3),
    "units": Number("int", 1, 32),
    "batch_size": Number("int", 2, 12),
}
N_ROWS = 150


def table() -> str:
    """Words, numbers, a code that looks like a number, and empty cells in the features."""
    lines = ["day,person,size,weight,colour,code,grown,kind,height"]
    for row in range(N_ROWS):
        size = "" if row % 11 == 3 else f"{row * 7 % 31 / 3:.2f}"
        colour = ("red", "green", "", "blue")[row * 5 % 4]
        kind = ("cat", "dog", "emu")[row * 7 % 3]
        cells = (row, row % 40, size, 50 + row % 13, colour, f"0{row % 4}", row % 2 == 0, kind)
        lines.append(",".join(map(str, (*cells, row * 3 % 17 / 2))))
    return "\n".join(lines) + "\n"


@st.composite
def tables(draw):
    """A data section on that table, and the task that goes with its target."""
    task = draw(st.sampled_from(["classification", "regression"]))
    targets = ["kind"] if task == "classification" else ["height", ["height", "weight"]]
    method = draw(st.sampled_from(["stratified", "hash", "group", "time"]))
    column = {"group": {"group": "person"}, "time": {"time": "day"}}.get(method, {})
    data = {
        "source": "csv",
        "path": "table.csv",
        "target": draw(st.sampled_from(targets)),
        "missing": draw(st.sampled_from(["impute", "drop"])),
        "split": {"method": method, **column, "seed": draw(st.integers(0, 9))},
    }
    if draw(st.booleans()):
        data["categorical"] = ["code"]
    columns = draw(st.sampled_from([{}, {"drop": ["grown"]}, {"keep": ["size", "colour", "code"]}]))
    return task, data | columns


@st.composite
def bundled(draw):
    """A data section on one of scikit-learn's small sets."""
    names = {"iris": "classification", "wine": "classification", "diabetes": "regression"}
    name = draw(st.sampled_from(sorted(names)))
    data = {"source": "sklearn", "name": name}
    if names[name] == "classification" and draw(st.booleans()):
        data["label_noise"] = {"share": draw(st.floats(0, 0.4))}
    return names[name], data


@st.composite
def small_studies(draw):
    task, data = draw(tables() | bundled())
    space = draw(some(SMALL_NETWORK))
    # A choice of everything: batches and networks of the default space would be too large.
    space = {"layers": 2, "units": 8, "batch_size": 8} | space
    if task == "classification":
        space |= draw(some({key: NETWORK[key] for key in CLASSIFICATION_ONLY}))
    space["optimizer"] = draw(family(OPTIMIZERS))
    space["schedule"] = draw(family(COMPATIBLE_SCHEDULES))
    if draw(st.booleans()):
        units = st.lists(dimensions(SMALL_NETWORK["units"]), min_size=1, max_size=3)
        space["units"] = [as_list(item) for item in draw(units)]
        space.pop("shape", None)
        space.pop("layers", None)
    metrics = sorted(set(METRICS[task]) - {"roc_auc"})  # a time split may have one class
    return {
        "name": "random",
        "confirm": "off",
        "task": task,
        "data": data,
        "objective": {"metric": draw(st.sampled_from(metrics))},
        "search": {
            "sampler": draw(st.sampled_from(["tpe", "random", "qmc"])),
            "pruner": draw(st.sampled_from(["none", "median", "percentile", "successive_halving"])),
            "trials": 2,
            "max_epochs": draw(st.integers(11, 15)),
            "seed": draw(st.integers(0, 99)),
        },
        "space": space,
        "monitor": {"preset": draw(st.sampled_from(["default", "careful", "eager", "off"]))},
    }


@settings(deadline=None, max_examples=6, suppress_health_check=list(HealthCheck))
@given(mapping=small_studies())
def test_a_valid_study_file_runs_and_its_resolved_form_means_the_same(tmp_path_factory, mapping):
    folder = tmp_path_factory.mktemp("study")
    (folder / "table.csv").write_text(table())
    path = folder / "study.yaml"
    path.write_text(to_yaml(mapping))
    rehearsal = rehearse(path, [], timed=False)
    launched = launch_with(f"sqlite:///{folder / 'tunelab.db'}", path, [], new=False)
    with closing(launched.database) as database:
        resolved = StudySpec.from_mapping(launched.study.spec)
        assert resolved == rehearsal.spec
        run(database, launched.study)
        with database.read() as connection:
            trials = study_trials(connection, launched.study.id)
    assert [trial.state for trial in trials] == [TrialState.FINISHED] * 2
    assert all(trial.n_epochs >= 1 for trial in trials)
    assert not [trial.reason for trial in trials if trial.end_reason is EndReason.FAILED]

    again = folder / "again.yaml"
    again.write_text(resolved_yaml(resolved))
    assert differences(resolved, read_study_file(again).spec) == []
    assert rehearse(again, [], timed=False).spec == resolved
    assert rehearse(again, [], timed=False).data.digest == launched.study.data_digest


CSV_FILE = """\
name: damaged
task: classification
data: {source: csv, path: table.csv, target: kind, missing: impute, split: {method: hash, seed: 3}}
objective: {metric: accuracy}
search: {sampler: tpe, pruner: median, trials: 20, timeout: 10m, max_epochs: 30, seed: 0}
space:
  optimizer: {sgd: {learning_rate: {low: 1e-3, high: 1.0, scale: log}}, adam: {}}
  schedule: [constant, cosine]
  layers: {low: 1, high: 3}
  units: [8, 16]
  batch_size: 8
monitor: {preset: careful, patience: 12}
"""


@settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
@given(changes=damages)
def test_a_damaged_file_starts_or_is_refused_with_a_place_and_leaves_nothing(
    tmp_path_factory, changes
):
    folder = tmp_path_factory.mktemp("study")
    (folder / "table.csv").write_text(table())
    text = CSV_FILE
    for change in changes:
        text = damaged(text, change)
    path = folder / "study.yaml"
    path.write_bytes(text.encode())
    url = f"sqlite:///{folder / 'tunelab.db'}"
    refused = None
    try:
        launch_with(url, path, [], new=False).database.close()
    except TunelabError as error:
        refused = error
    if refused is None:
        return
    assert refused.exit_code in (2, 3)
    assert {item.name for item in folder.iterdir()} == {"table.csv", "study.yaml"}
    for problem in getattr(refused, "problems", ()):
        empty = problem.message == "the study file is empty"
        assert problem.line is not None or empty or problem.file.endswith("table.csv")


def run(database, study) -> None:
    """Coordinate the study here, with one worker in a thread."""
    leave = threading.Event()
    worker = threading.Thread(target=work, args=(database, study.id, leave.is_set))
    with database.write() as connection:
        lease = acquire_lease(connection, f"coordinator/{study.id}", Owner.this_process())
    coordinator = Coordinator(database, study, lease, n_workers=1)
    worker.start()
    began = time.monotonic()
    try:
        while coordinator.tick() is not Progress.FINISHED:
            assert time.monotonic() - began < 60
            assert worker.is_alive()
            time.sleep(0.01)
    finally:
        leave.set()
        worker.join()
