"""One study: what a study file says, checked, with everything it leaves out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any
from unicodedata import category

from pydantic import BeforeValidator, Field, PlainValidator, ValidationError

from tunelab.errors import Problem, StudyFileError, nearest
from tunelab.spec.confirm_section import ConfirmSpec, read_confirm
from tunelab.spec.contradictions import contradictions_of
from tunelab.spec.default_space import complete_space
from tunelab.spec.grid import MAX_CELLS, count_cells
from tunelab.spec.monitor_section import MonitorSpec, read_monitor
from tunelab.spec.part import Complaint, Part, refuse
from tunelab.spec.problems import problems_of
from tunelab.spec.rules import Name, RefusedError, shown
from tunelab.spec.sections import (
    BUDGET,
    DEFAULT_MAX_EPOCHS,
    MAX_EPOCHS,
    DataSpec,
    LabelNoise,
    ObjectiveSpec,
    PrunerSpec,
    SearchSpec,
    SplitSpec,
)
from tunelab.spec.space import Space, bounds
from tunelab.spec.space_reader import SPACE_KEYS, read_space
from tunelab.spec.sweep_section import SweepSpec
from tunelab.spec.tables import DATASETS, GRID, LOSSES, METRICS

__all__ = [
    "ConfirmSpec",
    "DataSpec",
    "LabelNoise",
    "MonitorSpec",
    "ObjectiveSpec",
    "PrunerSpec",
    "SearchSpec",
    "SplitSpec",
    "StudySpec",
    "SweepSpec",
    "differences",
    "study_name",
]

_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_LONGEST_DESCRIPTION = 10_000
# A file of data may move: what is in it is compared by itself.
_MAY_CHANGE = {"description", "data.path", "confirm", "sweep", *(f"search.{key}" for key in BUDGET)}
_ABSENT = object()


def study_name(given: object) -> str:
    """A name that a study may have.

    Raises:
        RefusedError: If it may not.
    """
    if not isinstance(given, str):
        raise RefusedError(f"must be text, got {shown(given)}", "put the name in quotes")
    if given in (".", "..") or not _NAME.fullmatch(given):
        raise RefusedError(
            f"must be 1 to 100 letters, digits, dots, hyphens or underscores, got {shown(given)}"
        )
    return given


def _description(given: object) -> str | None:
    if given is None:
        return None
    if not isinstance(given, str):
        raise RefusedError(f"must be text, got {shown(given)}", "put the text in quotes")
    if len(given) > _LONGEST_DESCRIPTION:
        raise RefusedError(f"must have at most {_LONGEST_DESCRIPTION} characters, got {len(given)}")
    # Control characters steer terminals, surrogates cannot be stored.
    odd = next((c for c in given if category(c) in ("Cc", "Cs") and c not in "\n\t"), None)
    if odd is not None:
        raise RefusedError(f"must be printable text, got the character U+{ord(odd):04X}")
    return given


def _space(given: object) -> Space:
    if isinstance(given, Space):
        return given
    space, complaints = read_space(given)
    if complaints:
        refuse("space", complaints)
    return space


class StudySpec(Part):
    """A study as its file describes it.

    Attributes:
        name: The study's name, which is a file name and a URL part too.
        task: ``classification`` or ``regression``.
        data: Rows and splits.
        objective: The metric to optimise.
        search: Sampler, pruner and budget.
        space: The search space as given; after `resolve`, complete.
        monitor: When a trial stops by itself.
        confirm: What is trained again when the search has ended.
        sweep: When the study starts by itself; None for never.
        backend: The training engine.
        description: Free text.
    """

    name: Annotated[str, BeforeValidator(study_name)]
    task: Annotated[str, BeforeValidator(Name("task", tuple(METRICS)).check)]
    data: DataSpec
    objective: ObjectiveSpec = Field(default_factory=ObjectiveSpec)
    search: SearchSpec = Field(default_factory=SearchSpec)
    space: Annotated[Space, PlainValidator(_space)] = Field(default_factory=Space)
    monitor: Annotated[MonitorSpec, PlainValidator(read_monitor)] = Field(
        default_factory=MonitorSpec
    )
    confirm: Annotated[ConfirmSpec, BeforeValidator(read_confirm)] = Field(
        default_factory=ConfirmSpec
    )
    sweep: SweepSpec | None = None
    backend: Annotated[str, BeforeValidator(Name("backend", ("numpy",)).check)] = "numpy"
    description: Annotated[str | None, BeforeValidator(_description)] = None

    @classmethod
    def with_implied(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """A sweep reads data that grow: by ``hash`` no row that was test is trained on later."""
        data = given.get("data")
        if given.get("sweep") is None or not isinstance(data, Mapping):
            return given
        split = data.get("split", {})
        if not isinstance(split, Mapping) or "method" in split:
            return given
        return {**given, "data": {**data, "split": {"method": "hash", **split}}}

    @classmethod
    def disagreements(cls, given: Mapping[str, Any]) -> list[Complaint]:
        """The data, the metric and the label noise must suit the task."""
        task = given.get("task")
        if not isinstance(task, str) or task not in METRICS:
            return []
        complaints = []
        data = _peek(given, "data", "name")
        if isinstance(data, str) and DATASETS.get(data, task) != task:
            message = f"must be {DATASETS[data]} for the data set {data}, got {task}"
            complaints.append(Complaint(("task",), RefusedError(message)))
        for key, table in (("metric", METRICS), ("loss", LOSSES)):
            name = _peek(given, "objective", key)
            known = tuple(table[task])
            others = {other for names in table.values() for other in names} - set(known)
            if isinstance(name, str) and name in others:
                message = f"{name} is no {key} of {task}; known: {' '.join(known)}"
                complaints.append(Complaint(("objective", key), RefusedError(message)))
        if task == "regression" and _peek(given, "data", "label_noise") is not None:
            refused = RefusedError("needs classification: targets have no labels", at_key=True)
            complaints.append(Complaint(("data", "label_noise"), refused))
        space = given.get("space")
        # What can be read of the space is looked at even where other parts of it are wrong.
        complaints += [
            Complaint(("space", *item.place), item.refused)
            for item in contradictions_of(
                space if isinstance(space, Space) else read_space(space)[0],
                task=task,
                max_epochs=_max_epochs(given),
                grid=_peek(given, "search", "sampler") == GRID,
            )
        ]
        return complaints

    @classmethod
    def unknown_key(cls, key: str) -> RefusedError:
        """A key that belongs into a section, or one that is unknown."""
        refused = super().unknown_key(key)
        for section, names in (("space", SPACE_KEYS), ("search", SearchSpec.known_keys())):
            match = nearest(key, names) if refused.hint is None else None
            if match is not None:
                refused.hint = f"did you mean {match!r}? it belongs under {section}"
        return refused

    @property
    def search_space(self) -> Space:
        """The complete search space.

        Raises:
            ValueError: If the study has not been resolved.
        """
        if not self.space.complete:
            raise ValueError("the search space has gaps; call resolve(n_train) first")
        return self.space

    @property
    def n_trials(self) -> int:
        """The number of trials.

        Raises:
            ValueError: If the study has not been resolved.
        """
        if self.search.n_trials is None:
            raise ValueError("the number of trials is not settled; call resolve(n_train) first")
        return self.search.n_trials

    def resolve(self, n_train: int, *, n_trials: int | None = None) -> StudySpec:
        """The study with its space completed from the default space, and its trials counted.

        Args:
            n_train: Rows of the training split.
            n_trials: What stands in the place of a grid's own number of trials, if anything does.

        Raises:
            StudyFileError: If the study asks for more than the data, or the grid, have.
        """
        given = self.space.network.get("batch_size")
        largest = 0 if given is None else int(bounds(given)[1])
        if largest > n_train:
            message = f"batch_size {largest} > {n_train} training rows"
            raise self._refusal("space.batch_size", message, f"use at most {n_train}")
        grid = self.search.sampler == GRID
        space = complete_space(self.space, self.search.max_epochs, n_train, fixed=grid)
        trials = self._grid_trials(space, n_trials) if grid else self.n_trials
        search = self.search.model_copy(update={"trials": trials})
        resolved = self.model_copy(update={"space": space, "search": search})
        # What is written to the database must read back: defaults and rows may not suit each other.
        return type(self).from_mapping(resolved.to_mapping())

    def _grid_trials(self, space: Space, instead: int | None) -> int:
        """As many as were asked for, or as there are cells."""
        n_cells = self._n_cells(space)
        n_trials = self.search.trials or n_cells
        if n_trials > n_cells and instead is None:
            message = f"must be at most {n_cells}, the cells of the grid, got {n_trials}"
            hint = "leave the key out: a grid counts its cells"
            if n_cells == 1:
                hint = "a grid tries what the file lists: give space a list, as units: [16, 64]"
            raise self._refusal("search.trials", message, hint)
        return min(n_trials, n_cells)

    def _n_cells(self, space: Space) -> int:
        number = count_cells(space)
        if number is None:
            message = f"a grid must have at most {MAX_CELLS} cells, got more"
            raise self._refusal("space", message, "shorten its lists, or use another sampler")
        return number

    def _refusal(self, key: str, message: str, hint: str) -> StudyFileError:
        return StudyFileError([Problem(f"study {self.name}", None, None, key, message, hint)])

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> StudySpec:
        """The study that a mapping in study-file syntax describes; inverse of `to_mapping`.

        Raises:
            StudyFileError: If anything in it is wrong; the problems have no line.
        """
        try:
            return cls.model_validate(mapping)
        except ValidationError as error:
            raise StudyFileError(problems_of(error, "study")) from None


def differences(old: StudySpec, new: StudySpec) -> list[str]:
    """What distinguishes two studies, one line a key.

    Budget, description, confirm stage, sweep and the place of the data may differ.

    A line reads ``space.units.high: 256 -> 512``.
    """
    return list(_differences("", old.to_mapping(), new.to_mapping()))


def _differences(key: str, old: Any, new: Any) -> list[str]:
    if key in _MAY_CHANGE or old == new:
        return []
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return [f"{key}: {_compact(old)} -> {_compact(new)}"]
    lines = []
    for name in [*old, *(name for name in new if name not in old)]:
        inner = f"{key}.{name}" if key else name
        lines += _differences(inner, old.get(name, _ABSENT), new.get(name, _ABSENT))
    return lines


def _compact(value: Any) -> str:
    return "not given" if value is _ABSENT else json.dumps(value, ensure_ascii=False)


def _peek(given: Mapping[str, Any], section: str, key: str) -> Any:
    """A value of a section that may be anything: a mapping, a `Part`, or nonsense."""
    part = given.get(section)
    value = part.get(key) if isinstance(part, Mapping) else getattr(part, key, None)
    return value if isinstance(value, str | int | float | Mapping | Part) else None


def _max_epochs(given: Mapping[str, Any]) -> int:
    """The budget of a trial; the default one where what is given is wrong by itself."""
    try:
        return int(MAX_EPOCHS.check(_peek(given, "search", "max_epochs")))
    except RefusedError:
        return DEFAULT_MAX_EPOCHS
