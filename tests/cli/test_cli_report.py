"""``tunelab study report``: where the file goes, and what is said when it cannot."""

from __future__ import annotations

import json


def test_the_file_is_named_after_the_study_unless_told(call, digits, home):
    assert call("study", "report", "digits", "--light").out == "digits-report.html\n"
    assert call("study", "report", "digits#1", "--light").out == "digits-1-report.html\n"
    assert call("study", "report", "digits", "--light", "-o", "a.html").out == "a.html\n"
    pages = {path.name: path.read_text(encoding="utf-8") for path in home.glob("*.html")}
    assert set(pages) == {"digits-report.html", "digits-1-report.html", "a.html"}
    assert all("<h1>digits #1</h1>" in page for page in pages.values())
    assert all("The study is stopped: 5 of 6 trials have ended" in page for page in pages.values())


def test_an_unknown_study_is_not_found_and_leaves_no_file(call, digits, home):
    refused = call("study", "report", "digit")
    assert (refused.code, refused.err.splitlines()[0]) == (
        3, "error: no study 'digit'; there are: digits",
    )  # fmt: skip
    assert not list(home.glob("*.html"))


def test_a_folder_that_does_not_exist_is_named(call, digits):
    refused = call("study", "report", "digits", "-o", "none/a.html")
    assert (refused.code, refused.err.splitlines()[0]) == (
        2, "error: --output: there is no folder 'none'",
    )  # fmt: skip


def test_reporting_changes_nothing(call, digits, home):
    before = json.loads(call("study", "show", "digits", "--json").out)
    call("study", "report", "digits", "--light")
    assert json.loads(call("study", "show", "digits", "--json").out) == before
