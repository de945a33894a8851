"""Scaling is learned from training rows alone, and label noise touches what it should."""

from __future__ import annotations

import numpy as np
import pytest

from tunelab.datasets.noise import flip_labels
from tunelab.datasets.preprocess import fit_scaling


def test_scaling_is_mean_and_deviation_by_hand():
    scaling = fit_scaling(np.array([[1.0, 10.0], [3.0, 10.0], [5.0, 40.0]]))
    # means 3 and 20; deviations sqrt((4 + 0 + 4) / 3) and sqrt((100 + 100 + 400) / 3)
    assert scaling.mean == pytest.approx([3.0, 20.0])
    assert scaling.scale == pytest.approx([(8 / 3) ** 0.5, 200**0.5])
    scaled = scaling.apply(np.array([[3.0, 20.0 + 200**0.5]]))
    assert scaled.dtype == np.float32
    assert scaled[0] == pytest.approx([0.0, 1.0])


@pytest.mark.parametrize("value", [0.0, 7.0, 0.1, 1e8 + 0.1])
def test_a_constant_column_becomes_zero(value):
    """Also where rounding gives the mean of equal numbers a tiny variance."""
    scaling = fit_scaling(np.full((33, 1), value))
    assert scaling.scale.tolist() == [1.0]
    assert scaling.apply(np.full((2, 1), value)) == pytest.approx(np.zeros((2, 1)), abs=1e-6)


def digests(n_rows):
    return [row.to_bytes(4, "big") for row in range(n_rows)]


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


def test_noise_repeats_by_seed_and_grows_by_share():
    clean = np.arange(100, dtype=np.int64) % 3
    little, much = (flip_labels(clean, digests(100), 3, share, seed=1) for share in (0.1, 0.4))
    assert flip_labels(clean, digests(100), 3, 0.1, seed=1).tolist() == little.tolist()
    assert flip_labels(clean, digests(100), 3, 0.1, seed=2).tolist() != little.tolist()
    rows = little != clean
    assert much[rows].tolist() == little[rows].tolist()


def test_noise_does_not_follow_the_split():
    """With equal seeds, rows that rank first in the split are flipped no more than others."""
    from tunelab.datasets.digest import row_places

    rows = digests(2000)
    places = row_places(rows, "split", 0)
    first_half = sorted(range(2000), key=places.__getitem__)[:1000]
    clean = np.zeros(2000, dtype=np.int64)
    noisy = flip_labels(clean, rows, 2, 0.2, seed=0)
    # 200 of 400 expected there, deviation about 9
    assert abs(int(noisy[first_half].sum()) - 200) < 45
