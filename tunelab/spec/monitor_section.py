"""The section ``monitor``: a preset, and any of the monitor's criteria in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from tunelab.spec.part import Complaint, refuse
from tunelab.spec.rules import Name, Number, RefusedError, shown, unknown
from tunelab.spec.tables import PRESETS

if TYPE_CHECKING:
    from tunelab.training.monitor import Criteria

_PRESET = Name("preset", PRESETS)
# Wide on purpose: the ranges belong to Criteria; this keeps out what no arithmetic can hold.
_FINITE = {kind: Number(kind, -1e12, 1e12) for kind in ("int", "float")}


@dataclass(frozen=True)
class MonitorSpec:
    """How the overfitting monitor judges.

    In a study file the overrides stand beside the preset: ``{preset: careful, patience: 40}``.

    Attributes:
        preset: Name of the criteria to begin with.
        overrides: Criterion -> the value that replaces the preset's.
    """

    preset: str = "default"
    overrides: Mapping[str, bool | int | float] = field(default_factory=dict)

    def criteria(self) -> Criteria:
        """The criteria that these settings amount to."""
        # Only here and for overrides is the engine needed, and with it NumPy.
        from tunelab.training import monitor

        changes: dict[str, Any] = dict(self.overrides)
        return replace(monitor.PRESETS[self.preset], **changes)

    def to_mapping(self) -> dict[str, Any]:
        """The section in the syntax of a study file."""
        return {"preset": self.preset, **dict(sorted(self.overrides.items()))}


def read_monitor(given: object) -> MonitorSpec:
    """The section as given in a study file.

    Raises:
        RefusedError: If it is no mapping.
        ValidationError: If keys or values in it are wrong.
    """
    if isinstance(given, MonitorSpec):
        return given
    if not isinstance(given, Mapping):
        raise RefusedError(f"must be a mapping such as {{preset: default}}, got {shown(given)}")
    preset, overrides, complaints = "default", {}, []
    for key, value in given.items():
        try:
            if key == "preset":
                preset = _PRESET.check(value)
            else:
                overrides[key] = _criterion(key, value)
        except RefusedError as refused:
            complaints.append(Complaint((key,), refused))
    if complaints:
        refuse("monitor", complaints)
    return MonitorSpec(preset, overrides)


def _criterion(name: str, value: object) -> bool | int | float:
    """The value of a criterion, as `Criteria` itself accepts it."""
    from tunelab.training.monitor import Criteria

    kinds = {item.name: str(item.type) for item in fields(Criteria)}
    if name not in kinds:
        raise unknown("criterion", name, ("preset", *kinds), at_key=True)
    if kinds[name] == "bool":
        if isinstance(value, bool):
            return value
        raise RefusedError(f"must be true or false, got {shown(value)}")
    kind = "int" if "int" in kinds[name] else "float"
    if isinstance(value, bool) or not isinstance(value, int | float):
        what = "a whole number" if kind == "int" else "a number"
        raise RefusedError(f"must be {what}, got {shown(value)}")
    number = _FINITE[kind].check(value)
    try:
        Criteria(**{name: number})  # type: ignore[arg-type]
    except ValueError as error:
        raise RefusedError(str(error).removeprefix(f"{name} ")) from None
    return number
