"""Study-file syntax -> `Space`: a scalar fixes, a list is a choice, ``{low, high}`` is a range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunelab.spec.default_space import SEARCHED_OPTIMIZERS
from tunelab.spec.dimension_reader import read_dimension
from tunelab.spec.part import Complaint, Place
from tunelab.spec.rules import RefusedError, Rule, shown, unknown
from tunelab.spec.space import Choice, Dimension, Fixed, Space, bounds
from tunelab.spec.tables import NETWORK, OPTIMIZERS, SCHEDULES, SHARED

SPACE_KEYS = ("optimizer", "schedule", *SHARED, *NETWORK)


def read_space(given: object) -> tuple[Space, list[Complaint]]:
    """The space that ``given`` describes, gaps left open, and everything that is wrong with it."""
    reader = _Reader()
    return reader.space(given), reader.complaints


class _Reader:
    """Collects complaints on the way, so that one reading finds them all."""

    def __init__(self) -> None:
        self.complaints: list[Complaint] = []

    def space(self, given: object) -> Space:
        if not isinstance(given, Mapping):
            self._complain((), f"must be a mapping with the keys {_joined(SPACE_KEYS)}", given)
            return Space()
        for key in given:
            if key not in SPACE_KEYS:
                self.complaints.append(
                    Complaint((key,), unknown("hyperparameter", key, SPACE_KEYS, at_key=True))
                )
        optimizers = self._family("optimizer", OPTIMIZERS, given)
        schedules = self._family("schedule", SCHEDULES, given)
        self._check_schedules(schedules)
        by_layer = self._units_by_layer(given)
        rest = {key: value for key, value in given.items() if key != "units" or not by_layer}
        network = self._dimensions((), NETWORK, rest)
        if by_layer:
            self._check_layers(network, len(by_layer))
        return Space(
            optimizers=optimizers,
            schedules=schedules,
            shared=self._shared(given, optimizers or {name: {} for name in SEARCHED_OPTIMIZERS}),
            network=network,
            units_by_layer=tuple(units for units in by_layer if units is not None),
        )

    def _check_schedules(self, schedules: Mapping[str, Mapping[str, Dimension]]) -> None:
        """Some settings have no default that could suit."""
        missing = "piecewise" in schedules and "rates" not in schedules["piecewise"]
        refused_already = any(
            item.place[:2] == ("schedule", "piecewise") for item in self.complaints
        )
        if missing and not refused_already:
            message = "piecewise needs its rates by epoch"
            hint = "write 'piecewise: {rates: {10: 0.01, 20: 0.001}}'"
            refused = RefusedError(message, hint, at_key=True)
            self.complaints.append(Complaint(("schedule", "piecewise"), refused))
        own = schedules.get("inverse_time", {})
        unit = own.get("unit")
        may_be_step = unit == Fixed("step") or (isinstance(unit, Choice) and "step" in unit.values)
        if may_be_step and "decay_rate" not in own:
            message = "needs a decay_rate beside it: the default one is meant per epoch"
            refused = RefusedError(message)
            self.complaints.append(Complaint(("schedule", "inverse_time", "unit"), refused))

    def _units_by_layer(self, given: Mapping[Any, Any]) -> list[Dimension | None]:
        """The dimensions of ``units`` if it is a list that holds lists or ranges: one a layer."""
        units = given.get("units")
        if not isinstance(units, Sequence) or isinstance(units, str):
            return []
        if all(not isinstance(item, Mapping | Sequence) or isinstance(item, str) for item in units):
            return []
        if "shape" in given:
            refused = RefusedError("has no effect: every layer has its own units", at_key=True)
            self.complaints.append(Complaint(("shape",), refused))
        rule = NETWORK["units"]
        return [self._dimension(("units", i), rule, item) for i, item in enumerate(units)]

    def _check_layers(self, network: Mapping[str, Dimension], n_units: int) -> None:
        try:
            NETWORK["layers"].check(n_units)
        except RefusedError as error:
            message = f"its layers {error.message}"
            self.complaints.append(Complaint(("units",), RefusedError(message)))
        layers = network.get("layers")
        if layers is not None and bounds(layers)[1] != n_units:
            message = f"must reach up to {n_units}, the layers that units lists"
            refused = RefusedError(f"{message}, got {bounds(layers)[1]:g}")
            self.complaints.append(Complaint(("layers",), refused))

    def _family(
        self, key: str, table: Mapping[str, Mapping[str, Rule]], given: Mapping[Any, Any]
    ) -> dict[str, dict[str, Dimension]]:
        """The members of a family and their own dimensions, from a name, a list or a mapping."""
        if key not in given:
            return {}
        value = given[key]
        if isinstance(value, str):
            return self._named(key, table, [((key,), value)])
        if isinstance(value, Mapping) and value:
            return self._members(key, table, value)
        if isinstance(value, Sequence) and value:
            return self._named(key, table, [((key, i), name) for i, name in enumerate(value)])
        if isinstance(value, Mapping | Sequence):
            self._complain((key,), f"needs at least one {key}", value, empty=True)
        else:
            self._complain((key,), f"must be one or more of {_joined(table)}", value)
        return {}

    def _named(
        self,
        key: str,
        table: Mapping[str, Mapping[str, Rule]],
        names: Sequence[tuple[Place, object]],
    ) -> dict[str, dict[str, Dimension]]:
        members: dict[str, dict[str, Dimension]] = {}
        for place, name in names:
            if isinstance(name, Mapping):
                message = f"a list holds only names of {key}s, got a mapping"
                hint = f"for own settings write a mapping: {key}: {{name: {{...}}}}"
                self.complaints.append(Complaint(place, RefusedError(message, hint)))
            elif not isinstance(name, str):
                self._complain(place, f"must be one of {_joined(table)}", name)
            elif name not in table:
                self.complaints.append(Complaint(place, unknown(key, name, tuple(table))))
            elif name in members:
                self.complaints.append(Complaint(place, RefusedError(f"{name!r} is listed twice")))
            else:
                members[name] = {}
        return members

    def _members(
        self, key: str, table: Mapping[str, Mapping[str, Rule]], given: Mapping[Any, Any]
    ) -> dict[str, dict[str, Dimension]]:
        members: dict[str, dict[str, Dimension]] = {}
        for name, own in given.items():
            if name not in table:
                wrong = unknown(key, name, tuple(table), at_key=True)
                self.complaints.append(Complaint((key, name), wrong))
            elif not isinstance(own, Mapping):
                message = f"must be a mapping of its own hyperparameters, got {shown(own)}"
                hint = f"write '{name}: {{}}' for the default ones"
                self.complaints.append(Complaint((key, name), RefusedError(message, hint)))
            else:
                members[name] = self._own(key, name, table[name], own)
        return members

    def _own(
        self, key: str, name: str, rules: Mapping[str, Rule], given: Mapping[Any, Any]
    ) -> dict[str, Dimension]:
        for item in given:
            if item not in rules:
                wrong: RefusedError
                if rules:
                    wrong = unknown(f"{name} hyperparameter", item, tuple(rules), at_key=True)
                else:
                    message = f"unknown hyperparameter {shown(item)}; {name} has none of its own"
                    wrong = RefusedError(message, at_key=True)
                self.complaints.append(Complaint((key, name, item), wrong))
        return self._dimensions((key, name), rules, given)

    def _shared(
        self, given: Mapping[Any, Any], optimizers: Mapping[str, Mapping[str, Dimension]]
    ) -> dict[str, Dimension]:
        """Dimensions for every optimizer that has them and no own one; each must hold for all."""
        shared: dict[str, Dimension] = {}
        for key in SHARED:
            if key not in given:
                continue
            users = [
                name
                for name, own in optimizers.items()
                if key in OPTIMIZERS[name] and key not in own
            ]
            if not users and not any(item.place[0] == "optimizer" for item in self.complaints):
                message = f"has no effect: none of {_joined(optimizers)} takes it from here"
                refused = RefusedError(message, "remove this key", at_key=True)
                self.complaints.append(Complaint((key,), refused))
            for rule in dict.fromkeys(OPTIMIZERS[name][key] for name in users):
                dimension = self._dimension((key,), rule, given[key])
                if dimension is None:
                    break
                shared[key] = dimension
        return shared

    def _dimensions(
        self, place: Place, rules: Mapping[str, Rule], given: Mapping[Any, Any]
    ) -> dict[str, Dimension]:
        dimensions = {}
        for key, rule in rules.items():
            if key in given:
                dimension = self._dimension((*place, key), rule, given[key])
                if dimension is not None:
                    dimensions[key] = dimension
        return dimensions

    def _dimension(self, place: Place, rule: Rule, given: object) -> Dimension | None:
        dimension, complaints = read_dimension(given, rule)
        self.complaints += [Complaint((*place, *item.place), item.refused) for item in complaints]
        return dimension

    def _complain(self, place: Place, must: str, got: object, *, empty: bool = False) -> None:
        what = "none" if empty else shown(got)
        self.complaints.append(Complaint(place, RefusedError(f"{must}, got {what}")))


def _joined(names: Mapping[str, object] | Sequence[str]) -> str:
    return " ".join(names)
