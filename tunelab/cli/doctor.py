"""``tunelab doctor``: a line for each thing that was looked at."""

from __future__ import annotations

import sys

from rich.text import Text

from tunelab.cli.console import put_json, put_lines
from tunelab.cli.formats import clean
from tunelab.cli.tracking import check_tracking_uri
from tunelab.service.doctor.examination import examine
from tunelab.service.doctor.findings import Finding, State
from tunelab.service.mirror.environment import tracking_uri
from tunelab.service.summary import SCHEMA
from tunelab.storage.location import database_url

_STYLES = {State.OK: "green", State.NOTE: "", State.WRONG: "bold red", State.FIXED: "yellow"}


def examine_and_tell(*, fix: bool, as_json: bool) -> int:
    """Examine this installation and print what was found.

    Returns:
        The exit code: 1 if something is wrong and was not repaired.

    Raises:
        UsageError: If MLFLOW_TRACKING_URI cannot be meant.
    """
    uri = tracking_uri()
    check_tracking_uri(uri)
    found: list[Finding] = []
    for finding in examine(database_url(), uri, fix=fix):
        found.append(finding)
        if not as_json:
            put_lines(_lines(finding))
            sys.stdout.flush()  # MLflow may take its time
    healthy = not any(finding.is_wrong for finding in found)
    if as_json:
        findings = [finding.to_json() for finding in found]
        put_json({"schema": SCHEMA, "healthy": healthy, "findings": findings})
    return int(not healthy)


def _lines(finding: Finding) -> list[Text]:
    text = Text(f"{finding.state:<6}", _STYLES[finding.state])
    text.append(f"{finding.area:<10} {clean(finding.message)}", "")
    if finding.hint:
        text.append(f"; {clean(finding.hint)}", "")
    return [text]
