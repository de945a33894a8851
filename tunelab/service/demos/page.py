"""The animation as one HTML file that asks for nothing else."""

from __future__ import annotations

import base64
import html
import json
from pathlib import Path
from typing import Any

import numpy as np

from tunelab.service.demos.contours import svg_bands
from tunelab.service.demos.looks import LOOKS
from tunelab.service.demos.paths import RATES, Run
from tunelab.service.demos.results import Races, html_table, in_words
from tunelab.service.demos.surfaces import Surface

GENERATOR = "tunelab demo surfaces"  # by which the command knows its own page

WIDTH, HEIGHT = 400, 300
"""Units of the drawings; the page scales them."""

_HOME = Path(__file__).parent
_GREATEST = 65535  # of an unsigned number of 16 bits
_BEYOND = 4.0  # windows that a path may lead out of the picture, to each side, before it is cut
_RIGHT_MARGIN = 75.0  # percent of the width, to the right of which words stand left of their sign
_LOWEST, _HIGHEST = -10.0, 10.0  # powers of ten of the values that the page can show


def build_page(races: Races, n_steps: int) -> str:
    """The page.

    Args:
        races: Surface -> optimizer -> race.
        n_steps: Steps of every run that did not diverge.
    """
    surfaces = [next(iter(of.values())).best.surface for of in races.values()]
    names = list(next(iter(races.values())))
    document = {
        "steps": n_steps,
        "beyond": _BEYOND,
        "logarithms": [_LOWEST, _HIGHEST],
        "width": WIDTH,
        "height": HEIGHT,
        "optimizers": [
            {
                "name": name,
                "light": LOOKS[name].light,
                "dark": LOOKS[name].dark,
                "dash": LOOKS[name].dash,
                "mark": LOOKS[name].mark,
            }
            for name in names
        ],
        "surfaces": [
            {
                "name": surface.name,
                "title": surface.title,
                "window": surface.window,
                "tolerance": surface.tolerance,
                "runs": [_run(races[surface.name][name].best) for name in names],
            }
            for surface in surfaces
        ],
    }
    # "</" would end the element that holds it.
    data = json.dumps(document, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")
    texts = {
        "GENERATOR": GENERATOR,
        "STYLE": _text("page.css"),
        "SCRIPT": _text("page.js"),
        "DATA": data,
        "STEPS": str(n_steps),
        "TOLERANCE": f"{surfaces[0].tolerance:g}",
        "RATES": f"{len(RATES)} rates from {RATES[0]:g} to {RATES[-1]:g}",
        "CARDS": "".join(_card(surface) for surface in surfaces),
        "TABLE": html_table(races),
    }
    page = _text("page.html")
    for name, text in texts.items():
        page = page.replace(f"{{{{{name}}}}}", text)
    return page


def encode_run(run: Run) -> bytes:
    """The path of a run for the page: three numbers of 16 bits for each point.

    ::

        x, y    linear, 0 at _BEYOND windows left of or below the window, 65535 as far beyond it
        gap     linear in its logarithm, from 1e-10 to 1e10

    Returns:
        First every x, then every y, then every gap; the low byte first.
    """
    left, right, bottom, top = run.surface.window
    rows = []
    for values, low, high in zip(run.points.T, (left, bottom), (right, top), strict=True):
        shares = (values.astype(np.float64) - low) / (high - low)
        rows.append((shares + _BEYOND) / (1.0 + 2.0 * _BEYOND))
    logarithms = np.log10(np.maximum(run.gaps, 10.0**_LOWEST))
    rows.append((logarithms - _LOWEST) / (_HIGHEST - _LOWEST))
    whole = np.round(np.clip(np.array(rows), 0.0, 1.0) * _GREATEST)
    return bytes(whole.astype("<u2").tobytes())


def _run(run: Run) -> dict[str, Any]:
    return {
        "words": in_words(run),
        "outcome": run.outcome.value,
        "steps": run.steps,
        "rate": f"{run.learning_rate:g}",
        "path": base64.b64encode(encode_run(run)).decode("ascii"),
    }


def _card(surface: Surface) -> str:
    """One surface: its ground as SVG, and canvases for what moves."""
    bands = "".join(
        f'<path class="band" style="--band:{number}" d="{path}"/>'
        for number, path in enumerate(svg_bands(surface, WIDTH, HEIGHT))
        if path
    )
    title, name = html.escape(surface.title), html.escape(surface.name)
    return f"""
<section class="card" aria-labelledby="title-{name}">
  <h2 id="title-{name}">{title}</h2>
  <p class="formula">f = {html.escape(surface.formula)}</p>
  <p>{html.escape(surface.lesson)}</p>
  <div class="plot">
    <svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true">{bands}</svg>
    <canvas class="paths" data-surface="{name}" role="img"
      aria-label="Paths of the optimizers on the surface {title}; the table below has the results"
    ></canvas>
    {_signs(surface)}
  </div>
  <canvas class="values" data-surface="{name}" role="img"
    aria-label="Value above the minimum over the steps, both on logarithmic scales"></canvas>
</section>"""


def _signs(surface: Surface) -> str:
    """Start, minima and traps, as text over the picture."""
    left, right, bottom, top = surface.window
    signs = [("start", "start", surface.start)]
    signs += [("minimum", "minimum", point) for point in surface.minima]
    signs += [("trap", name, point) for name, point in surface.traps]
    parts = []
    for kind, words, (x, y) in signs:
        across = 100 * (x - left) / (right - left)
        down = 100 * (top - y) / (top - bottom)
        side = " leftward" if across > _RIGHT_MARGIN else ""  # else the words would be cut
        parts.append(
            f'<span class="sign {kind}{side}" style="left:{across:.2f}%;top:{down:.2f}%">'
            f"<span>{html.escape(words)}</span></span>"
        )
    return "".join(parts)


def _text(name: str) -> str:
    return (_HOME / name).read_text(encoding="utf-8")
