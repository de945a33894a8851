"""Three steps of every optimizer, worked on paper; every table starts at w = 1."""

from __future__ import annotations

import numpy as np
import pytest

from tunelab.training.optimizers import OPTIMIZERS, make_optimizer

# name: (settings, [(gradient, rate, w afterwards)])
TABLES = {
    # w = 1 - 0.1*2, 0.8 + 0.1*1, 0.9 - 0.05*4
    "sgd": ({}, [(2, 0.1, 0.8), (-1, 0.1, 0.9), (4, 0.05, 0.7)]),
    # v = -0.1*2 = -0.2; 0.5*-0.2 + 0.1 = 0; 0.5*0 - 0.05*4 = -0.2
    "momentum": ({"momentum": 0.5}, [(2, 0.1, 0.8), (-1, 0.1, 0.8), (4, 0.05, 0.6)]),
    # the same v; w + 0.5*v - rate*g: 1 - 0.1 - 0.2; 0.7 + 0 + 0.1; 0.8 - 0.1 - 0.2
    "nesterov": ({"momentum": 0.5}, [(2, 0.1, 0.7), (-1, 0.1, 0.8), (4, 0.05, 0.5)]),
    # G = 9, 18, 162; with epsilon 16, 25, 169, whose roots are 4, 5, 13
    # steps 0.4*3/4 = 0.3; 0.5*-3/5 = -0.3; 0.13*12/13 = 0.12
    "adagrad": ({"epsilon": 7.0}, [(3, 0.4, 0.7), (-3, 0.5, 1.0), (12, 0.13, 0.88)]),
    # E[g^2] = 0.25*36 = 9; 0.75*9 + 0.25*4 = 7.75; 0.75*7.75 + 0.25*1 = 6.0625
    # d1 = 6*sqrt(16)/sqrt(9 + 16) = 4.8, so E[d^2] = 0.25*23.04 = 5.76
    # d2 = -2*sqrt(21.76)/sqrt(23.75) = -2*4.6647615/4.8733972 = -1.9143777,
    #      so E[d^2] = 0.75*5.76 + 0.25*3.6648421 = 5.2362105
    # d3 = 1*sqrt(21.2362105)/sqrt(22.0625) = 4.6082763/4.6970736 = 0.9810952
    # w = 1 - 0.1*4.8; 0.52 + 0.1*1.9143777; 0.7114378 - 0.2*0.9810952
    "adadelta": (
        {"rho": 0.75, "epsilon": 16.0},
        [(6, 0.1, 0.52), (-2, 0.1, 0.7114378), (1, 0.2, 0.5152187)],
    ),
    # E[g^2] = 0.25*16 = 4; 3 + 0.25*4 = 4; 3 + 0.25*49 = 15.25
    # with epsilon 9, 9, 20.25, whose roots are 3, 3, 4.5
    # steps 0.3*4/3 = 0.4; 0.15*-2/3 = -0.1; 0.09*7/4.5 = 0.14
    "rmsprop": (
        {"rho": 0.75, "epsilon": 5.0},
        [(4, 0.3, 0.6), (-2, 0.15, 0.7), (7, 0.09, 0.56)],
    ),
    # m = 1/2, -1/4, 7/8, corrected by 1/2, 3/4, 7/8 to 1, -1/3, 1
    # v = 1/4, 7/16, 85/64, corrected by 1/4, 7/16, 37/64 to 1, 1, 85/37
    # so the steps are 0.3*1, 0.3*-1/3 and 0.6*1/sqrt(85/37) = 0.6*0.6597682 = 0.3958609
    "adam": (
        {"beta_1": 0.5, "beta_2": 0.75},
        [(1, 0.3, 0.7), (-1, 0.3, 0.8), (2, 0.6, 0.4041391)],
    ),
    # Adam's steps after shrinking by 1 - 0.3/2 = 0.85, 0.85 and 1 - 0.6/2 = 0.7:
    # 0.85 - 0.3; 0.85*0.55 + 0.1; 0.7*0.5675 - 0.3958609
    "adamw": (
        {"beta_1": 0.5, "beta_2": 0.75, "weight_decay": 0.5},
        [(1, 0.3, 0.55), (-1, 0.3, 0.5675), (2, 0.6, 0.0013891)],
    ),
    # Adam's m and corrected v; n = (m/2 + g/2)/(1 - 1/2^t):
    # (1/4 + 1/2)/(1/2) = 3/2; (-1/8 - 1/2)/(3/4) = -5/6; (7/16 + 1)/(7/8) = 23/14
    # so the steps are 0.3*3/2, 0.3*-5/6 and 0.6*23/14*0.6597682 = 0.6503429
    "nadam": (
        {"beta_1": 0.5, "beta_2": 0.75},
        [(1, 0.3, 0.55), (-1, 0.3, 0.8), (2, 0.6, 0.1496571)],
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_three_steps_worked_by_hand(name):
    settings, table = TABLES[name]
    params = np.ones(1)
    optimizer = make_optimizer(name, settings).bind(params)
    for gradient, rate, expected in table:
        optimizer.step(params, np.array([float(gradient)]), rate)
        assert params[0] == pytest.approx(expected, abs=1e-7)


def test_the_tables_cover_every_optimizer():
    assert set(TABLES) == set(OPTIMIZERS)


def test_nesterov_moves_past_the_classical_step_by_momentum_times_velocity():
    w_classical, w_nesterov = np.ones(1, np.float32), np.ones(1, np.float32)
    gradient = np.full(1, 2.0, np.float32)
    classical = make_optimizer("momentum", {"momentum": 0.9}).bind(w_classical)
    nesterov = make_optimizer("nesterov", {"momentum": 0.9}).bind(w_nesterov)
    classical.step(w_classical, gradient, learning_rate=0.1)
    nesterov.step(w_nesterov, gradient, learning_rate=0.1)
    # v = -0.1 * 2 = -0.2; classical 1 - 0.2; nesterov 1 + 0.9 * -0.2 - 0.2
    assert w_classical[0] == pytest.approx(0.80)
    assert w_nesterov[0] == pytest.approx(0.62)
