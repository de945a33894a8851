"""One training run: an iterator of epochs that can be stopped, saved and continued exactly."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tunelab.training.arrays import Floats, Ints, StateDict, TrainingData
from tunelab.training.evaluation import Evaluator, input_table
from tunelab.training.losses import LOSSES
from tunelab.training.metrics import METRICS, Metric, original_units
from tunelab.training.network import Network, Pass, dense_layers
from tunelab.training.optimizers import Optimizer
from tunelab.training.records import EpochRecord
from tunelab.training.schedules import Schedule


def never() -> bool:
    """The answer of a run that nobody stops."""
    return False


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
        dropout_rate: Fraction of hidden outputs zeroed, in [0, 1).
        l2: Penalty on the weights, >= 0.
        optimizer: Fresh; the run binds it to its network.
        schedule: Learning rate of each epoch.
        batch_size: Examples per step, at most the training rows. The last batch of an epoch has
            what is left over.
        max_epochs: Where the iteration ends.
        seed: Root of all randomness: initial weights, order of batches, dropout, and the training
            rows that ``train_loss`` is measured on each have a stream of their own.
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
        dropout_rate: float = 0.0,
        l2: float = 0.0,
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
        if not 1 <= batch_size <= n_train:
            raise ValueError(
                f"batch_size must be in [1, {n_train}] (the training rows), got {batch_size}"
            )
        if max_epochs < 1:
            raise ValueError(f"max_epochs must be at least 1, got {max_epochs}")
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
        self._bit_generators = {"order": for_order, "dropout": for_dropout}
        self._order = np.random.Generator(for_order)

        loss = LOSSES[data.task]
        layers = dense_layers(
            data.n_features,
            units,
            data.n_outputs,
            activation=activation,
            dropout_rate=dropout_rate,
            dropout_bits=for_dropout,
        )
        self._network = Network(
            layers, loss, n_features=data.n_features, n_outputs=data.n_outputs, l2=l2, dtype=dtype
        )
        self._network.initialize(np.random.Generator(for_weights))
        self._optimizer = optimizer.bind(self._network.params)

        targets = loss.columns(data.y_train, data.n_outputs)
        self._table = input_table(data.x_train, self._network.dtype, targets)
        self._batches = _batches(self._network, n_train, batch_size)

        self._n_validation = len(data.x_validation)
        rows = np.random.Generator(for_subset).permutation(n_train)[: self._n_validation]
        rows.sort()
        x_evaluated = np.concatenate([data.x_validation, data.x_train[rows]])
        self._evaluator = Evaluator(self._network, x_evaluated)
        y_subset: Ints | Floats = data.y_train[rows]
        self._y_evaluated = np.concatenate([data.y_validation, y_subset])
        self._validation_targets = original_units(data, data.y_validation)
        self._subset_targets = original_units(data, y_subset)

        self._best: Floats | None = None
        self._boundary_params = self._network.params.copy()
        self._boundary_slots = self._optimizer.slots.copy()
        self._boundary_rest: StateDict = {}
        self._close_epoch()

    def __iter__(self) -> Iterator[EpochRecord]:
        return self

    def __next__(self) -> EpochRecord:
        """Train one epoch."""
        if self.interrupted or self.epoch >= self._max_epochs:
            raise StopIteration
        started = time.perf_counter()
        learning_rate = float(self._schedule(self.epoch))
        with np.errstate(all="ignore"):
            if not self._train(learning_rate):
                self.interrupted = True
                self._reopen_epoch()
                raise StopIteration
            train_loss, validation_loss, train_score, validation_score = self._evaluate()
            gradient_norm = float(np.linalg.norm(self._network.grads.astype(np.float64)))
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
        """Remember the weights of the last finished epoch."""
        if self._best is None:
            self._best = np.empty_like(self._boundary_params)
        np.copyto(self._best, self._boundary_params)

    def restore_best(self) -> None:
        """Make the weights of the last ``keep_best`` the present ones; without one, do nothing.

        The state is left alone: it stays that of the last finished epoch.
        """
        if self._best is not None:
            np.copyto(self._network.params, self._best)

    def state_dict(self) -> StateDict:
        """A copy of the state at the last finished epoch, best weights included."""
        return {
            "params": self._boundary_params.copy(),
            "best": None if self._best is None else self._best.copy(),
            "slots": self._boundary_slots.copy(),
            **self._boundary_rest,
        }

    def load_state_dict(self, state: StateDict) -> None:
        """Continue from ``state``, which a run with the same arguments saved.

        Raises:
            ValueError: If the state belongs to another network or optimizer.
        """
        params, slots = self._boundary_params, self._boundary_slots
        for name, ours in (("params", params), ("slots", slots), ("best", params)):
            theirs = state[name]
            if theirs is None and name == "best":
                continue
            if theirs.shape != ours.shape or theirs.dtype != ours.dtype:
                raise ValueError(
                    f"{name} must be {ours.dtype} of shape {ours.shape}, "
                    f"got {theirs.dtype} of shape {theirs.shape}"
                )
        np.copyto(params, state["params"])
        np.copyto(slots, state["slots"])
        self._best = None if state["best"] is None else state["best"].copy()
        self._boundary_rest = {name: state[name] for name in self._boundary_rest}
        self.interrupted = False
        self._reopen_epoch()

    def weights(self) -> dict[str, Floats]:
        """Copies of the present parameters by name: ``layer_1.weights``, ``layer_1.bias`` ..."""
        return self._network.export()

    def predict(self, x: Floats) -> Floats:
        """Class probabilities, or targets in original units, shape (rows, n_outputs).

        Args:
            x: Preprocessed features, shape (rows, n_features).
        """
        if x.ndim != 2 or x.shape[1] != self._network.n_features:
            raise ValueError(f"x must have shape (rows, {self._network.n_features}), got {x.shape}")
        with np.errstate(all="ignore"):
            return self._predictions(Evaluator(self._network, x).outputs())

    def _train(self, learning_rate: float) -> bool:
        """Take the steps of one epoch. False if asked to stop before the last."""
        order = self._order.permutation(len(self._table))
        take, step, should_stop = self._table.take, self._optimizer.step, self._should_stop
        params, grads = self._network.params, self._network.grads
        for start, stop, training in self._batches:
            if should_stop():
                return False
            # The default mode would check indices that cannot be wrong, through a second buffer.
            take(order[start:stop], 0, training.batch, "clip")
            training.run()
            step(params, grads, learning_rate)
        return True

    def _evaluate(self) -> tuple[float, float, float | None, float | None]:
        """Losses and scores of training subset and validation split, in evaluation mode."""
        outputs = self._evaluator.outputs()
        losses = self._network.loss.each(outputs, self._y_evaluated)
        n = self._n_validation
        train_loss = float(losses[n:].mean(dtype=np.float64))
        validation_loss = float(losses[:n].mean(dtype=np.float64))
        if self._metric is None:
            return train_loss, validation_loss, None, None
        predictions = self._predictions(outputs)
        train_score = self._metric.compute(predictions[n:], self._subset_targets)
        validation_score = self._metric.compute(predictions[:n], self._validation_targets)
        return train_loss, validation_loss, train_score, validation_score

    def _predictions(self, outputs: Floats) -> Floats:
        """Outputs, shape (outputs, rows), as probabilities or original units, (rows, outputs)."""
        predictions = self._network.loss.predictions(outputs).T
        if self._data.n_classes is None:
            return predictions * self._data.target_scale + self._data.target_mean
        return predictions

    def _close_epoch(self) -> None:
        """Copy the present state aside."""
        np.copyto(self._boundary_params, self._network.params)
        np.copyto(self._boundary_slots, self._optimizer.slots)
        self._boundary_rest = {
            "epoch": self.epoch,
            "counters": self._optimizer.counters.copy(),
            "generators": {name: bits.state for name, bits in self._bit_generators.items()},
        }

    def _reopen_epoch(self) -> None:
        """Go back to the state that was copied aside."""
        np.copyto(self._network.params, self._boundary_params)
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


def _batches(network: Network, n_train: int, batch_size: int) -> list[tuple[int, int, Pass]]:
    """(start, stop, pass) of each step of an epoch; the last batch may need a pass of its own."""
    full = network.training_pass(batch_size)
    batches = [
        (start, start + batch_size, full)
        for start in range(0, n_train - batch_size + 1, batch_size)
    ]
    rest = n_train % batch_size
    if rest:
        batches.append((n_train - rest, n_train, network.training_pass(rest)))
    return batches
