"""``tunelab model``: from the study database alone, for rows and names that others wrote."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.service.champions import Place, make_spec, network, write_rows
from tunelab.datasets import cache
from tunelab.datasets.cache import open_sealed
from tunelab.execution.backends import NumpyBackend
from tunelab.service.champion import decide_champion
from tunelab.service.models import find_model
from tunelab.service.open_test import open_test
from tunelab.storage.schema import open_database


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows")
    write_rows(path / "rows.csv", 500)
    return path


@pytest.fixture
def place(home, sqlite_url, rows):
    """Two generations: the second has taken the title."""
    database = open_database(sqlite_url)
    place = Place(database, rows)
    for n_epochs in (1, 15):
        study = place.confirmed(make_spec(rows / "rows.csv"), n_epochs=n_epochs)
        open_test(database, study.id)
        decide_champion(database, study.id)
        place.finish(study)
    yield place
    database.close()


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_list_shows_who_is_champion_and_why(call, place):
    lines = call("model", "list").out.splitlines()
    head, second, first = (line.split("\t") for line in lines)
    assert head == ["model", "title", "trial", "metric", "test", "rows", "made", "why"]
    assert second[:4] == ["leaving #2", "champion", "0", "validation_loss"]
    assert second[-1].startswith("Champion: better than leaving #1 beyond chance: ")
    assert first[:2] == ["leaving #1", "-"]
    document = json.loads(call("model", "list", "leaving", "--json").out)
    assert [(one["generation"], one["title"]) for one in document["models"]] == [
        (2, "champion"),
        (1, None),
    ]
    assert document["models"][0]["gate"]["outcome"] == "champion"
    assert [reign["chosen_by"] for reign in document["models"][1]["reigns"]] == ["gate"]
    assert "\nmodel   Champion: " in call("study", "show", "leaving").out
    assert json.loads(call("study", "show", "leaving", "--json").out)["gate"]["against"] == 1


def test_show_says_what_to_do_with_the_model(call, place):
    def following(name):
        return call("study", "show", name).out.splitlines()[-1]

    assert "tunelab model predict leaving DATA.csv" in following("leaving")
    assert "tunelab model promote leaving 1" in following("leaving#1")
    call("model", "promote", "leaving", "1")  # whatever the gate has decided
    assert "tunelab model predict leaving DATA.csv" in following("leaving#1")
    assert "tunelab model promote leaving 2" in following("leaving")


def test_promote_by_hand_keeps_the_reason(call, place):
    ended = call("model", "promote", "leaving", "1", "--reason", "older\x1b[31m, and known")
    assert ended.code == 0
    assert "leaving #1 is the champion; `tunelab tracking sync leaving#1` moves" in ended.err
    listed = call("model", "list").out
    assert "leaving #1\tchampion\t" in listed
    assert "leaving #2\tchallenger\t" in listed
    assert r"chosen by hand: older\x1b[31m, and known" in listed
    again = call("model", "promote", "leaving", "1")
    assert (again.code, again.err) == (2, "error: leaving #1 is the champion already\n")


def test_predict_writes_what_the_network_says_of_the_rows_in_their_order(call, place, home):
    data = place.prepare(make_spec(place.folder / "rows.csv"))
    lines = (place.folder / "rows.csv").read_text().splitlines()
    ended = call("model", "predict", "leaving", str(place.folder / "rows.csv"), "-o", "out.csv")
    assert (ended.code, ended.err) == (0, "500 rows predicted by leaving #2: out.csv\n")
    predicted = read((home / "out.csv").read_bytes().decode())
    assert len(predicted) == len(lines) - 1
    assert list(predicted[0]) == ["label", "probability_-1", "probability_no"]
    # The same rows as prepared for training, by the engine itself.
    sealed = open_sealed(data)
    expected = NumpyBackend().predict(*network(data.path, 15, 1), cache.test_data(data, sealed))
    place_of = {tuple(line.split(",")[:3]): at for at, line in enumerate(lines[1:])}
    keys = zip(*(column.values for column in sealed.columns), strict=True)
    for (size, color, weight), probabilities in zip(keys, expected, strict=True):
        shown = "" if np.isnan(weight) else f"{weight:.4f}"
        row = predicted[place_of[f"{size:.4f}", color, shown]]
        assert float(row["probability_-1"]) == pytest.approx(probabilities[0], abs=1e-6)
        assert float(row["probability_no"]) == pytest.approx(probabilities[1], abs=1e-6)
        assert row["label"] == ("-1", "no")[int(np.argmax(probabilities))]
    kept = (home / "out.csv").read_bytes()
    again = call("model", "predict", "leaving", str(place.folder / "rows.csv"), "-o", "out.csv")
    assert again.code == 2
    assert "out.csv exists already" in again.err
    assert (home / "out.csv").read_bytes() == kept


def test_predict_finds_columns_in_any_order_and_takes_other_delimiters(call, place, home):
    (home / "new.csv").write_text('color;note;weight;size\n"=red";"a;b";;1.5\nblue;x;5;-2\n')
    first = call("model", "predict", "leaving", "new.csv")
    assert first.code == 0
    (home / "same.csv").write_text("size,color,weight\n1.5,=red,NA\n-2,blue,5\n")
    assert call("model", "predict", "leaving", "same.csv").out == first.out
    older = call("model", "predict", "leaving", "new.csv", "--generation", "1")
    assert older.out == call("model", "predict", "leaving#1", "new.csv").out != first.out


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (
            "size,color,weight\n1,blue,2\nx,blue,3\n",
            ["error: new.csv:3:1: line 3, column size: 'x' is no number"],
        ),
        (
            "size,color,weight\n,blue,2\n1,,2\n1e60,blue,inf\n",
            [
                "error: new.csv:2:1: line 2, column size: the value is missing",
                "  hint: complete the data: no training row lacked it, so nothing can stand in",
                "line 4, column size: 1e+60 is too large",
                "line 3, column color: the value is missing",
            ],
        ),
        ("size,colour,weight\n1,blue,2\n", ["there is no column color", "colour meant? rename"]),
        ("size,color,weight\n1,blue\n", ["line 2 has 2 fields, expected 3"]),
        ("PAR1xxxx", ["must be a CSV file, got a Parquet file", "hint: convert it to CSV"]),
        ("", ["is empty"]),
    ],
)
def test_predict_names_what_is_wrong_by_line_and_column(call, place, home, text, messages):
    study = place.confirmed(make_spec(place.folder / "rows.csv", data={"missing": "drop"}))
    decide_champion(place.database, study.id)
    (home / "new.csv").write_text(text)
    ended = call("model", "predict", "leaving#3", "new.csv", "-o", "out.csv")
    assert (ended.code, ended.out) == (2, "")
    for message in messages:
        assert message in ended.err
    assert "Traceback" not in ended.err
    assert not (home / "out.csv").exists()


def test_predict_of_no_rows_gives_the_head_alone(call, place, home):
    (home / "new.csv").write_text("size,color,weight\n")
    ended = call("model", "predict", "leaving", "new.csv")
    assert (ended.code, ended.out) == (0, "label,probability_-1,probability_no\n")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("predict", "leaving", "none.csv"), 3, "there is no file 'none.csv'"),
        (("predict", "living", "x.csv"), 3, "did you mean 'leaving'?"),
        (("predict", "leaving", "x.csv", "--generation", "7"), 3, "no study 'leaving#7'"),
        (("predict", "leaving#1", "x.csv", "--generation", "2"), 2, "names a generation, and so"),
        (("promote", "leaving", "0"), 2, "from 1 to"),
        (("export", "leaving", "."), 2, "exists already"),
        (("list", "living"), 3, "no study 'living'"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(call, place, words, code, message):
    ended = call("model", *words)
    assert ended.code == code
    assert message in ended.err
    assert "Traceback" not in ended.err


def test_a_study_without_a_model_and_one_that_is_damaged_say_so(call, place):
    study = place.confirmed(make_spec(place.folder / "rows.csv"))
    ended = call("model", "promote", "leaving", "3")
    assert ended.code == 3
    assert "leaving #3 has no model" in ended.err
    assert f"`tunelab study confirm {study.reference}` confirms one" in ended.err
    with place.database.write() as connection:
        connection.exec_driver_sql("UPDATE models SET arrays = substr(arrays, 1, 100)")
    ended = call("model", "export", "leaving", "folder")
    assert ended.code == 1
    assert "error: leaving #2: the model cannot be read: " in ended.err
    assert not Path("folder").exists()


def test_export_is_usable_with_numpy_alone(call, place, home):
    ended = call("model", "export", "leaving", "carried/away")
    assert ended.code == 0
    folder = home / "carried" / "away"
    names = {"README.md", "model.json", "tunelab_model.py", "weights.npz"}
    assert {path.name for path in folder.iterdir()} == names
    assert list((home / "carried").iterdir()) == [folder]
    columns = {"size": [1.5, -2.0], "color": ["=red", "blue"], "weight": [None, 5.0]}
    script = (
        "import json, sys; from tunelab_model import load\n"
        "given = load('.').predict(json.loads(sys.argv[1]))['probability_no']\n"
        "assert 'tunelab' not in sys.modules\n"
        "print(json.dumps(given.tolist()))"
    )
    command = [sys.executable, "-c", script, json.dumps(columns)]
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    _, _, model = find_model(place.database, "leaving", None)
    expected = model.predict(columns)["probability_no"]
    np.testing.assert_allclose(json.loads(answer.stdout), expected, atol=1e-6)
    assert call("model", "export", "leaving", "carried/away").code == 2


def test_labels_that_a_spreadsheet_would_compute_are_texts_and_numbers_stay_numbers(call, home):
    from tunelab.service.models import predict_file

    class Oracle:
        def __init__(self):
            self.document = {"inputs": [{"name": "a", "mean": 0.0, "scale": 1.0, "fill": None}]}

        def predict(self, columns):
            labels = ["=cmd()", "-1", "1.5", "+x", "0"]
            return {"label": np.array(labels, object), "probability_=x": np.arange(5) / 8}

    (home / "new.csv").write_text("a,b\n" + "1,2\n" * 5)
    text, _ = predict_file(Oracle(), "new.csv")
    assert text.splitlines() == [
        "label,probability_=x", "'=cmd(),0.0", "-1,0.125", "1.5,0.25", "'+x,0.375", "0,0.5",
    ]  # fmt: skip
