"""Drafts of study files: what becomes of each column, why, and how the file gets there."""

from __future__ import annotations

import errno
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tunelab.errors import (
    DataError,
    DiskError,
    MissingDataFileError,
    NotFoundError,
    UsageError,
)
from tunelab.service.drafts import list_columns, write_study_file, writing
from tunelab.spec.study_file import read_study_file

N = 60
BASE = {"x": [f"{k * 37 % 61 / 7:.3f}" for k in range(N)], "y": ["no", "yes"] * (N // 2)}


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Write a table of a number x and a class y, with changes; nothing is rehearsed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(writing, "rehearse", lambda *_, **__: None)

    def write(mark=",", **columns):
        of_table = {**BASE, **columns}
        lines = [of_table, *zip(*of_table.values(), strict=True)]
        path = tmp_path / "people.csv"
        path.write_text("".join(mark.join(map(str, line)) + "\n" for line in lines))
        return path

    return write


def drafted(path, target="y", **options):
    """The draft, and the text that was written."""
    targets = [target] if isinstance(target, str) else target
    written = write_study_file(path, targets, force=True, **options)
    return written.draft, written.path.read_text()


def part(path, name, **options):
    """The part of a column and the reason."""
    draft, _ = drafted(path, **options)
    (role,) = [role for role in draft.roles if role.name == name]
    return role.part, role.reason


@pytest.mark.parametrize(
    ("values", "asked", "task"),
    [
        (["no", "yes"] * 30, None, "classification"),
        ([0, 1] * 30, None, "classification"),
        ([3, 5, 8] * 20, None, "classification"),
        ([3, 5, 8] * 20, "regression", "regression"),
        ([3, 5, 8, 9] * 14 + [3, 3, 5, 77], None, "regression"),  # one row cannot be a class
        ([0.5, 1.5, 2.5] * 20, None, "regression"),
        ([k * k for k in range(60)], None, "regression"),
    ],
)
def test_words_and_few_whole_numbers_are_classes(table, values, asked, task):
    draft, _ = drafted(table(y=values), task=asked)
    assert draft.task.value == task


@pytest.mark.parametrize(
    ("name", "values", "expected", "why"),
    [
        ("key", [f"k{k}" for k in range(N)], "drop", "names the row"),
        ("n", range(100, 100 + N), "drop", "counts the rows"),
        ("user_id", [k * 7919 % 100_003 for k in range(N)], "drop", "names the row"),
        ("income", [k * 7919 % 100_003 for k in range(N)], "feature", ""),
        ("unit", ["kg"] * N, "drop", "the same value"),
        ("empty", [""] * N, "drop", "empty"),
        ("rare", ["1.5", "2.5"] + [""] * (N - 2), "drop", "too little"),
        ("area_code", [10, 20, 30, 40] * 15, "categorical", "by its name"),
        ("area", ["010", "020", "030"] * 20, "categorical", "begin with a zero"),
        ("zip", range(10_000, 10_000 + 3 * N, 3), "drop", "names the row"),
        ("rooms", [1, 2, 3, 4] * 15, "feature", ""),
        ("colour", ["red", "green", "blue"] * 20, "feature", ""),
        ("day", [f"2030-01-{1 + k % 28:02d}" for k in range(N)], "drop", "dates"),
        ("day", [f"{1 + k % 28:02d}.01.2030" for k in range(N)], "drop", "not as 2030-01-31"),
        ("comment", [f"text {k // 2 * 2 if k < 8 else k}" for k in range(N)], "drop", "free text"),
    ],
)
def test_each_column_gets_the_part_that_its_values_suggest(table, name, values, expected, why):
    given, reason = part(table(**{name: values}), name)
    assert (given, why in reason) == (expected, True)


def test_a_column_of_very_many_categories_is_dropped(table):
    values = [f"w{k * 7 % 29 if k % 2 else k % 29}" for k in range(N)]
    assert part(table(word=values), "word")[0] == "feature"  # 29 of 60 rows: as many as may be
    assert part(table(word=[f"w{k % 31}" for k in range(N)]), "word")[0] == "drop"


def test_dates_and_groups_are_offered_as_splits_that_can_be_used_as_they_stand(table, tmp_path):
    day = [f"2030-01-{1 + k % 28:02d}" for k in range(N)]
    path = table(day=day, patient=[f"p{k % 15}" for k in range(N)])
    _, text = drafted(path)
    for method in ("time, time: day", "group, group: patient", "hash"):
        (line,) = [line for line in text.splitlines() if "# split: {" in line and method in line]
        used = "".join(
            f"  {line.strip(' #')}\n" if given == line else f"{given}\n"
            for given in text.splitlines()
            if not given.startswith("  split:")
        )
        other = tmp_path / "other.yaml"
        other.write_text(used)
        assert read_study_file(other).spec.data.split.method == method.split(",")[0]


@pytest.mark.parametrize(
    ("leak", "task", "how"),
    [
        (["a", "b"] * 30, None, "says the same as"),
        ([k % 2 + 2 * (k % 3) for k in range(N)], None, "determines"),
        ([k % 2 * 100 + k / 7 for k in range(N)], None, "separates all classes"),
    ],
)
def test_what_gives_the_target_away_is_named_and_stays(table, leak, task, how):
    draft, text = drafted(table(leak=leak), task=task)
    assert any(how in note and note.startswith("leak ") for note in draft.notes)
    assert [role.part for role in draft.roles if role.name == "leak"] == ["feature"]
    assert "# - leak " in text


@pytest.mark.parametrize(("factor", "how"), [(1, "equals"), (2.54, "is a multiple of")])
def test_a_number_that_gives_another_away_is_named(table, factor, how):
    y = [k * 37 % 61 + 0.5 for k in range(N)]
    draft, _ = drafted(table(y=y, x=[k % 17 for k in range(N)], leak=[factor * v for v in y]))
    assert [note for note in draft.notes if how in note]


def test_chance_gives_nothing_away(table):
    noise = [k * 7919 % 10_007 / 3 for k in range(N)]
    assert drafted(table(noise=noise, word=["a", "b", "c", "a", "c"] * 12))[0].notes == ()


@pytest.mark.parametrize(
    ("n_gaps", "gaps_in_y", "policy"),
    [(0, 0, "error"), (2, 0, "drop"), (20, 0, "impute"), (0, 3, "drop"), (2, 3, "drop")],
)
def test_missing_values_are_left_out_while_they_are_few(table, n_gaps, gaps_in_y, policy):
    x = ["" if k < n_gaps else value for k, value in enumerate(BASE["x"])]
    y = ["" if k < gaps_in_y else value for k, value in enumerate(BASE["y"])]
    draft, text = drafted(table(x=x, y=y))
    assert draft.missing.value == policy
    assert ("x 20" in text) == (n_gaps == 20)


def test_rows_without_target_do_not_take_half_of_the_others_along(table):
    gappy = ["" if k % 2 else k * 1.5 for k in range(N)]
    path = table(gappy=gappy, y=["", *BASE["y"][1:]])
    assert part(path, "gappy")[0] == "drop"
    draft, _ = drafted(path)
    assert draft.missing.value == "drop"


def test_uneven_classes_get_a_metric_and_weights_that_count_each_alike(table):
    draft, text = drafted(table(y=["no"] * 50 + ["yes"] * 10))
    assert draft.metric.value == "balanced_accuracy"
    assert draft.space["class_weight"].value == ["none", "balanced"]
    assert "no has 50 rows and yes 10: 83% are right by always saying no" in text
    even, _ = drafted(table())
    assert even.metric.value == "validation_loss"
    assert "class_weight" not in even.space
    three, _ = drafted(table(y=["a"] * 40 + ["b"] * 10 + ["c"] * 10))
    assert three.metric.value == "f1_macro"


def test_several_targets_are_a_regression(table):
    path = table(y=[k * 1.5 for k in range(N)], z=[k * k % 47 for k in range(N)])
    for target in (["y", "z"], ["y,z"], ["y, z"]):
        draft, _ = drafted(path, target)
        assert (draft.targets, draft.task.value) == (("y", "z"), "regression")
        assert draft.metric.value == "validation_loss"
    with pytest.raises(UsageError, match="several targets must be numbers"):
        drafted(table(), ["x", "y"])


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_another_delimiter_is_found_and_written(table, mark):
    draft, _ = drafted(table(mark))
    assert draft.delimiter == mark
    assert read_study_file("people.yaml").spec.data.delimiter == mark


def test_a_comma_within_a_field_does_not_hide_the_delimiter(table):
    draft, _ = drafted(table(";", who=[f"Mole, A{k % 5}" for k in range(N)]))
    assert draft.delimiter == ";"


def test_few_rows_get_more_validation_and_small_batches(table):
    draft, _ = drafted(table())
    # 60 rows, half of them for training, less one a class: a tenth is 2.
    assert draft.split.value["validation"] == 0.3
    assert draft.space["batch_size"].value == 2
    assert draft.preset.value == "careful"


def test_a_parquet_file_of_dates_and_nested_values(table, tmp_path):
    import datetime as dt

    columns = {
        "x": [k * 37 % 61 / 7 for k in range(N)],
        "flag": [True, False, True] * 20,
        "when": [dt.date(2030, 1, 1 + k % 28) for k in range(N)],
        "list": [[k] for k in range(N)],
        "y": BASE["y"],
    }
    path = tmp_path / "people.parquet"
    pq.write_table(pa.table(columns), path)
    draft, text = drafted(path)
    assert draft.source == "parquet"
    assert [role.name for role in draft.columns("drop")] == ["when", "list"]
    assert "method: time, time: when" in text


def test_of_very_many_useless_columns_the_few_others_are_listed(table):
    useless = {f"c{k}": ["same"] * N for k in range(1001)}
    draft, text = drafted(table(**useless))
    given = read_study_file("people.yaml").spec.data
    assert (given.drop, given.keep) == ((), ("x",))
    assert len(draft.columns("drop")) == 1001
    assert "(1,001 columns)" in " ".join(text.split())


def test_names_that_are_yaml_come_back_as_they_are(table):
    names = ["#", "a: b", "no", "- x", "1e3", "'", "{z}", "é ü", "&a", "*b", "!t", "%d", "`"]
    path = table(**{name: ["same"] * N for name in names})
    drafted(path)
    assert list(read_study_file("people.yaml").spec.data.drop) == names


def test_a_comment_stays_one_whatever_the_names_in_it(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "rehearse", lambda *_, **__: None)
    monkeypatch.chdir(tmp_path)
    name = "a\nname: evil\x1b[2J\u2028\u202e"
    columns = {name: ["1", "2", "3", ""] * 15, "y": ["n\nmetric: x", "m"] * 30}
    pq.write_table(pa.table(columns), "people.parquet")
    _, text = drafted(tmp_path / "people.parquet")
    assert text.isascii() or text.replace("\n", "").isprintable()
    assert read_study_file("people.yaml").spec.name == "people"


def test_the_path_counts_from_the_study_file(table, tmp_path):
    (tmp_path / "studies").mkdir()
    write_study_file(table(), ["y"], output=tmp_path / "studies" / "a.yaml")
    assert "path: ../people.csv" in (tmp_path / "studies" / "a.yaml").read_text().replace('"', "")
    (tmp_path / "linked").symlink_to(tmp_path / "studies", target_is_directory=True)
    write_study_file(table(), ["y"], output=tmp_path / "linked" / "b.yaml")
    spec = read_study_file(tmp_path / "linked" / "b.yaml").spec
    assert (tmp_path / "people.csv").samefile(spec.data.path)


def test_nothing_is_replaced_unless_it_is_asked_for(table, tmp_path):
    path = table()
    (tmp_path / "people.yaml").write_text("mine")
    with pytest.raises(UsageError, match="exists already") as refused:
        write_study_file(path, ["y"])
    assert "--force" in (refused.value.hint or "")
    assert (tmp_path / "people.yaml").read_text() == "mine"
    with pytest.raises(UsageError, match="the file of data itself"):
        write_study_file(path, ["y"], output=path, force=True)
    with pytest.raises(UsageError, match="got the folder"):
        write_study_file(path, ["y"], output=tmp_path, force=True)
    with pytest.raises(NotFoundError, match="there is no folder"):
        write_study_file(path, ["y"], output=tmp_path / "none" / "a.yaml")


def test_a_file_that_appears_in_the_meantime_is_not_replaced(table, tmp_path, monkeypatch):
    path = table()
    mine = tmp_path / "people.yaml"
    monkeypatch.setattr(writing, "rehearse", lambda *_, **__: mine.write_text("mine"))
    with pytest.raises(UsageError, match="exists already"):
        write_study_file(path, ["y"])
    assert mine.read_text() == "mine"
    assert {item.name for item in tmp_path.iterdir()} == {"people.csv", "people.yaml"}


def test_a_full_disk_leaves_what_was_there(table, tmp_path, monkeypatch):
    path = table()
    drafted(path)
    before = (tmp_path / "people.yaml").read_text()

    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskError, match="No space left") as refused:
        write_study_file(path, ["y"], task="classification", force=True)
    assert refused.value.exit_code == 4
    assert (tmp_path / "people.yaml").read_text() == before
    assert {item.name for item in tmp_path.iterdir()} == {"people.csv", "people.yaml"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("x,y\n", "no row"),
        ("y\n1\n2\n", "1 column"),
        ("x,y\n" + "1,\n" * 12, "the target y is empty"),
        ("x,y\n" + "1,a\n2,b\n" * 2, "10 rows"),
        ("x,y\n1,a\n1,2,3\n", "3 fields, expected 2"),
        ("x,y\n" + "a" * 99 + "\x00,b\n", "NUL"),
        ("x,y\n" + "7,a\n7,b\n" * 9, "no column is left"),
    ],
)
def test_what_no_study_could_use_is_refused(tmp_path, monkeypatch, content, message):
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        write_study_file(path, ["y"])
    assert [item.name for item in tmp_path.iterdir()] == ["a.csv"]


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"x,y\n" + "ä,1\n".encode("latin-1") * 12)
    with pytest.raises(DataError, match="UTF-8"):
        write_study_file(tmp_path / "a.csv", ["y"])


def test_one_class_and_other_flaws_are_told_in_the_words_of_the_command(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x,y\n" + "".join(f"{k / 7},a\n" for k in range(20)))
    with pytest.raises(DataError, match="--target: needs two classes"):
        write_study_file(path, ["y"])
    path.write_text("x,z,y\n" + "".join(f'{k / 7},"{k},5",{"ab"[k % 2]}\n' for k in range(20)))
    with pytest.raises(DataError, match="is no number: it has a decimal comma"):
        write_study_file(path, ["y"])
    write_study_file(path, ["y"], drop=["z"])
    assert read_study_file(tmp_path / "a.yaml").spec.data.drop == ("z",)


def test_names_that_are_not_there_get_the_nearest(table):
    with pytest.raises(UsageError, match="has no column 'yy'") as refused:
        drafted(table(), "yy")
    assert refused.value.hint == "did you mean 'y'?"
    with pytest.raises(UsageError, match="--drop"):
        drafted(table(), drop=["w"])
    with pytest.raises(MissingDataFileError, match="--data: there is no file") as missing:
        drafted(table().with_name("poeple.csv"))
    assert "people.csv" in (missing.value.hint or "")


def test_without_a_target_the_columns_are_listed_with_a_guess(table):
    error = list_columns(table(z=[1, 2] * 30))
    assert "x  numbers, " in error.message
    assert "--target y" in (error.hint or "")  # a likely name; else it would be the last column
    assert error.exit_code == 2
