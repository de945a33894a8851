"""A folder is published whole or not at all, whatever dies on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from tunelab.datasets.store import STALE_SECONDS, publish, remove_stale

FILES = {
    "a.txt": lambda stream: stream.write(b"a"),
    "inner/b.txt": lambda stream: stream.write(b"b"),
    "meta.txt": lambda stream: stream.write(b"meta"),
}

# Publishes FILES and dies by SIGKILL at the given call of the given function.
_KILLED = """
import os, signal, sys
from pathlib import Path
from tunelab.datasets import store

target, function, calls = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
original = getattr(store, function, None) or getattr(Path, function)

def counted(*args, **kwargs):
    global calls
    calls -= 1
    if calls < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*args, **kwargs)

setattr(store if hasattr(store, function) else Path, function, counted)
files = {name: (lambda stream, text=name[-5:-4]: stream.write(text.encode()))
         for name in ("a.txt", "inner/b.txt", "meta.txt")}
store.publish(target, files, is_whole=lambda: (target / "meta.txt").exists())
"""


def publish_and_die(folder, function, calls):
    result = subprocess.run(
        [sys.executable, "-c", _KILLED, str(folder), function, str(calls)], check=False
    )
    assert result.returncode == -signal.SIGKILL


def is_whole(folder):
    return (folder / "meta.txt").exists()


def publish_files(folder):
    publish(folder, FILES, is_whole=lambda: is_whole(folder))


def contents(folder):
    return {
        str(file.relative_to(folder)): file.read_text()
        for file in folder.rglob("*")
        if file.is_file()
    }


WHOLE = {"a.txt": "a", "inner/b.txt": "b", "meta.txt": "meta"}


def test_files_appear_under_their_names(tmp_path):
    publish_files(tmp_path / "cache" / "key")
    assert contents(tmp_path / "cache") == {f"key/{name}": text for name, text in WHOLE.items()}


@pytest.mark.parametrize(
    ("function", "calls"), [("_write_file", 0), ("_write_file", 2), ("_sync_folder", 0)]
)
def test_a_kill_before_the_rename_leaves_only_a_temporary_folder(tmp_path, function, calls):
    folder = tmp_path / "key"
    publish_and_die(folder, function, calls)
    assert not folder.exists()
    [leftover] = tmp_path.iterdir()

    publish_files(folder)
    assert contents(folder) == WHOLE
    remove_stale(tmp_path)
    assert leftover.exists()  # young: its owner may be at work

    old = time.time() - STALE_SECONDS - 1
    os.utime(leftover, (old, old))
    remove_stale(tmp_path)
    assert list(tmp_path.iterdir()) == [folder]


def test_a_kill_after_the_rename_leaves_a_whole_folder(tmp_path):
    publish_and_die(tmp_path / "key", "_sync_folder", 2)  # two folders before it, the parent last
    assert is_whole(tmp_path / "key")
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("calls", [0, 1, 2])
def test_a_kill_in_mid_repair_can_be_repaired(tmp_path, calls):
    """``meta.txt``, by which readers know the folder, is the last file to be put back."""
    folder = tmp_path / "key"
    publish_files(folder)
    (folder / "meta.txt").unlink()
    (folder / "a.txt").write_text("damaged")
    publish_and_die(folder, "replace", calls)
    assert not is_whole(folder)
    publish_files(folder)
    assert contents(folder) == WHOLE


def test_a_faster_process_wins(tmp_path):
    folder = tmp_path / "key"

    def write_while_another_finishes(stream):
        stream.write(b"slow")
        folder.mkdir()
        (folder / "meta.txt").write_text("fast")

    publish(folder, {"meta.txt": write_while_another_finishes}, is_whole=lambda: is_whole(folder))
    assert contents(folder) == {"meta.txt": "fast"}
    assert list(tmp_path.iterdir()) == [folder]


def test_an_error_while_writing_leaves_nothing(tmp_path):
    def full(stream):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        publish(tmp_path / "key", {"a.txt": full}, is_whole=lambda: False)
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_does_not_exist_has_nothing_stale(tmp_path):
    remove_stale(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []
