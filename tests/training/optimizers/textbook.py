"""The methods once more, in float64 and in the order in which the books print them.

Every class shares its settings with the factory of the same name. What comes after the settings
turns a method into PyTorch's variant of it, so that a difference can be shown to be the only one.
"""

from __future__ import annotations

import numpy as np


class SGD:
    def step(self, w, g, rate):
        return w - rate * g


class Momentum:
    """Goodfellow et al. (2016), Algorithm 8.2; or with the rate outside the velocity."""

    def __init__(self, momentum=0.9, rate_inside=True):
        self.mu, self.v, self.rate_inside = momentum, 0.0, rate_inside

    def step(self, w, g, rate):
        if self.rate_inside:
            self.v = self.mu * self.v - rate * g
            return w + self.v
        self.v = self.mu * self.v + g
        return w - rate * self.v


class Nesterov:
    """Algorithm 8.3, seen at the points where it takes its gradients; or PyTorch's form."""

    def __init__(self, momentum=0.9, rate_inside=True):
        self.mu, self.v, self.theta, self.rate_inside = momentum, 0.0, None, rate_inside

    def step(self, w, g, rate):
        if not self.rate_inside:
            self.v = self.mu * self.v + g
            return w - rate * (g + self.mu * self.v)
        if self.theta is None:
            self.theta = w
        self.v = self.mu * self.v - rate * g
        self.theta = self.theta + self.v
        return self.theta + self.mu * self.v


class AdaGrad:
    """Ruder (2016), section 4.3; or with epsilon outside the root."""

    def __init__(self, epsilon=1e-8, inside=True):
        self.epsilon, self.inside, self.total = epsilon, inside, 0.0

    def step(self, w, g, rate):
        self.total = self.total + g**2
        return w - rate / root(self.total, self.epsilon, self.inside) * g


class AdaDelta:
    """Zeiler (2012), Algorithm 1, times the rate."""

    def __init__(self, rho=0.95, epsilon=1e-6):
        self.rho, self.epsilon = rho, epsilon
        self.mean_square = self.mean_square_step = 0.0

    def step(self, w, g, rate):
        self.mean_square = self.rho * self.mean_square + (1 - self.rho) * g**2
        rms_step = np.sqrt(self.mean_square_step + self.epsilon)
        step = -rms_step / np.sqrt(self.mean_square + self.epsilon) * g
        self.mean_square_step = self.rho * self.mean_square_step + (1 - self.rho) * step**2
        return w + rate * step


class RMSprop:
    """Ruder (2016), section 4.5; or with epsilon outside the root."""

    def __init__(self, rho=0.9, epsilon=1e-8, inside=True):
        self.rho, self.epsilon, self.inside, self.mean_square = rho, epsilon, inside, 0.0

    def step(self, w, g, rate):
        self.mean_square = self.rho * self.mean_square + (1 - self.rho) * g**2
        return w - rate / root(self.mean_square, self.epsilon, self.inside) * g


class Adam:
    """Kingma & Ba (2015), Algorithm 1."""

    def __init__(self, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
        self.b1, self.b2, self.epsilon = beta_1, beta_2, epsilon
        self.m = self.v = 0.0
        self.t = 0

    def step(self, w, g, rate):
        self.t += 1
        self.m = self.b1 * self.m + (1 - self.b1) * g
        self.v = self.b2 * self.v + (1 - self.b2) * g**2
        v_hat = self.v / (1 - self.b2**self.t)
        return w - rate * self.m_hat(g) / (np.sqrt(v_hat) + self.epsilon)

    def m_hat(self, g):
        return self.m / (1 - self.b1**self.t)


class AdamW(Adam):
    """Loshchilov & Hutter (2019), Algorithm 2, the rate multiplied into the decay."""

    def __init__(self, weight_decay=0.01, **settings):
        super().__init__(**settings)
        self.weight_decay = weight_decay

    def step(self, w, g, rate):
        return super().step(w, g, rate) - rate * self.weight_decay * w


class NAdam(Adam):
    """Ruder (2016), section 4.8; or Dozat's own form, in which the momentum rises with the steps.

    Dozat corrects m for the step to come. His momentum is beta_1 * (1 - 0.96^(t * rise) / 2).
    """

    def __init__(self, rise=None, **settings):
        super().__init__(**settings)
        self.rise, self.product = rise, 1.0

    def m_hat(self, g):
        if self.rise is None:
            corrected = self.m / (1 - self.b1**self.t)
            return self.b1 * corrected + (1 - self.b1) * g / (1 - self.b1**self.t)
        mu, next_mu = (self.b1 * (1 - 0.5 * 0.96 ** (t * self.rise)) for t in (self.t, self.t + 1))
        self.product *= mu
        return next_mu * self.m / (1 - self.product * next_mu) + (1 - mu) * g / (1 - self.product)


def root(square, epsilon, inside):
    return np.sqrt(square + epsilon) if inside else np.sqrt(square) + epsilon


TEXTBOOK = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "adagrad": AdaGrad,
    "adadelta": AdaDelta,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
    "nadam": NAdam,
}

# What the suites try beside the defaults: coefficients at 0, small, and close to 1.
VARIANTS = [
    ("sgd", {}),
    ("momentum", {}),
    ("momentum", {"momentum": 0.0}),
    ("momentum", {"momentum": 0.5}),
    ("nesterov", {}),
    ("nesterov", {"momentum": 0.99}),
    ("adagrad", {}),
    ("adagrad", {"epsilon": 1e-2}),
    ("adadelta", {}),
    ("adadelta", {"rho": 0.0, "epsilon": 1e-3}),
    ("adadelta", {"rho": 0.999, "epsilon": 1e-8}),
    ("rmsprop", {}),
    ("rmsprop", {"rho": 0.0, "epsilon": 1e-3}),
    ("rmsprop", {"rho": 0.99}),
    ("adam", {}),
    ("adam", {"beta_1": 0.0}),
    ("adam", {"beta_1": 0.0, "beta_2": 0.0, "epsilon": 1e-3}),
    ("adam", {"beta_1": 0.1, "beta_2": 0.9}),
    ("adam", {"beta_1": 0.99, "beta_2": 0.9999, "epsilon": 1e-4}),
    ("adamw", {}),
    ("adamw", {"beta_1": 0.5, "beta_2": 0.99, "weight_decay": 0.3}),
    ("nadam", {}),
    ("nadam", {"beta_1": 0.0, "epsilon": 1e-3}),
    ("nadam", {"beta_1": 0.99, "beta_2": 0.9}),
]


def gradients_and_rates(steps, size, scale):
    """The rate changes at every step, the gradient's size over a factor of 1000 within a run."""
    rng = np.random.default_rng(3)
    for step in range(steps):
        rate = 0.1 * (1 + np.cos(step / 20)) + 1e-3
        yield scale * rng.normal(size=size) * 10 ** rng.uniform(-1.5, 1.5), rate
