"""Checkpoints: nested state as bytes, with a checksum, and never pickled.

A state is a nested dict whose leaves are NumPy arrays or JSON values. The arrays are written in
NumPy's ``.npz`` format, everything else as one JSON text beside them.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from typing import Any

import numpy as np
from sqlalchemy import Connection, delete, select

from tunelab.errors import TunelabError
from tunelab.storage.locks import hold
from tunelab.storage.tables import checkpoints, trials

KEPT_BEST = 5  # trials of a study whose best weights are kept

_TREE = "tree.json"


class DamagedCheckpointError(TunelabError):
    """A checkpoint's bytes are not those that were written."""


def pack(state: dict[str, Any]) -> bytes:
    """The bytes of ``state``.

    Raises:
        TypeError: If a leaf is neither an array of numbers nor a JSON value.
    """
    arrays: dict[str, Any] = {}

    def without_arrays(node: Any) -> Any:
        if isinstance(node, np.ndarray):
            if node.dtype.hasobject:
                raise TypeError("an array of Python objects would have to be pickled")
            name = f"array{len(arrays)}"
            arrays[name] = node
            return {"$array": name}
        if isinstance(node, dict):
            return {key: without_arrays(value) for key, value in node.items()}
        if isinstance(node, list | tuple):
            return [without_arrays(value) for value in node]
        return node

    tree = json.dumps(without_arrays(state)).encode()
    buffer = io.BytesIO()
    arrays[_TREE] = np.frombuffer(tree, np.uint8)
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def unpack(data: bytes) -> dict[str, Any]:
    """The state that :func:`pack` wrote."""
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:

        def with_arrays(node: Any) -> Any:
            if isinstance(node, dict):
                if set(node) == {"$array"}:
                    return archive[node["$array"]]
                return {key: with_arrays(value) for key, value in node.items()}
            if isinstance(node, list):
                return [with_arrays(value) for value in node]
            return node

        state: dict[str, Any] = with_arrays(json.loads(archive[_TREE].tobytes()))
    return state


def write_checkpoint(
    connection: Connection, trial_id: int, kind: str, epoch: int, data: bytes
) -> None:
    """Store ``data`` as the trial's only checkpoint of this kind. In a write transaction."""
    _delete(connection, trial_id, kind)
    connection.execute(
        checkpoints.insert().values(
            trial_id=trial_id,
            kind=kind,
            epoch=epoch,
            created_at=time.time(),
            checksum=hashlib.sha256(data).hexdigest(),
            data=data,
        )
    )


def read_checkpoint(
    connection: Connection, trial_id: int, kind: str
) -> tuple[int, dict[str, Any]] | None:
    """The epoch and the state of the trial's checkpoint; None if there is none.

    Raises:
        DamagedCheckpointError: If its bytes do not match their checksum.
    """
    row = connection.execute(
        select(checkpoints.c.epoch, checkpoints.c.checksum, checkpoints.c.data).where(
            checkpoints.c.trial_id == trial_id, checkpoints.c.kind == kind
        )
    ).one_or_none()
    if row is None:
        return None
    if hashlib.sha256(row.data).hexdigest() != row.checksum:
        raise DamagedCheckpointError(f"the {kind} checkpoint of trial row {trial_id} is damaged")
    return row.epoch, unpack(row.data)


def keep_best_weights(
    connection: Connection,
    *,
    study_id: int,
    trial_id: int,
    value: float,
    maximize: bool,
    epoch: int,
    weights: dict[str, Any],
) -> None:
    """Store a finished trial's weights if it is among the study's best, and drop the overtaken.

    In a write transaction.
    """
    hold(connection, f"best weights of study {study_id}")
    order = trials.c.value.desc() if maximize else trials.c.value
    holders = connection.execute(
        select(trials.c.id, trials.c.value)
        .join(checkpoints, checkpoints.c.trial_id == trials.c.id)
        # The sum keeps SQLite from the study's index, and so from all its trials every time: the
        # few checkpoints lead to those that hold weights.
        .where(trials.c.study_id + 0 == study_id, checkpoints.c.kind == "best")
        .order_by(order)
    ).all()
    sign = -1.0 if maximize else 1.0
    if len(holders) >= KEPT_BEST and sign * value >= sign * holders[KEPT_BEST - 1].value:
        return
    write_checkpoint(connection, trial_id, "best", epoch, pack(weights))
    for overtaken in holders[KEPT_BEST - 1 :]:
        _delete(connection, overtaken.id, "best")


def delete_state(connection: Connection, trial_id: int) -> None:
    """Drop what a finished trial no longer needs to continue."""
    _delete(connection, trial_id, "state")


def _delete(connection: Connection, trial_id: int, kind: str) -> None:
    connection.execute(
        delete(checkpoints).where(checkpoints.c.trial_id == trial_id, checkpoints.c.kind == kind)
    )
