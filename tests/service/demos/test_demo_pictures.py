"""The GIF and the picture of the schedules, and those that the README shows."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.service.demos.conftest import N_STEPS
from tunelab.service.demos.animation import build_gif, frame_steps
from tunelab.service.demos.command import SCHEDULES_MARK, SURFACES_MARK
from tunelab.service.demos.schedules import (
    LEARNING_RATE,
    curve,
    draw_schedules,
    settings_of,
)
from tunelab.training.schedules import SCHEDULES, make_schedule, planned_rates

ROOT = Path(__file__).parents[3]
PICTURES = ROOT / "docs" / "pictures"


def test_the_gif_moves_and_begins_again(races):
    content = build_gif(races, N_STEPS)
    assert SURFACES_MARK.encode() in content[:65536]
    picture = Image.open(io.BytesIO(content))
    assert picture.n_frames == len(frame_steps(N_STEPS))
    assert picture.info["loop"] == 0
    first = np.asarray(picture.convert("RGB"))
    picture.seek(picture.n_frames - 1)
    last = np.asarray(picture.convert("RGB"))
    assert first.shape == last.shape
    assert (first != last).any(axis=2).mean() > 0.005
    assert picture.info["duration"] >= 3000


def test_frames_show_the_first_and_the_last_step():
    for n_steps in (1, 2, 60, 10_000):
        steps = frame_steps(n_steps)
        assert (steps[0], steps[-1]) == (0, n_steps)
        assert (np.diff(steps) > 0).all()


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("max_epochs", [3, 60])
def test_curves_are_the_trainers_schedules(name, max_epochs):
    at, rates = curve(name, max_epochs)
    schedule = make_schedule(
        name, LEARNING_RATE, max_epochs, settings_of(name, max_epochs), steps_per_epoch=20
    )
    planned = planned_rates(schedule, max_epochs, steps_per_epoch=20)
    found = dict(zip(at, rates, strict=True))
    assert [found[epoch] for epoch in range(max_epochs)] == planned
    assert at[-1] == max_epochs
    assert max(rates) <= LEARNING_RATE * (1 + 1e-12)


def test_the_picture_has_a_panel_for_every_schedule_and_no_date():
    svg = draw_schedules(60, ".svg")
    assert svg == draw_schedules(60, ".svg")
    for name in SCHEDULES:
        assert f"<!-- {name} -->" in svg.decode()
    assert SCHEDULES_MARK.encode() in svg[:65536]


@pytest.mark.parametrize("max_epochs", [3, 1000])
def test_short_and_long_runs_can_be_drawn(max_epochs):
    png = draw_schedules(max_epochs, ".png")
    assert SCHEDULES_MARK.encode() in png[:65536]
    assert Image.open(io.BytesIO(png)).size == (900, 700)


@pytest.mark.parametrize(
    ("name", "mark"),
    [("demo-surfaces.gif", SURFACES_MARK), ("demo-schedules.png", SCHEDULES_MARK)],
)
def test_the_readme_shows_pictures_of_at_most_300_kb(name, mark):
    assert f"docs/pictures/{name}" in (ROOT / "README.md").read_text(encoding="utf-8")
    content = (PICTURES / name).read_bytes()
    assert len(content) < 300_000
    assert mark.encode() in content[:65536]
