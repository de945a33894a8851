"""Digests name contents: equal contents, equal names."""

from __future__ import annotations

import hashlib
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.datasets.tables import labelled, measured, numbers, objects, shuffled, words
from tunelab.datasets.digest import (
    canonical_json,
    data_digest,
    description_key,
    ordered,
    row_digests,
    row_places,
    rows_digest,
    text_digests,
    uniforms,
)


def sha256(data):
    return hashlib.sha256(data).digest()


def digests_of(*things):
    """Digests that begin with the given bytes."""
    return np.array([list(thing.ljust(32, b".")) for thing in things], dtype=np.uint8)


def one_by_one(digests):
    return [row.tobytes() for row in digests]


def test_a_row_digest_is_sha256_of_names_numbers_and_texts():
    raw = labelled(
        [words("tint", ["red", None]), numbers("size", [1.5, -2.0]), numbers("age", [3, 4])],
        [1, 0],
        ["no", "ja ü"],
        groups=objects(["g", "h"]),
        times=np.array([5.0, 6.0]),
    )
    fields = [
        ["feature", "age"],
        ["feature", "size"],
        ["time", ""],
        ["feature", "tint"],
        ["group", ""],
        ["target", "class"],
    ]
    header = sha256(json.dumps(fields, separators=(",", ":")).encode())
    first = struct.pack("<ddd", 3.0, 1.5, 5.0)
    for text in ("red", "g", "ja ü"):
        first += sha256(text.encode())[:16]
    second = struct.pack("<ddd", 4.0, -2.0, 6.0) + bytes(16)
    for text in ("h", "no"):
        second += sha256(text.encode())[:16]
    assert one_by_one(row_digests(raw)) == [sha256(header + first), sha256(header + second)]


def test_the_digest_of_a_row_is_the_same_in_every_version():
    """Membership in the test part hangs on it: were it to change, test rows would be trained on."""
    raw = measured([numbers("x", [0.1]), words("c", ["a"])], np.array([[2.5]]))
    [digest] = one_by_one(row_digests(raw))
    assert digest.hex() == "5bd06bc1907b780bef9a566d7add8f8dc80210cfe15e8eca2f6347d925f800d4"
    assert uniforms(row_digests(raw), "part", 0).tolist() == [0.1766759492950588]


def test_columns_and_classes_may_be_sorted_differently():
    age, tint = numbers("age", [1, 2, 3]), words("tint", ["r", "g", "b"])
    raw = labelled([age, tint], [0, 1, 0], ["no", "yes"])
    turned = labelled([tint, age], [1, 2, 1], ["maybe", "no", "yes"])
    assert row_digests(turned).tolist() == row_digests(raw).tolist()


def test_names_values_kinds_and_targets_all_count():
    rows = [
        measured([numbers("x", [1])], np.array([[2.0]])),
        measured([numbers("z", [1])], np.array([[2.0]])),
        measured([numbers("x", [1.0000001])], np.array([[2.0]])),
        measured([words("x", ["1"])], np.array([[2.0]])),
        measured([words("x", ["1.0"])], np.array([[2.0]])),
        measured([words("x", [None])], np.array([[2.0]])),
        measured([words("x", [""])], np.array([[2.0]])),
        measured([numbers("x", [None])], np.array([[2.0]])),
        measured([numbers("x", [1])], np.array([[3.0]])),
        labelled([numbers("x", [1])], [0], ["2.0"]),
    ]
    assert len({one_by_one(row_digests(row))[0] for row in rows}) == len(rows)


def test_zero_has_no_sign_and_a_missing_number_no_payload():
    payload = np.array([0x7FF8000000000123, 0xFFF8000000000000], dtype=np.uint64).view(np.float64)
    odd = measured([numbers("x", [-0.0, 1, 1])], np.array([[0.0], [1], [1]]))
    odd.columns[0].values[1:] = payload
    plain = measured([numbers("x", [0.0, None, None])], np.array([[-0.0], [1], [1]]))
    assert row_digests(odd).tolist() == row_digests(plain).tolist()


def test_text_that_utf8_has_no_bytes_for_has_a_digest_too():
    digests = text_digests(["\ud800", "\ud801", "?"])
    assert len(set(one_by_one(digests))) == 3


def test_a_table_of_many_blocks_is_hashed_row_by_row(classes):
    raw = classes([30_000, 30_000], n_features=12)
    turned = shuffled(raw)
    assert sorted(one_by_one(row_digests(turned))) == sorted(one_by_one(row_digests(raw)))
    assert len(set(one_by_one(row_digests(raw)))) == 60_000


@given(st.lists(st.binary(min_size=1, max_size=12), min_size=1, max_size=30))
def test_the_order_of_digests_is_that_of_their_bytes(beginnings):
    digests = digests_of(*(b"same 8 bytes" + item for item in beginnings), *beginnings)
    keys = one_by_one(digests)
    assert ordered(digests).tolist() == sorted(range(len(keys)), key=keys.__getitem__)


def test_a_set_of_rows_has_no_order_but_counts_copies():
    once, twice = digests_of(b"a", b"b"), digests_of(b"a", b"b", b"a")
    assert rows_digest(digests_of(b"a", b"a", b"b")) == rows_digest(twice) != rows_digest(once)
    assert rows_digest(once) == sha256(b"".join(sorted(one_by_one(once)))).hex()


def test_moving_a_row_to_another_part_changes_the_data_digest():
    header = {"task": "classification"}
    a, b, c = b"a", b"b", b"c"

    def digest(train, test):
        parts = {"train": rows_digest(digests_of(*train)), "test": rows_digest(digests_of(*test))}
        return data_digest(header, parts)

    assert digest([a, b], [c]) != digest([a], [c, b])
    assert digest([b, a], [c]) == digest([a, b], [c])
    assert digest([a], [c]) != data_digest({"task": "regression"}, {"train": "", "test": ""})


def test_a_place_is_sha256_of_purpose_seed_occurrence_and_row():
    digests = digests_of(b"a", b"b", b"a", b"a")
    a, b = one_by_one(digests[:2])
    assert one_by_one(row_places(digests, "split", 7)) == [
        sha256(b"split 7 0 " + a),
        sha256(b"split 7 0 " + b),
        sha256(b"split 7 1 " + a),
        sha256(b"split 7 2 " + a),
    ]


def test_copies_have_places_of_their_own_whatever_stands_between_them():
    places = one_by_one(row_places(digests_of(b"a", b"b", b"a", b"a"), "split", 0))
    assert len(set(places)) == 4
    together = row_places(digests_of(b"a", b"a", b"a", b"b"), "split", 0)
    assert set(one_by_one(together)) == set(places)


def test_places_of_two_purposes_are_independent():
    digests = digests_of(b"a", b"b")
    split, noise, other, eleventh = (
        set(one_by_one(row_places(digests, purpose, seed)))
        for purpose, seed in (("split", 0), ("noise", 0), ("split", 1), ("split", 11))
    )
    assert not split & noise
    assert not other & eleventh


def test_uniform_numbers_are_the_first_bytes_of_a_hash():
    digests = digests_of(b"a", b"b")
    a, b = one_by_one(digests)
    expected = [int.from_bytes(sha256(b"part 3 " + row)[:8], "big") / 2**64 for row in (a, b)]
    assert uniforms(digests, "part", 3) == pytest.approx(expected, abs=2**-53)


def test_uniform_numbers_are_uniform_and_below_one():
    digests = text_digests([str(number) for number in range(20_000)])
    drawn = np.sort(uniforms(digests, "part", 0))
    # Kolmogorov's distance: above 1.95 / sqrt(n) once in a thousand
    distance = np.max(np.abs(drawn - np.arange(20_000) / 20_000))
    assert distance < 1.95 / 20_000**0.5
    assert uniforms(np.full((1, 32), 255, np.uint8), "part", 0)[0] < 1


def test_equal_descriptions_have_one_key():
    assert description_key({"a": 1, "b": {"c": 0.2}}) == description_key({"b": {"c": 0.20}, "a": 1})
    assert description_key({"a": 1}) != description_key({"a": 2})
    assert len(description_key({})) == 32


def test_canonical_json_has_no_room_for_nan():
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"share": float("nan")})
