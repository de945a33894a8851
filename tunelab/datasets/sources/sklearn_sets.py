"""The data sets that come with scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tunelab.datasets.sources.base import Column, RawData
from tunelab.datasets.sources.cells import number_texts
from tunelab.datasets.sources.flaws import report
from tunelab.datasets.sources.roles import assign
from tunelab.errors import DataError, nearest

if TYPE_CHECKING:  # a worker imports this package and needs no study file
    from tunelab.spec.study import DataSpec

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


def read_sklearn(data: DataSpec, task: str) -> RawData:
    """Read one of the data sets that come with scikit-learn.

    There is no lighter door to them: ``import sklearn`` alone is 1.5 of the 1.6 s that
    ``sklearn.datasets`` takes, and the scaler needs it as well.

    Raises:
        DataError: If no data set has that name, or it is made for the other task.
    """
    name = data.name
    if name not in _BUNDLED:
        match = nearest(str(name), tuple(_BUNDLED))
        raise DataError(
            f"data.name: must be one of {', '.join(_BUNDLED)}, got {name}",
            hint=f"did you mean {match}?" if match else None,
        )
    made_for = "regression" if name in _REGRESSION else "classification"
    if made_for != task:
        raise DataError(
            f"data.name: {name} is a {made_for} data set, but the study's task is {task}",
            hint=f"set task: {made_for}, or choose another data set",
        )
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")(**_BUNDLED[name])
    by_column = np.ascontiguousarray(np.asarray(bunch.data, dtype=np.float64).T)
    table = {str(name): values for name, values in zip(bunch.feature_names, by_column, strict=True)}
    roles, flaws = assign(list(table), data, task, ())
    if flaws:
        raise report(f"data set {name}", flaws)
    targets = np.asarray(bunch.target)
    class_names: tuple[str, ...] = ()
    if made_for == "classification":
        target_names: tuple[str, ...] = ("class",)
        class_names = tuple(str(label) for label in bunch.target_names)
        targets = targets.astype(np.int64)
    else:
        target_names = _TARGET_NAMES.get(name) or tuple(bunch.target_names)
        targets = targets.astype(np.float64).reshape(by_column.shape[1], -1)
    return RawData(
        columns=tuple(Column(name, table[name], categorical=False) for name in roles.features),
        targets=targets,
        class_names=class_names,
        target_names=target_names,
        groups=None if roles.group is None else number_texts(table[roles.group]),
        times=None if roles.time is None else table[roles.time],
    )


def sklearn_fingerprint(data: DataSpec) -> str:  # noqa: ARG001 - every bundled set shares it
    """The installed scikit-learn: its data sets change with its version, and only with it."""
    from importlib.metadata import version

    return f"scikit-learn {version('scikit-learn')}"
