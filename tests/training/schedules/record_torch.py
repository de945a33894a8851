"""Writes ``torch_schedules.json``: the rates of PyTorch's schedulers where formulas agree.

Run by hand with PyTorch installed (recorded with 2.13.0)::

    python tests/training/schedules/record_torch.py
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

STEPS_PER_EPOCH = 4

# Schedule, initial rate, max_epochs, settings; PyTorch's class, its settings, number of rates.
CASES = [
    ("linear", 0.2, 12, {"end": 0.01}, "LinearLR",
     {"start_factor": 1.0, "end_factor": 0.01, "total_iters": 12}, 15),
    ("linear", 0.2, 12, {"end": 0.5, "tau": 5}, "LinearLR",
     {"start_factor": 1.0, "end_factor": 0.5, "total_iters": 5}, 15),
    ("step_drop", 0.1, 35, {}, "StepLR", {"step_size": 10, "gamma": 0.5}, 35),
    ("step_drop", 0.3, 9, {"every": 2, "factor": 0.1}, "StepLR",
     {"step_size": 2, "gamma": 0.1}, 9),
    ("hold_then_exponential", 0.1, 12, {"hold": 0, "decay_rate": 0.1}, "ExponentialLR",
     {"gamma": 0.9048374180359595}, 20),
    ("piecewise", 0.1, 12, {"rates": "3:0.01, 7:0.001"}, "MultiStepLR",
     {"milestones": [3, 7], "gamma": 0.1}, 12),
    ("polynomial", 0.1, 10, {"power": 2.0}, "PolynomialLR", {"total_iters": 10, "power": 2.0}, 13),
    ("polynomial", 0.1, 10, {"power": 0.9}, "PolynomialLR", {"total_iters": 10, "power": 0.9}, 13),
    # Beyond its period PyTorch's cosine rises again.
    ("cosine", 0.2, 10, {}, "CosineAnnealingLR", {"T_max": 10}, 11),
    ("cosine", 0.2, 7, {"end": 0.25}, "CosineAnnealingLR", {"T_max": 7, "eta_min": 0.05}, 8),
    ("one_cycle", 0.1, 10, {}, "OneCycleLR",
     {"max_lr": 0.1, "epochs": 10, "steps_per_epoch": 4, "cycle_momentum": False}, 40),
    ("one_cycle", 2.0, 7, {"rise": 0.45, "start": 0.1, "end": 0.001}, "OneCycleLR",
     {"max_lr": 2.0, "total_steps": 28, "pct_start": 0.45, "div_factor": 10.0,
      "final_div_factor": 100.0, "cycle_momentum": False}, 28),
    ("one_cycle", 0.1, 1, {"rise": 0.1}, "OneCycleLR",
     {"max_lr": 0.1, "total_steps": 4, "pct_start": 0.1, "cycle_momentum": False}, 4),
    ("constant", 0.5, 9, {"warm_up": 4}, "LinearLR", {"start_factor": 0.2, "total_iters": 4}, 9),
]  # fmt: skip


def recorded() -> list[dict[str, object]]:
    """Every case with the rates that PyTorch gives, from k = 0 on."""
    import torch

    records = []
    for name, rate, max_epochs, settings, scheduler, arguments, n in CASES:
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            schedule = getattr(torch.optim.lr_scheduler, scheduler)(optimizer, **arguments)
            rates = []
            for k in range(n):
                rates.append(float(optimizer.param_groups[0]["lr"]))
                optimizer.step()
                if k < n - 1:
                    schedule.step()
        records.append(
            {
                "schedule": name,
                "learning_rate": rate,
                "max_epochs": max_epochs,
                "settings": settings,
                "steps_per_epoch": STEPS_PER_EPOCH,
                "torch": scheduler,
                "arguments": arguments,
                "rates": rates,
            }
        )
    return records


if __name__ == "__main__":
    lines = ",\n".join(json.dumps(record) for record in recorded())
    path = Path(__file__).with_name("torch_schedules.json")
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
