"""The coordinates and the lattice of the counts' posterior: any would do, these do it in few nodes.

A poor choice costs nodes, not correctness, so that no test of a posterior tells: these do.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spiir_pastro.models.counts.lattice import _curvature, _grid, _lattice, _settle, lattice_of
from spiir_pastro.models.counts.stick_breaking import Frame, Sticks
from tolerances import ROUNDING

Floats = NDArray[np.float64]

STICKS = [
    Sticks(classes=k, noise=noise, first=first)
    for k in (1, 2, 3)
    for noise in (None, 40.0)
    for first in (None, *range(k))
]
ALL_STICKS = pytest.mark.parametrize("sticks", STICKS, ids=repr)
coordinates = st.lists(st.floats(-30, 30), min_size=3, max_size=3)


@ALL_STICKS
@settings(max_examples=15)
@given(coordinates)
def test_sticks_make_one_whole_or_leave_noise_as_it_is(sticks: Sticks, t: list[float]) -> None:
    point = np.array([t[: sticks.classes]])
    logs = sticks.log_sources(point)
    if sticks.noise is None:
        assert np.exp(logs).sum() == pytest.approx(1, rel=ROUNDING)
    else:
        assert logs[0, -1] == math.log(sticks.noise)


@ALL_STICKS
def test_sticks_can_be_put_together_again(sticks: Sticks) -> None:
    for point in np.random.default_rng(1).normal(0, 3, (5, sticks.classes)):
        logs = sticks.log_sources(point[None])[0]
        np.testing.assert_allclose(sticks.coordinates(logs), point, rtol=1e-9)


@ALL_STICKS
def test_the_jacobian_of_sticks_is_the_product_of_what_is_free(sticks: Sticks) -> None:
    """d(shares or counts) / dt, by differences: what makes one density the other."""
    t = np.random.default_rng(2).normal(0, 1, sticks.classes)
    eps = 1e-6 * np.eye(sticks.classes)
    above, below = (np.exp(sticks.log_sources(t + e)) for e in (eps, -eps))
    jacobian = abs(np.linalg.det((above - below)[:, : sticks.classes] / 2e-6))
    logs = sticks.log_sources(t[None])[0]
    free = logs[:-1] if sticks.noise is not None else logs
    assert math.log(jacobian) == pytest.approx(free.sum(), abs=1e-6)


@ALL_STICKS
def test_the_first_class_is_the_first_coordinates_alone(sticks: Sticks) -> None:
    several = np.random.default_rng(3).normal(0, 3, (20, sticks.classes))
    several[:, 0] = 0.7
    shares = sticks.log_sources(several)[:, sticks.first or 0]
    if sticks.first is not None:
        np.testing.assert_allclose(shares, shares[0], rtol=ROUNDING)
        several[:, 0] = 1.7
        assert (sticks.log_sources(several)[:, sticks.first] > shares).all()


@ALL_STICKS
@settings(max_examples=15)
@given(coordinates)
def test_the_bend_knows_its_own_slope(sticks: Sticks, z: list[float]) -> None:
    k = sticks.classes
    factor: Floats = np.tri(k) / 2 + np.eye(k) / 4
    frame = Frame(sticks=sticks, centre=np.linspace(-1, 1, k), factor=factor)
    at = np.array(z[:k])
    step = 1e-4 * np.eye(k)
    slopes = (frame.unbend(at + step)[0] - frame.unbend(at - step)[0]) / 2e-4
    _, log_jacobian = frame.unbend(np.stack([at, np.zeros(k)]))
    middle, _ = frame.unbend(np.zeros((1, k)))
    np.testing.assert_allclose(middle[0], frame.centre, atol=1e-14)
    at_middle = np.linalg.det(factor)
    expected = math.log(abs(np.linalg.det(slopes))) - math.log(at_middle)
    assert log_jacobian[0] - log_jacobian[1] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("seen", [0.5, 1, 2, 5, 20, 1e3, 1e6])
@pytest.mark.parametrize("of_many", [True, False])
def test_every_tail_is_nearly_a_normal_ones(seen: float, *, of_many: bool) -> None:
    """Of a count that is a Gamma variate, and of a share that is a Beta variate.

    In the plain logarithm the left tail would fall like exp(c t): slowly, where few were seen.
    """
    if of_many:
        sticks, noise = Sticks(classes=1, noise=1.0), math.inf
        centre, variance = math.log(seen), 1 / seen
    else:
        sticks, noise = Sticks(classes=1, first=0), 50.0
        centre, variance = math.log(seen / noise), 1 / seen + 1 / noise
    frame = Frame(sticks=sticks, centre=np.array([centre]), factor=np.sqrt([[variance]]))
    z = np.array([0.0, -8, -6, -4, 4, 6, 8])[:, None]
    t, log_jacobian = frame.unbend(z)
    logs = sticks.log_sources(t)
    log_weights = seen * logs[:, 0] + log_jacobian
    log_weights += -np.exp(logs[:, 0]) if of_many else noise * logs[:, 1]
    fall = (log_weights[0] - log_weights[1:]) / (0.5 * z[1:, 0] ** 2)
    assert (fall > 0.75).all()
    assert (fall < 3).all()


def quadratic(k: int) -> tuple[Floats, Floats]:
    """Where a correlated normal density has its maximum, and its precision."""
    rng = np.random.default_rng(k)
    root = rng.normal(size=(k, k))
    return rng.normal(size=k), root @ root.T + np.eye(k)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_gradient_and_curvature_of_a_parabola_are_exact(k: int) -> None:
    top, precision = quadratic(k)
    frame = Frame(
        sticks=Sticks(classes=k), centre=np.zeros(k), factor=np.tri(k) + np.diag(np.arange(k))
    )
    gradient, hessian = _curvature(
        lambda t: -0.5 * np.einsum("gi,ij,gj->g", t - top, precision, t - top), frame
    )
    np.testing.assert_allclose(gradient, frame.factor.T @ precision @ top, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(hessian, frame.factor.T @ precision @ frame.factor, rtol=1e-7)


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("scale", [0.02, 1.0, 5.0])
def test_a_frame_settles_on_the_maximum_wherever_it_starts(k: int, scale: float) -> None:
    top, precision = quadratic(k)
    start = Frame(sticks=Sticks(classes=k), centre=top + 4.0, factor=scale * np.eye(k))
    frame = _settle(lambda t: -0.5 * np.einsum("gi,ij,gj->g", t - top, precision, t - top), start)
    np.testing.assert_allclose(frame.centre, top, atol=1e-6)
    covariance = frame.factor @ frame.factor.T
    np.testing.assert_allclose(covariance @ precision, np.eye(k), atol=1e-6)


@pytest.mark.parametrize("wide", [1.5, 2.0, 2.5, 3.0])
def test_the_accuracy_of_a_lattice_is_more_than_its_error(wide: float) -> None:
    """Of a Gamma distributed count, in a frame too wide: the square of twice the step's error."""
    shape, step = 12.0, 0.45
    sticks = Sticks(classes=1, noise=1.0)
    frame = Frame(
        sticks=sticks, centre=np.log([shape]) + 0.05, factor=np.array([[wide / math.sqrt(shape)]])
    )

    def log_density(t: Floats) -> Floats:
        return np.asarray(shape * t[:, 0] - np.exp(t[:, 0]))

    def errors(step: float) -> tuple[float, float]:
        """Of the mean in standard deviations, of the standard deviation relatively."""
        z = _grid([np.linspace(-60 * step, 60 * step, 121)])
        lattice = _lattice(log_density, frame, z, step)
        counts = np.exp(lattice.log_sources[:, 0])
        mean = lattice.weights @ counts
        deviation = math.sqrt(lattice.weights @ (counts - mean) ** 2)
        worst = max(abs(mean - shape) / math.sqrt(shape), abs(deviation / math.sqrt(shape) - 1))
        return worst, lattice.accuracy

    (error, accuracy), (error_of_half, _) = errors(step), errors(2 * step)
    assert error < accuracy
    assert 0.5 * error_of_half**2 < accuracy < 4 * error_of_half**2 + 1e-12


def test_a_lattice_is_as_fine_as_it_must_be_and_no_finer() -> None:
    """A narrow ridge beside a broad hill wants a finer lattice than one normal distribution."""
    frame = Frame(sticks=Sticks(classes=1, noise=1.0), centre=np.zeros(1), factor=np.eye(1))

    def hill(t: Floats) -> Floats:
        return np.asarray(-0.5 * t[:, 0] ** 2)

    def ridge(t: Floats) -> Floats:
        return np.asarray(np.logaddexp(hill(t), -0.5 * ((t[:, 0] - 2) / 0.1) ** 2))

    normal = lattice_of(hill, frame, tolerance=1e-13, most_nodes=10_000)
    both = lattice_of(ridge, frame, tolerance=1e-13, most_nodes=10_000)
    assert normal.accuracy < 1e-13
    assert both.accuracy < 1e-13
    assert both.step < 0.6 * normal.step
    mean = both.weights @ both.log_sources[:, 0]
    assert mean == pytest.approx(2 * 0.1 / 1.1, rel=1e-9)
    short = lattice_of(ridge, frame, tolerance=1e-13, most_nodes=len(both.weights) // 2)
    assert short.step > both.step
    assert short.accuracy > 1e-13
