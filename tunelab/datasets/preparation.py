"""From a data description to a prepared folder: the one step that sees every row."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tunelab.datasets.cache import (
    FORMAT_VERSION,
    META_FILE,
    POOL_FILE,
    SEALED_FILE,
    PreparedData,
    check_files,
    load_pool,
    open_prepared,
)
from tunelab.datasets.digest import Digests, data_digest, description_key, row_digests, rows_digest
from tunelab.datasets.noise import flip_labels
from tunelab.datasets.preprocess import Preprocessing, fit_preprocessing
from tunelab.datasets.rows import write_rows
from tunelab.datasets.sources import Column, RawData, Targets, read_source, source_fingerprint
from tunelab.datasets.split import Rows, Split, share_notes, split_rows
from tunelab.datasets.store import Writer, publish, remove_stale
from tunelab.errors import DataError, DiskError

if TYPE_CHECKING:  # a worker imports this package and needs no study file
    from tunelab.spec.study import DataSpec


def prepare(
    data: DataSpec,
    task: str,
    cache: Path,
    accept: Callable[[PreparedData], None] | None = None,
) -> PreparedData:
    """Split, preprocess and store the data that ``data`` describes; use what is stored already.

    A folder that is there and whole is used without reading the source. A damaged one is prepared
    again. Any number of processes may prepare the same data at once: one result stays.

    Args:
        data: Source, columns, split and label noise.
        task: ``classification`` or ``regression``.
        cache: Folder of prepared folders. Made when there is something to put in it.
        accept: Called with the data before they are kept. If it raises, so does this function,
            and what was not there before is not there afterwards.

    Raises:
        DataError: If the data do not exist, do not fit the task or cannot be split as asked.
        DiskError: If the cache cannot be written.
    """
    description = {
        "format": FORMAT_VERSION,
        "task": task,
        # Not the path: the fingerprint knows a file again when its folder has moved.
        "data": data.model_dump(mode="json", exclude_none=True, exclude={"path"}),
        "source": source_fingerprint(data),
    }
    key = description_key(description)
    remove_stale(cache)
    stored = find_prepared(cache / key)
    if stored is not None:
        if accept is not None:
            accept(stored)
        return stored

    raw = read_source(data, task)
    files = _files(raw, data, {"key": key, **description})
    try:
        publish(
            cache / key,
            files,
            is_whole=lambda: find_prepared(cache / key) is not None,
            accept=accept and (lambda folder: accept(open_prepared(folder))),
        )
    except OSError as error:
        raise _unwritten(cache, error) from error
    return open_prepared(cache / key)


def split_again(prepared: PreparedData, data: DataSpec, seed: int) -> PreparedData:
    """Split the pool of ``prepared`` into other training and validation rows.

    Method and shares stay, as far as the rows go round: test rows are not among them. The
    preprocessing is learnt anew, from the training rows of this split. It is stored beside
    ``prepared``, and what is stored already is used.

    Args:
        prepared: Must be here with its raw rows, not fetched from elsewhere.
        data: What it was prepared from.
        seed: Another seed deals the rows out in another way.

    Raises:
        DataError: If the pool is not here, or cannot be split by this seed.
        DiskError: If the result cannot be written.
    """
    old = data.split
    spec = old.model_copy(
        update={"validation": old.validation / (1.0 - old.test), "test": 0.0, "seed": seed}
    )
    described = spec.model_dump(mode="json", exclude_none=True)
    description = {"format": FORMAT_VERSION, "pool_of": prepared.digest, "split": described}
    folder = prepared.path.parent / description_key(description)
    stored = find_prepared(folder)
    if stored is not None:
        return stored
    raw = load_pool(prepared)
    digests = row_digests(raw)
    split = split_rows(raw, digests, spec)
    fitted = _fitted(raw, split, {part: raw.targets[rows] for part, rows in split.items()}, data)
    parts = {part: rows_digest(digests[rows]) for part, rows in split.items()}
    meta = {
        "key": folder.name,
        **description,
        "digest": data_digest({"pool_of": prepared.digest, "seed": seed}, parts),
        "test_digest": prepared.test_digest,
        "rows": {**{part: len(rows) for part, rows in split.items()}, "dropped": 0},
        "notes": [],
        **fitted.meta,
    }
    try:
        publish(
            folder,
            _counted(fitted.writers, meta),
            is_whole=lambda: find_prepared(folder) is not None,
        )
    except OSError as error:
        raise _unwritten(folder.parent, error) from error
    return open_prepared(folder)


def find_prepared(folder: Path) -> PreparedData | None:
    """The prepared data in ``folder``, or None if something is missing or damaged."""
    try:
        prepared = open_prepared(folder)
        check_files(prepared)
    except DataError:
        return None
    return prepared


def _files(raw: RawData, data: DataSpec, description: Mapping[str, Any]) -> dict[str, Writer]:
    """What to write: path within the folder -> its writer, ``meta.json`` last."""
    digests = row_digests(raw)
    split = split_rows(raw, digests, data.split)
    targets = _targets_with_noise(raw, digests, split, data)

    fitted = _fitted(raw, split, targets, data)
    writers: dict[str, Writer] = {
        **fitted.writers,
        POOL_FILE: partial(
            write_rows,
            raw=raw,
            rows=np.concatenate([split.train, split.validation]),
            targets=np.concatenate([targets["train"], targets["validation"]]),
        ),
        SEALED_FILE: partial(write_rows, raw=raw, rows=split.test, targets=targets["test"]),
    }
    parts = {part: rows_digest(digests[rows]) for part, rows in split.items()}
    meta = {
        **description,
        "digest": data_digest(_header(raw, data), parts),
        "test_digest": parts["test"],
        "rows": {**{part: len(rows) for part, rows in split.items()}, "dropped": raw.n_dropped},
        "notes": [*raw.notes, *share_notes(raw, split, data.split)],
        **fitted.meta,
        "split": data.split.model_dump(mode="json", exclude_none=True),
    }
    return _counted(writers, meta)


@dataclass(frozen=True)
class _Fitted:
    """Training and validation rows as networks see them.

    Attributes:
        writers: What writes their arrays.
        meta: What ``meta.json`` has to say of them.
    """

    writers: Mapping[str, Writer]
    meta: Mapping[str, Any]


def _fitted(raw: RawData, split: Split, targets: Mapping[str, Targets], data: DataSpec) -> _Fitted:
    """Preprocess training and validation rows.

    Only training rows have a say in what becomes of any row.
    """
    preprocessing = fit_preprocessing(raw.columns, split.train, impute=data.missing == "impute")
    measured = _measured_targets(raw)
    scaling = fit_preprocessing(measured, split.train, impute=False)
    arrays: dict[str, npt.NDArray[Any]] = {}
    for part, rows in split.items()[:2]:
        arrays[f"x_{part}.npy"] = _applied(preprocessing, raw.columns, part, rows)
        arrays[f"y_{part}.npy"] = (
            _applied(scaling, measured, part, rows) if measured else targets[part]
        )
    meta = {
        "task": "classification" if raw.class_names else "regression",
        "class_names": raw.class_names,
        "class_counts": _class_counts(targets, len(raw.class_names)),
        "preprocessing": preprocessing.to_json(),
        "target_names": raw.target_names,
        "target_scaling": scaling.to_json(),
    }
    writers = {name: partial(_write_array, array=array) for name, array in arrays.items()}
    return _Fitted(writers, meta)


def _counted(writers: Mapping[str, Writer], meta: Mapping[str, Any]) -> dict[str, Writer]:
    """The writers, and behind them ``meta.json``, which tells how large each of the files is."""
    sizes: dict[str, int] = {}  # complete when meta.json, the last file, is written
    return {
        **{name: partial(_write_counted, sizes, name, write) for name, write in writers.items()},
        META_FILE: partial(_write_json, value={**meta, "files": sizes}),
    }


def _unwritten(cache: Path, error: OSError) -> DiskError:
    return DiskError(
        f"{cache}: prepared data cannot be written: {error.strerror or error}",
        hint="check that the folder may be written to and that the disk is not full",
    )


def _measured_targets(raw: RawData) -> list[Column]:
    """The targets as columns of numbers; none for classification."""
    if raw.class_names:
        return []
    return [
        Column(name, values, categorical=False)
        for name, values in zip(raw.target_names, raw.targets.T, strict=True)
    ]


def _applied(
    preprocessing: Preprocessing, columns: Sequence[Column], part: str, rows: Rows
) -> npt.NDArray[np.float32]:
    try:
        return preprocessing.apply(columns, rows)
    except ValueError as error:
        raise DataError(
            f"{part} rows: {error}",
            hint="correct the value, or leave the column out under data.drop",
        ) from error


def _header(raw: RawData, data: DataSpec) -> dict[str, Any]:
    """What gives the rows their meaning. Equal noise on equal rows gives equal labels."""
    return {
        "task": raw.task,
        "class_names": raw.class_names,
        "target_names": raw.target_names,
        "columns": [[column.name, column.categorical] for column in raw.columns],
        "label_noise": data.label_noise and data.label_noise.model_dump(mode="json"),
    }


def _targets_with_noise(
    raw: RawData, digests: Digests, split: Split, data: DataSpec
) -> dict[str, Targets]:
    """The targets of each part; those of training and validation with the noise asked for.

    The noise is part of the data: the pool keeps it, so a later split of the pool sees the same
    wrong labels. Test rows are clean, and show what the noise has cost.
    """
    targets: dict[str, Targets] = {part: raw.targets[rows] for part, rows in split.items()}
    noise = data.label_noise
    if noise is None:
        return targets
    if not raw.class_names:
        raise DataError(
            "data.label_noise: needs classes, but the study's task is regression",
            hint="remove label_noise",
        )
    for part, rows in split.items()[:2]:
        targets[part] = flip_labels(
            targets[part], digests[rows], len(raw.class_names), noise.share, noise.seed
        )
    return targets


def _class_counts(labels: Mapping[str, Targets], n_classes: int) -> dict[str, list[int]]:
    """Rows of each class by part, wrong labels counted as they stand; none for regression."""
    return {
        part: np.bincount(of_part, minlength=n_classes).tolist() if n_classes else []
        for part, of_part in labels.items()
    }


def _write_counted(sizes: dict[str, int], name: str, writer: Writer, stream: IO[bytes]) -> None:
    """Write one file and note its size."""
    writer(stream)
    sizes[name] = stream.seek(0, os.SEEK_END)


def _write_array(stream: IO[bytes], array: npt.NDArray[Any]) -> None:
    np.save(stream, array, allow_pickle=False)


def _write_json(stream: IO[bytes], value: Mapping[str, Any]) -> None:
    stream.write(json.dumps(value, indent=1, allow_nan=False).encode())
