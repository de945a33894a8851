"""A trial's place at a rung, against ranks counted by hand and, at random, by SciPy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata
from sqlalchemy import update

from tests.storage.conftest import Bench, epoch, verdict
from tunelab.storage.engine import Database
from tunelab.storage.recorder import Recorder
from tunelab.storage.schema import open_database
from tunelab.storage.standings import Standing
from tunelab.storage.states import EndReason, TrialState
from tunelab.storage.tables import trials

RUNG = 8


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A database for studies with one trial that runs and others that have ended."""
    database = open_database(f"sqlite:///{tmp_path_factory.mktemp('standings') / 'tunelab.db'}")
    yield database
    database.close()


def others(bench, *ended):
    """Insert trials, end all but the first as told, and claim that one."""
    bench.insert(1 + len(ended))
    mine = bench.claim()
    keys = [row.id for row in bench.trials()][1:]
    with bench.database.write() as connection:
        for key, (end_reason, value, rung_values) in zip(keys, ended, strict=True):
            connection.execute(
                update(trials)
                .where(trials.c.id == key)
                .values(
                    state=TrialState.FINISHED,
                    end_reason=end_reason,
                    value=value,
                    rung_values=rung_values,
                )
            )
    return mine


def place(bench, claim, best, *, completed_only=True, maximize=False, metric="validation_loss"):
    recorder = Recorder(bench.database, claim, maximize=maximize)
    return recorder.standing(RUNG, best, metric=metric, completed_only=completed_only)


def mixed(bench):
    return others(
        bench,
        (EndReason.COMPLETED, 0.1, {"8": 0.2}),
        (EndReason.EARLY_STOPPED, 0.3, {}),  # ended before the rung: its best counts there
        (EndReason.COMPLETED, 0.05, {"8": 0.9}),
        (EndReason.PRUNED, 0.3, {"8": 0.3}),
        (EndReason.PRUNED, 0.1, {"4": 0.1}),  # never came so far
        (EndReason.DIVERGED, 0.1, {"4": 0.1}),
        (EndReason.FAILED, 0.1, {"8": 0.1}),
    )


@pytest.mark.parametrize(
    ("best", "completed_only", "expected"),
    [
        (0.4, True, Standing(3, 4)),
        (0.3, True, Standing(2, 4)),  # equals share the better place
        (0.1, True, Standing(1, 4)),
        (1.0, True, Standing(4, 4)),
        (None, True, Standing(4, 4)),
        (0.4, False, Standing(4, 5)),
        (None, False, Standing(5, 5)),
    ],
)
def test_a_trial_is_ranked_among_those_that_count(bench, best, completed_only, expected):
    assert place(bench, mixed(bench), best, completed_only=completed_only) == expected


def test_where_greater_is_better_the_order_turns(bench):
    mine = mixed(bench)
    assert place(bench, mine, 0.4, maximize=True, metric="accuracy") == Standing(2, 4)
    assert place(bench, mine, None, maximize=True, metric="accuracy") == Standing(4, 4)


def test_trials_that_run_count_once_they_have_come_as_far(bench):
    bench.insert(3)
    mine, near, far = bench.claim(), bench.claim(), bench.claim()
    for claim, n_epochs in ((near, RUNG - 1), (far, RUNG + 1)):
        recorder = Recorder(bench.database, claim, maximize=False)
        for number in range(1, n_epochs + 1):
            loss = 1.0 / number
            recorder.record(epoch(number, loss), verdict(number, loss), None)
        recorder.release(dict)
        bench.claim()
    assert place(bench, mine, 0.12, completed_only=False) == Standing(1, 2)  # far had 1/8 there
    assert place(bench, mine, 0.13, completed_only=False) == Standing(2, 2)
    assert place(bench, mine, 0.13, completed_only=True) == Standing(1, 1)


values = st.floats(0, 1, width=16)


@given(best=values, completed=st.lists(values, max_size=8), maximize=st.booleans())
def test_ranks_are_scipys(shared: Database, best, completed, maximize):
    bench = Bench(shared)
    mine = others(bench, *((EndReason.COMPLETED, value, {"8": value}) for value in completed))
    found = place(bench, mine, best, maximize=maximize)
    signed = [-value if maximize else value for value in [best, *completed]]
    assert found == Standing(int(rankdata(signed, method="min")[0]), len(signed))
