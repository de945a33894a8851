"""The service's workers are shared fairly among its studies."""

from __future__ import annotations

import tempfile
from contextlib import closing

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.storage.conftest import HERE, STUDY
from tunelab.storage.claims import give_back
from tunelab.storage.queues import ServiceQueue
from tunelab.storage.rungs import RungLimits
from tunelab.storage.schema import open_database
from tunelab.storage.states import Executor
from tunelab.storage.studies import create_study
from tunelab.storage.trials import NewTrial, insert_trials


@settings(max_examples=15, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 4), min_size=1, max_size=4),
    local=st.sets(st.integers(0, 3)),
    avoided=st.sets(st.integers(0, 3)),
    returned=st.sets(st.integers(0, 15)),
)
def test_the_study_with_the_fewest_running_trials_is_next_then_the_oldest(
    sizes, local, avoided, returned
):
    """``returned``: the claims, counted from 0, that are given back at once."""
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(open_database(f"sqlite:///{folder}/tunelab.db")) as database,
        database.write() as connection,
    ):
        waiting: dict[int, list[int]] = {}
        keys = []
        for index, size in enumerate(sizes):
            served = Executor.OPEN if index % 2 else Executor.EXTERNAL
            executor = Executor.LOCAL if index in local else served
            study = create_study(connection, name=f"s{index}", executor=executor, **STUDY)
            new = [NewTrial(number, {}, {}, 0, RungLimits()) for number in range(size)]
            if new:
                insert_trials(connection, study.id, new)
            keys.append(study.id)
            if index not in local | avoided:
                waiting[study.id] = list(range(size))
        running = dict.fromkeys(waiting, 0)
        queue = ServiceQueue({keys[index] for index in avoided if index < len(keys)})
        for turn in range(sum(sizes) + 20):
            claim = queue.claim(connection, HERE)
            left = [key for key in waiting if waiting[key]]
            if not left:
                assert claim is None
                break
            key = min(left, key=lambda key: (running[key], key))
            assert claim is not None
            assert (claim.study_id, claim.number) == (key, waiting[key][0])
            if turn in returned:
                give_back(connection, claim)
            else:
                waiting[key].pop(0)
                running[key] += 1
