"""One training run: an iterator of epochs that can be stopped, saved and continued exactly."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import repeat

import numpy as np

from tunelab.training.arrays import Floats, Ints, StateDict, TrainingData
from tunelab.training.evaluation import Evaluator, input_table
from tunelab.training.losses import make_loss
from tunelab.training.metrics import METRICS, Metric, original_units
from tunelab.training.network import MATCHED, Network, Pass, dense_layers
from tunelab.training.optimizers import Optimizer
from tunelab.training.records import EpochRecord
from tunelab.training.schedules import Schedule

MOST_SUBSET_ROWS = 512
"""Training rows that ``train_loss`` is measured on, at most, and never more than validation rows.

They are the same rows in every epoch, so what they show of the curve's course is exact; their level
is that of all rows to within a few percent. On large data, measuring it on as many rows as the
validation split has would cost a tenth of the whole training time.
"""


def never() -> bool:
    """The answer of a run that nobody stops."""
    return False


def steps_per_epoch(n_train: int, batch_size: int, *, batch_norm: bool) -> int:
    """Weight updates in one epoch.

    The last batch has the rows that are left over, and is smaller. Under batch norm a last batch
    of a single row is left out, because a single row has no variance; being drawn anew each
    epoch, it is hardly ever the same row.

    Args:
        n_train: Training rows.
        batch_size: Rows of a full batch, in [1, n_train]; under batch norm at least 2.
        batch_norm: Whether the network has batch norm.

    Raises:
        ValueError: If ``batch_size`` is out of range.

    >>> steps_per_epoch(49, 16, batch_norm=False), steps_per_epoch(49, 16, batch_norm=True)
    (4, 3)
    """
    least = 2 if batch_norm else 1
    if not least <= batch_size <= n_train:
        under = " under batch norm" if batch_norm else ""
        raise ValueError(
            f"batch_size must be in [{least}, {n_train}]{under} (at most the training rows), "
            f"got {batch_size}"
        )
    n_full, n_rest = divmod(n_train, batch_size)
    return n_full + (n_rest >= least)


class TrainingRun:
    """Trains a dense network and yields an EpochRecord after every epoch.

    The run's *state* is that of the last finished epoch, always: it is copied aside at the end of
    each, so that ``state_dict`` never shows half an epoch, and so that a run continued from it
    equals a run that never stopped, bit for bit (same machine kind, NumPy and thread count).

    A run that diverges goes on: its records then hold nan or inf. Nothing is raised or warned.

    Args:
        data: What to train on and to validate with.
        units: Width of each hidden layer.
        activation: A key of ``ACTIVATIONS``.
        initializer: A key of ``INITIALIZERS``, or ``matched`` to the activation.
        batch_norm: Whether every hidden layer has batch norm.
        dropout_rate: Fraction of hidden outputs zeroed, in [0, 1).
        l1: Penalty on the weights, >= 0; so is ``l2``. See Network for both, and for clipping.
        l2: See ``l1``.
        gradient_clip: Greatest norm of a gradient, >= 0; 0 is no limit.
        label_smoothing: Share of a class target spread over all classes, in [0, 1); training only.
        class_weight: ``none``, or ``balanced``: rare classes weigh more; training only.
        loss: One of ``loss_names(data.task)``; None is the task's default.
        optimizer: Fresh; the run binds it to its network.
        schedule: Learning rate of each epoch, or of each step, whichever is its unit.
        batch_size: Examples per step, at most the training rows; under batch norm at least 2. See
            ``steps_per_epoch`` for the last batch.
        max_epochs: Where the iteration ends.
        seed: Root of all randomness: initial weights, order of batches, dropout, and the training
            rows that ``train_loss`` is measured on (at most MOST_SUBSET_ROWS) each have a stream of
            their own.
        score: A key of ``METRICS`` that fits the task; None records no score.
        dtype: np.float32 or np.float64.
        should_stop: Read before every step. When true, the partial epoch is discarded and the
            iteration ends.

    Attributes:
        epoch: Finished epochs.
        interrupted: Whether ``should_stop`` ended the iteration in mid-epoch.

    Raises:
        ValueError: If an argument is out of range, or unknown, or does not fit the data.
    """

    def __init__(
        self,
        data: TrainingData,
        *,
        units: Sequence[int],
        activation: str = "relu",
        initializer: str = MATCHED,
        batch_norm: bool = False,
        dropout_rate: float = 0.0,
        l1: float = 0.0,
        l2: float = 0.0,
        gradient_clip: float = 0.0,
        label_smoothing: float = 0.0,
        class_weight: str = "none",
        loss: str | None = None,
        optimizer: Optimizer,
        schedule: Schedule,
        batch_size: int,
        max_epochs: int,
        seed: int,
        score: str | None = None,
        dtype: type = np.float32,
        should_stop: Callable[[], bool] = never,
    ) -> None:
        n_train = len(data.x_train)
        n_steps = steps_per_epoch(n_train, batch_size, batch_norm=batch_norm)
        if not isinstance(max_epochs, int) or max_epochs < 1:
            raise ValueError(f"max_epochs must be a whole number, at least 1, got {max_epochs}")
        if not isinstance(batch_norm, bool):
            raise ValueError(f"batch_norm must be True or False, got {batch_norm!r}")
        if np.dtype(dtype) not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise ValueError(f"dtype must be float32 or float64, got {np.dtype(dtype)}")
        self.epoch = 0
        self.interrupted = False
        self._data = data
        self._schedule = schedule
        self._max_epochs = max_epochs
        self._should_stop = should_stop
        self._metric = _metric(score, data.task)

        streams = np.random.SeedSequence(seed).spawn(4)
        for_weights, for_order, for_dropout, for_subset = map(np.random.PCG64DXSM, streams)
        self._bit_generators = {"order": for_order}
        if dropout_rate > 0.0:
            self._bit_generators["dropout"] = for_dropout
        self._order = np.random.Generator(for_order)

        to_minimise = make_loss(
            data, name=loss, label_smoothing=label_smoothing, class_weight=class_weight
        )
        layers = dense_layers(
            data.n_features,
            units,
            to_minimise.n_outputs,
            activation=activation,
            initializer=initializer,
            batch_norm=batch_norm,
            dropout_rate=dropout_rate,
            dropout_bits=for_dropout,
        )
        self._network = Network(
            layers,
            to_minimise,
            n_features=data.n_features,
            l1=l1,
            l2=l2,
            gradient_clip=gradient_clip,
            dtype=dtype,
        )
        self._network.initialize(np.random.Generator(for_weights))
        self._optimizer = optimizer.bind(self._network.params, n_weights=self._network.n_penalised)

        targets = to_minimise.columns(data.y_train)
        self._table = input_table([data.x_train], self._network.dtype, targets)
        self._batches = _batches(self._network, n_train, batch_size, n_steps)
        self._passes = list(dict.fromkeys(training for _, _, training in self._batches))

        self._n_validation = len(data.x_validation)
        n_subset = min(self._n_validation, MOST_SUBSET_ROWS)
        rows = np.random.Generator(for_subset).permutation(n_train)[:n_subset]
        rows.sort()
        self._evaluator = Evaluator(self._network, data.x_validation, data.x_train[rows])
        y_subset: Ints | Floats = data.y_train[rows]
        self._y_evaluated = np.concatenate([data.y_validation, y_subset])
        self._validation_targets = original_units(data, data.y_validation)
        self._subset_targets = original_units(data, y_subset)

        self._best: Floats | None = None
        self._boundary_values = np.empty_like(self._network.values)
        self._boundary_slots = np.empty_like(self._optimizer.slots)
        self._boundary_rest: StateDict = {}
        self._close_epoch()

    def __iter__(self) -> Iterator[EpochRecord]:
        return self

    def __next__(self) -> EpochRecord:
        """Train one epoch."""
        if self.interrupted or self.epoch >= self._max_epochs:
            raise StopIteration
        started = time.perf_counter()
        with np.errstate(all="ignore"):
            if not self._train():
                self.interrupted = True
                self._reopen_epoch()
                raise StopIteration
            train_loss, validation_loss, train_score, validation_score = self._evaluate()
            gradient_norm = self._network.gradient_norm()
        learning_rate = next(self._rates())
        self.epoch += 1
        self._close_epoch()
        return EpochRecord(
            epoch=self.epoch,
            train_loss=train_loss,
            validation_loss=validation_loss,
            learning_rate=learning_rate,
            gradient_norm=gradient_norm,
            seconds=time.perf_counter() - started,
            train_score=train_score,
            validation_score=validation_score,
        )

    def keep_best(self) -> None:
        """Remember the weights of the last finished epoch, and its running statistics."""
        if self._best is None:
            self._best = np.empty_like(self._boundary_values)
        np.copyto(self._best, self._boundary_values)

    def restore_best(self) -> None:
        """Make what the last ``keep_best`` remembered the present; without one, do nothing.

        The state is left alone: it stays that of the last finished epoch.
        """
        if self._best is not None:
            np.copyto(self._network.values, self._best)

    def state_dict(self) -> StateDict:
        """A copy of the state at the last finished epoch, the best one's weights included."""
        return {
            "values": self._boundary_values.copy(),
            "best": None if self._best is None else self._best.copy(),
            "slots": self._boundary_slots.copy(),
            **self._boundary_rest,
        }

    def load_state_dict(self, state: StateDict) -> None:
        """Continue from ``state``, which a run with the same arguments saved.

        Raises:
            ValueError: If the state belongs to another network or optimizer.
        """
        expected = {"values", "best", "slots", *self._boundary_rest}
        if state.keys() != expected:
            raise ValueError(f"the state must have {sorted(expected)}, got {sorted(state)}")
        ours, theirs = sorted(self._bit_generators), sorted(state["generators"])
        if ours != theirs:
            raise ValueError(f"generators must be {ours}, got {theirs}")
        if not 0 <= state["epoch"] <= self._max_epochs:
            raise ValueError(f"epoch must be in [0, {self._max_epochs}], got {state['epoch']}")
        self._optimizer.check_counters(state["counters"])
        values, slots = self._boundary_values, self._boundary_slots
        for name, array in (("values", values), ("slots", slots), ("best", values)):
            given = state[name]
            if given is None and name == "best":
                continue
            if given.shape != array.shape or given.dtype != array.dtype:
                raise ValueError(
                    f"{name} must be {array.dtype} of shape {array.shape}, "
                    f"got {given.dtype} of shape {given.shape}"
                )
        np.copyto(values, state["values"])
        np.copyto(slots, state["slots"])
        self._best = None if state["best"] is None else state["best"].copy()
        self._boundary_rest = {name: state[name] for name in self._boundary_rest}
        self.interrupted = False
        self._reopen_epoch()

    def weights(self) -> dict[str, Floats]:
        """Copies of the present weights by name, as ``Network.export`` gives them."""
        return self._network.export()

    def load_weights(self, weights: Mapping[str, Floats]) -> None:
        """Make the present weights those that `weights` of an equal network gave.

        The state is left alone: it stays that of the last finished epoch.

        Raises:
            ValueError: If they are another network's.
        """
        self._network.load(weights)

    def evaluate(self) -> tuple[float, float | None]:
        """Loss and score of the present weights on the validation rows."""
        with np.errstate(all="ignore"):
            _, validation_loss, _, validation_score = self._evaluate()
        return validation_loss, validation_score

    def predict(self, x: Floats) -> Floats:
        """Class probabilities, or targets in original units, shape (rows, n_outputs).

        Args:
            x: Preprocessed features, shape (rows, n_features).
        """
        if x.ndim != 2 or x.shape[1] != self._network.n_features:
            raise ValueError(f"x must have shape (rows, {self._network.n_features}), got {x.shape}")
        with np.errstate(all="ignore"):
            outputs = Evaluator(self._network, x).outputs()
            return self._in_units(self._network.loss.predictions(outputs))

    def _rates(self) -> Iterator[float]:
        """The learning rate of every step of the epoch that comes next."""
        n_steps = len(self._batches)
        if self._schedule.unit == "epoch":
            return repeat(self._schedule(self.epoch), n_steps)
        done = self.epoch * n_steps
        return map(self._schedule, range(done, done + n_steps))

    def _train(self) -> bool:
        """Take the steps of one epoch. False if asked to stop before the last."""
        order = self._order.permutation(len(self._table))
        take, step, should_stop = self._table.take, self._optimizer.step, self._should_stop
        params, grads = self._network.params, self._network.grads
        for training in self._passes:
            training.start_epoch()
        for (start, stop, training), rate in zip(self._batches, self._rates(), strict=True):
            if should_stop():
                return False
            # The default mode would check indices that cannot be wrong, through a second buffer.
            take(order[start:stop], 0, training.batch, "clip")
            training.run()
            step(params, grads, rate)
        return True

    def _evaluate(self) -> tuple[float, float, float | None, float | None]:
        """Losses and scores of training subset and validation split, in evaluation mode."""
        outputs = self._evaluator.outputs()
        losses, predicted = self._network.loss.evaluate(outputs, self._y_evaluated)
        n = self._n_validation
        validation_sum, train_sum = np.add.reduceat(losses, (0, n), dtype=np.float64).tolist()
        validation_loss, train_loss = validation_sum / n, train_sum / (len(losses) - n)
        if self._metric is None:
            return train_loss, validation_loss, None, None
        predictions = self._in_units(predicted)
        train_score = self._metric.compute(predictions[n:], self._subset_targets)
        validation_score = self._metric.compute(predictions[:n], self._validation_targets)
        return train_loss, validation_loss, train_score, validation_score

    def _in_units(self, predicted: Floats) -> Floats:
        """Predictions, shape (columns, rows), as people know them, shape (rows, columns)."""
        if self._data.n_classes is None:
            return predicted.T * self._data.target_scale + self._data.target_mean
        return predicted.T

    def _close_epoch(self) -> None:
        """Copy the present state aside."""
        np.copyto(self._boundary_values, self._network.values)
        np.copyto(self._boundary_slots, self._optimizer.slots)
        self._boundary_rest = {
            "epoch": self.epoch,
            "counters": self._optimizer.counters.copy(),
            "generators": {name: bits.state for name, bits in self._bit_generators.items()},
        }

    def _reopen_epoch(self) -> None:
        """Go back to the state that was copied aside."""
        np.copyto(self._network.values, self._boundary_values)
        self._optimizer.load_state_dict(
            {"slots": self._boundary_slots, "counters": self._boundary_rest["counters"]}
        )
        self.epoch = self._boundary_rest["epoch"]
        for name, bits in self._bit_generators.items():
            bits.state = self._boundary_rest["generators"][name]


def _metric(score: str | None, task: str) -> Metric | None:
    """The metric called ``score``, checked against the task."""
    if score is None:
        return None
    fitting = [name for name, metric in METRICS.items() if metric.task == task]
    if score not in fitting:
        raise ValueError(f"score must be one of {', '.join(fitting)} for {task}, got {score!r}")
    return METRICS[score]


def _batches(
    network: Network, n_train: int, batch_size: int, n_steps: int
) -> list[tuple[int, int, Pass]]:
    """(start, stop, pass) of each step of an epoch; the last batch may need a pass of its own."""
    full = network.training_pass(batch_size)
    batches = []
    for start in range(0, n_steps * batch_size, batch_size):
        stop = min(start + batch_size, n_train)
        whole = stop - start == batch_size
        batches.append((start, stop, full if whole else network.training_pass(stop - start)))
    return batches
