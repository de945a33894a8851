"""A whole study in real processes: nothing opens the test rows, and nothing knows of them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

# Python imports this in every process: it tells what the process is, and each file of the data
# that the process touches, by whatever call.
_HOOK = """
import json, os, sys

_log = os.open(os.environ["AUDIT_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

def _note(**what):
    os.write(_log, (json.dumps({"pid": os.getpid(), **what}) + "\\n").encode())

def _hook(event, args):
    for path in args:
        path = os.fsdecode(path) if isinstance(path, bytes) else path
        if isinstance(path, (str, os.PathLike)) and str(path).endswith((".npz", ".npy", ".csv")):
            flags = args[2] if event == "open" else None
            _note(event=event, path=str(path), flags=flags)

_note(command=sys.orig_argv[1:])
sys.addaudithook(_hook)
"""

_STUDY = """\
name: small
task: classification
data:
  source: csv
  path: people.csv
  target: answer
  missing: impute
  split: {method: time, time: day}
search: {sampler: random, trials: 2, max_epochs: 3, workers: 1}
space: {optimizer: adam, schedule: constant, layers: 1, units: 8, batch_size: 8}
confirm: CONFIRM
"""

VALIDATION, TEST = "ibis-in-validation", "heron-in-test"


def table() -> str:
    """People of 60 days: the last fifth is for test, the fifth before for validation."""
    lines = ["day,age,bird,answer"]
    for day in range(60):
        bird = TEST if day >= 48 else VALIDATION if day >= 36 else ("tit", "owl", "")[day % 3]
        age = 7.0e6 if day >= 36 else 20 + day * 7 % 50
        lines.append(f"{day},{age},{bird},{'yes' if day % 2 else 'no'}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def audited(folder):
    """A folder whose processes write down which files of the data they touch."""
    hook = folder.path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(_HOOK)
    folder.variables["PYTHONPATH"] = str(hook)
    folder.variables["AUDIT_LOG"] = str(folder.path / "audit.log")
    folder.study_file.write_text(_STUDY.replace("CONFIRM", "off"))
    (folder.path / "people.csv").write_text(table())
    return folder


def role(command: list[str]) -> str:
    text = " ".join(command)
    roles = {"execution.worker": "worker", "service.mirror ": "mirror", "study start": "start"}
    return next((name for part, name in roles.items() if part in text), text)


@pytest.mark.long
def test_no_process_of_a_study_opens_the_test_rows_or_knows_of_them(audited):
    audited.tunelab("study", "start", "small.yaml")
    audited.check_whole(2)
    shown = audited.tunelab("study", "show", "small") + audited.tunelab(
        "study", "trial", "small", "0"
    )

    notes = [json.loads(line) for line in (audited.path / "audit.log").read_text().splitlines()]
    roles = {note["pid"]: role(note["command"]) for note in notes if "command" in note}
    assert {"start", "worker", "mirror"} <= set(roles.values())
    touched = [(roles[note["pid"]], note) for note in notes if "path" in note]
    readers = {(name, Path(note["path"]).name) for name, note in touched}
    # The hook does see: both processes map the training rows.
    assert {("start", "x_train.npy"), ("worker", "x_train.npy")} <= readers
    assert {name for name, file in readers if file == "people.csv"} == {"start"}

    sealed = [(name, note) for name, note in touched if "sealed" in note["path"]]
    [(writer, note)] = sealed
    # It is opened once, to be made: there was nothing in it to read.
    assert (writer, note["event"]) == ("start", "open")
    assert note["flags"] & os.O_CREAT
    assert note["flags"] & os.O_EXCL
    assert note["flags"] & os.O_ACCMODE == os.O_WRONLY

    assert TEST not in shown
    holders = {
        word: {
            file.name
            for file in audited.path.rglob("*")
            if file.is_file() and word.encode() in file.read_bytes()
        }
        for word in (TEST, VALIDATION)
    }
    assert holders == {TEST: {"people.csv", "test.npz"}, VALIDATION: {"people.csv", "pool.npz"}}


def test_behind_the_confirm_stage_one_process_reads_the_test_rows_once(audited):
    """Not a worker, and nobody while there was one: the last of them has left by then."""
    audited.study_file.write_text(_STUDY.replace("CONFIRM", "{finalists: 1, seeds: 2}"))
    audited.tunelab("study", "start", "small.yaml")
    shown = audited.tunelab("study", "show", "small")
    assert "opened once: " in shown
    assert audited.sql("SELECT count(*) FROM test_openings") == [(1,)]

    notes = [json.loads(line) for line in (audited.path / "audit.log").read_text().splitlines()]
    roles = {note["pid"]: role(note["command"]) for note in notes if "command" in note}
    files = [(roles[note["pid"]], note) for note in notes if "path" in note]
    sealed = [(name, note) for name, note in files if "sealed" in note["path"]]
    (writer, made), (reader, opened) = [
        (name, note) for name, note in sealed if note["event"] == "open"
    ]
    assert (writer, reader) == ("start", "start")
    assert made["flags"] & os.O_CREAT
    assert opened["flags"] & os.O_ACCMODE == os.O_RDONLY
    assert all(name == "start" for name, _ in sealed)
    # All that workers ever touched they had touched before.
    last_of_workers = max(place for place, (name, _) in enumerate(files) if name == "worker")
    assert files.index((reader, opened)) > last_of_workers
    ((opened_at,),) = audited.sql("SELECT opened_at FROM test_openings")
    assert audited.sql("SELECT count(*) FROM trials WHERE ended_at > ?", opened_at) == [(0,)]

    assert TEST not in shown
    holders = {
        file.name
        for file in audited.path.rglob("*")
        if file.is_file() and TEST.encode() in file.read_bytes()
    }
    assert holders == {"people.csv", "test.npz"}
