"""A family of optimizers or schedules on a terminal, in a pipe, or as JSON."""

from __future__ import annotations

import math
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from rich.text import Text

from tunelab.cli.console import is_terminal, put, put_json, put_lines, tell, terminal_width
from tunelab.cli.dimensions import searched
from tunelab.cli.formats import clean, count
from tunelab.cli.hyperparameters import plain
from tunelab.cli.tables import Column, tab_separated, table
from tunelab.service.catalogue import Catalogue, Member, Setting
from tunelab.spec.rules import Name, RateTable, Rule, Switch

_INDENT = 2
_HANG = 4
_WIDEST = 100  # of running text
_SECTION = re.compile(r"(Args|Attributes|Raises|Returns|Yields):")


def show_catalogue(catalogue: Catalogue, name: str | None, *, as_json: bool) -> None:
    """Print a family, or one member of it in full.

    Raises:
        UsageError: If there is no member of that name.
    """
    shown = catalogue if name is None else catalogue.only(name)
    if as_json:
        put_json(shown.to_json())
    elif name is not None:
        put_lines(_in_full(shown, terminal_width()))
    elif is_terminal(sys.stdout):
        put_lines(_overview(shown, terminal_width()))
    else:
        # For other programs: a line for each setting.
        tell(_assumption(shown))
        for line in tab_separated(_HEAD, _cells(shown.members)):
            put(line)


def _overview(catalogue: Catalogue, width: int) -> Iterator[Text]:
    """Every member with its formula and its settings, then the wrappers."""
    family = catalogue.family
    title = f"{count(len(catalogue.members), family.removesuffix('s'))}; "
    yield from _folded(f"{title}`tunelab {family} NAME` tells all about one", width)
    yield from _folded(_assumption(catalogue), width)
    for member in (*catalogue.members, *catalogue.wrappers):
        yield Text()
        yield from _heading(member, width)
        for line in member.formula.splitlines():
            yield from _folded(line, width, indent=_INDENT, hang=_HANG, style="cyan")
        yield from _settings(member, width)


def _in_full(catalogue: Catalogue, width: int) -> Iterator[Text]:
    """One member: its settings, then its whole text."""
    (member,) = (*catalogue.members, *catalogue.wrappers)
    yield from _heading(member, width)
    if member.settings:
        yield from _folded(_assumption(catalogue), width)
        yield Text()
        # A pipe has no width to keep to.
        yield from _settings(member, width if is_terminal(sys.stdout) else sys.maxsize)
    yield Text()
    _, _, body = member.documentation.partition("\n")
    yield from document(body, min(width, _WIDEST))


def _assumption(catalogue: Catalogue) -> str:
    epochs, rows = count(catalogue.max_epochs, "epoch"), count(catalogue.n_train, "training row")
    return f"searched: the default ranges for {epochs} and {rows}; some scale with the epochs"


def _heading(member: Member, width: int) -> Iterator[Text]:
    aside = ""
    if member.settings and not member.searched:
        aside = " Searched only where a study names it."
    first, *others = _folded(f"{member.name}  {member.summary}{aside}", width, hang=_INDENT)
    first.stylize("bold", 0, len(member.name))
    yield from (first, *others)


def _settings(member: Member, width: int) -> list[Text]:
    if not member.settings:
        return []
    settings = member.settings
    columns = [
        Column("SETTING", [setting.name for setting in settings]),
        Column("DEFAULT", [_default(setting) for setting in settings]),
        Column("SEARCHED", [searched(setting.searched) for setting in settings], drop=1),
        Column("VALID", [valid(setting.valid) for setting in settings], drop=2),
    ]
    return [Text.assemble(" " * _INDENT, line) for line in table(columns, max(width - _INDENT, 1))]


def _default(setting: Setting) -> str:
    if setting.required:
        return "must be given"
    return "by the run" if setting.default is None else plain(setting.default)


def valid(rule: Rule) -> str:
    """The values that a rule allows, in a few words.

    >>> from tunelab.spec.rules import Number
    >>> valid(Number("float", 0, 1, high_open=True)), valid(Number("int", 1, 1_000_000))
    ('[0, 1)', '1 to 1000000, whole')
    >>> valid(Number("float", 0, low_open=True)), valid(Name("unit", ("epoch", "step")))
    ('> 0', 'epoch, step')
    """
    if isinstance(rule, RateTable):
        return f"epoch: rate, ... with rates in {valid(rule.rate)}"
    if isinstance(rule, Name | Switch):
        return ", ".join(rule.known)
    low, high = _end(rule.low), _end(rule.high)
    if rule.high == math.inf:
        return f"{'>' if rule.low_open else '>='} {low}"
    if rule.kind == "int":
        return f"{low} to {high}, whole"
    left, right = "(" if rule.low_open else "[", ")" if rule.high_open else "]"
    return f"{left}{low}, {high}{right}"


def _end(end: float) -> str:
    return f"{end:.0f}" if math.isfinite(end) and end % 1 == 0 else f"{end:g}"


_HEAD = ["name", "setting", "default", "searched", "valid", "searched_by_default"]
_HEAD += ["summary", "formula"]


def _cells(members: Iterable[Member]) -> Iterator[Sequence[object]]:
    for member in members:
        by_default = "yes" if member.searched else "no"
        formula = "; ".join(" ".join(line.split()) for line in member.formula.splitlines())
        for setting in member.settings:
            found = "" if setting.searched is None else searched(setting.searched)
            yield [
                member.name,
                setting.name,
                setting.default,
                found,
                valid(setting.valid),
                by_default,
                member.summary,
                formula,
            ]


def document(text: str, width: int) -> Iterator[Text]:
    r"""A docstring for people: marks taken out, paragraphs broken at ``width``, the rest as it is.

    >>> text = "One ``k`` of\nmany::\n\n    a = 1\n\nArgs:\n    k: In\n        [0, 1]."
    >>> print(*(line.plain for line in document(text, 30)), sep="\n")
    One k of many:
    <BLANKLINE>
        a = 1
    <BLANKLINE>
    Args:
        k: In [0, 1].
    """
    literal = False
    for index, block in enumerate(re.split(r"\n\s*\n", text.strip("\n"))):
        lines = block.splitlines()
        if index:
            yield Text()
        if lines[0].startswith(">>>") or (literal and lines[0].startswith(" ")):
            for line in lines:
                yield from _folded(line, width, hang=_HANG)
            continue
        literal = lines[-1].endswith("::")
        if _SECTION.fullmatch(lines[0]):
            yield Text(lines[0])
            for item in _joined(lines[1:], deeper_than=_HANG):
                yield from _folded(_unmarked(item), width, hang=_HANG)
        else:
            for paragraph in _joined(lines, deeper_than=-1):
                yield from _folded(_unmarked(paragraph), width)


def _joined(lines: Sequence[str], *, deeper_than: int) -> Iterator[str]:
    """Lines joined with those that follow and are indented more than ``deeper_than``."""
    whole = lines[0]
    for line in lines[1:]:
        if len(line) - len(line.lstrip()) > deeper_than:
            whole += f" {line.strip()}"
        else:
            yield whole
            whole = line
    yield whole


def _unmarked(text: str) -> str:
    return text.replace("``", "").replace("::", ":")


def _folded(
    text: str, width: int, *, indent: int = 0, hang: int = 0, style: str = ""
) -> Iterator[Text]:
    """A line of text, broken at spaces where it is too long for the width."""
    body = clean(text.lstrip())
    start = " " * (indent + len(text) - len(text.lstrip()))
    if len(start) + len(body) <= width:
        # As it is: columns of a formula stay below one another.
        yield Text(start + body, style)
        return
    for line in textwrap.wrap(
        body,
        max(width, 1),
        initial_indent=start,
        subsequent_indent=start + " " * hang,
        break_long_words=False,
        break_on_hyphens=False,
    ):
        yield Text(line, style)
