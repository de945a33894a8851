"""From raw columns to the inputs of a network, by what was learned from training rows alone.

``fitting`` learns with scikit-learn; ``transforms`` applies with NumPy, and is all that is needed
once a folder is prepared.
"""

from __future__ import annotations

from tunelab.datasets.preprocess.fitting import fit_preprocessing
from tunelab.datasets.preprocess.transforms import OneHot, Preprocessing, Standardize

__all__ = ["OneHot", "Preprocessing", "Standardize", "fit_preprocessing"]
