"""What mattered, and which ranges were too narrow, in the lines of ``study show``."""

from __future__ import annotations

from rich.text import Text

from tunelab.cli.formats import number
from tunelab.cli.paragraphs import labelled
from tunelab.service.learned import AtEdge, Learned

_MOST_NAMED = 3
_LEAST_SHARE = 0.05
_BAR = "▇"
_BARS = 10  # for a share of 1


def learned_lines(found: Learned | None) -> list[Text]:
    """``matter`` and ``edges``; neither where nothing can be said.

    >>> found = Learned((), (AtEdge("dropout_rate", 0.02, "lower", 0.0),))
    >>> learned_lines(found)[0].plain
    'edges   ! dropout_rate best 0.02 lies at its lower bound 0'
    """
    if found is None:
        return []
    lines = []
    clear = [item for item in found.mattered if item.share >= _LEAST_SHARE]
    if clear:
        parts = [
            f"{item.name} {item.share:.2f} {_BAR * max(round(_BARS * item.share), 1)}"
            for item in clear[:_MOST_NAMED]
        ]
        lines.append(labelled("matter", *parts))
    for place, edge in enumerate(found.edges):
        lines.append(labelled("" if place else "edges", f"! {_edge(edge)}"))
    return lines


def _edge(edge: AtEdge) -> str:
    bound = f"{edge.side} bound {number(edge.bound)}"
    return f"{edge.name} best {number(edge.value)} lies at its {bound}"
