"""A conditional density is a density at every value of what it is given."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from spiir_pastro.errors import FitError
from spiir_pastro.models.conditional import ConditionalGrid
from tolerances import QUADRATURE


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


def test_a_grid_that_is_none_is_refused() -> None:
    with pytest.raises(FitError, match="a curve for each"):
        ConditionalGrid(
            column=0,
            nodes=np.array([0.0, 1.0]),
            y_nodes=np.array([0.0, 1.0]),
            log_values=np.zeros((3, 2)),
        )
    with pytest.raises(FitError, match="needs samples"):
        ConditionalGrid.from_samples(np.zeros(1), np.zeros(1), column=0, span=(0, 1))
