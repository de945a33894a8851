"""``study show --resolved``: the whole study file, each value with its source."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cli.conftest import on_a_terminal
from tests.spec.test_random_studies import N_TRAIN, studies
from tunelab.cli.resolved import resolved_lines
from tunelab.service.resolved import Resolved, resolved_study, values_in
from tunelab.service.resolved_launch import launch_with
from tunelab.service.summary import effective_spec
from tunelab.spec.overrides import assignments, option, variables
from tunelab.spec.problems import dotted
from tunelab.spec.study import StudySpec
from tunelab.spec.study_file import read_study_file
from tunelab.storage.schema import open_database
from tunelab.storage.studies import get_study

STUDY = """\
name: flowers
task: classification
data: {source: sklearn, name: iris, split: {validation: 0.3}}
search: {trials: 10, max_epochs: 9}
space:
  optimizer:
    sgd: {learning_rate: {low: 1e-3, high: 1.0, scale: log}}
    adam: {}
  units: {low: 16, high: 512, scale: log}
  batch_size: 8
"""


@pytest.fixture
def flowers(home):
    """A study that was started with a variable, with --set, and with an option."""
    path = home / "flowers.yaml"
    path.write_text(STUDY)
    settings = [
        *variables({"TUNELAB_SEED": "7"}),
        *assignments(["space.units.high=64"]),
        option(("search", "trials"), 30, "--trials"),
    ]
    launched = launch_with("sqlite:///tunelab.db", "flowers.yaml", settings, new=False)
    launched.database.close()
    return launched.study


def test_every_value_has_its_source_behind_it(call, flowers):
    ended = call("study", "show", "flowers", "--resolved")
    assert (ended.code, ended.err) == (0, "")
    lines = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert lines[0] == "name: flowers # flowers.yaml:1"
    for line in (
        "max_epochs: 9 # flowers.yaml:4",
        "trials: 30 # --trials",
        "seed: 7 # TUNELAB_SEED",
        "low: 16 # flowers.yaml:9",
        "high: 64 # --set space.units.high",
        "validation: 0.3 # flowers.yaml:3",
        "test: 0.2 # default",
        # What comes from one place stays on one line.
        "layers: {low: 1, high: 4} # default",
        "learning_rate: {low: 0.001, high: 1.0, scale: log} # flowers.yaml:7",
    ):
        assert line in lines


def test_it_is_a_study_file_that_says_the_same(call, flowers, home):
    (home / "again.yaml").write_text(call("study", "show", "flowers", "--resolved").out)
    assert read_study_file("again.yaml").spec == effective_spec(flowers)


@settings(max_examples=60, deadline=None)
@given(mapping=studies(), width=st.sampled_from([20, 80, 1000]), data=st.data())
def test_any_study_is_printed_as_a_file_that_says_the_same(tmp_path_factory, mapping, width, data):
    spec = StudySpec.from_mapping(mapping).resolve(N_TRAIN)
    resolved = spec.to_mapping()
    keys = [dotted(place) for place in values_in(resolved)]
    sources = {key: data.draw(st.sampled_from(["a.yaml:3", "--set x"])) for key in keys[::2]}
    lines = resolved_lines(Resolved(resolved, sources), width)
    path = tmp_path_factory.mktemp("study") / "study.yaml"
    path.write_text("\n".join(line.plain for line in lines), encoding="utf-8")
    assert read_study_file(path).spec == spec


def test_as_json_the_sources_stand_by_their_keys(call, flowers):
    document = json.loads(call("study", "show", "flowers", "--resolved", "--json").out)
    assert document["schema"] == 1
    assert document["study"]["search"]["trials"] == 30
    sources = document["sources"]
    assert sources["search.trials"] == "--trials"
    assert sources["search.sampler"] == "default"
    assert sources["space.units.high"] == "--set space.units.high"


def test_without_a_record_it_says_so_and_names_no_sources(call, maker):
    maker.study()
    first, *lines = call("study", "show", "digits", "--resolved").out.splitlines()
    assert first == "# where its values came from was not recorded on this machine"
    assert not [line for line in lines if "#" in line]
    document = json.loads(call("study", "show", "digits", "--resolved", "--json").out)
    assert document["sources"] is None


def test_on_a_narrow_terminal_the_source_stands_above_the_value(flowers):
    lines = on_a_terminal(30, "study", "show", "flowers", "--resolved")
    assert lines[lines.index("    high: 64") - 1] == "    # --set space.units.high"
    assert "name: flowers" in lines[1]


def test_the_record_goes_with_the_study(call, flowers, home):
    assert list((home / ".tunelab" / "sources").iterdir())
    assert call("study", "delete", "flowers", "--yes").code == 0
    assert not list((home / ".tunelab" / "sources").iterdir())


def test_a_study_that_goes_on_keeps_its_sources(call, flowers, home):
    launch_with("sqlite:///tunelab.db", "flowers.yaml", [
        *variables({"TUNELAB_SEED": "7"}), *assignments(["space.units.high=64"]),
    ], new=False).database.close()  # fmt: skip
    database = open_database("sqlite:///tunelab.db")
    with database.read() as connection:
        study = get_study(connection, "flowers")
    assert resolved_study(database, study).sources["search.trials"] == "--trials"
    database.close()
