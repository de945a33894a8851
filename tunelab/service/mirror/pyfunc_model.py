"""What MLflow runs to predict with a model: it is copied into the model as it stands.

There it needs MLflow, pandas, NumPy and the folder of the model, and not tunelab.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

CODE_FILE = "tunelab_model.py"


class TunelabModel(PythonModel):
    """Predicts from raw columns: a label and probabilities, or targets in original units."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the model, by the code that was stored with it."""
        folder = Path(context.artifacts["model"])
        # Not by its name: models of several versions may live in one process.
        spec = importlib.util.spec_from_file_location("tunelab_model", folder / CODE_FILE)
        if spec is None or spec.loader is None:
            raise ImportError(f"{folder / CODE_FILE} cannot be imported")
        code = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(code)
        self.model = code.load(folder)

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow passes it
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """Predict from the columns that the model reads; others are ignored."""
        columns = {
            name: model_input[name].to_numpy(dtype=object, na_value=None)
            for name in self.model.columns
            if name in model_input
        }
        return pd.DataFrame(self.model.predict(columns), index=model_input.index)


set_model(TunelabModel())
