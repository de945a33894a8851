"""Running a network over many rows in evaluation mode."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tunelab.training.arrays import Floats
from tunelab.training.network import Network, Pass

CHUNK_ROWS = 1024
"""Rows of one pass: enough to hide the cost of calls, few enough for buffers to stay in cache."""


class Evaluator:
    """A network's outputs on a fixed set of rows, again and again as its weights change.

    Args:
        network: The network.
        x: Features, shape (rows, n_features). Copied, with the column of ones added.
    """

    def __init__(self, network: Network, x: Floats) -> None:
        self._table = input_table(x, network.dtype)
        rows = len(self._table)
        self._outputs: Floats = np.empty((network.n_outputs, rows), network.dtype)
        passes: dict[int, Pass] = {}  # by batch size: the full chunk's and the last one's
        self._chunks: list[tuple[int, int, Pass]] = []
        for start in range(0, rows, CHUNK_ROWS):
            stop = min(start + CHUNK_ROWS, rows)
            if stop - start not in passes:
                passes[stop - start] = network.evaluation_pass(stop - start)
            self._chunks.append((start, stop, passes[stop - start]))

    def outputs(self) -> Floats:
        """The outputs with the present weights, shape (outputs, rows): a buffer that is reused."""
        for start, stop, chunk in self._chunks:
            np.copyto(chunk.batch, self._table[start:stop])
            chunk.run()
            np.copyto(self._outputs[:, start:stop], chunk.outputs)
        return self._outputs


def input_table(x: Floats, dtype: npt.DTypeLike, targets: Floats | None = None) -> Floats:
    """[x 1 targets] as one new table, so that a batch is gathered by a single call."""
    rows, n_features = x.shape
    n_targets = 0 if targets is None else targets.shape[1]
    table = np.empty((rows, n_features + 1 + n_targets), dtype)
    table[:, :n_features] = x
    table[:, n_features] = 1.0
    if targets is not None:
        table[:, n_features + 1 :] = targets
    return table
