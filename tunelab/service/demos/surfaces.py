"""Five functions of two weights on which optimizers differ, with exact gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

Point = tuple[float, float]


@dataclass(frozen=True)
class Surface:
    """A function to minimize, and the part of the plane that pictures show.

    Attributes:
        name: A short one, for tables.
        title: For pictures.
        formula: The function in words of x and y.
        lesson: What there is to see, in one sentence.
        value: (x, y) -> f.
        gradient: (x, y) -> (df/dx, df/dy).
        start: Where every optimizer begins.
        minima: Every global minimum.
        lowest: The value there.
        traps: Where else the gradient is 0, by what is there.
        tolerance: A point has arrived while its value is at most this far above ``lowest``.
        window: x from, x to, y from, y to.
    """

    name: str
    title: str
    formula: str
    lesson: str
    value: Callable[[float, float], float]
    gradient: Callable[[float, float], Point]
    start: Point
    minima: tuple[Point, ...]
    lowest: float
    traps: tuple[tuple[str, Point], ...]
    tolerance: float
    window: tuple[float, float, float, float]

    def gap(self, x: float, y: float) -> float:
        """How far the value is above the lowest one."""
        return self.value(x, y) - self.lowest


def saddle_value(x: float, y: float) -> float:
    """A saddle at (0, 0) between two minima: x^2 - y^2 with walls that keep it bounded.

    ::

        f = x^2 / 2 - y^2 / 2 + y^4 / 8

    >>> saddle_value(0.0, 0.0), round(saddle_value(0.0, 2**0.5), 12)
    (0.0, -0.5)
    """
    return x * x / 2 - y * y / 2 + y**4 / 8


def saddle_gradient(x: float, y: float) -> Point:
    """Of :func:`saddle_value`."""
    return x, y**3 / 2 - y


# The long valley is turned by 30 degrees, so that no method finds it along its own axes, and its
# minimum is not (0, 0), to which weight decay would lead.
_ALONG, _ACROSS = 1.0, 100.0
_COSINE, _SINE = math.sqrt(3.0) / 2.0, 0.5
_BOTTOM = (0.7, 0.4)


def valley_value(x: float, y: float) -> float:
    """A long valley with the minimum 0 at (0.7, 0.4): a hundred times steeper across than along.

    ::

        u = (x - 0.7) cos 30° + (y - 0.4) sin 30°
        v = (y - 0.4) cos 30° - (x - 0.7) sin 30°
        f = (u^2 + 100 v^2) / 2

    >>> valley_value(0.7, 0.4), round(valley_value(0.7 + 3**0.5 / 2, 0.4 + 0.5), 12)
    (0.0, 0.5)
    """
    u, v = _along_and_across(x, y)
    return (_ALONG * u * u + _ACROSS * v * v) / 2


def valley_gradient(x: float, y: float) -> Point:
    """Of :func:`valley_value`."""
    u, v = _along_and_across(x, y)
    by_u, by_v = _ALONG * u, _ACROSS * v
    return by_u * _COSINE - by_v * _SINE, by_u * _SINE + by_v * _COSINE


def _along_and_across(x: float, y: float) -> Point:
    right, up = x - _BOTTOM[0], y - _BOTTOM[1]
    return right * _COSINE + up * _SINE, up * _COSINE - right * _SINE


def beale_value(x: float, y: float) -> float:
    """Beale's function: a flat floor between walls, with the minimum 0 at (3, 0.5).

    ::

        f = (1.5 - x + x y)^2 + (2.25 - x + x y^2)^2 + (2.625 - x + x y^3)^2

    Source: Beale (1958); Moré, Garbow & Hillstrom (1981), problem 5.

    >>> beale_value(3.0, 0.5), beale_value(0.0, 0.0)
    (0.0, 14.203125)
    """
    first, second, third = _beale_terms(x, y)
    return first * first + second * second + third * third


def beale_gradient(x: float, y: float) -> Point:
    """Of :func:`beale_value`."""
    first, second, third = _beale_terms(x, y)
    by_x = first * (y - 1) + second * (y * y - 1) + third * (y**3 - 1)
    by_y = x * (first + 2 * y * second + 3 * y * y * third)
    return 2 * by_x, 2 * by_y


def _beale_terms(x: float, y: float) -> tuple[float, float, float]:
    return 1.5 - x + x * y, 2.25 - x + x * y * y, 2.625 - x + x * y**3


def rosenbrock_value(x: float, y: float) -> float:
    """Rosenbrock's function: a bent valley with an almost flat floor, and the minimum 0 at (1, 1).

    ::

        f = (1 - x)^2 + 100 (y - x^2)^2

    Source: Rosenbrock (1960), with his start (-1.2, 1).

    >>> rosenbrock_value(1.0, 1.0), rosenbrock_value(0.0, 1.0)
    (0.0, 101.0)
    """
    return (1 - x) ** 2 + 100 * (y - x * x) ** 2


def rosenbrock_gradient(x: float, y: float) -> Point:
    """Of :func:`rosenbrock_value`."""
    above = y - x * x
    return -2 * (1 - x) - 400 * x * above, 200 * above


def camel_value(x: float, y: float) -> float:
    """The three-hump camel: the global minimum 0 at (0, 0) between two local ones of 0.2986.

    ::

        f = 2 x^2 - 1.05 x^4 + x^6 / 6 + x y + y^2

    Source: Branin (1972); Dixon & Szegö (1978), Towards Global Optimization 2.

    >>> camel_value(0.0, 0.0), round(camel_value(1.7475523, -0.8737762), 4)
    (0.0, 0.2986)
    """
    square = x * x
    return 2 * square - 1.05 * square * square + square**3 / 6 + x * y + y * y


def camel_gradient(x: float, y: float) -> Point:
    """Of :func:`camel_value`."""
    return 4 * x - 4.2 * x**3 + x**5 + y, x + 2 * y


def _camel_stationary(sign: float) -> Point:
    # With y = -x / 2, df/dx = x (x^4 - 4.2 x^2 + 3.5): a local minimum at the greater root of the
    # bracket, a saddle at the lesser.
    x = math.sqrt(2.1 + sign * math.sqrt(2.1**2 - 3.5))
    return x, -x / 2


def _with_opposite(name: str, point: Point) -> tuple[tuple[str, Point], ...]:
    return (name, point), (name, (-point[0], -point[1]))


SURFACES: dict[str, Surface] = {
    "saddle": Surface(
        name="saddle",
        title="Saddle",
        formula="x²/2 − y²/2 + y⁴/8",
        lesson="Down the slope lies a saddle, where the gradient is almost 0: who gets away?",
        value=saddle_value,
        gradient=saddle_gradient,
        start=(-2.1, 1e-3),
        minima=((0.0, math.sqrt(2.0)), (0.0, -math.sqrt(2.0))),
        lowest=-0.5,
        traps=(("saddle", (0.0, 0.0)),),
        tolerance=1e-3,
        window=(-2.6, 2.6, -1.95, 1.95),
    ),
    "valley": Surface(
        name="valley",
        title="Long valley",
        formula="(u² + 100 v²)/2, u and v turned by 30°",
        lesson="A hundred times steeper across than along: a rate for one is wrong for the other.",
        value=valley_value,
        gradient=valley_gradient,
        start=(-1.6, -1.2),
        minima=(_BOTTOM,),
        lowest=0.0,
        traps=(),
        tolerance=1e-3,
        window=(-2.0, 2.0, -1.5, 1.5),
    ),
    "beale": Surface(
        name="beale",
        title="Beale",
        formula="(1.5 − x + xy)² + (2.25 − x + xy²)² + (2.625 − x + xy³)²",
        lesson="Steep walls around a flat floor: gradients differ by orders of magnitude.",
        value=beale_value,
        gradient=beale_gradient,
        start=(1.0, 1.5),
        minima=((3.0, 0.5),),
        lowest=0.0,
        traps=(("saddle", (0.0, 1.0)),),
        tolerance=1e-3,
        window=(-0.5, 4.3, -1.6, 2.0),
    ),
    "rosenbrock": Surface(
        name="rosenbrock",
        title="Rosenbrock",
        formula="(1 − x)² + 100 (y − x²)²",
        lesson="Into the bent valley is easy; along its almost flat floor takes the time.",
        value=rosenbrock_value,
        gradient=rosenbrock_gradient,
        start=(-1.2, 1.0),
        minima=((1.0, 1.0),),
        lowest=0.0,
        traps=(),
        tolerance=1e-3,
        window=(-2.0, 2.0, -0.75, 2.25),
    ),
    "camel": Surface(
        name="camel",
        title="Local and global minimum",
        formula="2x² − 1.05x⁴ + x⁶/6 + xy + y²",
        lesson="The start lies above a local minimum: who gets over the hump to the global one?",
        value=camel_value,
        gradient=camel_gradient,
        start=(-2.1, 1.4),
        minima=((0.0, 0.0),),
        lowest=0.0,
        traps=(
            *_with_opposite("local minimum", _camel_stationary(+1.0)),
            *_with_opposite("saddle", _camel_stationary(-1.0)),
        ),
        tolerance=1e-3,
        window=(-2.4, 2.4, -1.8, 1.8),
    ),
}
"""The surfaces by name, in the order in which they are shown."""
