"""What the engine can do: every optimizer and schedule with its formula, settings and ranges.

Nothing is written twice: the texts are those of the docstrings, the defaults those of the
signatures, the ranges those that study files are read with.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunelab.errors import UsageError, nearest
from tunelab.spec.default_space import complete_space, default_value
from tunelab.spec.rules import Number, RateTable, Rule
from tunelab.spec.space import Dimension, Space
from tunelab.spec.tables import ENGINE_DEFAULTS
from tunelab.spec.tables import OPTIMIZERS as OPTIMIZER_RULES
from tunelab.spec.tables import SCHEDULES as SCHEDULE_RULES
from tunelab.training.optimizers import OPTIMIZERS
from tunelab.training.schedules import SCHEDULES, default_settings
from tunelab.training.schedules.warm_up import warm_up

MAX_EPOCHS = 100
N_TRAIN = 1000
"""The study whose default ranges are told: some are shares of its epochs."""


@dataclass(frozen=True)
class Setting:
    """One setting of a member.

    Attributes:
        name: As study files write it.
        required: Whether it has no default and a study must give it.
        default: What it is unless a study gives or searches it; None where the run decides.
        valid: What it may be.
        searched: Where it is looked for unless a study says otherwise; None: it is not searched.
        syntax: ``searched`` as study files write it.
    """

    name: str
    required: bool
    default: Any
    valid: Rule
    searched: Dimension | None
    syntax: Any

    def to_json(self) -> dict[str, Any]:
        """The setting as a JSON object."""
        return {
            "name": self.name,
            "required": self.required,
            "default": self.default,
            "valid": _rule_json(self.valid),
            "searched": self.syntax,
        }


@dataclass(frozen=True)
class Member:
    """One optimizer or schedule, or what may go around a schedule.

    Attributes:
        name: As study files write it.
        documentation: Its whole text.
        searched: Whether a study that names none tries it.
        settings: In the order of the tables.
    """

    name: str
    documentation: str
    searched: bool
    settings: tuple[Setting, ...]

    @property
    def summary(self) -> str:
        """The first line of its text, without marks."""
        return self.documentation.splitlines()[0].replace("``", "")

    @property
    def formula(self) -> str:
        """The first literal block of its text."""
        return first_literal_block(self.documentation)

    def to_json(self) -> dict[str, Any]:
        """The member as a JSON object."""
        return {
            "name": self.name,
            "summary": self.summary,
            "formula": self.formula,
            "searched_by_default": self.searched,
            "settings": [setting.to_json() for setting in self.settings],
            "documentation": self.documentation,
        }


@dataclass(frozen=True)
class Catalogue:
    """A family of members.

    Attributes:
        family: ``optimizers`` or ``schedules``.
        members: In the order of the tables.
        wrappers: What a setting of several members puts around them.
        max_epochs: Of the study whose default ranges are told.
        n_train: Training rows of that study.
    """

    family: str
    members: tuple[Member, ...]
    wrappers: tuple[Member, ...] = ()
    max_epochs: int = MAX_EPOCHS
    n_train: int = N_TRAIN

    def only(self, name: str) -> Catalogue:
        """The catalogue of one member, or of one wrapper.

        Raises:
            UsageError: If there is none of that name.
        """
        members = tuple(member for member in self.members if member.name == name)
        wrappers = tuple(wrapper for wrapper in self.wrappers if wrapper.name == name)
        if not members and not wrappers:
            known = [member.name for member in (*self.members, *self.wrappers)]
            close = nearest(name, known)
            raise UsageError(
                f"no {self.family.removesuffix('s')} {name!r}; there are: {' '.join(known)}",
                hint=f"did you mean {close!r}?" if close else None,
            )
        return Catalogue(self.family, members, wrappers, self.max_epochs, self.n_train)

    def to_json(self) -> dict[str, Any]:
        """The catalogue as a JSON document."""
        document: dict[str, Any] = {
            "schema": 1,
            "max_epochs": self.max_epochs,
            "n_train": self.n_train,
            self.family: [member.to_json() for member in self.members],
        }
        if self.wrappers:
            document["wrappers"] = [wrapper.to_json() for wrapper in self.wrappers]
        return document


def optimizers() -> Catalogue:
    """Every optimizer. Its learning rate is an argument of its steps; the default is trial 0's."""
    space = _whole_space()
    syntax = space.to_mapping()["optimizer"]
    searched = complete_space(Space(), MAX_EPOCHS, N_TRAIN).optimizers
    members = []
    for name, factory in OPTIMIZERS.items():
        own = space.optimizers[name]
        rate = default_value(f"optimizer.{name}.learning_rate", own["learning_rate"])
        parameters = inspect.signature(factory).parameters
        defaults = {"learning_rate": rate, **{key: parameters[key].default for key in parameters}}
        settings = _settings(name, defaults, OPTIMIZER_RULES[name], own, syntax[name])
        members.append(Member(name, _documentation(factory), name in searched, settings))
    return Catalogue("optimizers", tuple(members))


def schedules() -> Catalogue:
    """Every schedule, and the warm-up that may go before most of them."""
    space = _whole_space()
    syntax = space.to_mapping()["schedule"]
    searched = complete_space(Space(), MAX_EPOCHS, N_TRAIN).schedules
    members = []
    for name, factory in SCHEDULES.items():
        settings = _settings(
            name, default_settings(name), SCHEDULE_RULES[name], space.schedules[name], syntax[name]
        )
        members.append(Member(name, _documentation(factory), name in searched, settings))
    wrapper = Member(warm_up.__name__, _documentation(warm_up), searched=False, settings=())
    return Catalogue("schedules", tuple(members), (wrapper,))


def first_literal_block(documentation: str) -> str:
    r"""The first block that a line ending in ``::`` announces, without its indentation.

    Raises:
        ValueError: If there is none.

    >>> first_literal_block("Fall.\n\nWith k::\n\n    a = k\n    rate = a\n\nMore.")
    'a = k\nrate = a'
    """
    lines = iter(documentation.splitlines())
    if not any(line.endswith("::") for line in lines):
        raise ValueError(f"no literal block in {documentation[:60]!r}")
    block: list[str] = []
    for line in lines:
        if line and not line.startswith(" "):
            break
        block.append(line)
    return textwrap.dedent("\n".join(block)).strip("\n")


def _whole_space() -> Space:
    """The default space with every member in it, also those that are searched only if named."""
    named = Space(
        optimizers={name: {} for name in OPTIMIZERS}, schedules={name: {} for name in SCHEDULES}
    )
    return complete_space(named, MAX_EPOCHS, N_TRAIN)


def _settings(
    member: str,
    defaults: Mapping[str, object],
    rules: Mapping[str, Rule],
    dimensions: Mapping[str, Dimension],
    syntax: Mapping[str, Any],
) -> tuple[Setting, ...]:
    """The settings of one member.

    Raises:
        LookupError: If engine, tables and default space do not have the same settings.
    """
    if defaults.keys() != rules.keys():
        raise LookupError(f"{member}: the engine has {[*defaults]}, the tables {[*rules]}")
    required = {key for key in rules if defaults[key] is inspect.Parameter.empty}
    unsearched = rules.keys() - dimensions.keys()
    if lost := unsearched - required - {*ENGINE_DEFAULTS}:
        raise LookupError(f"{member}: the default space lacks {sorted(lost)}")
    return tuple(
        Setting(
            key,
            key in required,
            None if key in required else defaults[key],
            rules[key],
            dimensions.get(key),
            syntax.get(key),
        )
        for key in rules
    )


def _documentation(member: Callable[..., object]) -> str:
    text = inspect.getdoc(member)
    if not text:
        raise LookupError(f"{member!r} has no docstring")
    return text


def _rule_json(rule: Rule) -> dict[str, Any]:
    if isinstance(rule, Number):
        return {
            "kind": rule.kind,
            "low": _finite(rule.low),
            "high": _finite(rule.high),
            "low_open": rule.low_open,
            "high_open": rule.high_open,
        }
    if isinstance(rule, RateTable):
        return {"kind": "rates", "rate": _rule_json(rule.rate)}
    known: Sequence[str] = rule.known
    return {"kind": "name", "known": list(known)}


def _finite(end: float) -> float | None:
    return None if end in (float("inf"), float("-inf")) else end
