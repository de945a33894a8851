"""What MLflow shows of a study otherwise than the study database has it.

What MLflow must show is written by the same functions that the mirror sends it with. What people
add to a run (tags, metrics, a description of their own) is theirs and is not looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from tunelab.service.mirror.environment import without_credentials
from tunelab.service.mirror.identities import Sorted, sort_out
from tunelab.service.mirror.messages import NOTE_TAG, PARENT_TAG, Entries, Point, Status
from tunelab.service.mirror.registry import Registry
from tunelab.service.mirror.study_record import (
    COUNT_KEYS,
    Progress,
    add_counts,
    add_results,
    identity_tags,
    read_confirmed,
    study_params,
    study_status,
    study_tags,
)
from tunelab.service.mirror.sweep_record import slot_tags, tags_of_latest
from tunelab.service.mirror.tracking import FoundRun, Tracking
from tunelab.service.mirror.trial_record import TrialWriter, trial_status
from tunelab.service.summary import effective_spec
from tunelab.storage.engine import Database
from tunelab.storage.mirror_runs import all_runs, last_end
from tunelab.storage.models import latest_model
from tunelab.storage.studies import study_by_id
from tunelab.storage.sweep_slots import slot_of_study
from tunelab.storage.trials import (
    CONFIRM,
    SEARCH,
    EpochRow,
    TrialRow,
    count_trials_alike,
    study_curves,
    study_trials,
    trials_by_id,
)

_SLICE = 100  # trials whose epochs are held in memory at a time
_RESULT_KEYS = ("study/trial_objective", "study/best_objective")


@dataclass
class Differences:
    """How often MLflow shows something else.

    Attributes:
        missing_runs: Runs that are not there, or among MLflow's deleted ones.
        double_runs: Runs for what has one already.
        stray_runs: Runs of the study for trials that it does not have.
        wrong_states: Runs with another status or end, such as an ended trial's that is RUNNING.
        missing_points: Points of metrics that are not there.
        wrong_points: Points that are there twice, or that the study database does not have.
        wrong_labels: Params and tags that are missing or different.
        wrong_models: Models of the registry that are missing or damaged, and aliases that point
            elsewhere.
    """

    missing_runs: int = 0
    double_runs: int = 0
    stray_runs: int = 0
    wrong_states: int = 0
    missing_points: int = 0
    wrong_points: int = 0
    wrong_labels: int = 0
    wrong_models: int = 0

    def __bool__(self) -> bool:
        return any(vars(self).values())


@dataclass
class Findings:
    """What a comparison found, and what has to go before the study is sent anew.

    Attributes:
        differences: The counts.
        doomed: Runs to delete: doubles, strays, and those with points that cannot be taken back.
        forgotten: Runs that are to be sent again; their keys in the table ``mirror_runs``.
        from_nothing: Whether the study's own run is missing or doomed, and with it all links.
    """

    differences: Differences = field(default_factory=Differences)
    doomed: list[str] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    from_nothing: bool = False


def compare(
    database: Database,
    study_id: int,
    tracking: Tracking,
    *,
    every_point: bool = True,
    progressed: Callable[[], None] = lambda: None,
) -> Findings:
    """Compare one study's runs with its rows; nothing is changed.

    Args:
        database: The study database.
        study_id: Key of the study.
        tracking: Where the runs are.
        every_point: Whether to read all points, which takes a request for each curve of a run;
            otherwise the latest of each curve alone, which come with the list of runs.
        progressed: Called between runs; what it raises ends the comparison.

    Raises:
        NotFoundError: If the study has been deleted.
        TrackingError: If its experiment has been deleted in MLflow.
        Exception: Whatever MLflow raises.
    """
    return _Comparison(database, study_id, tracking, every_point, progressed).run()


class _Comparison:
    def __init__(
        self,
        database: Database,
        study_id: int,
        tracking: Tracking,
        every_point: bool,
        progressed: Callable[[], None],
    ) -> None:
        self._database = database
        self._tracking = tracking
        self._every_point = every_point
        self._progressed = progressed
        with database.read() as connection:
            self._study = study_by_id(connection, study_id)
            rows = all_runs(connection, study_id, without_credentials(tracking.uri))
            trials = [
                trial
                for kind in (SEARCH, CONFIRM)
                for trial in study_trials(connection, study_id, kind=kind)
            ]
            slot = slot_of_study(connection, study_id)
            self._sweep_tags = tags_of_latest(connection, self._study) or {}
        self._slot_tags = {} if slot is None else slot_tags(slot)
        self._remembered = {row.run_id for row in rows}
        self._keys = [trial.id for trial in trials if trial.attempts]
        self._spec = effective_spec(self._study)
        self._writer = TrialWriter(self._spec, self._study.reference)
        self._identity = identity_tags(self._study)
        self._findings = Findings()
        self._differences = self._findings.differences
        self._sound: set[str] = set()  # runs that are as they should be

    def run(self) -> Findings:
        """Compare the study's own run, then the trials' runs."""
        experiment = self._tracking.known_experiment(self._study.name)
        found = self._tracking.find(experiment, self._identity) if experiment else []
        runs = sort_out(found, self._remembered)
        parent = self._check_study(runs)
        if experiment and self._sweep_tags:
            lacking = self._tracking.lacking_tags(experiment, self._sweep_tags)
            self._differences.wrong_labels += len(lacking)
        for start in range(0, len(self._keys), _SLICE):
            self._check_trials(runs, parent, self._keys[start : start + _SLICE])
        # What is left stands for nothing that the study database knows.
        strays = list(runs.kept.values())
        self._differences.stray_runs += len(strays)
        self._differences.double_runs += len(runs.doubles)
        self._findings.doomed += [run.run_id for run in (*runs.doubles, *strays)]
        if self._differences and parent is not None:
            self._sound.discard(parent.run_id)  # its description and picture go with the trials
        self._findings.forgotten = sorted(self._remembered - self._sound)
        with self._database.read() as connection:
            has_model = latest_model(connection, self._study.id) is not None
        if has_model:
            registry = Registry(self._database, self._study.id, self._tracking.uri)
            self._differences.wrong_models = registry.differences(thorough=self._every_point)
        return self._findings

    def _check_study(self, runs: Sorted) -> FoundRun | None:
        """Compare the study's own run; None if there is none to keep."""
        tags = {**study_tags(self._study), **self._slot_tags}
        run = runs.kept.pop(self._study.reference, None)
        if run is None:
            self._differences.missing_runs += 1
            self._findings.from_nothing = True
            return None
        with self._database.read() as connection:
            groups = count_trials_alike(connection, self._study.id)
            ended = last_end(connection, self._study.id)
            trials = study_trials(connection, self._study.id)
            confirmed = read_confirmed(connection, self._study)
        wanted = Entries(tags=tags)
        maximize = self._spec.objective.direction == "maximize"
        add_results(wanted, trials, Progress(), 0, maximize=maximize)
        add_counts(wanted, groups, ended)
        confirmed.add(wanted)
        # A budget that was extended keeps the number that it began with: params do not change.
        params = study_params(self._spec)
        wanted.params = {key: run.params.get(key, text) for key, text in params.items()}
        whole = self._check_run(run, wanted, study_status(self._study), _RESULT_KEYS, COUNT_KEYS)
        if not whole:
            self._findings.from_nothing = True
            return None
        return run

    def _check_trials(self, runs: Sorted, parent: FoundRun | None, keys: Sequence[int]) -> None:
        with self._database.read() as connection:
            trials = trials_by_id(connection, keys)
            curves = study_curves(connection, dict.fromkeys((trial.id for trial in trials), 0))
        for trial in trials:
            self._progressed()
            run = runs.kept.pop(self._writer.identity(trial), None)
            if run is None:
                self._differences.missing_runs += 1
                continue
            wanted = self._wanted(trial, curves[trial.id], parent)
            status = trial_status(trial, self._study)
            self._check_run(run, wanted, status, self._writer.curve_keys, ())

    def _wanted(
        self, trial: TrialRow, curve: Sequence[EpochRow], parent: FoundRun | None
    ) -> Entries:
        writer, entries = self._writer, Entries()
        writer.add_hyperparameters(entries, trial)
        writer.add_curve(entries, curve)
        entries.tags = {**self._identity, **writer.tags(trial)}
        if parent is not None:
            entries.tags[PARENT_TAG] = parent.run_id
        if trial.end_reason is not None:
            writer.add_summary(entries, trial, curve)
            entries.tags |= writer.end_tags(trial, curve)
        return entries

    def _check_run(
        self,
        run: FoundRun,
        wanted: Entries,
        status: tuple[Status, int | None],
        curve_keys: Iterable[str],
        growing_keys: Iterable[str],
    ) -> bool:
        """Compare one run.

        Args:
            run: As MLflow has it.
            wanted: All that it must have.
            status: Its status, and its end if it has ended.
            curve_keys: Metrics whose points must be the wanted ones and no others.
            growing_keys: Metrics whose wanted points are the latest; earlier ones may be there.

        Returns:
            False if the run has to be deleted and made again.
        """
        before = vars(self._differences).copy()
        wrong_state = run.status != status[0] or (
            status[1] is not None and run.ended_at != status[1]
        )
        self._differences.wrong_states += wrong_state
        changed = [key for key, text in wanted.params.items() if run.params.get(key, text) != text]
        labels = len(changed) + len(wanted.params.keys() - run.params.keys())
        labels += sum(not _has_tag(run, key, text) for key, text in wanted.tags.items())
        self._differences.wrong_labels += labels
        points: dict[str, list[Point]] = {key: [] for key in (*curve_keys, *growing_keys)}
        for point in wanted.points:
            points.setdefault(point.key, []).append(point)
        n_wrong = 0
        for key, expected in points.items():
            if key in growing_keys:
                missing, wrong = self._compare_growing(run, key, expected)
            elif key in curve_keys and self._every_point:
                missing, wrong = self._compare_curve(run, key, expected)
            else:
                missing, wrong = _compare_latest(run, key, expected)
            self._differences.missing_points += missing
            n_wrong += wrong
        self._differences.wrong_points += n_wrong
        if n_wrong or changed:  # MLflow can take neither back
            self._findings.doomed.append(run.run_id)
            return False
        if vars(self._differences) == before:
            self._sound.add(run.run_id)
        return True

    def _compare_curve(self, run: FoundRun, key: str, expected: Sequence[Point]) -> tuple[int, int]:
        """How many points are missing, and how many are not wanted."""
        there = Counter(self._history(run, key))
        wanted = Counter(expected)
        return (wanted - there).total(), (there - wanted).total()

    def _compare_growing(
        self, run: FoundRun, key: str, expected: Sequence[Point]
    ) -> tuple[int, int]:
        if not self._every_point:
            return _compare_latest(run, key, expected)
        there = self._history(run, key)
        last = max((point.step for point in expected), default=0)
        steps = Counter(point.step for point in there)
        too_late = sum(point.step > last for point in there)
        return (Counter(expected) - Counter(there)).total(), steps.total() - len(steps) + too_late

    def _history(self, run: FoundRun, key: str) -> list[Point]:
        return self._tracking.history(run.run_id, key) if key in run.metrics else []


def _compare_latest(run: FoundRun, key: str, expected: Sequence[Point]) -> tuple[int, int]:
    if key not in run.metrics:
        return len(expected), 0
    if not expected:
        return 0, 1
    return 0, int(run.metrics[key] != max(expected, key=lambda point: point.step).value)


def _has_tag(run: FoundRun, key: str, text: str) -> bool:
    if key == NOTE_TAG:  # people write there too
        return key in run.tags
    return run.tags.get(key) == text
