"""YAML text -> a tree that knows where every key and value stands.

The tree is built from the parser's events, so that nothing is constructed before it is checked:
nesting, size and aliases are limited while reading, tags are refused, and no error of the file
ends the reading of the rest unless the text is no YAML at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceStartEvent,
)

from tunelab.spec.part import Place
from tunelab.spec.rules import shown
from tunelab.spec.scalars import Scalar, plain_scalar
from tunelab.spec.yaml_errors import ANCHOR_HINT, Flaw, Mark, syntax_flaw

MAX_DEPTH = 40
_ALWAYS_NEEDED = (("name",), ("task",), ("data",), ("data", "source"), ("data", "path"))
MAX_NODES = 5_000

_START = Mark(1, 1)


@dataclass
class Node:
    """A value of the file.

    Attributes:
        value: A scalar, the items of a list, or the entries of a mapping.
        mark: Where it begins.
        size: Nodes in it, itself included, aliases counted as what they stand for.
        height: Levels of nesting in it; 0 for a scalar.
    """

    value: Scalar | list[Node] | dict[str, Entry]
    mark: Mark
    size: int = 1
    height: int = 0

    def plain(self) -> Any:
        """The value without its positions: dicts, lists, scalars."""
        if isinstance(self.value, dict):
            return {key: entry.node.plain() for key, entry in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value

    def locate(self, place: Place, at_key: bool = False) -> Mark:
        """Where the value at ``place`` stands, or its key; what is missing stands at its parent."""
        node, mark = self, self.mark
        for index, part in enumerate(place):
            if isinstance(node.value, dict) and isinstance(part, str) and part in node.value:
                entry = node.value[part]
                last = index == len(place) - 1
                node, mark = entry.node, entry.mark if last and at_key else entry.node.mark
            elif isinstance(node.value, list) and isinstance(part, int):
                node = node.value[part]
                mark = node.mark
            else:
                return self.locate(place[:index], at_key=True) if index else mark
        return mark


@dataclass
class Entry:
    """One key of a mapping: where it stands, and its value."""

    mark: Mark
    node: Node


@dataclass
class _Open:
    """A list or mapping whose end has not been read yet."""

    node: Node
    anchor: str | None
    key: str | None = None
    key_mark: Mark | None = None
    keys_seen: dict[str, Mark] = field(default_factory=dict)


class _Stop(Exception):  # noqa: N818 - ends the reading, which the caller always catches
    """A flaw after which the rest of the file cannot be read."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.message)
        self.flaw = flaw


def read_tree(text: str) -> tuple[Node | None, list[Flaw]]:
    """The file's one document, and what is wrong with it as YAML.

    The document is None where there is none, or where reading had to stop; duplicate keys, tags
    and missing values are flaws beside which the rest can still be read.
    """
    builder = _Builder()
    try:
        for event in _events(text):
            builder.take(event)
    except _Stop as stop:
        return None, [stop.flaw]
    return builder.root, builder.flaws


def _events(text: str) -> Iterator[Any]:
    events = YAML(typ="safe", pure=True).parse(text)
    while True:
        try:
            yield next(events)
        except StopIteration:
            return
        except Exception as error:
            # Damaged text makes the parser raise more than its own errors.
            raise _Stop(syntax_flaw(error, text)) from None


class _Builder:
    def __init__(self) -> None:
        self.root: Node | None = None
        self.flaws: list[Flaw] = []
        self._open: list[_Open] = []
        self._anchors: dict[str, Node] = {}
        self._nodes = 0
        self._documents = 0

    def take(self, event: Any) -> None:
        """Take in the next event."""
        mark = Mark(event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise _Stop(Flaw(mark, (), "must hold one document, found a second one"))
        elif isinstance(event, CollectionEndEvent):
            self._close()
        elif isinstance(event, AliasEvent):
            self._alias(event.anchor, mark)
        elif isinstance(event, NodeEvent):
            self._start(event, mark)

    def _start(self, event: Any, mark: Mark) -> None:
        if event.tag is not None:
            tag = str(event.tag).replace("tag:yaml.org,2002:", "!!")
            message = f"tags are not allowed, got {shown(tag)}"
            hint = "write the plain value"
            self.flaws.append(Flaw(mark, self._place(), message, hint, covers=True))
        self._count(1, mark)
        if isinstance(event, ScalarEvent):
            value = plain_scalar(event.value) if event.implicit[0] else event.value
            node = Node(value, mark)
            if event.anchor:
                self._anchors[event.anchor] = node
            self._add(node)
        else:
            if len(self._open) >= MAX_DEPTH:
                raise self._too_deep(mark)
            is_mapping = isinstance(event, MappingStartEvent)
            assert is_mapping or isinstance(event, SequenceStartEvent)  # noqa: S101
            self._open.append(_Open(Node({} if is_mapping else [], mark, 1, 1), event.anchor))

    def _close(self) -> None:
        done = self._open.pop()
        if done.anchor:
            self._anchors[done.anchor] = done.node
        self._add(done.node)

    def _alias(self, name: str, mark: Mark) -> None:
        node = self._anchors.get(name)
        if node is None:
            message = f"the alias {shown(name)} has no anchor above"
            raise _Stop(Flaw(mark, self._place(), message, ANCHOR_HINT))
        if len(self._open) + node.height > MAX_DEPTH:
            raise self._too_deep(mark)
        self._count(node.size, mark)
        self._add(replace(node, mark=mark))

    def _add(self, node: Node) -> None:
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        parent.node.size += node.size
        parent.node.height = max(parent.node.height, node.height + 1)
        if isinstance(parent.node.value, list):
            self._refuse_nothing(node)
            parent.node.value.append(node)
        elif parent.key_mark is None:
            self._key(parent, node)
        else:
            self._entry(parent, node)

    def _key(self, parent: _Open, node: Node) -> None:
        parent.key_mark = node.mark
        parent.key = None
        if isinstance(node.value, int) and not isinstance(node.value, bool):
            # Epochs in a table of learning rates; everywhere else an unknown key.
            node = replace(node, value=shown(node.value))
        if not isinstance(node.value, str):
            got = shown(node.value)
            hint = "put the key in quotes" if isinstance(node.value, int | float) else None
            self.flaws.append(
                Flaw(node.mark, self._place(), f"a key must be text, got {got}", hint)
            )
        elif node.value == "<<":
            message = "merge keys are not allowed"
            self.flaws.append(Flaw(node.mark, self._place(), message, "write the keys out"))
        elif node.value in parent.keys_seen:
            line = parent.keys_seen[node.value].line
            message = (
                f"duplicate key {shown(node.value)} in line {node.mark.line},"
                f" first given in line {line}"
            )
            place = (*self._place(), node.value)
            self.flaws.append(Flaw(node.mark, place, message, "keep one of them"))
        else:
            parent.keys_seen[node.value] = node.mark
            parent.key = node.value

    def _entry(self, parent: _Open, node: Node) -> None:
        assert isinstance(parent.node.value, dict)  # noqa: S101
        assert parent.key_mark is not None  # noqa: S101
        if node.value is None:
            # The parser sees an absent value where the next key stands.
            node = replace(node, mark=parent.key_mark)
        self._refuse_nothing(node)
        if parent.key is not None:
            parent.node.value[parent.key] = Entry(parent.key_mark, node)
        parent.key = parent.key_mark = None

    def _refuse_nothing(self, node: Node) -> None:
        if node.value is None:
            place = self._place()
            hint = "give one, or remove the key"
            if place and ":" in str(place[-1]):
                hint = "put a space behind the colon"
            elif place in _ALWAYS_NEEDED:
                hint = "give one"
            self.flaws.append(Flaw(node.mark, place, "has no value", hint, covers=True))

    def _count(self, nodes: int, mark: Mark) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            message = f"must hold at most {MAX_NODES} values, aliases counted as written out"
            raise _Stop(Flaw(mark, (), message))

    def _too_deep(self, mark: Mark) -> _Stop:
        return _Stop(Flaw(mark, (), f"must nest at most {MAX_DEPTH} levels deep"))

    def _place(self) -> Place:
        """Keys and indices that lead to the value read next."""
        place: list[str | int] = []
        for item in self._open:
            if isinstance(item.node.value, list):
                place.append(len(item.node.value))
            elif item.key is not None:
                place.append(item.key)
        return tuple(place)
