"""The tables of the study database.

::

    studies 1──n trials 1──n epochs        what was asked for, what ran, every epoch of it
                        1──n checkpoints   arrays to continue from, and the best weights
                        1──n test_openings each time that the test rows were looked at
            1──n models 1──n champions     networks to predict with; who was the name's best when
    leases                                 who coordinates or mirrors a study at present
    workers                                processes that claim trials
    mirror_runs                            what MLflow has been sent
    sweeps 1──n sweep_slots                what starts by itself, and each instant of it

Times are seconds since 1970-01-01 UTC. Losses and scores that are not finite are stored as NULL.
The migrations under ``migrations/`` create these tables; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _study_reference(*, nullable: bool = False) -> Column[int]:
    return Column(
        "study_id", Integer, ForeignKey("studies.id", ondelete="CASCADE"), nullable=nullable
    )


studies = Table(
    "studies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(100), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("state", String(20), nullable=False),  # StudyState
    Column("executor", String(20), nullable=False, server_default="local"),  # Executor
    Column("spec", JSON, nullable=False),  # the resolved study file
    Column("spec_hash", String(64), nullable=False),  # of all that may not change
    Column("data_digest", String(64), nullable=False),
    Column("data_path", Text, nullable=False),  # folder of the prepared arrays
    Column("baseline_loss", Double, nullable=False),  # of the constant predictor, on validation
    Column("n_trials", Integer, nullable=False),
    Column("timeout_seconds", Double),
    Column("running_seconds", Double, nullable=False),  # of the search, summed over restarts
    Column("stop_requested", Boolean, nullable=False),
    Column("end_reason", Text),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("ended_at", Double),
    # What the confirm stage came to: a document of storage.confirmed; NULL before.
    Column("confirmed", JSON(none_as_null=True)),
    # How its model fared against the champion: a document of storage.gate; NULL before.
    Column("gate", JSON(none_as_null=True)),
    UniqueConstraint("name", "generation"),
)

trials = Table(
    "trials",
    metadata,
    Column("id", Integer, primary_key=True),
    _study_reference(),
    Column("kind", String(20), nullable=False),  # "trial": the search; "confirm": a run after it
    Column("number", Integer, nullable=False),  # within its kind
    # Of a confirm run: the search's trial that is trained again, and with which of the seeds.
    Column("confirms", Integer),
    Column("repeat", Integer),
    Column("data_path", Text),  # folder of its own prepared arrays; NULL: the study's
    Column("data_digest", String(64)),
    Column("state", String(20), nullable=False),  # TrialState
    Column("hyperparameters", JSON, nullable=False),  # flat record
    Column("sampler_state", JSON, nullable=False),  # what rebuilds the sampler's own trial
    Column("seed", BigInteger, nullable=False),
    Column("rung_limits", JSON, nullable=False),  # epoch -> limit and number of trials behind it
    Column("stop_requested", Boolean, nullable=False),
    # The lease: a write counts only while the token is that of the claim.
    Column("attempts", Integer, nullable=False),  # claims so far
    Column("lost_leases", Integer, nullable=False),  # claims whose owner died or fell silent
    Column("owner", Text),
    Column("token", Integer, nullable=False),
    Column("expires_at", Double),
    # What is known so far, and at the end for good.
    Column("n_epochs", Integer, nullable=False),
    Column("value", Double),  # of the objective, at best_epoch
    Column("best_epoch", Integer),
    Column("signal", String(20)),
    Column("onset", Integer),
    Column("gap", Double),
    Column("reason", Text),
    Column("rung_values", JSON),  # epoch -> best so far, for the pruner
    Column("end_reason", String(20)),  # EndReason
    Column("error", Text),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("ended_at", Double),
    UniqueConstraint("study_id", "kind", "number"),
    Index(None, "study_id", "state"),
)

epochs = Table(
    "epochs",
    metadata,
    Column("trial_id", Integer, ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("recorded_at", Double, nullable=False),  # kept when an epoch is trained again
    Column("train_loss", Double),
    Column("validation_loss", Double),
    Column("train_score", Double),
    Column("validation_score", Double),
    Column("learning_rate", Double, nullable=False),
    Column("gradient_norm", Double),
    Column("seconds", Double, nullable=False),  # kept likewise
    Column("signal", String(20), nullable=False),
    Column("suspicion", String(40)),  # the stop that a learning trial heads for, as people read it
    sqlite_with_rowid=False,
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("trial_id", Integer, ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True),
    Column("kind", String(10), primary_key=True),  # "state" to continue from, "best" weights
    Column("epoch", Integer, primary_key=True),
    Column("created_at", Double, nullable=False),
    Column("checksum", String(64), nullable=False),  # SHA-256 of whose it is, and data
    Column("data", LargeBinary, nullable=False),
)

test_openings = Table(
    "test_openings",
    metadata,
    Column("id", Integer, primary_key=True),
    _study_reference(),
    Column("trial_id", Integer, ForeignKey("trials.id", ondelete="CASCADE"), nullable=False),
    Column("test_digest", String(64), nullable=False),  # of the test rows
    Column("opened_at", Double, nullable=False),
    Column("reason", Text, nullable=False),
    Column("scores", JSON(none_as_null=True)),  # NULL: whoever opened it died before the end
    Index(None, "study_id"),
    Index(None, "trial_id"),
    Index(None, "test_digest"),
)

models = Table(
    "models",
    metadata,
    Column("id", Integer, primary_key=True),
    _study_reference(),
    # The confirm run whose network it is.
    Column(
        "trial_id",
        Integer,
        ForeignKey("trials.id", ondelete="CASCADE"),
        nullable=False,
        unique=True,
    ),
    Column("made_at", Double, nullable=False),
    Column("checksum", String(64), nullable=False),  # of both files; see datasets.bundle.portable
    Column("document", LargeBinary, nullable=False),  # model.json
    Column("arrays", LargeBinary, nullable=False),  # weights.npz
    UniqueConstraint("trial_id"),
    Index(None, "study_id"),
)

champions = Table(  # rows are only added: the last one of a name holds the title
    "champions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(100), nullable=False),  # of the study, all generations
    Column("model_id", Integer, ForeignKey("models.id", ondelete="CASCADE"), nullable=False),
    Column("since", Double, nullable=False),
    Column("chosen_by", String(10), nullable=False),  # "gate" or "hand"
    Column("reason", Text, nullable=False),
    Index(None, "name"),
    Index(None, "model_id"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(100), primary_key=True),  # "coordinator:7", "mirror:7"
    Column("owner", Text),
    Column("token", Integer, nullable=False),
    Column("expires_at", Double, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("owner", Text, nullable=False, unique=True),
    _study_reference(nullable=True),
    Column("started_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
)

mirror_runs = Table(
    "mirror_runs",
    metadata,
    Column("id", Integer, primary_key=True),
    _study_reference(),
    Column("trial_id", Integer, ForeignKey("trials.id", ondelete="CASCADE")),  # NULL: the study
    Column("tracking_uri", Text, nullable=False),
    Column("experiment_id", Text, nullable=False),
    Column("run_id", Text, nullable=False, unique=True),
    Column("last_epoch", Integer, nullable=False),  # curves have been sent up to here
    Column("sent", Text, nullable=False),  # a state, or a document: see storage.mirror_runs
    Index(None, "study_id"),
    Index(None, "trial_id"),
)

sweeps = Table(
    "sweeps",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("study_file", Text, nullable=False),  # where it was read
    Column("spec", JSON, nullable=False),  # what it said when it was last right, not resolved
    Column("problem", Text),  # what is wrong with the file since then
    Column("paused", Boolean, nullable=False),
    Column("counts_from", Double, nullable=False),  # earlier slots are none of its own
    Column("created_at", Double, nullable=False),
    Column("changed_at", Double, nullable=False),
)

sweep_slots = Table(
    "sweep_slots",
    metadata,
    Column("sweep_id", Integer, ForeignKey("sweeps.id", ondelete="CASCADE"), primary_key=True),
    Column("slot_at", Double, primary_key=True),  # the UTC instant: a slot fires once
    Column("state", String(20), nullable=False),  # SlotState
    # The lease of a claimed slot; the token counts its claims.
    Column("owner", Text),
    Column("token", Integer, nullable=False),
    Column("expires_at", Double),
    Column("lost_claims", Integer, nullable=False),  # claims whose owner died or fell silent
    Column("study_id", Integer, ForeignKey("studies.id", ondelete="SET NULL")),
    Column("reason", Text),
    Column("created_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("told_by", Text),  # who took it on to tell of a bad end; NULL: nobody yet
    Index(None, "state", "ended_at"),
    Index(None, "study_id"),
)
