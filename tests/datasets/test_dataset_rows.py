"""Raw rows in a file: they come back as they were, and nothing is unpickled."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.datasets.tables import labelled, measured, numbers, objects, taken, words
from tunelab.datasets.rows import read_rows, write_rows


def stored(path, raw, rows=None, targets=None):
    rows = np.arange(raw.n_rows) if rows is None else np.asarray(rows)
    with path.open("wb") as stream:
        write_rows(stream, raw, rows, raw.targets[rows] if targets is None else targets)
    return read_rows(path)


def assert_equal(one, other):
    assert [(column.name, column.categorical) for column in one.columns] == [
        (column.name, column.categorical) for column in other.columns
    ]
    for ours, theirs in zip(one.columns, other.columns, strict=True):
        assert ours.values.dtype == theirs.values.dtype
        if ours.categorical:
            assert ours.values.tolist() == theirs.values.tolist()
        else:
            assert ours.values.tobytes() == theirs.values.tobytes()
    assert one.targets.dtype == other.targets.dtype
    assert one.targets.tolist() == other.targets.tolist()
    assert (one.class_names, one.target_names) == (other.class_names, other.target_names)
    for ours, theirs in ((one.groups, other.groups), (one.times, other.times)):
        assert (None if ours is None else ours.tolist()) == (
            None if theirs is None else theirs.tolist()
        )


texts = st.text(max_size=6) | st.sampled_from(["\0", "a\0", "\ud800", "🎈", "None"])


@settings(deadline=None, max_examples=40)
@given(
    cells=st.lists(st.tuples(st.floats(), st.none() | texts, texts), min_size=1, max_size=12),
    data=st.data(),
)
def test_rows_come_back_as_they_were(tmp_path_factory, cells, data):
    values, tints, groups = (list(column) for column in zip(*cells, strict=True))
    raw = labelled(
        [numbers("x", values), words("a/../b\0", tints), numbers("", values)],
        [0] * len(cells),
        ["ü", '"'],
        groups=objects(groups),
        times=np.arange(len(cells), dtype=np.float64),
    )
    rows = data.draw(st.lists(st.integers(0, len(cells) - 1), min_size=1, max_size=20))
    path = tmp_path_factory.mktemp("rows") / "rows.npz"
    assert_equal(stored(path, raw, rows), taken(raw, rows))


def test_regression_targets_and_noisy_ones_are_stored_as_given(tmp_path):
    raw = measured([numbers("x", [1, 2])], np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert_equal(stored(tmp_path / "rows.npz", raw), raw)
    other = stored(tmp_path / "rows.npz", raw, [1], np.array([[9.0, 8.0]]))
    assert other.targets.tolist() == [[9.0, 8.0]]
    assert other.groups is None
    assert other.times is None


def test_texts_of_other_rows_are_not_in_the_file(tmp_path):
    raw = labelled([words("tint", ["here", "elsewhere"])], [0, 0], ["a"])
    stored(tmp_path / "rows.npz", raw, [0])
    assert b"elsewhere" not in (tmp_path / "rows.npz").read_bytes()


def test_equal_rows_make_equal_files():
    raw = labelled([words("tint", ["a", "b"]), numbers("x", [1, 2])], [0, 1], ["a", "b"])
    first, second = BytesIO(), BytesIO()
    for stream in (first, second):
        write_rows(stream, raw, np.array([1, 0]), np.array([1, 0]))
    assert first.getvalue() == second.getvalue()


def test_numpy_reads_the_numbers_too(tmp_path):
    raw = labelled([numbers("x", [1, None]), words("t", ["a", None])], [1, 0], ["a", "b"])
    stored(tmp_path / "rows.npz", raw)
    with np.load(tmp_path / "rows.npz", allow_pickle=False) as file:
        assert file["column_0"].tolist()[0] == 1.0
        assert file["column_1"].tolist() == [0, -1]
        assert file["targets"].tolist() == [1, 0]
        assert json.loads(file["rows.json"])["columns"][1] == {"name": "t", "texts": ["a"]}


def damaged_archives():
    def cut(data):
        return data[: len(data) // 2]

    def flipped(data):
        place = data.index(b"NUMPY") + 140
        return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]

    def text(data):
        return b"x,y\n1,2\n"

    def no_header(data):
        stream = BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("column_0.npy", b"")
        return stream.getvalue()

    def pickled(data):
        stream = BytesIO()
        array = BytesIO()
        np.save(array, np.array([{}], dtype=object), allow_pickle=True)
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("column_0.npy", array.getvalue())
            archive.writestr("rows.json", json.dumps({"columns": [{"name": "x", "texts": None}]}))
        return stream.getvalue()

    def code_beyond_the_texts(data):
        stream = BytesIO()
        with zipfile.ZipFile(BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as archive:
            for name in old.namelist():
                content = old.read(name)
                archive.writestr(name, content.replace(b'["a", "b"]', b"[]"))
        return stream.getvalue()

    return [cut, flipped, text, no_header, pickled, code_beyond_the_texts]


@pytest.mark.parametrize("damage", damaged_archives(), ids=lambda damage: damage.__name__)
def test_a_damaged_file_is_a_value_error(tmp_path, damage):
    path = tmp_path / "rows.npz"
    raw = labelled([words("tint", ["x", "a", "b", "x"])], [0] * 4, ["c"])
    stored(path, taken(raw, [1, 2, 2]))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"."):
        read_rows(path)
