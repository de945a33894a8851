"""A trained network and all that turns raw rows into predictions, with NumPy alone.

A model is a folder of two files: ``model.json`` says what the network looks like and how a row
becomes its inputs, ``weights.npz`` holds its arrays, without pickle. This file needs nothing but
Python and NumPy, and lies beside them wherever tunelab exports a model::

    from tunelab_model import load

    model = load("folder")
    model.predict({"age": [31, 45], "city": ["Graz", None]})
    # {"label": array(["no", "yes"]), "probability_no": ..., "probability_yes": ...}

A checksum in ``model.json`` covers both files: one that was changed or damaged is refused.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = 1
DOCUMENT_FILE = "model.json"
ARRAYS_FILE = "weights.npz"

_BLOCK_ROWS = 4096  # rows that pass through the network at a time
_BATCH_NORM_EPSILON = 1e-5
_LONGEST_SHOWN = 60


class DamagedModelError(ValueError):
    """The files are not those that were written."""


def load(folder: str | Path) -> Model:
    """The model in a folder.

    Raises:
        OSError: If a file is missing or cannot be read.
        DamagedModelError: If a file is damaged, or not of this format.
    """
    place = Path(folder)
    text = (place / DOCUMENT_FILE).read_bytes()
    return read(text, (place / ARRAYS_FILE).read_bytes())


def read(document: bytes, archive: bytes) -> Model:
    """The model from the bytes of its two files.

    Raises:
        DamagedModelError: If they are damaged, or not of this format.
    """
    try:
        described = json.loads(document)
        if not isinstance(described, dict) or described.get("format") != FORMAT:
            raise ValueError(f"{DOCUMENT_FILE} is not of format {FORMAT}")
        with np.load(io.BytesIO(archive), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except Exception as error:  # NumPy and zipfile raise all kinds over damaged bytes
        raise DamagedModelError(f"the model cannot be read: {error}") from error
    if described.get("checksum") != checksum(described, arrays):
        raise DamagedModelError("the model is damaged: its checksum is not that of its contents")
    return Model(described, arrays)


def checksum(document: Mapping[str, Any], arrays: Mapping[str, Any]) -> str:
    """SHA-256 of a model: all of its document but the checksum itself, and all arrays."""
    described = {key: value for key, value in document.items() if key != "checksum"}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


class Model:
    """A trained network.

    Attributes:
        document: What ``model.json`` says.
        columns: The raw columns that it reads, in order.
        outputs: What it predicts, in order: classes, or target columns.
    """

    def __init__(self, document: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        self.document = document
        self.columns = tuple(str(entry["name"]) for entry in document["inputs"])
        self.outputs = tuple(document["classes"] or document["targets"])
        self._arrays = arrays
        self._function = _ACTIVATIONS[document["network"]["activation"]]

    def predict(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Predict from raw columns, each a sequence with a value a row.

        Numbers may be missing (None, NaN or an empty text), and so may texts (None), where the
        training rows taught what stands in for them. Columns may stand in any order; others are
        ignored.

        Returns:
            For classes the arrays ``label`` and ``probability_CLASS``, for numbers one array for
            each target, in original units.

        Raises:
            ValueError: If a column is missing, or a value cannot be used.
        """
        return self.named(self.scores(self.inputs(columns)))

    def named(self, scores: Any) -> dict[str, Any]:
        """Scores, as `scores` gives them, as columns by name."""
        by_name = {}
        if self.document["classes"]:
            by_name["label"] = np.array(self.outputs, dtype=object)[scores.argmax(axis=1)]
        prefix = "probability_" if self.document["classes"] else ""
        for place, name in enumerate(self.outputs):
            by_name[f"{prefix}{name}"] = scores[:, place]
        return by_name

    def inputs(self, columns: Mapping[str, Any]) -> Any:
        """What the network sees of raw columns: float32, shape (rows, features)."""
        missing = [name for name in self.columns if name not in columns]
        if missing:
            there = ", ".join(str(name) for name in columns) or "none"
            raise ValueError(f"column {missing[0]} is missing; the columns are: {there}")
        parts = []
        for entry in self.document["inputs"]:
            of_kind = _one_hot if "categories" in entry else _standardised
            parts.append(of_kind(entry, columns[entry["name"]]))
        lengths = {len(part) for part in parts}
        if len(lengths) > 1:
            raise ValueError(f"the columns must have equally many rows, got {sorted(lengths)}")
        return np.concatenate(parts, axis=1)

    def scores(self, inputs: Any) -> Any:
        """Class probabilities, or targets in original units, shape (rows, outputs).

        Args:
            inputs: float32, shape (rows, features), as `inputs` gives them.
        """
        outputs = self.logits(inputs)
        if not self.document["classes"]:
            scaling = self.document["target_scaling"]
            scale = np.array([entry["scale"] for entry in scaling], dtype=np.float64)
            mean = np.array([entry["mean"] for entry in scaling], dtype=np.float64)
            return outputs * scale + mean
        if outputs.shape[1] == 1:  # two classes: the logit of the second
            return _sigmoid_pair(outputs[:, 0])
        powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def logits(self, inputs: Any) -> Any:
        """The network's outputs, float32, shape (rows, columns of the last layer)."""
        with np.errstate(all="ignore"):
            blocks = [
                self._outputs(inputs[start : start + _BLOCK_ROWS])
                for start in range(0, max(len(inputs), 1), _BLOCK_ROWS)
            ]
        return np.concatenate(blocks)

    def _outputs(self, x: Any) -> Any:
        arrays, n_layers = self._arrays, self.document["network"]["n_layers"]
        for number in range(1, n_layers + 1):
            layer = f"layer_{number}"
            x = x @ arrays[f"{layer}.weights"]
            if f"{layer}.bias" in arrays:
                x = x + arrays[f"{layer}.bias"]
            if f"{layer}.gamma" in arrays:
                deviation = np.sqrt(
                    arrays[f"{layer}.running_variance"] + np.float32(_BATCH_NORM_EPSILON)
                )
                scale = arrays[f"{layer}.gamma"] / deviation
                x = x * scale + (arrays[f"{layer}.beta"] - arrays[f"{layer}.running_mean"] * scale)
            if number < n_layers:
                x = self._function(x)
        return x


def _standardised(entry: Mapping[str, Any], values: Sequence[Any]) -> Any:
    """``(value - mean) / scale``, in float64, as float32 of shape (rows, 1)."""
    numbers = _numbers(entry["name"], values)
    missing = np.isnan(numbers)
    if missing.any():
        if entry["fill"] is None:
            raise _no_value(entry["name"], missing)
        numbers = np.where(missing, entry["fill"], numbers)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = ((numbers - entry["mean"]) / entry["scale"]).astype(np.float32)
    too_far = np.flatnonzero(~np.isfinite(scaled))
    if len(too_far):
        raise ValueError(
            f"column {entry['name']}, row {too_far[0] + 1}: {numbers[too_far[0]]:g} lies too far "
            f"from the training rows, whose mean is {entry['mean']:g}"
        )
    return scaled[:, np.newaxis]


def _one_hot(entry: Mapping[str, Any], values: Sequence[Any]) -> Any:
    """1 where a row has the category, float32 of shape (rows, categories); unknown ones: none."""
    texts = [_text(value) for value in values]
    missing = np.array([text is None for text in texts], dtype=bool)
    if missing.any() and entry["fill"] is None:
        raise _no_value(entry["name"], missing)
    places = {category: place for place, category in enumerate(entry["categories"])}
    _refuse_lost_zeros(entry, values, texts)
    out = np.zeros((len(texts), len(places)), dtype=np.float32)
    for row, text in enumerate(texts):
        place = places.get(entry["fill"] if text is None else text)
        if place is not None:
            out[row, place] = 1.0
    return out


def _refuse_lost_zeros(
    entry: Mapping[str, Any], values: Sequence[Any], texts: Sequence[str | None]
) -> None:
    """Refuse 893 where the training rows have codes such as "0893": its zero got lost."""
    codes = [c for c in entry["categories"] if c.isdigit() and c[0] == "0" and len(c) > 1]
    if not codes:
        return
    known = set(entry["categories"])
    for row, (value, text) in enumerate(zip(values, texts, strict=True), start=1):
        if text is not None and not isinstance(value, str) and text not in known:
            raise ValueError(
                f"column {entry['name']}, row {row}: {text} is a number, and the codes of this "
                f"column are texts such as {codes[0]!r}"
            )


def _numbers(name: str, values: Sequence[Any]) -> Any:
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
        return values.astype(np.float64)
    try:
        return np.array([math.nan if _is_empty(v) else v for v in values], np.float64).ravel()
    except (TypeError, ValueError):
        for row, value in enumerate(values, start=1):
            if not _is_number(value):
                shown = repr(value)[:_LONGEST_SHOWN]
                raise ValueError(f"column {name}, row {row}: {shown} is no number") from None
        raise


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _is_number(value: Any) -> bool:
    try:
        float(math.nan if _is_empty(value) else value)
    except (TypeError, ValueError):
        return False
    return True


def _text(value: Any) -> str | None:
    """A category; numbers that are categories are written as the training data have them."""
    if value is None or value != value:
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    number = float(value)
    if abs(number) < 1e15 and number == int(number):
        return str(int(number))
    return repr(number)


def _no_value(name: str, missing: Any) -> ValueError:
    first = int(np.argmax(missing)) + 1
    return ValueError(
        f"column {name}, row {first}: the value is missing, and none was learned to stand in for it"
    )


def _sigmoid_pair(z: Any) -> Any:
    """``1 - p`` and ``p`` of ``p = 1 / (1 + exp(-z))``, shape (rows, 2)."""
    smaller = np.exp(-np.abs(z))
    greater = 1.0 / (1.0 + smaller)
    smaller = smaller * greater
    positive = z >= 0.0
    pair = np.where(positive, smaller, greater), np.where(positive, greater, smaller)
    return np.stack(pair, axis=1)


def _sigmoid(z: Any) -> Any:
    return np.tanh(z * np.float32(0.5)) * np.float32(0.5) + np.float32(0.5)


def _gelu(z: Any) -> Any:
    root = math.sqrt(2.0 / math.pi)
    return z * _sigmoid(2.0 * z * (np.float32(root * 0.044715) * np.square(z) + np.float32(root)))


_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "relu": lambda z: np.maximum(z, 0.0),
    "leaky_relu": lambda z: np.maximum(z, z * np.float32(0.01)),
    "elu": lambda z: np.maximum(z, np.exp(np.minimum(z, 0.0)) - np.float32(1.0)),
    "gelu": _gelu,
    "silu": lambda z: z * _sigmoid(z),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
}
