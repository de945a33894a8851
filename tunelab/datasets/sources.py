"""Where rows come from: each source reads a data description into one ``RawData``.

A source also has a fingerprint that names the contents without reading them, so that a prepared
folder is found again in milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tunelab.errors import DataError, nearest

if TYPE_CHECKING:  # a worker imports this package and needs no study file
    from tunelab.spec.study import DataSpec

Targets = npt.NDArray[Any]
"""int64 labels 0..n_classes-1, shape (n,); or float64 in original units, (n, n_outputs)."""


@dataclass(frozen=True, eq=False)
class RawData:
    """Rows as their source gives them, before any split or scaling.

    Attributes:
        features: float64, shape (n, n_features).
        targets: int64 labels, shape (n,); or float64 in original units, shape (n, n_outputs).
        feature_names: One name a column of ``features``.
        class_names: One name a label; empty for regression.
        target_names: One name a target column; for classification the label's, alone.
    """

    features: npt.NDArray[np.float64]
    targets: Targets
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    target_names: tuple[str, ...]

    @property
    def task(self) -> str:
        """``classification`` or ``regression``."""
        return "classification" if self.class_names else "regression"


@dataclass(frozen=True)
class Source:
    """One kind of source.

    Attributes:
        read: Reads the rows. Raises ``DataError`` if the description does not fit the source.
        fingerprint: A string that changes whenever the rows may have changed. Cheap: it neither
            reads the rows nor imports the library that can.
    """

    read: Callable[[DataSpec], RawData]
    fingerprint: Callable[[DataSpec], str]


def read_source(data: DataSpec, task: str) -> RawData:
    """Read the rows that ``data`` describes, for a study of ``task``.

    Raises:
        DataError: If source or data set are unknown, or the data set is made for the other task.
    """
    raw = _source(data).read(data)
    if raw.task != task:
        raise DataError(
            f"data.name: {data.name} is a {raw.task} data set, but the study's task is {task}",
            hint=f"set task: {raw.task}, or choose another data set",
        )
    return raw


def source_fingerprint(data: DataSpec) -> str:
    """What identifies the contents of ``data``'s source, found without reading them."""
    return _source(data).fingerprint(data)


def _source(data: DataSpec) -> Source:
    if data.source not in SOURCES:
        raise DataError(
            f"data.source: must be one of {', '.join(SOURCES)}, got {data.source}",
            hint=_did_you_mean(data.source, SOURCES),
        )
    return SOURCES[data.source]


def _did_you_mean(name: str, known: Any) -> str | None:
    match = nearest(name, tuple(known))
    return f"did you mean {match}?" if match else None


# The label column of scikit-learn's classification sets has no name of its own, and neither has
# the one target of diabetes ("disease progression one year after baseline").
_TARGET_NAMES = {"diabetes": ("disease_progression",)}
_BUNDLED: dict[str, dict[str, Any]] = {  # name -> arguments of its loader
    "iris": {},
    "wine": {},
    "breast_cancer": {},
    "digits": {},
    # scikit-learn's default scales by the statistics of all rows, which would tell the training
    # rows something about the test rows.
    "diabetes": {"scaled": False},
    "linnerud": {},
}
_REGRESSION = frozenset({"diabetes", "linnerud"})


def read_sklearn(data: DataSpec) -> RawData:
    """Read one of the data sets that come with scikit-learn.

    There is no lighter door to them: ``import sklearn`` alone is 1.5 of the 1.6 s that
    ``sklearn.datasets`` takes, and the scaler needs it as well.

    Raises:
        DataError: If no data set has that name.
    """
    name = data.name
    if name not in _BUNDLED:
        raise DataError(
            f"data.name: must be one of {', '.join(_BUNDLED)}, got {name}",
            hint=_did_you_mean(str(name), _BUNDLED),
        )
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")(**_BUNDLED[name])
    features = np.ascontiguousarray(bunch.data, dtype=np.float64)
    feature_names = tuple(str(feature) for feature in bunch.feature_names)
    if name not in _REGRESSION:
        return RawData(
            features=features,
            targets=np.asarray(bunch.target, dtype=np.int64),
            feature_names=feature_names,
            class_names=tuple(str(label) for label in bunch.target_names),
            target_names=("class",),
        )
    return RawData(
        features=features,
        targets=np.asarray(bunch.target, dtype=np.float64).reshape(len(features), -1),
        feature_names=feature_names,
        class_names=(),
        target_names=_TARGET_NAMES.get(name) or tuple(bunch.target_names),
    )


def sklearn_fingerprint(data: DataSpec) -> str:  # noqa: ARG001 - every bundled set shares it
    """The installed scikit-learn: its data sets change with its version, and only with it."""
    from importlib.metadata import version

    return f"scikit-learn {version('scikit-learn')}"


SOURCES = {"sklearn": Source(read=read_sklearn, fingerprint=sklearn_fingerprint)}
