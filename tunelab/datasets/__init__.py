"""Ring 3: sources, splits and preprocessing, from a data description to arrays on disk.

``prepare`` alone sees every row of the data. It leaves one folder a data description, from which
``open_prepared`` and ``load_training_data`` serve every later process: training and validation
rows as memory maps. ``split_again`` deals those rows out in another way. Importing this package
loads neither scikit-learn nor PyArrow.
"""

from __future__ import annotations

from tunelab.datasets.cache import PreparedData, load_training_data, open_prepared
from tunelab.datasets.preparation import find_prepared, prepare, split_again

__all__ = [
    "PreparedData",
    "find_prepared",
    "load_training_data",
    "open_prepared",
    "prepare",
    "split_again",
]
