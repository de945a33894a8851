"""Digests name contents: equal contents, equal names."""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest

from tunelab.datasets.digest import (
    canonical_json,
    data_digest,
    description_key,
    row_digests,
    row_places,
    rows_digest,
)


def test_a_row_digest_is_sha256_of_its_little_endian_bytes():
    [labelled] = row_digests(np.array([[1.5, -2.0]]), np.array([3]))
    assert labelled == hashlib.sha256(struct.pack("<ddq", 1.5, -2.0, 3)).digest()
    [numeric] = row_digests(np.array([[1.5]]), np.array([[0.25, -0.0]]))
    assert numeric == hashlib.sha256(struct.pack("<ddd", 1.5, 0.25, 0.0)).digest()


def test_a_set_of_rows_has_no_order_but_counts_copies():
    assert rows_digest([b"a", b"b", b"a"]) == rows_digest([b"a", b"a", b"b"])
    assert rows_digest([b"a", b"b"]) != rows_digest([b"a", b"a", b"b"])


def test_moving_a_row_to_another_part_changes_the_data_digest():
    header = {"task": "classification"}
    here = data_digest(header, {"train": rows_digest([b"a", b"b"]), "test": rows_digest([b"c"])})
    there = data_digest(header, {"train": rows_digest([b"a"]), "test": rows_digest([b"c", b"b"])})
    assert here != there
    assert here != data_digest({"task": "regression"}, {"train": "", "test": ""})


def test_copies_have_places_of_their_own_whatever_stands_between_them():
    places = row_places([b"a", b"b", b"a", b"a"], "split", 0)
    assert len(set(places)) == 4
    assert set(row_places([b"a", b"a", b"a", b"b"], "split", 0)) == set(places)


def test_places_of_two_purposes_are_independent():
    digests = [b"a", b"b"]
    assert not set(row_places(digests, "split", 0)) & set(row_places(digests, "noise", 0))
    assert not set(row_places(digests, "split", 1)) & set(row_places(digests, "split", 11))


def test_equal_descriptions_have_one_key():
    assert description_key({"a": 1, "b": {"c": 0.2}}) == description_key({"b": {"c": 0.20}, "a": 1})
    assert description_key({"a": 1}) != description_key({"a": 2})
    assert len(description_key({})) == 32


def test_canonical_json_has_no_room_for_nan():
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"share": float("nan")})
