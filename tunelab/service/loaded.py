"""A study read from the database, for scripts and notebooks: `tunelab.load_study`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunelab.errors import NotFoundError
from tunelab.service.events import epoch_json, trial_json
from tunelab.service.summary import SCHEMA, StudySummary, summarize
from tunelab.storage.engine import Database
from tunelab.storage.location import database_url as default_url
from tunelab.storage.schema import open_database
from tunelab.storage.studies import get_study
from tunelab.storage.trials import CONFIRM, EpochRow, TrialRow, study_curves, study_trials

if TYPE_CHECKING:
    from tunelab.tuning.optuna_trials import Study


class LoadedStudy:
    """One generation of a study as it stood when it was read. Nothing in it changes later.

    Args:
        found: The study as a whole, as tunelab's own code has it; likewise ``rows``.
        rows: The trials of its search, in order of their numbers.
        confirm_runs: Those of its confirm stage.
        curves: Trial key -> its epochs, of both.
    """

    def __init__(
        self,
        found: StudySummary,
        rows: list[TrialRow],
        confirm_runs: list[TrialRow],
        curves: dict[int, list[EpochRow]],
    ) -> None:
        self.found = found
        self.rows = rows
        self._confirm_rows = confirm_runs
        self._curves = curves

    def __repr__(self) -> str:
        return f"<study {self.name}: {self.found.state}, {len(self.rows)} trials>"

    @property
    def name(self) -> str:
        """Name and generation, ``digits#7``."""
        return self.found.study.reference

    @property
    def summary(self) -> dict[str, Any]:
        """State, counts, best trial and confirmation: what ``study show --json`` prints."""
        return self.found.to_json()

    @property
    def study_file(self) -> dict[str, Any]:
        """The resolved study file, as plain mappings and lists."""
        return self.found.spec.to_mapping()

    @property
    def trials(self) -> list[dict[str, Any]]:
        """A mapping for each trial of the search, with its ``hyperparameters`` and ``curve``."""
        return [self._with_curve(row) for row in self.rows]

    @property
    def confirm_runs(self) -> list[dict[str, Any]]:
        """The same for each run of the confirm stage."""
        return [self._with_curve(row) for row in self._confirm_rows]

    def trial(self, number: int) -> dict[str, Any]:
        """One trial of the search.

        Raises:
            NotFoundError: If there is none of this number.
        """
        return self._with_curve(self.row(number))

    def row(self, number: int) -> TrialRow:
        """One trial of the search as it stands in the database.

        Raises:
            NotFoundError: If there is none of this number.
        """
        for row in self.rows:
            if row.number == number:
                return row
        last = self.rows[-1].number if self.rows else None
        present = "it has none yet" if last is None else f"its trials are 0 to {last}"
        raise NotFoundError(f"no trial {number} in {self.found.study.title}; {present}")

    def to_json(self) -> dict[str, Any]:
        """Everything as one JSON document."""
        return {
            "schema": SCHEMA,
            "study": self.summary,
            "study_file": self.study_file,
            "trials": self.trials,
            "confirm_runs": self.confirm_runs,
        }

    def to_optuna(self) -> Study:
        """The study in memory, for ``optuna.visualization``, ``optuna.importance`` and the like.

        Its parameters and distributions are those of the search, conditional ones only where they
        were active; fixed hyperparameters, verdicts and reasons are user attributes of the trials,
        and the curve of the objective is what they reported. Confirm runs are not among them.
        """
        from tunelab.tuning.optuna_trials import optuna_study, optuna_trials

        objective = self.found.spec.objective
        trials = optuna_trials(self.rows, self._curves, objective)
        return optuna_study(self.name, trials, objective, {"tunelab": self.summary})

    def write_optuna(self, url: str) -> str:
        """Write the study to an Optuna database, whole or not at all.

        Args:
            url: A SQLAlchemy URL, ``sqlite:///optuna.db``. An earlier export of this study is
                replaced, anything else stays.

        Returns:
            Where it was written, without a password.

        Raises:
            UsageError: If the URL is none, or names a database of something else.
            DatabaseError: If the database cannot be written.
        """
        from tunelab.storage.foreign import foreign_database
        from tunelab.tuning.optuna_export import write_optuna
        from tunelab.tuning.optuna_trials import optuna_trials

        database = foreign_database(url, "--optuna")
        study, objective = self.found.study, self.found.spec.objective
        trials = optuna_trials(self.rows, self._curves, objective)
        identity = {"name": self.name, "created_at": study.created_at}
        write_optuna(database, self.name, trials, objective, identity)
        return database.place

    def _with_curve(self, row: TrialRow) -> dict[str, Any]:
        return {**trial_json(row), "curve": [epoch_json(item) for item in self._curves[row.id]]}


def load_study(name: str, database_url: str | None = None) -> LoadedStudy:
    """Read a study.

    Args:
        name: ``digits`` for its latest generation, ``digits#7`` for its 7th.
        database_url: Of the study database; None: TUNELAB_DATABASE_URL, else ``tunelab.db`` in the
            working directory.

    Raises:
        NotFoundError: If there is no such study, or no database.
        DatabaseError: If the database cannot be read.
    """
    database = open_database(database_url or default_url(), create=False)
    try:
        return read_study(database, name)
    finally:
        database.close()


def read_study(database: Database, name: str) -> LoadedStudy:
    """The same from a database that is open."""
    with database.read() as connection:
        study = get_study(connection, name)
        summary = summarize(connection, study)
        trials = study_trials(connection, study.id)
        confirm_runs = study_trials(connection, study.id, kind=CONFIRM)
        after = {row.id: 0 for row in (*trials, *confirm_runs)}
        curves = study_curves(connection, after)
    return LoadedStudy(summary, trials, confirm_runs, curves)
