"""MLflow's model registry, as far as the mirror needs it: plain calls, no decisions."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunelab.service.mirror.environment import prepare

prepare(os.environ)

from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402

_CODE = Path(__file__).with_name("pyfunc_model.py")
_LOGGED = "models:/"  # begins the source of a version that stands for a logged model
REGISTRY_URI_VARIABLE = "MLFLOW_REGISTRY_URI"


@dataclass(frozen=True)
class Version:
    """A version of a registered model.

    Attributes:
        number: As MLflow counts.
        model_id: Of the logged model that it stands for; None if somebody made it otherwise.
        tags: All its tags.
    """

    number: str
    model_id: str | None
    tags: Mapping[str, str]


class RegisteredModels:
    """The registry that belongs to a tracking server or database.

    Every method raises whatever MLflow raises, except where its docstring says more.

    Args:
        uri: Of the tracking server or database; MLFLOW_REGISTRY_URI names another registry.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._registry_uri = os.environ.get(REGISTRY_URI_VARIABLE) or uri
        self._client = MlflowClient(tracking_uri=uri, registry_uri=self._registry_uri)

    def versions(self, name: str) -> list[Version]:
        """All versions of a registered model, the oldest first; none if there is no such model."""
        found, token = [], None
        while True:
            page = self._client.search_model_versions(f"name = '{name}'", page_token=token)
            found += [Version(str(v.version), _logged_model(v.source), dict(v.tags)) for v in page]
            token = page.token
            if not token:
                return sorted(found, key=lambda version: int(version.number))

    def aliases(self, name: str) -> dict[str, str]:
        """Alias -> version; none if there is no such model."""
        try:
            model = self._client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return {}
            raise
        return {alias: str(version) for alias, version in model.aliases.items()}

    def logged(self, experiment_id: str, tags: Mapping[str, str]) -> list[str]:
        """Ids of the logged models that carry all of the tags."""
        conditions = [f"tags.`{key}` = '{value}'" for key, value in tags.items()]
        found = self._client.search_logged_models(
            [experiment_id], filter_string=" AND ".join(conditions)
        )
        return [model.model_id for model in found]

    def log(
        self,
        experiment_id: str,
        run_id: str,
        *,
        name: str,
        folder: Path,
        document: Mapping[str, Any],
        example: Mapping[str, Any],
        tags: Mapping[str, str],
        scratch: Path,
    ) -> str:
        """Log the model in ``folder`` beside a run, and return its id.

        Args:
            experiment_id: Where it belongs.
            run_id: Of the run that it comes from.
            name: What it is called among logged models.
            folder: Its files, and the code that reads them.
            document: What its ``model.json`` says.
            example: Columns with an example row.
            tags: Its tags.
            scratch: An empty folder to assemble it in.
        """
        import pandas as pd
        from mlflow.entities import LoggedModelOutput
        from mlflow.models import Model
        from mlflow.pyfunc import save_model

        model = self._client.create_logged_model(
            experiment_id, name=name, source_run_id=run_id, tags=dict(tags)
        )
        whole = scratch / "mlflow"
        save_model(
            str(whole),
            python_model=str(_CODE),
            artifacts={"model": str(folder)},
            signature=_signature(document),
            input_example=pd.DataFrame(example),
            pip_requirements=_requirements(),
            mlflow_model=Model(run_id=run_id, model_id=model.model_id),
        )
        self._client.log_model_artifacts(model.model_id, str(whole))
        self._client.finalize_logged_model(model.model_id, "READY")
        self._client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
        return str(model.model_id)

    def register(
        self, name: str, model_id: str, run_id: str, tags: Mapping[str, str], description: str
    ) -> str:
        """Make a logged model the next version of a registered one, and return its number."""
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        version = self._client.create_model_version(
            name,
            _LOGGED + model_id,
            run_id,
            tags=dict(tags),
            description=description,
            model_id=model_id,
        )
        return str(version.version)

    def download(self, name: str, number: str, place: Path) -> Path:
        """Fetch the files of a version, as whoever uses it gets them, and return their folder."""
        from mlflow.artifacts import download_artifacts

        fetched = download_artifacts(
            artifact_uri=f"models:/{name}/{number}",
            dst_path=str(place),
            tracking_uri=self._uri,
            registry_uri=self._registry_uri,
        )
        return Path(fetched)

    def predict(self, folder: Path, columns: Mapping[str, Any]) -> Any:
        """What MLflow predicts with the files of a version: a DataFrame."""
        import pandas as pd
        from mlflow.pyfunc import load_model

        return load_model(str(folder)).predict(pd.DataFrame(columns))

    def tag(self, name: str, number: str, key: str, value: str) -> None:
        """Set a tag of a version."""
        self._client.set_model_version_tag(name, number, key, value)

    def set_alias(self, name: str, alias: str, number: str) -> None:
        """Let an alias point to a version."""
        self._client.set_registered_model_alias(name, alias, number)

    def delete_alias(self, name: str, alias: str) -> None:
        """Delete an alias, if it is there."""
        self._client.delete_registered_model_alias(name, alias)

    def delete_version(self, name: str, version: Version) -> None:
        """Delete a version and the logged model behind it."""
        with _gone_ignored():
            self._client.delete_model_version(name, version.number)
        if version.model_id is not None:
            with _gone_ignored():
                self._client.delete_logged_model(version.model_id)

    def delete_logged(self, model_id: str) -> None:
        """Delete a logged model that no version stands for."""
        self._client.delete_logged_model(model_id)

    def delete_name(self, name: str) -> None:
        """Delete a registered model that has no version."""
        self._client.delete_registered_model(name)


def _logged_model(source: str | None) -> str | None:
    """The id of the logged model behind a version: databases keep it in the source alone."""
    return source.removeprefix(_LOGGED) if source and source.startswith(_LOGGED) else None


@contextmanager
def _gone_ignored() -> Iterator[None]:
    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise


def _signature(document: Mapping[str, Any]) -> Any:
    """Raw columns in, predictions out.

    A column of numbers is of any type: MLflow would refuse whole numbers for ``double``.
    """
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, Schema

    number: Any = AnyType  # which is untyped
    inputs = [
        ColSpec("string" if "categories" in entry else number(), entry["name"])
        for entry in document["inputs"]
    ]
    if document["classes"]:
        probabilities = [ColSpec("float", f"probability_{name}") for name in document["classes"]]
        outputs = [ColSpec("string", "label"), *probabilities]
    else:
        outputs = [ColSpec("double", name) for name in document["targets"]]
    return ModelSignature(inputs=Schema([*inputs]), outputs=Schema([*outputs]))


def _requirements() -> list[str]:
    """What the model needs, as it was when it was made."""
    from importlib.metadata import version

    return [f"{name}=={version(name)}" for name in ("mlflow", "numpy", "pandas")]
