"""Label noise flips what it should, and repeats."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from tunelab.datasets.digest import ordered, row_places, text_digests
from tunelab.datasets.noise import flip_labels


def digests(n_rows):
    return text_digests([str(row) for row in range(n_rows)])


@pytest.mark.parametrize(
    ("n_rows", "share", "flipped"), [(200, 0.1, 20), (7, 0.5, 4), (10, 1, 10), (10, 0, 0)]
)
def test_the_share_of_flipped_labels_is_exact(n_rows, share, flipped):
    clean = np.arange(n_rows, dtype=np.int64) % 4
    noisy = flip_labels(clean, digests(n_rows), 4, share, seed=0)
    assert np.count_nonzero(noisy != clean) == flipped
    assert set(noisy.tolist()) <= {0, 1, 2, 3}
    assert clean.tolist() == [row % 4 for row in range(n_rows)]  # the argument is untouched


def test_wrong_classes_are_drawn_evenly():
    clean = np.zeros(3000, dtype=np.int64)
    counts = np.bincount(flip_labels(clean, digests(3000), 4, 0.5, seed=3), minlength=4)
    assert counts[0] == 1500
    # 500 expected of each other class, deviation sqrt(1500 * 1/3 * 2/3) = 18; 5 deviations
    assert np.all(np.abs(counts[1:] - 500) < 92)


def test_the_flipped_rows_are_the_first_by_place_and_their_class_its_last_bytes():
    names = [hashlib.sha256(str(row).encode()).digest() for row in range(6)]
    places = [hashlib.sha256(b"noise 5 0 " + name).digest() for name in names]
    expected = [0] * 6
    for row in sorted(range(6), key=places.__getitem__)[:3]:
        expected[row] = 1 + int.from_bytes(places[row][-8:], "big") % 4
    noisy = flip_labels(np.zeros(6, np.int64), digests(6), 5, 0.5, seed=5)
    assert noisy.tolist() == expected


def test_noise_repeats_by_seed_and_grows_by_share():
    clean = np.arange(100, dtype=np.int64) % 3
    little, much = (flip_labels(clean, digests(100), 3, share, seed=1) for share in (0.1, 0.4))
    assert flip_labels(clean, digests(100), 3, 0.1, seed=1).tolist() == little.tolist()
    assert flip_labels(clean, digests(100), 3, 0.1, seed=2).tolist() != little.tolist()
    rows = little != clean
    assert much[rows].tolist() == little[rows].tolist()


def test_noise_does_not_follow_the_split():
    """With equal seeds, rows that rank first in the split are flipped no more than others."""
    rows = digests(2000)
    first_half = ordered(row_places(rows, "split", 0))[:1000]
    noisy = flip_labels(np.zeros(2000, dtype=np.int64), rows, 2, 0.2, seed=0)
    # 200 of 400 expected there, deviation about 9
    assert abs(int(noisy[first_half].sum()) - 200) < 45
