"""Addresses of MLflow's pages, all of them made here.

The bare page of an experiment opens MLflow's GenAI view, and what a browser showed last decides the
rest; so every address says that it wants the pages of machine learning. A saved view
(``tunelab.service.mirror.views``) is named by its key, and nothing may stand beside it in the
address that searches or sorts: then MLflow ignores the view.

Links within MLflow begin with ``#``, so that they hold under whatever address a server is reached.
"""

from __future__ import annotations

from typing import Literal

View = Literal["leaderboard", "curves", "failures"]

LEADERBOARD: View = "leaderboard"
CURVES: View = "curves"
FAILURES: View = "failures"
VIEWS = (LEADERBOARD, CURVES, FAILURES)

_MODES = {LEADERBOARD: "TABLE", CURVES: "CHART", FAILURES: "TABLE"}
_PAGES = "workflowType=machine_learning"


def runs_url(base: str, experiment_id: str, view: View | None = None) -> str:
    """The link to an experiment's runs.

    Args:
        base: Address of the server; empty for a link within MLflow.
        experiment_id: Key of the experiment.
        view: The saved view that opens; None: as the browser showed the runs last.

    >>> runs_url("http://localhost:5000/", "1")
    'http://localhost:5000/#/experiments/1/runs?workflowType=machine_learning'
    >>> runs_url("", "1", CURVES).partition("&")[2]
    'compareRunsMode=CHART&viewStateShareKey=curves'
    """
    page = f"{_root(base)}/{experiment_id}/runs?{_PAGES}"
    if view is None:
        return page
    return f"{page}&compareRunsMode={_MODES[view]}&viewStateShareKey={view}"


def run_url(base: str, experiment_id: str, run_id: str) -> str:
    """The link to one run.

    >>> run_url("", "1", "0a1b")
    '#/experiments/1/runs/0a1b?workflowType=machine_learning'
    """
    return f"{_root(base)}/{experiment_id}/runs/{run_id}?{_PAGES}"


def home_url(base: str) -> str:
    """The link to the list of experiments.

    >>> home_url("http://localhost:5000")
    'http://localhost:5000/#/experiments?workflowType=machine_learning'
    """
    return f"{_root(base)}?{_PAGES}"


def _root(base: str) -> str:
    return f"{base.rstrip('/')}/#/experiments" if base else "#/experiments"
