"""The surfaces against differences, SciPy's functions and SciPy's minimizers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import differential_evolution, minimize, rosen, rosen_der

from tunelab.service.demos.surfaces import SURFACES


@pytest.fixture(params=SURFACES.values(), ids=SURFACES.keys())
def surface(request):
    return request.param


def points_of(surface, n=200):
    left, right, bottom, top = surface.window
    rng = np.random.default_rng(7)
    return np.column_stack([rng.uniform(left, right, n), rng.uniform(bottom, top, n)]).tolist()


def hessian(surface, x, y, h=1e-5):
    """By central differences of the gradient."""
    by_x = np.subtract(surface.gradient(x + h, y), surface.gradient(x - h, y)) / (2 * h)
    by_y = np.subtract(surface.gradient(x, y + h), surface.gradient(x, y - h)) / (2 * h)
    return np.array([by_x, by_y])


def test_gradients_equal_central_differences(surface):
    h = 1e-6
    for x, y in points_of(surface):
        by_x = (surface.value(x + h, y) - surface.value(x - h, y)) / (2 * h)
        by_y = (surface.value(x, y + h) - surface.value(x, y - h)) / (2 * h)
        size = max(1.0, abs(by_x), abs(by_y))
        assert surface.gradient(x, y) == pytest.approx((by_x, by_y), abs=1e-7 * size + 1e-7)


def test_the_gradient_is_0_where_it_is_said_to_be(surface):
    for point in (*surface.minima, *(point for _, point in surface.traps)):
        assert surface.gradient(*point) == pytest.approx((0.0, 0.0), abs=1e-12)


def test_a_global_search_finds_the_minima_and_nothing_lower(surface):
    left, right, bottom, top = surface.window
    found = differential_evolution(
        lambda w: surface.value(*w), [(left, right), (bottom, top)], rng=3, tol=1e-10
    )
    assert found.fun == pytest.approx(surface.lowest, abs=1e-8)
    assert min(np.hypot(*np.subtract(found.x, point)) for point in surface.minima) < 1e-3
    for point in surface.minima:
        assert surface.gap(*point) == pytest.approx(0.0, abs=1e-12)
        assert np.linalg.eigvalsh(hessian(surface, *point)).min() > 0


def test_traps_are_what_they_are_called(surface):
    for name, point in surface.traps:
        assert surface.gap(*point) > surface.tolerance
        low, high = np.linalg.eigvalsh(hessian(surface, *point))
        assert high > 0
        assert {"saddle": low < 0, "local minimum": low > 0}[name]
        if name == "local minimum":
            nearby = np.add(point, (0.05, -0.05))
            found = minimize(lambda w: surface.value(*w), nearby, tol=1e-10).x
            assert found == pytest.approx(point, abs=1e-4)


def test_the_picture_holds_the_start_and_all_that_is_marked(surface):
    left, right, bottom, top = surface.window
    for x, y in (surface.start, *surface.minima, *(point for _, point in surface.traps)):
        assert left < x < right
        assert bottom < y < top
    assert surface.gap(*surface.start) > 100 * surface.tolerance


def test_rosenbrock_is_scipys():
    rosenbrock = SURFACES["rosenbrock"]
    for point in points_of(rosenbrock):
        assert rosenbrock.value(*point) == pytest.approx(rosen(point))
        assert rosenbrock.gradient(*point) == pytest.approx(rosen_der(np.array(point)))


def test_beale_has_its_published_values():
    beale = SURFACES["beale"].value
    # 1.5^2 + 2.25^2 + 2.625^2; at (1, 1) each term is its constant
    assert beale(1.0, 1.0) == pytest.approx(14.203125)
    # 1.5 - 1 + 2, 2.25 - 1 + 4, 2.625 - 1 + 8
    assert beale(1.0, 2.0) == pytest.approx(2.5**2 + 5.25**2 + 9.625**2)


def test_the_valley_is_a_hundred_times_steeper_across_than_along():
    curvatures, directions = np.linalg.eigh(hessian(SURFACES["valley"], 0.0, 0.0))
    assert curvatures == pytest.approx([1.0, 100.0], rel=1e-6)
    along = directions[:, 0]
    assert np.degrees(np.arctan2(along[1], along[0])) % 180 == pytest.approx(30.0, abs=1e-4)


def test_the_run_begins_in_the_basin_of_the_local_minimum():
    camel = SURFACES["camel"]
    w = np.array(camel.start)
    for _ in range(20_000):  # so small a rate that the path is that of steepest descent
        w -= 1e-3 * np.array(camel.gradient(*w))
    (_, trap) = min(camel.traps, key=lambda trap: np.hypot(*np.subtract(w, trap[1])))
    assert w == pytest.approx(trap, abs=1e-6)
    assert ("local minimum", trap) in camel.traps


def test_weight_decay_is_not_given_the_valley():
    assert SURFACES["valley"].minima[0] != (0.0, 0.0)
