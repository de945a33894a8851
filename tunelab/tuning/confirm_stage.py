"""The confirm stage: finalists and default configuration are trained again on fresh seeds.

It begins when the search has ended. All that it knows is in the tables, so that another process
can go on with it at any moment: a run whose row is there is not added again, and one that trained
the same configuration with the same seed in an earlier stage of the study counts as it is.

All finalists share the seeds, so that their scores are comparable seed by seed. Where the data are
few, each seed also splits training and validation rows anew: the search has seen one split only,
and has chosen what suits it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection

from tunelab.datasets import PreparedData, load_training_data, split_again
from tunelab.datasets.cache import has_pool
from tunelab.datasets.remote import put
from tunelab.errors import DataError, TunelabError
from tunelab.spec.study import StudySpec
from tunelab.spec.tables import GRID
from tunelab.storage.checkpoints import delete_weights, has_weights
from tunelab.storage.confirmed import Confirmation
from tunelab.storage.engine import Database
from tunelab.storage.leases import Lease, renew_lease
from tunelab.storage.rungs import RungLimits
from tunelab.storage.states import TrialState
from tunelab.storage.studies import study_by_id, update_study
from tunelab.storage.study_data import data_store, study_data
from tunelab.storage.trials import (
    CONFIRM,
    NewTrial,
    TrialRow,
    best_trials,
    drop_unclaimed,
    insert_trials,
    move_data,
    study_trials,
    train_again,
)
from tunelab.training.metrics import METRICS, baseline_score
from tunelab.tuning.confirmation import conclude, n_weights
from tunelab.tuning.samplers import confirm_seed, split_seed

FEW_ROWS = 5000  # training and validation rows; below it each seed splits them anew
_MOST_ATTEMPTS = 20  # at a split: whole groups, or few rows of a class, can leave a part empty

_Place = tuple[str, str] | None
"""Path and digest of a repeat's own prepared data; None: it has the study's."""


class LostStageError(Exception):
    """Another coordinator leads the study by now; nothing was written."""


class ConfirmStage:
    """Sees the confirm runs of one study to their end.

    Args:
        database: The study database.
        study_id: Key of the study, whose search has ended.
        lease: The study's coordinator lease.
        spec: The study.

    Attributes:
        confirmation: What it came to, once it has ended; None if nothing could be confirmed.
        notices: What a person should know; to be emptied by whoever tells it.
    """

    def __init__(self, database: Database, study_id: int, lease: Lease, spec: StudySpec) -> None:
        self.confirmation: Confirmation | None = None
        self.notices: list[str] = []
        self._database = database
        self._study_id = study_id
        self._lease = lease
        self._spec = spec
        self._maximize = spec.objective.direction == "maximize"
        self._finalists: list[TrialRow] = []
        self._default: int | None = None  # which of them is the default configuration
        self._numbers: list[list[int]] = []  # of the runs, by finalist and repeat
        self._open: set[int] = set()  # runs that are not known to have ended
        self._sizes: dict[int, int] = {}
        self._sizes_known = False
        self._retrained = False

    def begin(self) -> None:
        """See which runs there are, and add those that are missing.

        Raises:
            LostStageError: If another coordinator leads the study.
            TunelabError: If the database, or the folder of prepared data, cannot be written.
        """
        self._finalists = self._database.fetch(self._read_finalists)
        if not self._finalists:
            return
        rows = self._runs()
        prepared = self._prepared()
        places = self._places(rows, prepared)
        for finalist in self._finalists:
            flat = finalist.hyperparameters
            self._sizes[finalist.number] = (
                n_weights(flat, 0, 1)
                if prepared is None
                else n_weights(flat, prepared.n_features, prepared.n_outputs)
            )
        self._sizes_known = prepared is not None
        new = self._missing(rows, places)
        wanted = {number for numbers in self._numbers for number in numbers}
        moved = [
            (row.id, place[0])
            for row in rows
            if row.repeat is not None
            and (place := places.get(row.repeat)) is not None
            and row.data_digest == place[1]
            and row.data_path != place[0]
        ]

        def write(connection: Connection) -> None:
            self._renew(connection)
            drop_unclaimed(connection, self._study_id, CONFIRM, but=wanted)
            move_data(connection, moved)
            if new:
                insert_trials(connection, self._study_id, new)

        self._database.attempt(write)
        self._open = wanted

    def look(self) -> bool:
        """Whether all runs have ended, and what they came to is stored.

        Raises:
            LostStageError: If another coordinator leads the study.
            DatabaseError: If the database cannot be read or written.
        """
        if not self._finalists:
            return True
        if self._open:
            self._open -= self._database.fetch(self._ended)
        if self._open:
            return False
        rows = {row.number: row for row in self._runs()}
        runs = {
            finalist.number: [rows[number] for number in numbers]
            for finalist, numbers in zip(self._finalists, self._numbers, strict=True)
        }
        found = conclude(
            self._finalists,
            runs,
            self._sizes,
            maximize=self._maximize,
            sizes_known=self._sizes_known,
            default=self._default,
            at=time.time(),
        )
        champion = None if found.champion is None else rows[found.champion]
        return self._database.attempt(lambda c: self._settle(c, found, champion, rows.values()))

    def _settle(
        self,
        connection: Connection,
        found: Confirmation,
        champion: TrialRow | None,
        rows: Iterable[TrialRow],
    ) -> bool:
        self._renew(connection)
        if champion is not None and not has_weights(connection, champion.id):
            # An earlier stage had another pick, and dropped them: the run repeats exactly.
            if not self._retrained:
                self._retrained = True
                train_again(connection, champion.id)
                self._open = {champion.number}
                return False
            self.notices.append(f"the weights of confirm run {champion.number} are not kept")
        before = study_by_id(connection, self._study_id).confirmation
        if before is not None and found.equals(before):
            self.confirmation = before
            return True
        update_study(connection, self._study_id, confirmed=found.to_json())
        for row in rows:
            if champion is None or row.id != champion.id:
                delete_weights(connection, row.id)
        self.confirmation = found
        return True

    def _ended(self, connection: Connection) -> set[int]:
        ended = study_trials(
            connection,
            self._study_id,
            kind=CONFIRM,
            numbers=self._open,
            states=[TrialState.FINISHED],
        )
        return {row.number for row in ended}

    def _read_finalists(self, connection: Connection) -> list[TrialRow]:
        """The search's best, and behind them the default configuration if it is none of them."""
        n = self._spec.confirm.finalists
        best = best_trials(connection, self._study_id, n, maximize=self._maximize)
        if not best or self._spec.search.sampler == GRID:  # whose first trial is a cell like others
            return best
        first = study_trials(connection, self._study_id, numbers=[0])[0]
        alike = [row for row in best if row.hyperparameters == first.hyperparameters]
        self._default = alike[0].number if alike else first.number
        return best if alike else [*best, first]

    def _runs(self) -> list[TrialRow]:
        return self._database.fetch(lambda c: study_trials(c, self._study_id, kind=CONFIRM))

    def _missing(self, rows: Sequence[TrialRow], places: Mapping[int, _Place]) -> list[NewTrial]:
        """The runs that have no row yet; and note the numbers of all that belong to the stage."""
        following = max((row.number for row in rows), default=-1) + 1
        new: list[NewTrial] = []
        self._numbers = []
        for finalist in self._finalists:
            numbers = []
            for repeat in range(self._spec.confirm.seeds):
                there = (
                    row.number
                    for row in rows
                    if row.repeat == repeat and row.hyperparameters == finalist.hyperparameters
                )
                number = next(there, None)
                if number is None:
                    number = following
                    following += 1
                    place = places.get(repeat)
                    new.append(
                        NewTrial(
                            number=number,
                            hyperparameters=finalist.hyperparameters,
                            sampler_state={},
                            seed=confirm_seed(self._spec.search.seed, repeat),
                            limits=RungLimits(),  # nothing is pruned here
                            kind=CONFIRM,
                            confirms=finalist.number,
                            repeat=repeat,
                            data_path=place and place[0],
                            data_digest=place and place[1],
                        )
                    )
                numbers.append(number)
            self._numbers.append(numbers)
        return new

    # Data

    def _prepared(self) -> PreparedData | None:
        """The study's data, if they can be had here."""
        study = self._database.fetch(lambda c: study_by_id(c, self._study_id))
        try:
            return study_data(self._database, study)
        except DataError:
            return None

    def _places(self, rows: Sequence[TrialRow], prepared: PreparedData | None) -> dict[int, _Place]:
        """Where the data of each repeat are, by the repeat."""
        places: dict[int, _Place] = {
            row.repeat: None if row.data_path is None else (row.data_path, row.data_digest or "")
            for row in rows
            if row.repeat is not None
        }
        wanted = [repeat for repeat in range(self._spec.confirm.seeds) if repeat not in places]
        again = [repeat for repeat, place in places.items() if place is not None]
        if self._spec.data.split.method == "time":
            return places  # what comes later must stay later
        if prepared is None or not has_pool(prepared):
            if wanted and (prepared is None or _rows(prepared) < FEW_ROWS):
                self.notices.append(
                    "the raw rows are not on this machine: the confirm runs train on the split "
                    "that the search used, and their intervals leave out what another would change"
                )
            return places
        if wanted and _rows(prepared) >= FEW_ROWS:
            wanted = []
        for repeat in [*again, *wanted]:
            split = self._split(prepared, repeat)
            # What has been trained on some rows stays with them.
            if split is not None and (repeat in wanted or _digest(places[repeat]) == split.digest):
                places[repeat] = (str(split.path), split.digest)
        return places

    def _split(self, prepared: PreparedData, repeat: int) -> PreparedData | None:
        """A split of its own for a repeat; None if the rows cannot be split anew."""
        largest = max(int(row.hyperparameters["batch_size"]) for row in self._finalists)
        metric, fault = self._spec.objective.metric, ""
        for attempt in range(_MOST_ATTEMPTS):
            seed = split_seed(self._spec.search.seed, repeat, attempt)
            if seed == self._spec.data.split.seed:
                continue
            try:
                split = split_again(prepared, self._spec.data, seed)
            except DataError as error:
                fault = error.message
                continue
            if split.n_train < largest:
                fault = f"{split.n_train} training rows are fewer than the batch size {largest}"
                continue
            if self._is_undefined(split):
                fault = f"{metric} cannot be computed from its validation rows"
                continue
            self._share(split)
            return split
        self.notices.append(
            f"the confirm runs with seed {repeat} train on the split that the search used: {fault}"
        )
        return None

    def _is_undefined(self, split: PreparedData) -> bool:
        """Whether the objective has no value on the validation rows, whatever is predicted."""
        metric = self._spec.objective.metric
        if metric not in METRICS:
            return False
        return math.isnan(baseline_score(metric, load_training_data(split)))

    def _share(self, split: PreparedData) -> None:
        """Put it where workers of other machines find it."""
        store = data_store()
        if store is None:
            return
        try:
            put(split, store)
        except TunelabError as error:
            self.notices.append(f"workers elsewhere will miss the data of a seed: {error.message}")

    def _renew(self, connection: Connection) -> None:
        if not renew_lease(connection, self._lease):
            raise LostStageError


def _rows(prepared: PreparedData) -> int:
    return prepared.n_train + prepared.n_validation


def _digest(place: _Place) -> str | None:
    return None if place is None else place[1]
