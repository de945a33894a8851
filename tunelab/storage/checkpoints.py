"""Checkpoints: nested state as bytes, with a checksum, and never pickled.

A state is a nested dict whose leaves are NumPy arrays or JSON values. The arrays are written in
NumPy's ``.npz`` format, everything else as one JSON text beside them.

A trial keeps the last two states it can continue from: should the later one be damaged, the earlier
one is used. The checksum covers whose state it is, so that a row that came from elsewhere, from
another trial or another form of checkpoints, counts as damaged too.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, func, or_, select

from tunelab.errors import TunelabError
from tunelab.storage.locks import hold
from tunelab.storage.tables import checkpoints, trials
from tunelab.storage.trials import SEARCH

KEPT_BEST = 5  # trials of a study whose best weights are kept

_FORM = 1  # of what is packed; to be raised when a state is no longer read as it was
_TREE = "tree.json"


class DamagedCheckpointError(TunelabError):
    """A checkpoint's bytes are not those that were written for its trial and epoch."""


def pack(state: dict[str, Any]) -> bytes:
    """The bytes of ``state``.

    Raises:
        TypeError: If a leaf is neither an array of numbers nor a JSON value.
    """
    import numpy as np  # not at the top: whoever merely reads studies waits for no NumPy

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
    import numpy as np

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


def write_state(connection: Connection, trial_id: int, epoch: int, data: bytes) -> None:
    """Store what the trial continues from after ``epoch``, beside the state before it.

    In a write transaction.
    """
    states = (checkpoints.c.trial_id == trial_id, checkpoints.c.kind == "state")
    before = select(func.max(checkpoints.c.epoch)).where(*states, checkpoints.c.epoch < epoch)
    # Later ones are of an attempt that was lost, and that this one has to overtake first.
    overtaken = or_(checkpoints.c.epoch >= epoch, checkpoints.c.epoch < before.scalar_subquery())
    connection.execute(delete(checkpoints).where(*states, overtaken))
    _insert(connection, trial_id, "state", epoch, data)


def read_state(
    connection: Connection, trial_id: int
) -> tuple[tuple[int, dict[str, Any]] | None, list[int]]:
    """What the trial can continue from, and the epochs of the states that are damaged.

    Damaged states are dropped. An error would end every worker that claims the trial. In a write
    transaction.

    Returns:
        Epoch and state, None if there is none; and the epochs of dropped states, latest first.
    """
    query = (
        select(checkpoints)
        .where(checkpoints.c.trial_id == trial_id, checkpoints.c.kind == "state")
        .order_by(checkpoints.c.epoch.desc())
        .limit(1)
    )
    damaged: list[int] = []
    while (row := connection.execute(query).one_or_none()) is not None:
        try:
            return (row.epoch, _intact(row)), damaged
        except DamagedCheckpointError:
            _delete(connection, trial_id, "state", row.epoch)
            damaged.append(row.epoch)
    return None, damaged


def read_best_weights(connection: Connection, trial_id: int) -> tuple[int, dict[str, Any]] | None:
    """The best epoch and its weights; None if they are not kept.

    Raises:
        DamagedCheckpointError: If their bytes do not match their checksum.
    """
    query = select(checkpoints).where(
        checkpoints.c.trial_id == trial_id, checkpoints.c.kind == "best"
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else (row.epoch, _intact(row))


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
    sign = -1.0 if maximize else 1.0

    def is_beaten(holders: Sequence[Any]) -> bool:
        return len(holders) >= KEPT_BEST and sign * value >= sign * holders[KEPT_BEST - 1].value

    # The best only get better: whoever is beaten now stays so, and need not wait for the others
    # who finish a trial at this moment.
    if is_beaten(_holders(connection, study_id, maximize=maximize)):
        return
    hold(connection, f"best weights of study {study_id}")
    holders = _holders(connection, study_id, maximize=maximize)
    if is_beaten(holders):
        return
    _delete(connection, trial_id, "best")
    _insert(connection, trial_id, "best", epoch, pack(weights))
    for overtaken in holders[KEPT_BEST - 1 :]:
        _delete(connection, overtaken.id, "best")


def keep_weights(
    connection: Connection, trial_id: int, *, epoch: int, weights: dict[str, Any]
) -> None:
    """Store a confirm run's weights, whatever it has come to. In a write transaction.

    Which run's are wanted is known when the last of them has ended.
    """
    delete_weights(connection, trial_id)
    _insert(connection, trial_id, "best", epoch, pack(weights))


def delete_weights(connection: Connection, trial_id: int) -> None:
    """Drop a trial's best weights. In a write transaction."""
    _delete(connection, trial_id, "best")


def has_weights(connection: Connection, trial_id: int) -> bool:
    """Whether a trial's best weights are kept."""
    query = select(checkpoints.c.epoch).where(
        checkpoints.c.trial_id == trial_id, checkpoints.c.kind == "best"
    )
    return connection.execute(query).first() is not None


def _holders(connection: Connection, study_id: int, *, maximize: bool) -> Sequence[Any]:
    """The search's trials whose weights are kept, and their values; the best first."""
    query = (
        select(trials.c.id, trials.c.value)
        .join(checkpoints, checkpoints.c.trial_id == trials.c.id)
        # The sum keeps SQLite from the study's index, and so from all its trials every time: the
        # few checkpoints lead to those that hold weights.
        .where(trials.c.study_id + 0 == study_id, checkpoints.c.kind == "best")
        .where(trials.c.kind == SEARCH)
        .order_by(trials.c.value.desc() if maximize else trials.c.value)
    )
    return connection.execute(query).all()


def delete_state(connection: Connection, trial_id: int) -> None:
    """Drop what a finished trial no longer needs to continue."""
    _delete(connection, trial_id, "state")


def _insert(connection: Connection, trial_id: int, kind: str, epoch: int, data: bytes) -> None:
    connection.execute(
        checkpoints.insert().values(
            trial_id=trial_id,
            kind=kind,
            epoch=epoch,
            created_at=time.time(),
            checksum=_checksum(trial_id, kind, epoch, data),
            data=data,
        )
    )


def _intact(row: Row[Any]) -> dict[str, Any]:
    if _checksum(row.trial_id, row.kind, row.epoch, row.data) != row.checksum:
        raise DamagedCheckpointError(
            f"the {row.kind} checkpoint of trial row {row.trial_id}, epoch {row.epoch}, is damaged"
        )
    return unpack(row.data)


def _checksum(trial_id: int, kind: str, epoch: int, data: bytes) -> str:
    digest = hashlib.sha256(f"{_FORM}:{trial_id}:{kind}:{epoch}:".encode())
    digest.update(data)
    return digest.hexdigest()


def _delete(connection: Connection, trial_id: int, kind: str, epoch: int | None = None) -> None:
    statement = delete(checkpoints).where(
        checkpoints.c.trial_id == trial_id, checkpoints.c.kind == kind
    )
    if epoch is not None:
        statement = statement.where(checkpoints.c.epoch == epoch)
    connection.execute(statement)
