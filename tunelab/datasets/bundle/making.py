"""From a trained network and the data that taught it to a bundle of two files."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tunelab.datasets.bundle import portable
from tunelab.datasets.cache import PreparedData
from tunelab.spec.hyperparameters import Hyperparameters

CODE_FILE = "tunelab_model.py"
"""What `portable.py` is called beside a model: a name that says whose it is when imported."""


@dataclass(frozen=True)
class Bundle:
    """A model as bytes.

    Attributes:
        document: ``model.json``.
        arrays: ``weights.npz``.
        checksum: Of both, as the document has it.
    """

    document: bytes
    arrays: bytes
    checksum: str

    def open(self) -> portable.Model:
        """The model.

        Raises:
            DamagedModelError: If the bytes are not those that were written.
        """
        model = portable.read(self.document, self.arrays)
        if model.document["checksum"] != self.checksum:
            raise portable.DamagedModelError("the model is damaged: it is another than was stored")
        return model


def make_bundle(
    prepared: PreparedData,
    hyperparameters: Hyperparameters,
    weights: Mapping[str, Any],
    about: Mapping[str, Any],
) -> Bundle:
    """Bundle a network with the preprocessing that its own training rows have taught.

    Args:
        prepared: The data that the network was trained on.
        hyperparameters: Its configuration.
        weights: Its arrays, as `Network.export` names them.
        about: Plain values to keep beside them: where the model comes from.
    """
    n_layers = sum(name.endswith(".weights") for name in weights)
    document: dict[str, Any] = {
        "format": portable.FORMAT,
        **about,
        "task": prepared.task,
        "inputs": prepared.preprocessing.to_json(),
        "features": list(prepared.feature_names),
        "classes": list(prepared.class_names),
        "targets": list(prepared.target_names),
        "target_scaling": prepared.target_scaling.to_json(),
        "network": {"n_layers": n_layers, "activation": hyperparameters.activation},
        "hyperparameters": hyperparameters.to_flat(),
        "arrays": {name: list(array.shape) for name, array in weights.items()},
    }
    document = json.loads(json.dumps(document, allow_nan=False))
    document["checksum"] = portable.checksum(document, weights)
    buffer = io.BytesIO()
    np.savez(buffer, **weights)
    text = json.dumps(document, indent=1, allow_nan=False)
    return Bundle(text.encode(), buffer.getvalue(), document["checksum"])


def write_bundle(bundle: Bundle, folder: Path) -> None:
    """Write the files of a model, and the code that reads them, into a folder that exists.

    Raises:
        OSError: If that fails.
    """
    (folder / portable.DOCUMENT_FILE).write_bytes(bundle.document)
    (folder / portable.ARRAYS_FILE).write_bytes(bundle.arrays)
    (folder / CODE_FILE).write_bytes(Path(portable.__file__).read_bytes())
