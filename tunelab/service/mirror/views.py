"""Saved views of MLflow's pages: leaderboard, curves, failures.

MLflow's pages have a function "share this view": what the table shows and which charts are drawn is
stored in a tag of the experiment, ``mlflow.sharedViewState.<key>``, and a link that names the key
opens it. tunelab writes three such tags itself. The format is nowhere documented. It was read from
the pages that MLflow brings along, and each view was opened in a browser with :data:`VERIFIED`.

Whatever comes of it, nothing but the views depends on it: all that is known of the format stands in
this module, and :func:`send_views` turns every failure into one warning.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from tunelab.service.links import CURVES, FAILURES, LEADERBOARD, View
from tunelab.service.mirror.environment import without_credentials
from tunelab.service.mirror.failures import explain
from tunelab.service.mirror.messages import (
    END_REASON_TAG,
    GENERATION_TAG,
    KIND_TAG,
    REASON_TAG,
    VERDICT_TAG,
)
from tunelab.service.mirror.searched import Axis, main_axes, searched
from tunelab.service.mirror.tracking import Tracking
from tunelab.service.mirror.trial_record import score_of
from tunelab.spec.study import StudySpec
from tunelab.storage.states import EndReason
from tunelab.storage.trials import SEARCH

VERIFIED = ("3.17.2",)
"""Versions of MLflow whose pages were seen to open the views."""

TAG = "mlflow.sharedViewState."
_LONGEST_TAG = 5000  # an experiment's tag may be longer by now; older servers refuse it
_MOST_PARAMS = 8  # columns of hyperparameters; more do not fit on a screen
_MOST_AXES = 5  # of the parallel coordinates: more cannot be read

_TRIALS = f"tags.`{KIND_TAG}` = '{SEARCH}'"
_COMPLETE = f"attributes.status = 'FINISHED' and {_TRIALS}"
_Card = dict[str, Any]
_CURVES, _PARALLEL = "tunelab", "tunelab-parallel"  # keys of sections
_WIDTH, _SUMMARY_WIDTH = 110, 145  # of a column, in pixels
_WIDTHS = {"tags.`tunelab.reason`": 420, "tags.`tunelab.end_reason`": 140}


def send_views(
    tracking: Tracking,
    experiment_id: str,
    spec: StudySpec,
    changed_at: int,
    tell: Callable[[str], None],
) -> bool:
    """Store the views with the experiment, where they are not stored already.

    Args:
        tracking: Where the experiment is.
        experiment_id: Its key.
        spec: The resolved file of the latest generation.
        changed_at: When that was created, in milliseconds: the same views are the same tags.
        tell: Gets a warning if MLflow does not take them. Nothing is raised.

    Returns:
        Whether they are there.
    """
    try:
        tracking.tag_experiment(experiment_id, view_tags(spec, changed_at))
    except Exception as error:  # whatever it is, the runs matter more
        versions = ", ".join(VERIFIED)
        tell(
            f"warning: {explain(error, tracking.uri)}; the saved views (leaderboard, curves, "
            f"failures) are missing there, all else is sent. They are known to work with MLflow "
            f"{versions}, this is {tracking.version} at {without_credentials(tracking.uri)}"
        )
        return False
    return True


def view_tags(spec: StudySpec, changed_at: int) -> dict[str, str]:
    """The experiment's tags that hold the views.

    Raises:
        ValueError: If a view is too long for a tag.
    """
    tags = {}
    for view, make in _VIEWS.items():
        text = json.dumps(
            {
                "name": view.capitalize(),
                "createdAt": changed_at,
                "updatedAt": changed_at,
                "state": _packed(make(spec)),
            }
        )
        if len(text) > _LONGEST_TAG:
            raise ValueError(f"the view {view} has {len(text)} characters, {_LONGEST_TAG} may be")
        tags[TAG + view] = text
    return tags


def _leaderboard(spec: StudySpec) -> dict[str, Any]:
    """Complete trials of all generations, the best objective first.

    Those that were pruned or diverged had a better moment at most, which is no result; they stand
    among the failures.
    """
    columns = [
        _tag(GENERATION_TAG),
        _tag(VERDICT_TAG),
        _tag(END_REASON_TAG),
        _metric("objective"),
        _metric(f"summary/{score_of(spec)}"),
        _metric("summary/best_epoch"),
        _metric("summary/gap"),
        *(_param(axis.name) for axis in searched(spec)[:_MOST_PARAMS]),
    ]
    maximize = spec.objective.direction == "maximize"
    return _state(_COMPLETE, _metric("objective"), not maximize, columns)


def _curves(spec: StudySpec) -> dict[str, Any]:
    """The ten best trials that came to their end: losses, gap, learning rate, parallel axes."""
    score = score_of(spec)
    losses = _line(
        "losses", "loss/train", "loss/validation", title="Train (solid), validation (dashed)"
    )
    scores = _line(
        "scores",
        f"{score}/train",
        f"{score}/validation",
        title=f"{score}: train (solid), validation (dashed)",
        scale="linear",
    )
    gap = _line("gap", "overfit/gap", title="Gap: validation - train", scale="linear")
    rate = _line("rate", "optim/learning_rate", title="Learning rate")
    cards = [losses, gap, scores, rate]
    sections = [_section(_CURVES, "curves", is_open=True)]
    axes = main_axes(spec)[: _MOST_AXES - 1]
    if axes:
        cards.append(_parallel(axes))
        sections.append(_section(_PARALLEL, "hyperparameters", is_open=True, columns=1))
    return _leaderboard(spec) | {
        "runsHiddenMode": "FIRST_10_RUNS",
        "compareRunCharts": cards,
        "compareRunSections": [
            *sections,
            # What MLflow draws by itself of all other metrics stands below, folded.
            *(_section(name, name, is_open=False) for name in _own_sections(score)),
        ],
        "isAccordionReordered": True,  # without it MLflow sorts sections by their names
        "hideEmptyCharts": True,
        "globalLineChartConfig": {
            "xAxisKey": "step",
            "lineSmoothness": 0,
            "selectedXAxisMetricKey": "",
        },
    }


def _failures(_spec: StudySpec) -> dict[str, Any]:
    """Trials that were pruned, diverged or failed, with reason and epoch."""
    # The search grammar knows no OR.
    complete = [reason for reason in EndReason if reason.is_complete]
    others = "".join(f" and tags.`{END_REASON_TAG}` != '{reason}'" for reason in complete)
    columns = [
        _tag(END_REASON_TAG),
        _tag(REASON_TAG),
        _metric("summary/epochs"),
        _metric("objective"),
        _param("optimizer"),
        _param("learning_rate"),
        _tag(VERDICT_TAG),
        _tag(GENERATION_TAG),
    ]
    # Sorted by anything but the time of creation: then trials would be folded under their study.
    return _state(f"{_TRIALS}{others}", _tag(END_REASON_TAG), True, columns)


_VIEWS: dict[View, Callable[[StudySpec], dict[str, Any]]] = {
    LEADERBOARD: _leaderboard,
    CURVES: _curves,
    FAILURES: _failures,
}


def _packed(state: dict[str, Any]) -> str:
    """As MLflow's pages write it, a third of the length."""
    text = json.dumps(state, separators=(",", ":"))
    return "deflate;" + base64.b64encode(zlib.compress(text.encode())).decode()


def unpacked(text: str) -> dict[str, Any]:
    """The state that :func:`view_tags` has packed into a tag."""
    packed = json.loads(text)["state"].removeprefix("deflate;")
    state: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed)))
    return state


def _state(search: str, order: str, ascending: bool, columns: Sequence[str]) -> dict[str, Any]:
    return {
        "searchFilter": search,
        "orderByKey": order,
        "orderByAsc": ascending,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(columns),
        "columnOrder": list(columns),  # without it they stand in the order of their names
        "columnWidths": {name: _width(name) for name in columns},
        "groupBy": None,
    }


def _width(column: str) -> int:
    if column in _WIDTHS:
        return _WIDTHS[column]
    return _SUMMARY_WIDTH if "summary/" in column else _WIDTH


def _line(uuid: str, *metrics: str, title: str, scale: str = "log") -> _Card:
    """A chart of curves: of several metrics of a run the first is solid, the second dashed."""
    return {
        "type": "LINE",
        "uuid": uuid,
        "metricSectionId": _CURVES,
        "runsCountToCompare": 10,
        "deleted": False,
        "isGenerated": False,
        "displayName": title,
        "metricKey": metrics[0],
        "selectedMetricKeys": list(metrics),
        "scaleType": scale,
        "xAxisScaleType": "linear",
        "xAxisKey": "step",
        "lineSmoothness": 0,
        "displayPoints": False,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }


def _parallel(axes: Sequence[Axis]) -> _Card:
    return {
        "type": "PARALLEL",
        "uuid": "parallel",
        "metricSectionId": _PARALLEL,
        "deleted": False,
        "isGenerated": False,
        "displayName": "Parallel Coordinates",
        "showAllRuns": True,
        "selectedParams": [axis.name for axis in axes if axis.metric is None],
        "selectedMetrics": [*(axis.metric for axis in axes if axis.metric), "objective"],
    }


def _section(uuid: str, name: str, *, is_open: bool, columns: int = 2) -> dict[str, Any]:
    return {
        "uuid": uuid,
        "name": name,
        "display": is_open,
        "columns": columns,
        "cardHeight": 360,
        "isReordered": True,
        "deleted": False,
        "isGenerated": not is_open,
    }


def _own_sections(score: str) -> list[str]:
    """Sections that MLflow makes itself: by prefix, of metrics that are no chart's first."""
    return ["loss", score, "optim", "summary", "hp", "time", "Model metrics"]


def _metric(name: str) -> str:
    return f"metrics.`{name}`"


def _param(name: str) -> str:
    return f"params.`{name}`"


def _tag(name: str) -> str:
    return f"tags.`{name}`"
