"""What a search space cannot be, although each of its parts is right by itself."""

from __future__ import annotations

from collections.abc import Iterator

from tunelab.spec.grid import endless
from tunelab.spec.part import Complaint, Place
from tunelab.spec.rules import RefusedError
from tunelab.spec.space import Choice, Dimension, Fixed, Space, Value, bounds
from tunelab.spec.tables import CLASSIFICATION_ONLY


def contradictions_of(space: Space, *, task: str, max_epochs: int, grid: bool) -> list[Complaint]:
    """Complaints about a space that is given, gaps left open, in the study around it.

    Args:
        space: The space.
        task: ``classification`` or ``regression``.
        max_epochs: Epochs of a trial.
        grid: Whether every value of every dimension has to be tried.
    """
    complaints = []
    if task == "regression":
        complaints += [
            Complaint((key,), RefusedError("needs classification: targets have no classes"))
            for key in CLASSIFICATION_ONLY
            if key in space.network
        ]
    for name, own in space.schedules.items():
        if "warm_up" in own and bounds(own["warm_up"])[1] >= max_epochs:
            longest = f"{bounds(own['warm_up'])[1]:g}"
            message = f"must be less than max_epochs, {max_epochs}, got {longest}"
            complaints.append(Complaint(("schedule", name, "warm_up"), RefusedError(message)))
    rates = space.schedules.get("piecewise", {}).get("rates")
    for table in _values(rates):
        last = int(str(table).rpartition(",")[2].partition(":")[0])
        if last >= max_epochs:
            message = f"epochs must be less than max_epochs, {max_epochs}, got {last}"
            complaints.append(Complaint(("schedule", "piecewise", "rates"), RefusedError(message)))
    batch_size = space.network.get("batch_size")
    if (
        "on" in _values(space.network.get("batch_norm"))
        and batch_size is not None
        and bounds(batch_size)[0] < 2
    ):
        message = "must be at least 2 with batch_norm: one row has no variance"
        complaints.append(Complaint(("batch_size",), RefusedError(message)))
    if grid and not space.optimizers and "momentum" in space.shared:
        message = "has no effect: a grid that names no optimizer has the default one, adam, alone"
        hint = "name the optimizers"
        complaints.append(Complaint(("momentum",), RefusedError(message, hint, at_key=True)))
    if grid:
        complaints += [
            Complaint(
                place,
                RefusedError(
                    "a grid needs single values: this range has none",
                    "write a list, or give the range a step",
                ),
            )
            for place, dimension in _dimensions(space)
            if endless(dimension)
        ]
    return complaints


def _values(dimension: Dimension | None) -> tuple[Value, ...]:
    """The values that are listed; none for a range."""
    if isinstance(dimension, Choice):
        return dimension.values
    return (dimension.value,) if isinstance(dimension, Fixed) else ()


def _dimensions(space: Space) -> Iterator[tuple[Place, Dimension]]:
    """Every dimension, and its place in the study file's section ``space``."""
    for family, members in (("optimizer", space.optimizers), ("schedule", space.schedules)):
        for member, own in members.items():
            for key, dimension in own.items():
                yield (family, member, key), dimension
    for key, dimension in (*space.shared.items(), *space.network.items()):
        yield (key,), dimension
    for index, dimension in enumerate(space.units_by_layer):
        yield ("units", index), dimension
