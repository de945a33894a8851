"""MLflow's client, as far as the mirror needs it. The only module that loads MLflow's client."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunelab.errors import TrackingError
from tunelab.service.mirror.environment import prepare
from tunelab.service.mirror.messages import Entries, Point, Status
from tunelab.service.mirror.tracking_database import ensure_database
from tunelab.service.mirror.used_data import UsedPart

prepare(os.environ)

from mlflow.entities import (  # noqa: E402
    Dataset,
    DatasetInput,
    Experiment,
    InputTag,
    Metric,
    Param,
    Run,
    RunTag,
    ViewType,
)
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT  # noqa: E402
from mlflow.version import VERSION  # noqa: E402

_PAGE = 1000


class RunGoneError(TrackingError):
    """A run is no longer in MLflow, or somebody has deleted it there."""


class ExperimentGoneError(TrackingError):
    """Somebody has deleted the experiment in MLflow."""


@dataclass(frozen=True)
class FoundRun:
    """A run that was found by its tags.

    Attributes:
        run_id: Its key.
        status: RUNNING, FINISHED, KILLED or FAILED.
        ended_at: In milliseconds; None if it has never ended.
        tags: All its tags.
        params: All its params.
        metrics: The latest value of each metric.
    """

    run_id: str
    status: str
    ended_at: int | None
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]


class Tracking:
    """One tracking server or database.

    Every method raises whatever MLflow raises, except where its docstring says more.

    Args:
        uri: Absolute, as :func:`tunelab.service.mirror.environment.tracking_uri` gives it. A
            missing SQLite database is created.
    """

    def __init__(self, uri: str) -> None:
        ensure_database(uri)
        self.uri = uri
        self._client = MlflowClient(tracking_uri=uri)

    @property
    def version(self) -> str:
        """Version of MLflow's client."""
        return str(VERSION)

    def experiment(self, name: str, tags: Mapping[str, str]) -> str:
        """The key of the experiment ``name``, which is created if it is missing.

        Raises:
            ExperimentGoneError: If it has been deleted in MLflow.
        """
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            try:
                return str(self._client.create_experiment(name, tags=dict(tags)))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            experiment = self._client.get_experiment_by_name(name)  # another process was first
        if experiment is None or experiment.lifecycle_stage != "active":
            raise _experiment_gone(name)
        self._tag(experiment, tags)
        return str(experiment.experiment_id)

    def tag_experiment(self, experiment_id: str, tags: Mapping[str, str]) -> int:
        """Set those tags that the experiment lacks or has otherwise, and return how many."""
        return self._tag(self._client.get_experiment(experiment_id), tags)

    def lacking_tags(self, experiment_id: str, tags: Mapping[str, str]) -> list[str]:
        """Which of the tags the experiment lacks or has otherwise."""
        return _lacking(self._client.get_experiment(experiment_id), tags)

    def _tag(self, experiment: Experiment, tags: Mapping[str, str]) -> int:
        lacking = _lacking(experiment, tags)
        for key in lacking:
            self._client.set_experiment_tag(experiment.experiment_id, key, tags[key])
        return len(lacking)

    def known_experiment(self, name: str) -> str | None:
        """The key of the experiment ``name``; None if it has never been made.

        Raises:
            ExperimentGoneError: If it has been deleted in MLflow.
        """
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            return None
        if experiment.lifecycle_stage != "active":
            raise _experiment_gone(name)
        return str(experiment.experiment_id)

    def find(
        self, experiment_id: str, tags: Mapping[str, str], *, since: int = 0
    ) -> list[FoundRun]:
        """The runs that carry all of ``tags`` and began at ``since`` (milliseconds) or later."""
        conditions = [f"tags.`{key}` = '{value}'" for key, value in tags.items()]
        if since:
            conditions.append(f"attributes.start_time >= {since}")
        found: list[FoundRun] = []
        token: str | None = None
        while True:
            page = self._client.search_runs(
                [experiment_id],
                filter_string=" AND ".join(conditions),
                run_view_type=ViewType.ACTIVE_ONLY,
                max_results=_PAGE,
                page_token=token,
            )
            found += [_found(run) for run in page]
            token = page.token
            if not token:
                return found

    def exists(self, run_id: str) -> bool:
        """Whether the run is there and has not been deleted."""
        try:
            return bool(self._client.get_run(run_id).info.lifecycle_stage == "active")
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise

    def history(self, run_id: str, key: str) -> list[Point]:
        """Every point of one metric, those that were stored twice with two times twice.

        Raises:
            RunGoneError: If the run is not there any more.
        """
        with _gone_named(run_id):
            metrics = self._client.get_metric_history(run_id, key)
        return [Point(key, m.value, m.timestamp, m.step) for m in metrics]

    def create(
        self, experiment_id: str, name: str, started_at: int, tags: Mapping[str, str]
    ) -> str:
        """Create a run, which is RUNNING, and return its key."""
        run = self._client.create_run(
            experiment_id, start_time=started_at, run_name=name, tags=dict(tags)
        )
        return str(run.info.run_id)

    def log(self, run_id: str, entries: Entries) -> None:
        """Log the entries, in as few requests as MLflow's limits allow.

        Raises:
            RunGoneError: If the run is not there any more.
        """
        if not entries:
            return
        tags = [RunTag(key, value) for key, value in entries.tags.items()]
        with _gone_named(run_id):
            for points, params in entries.batches():
                self._client.log_batch(
                    run_id,
                    metrics=[Metric(p.key, p.value, p.timestamp, p.step) for p in points],
                    params=[Param(key, value) for key, value in params.items()],
                    tags=tags,
                )
                tags = []

    def log_data(self, run_id: str, parts: Sequence[UsedPart]) -> None:
        """Note which data the run uses; noting them again changes nothing.

        Raises:
            RunGoneError: If the run is not there any more.
        """
        inputs = [
            DatasetInput(
                Dataset(part.name, part.digest, part.source_type, part.source, None, part.profile),
                [InputTag(MLFLOW_DATASET_CONTEXT, part.context)],
            )
            for part in parts
        ]
        with _gone_named(run_id):
            self._client.log_inputs(run_id, inputs)

    def end(self, run_id: str, status: Status, ended_at: int) -> None:
        """End the run, or correct the end of one that has ended.

        Raises:
            RunGoneError: If the run is not there any more.
        """
        with _gone_named(run_id):
            self._client.set_terminated(run_id, status=status, end_time=ended_at)

    def reopen(self, run_id: str) -> None:
        """Make the run RUNNING again. Its end time stays until it ends again.

        Raises:
            RunGoneError: If the run is not there any more.
        """
        with _gone_named(run_id):
            self._client.update_run(run_id, status="RUNNING")

    def delete(self, run_id: str) -> None:
        """Put the run among MLflow's deleted ones; nothing happens if it is there or gone."""
        with contextlib.suppress(RunGoneError), _gone_named(run_id):
            self._client.delete_run(run_id)

    def delete_tag(self, run_id: str, key: str) -> None:
        """Delete a tag.

        Raises:
            RunGoneError: If the run has no such tag, or is not there any more.
        """
        with _gone_named(run_id):
            self._client.delete_tag(run_id, key)

    def write_files(self, run_id: str, folder: Path) -> None:
        """Store all files of a folder among the run's artifacts.

        Raises:
            RunGoneError: If the run is not there any more.
        """
        with _gone_named(run_id):
            self._client.log_artifacts(run_id, str(folder))


def _experiment_gone(name: str) -> ExperimentGoneError:
    return ExperimentGoneError(
        f"the experiment {name} has been deleted in MLflow; restore it there"
    )


def _lacking(experiment: Experiment, tags: Mapping[str, str]) -> list[str]:
    present = experiment.tags or {}
    return [key for key, value in tags.items() if present.get(key) != value]


@contextlib.contextmanager
def _gone_named(run_id: str) -> Iterator[None]:
    try:
        yield
    except MlflowException as error:
        deleted = "must be in the 'active' state" in str(error)
        if deleted or error.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise RunGoneError(f"the run {run_id} has been deleted in MLflow") from error
        raise


def _found(run: Run) -> FoundRun:
    info, data = run.info, run.data
    return FoundRun(info.run_id, info.status, info.end_time, data.tags, data.params, data.metrics)
