"""A study tried out: it takes the way of a start, leaves nothing, and times an epoch."""

from __future__ import annotations

import tempfile

import pytest

from tunelab.errors import DataError, StudyFileError, TunelabError
from tunelab.service import estimate
from tunelab.service.estimate import rehearse
from tunelab.spec.overrides import assignments

STUDY = """\
name: flowers
task: classification
data: {source: sklearn, name: iris}
search: {trials: 6, max_epochs: 50}
space: {batch_size: 8, optimizer: [sgd, adam]}
"""


@pytest.fixture
def rehearsed(tmp_path, monkeypatch):
    """Rehearse the study with settings in a folder of its own, where nothing may be left."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    path = tmp_path / "flowers.yaml"
    path.write_text(STUDY)
    monkeypatch.chdir(tmp_path)

    def run(*texts, timed=False):
        try:
            return rehearse(path, assignments(texts), timed=timed)
        finally:
            assert not list(scratch.iterdir())
            assert [item.name for item in tmp_path.iterdir() if item != scratch] == [path.name]

    return run


def test_it_knows_the_data_and_the_resolved_study_and_leaves_nothing(rehearsed):
    rehearsal = rehearsed("search.trials=4")
    assert (rehearsal.rows.n_train, rehearsal.rows.n_validation) == (90, 30)
    # 150 rows of three classes, dealt out class by class.
    names = ("setosa", "versicolor", "virginica")
    assert rehearsal.rows.class_counts == dict.fromkeys(names, (30, 10))
    assert rehearsal.spec.search_space.complete
    assert rehearsal.spec.n_trials == 4
    assert rehearsal.estimate is None


def test_a_regression_has_no_classes(rehearsed):
    rehearsal = rehearsed("task=regression", "data.name=diabetes")
    assert rehearsal.rows.class_counts == {}


@pytest.mark.parametrize(
    "text",
    ["space.batch_size=91", "search.sampler=grid", "data.split={validation: 0.001, test: 0.99}"],
)
def test_it_refuses_what_a_start_refuses(rehearsed, text):
    if text == "search.sampler=grid":
        with pytest.raises(StudyFileError, match="cells"):
            rehearsed(text, "search.trials=100")
        return
    with pytest.raises((StudyFileError, DataError)):
        rehearsed(text)


def test_an_epoch_is_timed_on_the_real_data(rehearsed):
    found = rehearsed("search.workers=2", timed=True).estimate
    assert found.n_workers == 2
    assert 0 < found.epoch_seconds < 5  # of 12 steps
    least = (6 + 12) * 50 * found.epoch_seconds / 2  # the search, and the confirm stage behind it
    assert least <= found.seconds <= 2 * least + 2  # two workers on at least one core


@pytest.mark.parametrize(
    ("texts", "workers", "cores", "seconds"),
    [
        (["confirm=off"], 1, 4, 6 * 50 * 0.5),
        (["confirm=off"], 2, 4, 6 * 50 * 0.5 / 2),
        (["confirm=off"], 8, 4, 6 * 50 * 0.5 / 4),  # more processes than cores
        (["confirm=off", "search.trials=2"], 4, 4, 2 * 50 * 0.5 / 2),  # a worker for each trial
        (["confirm=off", "search.timeout=30"], 1, 4, 28.0),
        # Behind it four configurations on three seeds each, which the timeout does not bound.
        ([], 1, 4, (6 + 12) * 50 * 0.5),
        (["search.timeout=30"], 2, 4, 28.0 + 12 * 50 * 0.5 / 2),
        (["confirm.seeds=1"], 8, 8, 6 * 50 * 0.5 / 6 + 4 * 50 * 0.5 / 4),
    ],
)
def test_the_whole_study_is_so_many_epochs_side_by_side(
    rehearsed, monkeypatch, texts, workers, cores, seconds
):
    monkeypatch.setattr(estimate, "_timed_epoch", lambda *_: 0.5)
    monkeypatch.setattr(estimate, "available_cores", lambda: cores)
    found = rehearsed(*texts, f"search.workers={workers}", timed=True).estimate
    assert found.seconds == pytest.approx(seconds + 2.0)  # two seconds to start


def test_a_default_configuration_that_cannot_train_says_why(rehearsed, monkeypatch):
    monkeypatch.setattr(estimate, "Child", BrokenChild)
    with pytest.raises(
        TunelabError, match="the default configuration cannot be trained: no memory"
    ):
        rehearsed(timed=True)


class BrokenChild:
    """A child that says something and fails."""

    def __init__(self, module, arguments, database, log):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("Traceback ...\nno memory\n")
        self.process = self

    def wait(self):
        return 1

    def order_to_leave(self):
        pass

    def kill(self):
        pass
