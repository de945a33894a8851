"""Record PyTorch's own optimizers: ``python -m tests.training.optimizers.make_torch_reference``.

Run from the root of the repository, with an interpreter that has PyTorch. It writes
``torch_reference.json`` beside this file. The suites read that file and need no PyTorch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FIXTURE = Path(__file__).with_name("torch_reference.json")

START = [1.0, -2.0, 0.5]

# Columns of unlike size, changes of sign, and zeros.
GRADIENTS = [
    [0.9, 0.031, -120.0],
    [-0.4, 0.027, -80.0],
    [1.3, -0.012, 0.0],
    [0.0, 0.044, 210.0],
    [0.7, 0.038, -35.0],
    [-2.1, -0.005, 64.0],
    [0.2, 0.019, -150.0],
    [0.6, 0.0, 90.0],
    [-0.8, 0.052, 12.0],
    [1.1, -0.036, -270.0],
    [0.5, 0.023, 41.0],
    [-0.3, 0.008, 130.0],
]
CONSTANT = [0.01] * len(GRADIENTS)
CHANGING = [0.01, 0.01, 0.02, 0.02, 0.04, 0.04, 0.01, 0.005, 0.005, 0.001, 0.03, 0.03]

# name: (class in torch.optim, its settings, rates)
RUNS: dict[str, tuple[str, dict[str, Any], list[float]]] = {
    "sgd": ("SGD", {}, CHANGING),
    "momentum": ("SGD", {"momentum": 0.9}, CONSTANT),
    "momentum, changing rate": ("SGD", {"momentum": 0.9}, CHANGING),
    "nesterov": ("SGD", {"momentum": 0.9, "nesterov": True}, CONSTANT),
    "nesterov, changing rate": ("SGD", {"momentum": 0.9, "nesterov": True}, CHANGING),
    "adagrad": ("Adagrad", {"eps": 1e-8}, CHANGING),
    "adagrad, large epsilon": ("Adagrad", {"eps": 0.1}, CHANGING),
    "adadelta": ("Adadelta", {"rho": 0.95, "eps": 1e-6}, CHANGING),
    "adadelta, large epsilon": ("Adadelta", {"rho": 0.8, "eps": 0.1}, CHANGING),
    "rmsprop": ("RMSprop", {"alpha": 0.9, "eps": 1e-8}, CHANGING),
    "rmsprop, large epsilon": ("RMSprop", {"alpha": 0.9, "eps": 0.1}, CHANGING),
    "adam": ("Adam", {}, CHANGING),
    "adam, large epsilon": ("Adam", {"betas": [0.8, 0.99], "eps": 0.1}, CHANGING),
    "adamw": ("AdamW", {"weight_decay": 0.3}, CHANGING),
    "nadam": ("NAdam", {}, CHANGING),
    "nadam, constant momentum": ("NAdam", {"momentum_decay": 1e6}, CHANGING),
}


def trajectories() -> dict[str, list[list[float]]]:
    """The parameters after every step of every run, in float64."""
    import torch

    def trajectory(method: str, settings: dict[str, Any], rates: list[float]) -> list[list[float]]:
        params = torch.tensor(START, dtype=torch.float64, requires_grad=True)
        optimizer = getattr(torch.optim, method)([params], lr=rates[0], **settings)
        points = []
        for gradient, rate in zip(GRADIENTS, rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate
            params.grad = torch.tensor(gradient, dtype=torch.float64)
            optimizer.step()
            points.append(params.tolist())
        return points

    # NAdam keeps its product of momenta in the default type.
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        return {name: trajectory(*run) for name, run in RUNS.items()}
    finally:
        torch.set_default_dtype(before)


def main() -> None:
    """Write the fixture, a line a step."""
    import torch

    runs = {
        name: "[\n" + ",\n".join(f"      {json.dumps(point)}" for point in points) + "\n    ]"
        for name, points in trajectories().items()
    }
    body = ",\n".join(f"    {json.dumps(name)}: {points}" for name, points in runs.items())
    version = json.dumps(torch.__version__)
    FIXTURE.write_text(f'{{\n  "torch": {version},\n  "runs": {{\n{body}\n  }}\n}}\n')


if __name__ == "__main__":
    main()
