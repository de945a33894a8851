"""Random tables: what init writes can be read and prepared, or it refuses with a clear error."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tunelab.datasets import prepare
from tunelab.errors import TunelabError
from tunelab.service.drafts import write_study_file, writing
from tunelab.spec.study_file import read_study_file

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
ODD = ["#", "a: b", "- x", "{y}", "no", "~", "1e3", "'", '"', "x\ny", "é\u2028z", "&a", "*a", "!t"]
CELLS = {
    "floats": st.floats(-1e6, 1e6).map(repr),
    "wild": st.floats(allow_nan=True, allow_infinity=True).map(repr),
    "small": st.integers(0, 4).map(str),
    "codes": st.integers(0, 30).map("{:03d}".format),
    "words": st.sampled_from(["red", "green", "blue", "Red ", "-"]),
    "texts": st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6),
    "dates": st.dates().map(str),
    "odd dates": st.dates().map(lambda day: day.strftime("%d.%m.%Y")),
    "constant": st.just("7"),
    "nothing": st.just(""),
}


@st.composite
def tables(draw):
    """Names and rows; the last column is the target."""
    n_rows = draw(st.integers(0, 60))
    names = draw(
        st.lists(st.one_of(NAMES, st.sampled_from(ODD)), min_size=2, max_size=5, unique=True)
    )
    columns = []
    for _ in names:
        cells = CELLS[draw(st.sampled_from(sorted(CELLS)))]
        if draw(st.booleans()):
            cells = st.one_of(cells, cells, cells, st.just(""))
        columns.append(draw(st.lists(cells, min_size=n_rows, max_size=n_rows)))
    return names, list(zip(*columns, strict=True))


# No study file could help against these. A lone name with a tab in it is two columns.
CAUSES = (
    "is empty", "has column names and no row", "at least 10 rows", "a table needs", "1 column",
    "no column is left", "two classes or more", " classes in ", "the only row of class",
    "rows do not suffice", "every row has the same value", "is no number", "without a name",
    "different numbers in", "lies too far from the training rows", "must be the column names",
    "must be a CSV file",
    "stands twice", "has no column", "must name a column",
)  # fmt: skip


def start(study: Path, settings=(), *, timed=False) -> None:
    """What ``study start`` does with a file and its data before there is a database."""
    document = read_study_file(study)
    prepared = prepare(document.spec.data, document.spec.task, study.parent / "cache")
    document.resolve(prepared.n_train)


@pytest.fixture(scope="module")
def quick():
    """The rehearsal without its database."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "rehearse", start)
        yield


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(tables())
@example((["#", "x: y"], [(str(k / 7), "ab"[k % 2]) for k in range(30)]))
@example((["a\n\x1b[2J", "\u202eb"], [(str(k / 7), "ab"[k % 2]) for k in range(30)]))
@example((["a, b", "c"], [(f"{k % 5}", "ab"[k % 2]) for k in range(30)]))
def test_what_is_written_can_be_started_or_is_refused_with_a_cause(quick, table):
    names, rows = table
    target = names[-1].strip()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "some data.csv"
        with data.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([names, *rows])
        refused = None
        try:
            written = write_study_file(data, [target])
        except TunelabError as error:
            refused = error
        if refused is not None:
            assert refused.exit_code == 2
            assert any(cause in refused.message for cause in CAUSES), refused.message
            assert not data.with_suffix(".yaml").exists()
            return
        text = written.path.read_text(encoding="utf-8")
        start(written.path)
        given = read_study_file(written.path).spec.data
        # Nothing of a name was lost or taken for YAML.
        assert given.target == (target,)
        assert {*given.drop, *given.categorical} <= {name.strip() for name in names}
        again = write_study_file(data, [target], force=True)
        assert again.path.read_text(encoding="utf-8") == text
        left = {item.name for item in data.parent.iterdir()}
        assert left == {"some data.csv", "some data.yaml", "cache"}
