"""Prepared arrays travel by a data store: whole, checked, without test rows and credentials."""

from __future__ import annotations

import multiprocessing
import uuid
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.datasets.tables import labelled, numbers, words
from tunelab.datasets import load_training_data, open_prepared, preparation, prepare
from tunelab.datasets.data_store import FolderStore, open_store, without_credentials
from tunelab.datasets.remote import fetch, locate, place, put, remove
from tunelab.datasets.split import Split
from tunelab.errors import DataError, DiskError, UsageError

ARRAYS = ("x_train", "y_train", "x_validation", "y_validation")


@pytest.fixture
def prepared(describe, tmp_path):
    return prepare(describe(), "classification", tmp_path / "data")


@pytest.fixture(params=["folder", "memory"])
def address(request, tmp_path):
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}"
    (tmp_path / "store").mkdir()
    return str(tmp_path / "store")


@pytest.fixture
def store(address):
    return open_store(address)


def contents(address):
    """Every file of a store: its name and its bytes."""
    files, root = fsspec.core.url_to_fs(address)
    return {name.removeprefix(root).lstrip("/"): files.cat_file(name) for name in files.find(root)}


def overwrite(address, name, data):
    files, root = fsspec.core.url_to_fs(address)
    files.makedirs(f"{root}/{name}".rpartition("/")[0], exist_ok=True)
    files.pipe_file(f"{root}/{name}", data)


def same_arrays(one, other):
    first, second = load_training_data(one), load_training_data(other)
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in ARRAYS)


def get(prepared, store, tmp_path):
    return fetch(store, prepared.key, prepared.digest, tmp_path / "cache")


def test_what_was_put_is_fetched(prepared, store, tmp_path):
    put(prepared, store)
    fetched = get(prepared, store, tmp_path)
    assert same_arrays(fetched, prepared)
    assert fetched == replace(prepared, path=fetched.path)
    assert not load_training_data(fetched).x_train.flags.writeable


def test_it_is_fetched_once(prepared, store, address, tmp_path):
    put(prepared, store)
    get(prepared, store, tmp_path)
    remove(store, prepared.key, prepared.digest)
    assert contents(address) == {}
    assert same_arrays(get(prepared, store, tmp_path), prepared)


def test_it_is_put_once(prepared, store, monkeypatch):
    put(prepared, store)
    monkeypatch.setattr(type(store), "_write", lambda *_: pytest.fail("written again"))
    put(prepared, store)


def test_no_test_row_reaches_the_store(describe, use_source, monkeypatch, address, tmp_path):
    rows = Split(train=np.arange(24), validation=np.arange(24, 32), test=np.arange(32, 40))
    monkeypatch.setattr(preparation, "split_rows", lambda raw, digests, spec: rows)
    sizes = np.random.default_rng(0).normal(size=40)
    sizes[32:] = 13579.2468
    tints = ["red", "blue"] * 16 + ["canary"] * 4 + ["Canary"] * 4
    raw = labelled([numbers("size", sizes), words("tint", tints)], [0, 1] * 20, ["no", "yes"])
    use_source(replace(raw, notes=("tint: 'canary' and 'Canary' differ in case",)))
    prepared = prepare(describe(), "classification", tmp_path / "data")
    canaries = [b"anary", b"13579.2", np.float32(13579.2468).tobytes(), np.float64(13579.2468)]
    canaries[3] = canaries[3].tobytes()
    kept = b"".join(p.read_bytes() for p in prepared.path.rglob("*") if p.is_file())
    assert canaries[3] in kept  # the search would find them

    put(prepared, open_store(address))
    stored = contents(address)
    assert sorted(Path(name).suffix for name in stored) == [".json"] + [".npy"] * 4
    assert [c for c in canaries for data in stored.values() if c in data] == []


@pytest.mark.parametrize("n_written", range(5))
def test_a_torn_upload_is_not_there_and_the_next_one_completes_it(
    prepared, store, tmp_path, monkeypatch, n_written
):
    original, left = type(store)._write, iter(range(n_written))

    def dies(self, file, source):
        if next(left, None) is None:
            raise ConnectionError("gone")
        original(self, file, source)

    with monkeypatch.context() as patch:
        patch.setattr(type(store), "_write", dies)
        with pytest.raises(DiskError, match="gone"):
            put(prepared, store)
    with pytest.raises(DataError, match="does not have the prepared data"):
        get(prepared, store, tmp_path)
    put(prepared, store)
    assert same_arrays(get(prepared, store, tmp_path), prepared)


def test_a_torn_download_leaves_nothing(prepared, store, tmp_path, monkeypatch):
    put(prepared, store)
    original, left = type(store)._open, iter(range(3))

    def dies(self, file):
        if next(left, None) is None:
            raise ConnectionError("gone")
        return original(self, file)

    with monkeypatch.context() as patch:
        patch.setattr(type(store), "_open", dies)
        with pytest.raises(DiskError, match="gone"):
            get(prepared, store, tmp_path)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]
    assert same_arrays(get(prepared, store, tmp_path), prepared)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    which=st.integers(0, 4),
    where=st.floats(0, 1, exclude_max=True),
    flip=st.integers(1, 255),
    cut=st.booleans(),
)
def test_any_changed_or_missing_byte_is_noticed(
    prepared, tmp_path_factory, which, where, flip, cut
):
    folder = tmp_path_factory.mktemp("store")
    store = FolderStore(folder)
    put(prepared, store)
    file = sorted(path for path in folder.rglob("*") if path.is_file())[which]
    before = file.read_bytes()
    data = bytearray(before)
    at = int(where * len(data))
    if cut:
        del data[at:]
    else:
        data[at] ^= flip
    file.write_bytes(data)
    with pytest.raises(DataError, match="damaged") as caught:
        fetch(store, prepared.key, prepared.digest, folder / "cache")
    assert place(prepared.key, prepared.digest) in caught.value.hint
    file.write_bytes(before)
    fetched = fetch(store, prepared.key, prepared.digest, folder / "cache")
    assert same_arrays(fetched, prepared)


def test_the_data_of_another_study_are_refused(prepared, store, address, tmp_path):
    put(prepared, store)
    other = "f" * 64
    name = place(prepared.key, prepared.digest)
    for file, data in contents(address).items():
        overwrite(address, file.replace(name, place(prepared.key, other)), data)
    with pytest.raises(DataError, match=f"must be {other[:16]}, is {prepared.digest[:16]}"):
        fetch(store, prepared.key, other, tmp_path / "cache")


def test_a_folder_that_is_not_mounted_is_not_made(prepared, tmp_path):
    store = open_store(str(tmp_path / "missing"))
    with pytest.raises(DiskError, match="no such folder"):
        put(prepared, store)
    with pytest.raises(DiskError, match="no such folder"):
        get(prepared, store, tmp_path)
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize(
    "url", ["nope://me:hunter2@host/x", "s3://me:hunter2@bucket/x?token=hunter2", "a::s3://b"]
)
def test_a_url_that_is_no_store_is_refused_without_its_credentials(url):
    with pytest.raises(UsageError, match="TUNELAB_DATA_STORE") as caught:
        open_store(url)
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_an_error_of_the_store_is_told_without_credentials(prepared, monkeypatch):
    url = "memory://me:hun/ter@2@host/data?token=s3cr3t"
    store = open_store(url)

    def fails(*_):
        raise RuntimeError(f"cannot reach {url} with hun/ter@2 and s3cr3t\nmore s3cr3t")

    monkeypatch.setattr(type(store), "_open", fails)
    with pytest.raises(DiskError, match="cannot reach") as caught:
        put(prepared, store)
    told = f"{caught.value} {caught.value.hint} {store.name}"
    assert not any(secret in told for secret in ("hun/", "ter@2", "s3cr3t"))


@given(st.text(), st.text(), st.from_regex(r"[a-z0-9.]+/[a-z]*", fullmatch=True))
def test_nothing_before_the_host_is_shown(user, password, rest):
    assert without_credentials(f"sftp://{user}:{password}@{rest}") == f"sftp://***@{rest}"


def _fetch(arguments):
    """In a process of its own; whether it was this one that read the store."""
    address, key, digest, cache = arguments
    read = []
    original = FolderStore._open
    FolderStore._open = lambda self, file: read.append(file) or original(self, file)
    fetched = fetch(open_store(address), key, digest, cache)
    return len(read), float(load_training_data(fetched).x_train.sum())


def test_six_processes_at_once_fetch_once(prepared, tmp_path):
    (tmp_path / "store").mkdir()
    put(prepared, FolderStore(tmp_path / "store"))
    arguments = (str(tmp_path / "store"), prepared.key, prepared.digest, tmp_path / "cache")
    with multiprocessing.get_context("spawn").Pool(6) as pool:
        results = pool.map(_fetch, [arguments] * 6, chunksize=1)
    assert sorted(n_read for n_read, _ in results) == [0, 0, 0, 0, 0, 5]
    assert {total for _, total in results} == {float(load_training_data(prepared).x_train.sum())}


def test_data_on_this_machine_go_before_the_store(prepared, tmp_path):
    store = FolderStore(tmp_path / "missing")
    assert locate(prepared.path, prepared.digest, store, tmp_path / "cache") == prepared


def test_data_that_are_nowhere_name_the_variable(prepared, tmp_path):
    with pytest.raises(DataError, match="not on this machine") as caught:
        locate(tmp_path / "gone", prepared.digest, None, tmp_path / "cache")
    assert "TUNELAB_DATA_STORE" in caught.value.hint


def test_other_data_in_the_folder_are_refused(prepared, tmp_path):
    with pytest.raises(DataError, match="others than the study began with"):
        locate(prepared.path, "0" * 64, None, tmp_path / "cache")
    assert open_prepared(prepared.path) == prepared
