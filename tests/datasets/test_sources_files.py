"""What may stand under a path besides a file of data, and how a changed file is noticed."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import pickle
import re
import sqlite3
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from tests.datasets.reading import HEADER, ROWS, described, read, refused, told, write
from tunelab.datasets import sources
from tunelab.datasets.sources import source_fingerprint
from tunelab.datasets.sources.files import content_of, opened, shown_path
from tunelab.errors import DataError, NotFoundError, StudyFileError
from tunelab.spec.study import StudySpec

TEXT = (HEADER + ROWS).encode()


def excel():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("[Content_Types].xml", "<xml/>")
        archive.writestr("xl/workbook.xml", "<xml/>")
    return stream.getvalue()


def zipped():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("people.csv", TEXT)
    return stream.getvalue()


def arrays():
    stream = io.BytesIO()
    np.savez(stream, x=np.zeros((3, 2)))
    return stream.getvalue()


def array():
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    return stream.getvalue()


CONTENTS = {
    "gzip": (gzip.compress(TEXT), "a gzip file", "unpack it with gunzip"),
    "bzip2": (bz2.compress(TEXT), "a bzip2 file", "unpack it with bunzip2"),
    "xz": (lzma.compress(TEXT), "an xz file", "unpack it with unxz"),
    "zip": (zipped(), "a zip archive", "unpack it"),
    "xlsx": (excel(), "an Excel workbook", "save the sheet as CSV"),
    "xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), "an Excel workbook", "save the shee"),
    "parquet": (b"PAR1" + bytes(99), "a Parquet file", "set data.source: parquet"),
    "npz": (arrays(), "an archive of NumPy arrays", "set data.source: npz"),
    "npy": (array(), "one NumPy array", "save x and y together with numpy.savez"),
    "pickle": (pickle.dumps({"x": [1.5]}), "a pickle, which may run code", "save the table as"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(99), "a picture", "give a table of numbers"),
    "database": (b"SQLite format 3\0" + bytes(99), "an SQLite database", "export the table"),
    "page": (b"\n<!DOCTYPE html><html>", "a web page", "download the file itself"),
    "json": (b'[\n{"age": 3}]', "text", None),
    "records": (b'{"age": 3}\n{"age": 4}\n', "JSON", "convert it to CSV"),
    "utf-16": (TEXT.decode().encode("utf-16"), "UTF-16 text", "save it as UTF-8"),
    "utf-16 big": (TEXT.decode().encode("utf-16-be"), "UTF-16 text", "save it as UTF-8"),
    "utf-16 little": (TEXT.decode().encode("utf-16-le"), "UTF-16 text", "save it as UTF-8"),
    "utf-32": (TEXT.decode().encode("utf-32"), "UTF-32 text", "save it as UTF-8"),
    "random": (bytes(range(256)) * 4, "binary data", "give a CSV, Parquet or NPZ file"),
    "zeros": (bytes(1000), "binary data", "give a CSV, Parquet or NPZ file"),
}
EXPECTED = {"csv": "a CSV file", "parquet": "a Parquet file", "npz": "an NPZ archive"}


@pytest.mark.parametrize("source", EXPECTED)
@pytest.mark.parametrize("kind", CONTENTS)
def test_a_file_of_another_kind_is_known_by_its_contents(tmp_path, source, kind):
    content, noun, hint = CONTENTS[kind]
    readable = content_of(content).source
    if readable == source:
        return
    (problem,) = refused(write(tmp_path / f"data.{source}", content))
    assert problem.message == f"must be {EXPECTED[source]}, got {noun}"
    assert problem.hint == "set data.source: csv" if hint is None else hint in problem.hint


def test_a_real_database_is_known(tmp_path):
    path = tmp_path / "data.csv"
    with sqlite3.connect(path) as connection:
        connection.execute("create table t (x)")
    connection.close()
    assert "got an SQLite database" in told(path)[0]


def test_a_folder_is_no_file(tmp_path):
    folder = tmp_path / "data.csv"
    folder.mkdir()
    (problem,) = refused(folder)
    assert (problem.message, problem.hint) == (
        "must be a file, got a folder",
        "name a file in it under data.path",
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    pipe = tmp_path / "data.csv"
    os.mkfifo(pipe)
    assert told(pipe) == ["data.csv: must be a regular file, got a pipe or device"]
    with pytest.raises(DataError, match="must be a regular file"):
        source_fingerprint(described(pipe))


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs devices")  # noqa: PTH110
@pytest.mark.parametrize("source", EXPECTED)
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_is_refused(tmp_path, device, source):
    link = tmp_path / f"data.{source}"
    link.symlink_to(device)
    assert told(link) == [f"data.{source}: must be a regular file, got a pipe or device"]


def test_a_file_that_is_not_there_is_not_found_and_a_neighbour_named(tmp_path):
    write(tmp_path / "people.csv", TEXT)
    for function in (lambda data: sources.read_source(data, "classification"), source_fingerprint):
        with pytest.raises(NotFoundError) as caught:
            function(described(tmp_path / "poeple.csv"))
        assert caught.value.message == f"data.path: there is no file '{tmp_path}/poeple.csv'"
        assert caught.value.hint == f"did you mean '{tmp_path}/people.csv'?"
        with pytest.raises(NotFoundError) as caught:
            function(described(tmp_path / "nowhere" / "people.csv"))
        assert caught.value.hint == f"there is no folder '{tmp_path}/nowhere' either"


@pytest.mark.parametrize(
    ("missing", "present", "meant"),
    [
        ("Data.csv", ["data.csv"], "data.csv"),
        ("data.csv", ["data.parquet", "data.yaml"], "data.parquet"),
        ("data.npz", ["data.csv", "data.npz.bak", "date.npz"], "data.csv"),
        ("people.csv", ["people.yaml"], None),
        ("no.npz", ["obj.npz"], None),
    ],
)
def test_only_a_file_of_data_with_almost_the_same_name_may_be_meant(
    tmp_path, monkeypatch, missing, present, meant
):
    monkeypatch.chdir(tmp_path)
    for name in present:
        write(tmp_path / name, TEXT)
    with pytest.raises(NotFoundError) as caught:
        read(tmp_path / missing)
    guess = "a path in a study file counts from the folder of that file"
    assert caught.value.hint == (f"did you mean {meant!r}?" if meant else guess)


def test_below_a_file_there_is_no_file(tmp_path):
    file = write(tmp_path / "people.csv", TEXT)
    with pytest.raises(NotFoundError):
        read(file / "inner.csv")


@pytest.mark.parametrize("name", ["x" * 300 + ".csv", "loop.csv"])
def test_what_the_system_refuses_is_one_sentence(tmp_path, name):
    path = tmp_path / name
    if name == "loop.csv":
        path.symlink_to(path)
    (line,) = told(path)
    assert re.fullmatch(rf"{name}: cannot be read: [a-z ]+", line)


def test_a_file_that_may_not_be_read_is_one_sentence(tmp_path, monkeypatch):
    def refuse(path, flags):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    path = write(tmp_path / "people.csv", TEXT)
    monkeypatch.setattr(os, "open", refuse)  # root may read everything
    assert told(path) == ["people.csv: cannot be read: permission denied"]


def test_a_path_inside_the_working_directory_is_shown_as_people_write_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shown_path(str(tmp_path / "data" / "people.csv")) == "data/people.csv"
    assert shown_path("/somewhere/else.csv") == "/somewhere/else.csv"


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path):
    path = write(tmp_path / "people.csv", TEXT)

    def read_while_it_grows():
        with opened(str(path), "csv") as file:
            write(path, TEXT + file.read(20))

    def read_while_it_is_written():
        with opened(str(path), "csv"):
            write(path, TEXT[:50])
            raise DataError("line 3 has 2 fields")  # a mistake, but not the person's

    for function in (read_while_it_grows, read_while_it_is_written):
        with pytest.raises(DataError, match="changed while it was read") as caught:
            function()
        assert caught.value.hint == "start again when it is complete"


_FINGERPRINT = """
import sys
from tunelab.datasets.sources import source_fingerprint
from tunelab.spec.study import DataSpec

opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
source_fingerprint(DataSpec.model_validate_json(sys.argv[1]))
assert sys.argv[2] not in opened
assert not {"pyarrow", "pandas", "sklearn", "scipy"} & set(sys.modules)
"""


@pytest.mark.parametrize("source", EXPECTED)
def test_a_fingerprint_is_found_without_reading_or_loading_anything(tmp_path, source):
    path = write(tmp_path / f"data.{source}", TEXT)  # not even of this kind
    described_as = described(path).model_dump_json()
    subprocess.run([sys.executable, "-c", _FINGERPRINT, described_as, str(path)], check=True)


def test_a_fingerprint_changes_with_the_file_and_not_with_its_folders_name(tmp_path):
    folder = tmp_path / "first"
    folder.mkdir()
    path = write(folder / "people.csv", TEXT)
    first = source_fingerprint(described(path))
    assert source_fingerprint(described(path)) == first
    moved = folder.rename(tmp_path / "second") / "people.csv"
    assert source_fingerprint(described(moved)) == first

    with moved.open("r+b") as file:  # the same size, and the old time of modification
        status = os.fstat(file.fileno())
        file.write(b"Age")
        file.flush()
        os.utime(moved, ns=(status.st_atime_ns, status.st_mtime_ns))
    second = source_fingerprint(described(moved))
    assert second != first
    moved.rename(tmp_path / "old.csv")
    write(moved, TEXT)
    os.utime(moved, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert source_fingerprint(described(moved)) not in {first, second}


def test_a_path_of_a_study_file_that_cannot_be_one_is_no_riddle():
    given = {"source": "csv", "path": "a\0b", "target": "y"}
    with pytest.raises(StudyFileError, match=r"data\.path: must be printable text"):
        StudySpec.from_mapping({"name": "s", "task": "regression", "data": given})
