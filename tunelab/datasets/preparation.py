"""From a data description to a prepared folder: the one step that sees every row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tunelab.datasets.cache import (
    FORMAT_VERSION,
    META_FILE,
    POOL_X,
    POOL_Y,
    SEALED_FILE,
    PreparedData,
    check_files,
    open_prepared,
)
from tunelab.datasets.digest import data_digest, description_key, row_digests, rows_digest
from tunelab.datasets.noise import flip_labels
from tunelab.datasets.preprocess import fit_scaling
from tunelab.datasets.sources import RawData, Targets, read_source, source_fingerprint
from tunelab.datasets.split import Split, split_rows
from tunelab.datasets.store import publish, remove_stale
from tunelab.errors import DataError, DiskError

if TYPE_CHECKING:  # a worker imports this package and needs no study file
    from tunelab.spec.study import DataSpec


def prepare(data: DataSpec, task: str, cache: Path) -> PreparedData:
    """Split, scale and store the data that ``data`` describes; use what is stored already.

    A folder that is there and whole is used without reading the source. A damaged one is prepared
    again. Any number of processes may prepare the same data at once: one result stays.

    Args:
        data: Source, split and label noise.
        task: ``classification`` or ``regression``.
        cache: Folder of prepared folders. Made when there is something to put in it.

    Raises:
        DataError: If the data do not exist, do not fit the task or cannot be split as asked.
        DiskError: If the cache cannot be written.
    """
    description = {
        "format": FORMAT_VERSION,
        "task": task,
        "data": data.model_dump(mode="json", exclude_none=True),
        "source": source_fingerprint(data),
    }
    key = description_key(description)
    remove_stale(cache)
    stored = _whole(cache / key)
    if stored is not None:
        return stored

    raw = read_source(data, task)
    files = _files(raw, data, {"key": key, **description})
    try:
        publish(cache / key, files, is_whole=lambda: _whole(cache / key) is not None)
    except OSError as error:
        raise DiskError(
            f"{cache}: prepared data cannot be written: {error}",
            hint="check that the folder may be written to and that the disk is not full",
        ) from error
    return open_prepared(cache / key)


def _whole(folder: Path) -> PreparedData | None:
    """The prepared data in ``folder``, or None if something is missing or damaged."""
    try:
        prepared = open_prepared(folder)
        check_files(prepared)
    except DataError:
        return None
    return prepared


def _files(
    raw: RawData, data: DataSpec, description: Mapping[str, Any]
) -> dict[str, partial[None]]:
    """What to write: path within the folder -> its writer, ``meta.json`` last."""
    split = split_rows(raw, data.split)
    x = {part: raw.features[rows] for part, rows in _parts(split)}
    y = _targets_with_noise(raw, split, data)

    # From here on only training rows have a say in how any row is scaled.
    inputs = fit_scaling(x["train"])
    scaled: dict[str, npt.NDArray[Any]] = {}
    outputs = None if raw.class_names else fit_scaling(y["train"])
    for part in ("train", "validation"):
        scaled[f"x_{part}.npy"] = inputs.apply(x[part])
        scaled[f"y_{part}.npy"] = y[part] if outputs is None else outputs.apply(y[part])
    pool = {
        POOL_X: np.concatenate([x["train"], x["validation"]]),
        POOL_Y: np.concatenate([y["train"], y["validation"]]),
    }

    parts = {part: rows_digest(row_digests(x[part], y[part])) for part in x}
    header = {"task": raw.task, "class_names": raw.class_names, "shape": raw.features.shape[1:]}
    meta = {
        **description,
        "digest": data_digest(header, parts),
        "test_digest": parts["test"],
        "rows": {part: len(rows) for part, rows in _parts(split)},
        "class_names": raw.class_names,
        "class_counts": _class_counts(y, len(raw.class_names)),
        "features": {
            "names": raw.feature_names,
            "mean": inputs.mean.tolist(),
            "scale": inputs.scale.tolist(),
        },
        "target": {
            "names": raw.target_names,
            "mean": [] if outputs is None else outputs.mean.tolist(),
            "scale": [] if outputs is None else outputs.scale.tolist(),
        },
        "split": {**data.split.model_dump(mode="json"), "strata": split.n_strata},
    }
    return {
        **{name: partial(_write_array, array=array) for name, array in {**scaled, **pool}.items()},
        SEALED_FILE: partial(_write_arrays, features=x["test"], targets=y["test"]),
        META_FILE: partial(_write_json, value=meta),
    }


def _targets_with_noise(raw: RawData, split: Split, data: DataSpec) -> dict[str, Targets]:
    """The targets of each part; those of training and validation with the noise asked for.

    The noise is part of the data: the pool keeps it, so a later split of the pool sees the same
    wrong labels. Test rows are clean, and show what the noise has cost.
    """
    targets: dict[str, Targets] = {part: raw.targets[rows] for part, rows in _parts(split)}
    noise = data.label_noise
    if noise is None:
        return targets
    if not raw.class_names:
        raise DataError(
            f"data.label_noise: needs classes, but {data.name} is a regression data set",
            hint="remove label_noise",
        )
    for part, rows in _parts(split)[:2]:
        digests = row_digests(raw.features[rows], targets[part])
        targets[part] = flip_labels(
            targets[part], digests, len(raw.class_names), noise.share, noise.seed
        )
    return targets


def _parts(split: Split) -> list[tuple[str, npt.NDArray[np.intp]]]:
    return [("train", split.train), ("validation", split.validation), ("test", split.test)]


def _class_counts(labels: Mapping[str, Targets], n_classes: int) -> dict[str, list[int]]:
    """Rows of each class by part, wrong labels counted as they stand; empty for regression."""
    if not n_classes:
        return {}
    return {
        part: np.bincount(of_part.astype(np.intp), minlength=n_classes).tolist()
        for part, of_part in labels.items()
    }


def _write_array(stream: IO[bytes], array: npt.NDArray[Any]) -> None:
    np.save(stream, array, allow_pickle=False)


def _write_arrays(stream: IO[bytes], **arrays: npt.NDArray[Any]) -> None:
    np.savez(stream, allow_pickle=False, **arrays)


def _write_json(stream: IO[bytes], value: Mapping[str, Any]) -> None:
    stream.write(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode())
