"""One trial, from claim to outcome: train, watch, record, and stop for a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tunelab.execution.backends import Backend, Run
from tunelab.execution.limits import TrialLimits, time_over
from tunelab.spec.hyperparameters import Hyperparameters
from tunelab.spec.study import StudySpec
from tunelab.storage.claims import Claim
from tunelab.storage.recorder import Outcome, Recorder
from tunelab.storage.rungs import RungLimit
from tunelab.storage.states import TIME_OVER, EndReason
from tunelab.training.arrays import StateDict, TrainingData
from tunelab.training.metrics import METRICS, baseline_score
from tunelab.training.monitor import Monitor, Signal, Verdict
from tunelab.training.records import EpochRecord


class TrialLimitError(Exception):
    """The trial has used up what it may use."""


@dataclass(frozen=True, eq=False)
class Task:
    """What all trials of a study share.

    Attributes:
        spec: The resolved study file.
        data: Training and validation rows.
        baseline_loss: Validation loss of the constant predictor.
        backend: What trains.
        limits: What a trial may use.
    """

    spec: StudySpec
    data: TrainingData
    baseline_loss: float
    backend: Backend
    limits: TrialLimits = field(default_factory=TrialLimits)

    @property
    def maximize(self) -> bool:
        """Whether greater values of the objective are better."""
        return self.spec.objective.direction == "maximize"

    @property
    def objective_is_score(self) -> bool:
        """Whether the objective is a score, not the validation loss itself."""
        return self.spec.objective.metric in METRICS

    @property
    def score(self) -> str:
        """The score that is computed every epoch: the objective's, else the task's usual one."""
        if self.objective_is_score:
            return self.spec.objective.metric
        return "accuracy" if self.data.n_classes is not None else "rmse"

    def monitor(self, hyperparameters: Hyperparameters) -> Monitor:
        """A fresh monitor for one trial."""
        max_epochs = self.spec.search.max_epochs
        rates = self.backend.planned_rates(
            hyperparameters, max_epochs=max_epochs, n_train=len(self.data.x_train)
        )
        criteria = self.spec.monitor.criteria()
        if not self.objective_is_score:
            return Monitor(
                max_epochs=max_epochs,
                baseline_loss=self.baseline_loss,
                learning_rates=rates,
                criteria=criteria,
            )
        metric = METRICS[self.score]
        # An error in the targets' unit is measured against the constant predictor's; shares of
        # right answers, and r2, have the unit 1.
        scale = 1.0 if self.maximize else baseline_score(metric, self.data)
        return Monitor(
            max_epochs=max_epochs,
            baseline_loss=self.baseline_loss,
            learning_rates=rates,
            criteria=criteria,
            score_direction=self.spec.objective.direction,
            score_name=self.score,
            score_scale=scale,
        )


def run_trial(
    task: Task, claim: Claim, recorder: Recorder, should_stop: Callable[[], bool]
) -> Outcome | None:
    """Train the claimed configuration until something ends it.

    Args:
        task: What the study's trials share.
        claim: The trial.
        recorder: Writes its epochs.
        should_stop: Whether this worker has to leave; read before every step.

    Returns:
        The outcome; None if the worker has to leave: the trial has been released with a
        checkpoint.

    Raises:
        LostLeaseError: If the trial was taken from this worker meanwhile.
        TrialLimitError: If the trial has trained for longer than it may.
    """
    max_epochs = task.spec.search.max_epochs
    hyperparameters = Hyperparameters.from_flat(claim.hyperparameters)
    monitor = task.monitor(hyperparameters)
    rung_values: dict[int, float] = {}
    state: StateDict | None = None
    limits, clock = task.limits, task.limits.clock
    clock.reset()
    if claim.checkpoint is not None:
        _, saved = claim.checkpoint
        state = saved["run"]
        monitor.load_state_dict(saved["monitor"])
        rung_values = {int(rung): value for rung, value in saved["rung_values"].items()}
        clock.reset(saved.get("seconds", 0.0))
    with limits.training():
        run = task.backend.start(
            hyperparameters,
            task.data,
            max_epochs=max_epochs,
            seed=claim.seed,
            loss=task.spec.objective.loss,
            score=task.score,
            state=state,
            should_stop=lambda: should_stop() or clock.is_over,
        )
    records = iter(run)

    def next_record() -> EpochRecord | None:
        with limits.training():
            return next(records, None)

    def snapshot() -> StateDict:
        return {
            "run": run.state_dict(),
            "monitor": monitor.state_dict(),
            "rung_values": {str(rung): value for rung, value in rung_values.items()},
            "seconds": clock.seconds,
        }

    epoch = 0 if claim.checkpoint is None else claim.checkpoint[0]
    while (record := next_record()) is not None:
        epoch = record.epoch
        verdict = monitor.observe(record)
        if verdict.is_best:
            run.keep_best()
        best = verdict.best_value
        if record.epoch in recorder.limits.rungs and best is not None:
            rung_values[record.epoch] = best
        limit = recorder.limits.exceeded(record.epoch, best, maximize=task.maximize)
        ends = verdict.stop or limit is not None or record.epoch == max_epochs
        # Nothing continues from a trial's last epoch, so it takes no checkpoint.
        time_is_over = recorder.record(record, verdict, None if ends else snapshot)
        if ends or time_is_over:
            end_reason, reason = _end(task, verdict, limit, recorder)
            return Outcome(
                end_reason=end_reason,
                reason=reason,
                verdict=verdict,
                best_value=best,
                rung_values=rung_values,
                weights=_best_weights(run) if end_reason.is_complete else {},
            )
    if not run.interrupted:
        raise RuntimeError(f"the backend's run ended before epoch {max_epochs}, its budget")
    if clock.is_over and clock.limit_seconds is not None and not should_stop():
        reached = f"epoch {epoch} of {max_epochs} after {clock.seconds:.4g} s of training"
        raise TrialLimitError(time_over(clock.limit_seconds, reached))
    recorder.release(snapshot)
    return None


def _end(
    task: Task, verdict: Verdict, limit: RungLimit | None, recorder: Recorder
) -> tuple[EndReason, str]:
    """Why the trial ended, and the sentence that says so."""
    if verdict.signal is Signal.DIVERGED:
        return EndReason.DIVERGED, verdict.reason
    if verdict.stop:
        return EndReason.EARLY_STOPPED, verdict.reason
    if limit is not None:
        metric, pruner = task.spec.objective.metric, task.spec.search.pruner
        standing = recorder.standing(
            verdict.epoch,
            verdict.best_value,
            metric=metric,
            completed_only=pruner.compares_completed_only,
        )
        best = "no finite value" if verdict.best_value is None else f"{verdict.best_value:.4g}"
        worse = "below" if task.maximize else "above"
        return EndReason.PRUNED, (
            f"{standing} at epoch {verdict.epoch}: {metric} {best} is {worse} {limit.value:.4g}, "
            f"{pruner.standard} of {limit.n_trials} trials"
        )
    if verdict.epoch == task.spec.search.max_epochs:
        return EndReason.COMPLETED, verdict.reason
    return EndReason.PRUNED, TIME_OVER


def _best_weights(run: Run) -> dict[str, object]:
    run.restore_best()
    return dict(run.weights())
