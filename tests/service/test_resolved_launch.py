"""Studies that start with settings, and the record of where their values came from."""

from __future__ import annotations

import json

import pytest

from tunelab.errors import NotFoundError, StudyConflictError, StudyFileError
from tunelab.service.control import remove_study
from tunelab.service.resolved import forget_deleted, resolved_study, values_in
from tunelab.service.resolved_launch import launch_with
from tunelab.spec.overrides import assignments, option, variables
from tunelab.spec.study import StudySpec
from tunelab.storage.studies import all_studies

STUDY = """\
name: flowers
task: classification
data: {source: sklearn, name: iris}
search: {trials: 10, max_epochs: 5}
space: {batch_size: 8, optimizer: [sgd, adam]}
"""


@pytest.fixture
def start(tmp_path):
    """Launch the study of this text with settings, as `tunelab study start` would."""
    opened = []

    def begin(*texts, text=STUDY, environment=None, trials=None, new=False):
        path = tmp_path / "flowers.yaml"
        path.write_text(text)
        settings = [*variables(environment or {}), *assignments(texts)]
        if trials is not None:
            settings.append(option(("search", "trials"), trials, "--trials"))
        url = f"sqlite:///{tmp_path / 'tunelab.db'}"
        launched = launch_with(url, path, settings, new=new)
        opened.append(launched.database)
        return launched

    yield begin
    for database in opened:
        database.close()


def sources(launched):
    return resolved_study(launched.database, launched.study).sources


def test_a_setting_of_the_budget_is_one_of_this_start_and_all_others_make_the_study(start):
    launched = start("search.trials=4", "search.timeout=1m", "search.seed=7", "search.workers=3")
    study = launched.study
    assert (study.n_trials, study.timeout_seconds, launched.n_workers) == (4, 60.0, 3)
    spec = StudySpec.from_mapping(study.spec)
    assert (spec.search.trials, spec.search.timeout_seconds) == (10, None)
    assert (spec.search.workers, spec.search.seed) == (None, 7)


def test_a_budget_that_was_set_stays_and_so_does_its_source(start):
    assert start(trials=30).study.n_trials == 30
    launched = start()
    assert launched.study.n_trials == 30
    assert sources(launched)["search.trials"] == "--trials"
    launched = start(environment={"TUNELAB_TRIALS": "40"})
    assert launched.study.n_trials == 40
    assert sources(launched)["search.trials"] == "TUNELAB_TRIALS"
    launched = start(text=STUDY.replace("trials: 10", "trials: 12"))
    assert launched.study.n_trials == 12
    assert sources(launched)["search.trials"].endswith("flowers.yaml:4")


def test_other_settings_must_be_the_same_and_the_refusal_names_those_in_force(start):
    start()
    with pytest.raises(StudyConflictError, match="seed: 0 -> 7") as caught:
        start(environment={"TUNELAB_SEED": "7"})
    assert caught.value.hint.endswith("TUNELAB_SEED went before the study file")
    with pytest.raises(StudyConflictError) as caught:
        start(text=STUDY.replace("max_epochs: 5", "max_epochs: 6"))
    assert "went before" not in caught.value.hint
    assert start("search.seed=7", new=True).study.generation == 2


def test_every_value_of_a_resolved_study_has_a_source(start):
    launched = start("space.units.high=64", "space.units.low=8", environment={"TUNELAB_SEED": "7"})
    resolved = resolved_study(launched.database, launched.study)
    named = {
        key: source if source.startswith(("--", "TUNELAB")) else source.rpartition(":")[2]
        for key, source in resolved.sources.items()
    }
    assert named == {
        "name": "1",
        "task": "2",
        "data.source": "3",
        "data.name": "3",
        "search.trials": "4",
        "search.max_epochs": "4",
        "search.seed": "TUNELAB_SEED",
        "space.units.low": "--set space.units.low",
        "space.units.high": "--set space.units.high",
        "space.batch_size": "5",
    }
    keys = {".".join(map(str, place)) for place in values_in(resolved.mapping)}
    assert named.keys() < keys
    # What is not there is a default, and so is what completes a name: sgd's own learning rate.
    assert "space.optimizer.sgd.learning_rate.low" in keys - named.keys()


def test_a_study_whose_record_is_lost_or_another_ones_says_so(start):
    launched = start()
    (record,) = (launched.database.home / "sources").glob("*.json")
    assert record.stat().st_mode & 0o777 == 0o600
    kept = record.read_text()
    for text in ("", "[]", "{}", '{"study": 1, "sources": {}}', kept[:-5],
                 kept.replace('"flowers"', '"others"')):  # fmt: skip
        record.write_text(text)
        assert sources(launched) is None
    record.write_text(kept)
    assert sources(launched)["name"].endswith(":1")
    record.unlink()
    assert sources(launched) is None


def test_a_record_that_cannot_be_written_keeps_no_study_from_starting(start, tmp_path):
    (tmp_path / ".tunelab").mkdir()
    (tmp_path / ".tunelab" / "sources").write_text("a file")
    launched = start()
    assert launched.has_more
    assert sources(launched) is None


def test_the_record_goes_with_the_study(start):
    first = start()
    second = start("search.seed=1", new=True)
    folder = first.database.home / "sources"
    assert len(list(folder.iterdir())) == 2
    remove_study(first.database, "flowers#1")
    forget_deleted(first.database)
    (left,) = folder.iterdir()
    assert json.loads(left.read_text())["study"][:2] == ["flowers", 2]
    assert sources(second)["search.seed"] == "--set search.seed"
    with second.database.read() as connection:
        assert len(all_studies(connection)) == 1


def test_what_is_wrong_with_the_data_has_its_place_in_the_file(start, tmp_path):
    text = STUDY.replace("{source: sklearn, name: iris}", "{source: csv, path: no.csv, target: y}")
    with pytest.raises(NotFoundError) as missing:
        start(text=text)
    place = f"{tmp_path / 'flowers.yaml'}:3:27: data.path: there is no file"
    assert missing.value.message.startswith(place)
    with pytest.raises(NotFoundError, match=r"^--set data\.path: there is no file"):
        start("data.path=other.csv", text=text)
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "object.npz").touch()
    for written in ("d/objekt.npz", str(folder / "objekt.npz")):
        with pytest.raises(NotFoundError) as missing:
            start(text=STUDY.replace("sklearn, name: iris", f"npz, path: {written}"))
        meant = written.replace("objekt", "object")
        assert missing.value.hint == f"did you mean {meant!r}?"
    with pytest.raises(StudyFileError) as refused:
        start("data.split.validation=0.001", "data.split.test=0.998")
    (problem,) = refused.value.problems
    assert problem.key == "data.split"
    assert not (tmp_path / "tunelab.db").exists()


def test_the_file_is_wrong_also_where_a_setting_of_the_budget_hides_it(start):
    with pytest.raises(StudyFileError, match="must be from 1"):
        start("search.trials=3", text=STUDY.replace("trials: 10", "trials: 0"))


GRID = """\
name: flowers
task: classification
data: {source: sklearn, name: iris}
search: {sampler: grid, trials: 8, max_epochs: 5}
space: {batch_size: 8, optimizer: [adam, sgd], units: [16, 64]}
"""


def test_the_cells_of_a_grid_bound_the_trials_that_are_in_force(start):
    with pytest.raises(StudyFileError) as refused:
        start(text=GRID)
    (problem,) = refused.value.problems
    assert problem.where.endswith("flowers.yaml:4:33: search.trials")
    assert problem.message == "must be at most 4, the cells of the grid, got 8"
    assert start(text=GRID, trials=3).study.n_trials == 3
    with pytest.raises(StudyFileError) as refused:
        start(text=GRID, trials=5)
    (problem,) = refused.value.problems
    assert (problem.where, problem.message) == (
        "--trials",
        "must be at most 4, the cells of the grid, got 5",
    )


def test_a_grid_of_nothing_says_how_to_list_something(start):
    with pytest.raises(StudyFileError) as refused:
        start(text=GRID.replace("optimizer: [adam, sgd], units: [16, 64]", "optimizer: adam"))
    assert refused.value.problems[0].hint.startswith("a grid tries what the file lists")


def test_workers_are_part_of_the_study_as_it_was_run_wherever_they_were_set(start):
    launched = start(environment={"TUNELAB_WORKERS": "1"})
    resolved = resolved_study(launched.database, launched.study)
    assert resolved.mapping["search"]["workers"] == 1
    assert resolved.sources["search.workers"] == "TUNELAB_WORKERS"
    assert "workers" not in resolved_study(start().database, launched.study).mapping["search"]


def test_changed_rows_are_counted_and_the_way_to_go_on_is_named(start, tmp_path):
    table = "".join(f"{i},{i % 7},{'ab'[i % 2]}\n" for i in range(60))
    text = STUDY.replace("{source: sklearn, name: iris}", "{source: csv, path: a.csv, target: y}")
    (tmp_path / "a.csv").write_text("x,z,y\n" + table)
    start(text=text)
    (tmp_path / "a.csv").write_text("x,z,y\n" + table[:-7])
    with pytest.raises(StudyConflictError, match=r"the rows of the data: 60 \(.*\) -> 59 \(") as no:
        start(text=text)
    assert "`tunelab study resume flowers` goes on with the rows it began with" in no.value.hint
