"""A picture with its title and the words around it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """What the page shows as one figure.

    Attributes:
        title: What it shows.
        svg: The picture.
        keys: Legend: the mark's classes, and what it means.
        caption: What to know when reading it.
        tags: Short facts beside the title.
    """

    title: str
    svg: str
    keys: tuple[tuple[str, str], ...] = ()
    caption: str = ""
    tags: tuple[str, ...] = ()
