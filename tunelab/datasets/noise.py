"""Label noise: wrong labels on purpose, to see how a network copes with them."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tunelab.datasets.digest import Digests, first_integers, ordered, row_places


def flip_labels(
    labels: npt.NDArray[np.int64], digests: Digests, n_classes: int, share: float, seed: int
) -> npt.NDArray[np.int64]:
    """A copy of ``labels`` in which round(share * n) of them name another class.

    Which rows, and which of the other classes, follows from a hash of row and seed. So neither
    the source's order nor a library's version matters, and the rows flipped at a small share are
    flipped, to the same class, at a greater one.

    Args:
        labels: Shape (n,), in 0..n_classes-1, with n_classes >= 2.
        digests: One row digest a label.
        n_classes: Number of classes.
        share: In [0, 1].
        seed: Another seed flips other rows.

    >>> clean = np.zeros(10, dtype=np.int64)
    >>> digests = np.arange(320, dtype=np.uint8).reshape(10, 32)
    >>> noisy = flip_labels(clean, digests, 3, 0.25, seed=0)
    >>> int(np.sum(noisy != clean))
    3
    """
    places = row_places(digests, "noise", seed)
    flipped = ordered(places)[: math.floor(len(labels) * share + 0.5)]
    # The last bytes, because the first ones have just decided the rank.
    numbers = first_integers(places[flipped, -8:])
    noisy = labels.copy()
    noisy[flipped] += 1 + (numbers % np.uint64(n_classes - 1)).astype(np.int64)
    noisy[flipped] %= n_classes
    return noisy
