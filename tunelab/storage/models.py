"""Models to predict with, and which of a study's generations holds the title of champion."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Connection, Select, delete, insert, select

from tunelab.storage.tables import champions, models, studies, trials

if TYPE_CHECKING:  # whoever merely asks who is champion waits for no NumPy
    from tunelab.datasets.bundle import Bundle

GATE: Literal["gate"] = "gate"
HAND: Literal["hand"] = "hand"


@dataclass(frozen=True)
class ModelRow:
    """A stored model, without its bytes.

    Attributes:
        id: Key of its row.
        study_id: Of the study that it comes from.
        name: Of that study.
        generation: Of that study.
        trial_id: Of the confirm run whose network it is.
        confirms: Number of the trial that this run trained again.
        made_at: When it was stored.
        checksum: Of its two files.
    """

    id: int
    study_id: int
    name: str
    generation: int
    trial_id: int
    confirms: int
    made_at: float
    checksum: str

    @property
    def title(self) -> str:
        """Of the study that it comes from: ``digits #7``."""
        return f"{self.name} #{self.generation}"


@dataclass(frozen=True)
class Reign:
    """One entry of the history: who became champion, when and why.

    Attributes:
        model_id: Key of the model.
        generation: Of the study that it comes from.
        since: When it took the title.
        chosen_by: ``gate`` or ``hand``.
        reason: Why.
    """

    model_id: int
    generation: int
    since: float
    chosen_by: str
    reason: str


def store_model(connection: Connection, *, study_id: int, trial_id: int, bundle: Bundle) -> int:
    """Store a model and return its key. In a write transaction.

    Of the study's earlier models those stay that have been champion.
    """
    held = select(champions.c.model_id)
    connection.execute(
        delete(models).where(models.c.study_id == study_id, models.c.id.not_in(held))
    )
    result = connection.execute(
        insert(models).values(
            study_id=study_id,
            trial_id=trial_id,
            made_at=time.time(),
            checksum=bundle.checksum,
            document=bundle.document,
            arrays=bundle.arrays,
        )
    )
    (key,) = result.inserted_primary_key or (0,)
    return int(key)


def crown(
    connection: Connection,
    *,
    name: str,
    model_id: int,
    chosen_by: Literal["gate", "hand"],
    reason: str,
) -> None:
    """Make a model the champion of its study's name. In a write transaction."""
    connection.execute(
        insert(champions).values(
            name=name, model_id=model_id, since=time.time(), chosen_by=chosen_by, reason=reason
        )
    )


def model_of_run(connection: Connection, trial_id: int) -> ModelRow | None:
    """The model made from a confirm run; None if there is none."""
    return _one(connection, _models().where(models.c.trial_id == trial_id))


def latest_model(connection: Connection, study_id: int) -> ModelRow | None:
    """The newest model of a study; None if it has none."""
    query = _models().where(models.c.study_id == study_id)
    return _one(connection, query.order_by(models.c.id.desc()).limit(1))


def champion(connection: Connection, name: str, *, before: float | None = None) -> ModelRow | None:
    """The model that holds the title of a name; None if none does.

    Args:
        connection: A transaction.
        name: Of the study, without a generation.
        before: Who held it at this moment; None: now.
    """
    query = _models().join(champions, champions.c.model_id == models.c.id)
    query = query.where(champions.c.name == name)
    if before is not None:
        query = query.where(champions.c.since < before)
    return _one(connection, query.order_by(champions.c.id.desc()).limit(1))


def challenger(connection: Connection, name: str) -> ModelRow | None:
    """The newest model of a name, unless it is the champion."""
    query = _models().where(studies.c.name == name).order_by(models.c.id.desc()).limit(1)
    newest, holder = _one(connection, query), champion(connection, name)
    return None if holder is not None and newest == holder else newest


def all_models(connection: Connection, name: str | None = None) -> list[ModelRow]:
    """All models, or those of one name: by name, the latest first."""
    query = _models().order_by(studies.c.name, models.c.id.desc())
    if name is not None:
        query = query.where(studies.c.name == name)
    return [ModelRow(*row) for row in connection.execute(query)]


def reigns(connection: Connection, name: str) -> list[Reign]:
    """Who has been champion, in order."""
    query = (
        select(
            champions.c.model_id,
            studies.c.generation,
            champions.c.since,
            champions.c.chosen_by,
            champions.c.reason,
        )
        .join(models, models.c.id == champions.c.model_id)
        .join(studies, studies.c.id == models.c.study_id)
        .where(champions.c.name == name)
        .order_by(champions.c.id)
    )
    return [Reign(*row) for row in connection.execute(query)]


def read_bundle(connection: Connection, model_id: int) -> Bundle:
    """The bytes of a model; whether they are whole is seen when they are opened."""
    from tunelab.datasets.bundle import Bundle

    query = select(models.c.document, models.c.arrays, models.c.checksum)
    row = connection.execute(query.where(models.c.id == model_id)).one()
    return Bundle(bytes(row.document), bytes(row.arrays), row.checksum)


def champion_configuration(
    connection: Connection, name: str, before: float
) -> Mapping[str, Any] | None:
    """The flat hyperparameters of who was champion at a moment; None if none was."""
    holder = champion(connection, name, before=before)
    if holder is None:
        return None
    query = select(trials.c.hyperparameters).where(trials.c.id == holder.trial_id)
    found: Mapping[str, Any] = connection.scalars(query).one()
    return found


def _models() -> Select[Any]:
    return (
        select(
            models.c.id,
            models.c.study_id,
            studies.c.name,
            studies.c.generation,
            models.c.trial_id,
            trials.c.confirms,
            models.c.made_at,
            models.c.checksum,
        )
        .join(studies, studies.c.id == models.c.study_id)
        .join(trials, trials.c.id == models.c.trial_id)
    )


def _one(connection: Connection, query: Select[Any]) -> ModelRow | None:
    row = connection.execute(query).one_or_none()
    return None if row is None else ModelRow(*row)
