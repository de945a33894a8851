"""NPZ archives: which arrays are read, and archives that lie about what is in them."""

from __future__ import annotations

import os
import random
import zipfile

import numpy as np
import pytest

from tests.datasets.reading import columns_of, read, refused, told, write
from tunelab.datasets.sources import npz
from tunelab.errors import DataError

N = 24
X = np.random.default_rng(0).normal(size=(N, 3))
Y = np.array([0, 1] * (N // 2))


@pytest.fixture
def save(tmp_path):
    """Write arrays to an archive."""

    def write_arrays(compressed=False, **arrays):
        path = tmp_path / "data.npz"
        (np.savez_compressed if compressed else np.savez)(path, **arrays)
        return path

    return write_arrays


def read_y(path, task="classification", **keys):
    return read(path, task, **{"target": None, **keys})


def said(path, task="classification", **keys):
    return told(path, task, **{"target": None, **keys})


def features(raw):
    return np.stack([column.values for column in raw.columns], axis=1)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("name", ["x", "X"])
def test_features_and_targets(save, compressed, name):
    raw = read_y(save(compressed, **{name: X, "y": Y}))
    np.testing.assert_array_equal(features(raw), X)
    assert [column.name for column in raw.columns] == ["x0", "x1", "x2"]
    assert raw.targets.tolist() == Y.tolist()
    assert (raw.class_names, raw.target_names) == (("0", "1"), ("y",))


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(X),
        X[::-1][::-1],
        X.astype(">f8"),
        X.astype(np.float32),
        X.astype(np.float16),
        X.astype(np.longdouble),
        (100 * X).astype(np.int8),
        (100 * X + 1000).astype(">u2"),
        X > 0,
    ],
    ids=lambda array: f"{array.dtype.str} {'F' if array.flags.fnc else 'C'}",
)
def test_numbers_of_every_kind_and_order(save, array):
    np.testing.assert_array_equal(features(read_y(save(x=array, y=Y))), array.astype(np.float64))


@pytest.mark.parametrize(
    ("y", "names"),
    [
        (Y.reshape(-1, 1), ("0", "1")),
        (Y.astype(np.float32), ("0", "1")),
        (Y == 1, ("False", "True")),
        (np.array(["no", "yes"] * 12), ("no", "yes")),
        (np.array([b"no", b"yes"] * 12), ("no", "yes")),
        (10 - 3 * Y, ("7", "10")),
    ],
)
def test_classes_of_every_kind(save, y, names):
    raw = read_y(save(x=X, y=y))
    assert raw.class_names == names
    assert set(raw.targets.tolist()) == {0, 1}


def test_targets_of_regression(save):
    one = read_y(save(x=X, y=X[:, 0] / 2), "regression")
    assert (one.target_names, one.targets.tolist()) == (("y",), (X[:, :1] / 2).tolist())
    two = read_y(save(x=X, y=X[:, :2] / 2), "regression")
    assert (two.target_names, two.targets.tolist()) == (("y0", "y1"), (X[:, :2] / 2).tolist())
    path = save(x=X, u=X[:, 0] / 2, v=X[:, 1:] / 2)
    more = read(path, "regression", target=["v", "u"])
    assert more.target_names == ("v0", "v1", "u")
    assert more.targets.tolist() == (X[:, [1, 2, 0]] / 2).tolist()


def test_features_may_have_names(save):
    path = save(x=X, y=Y, feature_names=np.array(["age", "ü", "code"]))
    assert [column.name for column in read_y(path).columns] == ["age", "ü", "code"]
    kept = read_y(path, keep=["code", "age"]).columns
    assert [column.name for column in kept] == ["age", "code"]
    whole = np.column_stack([X[:, :2], Y + 3])
    path = save(x=whole, y=Y, feature_names=np.array(["age", "ü", "code"]))
    assert columns_of(read_y(path, categorical="code"))["code"][:2] == ["3", "4"]


def test_missing_values_are_nan(save):
    x = X.copy()
    x[3, 1], x[5, 1], x[7, 2] = np.nan, np.inf, 1e300
    path = save(x=x, y=Y)
    assert said(path) == [
        "data.npz: row 4, column x1: the only missing value",
        "data.npz: row 6, column x1: inf, the only infinite value",
        "data.npz: row 8, column x2: 1e+300, the only value too large for float32",
    ]
    assert read_y(path, missing="drop").n_dropped == 3
    assert np.isnan(features(read_y(path, missing="impute"))).sum() == 3


def test_arrays_of_their_own_may_decide_the_split(save):
    days = np.arange("1970-01-01", "1970-01-25", dtype="datetime64[D]")
    path = save(x=X, y=Y, who=np.array(["u", "v", "w"] * 8), when=days)
    raw = read_y(path, split={"method": "group", "group": "who"})
    assert raw.groups.tolist() == ["u", "v", "w"] * 8
    raw = read_y(path, split={"method": "time", "time": "when"})
    assert raw.times.tolist() == [86400.0 * k for k in range(N)]
    raw = read_y(path, split={"method": "time", "time": "x1"})
    assert raw.times.tolist() == X[:, 1].tolist()
    assert [column.name for column in raw.columns] == ["x0", "x2"]
    (line,) = said(path, split={"method": "time", "time": "wehn"})
    message = "there is no column 'wehn'; the columns are: x0, x1, x2, who, when"
    assert line == f"data.npz: data.split.time: {message}"


# Arrays -> what is said about them, and the hint.
WRONG = {
    "no features": (
        {"features": X, "y": Y},
        ["there is no array 'x'; the arrays are: features, y"],
        None,
    ),
    "neither": (
        {"features": X, "labels": Y},
        [
            "data.target: there is no array 'y'; the arrays are: features, labels",
            "there is no array 'x'; the arrays are: features, labels",
        ],
        None,
    ),
    "both": ({"x": X, "X": X, "y": Y}, ["must have one array of features, got x and X"], None),
    "one column": (
        {"x": X[:, 0], "y": Y},
        ["array x must have the shape (rows, features), got (24,)"],
        "x.reshape(len(x), -1) gives each row one line of numbers",
    ),
    "pictures": (
        {"x": X.reshape(N, 3, 1), "y": Y},
        ["array x must have the shape (rows, features), got (24, 3, 1)"],
        "x.reshape(len(x), -1) gives each row one line of numbers",
    ),
    "a number": (
        {"x": np.float64(3), "y": Y},
        ["array x must have the shape (rows, features), got ()"],
        None,
    ),
    "one-hot": (
        {"x": X, "y": np.eye(2)[Y]},
        ["array y must have the shape (rows,), got (24, 2)"],
        "y.argmax(axis=1) gives the classes of one-hot rows",
    ),
    "shape mismatch": ({"x": X, "y": Y[:-1]}, ["array y has 23 rows, but x has 24"], None),
    "objects": (
        {"x": X.astype(object), "y": Y},
        ["array x holds Python objects, which are never loaded"],
        "save x.astype(float), or x.astype(str) for texts",
    ),
    "complex": ({"x": X + 1j, "y": Y}, ["array x must hold numbers, got complex128"], None),
    "texts": (
        {"x": X.astype(str), "y": Y},
        ["array x must hold numbers, got <U32"],
        "save the table as CSV or Parquet",
    ),
    "fields": (
        {"x": np.zeros(N, dtype=[("a", float), ("b", object)]), "y": Y},
        ["array x must hold numbers, got named fields"],
        "save the table as CSV or Parquet",
    ),
    "dates": (
        {"x": X, "y": np.arange(N).astype("datetime64[D]")},
        ["array y must hold numbers or texts, got datetime64[D]"],
        None,
    ),
    "names": (
        {"x": X, "y": Y, "feature_names": np.array(["a", "b"])},
        ["array feature_names must have the shape (3,), got (2,)"],
        None,
    ),
    "same names": (
        {"x": X, "y": Y, "feature_names": np.array(["a", "b", "a"])},
        ["array feature_names must name each feature once, got a again"],
        None,
    ),
    "numbers as names": (
        {"x": X, "y": Y, "feature_names": np.arange(3)},
        ["array feature_names must hold texts, got int64"],
        None,
    ),
    "the target's name": (
        {"x": X, "y": Y, "feature_names": np.array(["a", "b", "y"])},
        ["y is the name of a feature and of a target"],
        None,
    ),
    "no rows": (
        {"x": X[:0], "y": Y[:0]},
        ["needs at least 10 rows, has none"],
        None,
    ),
    "no columns": ({"x": X[:, :0], "y": Y}, ["no feature is left; the columns are: none"], "a fea"),
}


@pytest.mark.parametrize("case", WRONG)
def test_arrays_that_are_not_what_they_must_be(save, case):
    arrays, messages, hint = WRONG[case]
    path = save(**arrays)
    assert said(path) == [f"data.npz: {message}" for message in messages]
    given_hint = refused(path, target=None)[0].hint
    assert given_hint is None if hint is None else hint in given_hint


def test_the_nearest_array_is_named(save):
    (problem,) = refused(save(x=X, labels=Y), target="label")
    assert problem.hint == "did you mean 'labels'?"


def test_the_targets_may_be_called_y_in_capitals_as_features_may(save):
    assert read(save(X=X, Y=Y), target=None).target_names == ("Y",)
    (problem,) = refused(save(x=X, Label=Y), target="label")
    assert problem.hint == "did you mean 'Label'?"
    assert read(save(x=X, Y=1 - Y, y=Y), target=None).target_names == ("y",)


def test_one_class_array_for_classification(save):
    path = save(x=X, u=Y, v=Y)
    assert said(path, target=["u", "v"]) == [
        "data.npz: data.target: must be one array for classification, got 2"
    ]


# Archives written by hand


def member(shape, content, descr="'<f8'", order="False"):
    """An array as numpy.save writes it, which may declare anything."""
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


def archive(path, method=zipfile.ZIP_DEFLATED, **members):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


GOOD = member("(24,)", Y.astype("<i8").tobytes(), "'<i8'")


def test_an_array_written_by_hand_is_read(tmp_path):
    path = archive(tmp_path / "data.npz", x=member("(24, 3)", X.tobytes()), y=GOOD)
    np.testing.assert_array_equal(features(read_y(path)), X)


LIES = {
    "more than there is": (
        member("(1024, 1024)", bytes(1000)),
        "array x declares 8,388,608 bytes, but the archive holds 1,000",
    ),
    "less than there is": (
        member("(12, 3)", X.tobytes()),
        "array x declares 288 bytes, but the archive holds 576",
    ),
    "names for columns of no rows": (
        member("(0, 1000000000000)", b""),
        "array x must have at most 20,000 columns, declares 1,000,000,000,000",
    ),
    "a gigabyte": (
        member("(1048576, 128)", bytes(1000)),
        (
            "array x declares 134,217,728 values in 1,073,741,824 bytes; "
            "at most 100,000,000 values in 2,147,483,648 bytes are read"
        ),
    ),
    "wide texts": (
        member("(24, 3)", bytes(1000), "'<U99999999'"),
        "array x must hold numbers, got <U99999999",
    ),
    "a negative shape": (member("(-1, 3)", X.tobytes()), "array x is damaged"),
    "a shape that is code": (member("(__import__('os'), 3)", b""), "array x is damaged"),
    "a shape of 10,000 brackets": (member("(" * 10_000, b""), "array x is damaged"),
    "a type that is none": (member("(24, 3)", X.tobytes(), "'<q8'"), "array x is damaged"),
    "a type that is code": (member("(24, 3)", b"", "__import__('os')"), "array x is damaged"),
    "a header without end": (
        b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + b"{" * 99,
        "array x is damaged",
    ),
    "no header": (b"\x93NUMPY", "array x is damaged"),
    "nothing": (b"", "array x is damaged"),
    "text": (b"1,2,3\n", "array x is damaged"),
    "objects": (
        member("(24, 3)", b"cos\nsystem\n", "'|O'"),
        "array x holds Python objects, which are never loaded",
    ),
}


@pytest.mark.parametrize("case", LIES)
def test_an_archive_that_lies_is_refused_before_it_is_unpacked(tmp_path, monkeypatch, case):
    def load(*_):
        pytest.fail("the array was unpacked")

    monkeypatch.setattr(npz._Archive, "_load", load)
    content, message = LIES[case]
    path = archive(tmp_path / "data.npz", x=content, y=GOOD)
    assert said(path) == [f"data.npz: {message}"]


def test_texts_that_are_no_characters_are_damage(tmp_path):
    texts = member("(24,)", b"\xff\xff\xff\x7f" * 24, "'<U1'")
    path = archive(tmp_path / "data.npz", x=member("(24, 3)", X.tobytes()), y=texts)
    (message,) = said(path)
    assert message.startswith("data.npz: ")
    assert "damaged" in message


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    """Some kilobytes that unpack to 200 MB, of which the header declares 600."""
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        with file.open("x.npy", "w") as stream:
            stream.write(member("(24, 3)", X.tobytes()))
            for _ in range(200):
                stream.write(bytes(1 << 20))
        file.writestr("y.npy", GOOD)
    assert path.stat().st_size < 1 << 20
    assert said(path) == ["data.npz: array x declares 576 bytes, but the archive holds 209,715,776"]


def test_a_wrong_size_in_the_directory_cuts_the_array_short(tmp_path):
    path = archive(tmp_path / "data.npz", x=member("(24, 3)", X.tobytes() * 2), y=GOOD)
    honest = len(member("(24, 3)", X.tobytes()))
    lie = path.read_bytes().replace(
        (honest + 576).to_bytes(4, "little"), honest.to_bytes(4, "little")
    )
    assert said(write(path, lie)) == ["data.npz: is damaged, or not an NPZ archive"]


def test_an_encrypted_array_is_refused(tmp_path):
    path = archive(tmp_path / "data.npz", x=member("(24, 3)", X.tobytes()), y=GOOD)
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\x01\x02")  # the directory's entry of x, with its flags
    content[place + 8] |= 1
    assert said(write(path, bytes(content))) == ["data.npz: array x is encrypted"]


def test_two_arrays_of_one_name_are_refused(tmp_path):
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x.npy", GOOD)
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.writestr("x.npy", GOOD)
    assert said(path) == ["data.npz: two arrays have the same name"]


def test_an_empty_archive_has_no_arrays(tmp_path):
    path = tmp_path / "data.npz"
    zipfile.ZipFile(path, "w").close()
    assert said(path) == [
        "data.npz: data.target: there is no array 'y'; the arrays are: none",
        "data.npz: there is no array 'x'; the arrays are: none",
    ]


@pytest.mark.parametrize("cut", [40, 300, -30, -1])
def test_an_archive_that_is_cut_off_is_damaged(save, cut):
    path = save(x=X, y=Y)
    assert said(write(path, path.read_bytes()[:cut])) == [
        "data.npz: is damaged, or not an NPZ archive"
    ]


@pytest.mark.parametrize("compressed", [False, True])
def test_damage_anywhere_raises_nothing_but_a_sentence(save, compressed):
    path = save(compressed, x=X, y=Y)
    whole = path.read_bytes()
    generator = random.Random(0)
    refusals = 0
    for _ in range(500):
        content = bytearray(whole)
        for _ in range(generator.randint(1, 4)):
            content[generator.randrange(len(content))] = generator.randrange(256)
        try:
            read_y(write(path, bytes(content)))
        except DataError:
            refusals += 1
    assert refusals > 400  # the checksums see nearly everything


class _Trap:
    """An object whose pickle makes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("name", ["x", "y", "feature_names", "who"])
def test_a_pickle_is_never_loaded(save, tmp_path, name):
    arrays = {"x": X, "y": Y, "feature_names": np.array(["a", "b", "c"]), "who": Y}
    trap = np.empty(arrays[name].shape, dtype=object)
    trap.flat[:] = [_Trap(tmp_path / "sprung")] * trap.size
    path = save(**{**arrays, name: trap})
    assert said(path, split={"method": "group", "group": "who"}) == [
        f"data.npz: array {name} holds Python objects, which are never loaded"
    ]
    assert not (tmp_path / "sprung").exists()
    with np.load(path, allow_pickle=True) as archive:
        assert archive[name].size
    assert (tmp_path / "sprung").exists()  # the trap does work
