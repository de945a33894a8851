"""The section ``sweep``: what it means, what is refused, and what it changes elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tunelab.errors import StudyFileError
from tunelab.spec.study import StudySpec, SweepSpec, differences
from tunelab.spec.study_file import read_study_file, resolved_yaml

HEAD = "name: s\ntask: classification\ndata: {source: sklearn, name: digits}\n"


def read(tmp_path, sweep, head=HEAD):
    path = tmp_path / "study.yaml"
    path.write_text(f"{head}sweep: {sweep}\n", encoding="utf-8")
    return read_study_file(path)


def test_an_expression_alone_is_a_sweep_and_the_rest_has_defaults(tmp_path):
    sweep = read(tmp_path, '{cron: "0 2 * * *"}').spec.sweep
    assert sweep == SweepSpec(cron="0 2 * * *")
    assert (sweep.timezone, sweep.catchup, sweep.overlap) == ("UTC", "latest", "skip")
    assert (sweep.grace_seconds, sweep.enabled, sweep.start_from_best) == (86400, True, 3)
    assert sweep.notify is None


def test_what_a_sweep_says_is_written_to_the_resolved_file_and_read_back(tmp_path):
    text = (
        '{cron: "*/15 8-17 * * MON-FRI", timezone: Europe/Berlin, catchup: all, overlap: queue, '
        'grace: 1h30m, enabled: off, start_from_best: 0, notify: "https://example.org/hook"}'
    )
    spec = read(tmp_path, text).spec.resolve(n_train=1000)
    assert spec.sweep.to_mapping() == {
        "cron": "*/15 8-17 * * MON-FRI",
        "timezone": "Europe/Berlin",
        "catchup": "all",
        "overlap": "queue",
        "grace": 5400.0,
        "enabled": False,
        "start_from_best": 0,
        "notify": "https://example.org/hook",
    }
    (tmp_path / "study.yaml").write_text(resolved_yaml(spec), encoding="utf-8")
    assert read_study_file(tmp_path / "study.yaml").spec == spec


FIELDS = "must be five fields: minute hour day month weekday; got "

# (section, column in line 4, key, message, part of the hint)
MISTAKES = [
    ('{cron: "61 2 * * *"}', 15, "cron", "the minute must be from 0 to 59, got '61'", None),
    ('{cron: "0 2-25 * * *"}', 15, "cron", "the hour must be from 0 to 23, got '2-25'", None),
    ('{cron: "0 2 32 * *"}', 15, "cron", "the day of the month must be from 1 to 31", None),
    ('{cron: "0 2 * JANUARY *"}', 15, "cron", "the month must be from 1 to 12, or JAN to", None),
    ('{cron: "0 2 * * 8"}', 15, "cron", "the day of the week must be from 0 (Sunday) to", None),
    ('{cron: "*/0 2 * * *"}', 15, "cron", "the minute must be from 0 to 59, got '*/0'", None),
    ('{cron: "0 0 2 * * *"}', 15, "cron", f"{FIELDS}6, '0 0 2 * * *'", "seconds or years cannot"),
    ('{cron: "0 2 * *"}', 15, "cron", f"{FIELDS}4, '0 2 * *'", '"0 2 * * *", every night'),
    ('{cron: "@daily"}', 15, "cron", f"{FIELDS}'@daily'", 'write "0 0 * * *"'),
    ('{cron: "@Hourly"}', 15, "cron", f"{FIELDS}'@Hourly'", 'write "0 * * * *"'),
    ('{cron: "@reboot"}', 15, "cron", f"{FIELDS}'@reboot'", "at times, not with a machine"),
    (
        '{cron: "0 0 30 2 *"}',
        15,
        "cron",
        "must be a time that comes, got '0 0 30 2 *', which no year has",
        "choose another day or month",
    ),
    ('{cron: "0 0 31 4,6,9,11 *"}', 15, "cron", "must be a time that comes, got '0 0 31 4", None),
    ('{cron: ""}', 15, "cron", f"{FIELDS}''", "every night"),
    ('{cron: "  "}', 15, "cron", f"{FIELDS}'  '", "every night"),
    ("{cron: }", 9, "cron", "has no value", None),
    ("{}", 1, "cron", "is missing", "add this key"),
    ("{cron: 5}", 15, "cron", f"{FIELDS}5", "every night"),
    ("{cron: [0, 2]}", 15, "cron", f"{FIELDS}a list", "every night"),
    (f'{{cron: "{"9" * 5000} 2 * * *"}}', 15, "cron", "must have at most 200 characters", None),
    ("{cron: */5 * * * *}", 15, "cron", "the alias '/5' has no anchor", "needs quotes"),
    ("{cron: 0 2 * * *, timezone: Berlin}", 36, "timezone", "unknown", "'Europe/Berlin'"),
    ("{cron: 0 2 * * *, timezone: europe/berlin}", 36, "timezone", "unk", "'Europe/Berlin'"),
    ("{cron: 0 2 * * *, timezone: Europe/Berln}", 36, "timezone", "unk", "'Europe/Berlin'"),
    ("{cron: 0 2 * * *, timezone: New York}", 36, "timezone", "unk", "'America/New_York'"),
    ("{cron: 0 2 * * *, timezone: utc}", 36, "timezone", "unknown time zone 'utc'", "'UTC'"),
    ("{cron: 0 2 * * *, timezone: CEST}", 36, "timezone", "unknown", "name a city of it"),
    ("{cron: 0 2 * * *, timezone: UTC+2}", 36, "timezone", "unknown", "name a city of it"),
    ("{cron: 0 2 * * *, timezone: ../etc/passwd}", 36, "timezone", "unknown", "name a city"),
    ("{cron: 0 2 * * *, timezone: Europe}", 36, "timezone", "unknown time zone 'Eur", None),
    ("{cron: 0 2 * * *, timezone: 2}", 36, "timezone", "must be the name of a time zone", None),
    ("{cron: 0 2 * * *, catchup: on}", 35, "catchup", "unknown catch-up rule 'on'; known", None),
    ("{cron: 0 2 * * *, overlap: skp}", 35, "overlap", "unknown overlap rule", "'skip'"),
    ("{cron: 0 2 * * *, grace: soon}", 33, "grace", "must be seconds or a duration", None),
    ("{cron: 0 2 * * *, grace: 0}", 33, "grace", "must be in (0, 31622400]", None),
    ("{cron: 0 2 * * *, enabled: 1}", 35, "enabled", "must be on or off, got 1", None),
    ("{cron: 0 2 * * *, start_from_best: 101}", 43, "start_from_best", "must be from 0 to", None),
    ("{cron: 0 2 * * *, notify: ftp://a.b/c}", 34, "notify", "must be an http or https", None),
    ("{cron: 0 2 * * *, notify: example.org}", 34, "notify", "must be an http or https", None),
    ('{cron: 0 2 * * *, notify: "http://[a"}', 34, "notify", "must be an http or https", None),
    ('{cron: 0 2 * * *, notify: "http://a b"}', 34, "notify", "must be an http or https", None),
    ('{cron: 0 2 * * *, notify: "http://a:99999"}', 34, "notify", "must be an http or", None),
    ("{cron: 0 2 * * *, zone: UTC}", 26, "zone", "unknown key 'zone'; known: cron timezone", None),
]


@pytest.mark.parametrize(
    ("sweep", "column", "key", "message", "hint"), MISTAKES, ids=[row[0][:50] for row in MISTAKES]
)
def test_a_mistake_is_told_where_it_stands(tmp_path, sweep, column, key, message, hint):
    with pytest.raises(StudyFileError) as caught:
        read(tmp_path, sweep)
    (problem,) = caught.value.problems
    assert (problem.line, problem.column, problem.key) == (4, column, f"sweep.{key}")
    assert problem.message.startswith(message)
    assert hint is None or hint in problem.hint


def test_a_password_in_a_url_is_refused_and_not_shown(tmp_path):
    with pytest.raises(StudyFileError) as caught:
        read(tmp_path, '{cron: 0 2 * * *, notify: "https://me:secret@example.org"}')
    assert "must hold neither user nor password" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_section_that_is_no_mapping_is_refused(tmp_path):
    with pytest.raises(StudyFileError, match="sweep: must be a mapping with the keys cron timez"):
        read(tmp_path, "0 2 * * *")


@pytest.mark.parametrize(
    ("data", "method"),
    [
        ("{source: sklearn, name: digits}", "hash"),
        ("{source: sklearn, name: digits, split: {test: 0.3}}", "hash"),
        ("{source: sklearn, name: digits, split: {method: stratified}}", "stratified"),
    ],
)
def test_with_a_sweep_rows_are_split_by_hash_unless_the_file_says_otherwise(tmp_path, data, method):
    head = HEAD.replace("{source: sklearn, name: digits}", data)
    spec = read(tmp_path, "{cron: 0 2 * * *}", head).spec
    assert spec.data.split.method == method
    assert StudySpec.from_mapping(spec.to_mapping()) == spec


def test_a_group_without_its_method_is_told_of_the_method_that_the_sweep_implies(tmp_path):
    head = "name: s\ntask: classification\ndata: {source: csv, path: x.csv, target: y, split: "
    with pytest.raises(StudyFileError, match="has no effect with the method hash"):
        read(tmp_path, "{cron: 0 2 * * *}", head + "{group: site}}\n")


def test_a_sweep_that_changes_is_no_difference_of_the_study(tmp_path):
    then = read(tmp_path, "{cron: 0 2 * * *}").spec
    now = read(tmp_path, "{cron: 0 3 * * *, timezone: Asia/Tokyo, enabled: off}").spec
    assert differences(then, now) == []


def test_a_sweep_that_comes_or_goes_makes_a_difference_by_its_split_alone(tmp_path):
    with_sweep = read(tmp_path, "{cron: 0 2 * * *}").spec
    (tmp_path / "study.yaml").write_text(HEAD)
    without = read_study_file(tmp_path / "study.yaml").spec
    assert differences(without, with_sweep) == ['data.split.method: "stratified" -> "hash"']
    head = HEAD.replace("digits}", "digits, split: {method: stratified}}")
    assert differences(without, read(tmp_path, "{cron: 0 2 * * *}", head).spec) == []


def test_time_zones_are_known_without_the_systems_own():
    script = """
from tunelab.spec.cron import Cron, check_timezone
print(Cron("0 2 * * *", check_timezone("Europe/Berlin")).next_instant(0.0))
"""
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONTZPATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == "3600.0\n"  # 1970-01-01, 02:00 in Berlin
