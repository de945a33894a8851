"""The model of a study that has been confirmed, and whether it takes the champion's title.

The title belongs to a study's name: each generation brings one model, the network of the pick's
confirm run with the median score. The first that has a test score is champion. A later one takes
the title if it is better on the same test rows, rows that neither has been trained on: the lower
end of the 95 % interval of the improvement (paired bootstrap) must be above 0. Otherwise it is the
challenger, and one sentence says why.

Model, decision and title are written in one transaction. Whoever is killed before leaves nothing,
and the next leader of the study does it again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection

from tunelab import __version__
from tunelab.datasets import PreparedData
from tunelab.datasets.bundle import Bundle, DamagedModelError, Model, make_bundle
from tunelab.datasets.cache import open_sealed
from tunelab.datasets.sources import RawData
from tunelab.errors import DataError, TunelabError
from tunelab.execution.tasks import load_task
from tunelab.service.open_test import champion_data, with_test_rows
from tunelab.spec.hyperparameters import Hyperparameters
from tunelab.spec.study import StudySpec
from tunelab.storage.checkpoints import DamagedCheckpointError, read_best_weights
from tunelab.storage.engine import Database
from tunelab.storage.gate import GateDecision, Outcome
from tunelab.storage.locks import hold
from tunelab.storage.models import (
    GATE,
    ModelRow,
    champion,
    crown,
    model_of_run,
    read_bundle,
    store_model,
)
from tunelab.storage.openings import judged, note_opening, store_scores, study_openings
from tunelab.storage.studies import StudyRow, study_by_id, update_study
from tunelab.storage.study_data import study_data
from tunelab.storage.trials import CONFIRM, TrialRow, study_trials
from tunelab.training.losses import BinaryCrossEntropy, SoftmaxCrossEntropy
from tunelab.training.metrics import METRICS
from tunelab.tuning.bootstrap import Improvement, Judge, judge, mean_judge, paired_bootstrap

_TOLERANCE = 1e-5  # between the engine's predictions and the bundle's, in units of the targets


class _NotComparableError(Exception):
    """Why two models cannot be compared, in words."""


@dataclass(frozen=True)
class _Newcomer:
    """The model that asks for the title.

    Attributes:
        study: Where it comes from.
        run: The confirm run whose network it is.
        bundle: Itself.
        scores: Of its network on the test rows; None if it has none.
    """

    study: StudyRow
    run: TrialRow
    bundle: Bundle
    scores: Mapping[str, Any] | None


def decide_champion(database: Database, study_id: int) -> list[str]:
    """Store the model of a confirmed study, and decide on the title, unless that has been done.

    Args:
        database: The study database.
        study_id: Key of the study, whose pick has been judged on the test rows if it can be.

    Returns:
        What a person should know, if there can be no model.

    Raises:
        DatabaseError: If the database cannot be read or written.
    """
    study = database.fetch(lambda connection: study_by_id(connection, study_id))
    found = study.confirmation
    if found is None or found.champion is None:
        return []
    number, since = found.champion, found.at
    with database.read() as connection:
        (run,) = study_trials(connection, study_id, numbers=[number], kind=CONFIRM)
        known = model_of_run(connection, run.id)
        opening = judged(study_openings(connection, study_id), since)
        stored = None if known is None else read_bundle(connection, known.id)
    if known is not None and study.decision is not None and study.decision.at >= since:
        return []
    try:
        bundle = stored or _bundle(database, study, run)
    except (DataError, DamagedCheckpointError) as error:
        return [f"there is no model of the pick: {error.message}"]
    newcomer = _Newcomer(study, run, bundle, None if opening is None else opening.scores)
    while True:
        with database.read() as connection:
            holder = champion(connection, study.name)
        decision = _decide(database, newcomer, holder)
        if _settle(database, newcomer, holder, decision):
            return []


def _settle(
    database: Database, newcomer: _Newcomer, holder: ModelRow | None, decision: GateDecision
) -> bool:
    """Write model, decision and title; false if another has taken the title meanwhile."""
    study, run = newcomer.study, newcomer.run

    def write(connection: Connection) -> bool:
        hold(connection, f"champion of {study.name}")
        if champion(connection, study.name) != holder:
            return False
        known = model_of_run(connection, run.id)
        key = (
            store_model(connection, study_id=study.id, trial_id=run.id, bundle=newcomer.bundle)
            if known is None
            else known.id
        )
        if decision.outcome == "champion" and (holder is None or holder.id != key):
            crown(
                connection,
                name=study.name,
                model_id=key,
                chosen_by=GATE,
                reason=decision.sentence,
            )
        update_study(connection, study.id, gate=decision.to_json())
        return True

    return database.attempt(write)


def _bundle(database: Database, study: StudyRow, run: TrialRow) -> Bundle:
    """The model of a confirm run, checked against the network that was trained.

    Raises:
        DataError: If its data are not here.
        DamagedCheckpointError: If its weights are damaged.
        TunelabError: If the model would predict something else.
    """
    with database.read() as connection:
        kept = read_best_weights(connection, run.id)
    if kept is None:
        raise DataError(f"confirm run {run.number} has no weights")
    own = champion_data(run)
    prepared, task = study_data(database, study, own), load_task(database, study, data=own)
    hyperparameters = Hyperparameters.from_flat(run.hyperparameters)
    bundle = make_bundle(prepared, hyperparameters, kept[1], _about(study, run, prepared))
    trained = task.backend.predict(hyperparameters, kept[1], task.data)
    bundled = bundle.open().scores(np.asarray(task.data.x_validation))
    unit = task.data.target_scale if len(task.data.target_scale) else 1.0
    if not np.allclose(bundled / unit, trained / unit, rtol=_TOLERANCE, atol=_TOLERANCE):
        raise TunelabError(f"{study.title}: its model predicts otherwise than the trained network")
    return bundle


def _about(study: StudyRow, run: TrialRow, prepared: PreparedData) -> dict[str, Any]:
    spec = StudySpec.from_mapping(study.spec)
    return {
        "tunelab": __version__,
        "study": study.name,
        "generation": study.generation,
        "trial": run.confirms,
        "confirm_run": run.number,
        "seed": run.seed,
        "objective": {
            "metric": spec.objective.metric,
            "direction": spec.objective.direction,
            "loss": spec.objective.loss,
        },
        "data": {
            "digest": study.data_digest,
            "test_digest": prepared.test_digest,
            "split": spec.data.split.model_dump(mode="json", exclude_none=True),
        },
    }


# The decision


def _decide(database: Database, newcomer: _Newcomer, holder: ModelRow | None) -> GateDecision:
    """What becomes of the newcomer while ``holder`` has the title."""
    spec = StudySpec.from_mapping(newcomer.study.spec)
    metric, scores = spec.objective.metric, newcomer.scores or {}
    score = scores.get("loss" if metric == "validation_loss" else metric)
    n_rows = scores.get("rows")
    test = "test loss" if metric == "validation_loss" else f"test {metric}"
    against = None if holder is None else holder.generation

    def decided(outcome: Outcome, sentence: str, better: Improvement | None = None) -> GateDecision:
        return GateDecision(
            outcome=outcome,
            sentence=sentence,
            against=against,
            at=time.time(),
            metric=metric,
            score=score,
            champion_score=None if better is None else better.old_score,
            improvement=None if better is None else better.value,
            interval=None if better is None else (better.lower, better.upper),
            n_rows=n_rows,
        )

    if holder is not None and holder.trial_id == newcomer.run.id:
        numbers = "" if score is None else f", with {test} {score:.4g} on {n_rows} rows"
        return decided("champion", f"Champion: it holds the title already{numbers}")
    if score is None:
        stays = "there is no champion" if holder is None else f"{holder.title} stays champion"
        return decided("not_compared", f"Not compared: the pick has no test score; {stays}")
    if holder is None:
        name = newcomer.study.name
        return decided(
            "champion",
            f"Champion: the first model of {name} with a test score, {test} {score:.4g} on "
            f"{n_rows} rows",
        )
    title = _title(newcomer, holder)
    try:
        better = _compared(database, newcomer, holder)
    except (_NotComparableError, DataError) as error:
        return decided(
            "not_compared", f"Not compared with the champion {title}, which stays: {error}"
        )
    numbers = (
        f"{test} {better.score:.4g} against {better.old_score:.4g} on {better.n_rows} test "
        f"rows, improvement {better.value:.4g} with the 95 % interval {better.lower:.4g} to "
        f"{better.upper:.4g}"
    )
    if better.lower > 0.0:
        return decided(
            "champion", f"Champion: better than {title} beyond chance: {numbers}", better
        )
    return decided(
        "challenger",
        f"Challenger: not better than the champion {title} beyond chance: {numbers}",
        better,
    )


def _compared(database: Database, newcomer: _Newcomer, holder: ModelRow) -> Improvement:
    """Both models on the newcomer's test rows.

    Raises:
        _NotComparableError: If that would not be fair, or is not possible.
        DataError: If the test rows cannot be read.
    """
    study = newcomer.study
    with database.read() as connection:
        bundle = read_bundle(connection, holder.id)
    new = newcomer.bundle.open()
    try:
        old = bundle.open()
    except DamagedModelError as error:
        raise _NotComparableError(f"its stored copy cannot be used: {error}") from error
    check_comparable(new.document, old.document)
    sealed = with_test_rows(database, study)
    if sealed is None:
        raise _NotComparableError("the test rows are not on this machine")

    # From here on the test rows count as seen once more.
    key = database.attempt(
        lambda connection: note_opening(
            connection,
            study_id=study.id,
            trial_id=holder.trial_id,
            test_digest=sealed.test_digest,
            reason=f"the champion {_title(newcomer, holder)} is compared with {study.title}",
        )
    )
    rows = open_sealed(sealed)
    try:
        better = compare_models(new, old, rows)
    except ValueError as error:
        raise _NotComparableError(f"it cannot predict the test rows: {error}") from error
    if better is None:
        raise _NotComparableError("the metric has no value on the test rows")
    metric = str(new.document["objective"]["metric"])
    name = "loss" if metric == "validation_loss" else metric
    scores = {name: better.old_score, "rows": better.n_rows}
    database.attempt(lambda connection: store_scores(connection, key, scores))
    return better


def _title(newcomer: _Newcomer, holder: ModelRow) -> str:
    """What the champion is called beside a newcomer, which may be of the same study."""
    if holder.study_id == newcomer.study.id:
        return f"{holder.title} as it was confirmed before"
    return holder.title


def check_comparable(new: Mapping[str, Any], old: Mapping[str, Any]) -> None:
    """See that two models answer the same question, on rows that neither was trained on.

    Args:
        new: Document of the model whose test rows are used.
        old: That of the other.

    Raises:
        _NotComparableError: If they do not; the message says why.
    """
    for what, of in _QUESTION.items():
        if of(new) != of(old):
            raise _NotComparableError(f"it has {what}")
    fresh, before = new["data"], old["data"]
    if fresh["digest"] == before["digest"]:
        return
    split, split_before = fresh["split"], before["split"]
    if not split["method"] == split_before["method"] == "hash":
        raise _NotComparableError(
            "the data have changed, so that it may have been trained on these test rows; with "
            "split.method: hash a row that was test stays test"
        )
    for key, is_safe in (
        ("seed", split["seed"] == split_before["seed"]),
        ("test", split["test"] <= split_before["test"]),  # a smaller share is a part of it
    ):
        if not is_safe:
            raise _NotComparableError(
                f"data.split.{key} was {split_before[key]} and is {split[key]}, so that it may "
                "have been trained on these test rows"
            )


_QUESTION: dict[str, Callable[[Mapping[str, Any]], object]] = {
    "another task": lambda document: document["task"],
    "another objective": lambda document: document["objective"],
    "other columns": lambda document: sorted(
        (entry["name"], "categories" in entry) for entry in document["inputs"]
    ),
    "another target": lambda document: document["targets"],
    "other classes": lambda document: document["classes"],
}


def compare_models(new: Model, old: Model, rows: RawData) -> Improvement | None:
    """Both models on the same rows, by the objective of the new one.

    Returns:
        The improvement; None if the metric has no value on the rows.

    Raises:
        ValueError: If one of the two cannot use a row.
    """
    raw = {column.name: column.values for column in rows.columns}
    objective = new.document["objective"]
    judges = [_judge(model, raw, rows, new.document) for model in (new, old)]
    maximize = objective["direction"] == "maximize"
    ranks = objective["metric"] == "roc_auc"  # of each class
    cost = len(new.outputs) if ranks else 1
    return paired_bootstrap(judges[0], judges[1], rows.n_rows, maximize=maximize, cost=cost)


def _judge(
    model: Model, raw: Mapping[str, Any], rows: RawData, measure: Mapping[str, Any]
) -> Judge:
    """What judges a model's predictions by the objective that ``measure`` names.

    The loss of a regression is in the units of ``measure``: each model has its own.
    """
    metric, inputs = measure["objective"]["metric"], model.inputs(raw)
    if metric in METRICS:
        return judge(metric, model.scores(inputs), rows.targets)
    if measure["classes"]:
        outputs = model.logits(inputs).T
        n_classes = len(measure["classes"])
        loss = BinaryCrossEntropy() if n_classes == 2 else SoftmaxCrossEntropy(n_classes)
        return mean_judge(loss.evaluate(outputs, rows.targets)[0])
    scale = np.array([entry["scale"] for entry in measure["target_scaling"]])
    errors = (model.scores(inputs) - rows.targets) / scale
    absolute = measure["objective"]["loss"] == "absolute_error"
    return mean_judge((np.abs(errors) if absolute else np.square(errors)).mean(axis=1))
