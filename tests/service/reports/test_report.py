"""The page as its readers meet it: whole, in order, without network, true to what was planted."""

from __future__ import annotations

import json
import math
import os
import re
from html.parser import HTMLParser
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.service.planted import Fate, Planter, bowl
from tunelab.errors import NotFoundError, UsageError
from tunelab.service.reports import write_report
from tunelab.service.reports.charts.history import random_order
from tunelab.service.reports.charts.scales import fitting
from tunelab.service.reports.material import read_material
from tunelab.service.reports.page import CONTENTS, build_page
from tunelab.storage.openings import note_opening, store_scores
from tunelab.storage.states import EndReason
from tunelab.storage.studies import study_by_id, update_study
from tunelab.storage.trials import study_trials

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[2J\u202e=1+1"
MOST_LIGHT, MOST_FULL = 500_000, 8_000_000
SECTIONS = [section for section, _ in CONTENTS]


VOID = {"meta", "path", "rect", "br", "img", "link"}


class Page(HTMLParser):
    """What a browser would make of the page, as far as the tests ask."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text = text
        self.words: list[str] = []
        self.tags: list[str] = []
        self.sections: list[str] = []
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.policy = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], "elements that are never closed"

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "section":
            self.sections.append(given["id"])
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"]
        self.links += [given[key] for key in ("src", "href", "action", "data") if key in given]
        self.handlers += [key for key in given if key.startswith("on")]

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.words.append(data)

    @property
    def said(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def n_figures(self) -> int:
        return self.tags.count("figure")


@pytest.fixture
def report(database, tmp_path):
    def write(study, *, light=True):
        path = tmp_path / "report.html"
        write_report(database, study.id, path, light=light)
        return Page(path.read_text(encoding="utf-8"))

    return write


def mixed(number, flat):
    """Trials of every end; trial 7 is better than all others by far."""
    if number == 7:
        return Fate(0.05)
    if number % 9 == 4:
        return Fate(None, EndReason.FAILED, error="ValueError: boom")
    if flat["learning_rate"] > 0.4:
        return Fate(None, EndReason.DIVERGED, "diverged", n_epochs=2)
    if number % 4 == 1:
        return Fate(bowl(flat) + 0.2, EndReason.PRUNED, "learning", n_epochs=10)
    if flat["units"] > 250:
        return Fate(bowl(flat), signal="overfitting", gap=0.6)
    return Fate(bowl(flat))


@pytest.fixture
def winner(database):
    """A study whose trial 7 really is better, confirmed, and judged on the test rows."""
    planter = Planter(database, 60)
    study = planter.grow(mixed)
    planter.confirm(lambda n: 0.06 if n == 7 else 0.3, noise=0.005)
    with database.write() as connection:
        (trial, *_) = study_trials(connection, study.id)
        key = note_opening(
            connection, study_id=study.id, trial_id=trial.id, test_digest="t", reason="the pick"
        )
        store_scores(connection, key, {"loss": 0.07, "accuracy": 0.972, "rows": 360})
    return study


def test_a_planted_winner_is_named_first_with_how_good_and_how_sure(winner, report):
    page = report(winner)
    head = page.said[: page.said.index("Leaderboard The best")]
    assert re.search(r"Trial 7: validation_loss 0\.0\d+ ± 0\.0\d+ over 3 fresh seeds", head)
    assert "Winner: trial 7, better than the default configuration by " in head
    assert "Tied with the winner: none" in head
    assert "97.2 % 95 % interval 94.9 % to 98.5 %; 360 rows" in head  # the test score, Wilson's
    assert "its confirmation took 12 s" in head
    assert "label_noise" not in page.said
    assert head.index("Trial 7") < head.index("Tied with")
    assert "The test rows were opened once for this study" in page.said


def test_a_study_of_equals_has_no_real_winner_and_its_search_was_too_good(database, report):
    planter = Planter(database, 40)
    luck = np.random.default_rng(2).standard_normal(40)
    study = planter.grow(lambda n, flat: Fate(1.0 + 0.05 * float(luck[n])))
    found = planter.confirm(lambda n: 1.0, noise=0.05)
    assert found.optimism > 0
    page = report(study)
    assert "No real winner: no difference between the 4 finalists is beyond chance" in page.said
    half = found.of(found.pick).half_width
    places = 1 - math.floor(math.log10(half))  # no more digits than the interval beside it
    assert f"Optimism: {round(found.optimism, places):g}, the search's" in page.said
    assert page.said.count("Optimism: ") == 2  # on the first screen, and among what to trust
    assert page.said.count(f"± {half:.4g}") == 0
    tied = ", ".join(map(str, found.tied))
    assert f"Tied with the winner: trials {tied}" in page.said
    assert page.text.count('<tr class="tied">') == 4
    assert "share the first place after 3 seeds" in page.said


@pytest.mark.parametrize("light", [True, False])
def test_the_page_is_whole_in_order_and_asks_for_nothing(winner, report, light):
    page = report(winner, light=light)
    assert page.sections == SECTIONS
    assert all(link.startswith("#") for link in page.links)
    assert {link[1:] for link in page.links} <= set(page.sections)
    contents = re.findall(r'<li><a href="#[\w-]+">(.*?)</a>', page.text)
    assert contents == re.findall(r"<h2>(.*?)</h2>", page.text)
    assert page.policy.startswith("default-src 'none'")
    assert not page.handlers
    # 9 curves and the worst overfitter; 3 of the history; importances and 6 slices; optimizers;
    # 2 of batch sizes; 2 of failures.
    assert page.n_figures == 25
    assert len(page.text.encode()) < (MOST_LIGHT if light else MOST_FULL)
    assert page.tags.count("script") == (0 if light else 3)
    assert ("script-src" in page.policy) is not light
    places = re.findall(r'data-plot="(\w+)"', page.text)
    assert places == ([] if light else ["history", "parallel", "slice", "contour"])
    if not light:
        (data,) = re.findall(r'id="plots">(.*?)</script>', page.text)
        plots = json.loads(data)
        assert set(places) == set(plots)
        assert all(plot["data"] and plot["layout"] for plot in plots.values())


@pytest.mark.parametrize("light", [True, False])
def test_text_of_users_has_no_power_over_the_page(database, report, light):
    hostile = HOSTILE.replace("\x1b", "")  # a study file must not hold it
    planter = Planter(database, 24, description=hostile)
    study = planter.grow(
        lambda n, flat: (
            Fate(None, EndReason.FAILED, error=HOSTILE) if n % 3 == 0 else Fate(bowl(flat))
        )
    )
    page = report(study, light=light)
    assert "img" not in page.tags
    assert not page.handlers
    assert page.tags.count("script") == (0 if light else 3)
    assert page.said.count("<script>alert(1)</script>") >= 2  # as words
    own = page.text if light else page.text[: page.text.index('<script type="application/json"')]
    assert "\x1b" not in own
    assert "\u202e" not in own


def test_findings_next_steps_and_how_to_reproduce_are_there(winner, report, database):
    said = report(winner).said
    assert "Optimism: " in said
    assert "(p = " in said  # what overfitted trials have in common
    assert "Early ends saved " in said
    assert "most often (7): ValueError: boom" in said
    assert "tunelab study start planted.yaml --workers 1" in said
    assert (
        "tunelab study export planted#1 --yaml best winner.yaml && tunelab study start winner.yaml"
    ) in said
    # The planted trials begin one second after each other and take 1.5.
    assert "is not known; up to 2 of its trials were under way at the same time" in said
    assert "max_epochs: 40" in said
    assert "d1" * 32 in said
    assert "9, 10, 11" in said  # the fresh seeds


def test_what_chance_explains_stands_among_all_findings_alone(database, report):
    generator = np.random.default_rng(1)
    over = set(generator.choice(60, 15, replace=False).tolist())
    study = Planter(database, 60).grow(
        lambda n, flat: Fate(bowl(flat), signal="overfitting" if n in over else "plateau")
    )
    said = report(study).said
    assert said.index("may be chance") > said.index("What was found")


def test_wrong_labels_on_purpose_stand_beside_the_test_score(winner, database, report):
    document = {**winner.spec, "data": {**winner.spec["data"], "label_noise": {"share": 0.2}}}
    with database.write() as connection:
        update_study(connection, winner.id, spec=document)
    said = report(winner).said
    words = "20 % of the training and validation labels are wrong on purpose"
    assert said.index(words) < said.index("The configuration")
    assert said.count(words) == 2
    assert said.count("the test labels are the true ones") == 2


def test_a_hyperparameter_that_is_off_is_called_so_in_the_tables(database, report):
    planter = Planter(database, 12)
    planter.flats[3]["l2"] = 0.0
    page = report(planter.grow(lambda n, flat: Fate(0.1 if n == 3 else 1.0)))
    assert re.search(r"l2</span> <b>off</b>", page.text)


def test_the_number_of_workers_is_said_where_it_was_recorded(winner, database, tmp_path):
    with database.read() as connection:
        study = study_by_id(connection, winner.id)
        for n, words in ((2, "last started with 2 workers;"), (1, "last started with 1 worker;")):
            page = build_page(read_material(connection, study, n_workers=n), light=True)
            assert words in page


def test_the_earlier_generation_is_compared_with(database, report):
    Planter(database, 30).grow(lambda n, flat: Fate(1 + bowl(flat)))
    later = Planter(database, 30, seed=1).grow(lambda n, flat: Fate(bowl(flat)))
    page = report(later)
    assert "planted #1" in page.said
    assert "previous generation" in page.said
    assert 'class="line earlier dashed"' in page.text


@pytest.mark.parametrize("light", [True, False])
def test_without_a_complete_trial_the_report_says_so(database, report, light):
    study = Planter(database, 6).grow(
        lambda n, flat: (
            Fate(None, EndReason.FAILED, error="x") if n else Fate(1.0, EndReason.PRUNED)
        )
    )
    page = report(study, light=light)
    assert page.sections == SECTIONS
    assert "No trial has completed: 6 trials ended otherwise" in page.said
    assert "there is nothing to rank" in page.said


def test_before_the_first_trial_there_is_a_report(database, report):
    page = report(Planter(database, 3).study)
    assert "No trial has completed yet" in page.said
    assert page.n_figures == 0


def test_a_running_study_is_reported_as_far_as_it_is(database, report):
    study = Planter(database, 30).grow(
        lambda n, flat: Fate(bowl(flat), end=None if n > 20 else EndReason.COMPLETED)
    )
    said = report(study).said
    assert "The study is interrupted: 21 of 30 trials have ended" in said
    assert "not yet confirmed" in said
    assert "The search's own number is optimistic: it is the best of 21 complete trials" in said


def test_scores_that_are_to_grow_have_the_greatest_first(database, report):
    planter = Planter(database, 30, objective="accuracy")
    page = report(planter.grow(lambda n, flat: Fate(0.5 + n / 100)))
    assert "Trial 29: accuracy 0.79 in the search" in page.said


def test_losses_that_were_no_numbers_leave_gaps(database, report):
    study = Planter(database, 30).grow(lambda n, flat: Fate(bowl(flat)))
    with database.write() as connection:
        connection.exec_driver_sql(
            "UPDATE epochs SET train_loss = NULL, validation_loss = NULL WHERE epoch % 3 = 0"
        )
    assert "nan" not in report(study).text.lower().replace("finance", "")


def test_the_file_appears_whole_and_replaces_what_was_there(database, tmp_path):
    study = Planter(database, 3).grow(lambda n, flat: Fate(1.0))
    path = tmp_path / "r.html"
    path.write_text("old")
    write_report(database, study.id, path, light=True)
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert [p.name for p in tmp_path.glob("*r.html*")] == ["r.html"]
    with pytest.raises(UsageError, match="there is no folder"):
        write_report(database, study.id, tmp_path / "none" / "r.html")
    with pytest.raises(UsageError, match="is a folder"):
        write_report(database, study.id, tmp_path)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(UsageError, match="is not a file"):
        write_report(database, study.id, pipe)
    assert pipe.is_fifo()
    with pytest.raises(NotFoundError):
        write_report(database, 99, path)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=5), st.integers(0, 2))
def test_the_random_reference_is_the_median_over_all_orders(values, n_without):
    """Beside the plain median of the best of the first k, whichever trials those are."""
    everyone = [float(v) for v in values] + [math.inf] * n_without
    expected = []
    for k in range(1, len(everyone) + 1):
        best = sorted(min(first) for first in combinations(everyone, k))
        middle = best[math.ceil(len(best) / 2) - 1]
        if math.isfinite(middle):
            expected.append((float(k - 1), middle))
    assert random_order([float(v) for v in values], len(everyone)) == expected


@given(
    st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=20),
    st.sampled_from([None, False, True]),
)
def test_every_value_has_a_place_within_the_picture_and_ticks_too(values, log):
    scale = fitting(values, 50, 450, log=log)
    for value in values:
        assert 50 <= scale(value) <= 450
    ticks = scale.ticks()
    assert len(ticks) <= 16
    assert ticks == sorted(set(ticks))
    assert all(scale.low - 1e-9 <= tick <= scale.high * 1.002 + 1e-9 for tick in ticks if tick >= 0)
