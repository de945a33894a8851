"""The stored models: listed, chosen by hand, used for predictions, and carried away."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunelab.datasets.bundle import Bundle, DamagedModelError, Model, write_bundle
from tunelab.datasets.sources.cells import is_number
from tunelab.datasets.sources.inputs import read_inputs
from tunelab.errors import DataError, DiskError, NotFoundError, TunelabError, UsageError
from tunelab.service.spreadsheet import csv_text
from tunelab.storage.engine import Database
from tunelab.storage.gate import GateDecision
from tunelab.storage.locks import hold
from tunelab.storage.models import (
    HAND,
    ModelRow,
    Reign,
    all_models,
    challenger,
    champion,
    crown,
    latest_model,
    read_bundle,
    reigns,
)
from tunelab.storage.studies import StudyRow, get_study, study_by_id

README_FILE = "README.md"


@dataclass(frozen=True)
class ListedModel:
    """A model as it is listed.

    Attributes:
        model: Its row.
        title: ``champion``, ``challenger``, or empty.
        gate: How it fared when its study ended; None of one that was followed by another model of
            the same study.
    """

    model: ModelRow
    title: str
    gate: GateDecision | None


def list_models(
    database: Database, name: str | None = None
) -> tuple[list[ListedModel], dict[str, list[Reign]]]:
    """All models, the latest of each name first, and by name who has been champion.

    Raises:
        NotFoundError: If there is no study of that name.
    """
    with database.read() as connection:
        if name is not None:
            name = get_study(connection, name).name
        listed, history = [], {}
        for model in all_models(connection, name):
            if model.name not in history:
                history[model.name] = reigns(connection, model.name)
            titles = {
                "champion": champion(connection, model.name),
                "challenger": challenger(connection, model.name),
            }
            title = next((t for t, holder in titles.items() if holder == model), "")
            gate = study_by_id(connection, model.study_id).gate
            is_latest = latest_model(connection, model.study_id) == model
            decision = GateDecision.from_json(gate) if gate is not None and is_latest else None
            listed.append(ListedModel(model, title, decision))
    return listed, history


def promote(database: Database, name: str, generation: int | None, reason: str) -> ModelRow:
    """Make a model the champion, whatever the gate has said.

    Args:
        database: The study database.
        name: ``digits`` for the latest model, ``digits#7`` for that of the 7th generation.
        generation: The generation, if ``name`` does not say it.
        reason: Why; it is kept.

    Raises:
        NotFoundError: If there is no such model.
        UsageError: If it is the champion.
        TunelabError: If it is damaged.
    """
    with database.write() as connection:
        study = get_study(connection, _reference(name, generation))
        hold(connection, f"champion of {study.name}")
        named = generation is not None or "#" in name
        newest = next(iter(all_models(connection, study.name)), None)
        model = latest_model(connection, study.id) if named else newest
        if model is None:
            raise _no_model(study)
        if champion(connection, study.name) == model:
            raise UsageError(f"{model.title} is the champion already")
        _opened(read_bundle(connection, model.id), model)
        crown(connection, name=study.name, model_id=model.id, chosen_by=HAND, reason=reason)
    return model


def find_model(
    database: Database, name: str, generation: int | None
) -> tuple[ModelRow, Bundle, Model]:
    """The champion of a name, or the model of a generation, whole.

    Raises:
        NotFoundError: If there is none.
        TunelabError: If it is damaged.
    """
    with database.read() as connection:
        study = get_study(connection, _reference(name, generation))
        if generation is not None or "#" in name:
            model = latest_model(connection, study.id)
            if model is None:
                raise _no_model(study)
        else:
            model = champion(connection, study.name)
            if model is None:
                raise NotFoundError(
                    f"{study.name} has no champion",
                    hint=f"`tunelab model list {study.name}` shows its models; `tunelab model "
                    f"promote {study.name} N` makes one of them champion",
                )
        bundle = read_bundle(connection, model.id)
    return model, bundle, _opened(bundle, model)


def predict_file(model: Model, path: str) -> tuple[str, int]:
    """Predict the rows of a CSV file.

    Returns:
        A CSV document with a line for each row, in the same order; and the number of rows.

    Raises:
        NotFoundError: If there is no such file.
        DataError: With everything that is wrong in it.
    """
    columns, n_rows = read_inputs(path, model.document["inputs"])
    try:
        predicted = model.predict(columns)
    except ValueError as error:
        raise DataError(f"{path}: {error}", hint="correct the value") from error
    rows = zip(*(_cells(values.tolist()) for values in predicted.values()), strict=True)
    return csv_text(list(predicted), rows), n_rows


def export_model(bundle: Bundle, model: Model, title: str, folder: Path) -> None:
    """Write a model into a new folder, with what a person needs to use it without tunelab.

    Raises:
        UsageError: If the folder is there and is not empty.
        DiskError: If it cannot be written. Nothing is left then.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UsageError(
            f"{folder} exists already", hint="name a folder that does not exist, or an empty one"
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=".tunelab-", dir=folder.parent))
        try:
            write_bundle(bundle, place)
            (place / README_FILE).write_text(_readme(model, title), encoding="utf-8")
            place.chmod(0o755)
            place.replace(folder)
        finally:
            shutil.rmtree(place, ignore_errors=True)
    except OSError as error:
        cause = error.strerror or str(error)
        raise DiskError(f"cannot write {folder}: {cause[:1].lower()}{cause[1:]}") from error


def _cells(values: Sequence[object]) -> Iterator[object]:
    """Labels that are numbers are written as numbers: a spreadsheet computes nothing of them."""
    for value in values:
        if isinstance(value, str) and is_number(value):
            yield int(value) if value.lstrip("+-").isdecimal() else float(value)
        else:
            yield value


def _reference(name: str, generation: int | None) -> str:
    """What `get_study` takes.

    Raises:
        UsageError: If the generation is named twice.
    """
    if generation is None:
        return name
    if "#" in name:
        raise UsageError(f"{name} names a generation, and so does {generation}: give one")
    return f"{name}#{generation}"


def _opened(bundle: Bundle, model: ModelRow) -> Model:
    try:
        return bundle.open()
    except DamagedModelError as error:
        raise TunelabError(
            f"{model.title}: {error}",
            hint=f"`tunelab model list {model.name}` shows its other models",
        ) from error


def _no_model(study: StudyRow) -> NotFoundError:
    return NotFoundError(
        f"{study.title} has no model",
        hint="a study gets one when its pick has been confirmed; "
        f"`tunelab study confirm {study.reference}` confirms one that has finished",
    )


def _readme(model: Model, title: str) -> str:
    """How to use the files; nothing that users named stands in it."""
    document, texts = model.document, "categories"
    n_texts = sum(texts in entry for entry in document["inputs"])
    kinds = f"{len(model.columns) - n_texts} columns of numbers, {n_texts} of texts"
    gives = "label, and a probability for each class" if document["classes"] else "targets"
    return f"""\
# {title}

A trained network with its preprocessing ({kinds}). It needs Python and NumPy:

```python
from tunelab_model import load          # tunelab_model.py, in this folder

model = load(".")
print(model.columns)                    # the raw columns it reads
rows = {{...}}                            # column -> its values, as in the data it was trained on
model.predict(rows)                     # {gives}
```

`model.json` says what the network looks like and how each column becomes its inputs: numbers as
(value - mean) / scale, texts as a 1 in the place of their category; `fill` stands in for a missing
value. `weights.npz` holds the arrays, float32:

```python
import json, numpy as np

document = json.load(open("model.json"))
weights = np.load("weights.npz")        # no pickle in it
hidden = inputs @ weights["layer_1.weights"] + weights["layer_1.bias"]
```

Then comes the activation (`network.activation`), and so on; the last layer has none. Batch
normalization (gamma, beta, running_mean, running_variance; epsilon 1e-5) stands before it. One
output for two classes is the logit of the second, several are logits under softmax, those of
numbers are scaled back by `target_scaling`. A checksum in `model.json` covers both files; `load`
checks it.
"""
