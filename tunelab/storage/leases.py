"""Leases that say who coordinates or mirrors a study.

A lease is free when nobody holds it, when it has expired by database time, or when its owner was
a process on this host that is gone. Its token counts the holders, so a holder that was away can
tell that another has come since.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from tunelab.storage.clock import database_now
from tunelab.storage.locks import hold
from tunelab.storage.owners import Owner
from tunelab.storage.tables import leases

BEAT_SECONDS = 10.0
GRACE_SECONDS = 60.0


def coordinator_lease(study_id: int) -> str:
    """Name of the lease that a study's coordinator holds."""
    return f"coordinator:{study_id}"


def mirror_lease(study_id: int) -> str:
    """Name of the lease that a study's mirror holds."""
    return f"mirror:{study_id}"


@dataclass(frozen=True)
class Lease:
    """A lease held by this process."""

    name: str
    owner: str
    token: int


def acquire_lease(connection: Connection, name: str, owner: Owner) -> Lease | None:
    """Take the lease ``name``; None while another holds it. In a write transaction."""
    hold(connection, f"lease {name}")  # there may be no row yet to lock
    now = database_now()
    row = connection.execute(
        select(leases.c.owner, leases.c.token, (leases.c.expires_at < now).label("expired")).where(
            leases.c.name == name
        )
    ).one_or_none()
    if row is None:
        connection.execute(
            insert(leases).values(
                name=name, owner=str(owner), token=1, expires_at=now + GRACE_SECONDS
            )
        )
        return Lease(name, str(owner), 1)
    # This process may have it without knowing: the answer to its first attempt was lost.
    taken = row.owner and row.owner != str(owner) and not row.expired
    if taken and not Owner.parse(row.owner).is_dead:
        return None
    connection.execute(
        update(leases)
        .where(leases.c.name == name)
        .values(owner=str(owner), token=row.token + 1, expires_at=now + GRACE_SECONDS)
    )
    return Lease(name, str(owner), row.token + 1)


def renew_lease(connection: Connection, lease: Lease) -> bool:
    """Put off the expiry; False if another holds the lease by now. In a write transaction."""
    result = connection.execute(
        update(leases)
        .where(leases.c.name == lease.name, leases.c.token == lease.token)
        # Somebody may have declared it void while this process was away; nobody has taken it.
        .values(owner=lease.owner, expires_at=database_now() + GRACE_SECONDS)
    )
    return result.rowcount == 1


def release_lease(connection: Connection, lease: Lease) -> None:
    """Give the lease up, if it is still this one. In a write transaction."""
    connection.execute(
        update(leases)
        .where(leases.c.name == lease.name, leases.c.token == lease.token)
        .values(owner=None)
    )


def lease_holder(connection: Connection, name: str) -> Owner | None:
    """The process that holds the lease ``name`` and may be alive; None if it is free."""
    row = connection.execute(
        select(leases.c.owner, (leases.c.expires_at < database_now()).label("expired")).where(
            leases.c.name == name
        )
    ).one_or_none()
    if row is None or not row.owner or row.expired:
        return None
    owner = Owner.parse(row.owner)
    return None if owner.is_dead else owner


def is_held(connection: Connection, lease: Lease) -> bool:
    """Whether nobody else has taken ``lease`` since, and the process that has it may be alive."""
    token = connection.scalar(select(leases.c.token).where(leases.c.name == lease.name))
    return token == lease.token and str(lease_holder(connection, lease.name)) == lease.owner


def stale_leases(connection: Connection) -> list[str]:
    """Names of leases whose holders are gone, or have not been heard of for the grace."""
    rows = connection.execute(
        select(leases.c.name, leases.c.owner, (leases.c.expires_at < database_now()).label("late"))
        .where(leases.c.owner.is_not(None))
        .order_by(leases.c.name)
    ).all()
    return [row.name for row in rows if row.late or Owner.parse(row.owner).is_dead]


def void_leases(connection: Connection, names: Sequence[str]) -> None:
    """Free these leases. In a write transaction, which must have found them to be stale."""
    connection.execute(update(leases).where(leases.c.name.in_(names)).values(owner=None))
