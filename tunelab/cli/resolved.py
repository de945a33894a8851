"""``study show --resolved``: a study's whole file, each value with the place it came from."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from tunelab.cli.console import is_terminal, put_json, put_lines, terminal_width
from tunelab.cli.formats import clean
from tunelab.service.resolved import DEFAULT, Resolved, values_in
from tunelab.service.summary import SCHEMA
from tunelab.spec.part import Place
from tunelab.spec.problems import dotted
from tunelab.spec.yaml_writer import to_yaml

_INDENT = 2
_FARTHEST = 60  # column at which remarks begin at most


def show_resolved(study: Resolved, *, as_json: bool) -> None:
    """Print a resolved study file, which is a study file again."""
    if as_json:
        keys = [dotted(place) for place in values_in(study.mapping)]
        sources = study.sources and {key: study.sources.get(key, DEFAULT) for key in keys}
        put_json({"schema": SCHEMA, "study": dict(study.mapping), "sources": sources})
        return
    width = terminal_width() if is_terminal(sys.stdout) else sys.maxsize
    put_lines(resolved_lines(study, width))


def resolved_lines(study: Resolved, width: int) -> Iterator[Text]:
    r"""The study file with a remark behind each line, or above it where it has no place there.

    >>> study = Resolved({"name": "a", "space": {"units": {"low": 1, "high": 2}}},
    ...                  {"name": "a.yaml:1", "space.units.high": "--set space.units.high"})
    >>> print(*(line.plain for line in resolved_lines(study, 80)), sep="\n")
    name: a      # a.yaml:1
    space:
      units:
        low: 1   # default
        high: 2  # --set space.units.high
    """
    if study.sources is None:
        yield Text("# where its values came from was not recorded on this machine", "dim")
    lines = list(_lines(study, study.mapping, ()))
    column = max((len(line) for line, remark in lines if remark), default=0) + 2
    column = min(column, _FARTHEST)
    for line, remark in lines:
        if not remark:
            yield Text(line)
            continue
        note = f"# {clean(remark)}"
        gap = max(column - len(line), 2)
        if len(line) + gap + len(note) <= width:
            yield Text.assemble(line, " " * gap, (note, "dim"))
        else:
            indent = " " * (len(line) - len(line.lstrip()))
            yield Text.assemble(indent, (note, "dim"))
            yield Text(line)


def _lines(study: Resolved, mapping: Mapping[str, Any], above: Place) -> Iterator[tuple[str, str]]:
    """Each line and its remark: a mapping is one line where all in it came from one place."""
    indent = " " * (_INDENT * len(above))
    for key, value in mapping.items():
        place = (*above, key)
        sources = study.sources
        inside = {dotted(item) for item in values_in({key: value}, above)}
        remarks = {"" if sources is None else sources.get(item, DEFAULT) for item in inside}
        first, *others = to_yaml({key: value}).splitlines()
        if isinstance(value, Mapping) and value and (others or len(remarks) > 1):
            yield f"{indent}{first.partition(':')[0]}:", ""
            yield from _lines(study, value, place)
        else:
            yield indent + first, remarks.pop()
