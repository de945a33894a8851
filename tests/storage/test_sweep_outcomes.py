"""Which ends of slots are told of, by whom, and how a sweep's last one reads."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, update

from tests.storage.conftest import run_together
from tests.storage.test_sweeps import SLOT, Sweeps, study
from tunelab.storage.clock import database_now
from tunelab.storage.rungs import RungLimits
from tunelab.storage.states import EndReason, SlotState, StudyState, TrialState
from tunelab.storage.studies import delete_study, mark_ended
from tunelab.storage.sweep_outcomes import (
    TELL_SECONDS,
    latest_outcome,
    take_on_telling,
    untold_outcomes,
)
from tunelab.storage.sweep_slots import end_slot, queue_slot, record_late, slot_of_study
from tunelab.storage.sweeps import remove_sweep
from tunelab.storage.tables import studies, sweep_slots, trials
from tunelab.storage.trials import NewTrial, insert_trials


class Ends(Sweeps):
    def skip(self, slot_at=SLOT):
        self.write(end_slot, self.claim(slot_at), SlotState.SKIPPED, "digits #1 runs")

    def finish(self, created, *end_reasons, state=StudyState.FINISHED):
        """End a study's trials and then the study."""
        with self.database.write() as connection:
            new = [NewTrial(n, {}, {}, n, RungLimits()) for n in range(len(end_reasons))]
            insert_trials(connection, created.id, new)
            for number, end_reason in enumerate(end_reasons):
                of_trial = (trials.c.study_id == created.id) & (trials.c.number == number)
                values = {"state": TrialState.FINISHED, "end_reason": end_reason}
                connection.execute(update(trials).where(of_trial).values(**values))
            mark_ended(connection, created.id, state, end_reason="x", running_seconds=1.0)

    def age_ends(self, seconds):
        with self.database.write() as connection:
            for table in (studies, sweep_slots):
                earlier = table.c.ended_at - seconds
                connection.execute(update(table).values(ended_at=earlier))

    def untold(self):
        return self.read(untold_outcomes)

    def latest(self):
        return self.read(latest_outcome, self.row.id)


@pytest.fixture
def sweeps(database):
    return Ends(database)


@pytest.mark.parametrize("state", [SlotState.SKIPPED, SlotState.FAILED, SlotState.LATE])
def test_a_slot_that_started_nothing_is_told_of(sweeps, state):
    sweeps.put(study(notify="https://example.org/hook"), now=2000.0)
    sweeps.write(end_slot, sweeps.claim(), state, "a reason")
    (outcome,) = sweeps.untold()
    assert (outcome.name, outcome.slot_at, outcome.state) == ("digits", SLOT, state)
    assert (outcome.reason, outcome.generation) == ("a reason", None)
    assert outcome.study_file == "/studies/digits.yaml"
    assert outcome.sweep.notify == "https://example.org/hook"
    assert outcome.ended_at == sweeps.history()[0].ended_at


def test_a_late_slot_that_nobody_claimed_is_told_of(sweeps):
    sweeps.write(record_late, sweeps.row.id, SLOT, "missed")
    assert [outcome.state for outcome in sweeps.untold()] == [SlotState.LATE]


def test_what_is_started_or_still_to_be_started_is_not_told_of(sweeps):
    sweeps.launch(sweeps.claim())
    sweeps.write(queue_slot, sweeps.claim(SLOT + 60), "digits #1 runs")
    sweeps.claim(SLOT + 120)
    assert sweeps.untold() == []


GOOD = [EndReason.COMPLETED, EndReason.EARLY_STOPPED]
FRUITLESS = [EndReason.FAILED, EndReason.DIVERGED, EndReason.PRUNED]


def test_a_study_that_finished_without_a_completed_trial_has_failed(sweeps):
    created = sweeps.launch(sweeps.claim())
    sweeps.finish(created, *FRUITLESS)
    (outcome,) = sweeps.untold()
    assert (outcome.state, outcome.generation) == (SlotState.FAILED, 1)
    assert outcome.reason == "digits #1 finished without one completed trial"
    assert outcome.ended_at > sweeps.history()[0].ended_at
    assert sweeps.latest() == outcome


@pytest.mark.parametrize("good", GOOD)
def test_one_completed_trial_is_a_result(sweeps, good):
    sweeps.finish(sweeps.launch(sweeps.claim()), *FRUITLESS, good)
    assert sweeps.untold() == []
    assert sweeps.latest().state is SlotState.LAUNCHED


def test_a_study_that_was_stopped_or_deleted_has_not_failed(sweeps):
    stopped, deleted = (sweeps.launch(sweeps.claim(at)) for at in (SLOT, SLOT + 60))
    sweeps.finish(stopped, *FRUITLESS, state=StudyState.STOPPED)
    sweeps.finish(deleted, *FRUITLESS)
    sweeps.write(delete_study, deleted.id)
    assert sweeps.untold() == []


def test_one_of_all_who_ask_takes_it_on(sweeps):
    sweeps.skip()
    (outcome,) = sweeps.untold()
    assert sweeps.write(take_on_telling, outcome, "a")
    assert not sweeps.write(take_on_telling, outcome, "b")
    assert sweeps.write(take_on_telling, outcome, "a")  # the first answer was lost
    assert sweeps.untold() == []
    assert sweeps.latest().state is SlotState.SKIPPED


def test_a_removed_sweep_is_told_of_no_more(sweeps):
    sweeps.skip()
    (outcome,) = sweeps.untold()
    sweeps.write(remove_sweep, sweeps.row.id)
    assert sweeps.untold() == []
    assert not sweeps.write(take_on_telling, outcome, "a")


def test_what_is_older_than_a_day_is_no_news(sweeps):
    sweeps.skip()
    sweeps.finish(sweeps.launch(sweeps.claim(SLOT + 60)), *FRUITLESS)
    assert len(sweeps.untold()) == 2
    sweeps.age_ends(TELL_SECONDS - 60)
    assert len(sweeps.untold()) == 2
    sweeps.age_ends(120)
    assert sweeps.untold() == []


def test_the_last_outcome_is_that_of_the_newest_slot_that_has_ended(sweeps):
    assert sweeps.latest() is None
    sweeps.claim()
    assert sweeps.latest() is None
    sweeps.skip(SLOT + 120)
    sweeps.write(record_late, sweeps.row.id, SLOT + 60, "missed")
    sweeps.claim(SLOT + 180)
    assert (sweeps.latest().slot_at, sweeps.latest().state) == (SLOT + 120, SlotState.SKIPPED)


def test_a_study_knows_the_slot_that_started_it(sweeps):
    created = sweeps.launch(sweeps.claim())
    other = sweeps.write(sweeps.create)
    assert sweeps.read(slot_of_study, created.id).slot_at == SLOT
    assert sweeps.read(slot_of_study, other.id) is None


TELL = """
from tunelab.storage.schema import open_database
from tunelab.storage.sweep_outcomes import take_on_telling, untold_outcomes
import uuid

def work(url):
    database = open_database(url)
    mine = []
    while True:
        with database.read() as connection:
            outcomes = untold_outcomes(connection)
        if not outcomes:
            return mine
        for outcome in outcomes:
            with database.write() as connection:
                if take_on_telling(connection, outcome, str(uuid.uuid4())):
                    mine.append(outcome.slot_at)
"""


def test_six_processes_tell_of_forty_ends_and_of_each_of_them_once(sweeps):
    slots = [SLOT + 60 * minute for minute in range(40)]
    values = {"sweep_id": sweeps.row.id, "state": "skipped", "token": 0, "lost_claims": 0}
    rows = [{**values, "slot_at": slot, "created_at": 0.0} for slot in slots]
    with sweeps.database.write() as connection:
        connection.execute(insert(sweep_slots), rows)
        connection.execute(update(sweep_slots).values(ended_at=database_now()))
    url = sweeps.database.url.render_as_string(hide_password=False)
    shares = run_together(TELL, 6, url)
    assert sorted(slot for share in shares for slot in share) == slots
