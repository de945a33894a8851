"""``study validate``: what a study file asks for, in a few words."""

from __future__ import annotations

from tunelab.cli.console import put, put_json
from tunelab.cli.formats import clean, count, rough_duration
from tunelab.spec.study import StudySpec
from tunelab.spec.study_file import StudyDocument


def show_document(document: StudyDocument, *, as_json: bool) -> None:
    """Print that a study file is right, and what it says."""
    spec = document.spec
    if as_json:
        put_json({"schema": 1, "valid": True, "name": spec.name, "study": spec.to_mapping()})
        return
    put(f"{clean(str(document.path))}: valid")
    put(f"{spec.name}  {header(spec)}")
    if spec.description:
        put(clean(spec.description))


def header(spec: StudySpec) -> str:
    """A study in one line: objective, search and budget.

    >>> header(StudySpec.from_mapping({"name": "a", "task": "classification",
    ...                                "data": {"source": "sklearn", "name": "iris"},
    ...                                "search": {"trials": 60, "timeout": "10m"}}))
    'minimise validation_loss  tpe + median  60 trials of at most 100 epochs  at most 10m'
    """
    verb = "minimise" if spec.objective.direction == "minimize" else "maximise"
    search = spec.search
    trials = "a trial for each cell" if search.n_trials is None else count(search.n_trials, "trial")
    pruner = "" if search.pruner.name == "none" else f" + {search.pruner.name}"
    parts = [
        f"{verb} {spec.objective.metric}",
        f"{search.sampler}{pruner}",
        f"{trials} of at most {count(search.max_epochs, 'epoch')}",
    ]
    if search.timeout_seconds is not None:
        parts.append(f"at most {rough_duration(search.timeout_seconds)}")
    return "  ".join(parts)
