"""Running a network over many rows in evaluation mode."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tunelab.training.arrays import Floats
from tunelab.training.network import Network, Pass

LEAST_ROWS, MOST_ROWS = 128, 1024
BUFFER_NUMBERS = 65_536


def chunk_rows(network: Network) -> int:
    """Rows of one pass: enough to hide the cost of calls, few enough for buffers to stay in cache.

    ::

        BUFFER_NUMBERS / widest layer, between LEAST_ROWS and MOST_ROWS

    256 kB in float32 are a part of any processor's second-level cache.
    """
    widest = max(max(p.shape) for layer in network.layers for p in layer.parameters)
    return min(max(BUFFER_NUMBERS // widest, LEAST_ROWS), MOST_ROWS)


class Evaluator:
    """A network's outputs on a fixed set of rows, again and again as its weights change.

    Args:
        network: The network.
        parts: Features, each of shape (rows of the part, n_features); their rows follow each
            other. Copied, with the column of ones added.
    """

    def __init__(self, network: Network, *parts: Floats) -> None:
        self._table = input_table(parts, network.dtype)
        rows = len(self._table)
        self._outputs: Floats = np.empty((network.n_outputs, rows), network.dtype)
        at_most = chunk_rows(network)
        passes: dict[int, Pass] = {}  # by batch size: the full chunk's and the last one's
        self._chunks: list[tuple[int, int, Pass]] = []
        for start in range(0, rows, at_most):
            stop = min(start + at_most, rows)
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


def input_table(
    parts: Sequence[Floats], dtype: npt.DTypeLike, targets: Floats | None = None
) -> Floats:
    """[x 1 targets] as one new table, so that a batch is gathered by a single call.

    Args:
        parts: ``x``, whole or in parts whose rows follow each other.
        dtype: Type of the table.
        targets: A row for each of ``x``; None for none.
    """
    rows, n_features = sum(map(len, parts)), parts[0].shape[1]
    n_targets = 0 if targets is None else targets.shape[1]
    table = np.empty((rows, n_features + 1 + n_targets), dtype)
    np.concatenate(parts, out=table[:, :n_features], casting="same_kind")
    table[:, n_features] = 1.0
    if targets is not None:
        table[:, n_features + 1 :] = targets
    return table
