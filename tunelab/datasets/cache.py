"""The folder of one prepared data set, as its readers see it.

::

    <cache>/<key>/
        meta.json               counts, names, digests, scaling, the split's description
        x_train.npy             float32, (n_train, n_features); y_train, x_validation, y_validation
        pool_x.npy pool_y.npy   training rows, then validation rows, as the source gave them
                                (labels with their noise), for splitting again with another seed
        sealed/test.npz         the test rows; nothing here opens it

Nothing here imports scikit-learn: workers hold these arrays and little else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tunelab.errors import DataError
from tunelab.training.arrays import TrainingData

FORMAT_VERSION = 1
"""Raised when the folder's contents change their form or meaning; old folders are then unused."""

META_FILE = "meta.json"
POOL_X, POOL_Y = "pool_x.npy", "pool_y.npy"
SEALED_FILE = "sealed/test.npz"


@dataclass(frozen=True)
class PreparedData:
    """What is known of a prepared data set without opening its arrays.

    Attributes:
        path: Its folder.
        key: The folder's name, made from the data description.
        digest: SHA-256 over the rows of all three parts; equal digests mean equal data and split.
        test_digest: SHA-256 over the test rows alone.
        n_train: Training rows; likewise ``n_validation`` and ``n_test``.
        n_features: Input columns.
        n_outputs: Number of classes, or of target columns.
        task: ``classification`` or ``regression``.
        class_names: One name a label; empty for regression.
        feature_names: One name an input column.
        target_names: One name a target column.
        feature_mean: With ``feature_scale`` the scaling of inputs:
            ``x = (raw - feature_mean) / feature_scale``.
        target_mean: With ``target_scale`` the same for targets; empty for classification.
    """

    path: Path
    key: str
    digest: str
    test_digest: str
    n_train: int
    n_validation: int
    n_test: int
    n_features: int
    n_outputs: int
    task: str
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    target_names: tuple[str, ...]
    feature_mean: tuple[float, ...]
    feature_scale: tuple[float, ...]
    target_mean: tuple[float, ...]
    target_scale: tuple[float, ...]


def open_prepared(path: Path) -> PreparedData:
    """Read ``meta.json`` of a prepared folder, and nothing else.

    Raises:
        DataError: If it is missing, damaged or of another format version.
    """
    file = path / META_FILE
    try:
        meta = json.loads(file.read_text(encoding="utf-8"))
        if meta["format"] != FORMAT_VERSION:
            raise ValueError(f"format version {meta['format']!r}, this is {FORMAT_VERSION}")
        return _from_meta(path, meta)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(file, path, error) from error


def load_training_data(prepared: PreparedData) -> TrainingData:
    """Map the training and validation arrays of ``prepared`` into memory, read-only.

    Any number of processes share the pages; test rows are not among them.

    Raises:
        DataError: If an array is missing, damaged or not of the recorded shape and type.
    """
    arrays = {name: _map_array(prepared, name) for name in _expected_arrays(prepared)}
    try:
        return TrainingData(
            x_train=arrays["x_train.npy"],
            y_train=arrays["y_train.npy"],
            x_validation=arrays["x_validation.npy"],
            y_validation=arrays["y_validation.npy"],
            n_classes=len(prepared.class_names) or None,
            target_mean=np.array(prepared.target_mean, dtype=np.float64),
            target_scale=np.array(prepared.target_scale, dtype=np.float64),
        )
    except ValueError as error:
        raise _damaged(prepared.path, prepared.path, error) from error


def check_files(prepared: PreparedData) -> None:
    """Check that every file of the folder is there and every array whole; test rows stay sealed.

    Raises:
        DataError: Naming the first file that is not as ``meta.json`` says.
    """
    for name in _expected_arrays(prepared):
        _map_array(prepared, name)
    for name in (POOL_X, POOL_Y, SEALED_FILE):
        file = prepared.path / name
        try:
            if file.stat().st_size == 0:
                raise ValueError("the file is empty")
        except (OSError, ValueError) as error:
            raise _damaged(file, prepared.path, error) from error


def _from_meta(path: Path, meta: Mapping[str, Any]) -> PreparedData:
    rows, features, target = meta["rows"], meta["features"], meta["target"]
    class_names = tuple(str(name) for name in meta["class_names"])
    target_names = tuple(str(name) for name in target["names"])
    feature_names = tuple(str(name) for name in features["names"])
    return PreparedData(
        path=path,
        key=str(meta["key"]),
        digest=str(meta["digest"]),
        test_digest=str(meta["test_digest"]),
        n_train=int(rows["train"]),
        n_validation=int(rows["validation"]),
        n_test=int(rows["test"]),
        n_features=len(feature_names),
        n_outputs=len(class_names) or len(target_names),
        task=str(meta["task"]),
        class_names=class_names,
        feature_names=feature_names,
        target_names=target_names,
        feature_mean=tuple(float(value) for value in features["mean"]),
        feature_scale=tuple(float(value) for value in features["scale"]),
        target_mean=tuple(float(value) for value in target["mean"]),
        target_scale=tuple(float(value) for value in target["scale"]),
    )


def _expected_arrays(prepared: PreparedData) -> dict[str, tuple[tuple[int, ...], type]]:
    """Shape and type of each array that training reads."""
    expected: dict[str, tuple[tuple[int, ...], type]] = {}
    for part, n_rows in (("train", prepared.n_train), ("validation", prepared.n_validation)):
        expected[f"x_{part}.npy"] = ((n_rows, prepared.n_features), np.float32)
        expected[f"y_{part}.npy"] = (
            ((n_rows,), np.int64)
            if prepared.class_names
            else ((n_rows, prepared.n_outputs), np.float32)
        )
    return expected


def _map_array(prepared: PreparedData, name: str) -> npt.NDArray[Any]:
    """The array of one .npy file, mapped read-only."""
    shape, dtype = _expected_arrays(prepared)[name]
    file = prepared.path / name
    try:
        # Unlike np.load this takes .npy files alone: no archives, and never a pickle.
        array: npt.NDArray[Any] = np.lib.format.open_memmap(file, mode="r")
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(
                f"must be {np.dtype(dtype).name} of shape {shape}, "
                f"is {array.dtype.name} of shape {array.shape}"
            )
    except (OSError, EOFError, ValueError) as error:
        raise _damaged(file, prepared.path, error) from error
    return np.asarray(array)  # a plain view of the map: each index into np.memmap costs extra


def _damaged(file: Path, folder: Path, error: Exception) -> DataError:
    reason = "the file is missing" if isinstance(error, FileNotFoundError) else str(error)
    if isinstance(error, KeyError):
        reason = f"no key {error}"
    return DataError(
        f"{file}: prepared data cannot be read: {reason}",
        hint=f"delete the folder {folder}; the next start of the study prepares the data again",
    )
