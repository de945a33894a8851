"""Reading a prepared folder: read-only maps, and clear errors where something is damaged."""

from __future__ import annotations

import json
import os
import shutil
import stat

import numpy as np
import pytest

from tunelab.datasets import load_training_data, open_prepared, prepare
from tunelab.datasets.cache import load_pool
from tunelab.errors import DataError, DiskError


@pytest.fixture(scope="module")
def master(describe, tmp_path_factory):
    return prepare(describe("iris"), "classification", tmp_path_factory.mktemp("master"))


@pytest.fixture
def prepared(master, tmp_path):
    """A fresh copy of one prepared folder, for tests that damage it."""
    shutil.copytree(master.path, tmp_path / "cache" / master.key)
    return open_prepared(tmp_path / "cache" / master.key)


def test_arrays_are_maps_that_cannot_be_written(prepared):
    data = load_training_data(prepared)
    for values in (data.x_train, data.y_train, data.x_validation, data.y_validation):
        assert isinstance(values.base, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 0


def test_folders_and_files_are_for_their_owner_alone(describe, tmp_path):
    umask = os.umask(0o000)  # modes must not rely on it
    try:
        cache = tmp_path / "state" / "cache"
        prepared = prepare(describe("iris"), "classification", cache)
    finally:
        os.umask(umask)
    folders = [tmp_path / "state", cache, prepared.path, prepared.path / "sealed"]
    files = [file for file in prepared.path.rglob("*") if file.is_file()]
    assert len(files) == 7
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def damages():
    def truncate_rows(path):
        os.truncate(path / "x_train.npy", 700)

    def truncate_header(path):
        os.truncate(path / "y_validation.npy", 20)

    def empty(path):
        os.truncate(path / "y_train.npy", 0)

    def missing(path):
        (path / "x_validation.npy").unlink()

    def other_shape(path):
        np.save(path / "x_train.npy", np.zeros((90, 5), np.float32))

    def other_type(path):
        np.save(path / "y_train.npy", np.zeros(90, np.int32))

    def pickled(path):
        np.save(path / "y_train.npy", np.array([{}] * 90, dtype=object), allow_pickle=True)

    def archive(path):
        with (path / "x_train.npy").open("wb") as file:
            np.savez(file, x=np.zeros((90, 4), np.float32))

    return {
        truncate_rows: "x_train.npy",
        truncate_header: "y_validation.npy",
        empty: "y_train.npy",
        missing: "x_validation.npy",
        other_shape: "x_train.npy",
        other_type: "y_train.npy",
        pickled: "y_train.npy",
        archive: "x_train.npy",
    }


@pytest.mark.parametrize(
    ("damage", "file"), [pytest.param(*item, id=item[0].__name__) for item in damages().items()]
)
def test_a_damaged_array_is_named_and_prepared_again(describe, prepared, master, damage, file):
    damage(prepared.path)
    with pytest.raises(DataError) as caught:
        load_training_data(prepared)
    assert str(prepared.path / file) in str(caught.value)
    assert f"delete the folder {prepared.path}" in str(caught.value.hint)

    assert prepare(describe("iris"), "classification", prepared.path.parent) == prepared
    assert load_training_data(prepared).x_train.tobytes() == (
        load_training_data(master).x_train.tobytes()
    )
    assert list(prepared.path.parent.iterdir()) == [prepared.path]


def test_a_label_out_of_range_is_an_error_of_the_data(prepared):
    np.save(prepared.path / "y_train.npy", np.full(90, 3, np.int64))
    with pytest.raises(DataError, match=r"y_train must hold labels in \[0, 2\]"):
        load_training_data(prepared)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        "null",
        "\x00\xff",
        '{"format": 2}',
        '{"format": 99}',
        '{"format": 2, "files": []}',
        '{"format": 2, "files": {}, "rows": 1}',
    ],
)
def test_unreadable_meta_is_named_and_prepared_again(describe, prepared, text):
    (prepared.path / "meta.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"meta\.json: prepared data cannot be read") as caught:
        open_prepared(prepared.path)
    assert str(prepared.path) in str(caught.value.hint)
    assert prepare(describe("iris"), "classification", prepared.path.parent) == prepared


RAW_FILES = ["pool.npz", "sealed/test.npz"]


@pytest.mark.parametrize("file", ["meta.json", *RAW_FILES])
def test_a_missing_file_is_prepared_again(describe, prepared, file):
    (prepared.path / file).unlink()
    assert prepare(describe("iris"), "classification", prepared.path.parent) == prepared
    assert (prepared.path / file).stat().st_size > 0


@pytest.mark.parametrize("size", [0, 500])
@pytest.mark.parametrize("file", RAW_FILES)
def test_a_file_of_raw_rows_that_was_cut_is_prepared_again(describe, prepared, master, file, size):
    """Its size tells, so that test rows need not be opened."""
    os.truncate(prepared.path / file, size)
    assert prepare(describe("iris"), "classification", prepared.path.parent) == prepared
    assert (prepared.path / file).read_bytes() == (master.path / file).read_bytes()


def test_a_damaged_pool_is_named(prepared):
    (prepared.path / "pool.npz").write_bytes(b"PK no archive")
    with pytest.raises(DataError, match=r"pool\.npz: prepared data cannot be read") as caught:
        load_pool(prepared)
    assert f"delete the folder {prepared.path}" in str(caught.value.hint)


def test_a_folder_that_is_not_there_is_an_error_of_the_data(tmp_path):
    with pytest.raises(DataError, match="the file is missing"):
        open_prepared(tmp_path / "nowhere")


def test_meta_holds_what_export_needs(prepared):
    """Preprocessing can be rebuilt from JSON: no pickle, no scikit-learn."""
    meta = json.loads((prepared.path / "meta.json").read_text())
    pool = load_pool(prepared)
    x = [
        (column.values - fitted["mean"]) / fitted["scale"]
        for column, fitted in zip(pool.columns, meta["preprocessing"], strict=True)
    ]
    x_train = np.stack(x, axis=1)[: prepared.n_train].astype(np.float32)
    np.testing.assert_array_equal(x_train, load_training_data(prepared).x_train)


def test_a_cache_that_cannot_be_written_says_so(describe, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DiskError, match="prepared data cannot be written") as caught:
        prepare(describe("iris"), "classification", tmp_path / "file" / "cache")
    assert caught.value.exit_code == 4
    assert caught.value.hint is not None
