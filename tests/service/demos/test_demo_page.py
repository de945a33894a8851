"""The page: asks for nothing, holds the paths and the results, and runs in a browser."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from tests.service.demos.conftest import N_STEPS
from tunelab.service.demos.contours import heights, svg_bands
from tunelab.service.demos.looks import LOOKS
from tunelab.service.demos.page import build_page
from tunelab.service.demos.paths import Outcome, race
from tunelab.service.demos.results import in_words, strip, to_json
from tunelab.service.demos.surfaces import SURFACES
from tunelab.training.optimizers import OPTIMIZERS

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


class Elements(HTMLParser):
    """The attributes of every element, and the text of table cells."""

    def __init__(self, text):
        super().__init__()
        self.found, self.cells, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag in ("td", "th"):
            self.cells.append("")
        self.open.append(tag)

    def handle_data(self, text):
        if self.cells and self.open[-1:] in (["b"], ["th"]) and "tbody" in self.open:
            self.cells[-1] += text

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass


@pytest.fixture(scope="module")
def page(races):
    return build_page(races, N_STEPS)


@pytest.fixture(scope="module")
def data(page):
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return json.loads(found[1])


def test_the_page_refers_to_nothing_outside_of_itself(page):
    assert "://" not in page
    assert "url(" not in page
    assert "@import" not in page
    for tag, attributes in Elements(page).found:
        assert "src" not in attributes
        assert tag not in ("img", "iframe", "object", "embed", "base", "form")
        assert attributes.get("href", "data:,") == "data:,"
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|import)\b\s*\(", page)
    # and if it did, the browser would refuse
    assert "default-src 'none'" in page


def test_the_page_is_whole(page):
    assert page.startswith("<!doctype html>")
    assert "{{" not in page
    assert page.count("</script>") == 2
    assert f"in {N_STEPS} steps" in page


def test_the_page_is_made_for_all(page):
    """Keyboards, screen readers, both themes, and people whom motion makes ill."""
    elements = Elements(page).found
    assert dict(elements)["html"]["lang"] == "en"
    assert ("button", {"id": "play", "type": "button"}) in elements
    assert any(a.get("type") == "range" and a.get("step") == "1" for _, a in elements)
    assert all(a.get("aria-label") for tag, a in elements if tag == "canvas")
    assert "prefers-reduced-motion: reduce" in page
    assert page.count("prefers-color-scheme: dark") == 2
    assert "<noscript>" in page


def test_the_paths_in_the_page_are_those_of_the_races(data, races):
    assert [own["name"] for own in data["optimizers"]] == list(OPTIMIZERS)
    assert [own["name"] for own in data["surfaces"]] == list(SURFACES)
    for surface in data["surfaces"]:
        left, right, bottom, top = surface["window"]
        for optimizer, own in zip(data["optimizers"], surface["runs"], strict=True):
            run = races[surface["name"]][optimizer["name"]].best
            numbers = np.frombuffer(base64.b64decode(own["path"]), "<u2").reshape(3, -1) / 65535
            share = numbers[:2] * 9 - 4  # four windows to each side
            x, y = left + share[0] * (right - left), bottom + share[1] * (top - bottom)
            near = (np.abs(x - run.points[:, 0]) < 1e-3) & (np.abs(y - run.points[:, 1]) < 1e-3)
            beyond = (share <= -4) | (share >= 5)
            assert (near | beyond.any(axis=0)).all()
            logarithm = np.log10(np.maximum(run.gaps, 1e-10))
            assert 20 * numbers[2] - 10 == pytest.approx(logarithm, abs=2e-4)
            assert own["words"] == in_words(run)


def test_the_table_has_the_results(page, races):
    cells = [cell for cell in Elements(page).cells if cell]
    expected = []
    for name in OPTIMIZERS:
        expected += [name, *(in_words(of[name].best) for of in races.values())]
    assert cells == expected
    assert "never" in cells
    best = min(
        race.best.steps for race in races["saddle"].values() if race.best.outcome is Outcome.ARRIVED
    )
    assert f"<b class=first>{best}</b>" in page


def test_results_in_words_and_signs():
    diverged = race("sgd", SURFACES["valley"], 50, rates=(0.1, 1.0))
    assert in_words(diverged.best) == "diverged"
    assert strip(diverged) == "××"


def test_the_json_document_can_be_read_by_all(races):
    document = json.loads(json.dumps(to_json(races, N_STEPS), allow_nan=False))
    assert (document["schema"], document["max_steps"]) == (1, N_STEPS)
    for surface in document["surfaces"]:
        for own in surface["optimizers"]:
            best = races[surface["name"]][own["name"]].best
            assert (own["outcome"], own["steps"]) == (best.outcome.value, best.steps)
            assert len(own["outcomes"]) == 13


def test_every_optimizer_has_a_look_of_its_own():
    assert LOOKS.keys() == OPTIMIZERS.keys()
    for part in ("light", "dark", "mark"):
        assert len({getattr(look, part) for look in LOOKS.values()}) == len(LOOKS)


def luminance(colour):
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_lines_stand_out_from_the_ground(name):
    """At least 3 to 1 from the page, as WCAG asks of graphics."""
    look = LOOKS[name]
    assert (luminance("#ffffff") + 0.05) / (luminance(look.light) + 0.05) >= 3
    assert (luminance(look.dark) + 0.05) / (luminance("#14171b") + 0.05) >= 3


@pytest.mark.parametrize("surface", SURFACES.values(), ids=SURFACES.keys())
def test_bands_are_shares_of_the_window(surface):
    ground = heights(surface)
    assert (np.diff(ground.levels) > 0).all()
    shares = np.histogram(ground.gaps, ground.levels)[0] / ground.gaps.size
    assert shares.min() > 0
    assert shares.max() < 0.15
    bands = svg_bands(surface, 400, 300)
    assert len(bands) == len(shares)
    for band in bands:
        numbers = np.array(re.findall(r"-?[\d.]+", band), float).reshape(-1, 2)
        assert numbers.min() >= 0
        assert (numbers <= [400, 300]).all()


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")
@pytest.mark.parametrize(
    ("flags", "button", "least"),
    [([], "Pause", 0), (["--force-prefers-reduced-motion"], "Replay", N_STEPS)],
    ids=["plays by itself", "reduced motion"],
)
def test_the_page_runs_in_a_browser_without_an_error(page, tmp_path, flags, button, least):
    file = tmp_path / "demo.html"
    file.write_text(page, encoding="utf-8")
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
        "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr",
        "--virtual-time-budget=2000", "--dump-dom", *flags, file.as_uri(),
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "CONSOLE" not in result.stderr
    assert f'<button id="play" type="button">{button}</button>' in result.stdout
    step = re.search(r'<output id="shown"[^>]*>(\d+)</output>', result.stdout)
    assert int(step[1]) >= least
    # one for each optimizer, made by the script
    legend = result.stdout.partition('id="legend"')[2].partition("</fieldset>")[0]
    assert legend.count("<canvas") == legend.count("checkbox") == len(OPTIMIZERS)
