"""Settings that go before a study file: options, ``--set KEY=VALUE``, and TUNELAB_* variables.

A setting replaces one value of the file before the file is checked, so that it meets every check
that the value in the file would have met. What is wrong with it is told under its own name:
``--set search.trials: must be from 1 to 1000000, got 0``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tunelab.errors import Problem, StudyFileError
from tunelab.spec.part import Place
from tunelab.spec.problems import dotted
from tunelab.spec.rules import shown
from tunelab.spec.scalars import Scalar
from tunelab.spec.sections import SearchSpec
from tunelab.spec.yaml_errors import Mark
from tunelab.spec.yaml_tree import Entry, Node, read_tree

MAX_CHARACTERS = 20_000
VARIABLE_PREFIX = "TUNELAB_"
NOT_TEXT = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
"""A character that no study file may hold."""

_START = Mark(1, 1)
_KEY = re.compile(r"[^\s.=:]+(\.[^\s.=:]+)*")
_MOST_KEYS = 10
_QUOTES = "text that is more than words needs quotes of its own, inside those of the shell"


@dataclass(frozen=True)
class Override:
    """One setting.

    Attributes:
        place: The keys that lead to the value.
        node: The value.
        origin: The setting as its user knows it: ``--set search.seed``, ``TUNELAB_SEED``.
    """

    place: tuple[str, ...]
    node: Node
    origin: str

    @property
    def key(self) -> str:
        """The key as problems name it: ``search.seed``."""
        return dotted(self.place)


def option(place: tuple[str, ...], value: Scalar, origin: str) -> Override:
    """The setting of an option of its own, such as ``--trials``."""
    return Override(place, Node(value, _START), origin)


def assignments(texts: Iterable[str]) -> list[Override]:
    """The settings of ``--set``, each ``KEY=VALUE`` with a value as a study file would have it.

    >>> [setting] = assignments(["space.units=[16, 32]"])
    >>> setting.place, setting.node.plain(), setting.origin
    (('space', 'units'), [16, 32], '--set space.units')

    Raises:
        StudyFileError: With everything that is wrong in them.
    """
    found: list[Override] = []
    problems: list[Problem] = []
    for text in texts:
        key, equals, value = text.partition("=")
        place = tuple(key.strip().split("."))
        if not equals or not _KEY.fullmatch(key.strip()) or len(place) > _MOST_KEYS:
            message = f"must look like search.trials=100, got {shown(text)}"
            problems.append(Problem("--set", None, None, "", message))
            continue
        _read(place, value, f"--set {dotted(place)}", found, problems)
    if problems:
        raise StudyFileError(problems)
    return found


def variable_names() -> dict[str, str]:
    """The variable of each key of the section ``search``: its name in capitals.

    >>> variable_names()["TUNELAB_MAX_EPOCHS"]
    'max_epochs'
    """
    return {VARIABLE_PREFIX + key.upper(): key for key in SearchSpec.known_keys()}


def variables(environment: Mapping[str, str]) -> list[Override]:
    """The settings of the section ``search`` that stand in the environment.

    An empty variable is not set.

    >>> [setting] = variables({"TUNELAB_MAX_EPOCHS": "50", "TUNELAB_TRIALS": ""})
    >>> setting.key, setting.node.plain(), setting.origin
    ('search.max_epochs', 50, 'TUNELAB_MAX_EPOCHS')

    Raises:
        StudyFileError: With everything that is wrong in them.
    """
    found: list[Override] = []
    problems: list[Problem] = []
    for name, key in variable_names().items():
        value = environment.get(name, "")
        if value.strip():
            _read(("search", key), value, name, found, problems)
    if problems:
        raise StudyFileError(problems)
    return found


def _read(
    place: tuple[str, ...],
    text: str,
    origin: str,
    found: list[Override],
    problems: list[Problem],
) -> None:
    """Read one value; add the setting, or what is wrong with it."""

    def refuse(message: str, hint: str | None = None) -> None:
        problems.append(Problem(origin, None, None, "", message, hint))

    if len(text) > MAX_CHARACTERS:
        refuse(f"must have at most {MAX_CHARACTERS} characters, got {len(text)}")
        return
    odd = NOT_TEXT.search(text)
    if odd is not None:
        refuse(f"must be text, got the character U+{ord(odd[0]):04X}")
        return
    tree, flaws = read_tree(text)
    for flaw in flaws:
        syntax = flaw.message.startswith("not valid YAML")
        where = f" (character {flaw.mark.column})" if flaw.mark.line == 1 else ""
        refuse(flaw.message + where, _QUOTES if syntax else flaw.hint)
    if flaws:
        return
    if tree is None or tree.value is None:
        refuse("has no value", "write one behind the equals sign")
        return
    found.append(Override(place, tree, origin))


@dataclass(frozen=True)
class Merged:
    """A study file's tree with settings in it.

    Attributes:
        tree: The tree; where no setting goes, that of the file.
        origins: Dotted key -> the setting that put this value, and all below it, there.
        problems: Settings that have no place in the file.
    """

    tree: Node
    origins: Mapping[str, Override]
    problems: tuple[Problem, ...] = ()

    def origin(self, key: str) -> Override | None:
        """The setting that the value at a dotted key, or a key it lacks, comes from."""
        parts = key.split(".")
        above = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
        return next((self.origins[name] for name in above if name in self.origins), None)


def merge(tree: Node, overrides: Sequence[Override]) -> Merged:
    """Put the settings into the tree, the later ones over the earlier; missing sections are made.

    >>> given, _ = read_tree("search: {trials: 60}")
    >>> merged = merge(given, assignments(["search.trials=5", "space.units.low=16"]))
    >>> merged.tree.plain()
    {'search': {'trials': 5}, 'space': {'units': {'low': 16}}}
    >>> merged.origin("space.units.high").origin
    '--set space.units.low'
    """
    origins: dict[str, Override] = {}
    problems = []
    for override in overrides:
        block = _block(tree, override.place)
        if block is not None:
            got = shown(block[1].plain())
            name = dotted(tuple(block[0]))
            message = f"cannot go into {name}, which is no mapping: it is {got}"
            hint = f"set {name} itself"
            problems.append(Problem(override.origin, None, None, "", message, hint))
            continue
        tree = _with(tree, override, 0, origins)
    return Merged(tree, origins, tuple(problems))


def _block(tree: Node, place: Sequence[str]) -> tuple[Sequence[str], Node] | None:
    """What on the way to ``place`` is no mapping, and where it stands."""
    node = tree
    for index, key in enumerate(place):
        if not isinstance(node.value, dict):
            return place[:index], node
        if key not in node.value:
            return None
        node = node.value[key].node
    return None


def _with(node: Node, override: Override, depth: int, origins: dict[str, Override]) -> Node:
    """A copy of the mapping ``node`` with the setting below it: others may share it by an alias."""
    assert isinstance(node.value, dict)  # noqa: S101
    key = override.place[depth]
    here = dotted(override.place[: depth + 1])
    old = node.value.get(key)
    mark = node.mark if old is None else old.mark
    if depth == len(override.place) - 1:
        inside = f"{here}."
        for name in [name for name in origins if name.startswith(inside)]:
            del origins[name]
        origins[here] = override
        new = override.node
    else:
        if old is None:
            origins[here] = override
        section = Node({}, mark) if old is None else old.node
        new = _with(section, override, depth + 1, origins)
    return replace(node, value={**node.value, key: Entry(mark, new)})


def given_at(tree: Node, place: Place) -> Node | None:
    """The value of the tree at ``place``; None where the place is missing."""
    node = tree
    for part in place:
        if not isinstance(node.value, dict) or part not in node.value:
            return None
        node = node.value[str(part)].node
    return node
