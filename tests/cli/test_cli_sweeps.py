"""``tunelab sweep``: what it keeps, prints and refuses."""

from __future__ import annotations

import json

import pytest

from tunelab.storage.schema import open_database
from tunelab.storage.studies import all_studies

FILE = """\
name: flowers
task: classification
data: {source: sklearn, name: iris}
search: {trials: 3, max_epochs: 2}
"""


@pytest.fixture
def sweep_file(home):
    path = home / "flowers.yaml"
    path.write_text(FILE + 'sweep: {cron: "0 2 * * *", timezone: Europe/Berlin}\n')
    return path


def test_a_sweep_is_added_listed_paused_resumed_and_removed(call, sweep_file):
    added = call("sweep", "add", "flowers.yaml")
    assert (added.code, added.out) == (0, "flowers\n")
    assert "02:00 Europe/Berlin" in added.err

    def listed():
        return json.loads(call("sweep", "list", "--json").out)["sweeps"]

    (sweep,) = listed()
    assert (sweep["state"], sweep["cron"], sweep["last"]) == ("active", "0 2 * * *", None)
    assert sweep["study_file"] == str(sweep_file)
    assert call("sweep", "pause", "flowers").code == 0
    assert (listed()[0]["state"], listed()[0]["next"]) == ("paused", None)
    assert "starts next at" in call("sweep", "resume", "flowers").err
    assert listed()[0]["state"] == "active"
    assert call("sweep", "list").out.splitlines()[1].startswith("flowers\tactive\t0 2 * * *")
    assert "takes it up again" in call("sweep", "remove", "flowers").err
    assert listed() == []


def test_the_next_starts_stand_in_utc_and_by_their_own_clock(call, sweep_file):
    call("sweep", "add", str(sweep_file))
    lines = call("sweep", "next", "flowers", "-n", "3").out.splitlines()
    assert len(lines) == 3
    assert all(line.endswith("02:00 Europe/Berlin") for line in lines)
    document = json.loads(call("sweep", "next", "flowers", "--json").out)
    assert len(document["next"]) == 5


def test_run_submits_the_next_generation_now(call, sweep_file):
    call("sweep", "add", str(sweep_file))
    ran = call("sweep", "run", "flowers")
    assert ran.out == "flowers #1\n"
    database = open_database("sqlite:///tunelab.db")
    with database.read() as connection:
        assert [study.executor for study in all_studies(connection)] == ["external"]
    database.close()


def test_what_is_wrong_is_said(call, home, sweep_file):
    call("sweep", "add", str(sweep_file))
    unknown = call("sweep", "next", "flower")
    assert unknown.code == 3
    assert "did you mean 'flowers'?" in unknown.err
    (home / "plain.yaml").write_text(FILE)
    plain = call("sweep", "add", "plain.yaml")
    assert plain.code == 2
    assert "has no section sweep" in plain.err
    other = home / "other.yaml"
    other.write_text(sweep_file.read_text())
    assert call("sweep", "add", "other.yaml").code == 2
