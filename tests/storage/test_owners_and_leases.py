"""Owners are told apart from every other process; leases are void once their owner is dead."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from sqlalchemy import select, update

from tests.storage.conftest import DEAD, ELSEWHERE, HERE, NEIGHBOUR
from tunelab.storage import owners
from tunelab.storage.leases import (
    acquire_lease,
    is_held,
    lease_holder,
    release_lease,
    renew_lease,
    void_leases,
)
from tunelab.storage.owners import Owner
from tunelab.storage.tables import leases, workers
from tunelab.storage.workers import count_idle_workers, register_worker, unregister_worker

SAY_OWNER = """
from tunelab.storage.owners import Owner
print(Owner.this_process(), flush=True)
input()
"""


@pytest.fixture
def child():
    process = subprocess.Popen(
        [sys.executable, "-c", SAY_OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        yield process, Owner.parse(process.stdout.readline())
        process.kill()


def test_this_process_and_a_running_child_are_alive(child):
    process, owner = child
    assert owner.pid == process.pid
    assert not owner.is_dead
    assert not HERE.is_dead
    assert Owner.parse(str(HERE)) == HERE


def test_a_killed_child_is_dead_even_before_anyone_has_waited_for_it(child):
    process, owner = child
    process.kill()
    process.stdout.read()  # ends when the kernel has closed its files
    for _ in range(1000):
        if owner.is_dead:
            break
    assert owner.is_dead
    process.wait()
    assert owner.is_dead


def test_a_process_number_that_was_given_out_again_is_another_owner():
    assert replace(HERE, started=str(int(HERE.started) + 1)).is_dead


@pytest.mark.parametrize("machine", ["0123456789ab", ""])
def test_after_a_restart_of_the_host_every_owner_is_dead(monkeypatch, machine):
    """If it is known to be this host: two may have one name."""
    monkeypatch.setattr(owners, "_machine", lambda: machine)
    assert replace(HERE, boot="an earlier one").is_dead == bool(machine)


def test_a_process_of_another_host_is_not_known_to_be_dead():
    assert not replace(DEAD, host="another-host", boot="its own").is_dead


def test_a_lease_that_was_voided_and_not_taken_is_held_again_at_its_renewal(database):
    with database.write() as connection:
        lease = acquire_lease(connection, "coordinator:1", HERE)
        void_leases(connection, ["coordinator:1"])
        assert lease_holder(connection, "coordinator:1") is None
        assert renew_lease(connection, lease)
        assert lease_holder(connection, "coordinator:1") == HERE


def lease_row(connection):
    return connection.execute(select(leases.c.owner, leases.c.token)).one()


def test_a_lease_is_held_by_one(database):
    with database.write() as connection:
        assert acquire_lease(connection, "coordinator:1", HERE).token == 1
        assert acquire_lease(connection, "coordinator:1", NEIGHBOUR) is None
        assert acquire_lease(connection, "coordinator:1", ELSEWHERE) is None
        assert acquire_lease(connection, "coordinator:2", ELSEWHERE).token == 1
        assert lease_holder(connection, "coordinator:1") == HERE
        assert lease_holder(connection, "coordinator:3") is None


def test_a_process_that_was_not_told_of_its_lease_takes_it_again(database):
    with database.write() as connection:
        untold = acquire_lease(connection, "mirror:1", HERE)
        told = acquire_lease(connection, "mirror:1", HERE)
        assert told.token == untold.token + 1
        assert not renew_lease(connection, untold)


def test_the_lease_of_a_dead_owner_is_taken_at_once_with_a_greater_token(database):
    with database.write() as connection:
        lost = acquire_lease(connection, "mirror:1", DEAD)
        assert lease_holder(connection, "mirror:1") is None
        taken = acquire_lease(connection, "mirror:1", HERE)
        assert taken.token == lost.token + 1
        assert lease_row(connection) == (str(HERE), taken.token)


def test_an_expired_lease_is_taken_and_the_earlier_holder_cannot_renew_it(database):
    with database.write() as connection:
        silent = acquire_lease(connection, "mirror:1", ELSEWHERE)
        connection.execute(update(leases).values(expires_at=leases.c.expires_at - 61))
        assert lease_holder(connection, "mirror:1") is None
        # Late, and still nobody else's: it goes on.
        assert renew_lease(connection, silent)
        assert acquire_lease(connection, "mirror:1", HERE) is None
        connection.execute(update(leases).values(expires_at=leases.c.expires_at - 61))
        taken = acquire_lease(connection, "mirror:1", HERE)
        assert not renew_lease(connection, silent)
        assert renew_lease(connection, taken)


def test_only_the_present_holder_releases_a_lease(database):
    with database.write() as connection:
        lost = acquire_lease(connection, "mirror:1", DEAD)
        taken = acquire_lease(connection, "mirror:1", HERE)
        release_lease(connection, lost)
        assert lease_holder(connection, "mirror:1") == HERE
        release_lease(connection, taken)
        assert lease_holder(connection, "mirror:1") is None
        assert acquire_lease(connection, "mirror:1", ELSEWHERE).token == 3


def test_a_lease_is_held_until_it_is_given_up_or_void_or_taken(database):
    with database.write() as connection:
        lease = acquire_lease(connection, "coordinator:1", HERE)
        assert is_held(connection, lease)
        assert not is_held(connection, replace(lease, name="coordinator:2"))
        assert not is_held(connection, replace(lease, token=2))
        release_lease(connection, lease)
        assert not is_held(connection, lease)
        assert not is_held(connection, acquire_lease(connection, "coordinator:2", DEAD))


def test_a_worker_that_registers_strikes_out_the_dead_of_this_host(bench):
    def listed(connection):
        return set(connection.scalars(select(workers.c.owner)))

    with bench.database.write() as connection:
        for owner in (DEAD, ELSEWHERE):
            register_worker(connection, owner, bench.study.id)
        register_worker(connection, HERE, bench.study.id)
        register_worker(connection, HERE, bench.study.id)
        assert listed(connection) == {str(ELSEWHERE), str(HERE)}
        unregister_worker(connection, HERE)
        assert listed(connection) == {str(ELSEWHERE)}


def test_idle_workers_are_alive_and_train_nothing_of_any_study(bench):
    bench.insert(1)
    others = [replace(ELSEWHERE, pid=number) for number in (1, 2, 3)]
    with bench.database.write() as connection:
        for owner in others:
            register_worker(connection, owner, None)
        register_worker(connection, NEIGHBOUR, bench.study.id)
        assert count_idle_workers(connection, bench.study.id) == 4
        # The one that serves a single study serves no other.
        assert count_idle_workers(connection, bench.study.id + 1) == 3
    claim = bench.claim(others[0])
    with bench.database.write() as connection:
        assert count_idle_workers(connection, bench.study.id) == 3
        assert count_idle_workers(connection, bench.study.id + 1) == 2
        silent = update(workers).where(workers.c.owner == str(others[1]))
        connection.execute(silent.values(seen_at=workers.c.seen_at - 61))
        assert count_idle_workers(connection, bench.study.id) == 2
    bench.set(claim, state="finished", owner=None)
    with bench.database.read() as connection:
        assert count_idle_workers(connection, bench.study.id) == 3
