"""``tunelab tracking sync``: what was repaired, a line a study."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

from tunelab.cli.console import put, put_json, tell
from tunelab.cli.tracking import check_tracking_uri
from tunelab.service.mirror.environment import tracking_uri
from tunelab.service.mirror.sync import Action
from tunelab.service.summary import SCHEMA
from tunelab.service.tracking_sync import Compared, synchronize
from tunelab.storage.engine import Database
from tunelab.storage.studies import get_study

# Kind of difference -> what one and what several repaired ones are called.
_REPAIRED = {
    "missing_runs": ("run made", "runs made"),
    "double_runs": ("double run removed", "double runs removed"),
    "stray_runs": ("run without a trial removed", "runs without a trial removed"),
    "wrong_states": ("state corrected", "states corrected"),
    "missing_points": ("point added", "points added"),
    "wrong_points": ("wrong or double point removed", "wrong or double points removed"),
    "wrong_labels": ("param or tag set", "params and tags set"),
    "wrong_models": ("model or alias corrected", "models and aliases corrected"),
}


def sync_and_tell(database: Database, name: str | None, *, as_json: bool) -> int:
    """Repair MLflow and print what was repaired.

    Args:
        database: The study database.
        name: The study, or None for all.
        as_json: Whether to print one JSON document instead of lines.

    Returns:
        The exit code: 1 if a study was left alone because another process mirrors it.

    Raises:
        UsageError: If MLFLOW_TRACKING_URI cannot be meant.
        NotFoundError: If there is no such study.
        TrackingError: If MLflow cannot be reached.
    """
    check_tracking_uri(tracking_uri())
    keys = []
    if name is not None:
        with database.read() as connection:
            keys.append(get_study(connection, name).id)
    ended: list[Compared] = []
    with closing(synchronize(database, Action.REPAIR, keys)) as results:
        for result in results:
            if result.waiting:
                tell(f"{result.study} is being mirrored by {result.holder}; waiting for it ...")
                continue
            ended.append(result)
            for warning in result.warnings:
                tell(warning)
            if result.busy:
                tell(
                    f"error: {result.study} was left alone: {result.holder or 'another process'} "
                    "mirrors it\n  hint: it sends everything by itself; run this again when the "
                    "study has stopped"
                )
            elif not as_json:
                put(f"{result.study}: {repaired(result.differences)}", flush=True)
    if as_json:
        put_json({"schema": SCHEMA, "studies": [_document(result) for result in ended]})
    elif not ended:
        tell("no studies yet; `tunelab study start FILE` starts one")
    return int(any(result.busy for result in ended))


def repaired(differences: Mapping[str, int]) -> str:
    """What was repaired, in words.

    >>> repaired({"missing_runs": 1, "double_runs": 0, "missing_points": 24})
    '1 run made, 24 points added'
    >>> repaired({"missing_runs": 0})
    'agrees'
    """
    counts = [
        f"{differences[kind]} {words[differences[kind] != 1]}"
        for kind, words in _REPAIRED.items()
        if differences.get(kind)
    ]
    return ", ".join(counts) or "agrees"


def _document(result: Compared) -> dict[str, object]:
    if result.busy:
        return {"study": result.study, "busy": True, "holder": result.holder}
    return {"study": result.study, "agreed": result.agrees, "repaired": result.differences}
