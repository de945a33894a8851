"""Which rows a run was trained on and judged by, as MLflow's dataset inputs.

Each part of the split is a data set of its own: MLflow knows one by name and digest, and a run uses
each of them once, in one context. The test rows are no input of any run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tunelab.datasets import PreparedData, open_prepared
from tunelab.errors import DataError
from tunelab.spec.sections import DataSpec

_DIGITS = 16  # of the digest: MLflow takes 36 characters
_LONGEST_NAME = 400  # MLflow takes 500


@dataclass(frozen=True)
class UsedPart:
    """One part of the data.

    Attributes:
        context: ``training`` or ``validation``.
        name: Of the data, and the part.
        digest: The beginning of the data's digest.
        source_type: ``sklearn``, or the kind of file.
        source: Where they come from, as JSON.
        profile: How many rows and inputs there are, as JSON; None where that is not known here.
    """

    context: str
    name: str
    digest: str
    source_type: str
    source: str
    profile: str | None


class UsedData:
    """Describes the data of a study's runs.

    Args:
        spec: The study's section ``data``.
    """

    def __init__(self, spec: DataSpec) -> None:
        self._spec = spec
        self._prepared: dict[str, PreparedData | None] = {}

    def parts(self, path: str, digest: str) -> list[UsedPart]:
        """The two parts of the data whose prepared folder is ``path``.

        Args:
            path: Where the prepared arrays are; they need not be on this machine.
            digest: What tells the data from others.
        """
        prepared = self._opened(path, digest)
        spec = self._spec
        name = (spec.name or Path(spec.path or "data").name)[:_LONGEST_NAME]
        source = {"name": spec.name} if spec.path is None else {"uri": spec.path}
        rows = (
            {"training": None, "validation": None}
            if prepared is None
            else {"training": prepared.n_train, "validation": prepared.n_validation}
        )
        return [
            UsedPart(
                context,
                f"{name}/{context}",
                digest[:_DIGITS],
                spec.source,
                json.dumps(source),
                None if n is None or prepared is None else _profile(n, prepared.n_features),
            )
            for context, n in rows.items()
        ]

    def _opened(self, path: str, digest: str) -> PreparedData | None:
        if path not in self._prepared:
            try:
                found = open_prepared(Path(path))
            except DataError:  # on another machine, or removed by now
                self._prepared[path] = None
            else:
                self._prepared[path] = found if found.digest == digest else None
        return self._prepared[path]


def _profile(n_rows: int, n_features: int) -> str:
    sizes = {"num_rows": n_rows, "num_features": n_features, "num_elements": n_rows * n_features}
    return json.dumps(sizes)
