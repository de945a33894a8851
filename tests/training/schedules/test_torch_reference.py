"""Schedules against PyTorch's, where the formulas agree: as recorded, and live if installed."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from tunelab.training.schedules import make_schedule

HERE = Path(__file__).parent
RECORDED = json.loads((HERE / "torch_schedules.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("record", RECORDED, ids=lambda record: record["torch"])
def test_rates_equal_those_of_pytorch(record):
    schedule = make_schedule(
        record["schedule"],
        record["learning_rate"],
        record["max_epochs"],
        record["settings"],
        steps_per_epoch=record["steps_per_epoch"],
    )
    rates = [schedule(k) for k in range(len(record["rates"]))]
    # PyTorch multiplies from step to step, and so gathers rounding errors.
    assert rates == pytest.approx(record["rates"], rel=1e-10, abs=1e-15)


def test_the_recorded_rates_are_those_of_the_installed_pytorch():
    pytest.importorskip("torch")
    live = runpy.run_path(str(HERE / "record_torch.py"))["recorded"]()
    for was, now in zip(RECORDED, live, strict=True):
        assert now.pop("rates") == pytest.approx(was["rates"], rel=1e-10, abs=1e-15)
        assert now == {key: value for key, value in was.items() if key != "rates"}
