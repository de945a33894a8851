"""The models of a study in MLflow's registry: logged, read back, checked, and only then named.

The registered model has the study's name, a version stands for one stored model, and the aliases
``champion`` and ``challenger`` say what the study database says. Versions and logged models are
found by the checksum in their tags, so that what a kill has left is gone on with. A version gets
the tag ``tunelab.checked`` when it was read back and predicts what the stored model predicts; no
alias points to one that has not.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sqlalchemy import Connection

from tunelab.datasets.bundle import (
    ARRAYS_FILE,
    DOCUMENT_FILE,
    Bundle,
    DamagedModelError,
    Model,
    read,
    write_bundle,
)
from tunelab.datasets.bundle.probes import probe_rows
from tunelab.errors import TunelabError
from tunelab.service.mirror.markdown import plain
from tunelab.service.mirror.messages import CREATED_TAG, GENERATION_TAG, STUDY_TAG
from tunelab.service.mirror.registered_models import RegisteredModels, Version
from tunelab.service.mirror.sent import Sent
from tunelab.storage.engine import Database
from tunelab.storage.mirror_runs import MirrorRun
from tunelab.storage.models import ModelRow, challenger, champion, latest_model, read_bundle
from tunelab.storage.studies import StudyRow, study_by_id

CHAMPION, CHALLENGER = "champion", "challenger"
CHECKSUM_TAG = "tunelab.checksum"
CHECKED_TAG = "tunelab.checked"
FILES_TAG = "tunelab.files"  # SHA-256 over all files of a version that was checked
DAMAGED_TAG = "tunelab.damaged"  # found so later: it keeps its alias until another can have it

_TOLERANCE = 1e-6
_LOOKS = 3  # at titles, while they change
_FOLDER = Path("artifacts")


class DamagedArtifactError(TunelabError):
    """What MLflow gives back is not the model that it was sent."""


@dataclass(frozen=True)
class Titles:
    """Which models of a name the study database calls what; None: no model."""

    champion: ModelRow | None
    challenger: ModelRow | None


def read_titles(connection: Connection, name: str) -> Titles:
    """Who holds which title of a name."""
    return Titles(champion(connection, name), challenger(connection, name))


def send_model(database: Database, uri: str, run: MirrorRun) -> MirrorRun | None:
    """Send what the registry lacks of a study since its own run was sent last.

    Args:
        database: The study database.
        uri: Of the tracking server or database.
        run: The study's own run.

    Returns:
        The run as it is to be remembered; None if there was nothing to send.

    Raises:
        DamagedArtifactError: See `Registry.send`.
        Exception: Whatever MLflow raises.
    """
    sent = Sent.from_text(run.sent)
    with database.read() as connection:
        model = latest_model(connection, run.study_id)
    if model is None or model.checksum == sent.model:
        return None
    Registry(database, run.study_id, uri).send(run.experiment_id, run.run_id)
    return replace(run, sent=replace(sent, model=model.checksum).to_text())


class Registry:
    """What MLflow's registry shows of one study.

    Args:
        database: The study database.
        study_id: Key of the study.
        uri: Of the tracking server or database that the registry belongs to.
    """

    def __init__(self, database: Database, study_id: int, uri: str) -> None:
        self._database = database
        self._study_id = study_id
        self._models = RegisteredModels(uri)

    def send(self, experiment_id: str, run_id: str) -> None:
        """Register the study's model if it has one and it is not there, and set the aliases.

        Args:
            experiment_id: Of the study.
            run_id: Of the study's own run.

        Raises:
            DamagedArtifactError: If MLflow gives back something else. That version is deleted; the
                next call makes another.
            Exception: Whatever MLflow raises.
        """
        with self._database.read() as connection:
            study = study_by_id(connection, self._study_id)
            own = latest_model(connection, study.id)
            stored = None if own is None else read_bundle(connection, own.id)
        if own is None or stored is None:
            return
        version = self._version(study.name, own)
        if version is None:
            version = self._make(study, own, stored, experiment_id, run_id)
        if not _is_checked(version):
            self._check(study.name, version, own, stored)
        self._name(study.name)

    def repair(self, experiment_id: str, run_id: str) -> None:
        """The same, with a look at the version that is there: a damaged one is made anew.

        Raises:
            DamagedArtifactError: If what is made anew is damaged too.
            Exception: Whatever MLflow raises.
        """
        with self._database.read() as connection:
            study = study_by_id(connection, self._study_id)
            own = latest_model(connection, study.id)
        version = None if own is None else self._version(study.name, own)
        if own is not None and version is not None and not self._is_whole(study.name, version, own):
            self._models.tag(study.name, version.number, DAMAGED_TAG, "true")
        self.send(experiment_id, run_id)
        for left in self._damaged(study.name, own):
            self._models.delete_version(study.name, left)

    def differences(self, *, thorough: bool) -> int:
        """How many things are otherwise than the study database says: the version, and aliases.

        Args:
            thorough: Whether to read the version's files.
        """
        with self._database.read() as connection:
            study = study_by_id(connection, self._study_id)
            own = latest_model(connection, study.id)
        if own is None:
            return 0
        version = self._version(study.name, own)
        if version is None or not _is_checked(version):
            return 1
        if self._damaged(study.name, own):
            return 1
        if thorough and not self._is_whole(study.name, version, own):
            return 1
        wanted, there = self._wanted(study.name), self._models.aliases(study.name)
        # Of aliases those count that are this version's, or should be.
        return sum(
            there.get(alias) != number
            for alias, number in wanted.items()
            if version.number in (number, there.get(alias))
        )

    def remove(self) -> None:
        """Delete the versions of the study's models, and the registered model if none is left."""
        with self._database.read() as connection:
            study = study_by_id(connection, self._study_id)
        tags = _study_tags(study).items()
        versions = self._models.versions(study.name)
        doomed = [version for version in versions if tags <= version.tags.items()]
        for version in doomed:
            self._models.delete_version(study.name, version)
        if doomed and len(doomed) == len(versions):
            self._models.delete_name(study.name)

    # One version

    def _damaged(self, name: str, model: ModelRow | None) -> list[Version]:
        """Versions of a model that were found damaged, and that nobody needs any more."""
        return [
            version
            for version in self._models.versions(name)
            if model is not None and _is_of(version, model) and not _stands_for(version, model)
        ]

    def _version(self, name: str, model: ModelRow) -> Version | None:
        """The version that stands for a model; of several the first."""
        found = (v for v in self._models.versions(name) if _stands_for(v, model))
        return next(found, None)

    def _make(
        self, study: StudyRow, own: ModelRow, stored: Bundle, experiment_id: str, run_id: str
    ) -> Version:
        tags = {CHECKSUM_TAG: own.checksum, **_study_tags(study)}
        for left in self._models.logged(experiment_id, tags):
            self._models.delete_logged(left)  # of a mirror that died over it: it may be half there
        model = stored.open()
        with tempfile.TemporaryDirectory(prefix="tunelab-") as place:
            folder = Path(place) / "model"
            folder.mkdir()
            write_bundle(stored, folder)
            model_id = self._models.log(
                experiment_id,
                run_id,
                name=f"{study.name}-{study.generation}",
                folder=folder,
                document=model.document,
                example=probe_rows(model.document, 1),
                tags=tags,
                scratch=Path(place),
            )
        description = f"{study.title}: trial {own.confirms}, trained again in the confirm stage"
        if study.decision is not None:
            description += f". {plain(study.decision.sentence)}"
        number = self._models.register(study.name, model_id, run_id, tags, description)
        return Version(number, model_id, tags)

    def _check(self, name: str, version: Version, own: ModelRow, stored: Bundle) -> None:
        """Read a version back and compare it with the stored model; tag it if it is the same."""
        with tempfile.TemporaryDirectory(prefix="tunelab-") as place:
            fetched = self._models.download(name, version.number, Path(place))
            digest = _digest(fetched)  # now: running its code may leave files
            try:
                self._compare(fetched, stored)
            except Exception as error:  # whatever its files make MLflow do, it cannot be used
                self._models.delete_version(name, version)
                raise DamagedArtifactError(
                    f"the model of {own.title} cannot be used as MLflow gives it back "
                    f"({error}); version {version.number} was deleted, and is made anew"
                ) from error
        self._models.tag(name, version.number, FILES_TAG, digest)
        self._models.tag(name, version.number, CHECKED_TAG, "true")

    def _compare(self, fetched: Path, stored: Bundle) -> None:
        model = _read_back(fetched)
        rows = probe_rows(model.document)
        own = stored.open()
        expected = own.scores(own.inputs(rows))
        predicted = self._models.predict(fetched, rows)
        columns = list(own.named(expected))[-expected.shape[1] :]
        given = predicted[columns].to_numpy(dtype=np.float64)
        if not np.allclose(given, expected, rtol=_TOLERANCE, atol=_TOLERANCE):
            worst = float(np.abs(given - expected).max())
            raise DamagedModelError(f"its predictions are off by up to {worst:.3g}")

    def _is_whole(self, name: str, version: Version, own: ModelRow) -> bool:
        """Whether the files of a version are those that were sent; nothing in them is run."""
        with tempfile.TemporaryDirectory(prefix="tunelab-") as place:
            try:
                fetched = self._models.download(name, version.number, Path(place))
            except Exception:
                self._models.versions(name)  # raises likewise if MLflow is away
                return False
            try:
                same = bool(_read_back(fetched).document["checksum"] == own.checksum)
            except (DamagedModelError, OSError):
                return False
            # A version of an earlier tunelab does not say what its other files were.
            return same and version.tags.get(FILES_TAG) in (None, _digest(fetched))

    # Aliases

    def _wanted(self, name: str) -> dict[str, str | None]:
        """Alias -> the version that it should point to; None where it should not be.

        A title whose model is not registered (yet, or any more) has no say.
        """
        with self._database.read() as connection:
            titles = read_titles(connection, name)
        versions = self._models.versions(name)
        wanted: dict[str, str | None] = {}
        for alias, model in ((CHAMPION, titles.champion), (CHALLENGER, titles.challenger)):
            if model is None:
                wanted[alias] = None
                continue
            fitting = [v for v in versions if _stands_for(v, model) and _is_checked(v)]
            if fitting:
                wanted[alias] = fitting[0].number
        return wanted

    def _name(self, name: str) -> None:
        """Let the aliases say what the study database says."""
        for _ in range(_LOOKS):
            wanted, there = self._wanted(name), self._models.aliases(name)
            changes = {a: n for a, n in wanted.items() if there.get(a) != n}
            if not changes:
                return
            for alias, number in changes.items():
                if number is None:
                    self._models.delete_alias(name, alias)
                else:
                    self._models.set_alias(name, alias, number)
            # Another generation may have taken the title meanwhile: look again.


def _study_tags(study: StudyRow) -> dict[str, str]:
    """Tags of whatever belongs to a study; no other study has the same."""
    return {
        STUDY_TAG: study.name,
        GENERATION_TAG: str(study.generation),
        CREATED_TAG: f"{study.created_at:.6f}",
    }


def _read_back(fetched: Path) -> Model:
    """The model among the files of a version."""
    (folder,) = sorted(path.parent for path in (fetched / _FOLDER).rglob(DOCUMENT_FILE))[:1] or [
        fetched
    ]
    return read((folder / DOCUMENT_FILE).read_bytes(), (folder / ARRAYS_FILE).read_bytes())


def _digest(fetched: Path) -> str:
    """SHA-256 over the names and contents of all files in a folder."""
    digest = hashlib.sha256()
    for path in sorted(path for path in fetched.rglob("*") if path.is_file()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{content} {path.relative_to(fetched).as_posix()}\n".encode())
    return digest.hexdigest()


def _is_of(version: Version, model: ModelRow) -> bool:
    return version.tags.get(CHECKSUM_TAG) == model.checksum


def _stands_for(version: Version, model: ModelRow) -> bool:
    return _is_of(version, model) and DAMAGED_TAG not in version.tags


def _is_checked(version: Version) -> bool:
    return version.tags.get(CHECKED_TAG) == "true"
