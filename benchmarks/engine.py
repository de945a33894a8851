"""How fast the training engine is: beside its peers, and piece by piece.

One thread everywhere, process CPU time, Adam unless another optimizer is named. What is compared
takes turns, round by round, so that a busy machine slows all of it alike::

    pip install -c constraints.txt -e '.[bench]'
    python benchmarks/engine.py [--configs a b c d] [--rounds 11]
                                [--only peers|optimizers|penalties|epoch]

* *peers*: a training step beside PyTorch's, scikit-learn's and the step's matrix products alone.
* *optimizers*: every optimizer beside Adam, the update alone and the whole step.
* *penalties*: what l1, l2, weight decay and clipping add to a step of config b.
* *epoch*: an epoch as a study runs it beside its training steps, and the first step of a network
  that was never seen before.

Each ratio stands beside its bar, a ``*`` marks those above it. Times depend on the machine:
compare the ratios. What an engine does once an epoch, such as shuffling, is in no step.
"""
# ruff: noqa: E402 (the number of threads must be set before NumPy and PyTorch are loaded)

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"

import argparse
import importlib
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from tunelab.execution.memory import keep_freed_memory
from tunelab.spec.sections import SplitSpec
from tunelab.storage.claims import Claim, claim_next
from tunelab.storage.engine import Database
from tunelab.storage.owners import Owner
from tunelab.storage.recorder import Recorder
from tunelab.storage.rungs import RungLimits
from tunelab.storage.schema import open_database
from tunelab.storage.studies import create_study
from tunelab.storage.trials import NewTrial, insert_trials
from tunelab.training.arrays import Floats, Ints, TrainingData
from tunelab.training.loop import TrainingRun, steps_per_epoch
from tunelab.training.losses import baseline_loss
from tunelab.training.monitor import PRESETS, Monitor
from tunelab.training.optimizers import OPTIMIZERS, make_optimizer
from tunelab.training.schedules import make_schedule

LEARNING_RATE = 1e-3
DROPOUT_RATE = 0.2
REGULARISED = {"batch_norm": True, "dropout_rate": DROPOUT_RATE}

Measure = Callable[[], float]
"""Runs one round; returns the CPU seconds of one step (or epoch)."""

Times = dict[str, list[float]]
"""Name -> what its rounds took."""


@dataclass(frozen=True)
class Config:
    """A network and its data.

    Attributes:
        n_rows: Rows of the data.
        n_features: Columns.
        hidden: Width of each hidden layer.
        n_outputs: Classes.
        batch_size: Rows of a step.
        n_steps: Steps that are timed in one pass over the data: full batches only, with at least
            one batch left behind them.
        n_passes: Passes of a round.
        n_epochs: Epochs of the trial whose epochs are timed.
    """

    n_rows: int
    n_features: int
    hidden: tuple[int, ...]
    n_outputs: int
    batch_size: int
    n_steps: int
    n_passes: int
    n_epochs: int

    @property
    def widths(self) -> tuple[int, ...]:
        """Columns of the input, of every hidden layer and of the output."""
        return (self.n_features, *self.hidden, self.n_outputs)

    @property
    def n_params(self) -> int:
        """Weights and biases."""
        return sum((n + 1) * m for n, m in pairwise(self.widths))


CONFIGS = {
    # scikit-learn's digits
    "a": Config(1_797, 64, (64,), 10, batch_size=32, n_steps=56, n_passes=4, n_epochs=1_000),
    "b": Config(10_000, 100, (128, 64), 10, batch_size=64, n_steps=156, n_passes=1, n_epochs=200),
    "c": Config(60_000, 784, (256, 128), 10, batch_size=128, n_steps=24, n_passes=1, n_epochs=5),
    "d": Config(100_000, 54, (512, 512), 7, batch_size=512, n_steps=8, n_passes=1, n_epochs=3),
}


@dataclass(frozen=True)
class Row:
    """A row of a table: one value a config, and the bar that each should not exceed."""

    name: str
    values: Mapping[str, float]
    bars: Mapping[str, float] | None = None


# --- data -----------------------------------------------------------------------------------------


def make_rows(config: Config) -> tuple[Floats, Ints]:
    """Features, shape (n_rows, n_features), and labels, shape (n_rows,)."""
    if config is CONFIGS["a"]:
        from sklearn.datasets import load_digits

        x, y = load_digits(return_X_y=True)
        return (x / 16).astype(np.float32), y
    generator = np.random.default_rng(0)
    x = generator.standard_normal((config.n_rows, config.n_features), np.float32)
    # A linear rule: labels that cannot be learned would leave the losses where no study is.
    y = (x @ generator.standard_normal((config.n_features, config.n_outputs), np.float32)).argmax(1)
    return x, y


def make_data(config: Config, x: Floats, y: Ints, n_train: int, n_validation: int) -> TrainingData:
    """The first rows to train on and the last to validate with."""
    nothing = np.empty(0, np.float32)
    held_back = slice(len(x) - n_validation, None)
    return TrainingData(
        x[:n_train], y[:n_train], x[held_back], y[held_back], config.n_outputs, nothing, nothing
    )


def few_rows(config: Config, x: Floats, y: Ints) -> TrainingData:
    """As many rows as the timed steps need."""
    n_train = min(len(x), (config.n_steps + 1) * config.batch_size)
    return make_data(config, x, y, n_train, config.batch_size)


# --- the engine -----------------------------------------------------------------------------------


class Stopwatch:
    """Times a run's own steps from within: a run asks ``should_stop`` before each.

    Args:
        n_steps: Stop the run when this many were taken.

    Attributes:
        stopped: CPU time at the stop.
        seconds: CPU seconds from the first step to the stop.
    """

    def __init__(self, n_steps: int) -> None:
        self.n_steps = n_steps
        self.stopped = self.seconds = 0.0
        self._started = 0.0
        self._n_asked = 0

    def __call__(self) -> bool:
        """Whether the steps were taken."""
        if self._n_asked == self.n_steps:
            self.stopped = process_time()
            self.seconds = self.stopped - self._started
            self._n_asked = 0
            return True
        if self._n_asked == 0:
            self._started = process_time()
        self._n_asked += 1
        return False


class EpochWatch:
    """Times the epochs of a run, and the steps in them, in the same way.

    Args:
        n_steps: Steps of an epoch, at least 2.

    Attributes:
        epochs: CPU seconds from each epoch's first step to the next one's.
        steps: CPU seconds of each epoch's steps. Between the first and the last they are timed,
            and the last one counts as the others' mean.
    """

    def __init__(self, n_steps: int) -> None:
        self.n_steps = n_steps
        self.epochs: list[float] = []
        self.steps: list[float] = []
        self._started = 0.0
        self._n_asked = 0

    def __call__(self) -> bool:
        """Never stop."""
        step = self._n_asked % self.n_steps
        if step == 0:
            now = process_time()
            if self._n_asked:
                self.epochs.append(now - self._started)
            self._started = now
        elif step == self.n_steps - 1:
            self.steps.append((process_time() - self._started) * self.n_steps / step)
        self._n_asked += 1
        return False


def make_run(
    config: Config,
    data: TrainingData,
    should_stop: Callable[[], bool],
    *,
    optimizer: str = "adam",
    max_epochs: int = 1,
    **settings: Any,
) -> TrainingRun:
    """A run at a constant rate; ``settings`` as TrainingRun takes them."""
    n_steps = steps_per_epoch(
        len(data.x_train), config.batch_size, batch_norm=settings.get("batch_norm", False)
    )
    return TrainingRun(
        data,
        units=config.hidden,
        optimizer=make_optimizer(optimizer, {}),
        schedule=make_schedule("constant", LEARNING_RATE, max_epochs, {}, steps_per_epoch=n_steps),
        batch_size=config.batch_size,
        max_epochs=max_epochs,
        seed=0,
        should_stop=should_stop,
        **settings,
    )


def engine(config: Config, data: TrainingData, **settings: Any) -> Measure:
    """Steps of TrainingRun, from the same state in every round."""
    watch = Stopwatch(config.n_steps)
    run = make_run(config, data, watch, **settings)
    beginning = run.state_dict()

    def measure() -> float:
        seconds = 0.0
        for _ in range(config.n_passes):
            next(run, None)
            run.load_state_dict(beginning)
            seconds += watch.seconds
        return seconds / (config.n_passes * config.n_steps)

    return measure


# --- its peers ------------------------------------------------------------------------------------


def load_torch() -> Any:
    """PyTorch with one thread; it is no dependency of tunelab, and needs no stubs here."""
    try:
        torch = importlib.import_module("torch")
    except ModuleNotFoundError:
        sys.exit("error: no PyTorch: install it with pip install -c constraints.txt -e '.[bench]'")
    torch.set_num_threads(1)
    return torch


def torch_network(torch: Any, config: Config, *, regularised: bool) -> Any:
    """The engine's network; under batch norm without biases, as there."""
    layers = []
    for n_inputs, width in zip(config.widths, config.hidden, strict=False):
        layers.append(torch.nn.Linear(n_inputs, width, bias=not regularised))
        if regularised:
            layers.append(torch.nn.BatchNorm1d(width))
        layers.append(torch.nn.ReLU())
        if regularised:
            layers.append(torch.nn.Dropout(DROPOUT_RATE))
    return torch.nn.Sequential(*layers, torch.nn.Linear(config.hidden[-1], config.n_outputs))


def torch_step(torch: Any, network: Any, *, fused: bool) -> Callable[[Any, Any], None]:
    """One training step on a batch."""
    loss = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE, fused=fused or None)

    def step(x: Any, y: Any) -> None:
        optimizer.zero_grad()
        loss(network(x), y).backward()
        optimizer.step()

    return step


def torch_eager(config: Config, x: Floats, y: Ints, *, regularised: bool = False) -> Measure:
    """PyTorch as its tutorials write it, with a DataLoader."""
    torch = load_torch()
    step = torch_step(torch, torch_network(torch, config, regularised=regularised), fused=False)
    rows = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    loader = torch.utils.data.DataLoader(rows, batch_size=config.batch_size, shuffle=True)

    def measure() -> float:
        seconds = 0.0
        for _ in range(config.n_passes):
            batches = iter(loader)
            # The first batch comes with the epoch's permutation, which the engine's clock leaves
            # out too; the batch behind the last step takes its place.
            batch = next(batches)
            started = process_time()
            for _ in range(config.n_steps):
                step(*batch)
                batch = next(batches)
            seconds += process_time() - started
        return seconds / (config.n_passes * config.n_steps)

    return measure


def torch_tuned(config: Config, x: Floats, y: Ints) -> Measure:
    """PyTorch with batches indexed directly and the fused Adam."""
    torch = load_torch()
    step = torch_step(torch, torch_network(torch, config, regularised=False), fused=True)
    xs, ys, size = torch.from_numpy(x), torch.from_numpy(y), config.batch_size

    def measure() -> float:
        seconds = 0.0
        for _ in range(config.n_passes):
            order = torch.randperm(len(xs))
            started = process_time()
            for start in range(0, config.n_steps * size, size):
                batch = order[start : start + size]
                step(xs[batch], ys[batch])
            seconds += process_time() - started
        return seconds / (config.n_passes * config.n_steps)

    return measure


def scikit_learn(config: Config, x: Floats, y: Ints) -> Measure:
    """MLPClassifier; a call of partial_fit is a pass over the rows that it is given."""
    from sklearn.neural_network import MLPClassifier

    n_rows = config.n_steps * config.batch_size
    classifier = MLPClassifier(config.hidden, alpha=0.0, batch_size=config.batch_size)

    def measure() -> float:
        started = process_time()
        for _ in range(config.n_passes):
            classifier.partial_fit(x[:n_rows], y[:n_rows], classes=np.arange(config.n_outputs))
        return (process_time() - started) / (config.n_passes * config.n_steps)

    return measure


def products(config: Config) -> Measure:
    """The matrix products of a step and nothing else: what no engine on this BLAS can beat."""
    generator = np.random.default_rng(0)

    def normal(*shape: int) -> Floats:
        return generator.standard_normal(shape, np.float32) / np.float32(np.sqrt(shape[0]))

    values = [normal(config.batch_size, width) for width in config.widths]
    gradients = [normal(*value.shape) for value in values]
    forward: list[tuple[Floats, Floats, Floats]] = []
    backward: list[tuple[Floats, Floats, Floats]] = []
    for layer, (x, y) in enumerate(pairwise(values)):
        weights, dy = normal(x.shape[1], y.shape[1]), gradients[layer + 1]
        forward.append((x, weights, y))
        backward.append((x.T, dy, np.empty_like(weights)))
        if layer > 0:
            backward.append((dy, weights.T, np.empty_like(x)))
    calls = forward + backward[::-1]
    n_steps = config.n_passes * config.n_steps

    def measure() -> float:
        started = process_time()
        for _ in range(n_steps):
            for a, b, out in calls:
                np.dot(a, b, out)
        return (process_time() - started) / n_steps

    return measure


# --- measuring and showing ------------------------------------------------------------------------


def take_turns(measures: Mapping[str, Measure], n_rounds: int) -> Times:
    """All of them, round by round. A first round is not counted: it loads what is loaded late."""
    times: Times = {name: [] for name in measures}
    for round_ in range(n_rounds + 1):
        for name, measure in measures.items():
            seconds = measure()
            if round_ > 0:
                times[name].append(seconds)
    return times


def ratio(ours: list[float], theirs: list[float]) -> float:
    """By the medians over rounds."""
    return float(np.median(ours) / np.median(theirs))


def show_times(title: str, times: Mapping[str, Times]) -> None:
    """Median and minimum of every name (a row) on every config (a column), in microseconds."""
    show_heading(f"{title}, us: median (minimum)", list(times))
    for name in next(iter(times.values())):
        cells = [times[config][name] for config in times]
        line = f"{name:40s}"
        for cell in cells:
            minimum = f"({1e6 * min(cell):.0f})"
            line += f"{1e6 * np.median(cell):11.1f} {minimum:7s}"
        print(line)


def show_bars(title: str, rows: list[Row]) -> None:
    """Every value with its bar in brackets, and a star where it is above."""
    show_heading(f"{title} (bar)", list(rows[0].values))
    for row in rows:
        line = f"{row.name:40s}"
        for config, value in row.values.items():
            bar = "" if row.bars is None else f"({row.bars[config]:g})"
            star = "*" if row.bars is not None and value > row.bars[config] else ""
            line += f"{value:>11.3f} {bar:>6s}{star:1s}"
        print(line)


def show_heading(title: str, columns: list[str]) -> None:
    """The columns stand above the values."""
    print(f"\n{title:40s}" + "".join(f"{column:>11s}{'':8s}" for column in columns), flush=True)


# --- the tables -----------------------------------------------------------------------------------


def compare_peers(names: list[str], n_rounds: int) -> None:
    """A training step beside everyone else's."""
    ours, ours_regularised = "engine", "engine, batch norm + dropout"
    eager, eager_regularised = "PyTorch eager + DataLoader", "PyTorch eager, batch norm + dropout"
    tuned, classifier, limit = "PyTorch tuned", "scikit-learn partial_fit", "matrix products alone"
    times: dict[str, Times] = {}
    for name in names:
        config = CONFIGS[name]
        x, y = make_rows(config)
        data = make_data(config, x, y, len(x), config.batch_size)
        measures = {
            ours: engine(config, data),
            eager: torch_eager(config, x, y),
            tuned: torch_tuned(config, x, y),
            classifier: scikit_learn(config, x, y),
            limit: products(config),
            ours_regularised: engine(config, data, **REGULARISED),
            eager_regularised: torch_eager(config, x, y, regularised=True),
        }
        times[name] = take_turns(measures, n_rounds)
    show_times("a step", times)

    def against(peer: str, bars: Mapping[str, float] | None = None, mine: str = ours) -> Row:
        ratios = {name: ratio(times[name][mine], times[name][peer]) for name in names}
        return Row(peer, ratios, bars)

    def against_minimum(peer: str, bars: Mapping[str, float] | None = None) -> Row:
        ratios = {name: min(times[name][ours]) / min(times[name][peer]) for name in names}
        return Row(f"{peer}, by minimum", ratios, bars)

    rows = [
        against(eager, {"a": 0.10, "b": 0.18, "c": 0.70, "d": 0.90}),
        against_minimum(tuned, {"a": 0.16, "b": 0.38, "c": 1.1, "d": 1.1}),
        against(eager_regularised, {"a": 0.12, "b": 0.20, "c": 0.60, "d": 0.65}, ours_regularised),
        against(classifier),
        against_minimum(limit),
    ]
    show_bars("the engine's ratio to", rows)


def compare_optimizers(names: list[str], n_rounds: int) -> None:
    """Every optimizer beside Adam."""
    updates: dict[str, Times] = {}
    steps: dict[str, Times] = {}
    for name in names:
        config = CONFIGS[name]
        data = few_rows(config, *make_rows(config))
        updates[name] = take_turns(
            {optimizer: update(config, optimizer) for optimizer in OPTIMIZERS}, n_rounds
        )
        steps[name] = take_turns(
            {optimizer: engine(config, data, optimizer=optimizer) for optimizer in OPTIMIZERS},
            n_rounds,
        )
    show_times("an update alone", updates)
    for title, times, bars in (
        ("an update against Adam's", updates, dict.fromkeys(names, 1.6)),
        ("a whole step against Adam's", steps, None),
    ):
        rows = []
        for optimizer in OPTIMIZERS:
            ratios = {name: ratio(times[name][optimizer], times[name]["adam"]) for name in names}
            rows.append(Row(optimizer, ratios, bars))
        show_bars(title, rows)


def update(config: Config, optimizer: str) -> Measure:
    """The optimizer's part of a step."""
    generator = np.random.default_rng(0)
    params, grads = generator.standard_normal((2, config.n_params), np.float32)
    bound = make_optimizer(optimizer, {}).bind(params)
    # A whole number of the intervals at which slots are rounded.
    n_steps = 512 if config.n_params < 50_000 else 64

    def measure() -> float:
        started = process_time()
        for _ in range(n_steps):
            bound.step(params, grads, LEARNING_RATE)
        return (process_time() - started) / n_steps

    return measure


def compare_penalties(n_rounds: int) -> None:
    """What each addition to the gradient costs on config b."""
    config = CONFIGS["b"]
    data = few_rows(config, *make_rows(config))
    additions: dict[str, dict[str, Any]] = {
        "none": {},
        "l1": {"l1": 1e-5},
        "l2": {"l2": 1e-4},
        "l1 and l2": {"l1": 1e-5, "l2": 1e-4},
        "weight decay (adamw)": {"optimizer": "adamw"},
        "clipping, never": {"gradient_clip": 1e6},
        "clipping, at every step": {"gradient_clip": 1e-3},
    }
    times = take_turns(
        {name: engine(config, data, **settings) for name, settings in additions.items()},
        3 * n_rounds,  # these rounds are short, and the differences a few percent
    )
    show_times("a step", {"b": times})
    rows = []
    for name in additions:
        bars = None if name in ("none", "l1 and l2") else {"b": 1.15}
        rows.append(Row(name, {"b": ratio(times[name], times["none"])}, bars))
    show_bars("a step against none", rows)


def compare_epochs(names: list[str]) -> None:
    """An epoch as a study runs it, beside its steps; with few rows to validate, to tell apart."""
    split = SplitSpec()
    usual, few = "epoch, the usual split", "epoch, one batch to validate"
    times: dict[str, Times] = {}
    ratios: dict[str, dict[str, float]] = {usual: {}, few: {}}
    for name in names:
        config = CONFIGS[name]
        x, y = make_rows(config)
        n_batches = int(len(x) * (1 - split.validation - split.test)) // config.batch_size
        times[name] = {}
        for kind, n_validation in (
            (usual, int(len(x) * split.validation)),
            (few, config.batch_size),
        ):
            data = make_data(config, x, y, n_batches * config.batch_size, n_validation)
            epochs, steps = trial_epochs(config, data)
            times[name] |= {kind: epochs, f"{kind}: its steps": steps}
            # By the means: most epochs write nothing, a few write for all of them.
            ratios[kind][name] = float(np.mean(epochs) / np.mean(steps))
    show_times("a trial", times)
    bars = {name: 1.35 if name == "a" else 1.2 for name in names}
    rows = [Row(usual, ratios[usual], bars), Row(few, ratios[few])]
    show_bars("ratio to its steps, by the means", rows)


def trial_epochs(config: Config, data: TrainingData) -> tuple[list[float], list[float]]:
    """Whole epochs of one trial, with monitor, recorder and checkpoints; and their steps alone."""
    n_steps = len(data.x_train) // config.batch_size
    watch = EpochWatch(n_steps)
    run = make_run(config, data, watch, max_epochs=config.n_epochs, score="accuracy")
    monitor = Monitor(
        max_epochs=config.n_epochs,
        baseline_loss=baseline_loss(data),
        learning_rates=[LEARNING_RATE],
        criteria=PRESETS["off"],
    )

    def snapshot() -> dict[str, Any]:
        return {"run": run.state_dict(), "monitor": monitor.state_dict()}

    with tempfile.TemporaryDirectory() as folder:
        database = open_database(f"sqlite:///{Path(folder) / 'tunelab.db'}")
        recorder = Recorder(database, claim_trial(database), maximize=False)
        for record in run:
            verdict = monitor.observe(record)
            if verdict.is_best:
                run.keep_best()
            recorder.record(record, verdict, snapshot)
        database.close()
    return watch.epochs, watch.steps


def claim_trial(database: Database) -> Claim:
    """The only trial of a new study."""
    with database.write() as connection:
        study = create_study(
            connection,
            name="engine",
            spec={},
            spec_hash="",
            data_digest="",
            data_path="",
            baseline_loss=1.0,
            n_trials=1,
            timeout_seconds=None,
        )
        insert_trials(connection, study.id, [NewTrial(0, {}, {}, 0, RungLimits())])
        claim = claim_next(connection, study.id, Owner.this_process())
    if claim is None:
        raise RuntimeError("the trial of a new study could not be claimed")
    return claim


def compare_first_steps(names: list[str], n_rounds: int) -> None:
    """The first step of a network that was never seen before."""
    times: dict[str, Times] = {}
    for name in names:
        config = CONFIGS[name]
        x, y = make_rows(config)
        few = make_data(config, x, y, 2 * config.batch_size, config.batch_size)
        whole = make_data(config, x, y, len(x), config.batch_size)
        times[name] = take_turns(
            {
                "plain": first_step(config, few),
                "batch norm + dropout": first_step(config, few, **REGULARISED),
                "plain, and a copy of all rows": first_step(config, whole),
            },
            n_rounds,
        )
    rows = []
    for kind in next(iter(times.values())):
        milliseconds = {name: 1e3 * float(np.median(times[name][kind])) for name in names}
        # The bar is on the network; a trial copies its rows once, whatever network it has.
        bars = None if "rows" in kind else dict.fromkeys(names, 20.0)
        rows.append(Row(kind, milliseconds, bars))
    show_bars("first step of a new network, ms", rows)


def first_step(config: Config, data: TrainingData, **settings: Any) -> Measure:
    """From arguments to the first update: initial weights, plans, and the step itself."""

    def measure() -> float:
        watch = Stopwatch(1)
        started = process_time()
        next(make_run(config, data, watch, **settings), None)
        return watch.stopped - started

    return measure


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--configs", nargs="+", choices=CONFIGS, default=list(CONFIGS))
    parser.add_argument("--rounds", type=int, default=11, help="how often each takes its turn")
    parser.add_argument("--only", choices=("peers", "optimizers", "penalties", "epoch"))
    arguments = parser.parse_args()
    names, n_rounds = sorted(set(arguments.configs)), arguments.rounds
    for name in names:
        config = CONFIGS[name]
        hidden = ", ".join(map(str, config.hidden))
        print(
            f"{name}: {config.n_rows} rows x {config.n_features}, hidden [{hidden}], "
            f"{config.n_outputs} classes, batch {config.batch_size}"
        )
    keep_freed_memory()  # as in a worker; for the peers as well
    with threadpool_limits(limits=1):
        if arguments.only in (None, "peers"):
            compare_peers(names, n_rounds)
        if arguments.only in (None, "optimizers"):
            compare_optimizers(names, n_rounds)
        if arguments.only in (None, "penalties"):
            compare_penalties(n_rounds)
        if arguments.only in (None, "epoch"):
            compare_epochs(names)
            compare_first_steps(names, n_rounds)


if __name__ == "__main__":
    main()
