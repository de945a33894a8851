"""The folder of one prepared data set, as its readers see it.

::

    <cache>/<key>/
        meta.json               counts, names, digests, the preprocessing, the split's description
        x_train.npy             float32, (n_train, n_features); y_train, x_validation, y_validation
        pool.npz                training rows, then validation rows, as the source gave them
                                (labels with their noise), for splitting again with another seed
        sealed/test.npz         the test rows, likewise; opened for a study's pick alone

A split of a pool has a folder like it, without the last two files.

Nothing here imports scikit-learn: workers hold these arrays and little else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tunelab.datasets.preprocess import Preprocessing
from tunelab.datasets.rows import read_rows
from tunelab.datasets.sources import Column, RawData
from tunelab.errors import DataError
from tunelab.training.arrays import TrainingData

FORMAT_VERSION = 3
"""Raised when the folder's contents change their form or meaning; old folders are then unused."""

META_FILE = "meta.json"
POOL_FILE = "pool.npz"
SEALED_FILE = "sealed/test.npz"

_SHARED = (
    "format",
    "key",
    "digest",
    "test_digest",
    "rows",
    "task",
    "class_names",
    "target_names",
    "preprocessing",
    "target_scaling",
)


@dataclass(frozen=True)
class PreparedData:
    """What is known of a prepared data set without opening its arrays.

    Attributes:
        path: Its folder.
        key: The folder's name, made from the data description.
        digest: SHA-256 over the rows of all three parts; equal digests mean equal data and split.
        test_digest: SHA-256 over the test rows alone.
        n_train: Training rows; likewise ``n_validation`` and ``n_test``.
        n_dropped: Rows that were left out because something in them is missing.
        n_features: Inputs of a network.
        n_outputs: Number of classes, or of target columns.
        task: ``classification`` or ``regression``.
        class_names: One name a label; empty for regression.
        class_counts: Training rows of each class, wrong labels counted as they stand.
        feature_names: One name an input, ``color=red`` for a category of a column.
        target_names: One name a target column.
        preprocessing: How a raw row becomes inputs.
        notes: What was odd about the data and may be meant, a sentence each.
        target_scaling: How a raw target becomes an output; empty for classification.
    """

    path: Path
    key: str
    digest: str
    test_digest: str
    n_train: int
    n_validation: int
    n_test: int
    n_dropped: int
    n_features: int
    n_outputs: int
    task: str
    class_names: tuple[str, ...]
    class_counts: tuple[int, ...]
    feature_names: tuple[str, ...]
    target_names: tuple[str, ...]
    preprocessing: Preprocessing
    notes: tuple[str, ...]
    target_scaling: Preprocessing


def open_prepared(path: Path) -> PreparedData:
    """Read ``meta.json`` of a prepared folder, and nothing else.

    Raises:
        DataError: If it is missing, damaged or of another format version.
    """
    return _from_meta(path, _read_meta(path))


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
            target_mean=_of_targets(prepared, "mean"),
            target_scale=_of_targets(prepared, "scale"),
        )
    except ValueError as error:
        raise _damaged(prepared.path, prepared.path, error) from error


def array_files(prepared: PreparedData) -> tuple[str, ...]:
    """The names of the files that :func:`load_training_data` maps."""
    return tuple(_expected_arrays(prepared))


def shared_meta(prepared: PreparedData) -> dict[str, Any]:
    """What a machine must know that is sent nothing but the files of :func:`array_files`.

    Where the data came from is not in it, nor are notes, which may quote a row of any part.

    Raises:
        DataError: If ``meta.json`` cannot be read.
    """
    meta = _read_meta(prepared.path)
    shared = {name: meta[name] for name in _SHARED}
    return {**shared, "class_counts": {"train": list(prepared.class_counts)}, "notes": []}


def load_pool(prepared: PreparedData) -> RawData:
    """Read the raw training rows, and after them the raw validation rows.

    Raises:
        DataError: If the file is missing or damaged.
    """
    return _raw_rows(prepared, POOL_FILE)


def _raw_rows(prepared: PreparedData, name: str) -> RawData:
    file = prepared.path / name
    try:
        return read_rows(file)
    except (OSError, ValueError) as error:
        raise _damaged(file, prepared.path, error) from error


def has_pool(prepared: PreparedData) -> bool:
    """Whether the raw training and validation rows are here."""
    return (prepared.path / POOL_FILE).is_file()


def has_sealed(prepared: PreparedData) -> bool:
    """Whether the test rows are here; they are not opened."""
    return (prepared.path / SEALED_FILE).is_file()


def open_sealed(prepared: PreparedData) -> RawData:
    """Read the raw test rows. Whoever calls this has noted before that the split is opened.

    Raises:
        DataError: If the file is missing or damaged.
    """
    return _raw_rows(prepared, SEALED_FILE)


def test_data(prepared: PreparedData, sealed: RawData) -> TrainingData:
    """The training rows of ``prepared``, and in the place of its validation rows the test rows.

    They are preprocessed as ``prepared`` has learnt it from its training rows.

    Raises:
        DataError: If an array is damaged, or a test row holds what cannot be an input.
    """
    data = load_training_data(prepared)
    rows = np.arange(sealed.n_rows)
    try:
        x = prepared.preprocessing.apply(sealed.columns, rows)
        y = sealed.targets
        if not prepared.class_names:
            measured = [
                Column(name, values, categorical=False)
                for name, values in zip(sealed.target_names, sealed.targets.T, strict=True)
            ]
            y = prepared.target_scaling.apply(measured, rows)
        return replace(data, x_validation=x, y_validation=y)
    except ValueError as error:
        raise DataError(f"test rows: {error}") from error


def check_files(prepared: PreparedData) -> None:
    """Check that every file is there and as large as it was, and every array of training whole.

    Files of raw rows are not opened.

    Raises:
        DataError: Naming the first file that is not as ``meta.json`` says.
    """
    for name in _expected_arrays(prepared):
        _map_array(prepared, name)
    for name, size in _read_meta(prepared.path)["files"].items():
        file = prepared.path / name
        try:
            if (found := file.stat().st_size) != size:
                raise ValueError(f"the file must have {size} bytes, has {found}")
        except (OSError, ValueError) as error:
            raise _damaged(file, prepared.path, error) from error


def _read_meta(path: Path) -> Mapping[str, Any]:
    file = path / META_FILE
    try:
        meta: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if meta["format"] != FORMAT_VERSION:
            raise ValueError(f"format version {meta['format']!r}, this is {FORMAT_VERSION}")
        meta["files"] = {str(name): int(size) for name, size in meta["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(file, path, error) from error
    return meta


def _from_meta(path: Path, meta: Mapping[str, Any]) -> PreparedData:
    try:
        rows = meta["rows"]
        class_names = tuple(str(name) for name in meta["class_names"])
        target_names = tuple(str(name) for name in meta["target_names"])
        preprocessing = Preprocessing.from_json(meta["preprocessing"])
        feature_names = preprocessing.feature_names
        return PreparedData(
            path=path,
            key=str(meta["key"]),
            digest=str(meta["digest"]),
            test_digest=str(meta["test_digest"]),
            n_train=int(rows["train"]),
            n_validation=int(rows["validation"]),
            n_test=int(rows["test"]),
            n_dropped=int(rows["dropped"]),
            n_features=len(feature_names),
            n_outputs=len(class_names) or len(target_names),
            task=str(meta["task"]),
            class_names=class_names,
            class_counts=tuple(int(count) for count in meta["class_counts"]["train"]),
            feature_names=feature_names,
            target_names=target_names,
            preprocessing=preprocessing,
            notes=tuple(str(note) for note in meta["notes"]),
            target_scaling=Preprocessing.from_json(meta["target_scaling"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path / META_FILE, path, error) from error


def _of_targets(prepared: PreparedData, statistic: str) -> npt.NDArray[np.float64]:
    """One number a target, shape (n_outputs,); shape (0,) for classification."""
    transforms = prepared.target_scaling.transforms
    return np.array([getattr(target, statistic) for target in transforms], dtype=np.float64)


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
