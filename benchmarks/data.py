"""What it costs to prepare a large CSV file, beside pandas and scikit-learn doing the same.

A file of random numbers (and text, if asked for) is generated, and prepared in a process of its
own: read, split, preprocessed, written. The peer does so by the shortest program that a data
scientist would write: ``read_csv``, ``train_test_split``, a ``ColumnTransformer``, ``numpy.save``
for the inputs and Parquet for the raw rows. It checks nothing, and tells no place of a mistake::

    python benchmarks/data.py [--rows 200000] [--columns 100] [--texts 0] [--missing 0.0]

Seconds depend on the machine, and on what else it does: compare the ratios. CPU time and peak
memory are those of the whole process, its start included.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

N_CATEGORIES = 12
SHARE = 0.2


def generate(file: Path, *, n_rows: int, n_columns: int, n_texts: int, missing: float) -> None:
    """Write the CSV file: numbers of six decimals, texts of some letters, two classes."""
    import pyarrow as pa
    from pyarrow import csv

    generator = np.random.default_rng(0)
    names = np.array([f"category {number}" for number in range(N_CATEGORIES)])
    columns: dict[str, Any] = {}
    for place in range(n_columns):
        gaps = generator.random(n_rows) < missing if missing else None
        if place < n_texts:
            codes = generator.integers(0, N_CATEGORIES, n_rows)
            columns[f"text_{place}"] = pa.array(names[codes], mask=gaps)
        else:
            numbers = generator.normal(generator.uniform(-10, 10), 1.0, n_rows).round(6)
            columns[f"number_{place}"] = pa.array(numbers, mask=gaps)
    columns["answer"] = pa.array(np.where(generator.random(n_rows) < 0.3, "yes", "no"))
    csv.write_csv(pa.table(columns), file)


def ours(file: Path, folder: Path, *, missing: bool) -> dict[str, float]:
    """Seconds of ``prepare``, of reading alone, and of finding the folder again."""
    from tunelab.datasets import preparation, prepare
    from tunelab.datasets.sources import RawData, read_source
    from tunelab.spec.study import DataSpec

    reading = 0.0

    def read_timed(data: DataSpec, task: str) -> RawData:
        nonlocal reading
        started = time.perf_counter()
        raw = read_source(data, task)
        reading = time.perf_counter() - started
        return raw

    preparation.read_source = read_timed  # type: ignore[attr-defined]
    data = DataSpec.model_validate(
        {
            "source": "csv",
            "path": str(file),
            "target": "answer",
            "missing": "impute" if missing else "error",
            "split": {"validation": SHARE, "test": SHARE},
        }
    )
    started = time.perf_counter()
    prepared = prepare(data, "classification", folder)
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    again = prepare(data, "classification", folder)
    assert again == prepared
    return {"seconds": seconds, "reading": reading, "again": time.perf_counter() - started}


def peer(file: Path, folder: Path, *, missing: bool) -> dict[str, float]:
    """Seconds of the plain program."""
    started = time.perf_counter()
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    table = pd.read_csv(file)
    reading = time.perf_counter() - started
    labels = table["answer"].astype("category").cat.codes.to_numpy(np.int64)
    rest, test, y_rest, y_test = train_test_split(
        table.drop(columns="answer"), labels, test_size=SHARE, stratify=labels, random_state=0
    )
    train, validation, y_train, y_validation = train_test_split(
        rest, y_rest, test_size=SHARE / (1 - SHARE), stratify=y_rest, random_state=0
    )
    texts = [name for name in train if name.startswith("text")]
    numbers = [name for name in train if name.startswith("number")]
    for_texts: list[Any] = [OneHotEncoder(handle_unknown="ignore", sparse_output=False)]
    for_numbers: list[Any] = [StandardScaler()]
    if missing:
        for_texts.insert(0, SimpleImputer(strategy="most_frequent"))
        for_numbers.insert(0, SimpleImputer(strategy="median"))
    transformer = ColumnTransformer(
        [
            ("numbers", make_pipeline(*for_numbers), numbers),
            ("texts", make_pipeline(*for_texts), texts),
        ]
    )
    x_train = transformer.fit_transform(train).astype(np.float32)
    x_validation = transformer.transform(validation).astype(np.float32)
    folder.mkdir()
    for name, array in (("x_train", x_train), ("x_validation", x_validation)):
        np.save(folder / name, array)
    for name, array in (("y_train", y_train), ("y_validation", y_validation), ("y_test", y_test)):
        np.save(folder / name, array)
    rest.to_parquet(folder / "pool.parquet")
    test.to_parquet(folder / "test.parquet")
    return {"seconds": time.perf_counter() - started, "reading": reading}


SIDES = {"ours": ours, "peer": peer}


def peak_megabytes() -> float:
    """The most memory that this process has held at once."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage's figure begins with that of the parent process
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        2**20 if sys.platform == "darwin" else 1024
    )


def measure(side: str, file: Path, folder: Path, *, missing: bool) -> dict[str, float]:
    """Run one side in a process of its own."""
    command = [sys.executable, __file__, "--side", side, "--file", str(file)]
    command += ["--folder", str(folder), "--missing", str(float(missing))]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, float] = json.loads(result.stdout)
    return measured


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--texts", type=int, default=0, help="columns that hold text")
    parser.add_argument("--missing", type=float, default=0.0, help="share of the cells")
    parser.add_argument("--rounds", type=int, default=3, help="ours and the peer's, in turns")
    for option in ("--side", "--file", "--folder"):
        parser.add_argument(option, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        missing = arguments.missing > 0
        result = SIDES[arguments.side](
            Path(arguments.file), Path(arguments.folder), missing=missing
        )
        print(json.dumps({**result, "cpu": time.process_time(), "peak": peak_megabytes()}))
        return

    measured: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "data.csv"
        generate(
            file,
            n_rows=arguments.rows,
            n_columns=arguments.columns,
            n_texts=arguments.texts,
            missing=arguments.missing,
        )
        megabytes = file.stat().st_size / 1e6
        print(f"{arguments.rows:,} x {arguments.columns} CSV file, {megabytes:.0f} MB")
        for round_ in range(arguments.rounds):
            for side, results in measured.items():
                folder = Path(name) / f"{side}-{round_}"
                results.append(measure(side, file, folder, missing=arguments.missing > 0))

    def median(side: str, key: str) -> float:
        return float(np.median([result[key] for result in measured[side]]))

    for side, label in (("ours", "tunelab"), ("peer", "pandas and scikit-learn")):
        print(
            f"{label:24} {median(side, 'seconds'):6.2f} s, of which reading "
            f"{median(side, 'reading'):6.2f} s; process: CPU {median(side, 'cpu'):6.2f} s, "
            f"peak {median(side, 'peak'):5.0f} MB"
        )
    ratios = {
        key: np.median([a[key] / b[key] for a, b in zip(*measured.values(), strict=True)])
        for key in ("seconds", "cpu", "peak")
    }
    print(
        f"{'ratio':24} {ratios['seconds']:6.2f} in time, {ratios['cpu']:.2f} in CPU time, "
        f"{ratios['peak']:.2f} in memory"
    )
    print(f"{'the second time':24} {median('ours', 'again') * 1e3:6.0f} ms")


if __name__ == "__main__":
    main()
