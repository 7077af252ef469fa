"""A conditional density is a density at every value of what it is given."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import iqr, norm

from spiir_pastro.errors import FitError
from spiir_pastro.models.conditional import ConditionalGrid
from spiir_pastro.models.kernels import kernel_errors
from tolerances import QUADRATURE, ROUNDING

Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def grid() -> ConditionalGrid:
    """Samples of y about a feature that also sets their scatter."""
    rng = np.random.default_rng(0)
    feature = rng.uniform(-1, 2, 200_000)
    y = feature + (0.5 + 0.1 * feature) * rng.normal(size=feature.size)
    return ConditionalGrid.from_samples(feature, y, column=1, span=(-1.5, 2.5))


def _features(values: np.ndarray) -> np.ndarray:
    return np.stack([np.ones_like(values), values], axis=1)


@given(st.floats(-5, 5))
def test_it_integrates_to_one_at_any_value_of_the_feature(
    grid: ConditionalGrid, feature: float
) -> None:
    y = np.linspace(-12, 14, 200_001)
    density = np.exp(grid.log_pdf(y, _features(np.full(y.shape, feature))))
    assert np.trapezoid(density, y) == pytest.approx(1, rel=QUADRATURE * 100)


def test_it_recovers_the_law_the_samples_were_drawn_from(grid: ConditionalGrid) -> None:
    feature = np.array([-0.5, 0.0, 0.5, 1.0, 1.5])
    for shift in (-0.5, 0.0, 0.5):
        said = grid.log_pdf(feature + shift, _features(feature))
        true = norm.logpdf(shift, scale=0.5 + 0.1 * feature)
        # Kernels widen the curve: by a tenth at most.
        np.testing.assert_allclose(said, true, atol=0.1)


def test_a_missing_feature_has_no_density(grid: ConditionalGrid) -> None:
    said = grid.log_pdf(np.array([0.0, np.nan]), _features(np.array([np.nan, 0.0])))
    assert np.isnan(said).all()


# Rows rise by e and by e^2 over y in 0 to 1; the errors are 0.1 to 0.4.
TWO_CURVES = ConditionalGrid(
    column=0,
    nodes=np.array([0.0, 1.0]),
    y_nodes=np.array([0.0, 1.0]),
    log_values=np.array([[0.0, 1.0], [0.0, 2.0]]),
    node_errors=np.array([[[0.1, 0.2], [0.3, 0.4]], [[0.0, 0.1], [0.2, 0.3]]]),
)


def _curve(rise: float, y: float) -> float:
    """Exponential over 0 to 1 that falls by e in 0.2 outside, by its integral in closed form."""
    total = (math.exp(rise) - 1) / rise + 0.2 * (1 + math.exp(rise))
    inside = min(max(y, 0.0), 1.0)
    return math.exp(rise * inside - abs(y - inside) / 0.2) / total


@pytest.mark.parametrize("y", [-0.5, 0.0, 0.25, 1.0, 1.3])
@pytest.mark.parametrize("feature", [-2.0, 0.0, 0.75, 1.0, 3.0])
def test_between_two_curves_is_their_mixture_and_beyond_them_the_nearer(
    feature: float, y: float
) -> None:
    share = min(max(feature, 0.0), 1.0)
    said = TWO_CURVES.log_pdf(np.array([y]), np.array([[feature]]))
    expected = (1 - share) * _curve(1, y) + share * _curve(2, y)
    np.testing.assert_allclose(np.exp(said), expected, rtol=ROUNDING)
    inside = min(max(y, 0.0), 1.0)
    at_the_nodes = 0.2 * share + 0.1 * inside + np.array([0.1, 0.0])
    np.testing.assert_allclose(
        TWO_CURVES.log_pdf_and_errors(np.array([y]), np.array([[feature]]))[1][:, 0],
        np.hypot(at_the_nodes, abs(y - inside) / 0.2),
        rtol=ROUNDING,
    )


def test_a_grid_is_the_sum_of_its_kernels() -> None:
    """Against the sum over samples itself, with Silverman's widths in two dimensions."""
    rng = np.random.default_rng(5)
    feature = rng.uniform(0, 2, 300)  # up to both ends of the span
    y = 0.3 * feature + 0.1 * rng.normal(size=300)
    floor, span = 0.3, (0.0, 2.0)
    grid = ConditionalGrid.from_samples(feature, y, column=0, span=span, floor=floor, size=100)
    h_feature, h = (
        0.9 * min(np.std(v), iqr(v) / 1.34) * 300 ** (-1 / 6) for v in (feature, y)
    )  # fmt: skip
    ends = y.min() - 3 * h, y.max() + 3 * h
    for nodes, (first, last) in ((grid.nodes, span), (grid.y_nodes, ends)):
        assert nodes.size == 100
        half_a_bin = (last - first) / 397 / 2
        np.testing.assert_allclose(nodes[[0, -1]], [first + half_a_bin, last - half_a_bin])

    def kernels(wider: float) -> tuple[Floats, Floats]:
        across = norm.pdf(grid.nodes[:, None], feature, wider * h_feature)
        along = norm.pdf(grid.y_nodes[:, None], y, wider * h)
        density = across @ along.T / 300
        floored = np.log((1 - floor) * density + floor / (2 * (ends[1] - ends[0])))
        area = np.trapezoid(np.exp(floored), grid.y_nodes, axis=1)
        return density, floored - np.log(area)[:, None]

    density, log_values = kernels(1)
    # Samples stand in bins of a few hundredths of a kernel.
    shape = grid.log_values - grid.log_values.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(
        shape, log_values - log_values.mean(axis=1, keepdims=True), atol=0.01
    )
    expected = kernel_errors(
        local_events=300 * density * (2 * math.sqrt(math.pi)) ** 2 * h_feature * h,
        bias=kernels(math.sqrt(2))[1] - log_values,
        lift=np.log((1 - floor) + floor / (2 * (ends[1] - ends[0])) / density),
    )
    np.testing.assert_allclose(grid.node_errors, expected, rtol=0.02, atol=2e-3)


def test_two_samples_make_a_grid() -> None:
    two = np.array([0.0, 1.0])
    grid = ConditionalGrid.from_samples(two, two, column=0, span=(0, 1))
    assert grid.log_pdf(np.zeros(1), np.zeros((1, 1))) > grid.log_pdf(np.ones(1), np.zeros((1, 1)))


def test_a_grid_cannot_be_changed_and_keeps_nothing_of_what_it_was_given() -> None:
    nodes, y_nodes = np.array([0.0, 1.0]), np.array([0.0, 1.0])
    grid = replace(TWO_CURVES, nodes=nodes, y_nodes=y_nodes, node_errors=np.array(0.2))
    nodes[0] = y_nodes[0] = -1.0
    assert grid.nodes[0] == grid.y_nodes[0] == 0.0
    for array in (grid.nodes, grid.y_nodes, grid.log_values, grid.node_errors):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0.0
    assert grid.node_errors.shape == (2, 2, 2)


def test_a_grid_that_is_none_is_refused() -> None:
    with pytest.raises(FitError, match="a curve for each"):
        ConditionalGrid(
            column=0,
            nodes=np.array([0.0, 1.0]),
            y_nodes=np.array([0.0, 1.0]),
            log_values=np.zeros((3, 2)),
        )
    with pytest.raises(FitError, match="equidistant nodes"):
        replace(TWO_CURVES, nodes=np.array([0.0, 0.0]))
    with pytest.raises(FitError, match="needs samples"):
        ConditionalGrid.from_samples(np.zeros(1), np.zeros(1), column=0, span=(0, 1))
