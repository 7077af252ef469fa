"""Densities integrate to one, whatever they were made from, and forget nothing on the way."""

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import gaussian_kde, norm, t

from spiir_pastro.errors import FitError
from spiir_pastro.models.densities import GridDensity
from spiir_pastro.models.far_density import PowerLaw, fit_far_density, fit_power_law
from spiir_pastro.models.kernels import effective_size, kernel_errors, silverman_bandwidth
from spiir_pastro.models.regression import StudentRegression
from tolerances import QUADRATURE, ROUNDING

finite = st.floats(-5, 5)


@given(st.floats(0.01, 3))
def test_power_law_integrates_to_one(exponent: float) -> None:
    density = PowerLaw(exponent=exponent)
    total = quad(lambda x: math.exp(density.log_pdf(np.array(x))), -60 / exponent, 0)[0]
    assert total == pytest.approx(1, rel=QUADRATURE)


def test_noise_is_uniform_in_far() -> None:
    far_ratio = np.array([1e-9, 0.2, 1.0])
    log_jacobian = np.log(far_ratio)  # from FAR to its logarithm
    np.testing.assert_allclose(
        PowerLaw(exponent=1.0).log_pdf(np.log(far_ratio)) - log_jacobian, 0, atol=ROUNDING
    )


def test_power_law_fit_recovers_its_exponent_within_its_uncertainty() -> None:
    x = np.random.default_rng(1).exponential(10, 10_000) * -1
    fitted = fit_power_law(x)
    assert fitted.exponent_std == pytest.approx(fitted.exponent / 100, rel=ROUNDING)
    assert abs(fitted.exponent - 0.1) < 4 * fitted.exponent_std  # false alarm 6e-5


def test_a_power_law_is_as_steep_as_its_values_are_near_the_threshold() -> None:
    fitted = fit_power_law(np.array([0.0, -2e-3]))
    assert fitted.exponent == pytest.approx(1000, rel=ROUNDING)
    assert fitted.exponent_std == pytest.approx(1000 / math.sqrt(2), rel=ROUNDING)


@given(st.lists(st.floats(-30, -1e-3), min_size=1, max_size=20), st.integers(2, 5))
def test_power_law_fit_weighs_a_value_like_its_copies(x: list[float], copies: int) -> None:
    values = np.array(x)
    weighted = fit_power_law(values, weights=np.full(values.size, float(copies)))
    repeated = fit_power_law(np.repeat(values, copies))
    assert weighted.exponent == pytest.approx(repeated.exponent, rel=ROUNDING)
    assert weighted.exponent_std == pytest.approx(repeated.exponent_std, rel=ROUNDING)


@pytest.mark.parametrize("x", [[], [0.5], [math.nan]])
def test_power_law_refuses_values_it_has_no_density_for(x: list[float]) -> None:
    with pytest.raises(FitError, match=r"power law('s exponent is nan| needs values at or below)"):
        fit_power_law(np.array(x))


@given(
    st.lists(finite, min_size=2, max_size=8, unique_by=lambda x: round(x, 2)),
    st.data(),
    st.floats(0.05, 2),
)
@settings(deadline=None)
def test_grid_density_integrates_to_one(
    nodes: list[float], data: st.DataObject, tail: float
) -> None:
    values = data.draw(st.lists(finite, min_size=len(nodes), max_size=len(nodes)))
    density = GridDensity(
        nodes=np.sort(nodes), log_values=np.array(values), left_scale=tail, right_scale=tail
    )
    edges = [density.nodes[0] - 40 * tail, *density.nodes, density.nodes[-1] + 40 * tail]
    total = sum(
        quad(lambda x: math.exp(density.log_pdf(np.array(x))), a, b)[0]
        for a, b in itertools.pairwise(edges)
    )
    assert total == pytest.approx(1, rel=QUADRATURE)


def test_kernel_density_agrees_with_scipy() -> None:
    samples = np.random.default_rng(2).normal(1.0, 0.7, 3000)
    bandwidth = silverman_bandwidth(samples)
    ours = GridDensity.from_samples(samples, span=(-4, 6), floor=1e-12, size=2000)
    scipy = gaussian_kde(samples, bw_method=bandwidth / samples.std(ddof=1))
    x = np.linspace(-1, 3, 50)
    # Samples are put in bins of an eighth of the kernel's width.
    np.testing.assert_allclose(np.exp(ours.log_pdf(x)), scipy(x), rtol=0.01)


def test_kernel_density_floor_keeps_the_unseen_possible() -> None:
    density = GridDensity.from_samples(np.zeros(100), span=(-5, 5), bandwidth=0.1)
    assert math.exp(density.log_pdf(np.array(4.0))) == pytest.approx(0.01 / 10, rel=0.05)


def test_far_density_integrates_to_one_and_follows_a_power_law() -> None:
    x = -np.random.default_rng(6).exponential(10, 20_000)
    density = fit_far_density(x)
    fine = np.linspace(-400, 0, 2_000_001)
    assert np.trapezoid(np.exp(density.log_pdf(fine)), fine) == pytest.approx(1, rel=QUADRATURE)
    y = np.array([-60.0, -30.0, -10.0, -5.0, -1.0, -0.1, 0.0])  # nothing leaks over the threshold
    np.testing.assert_allclose(density.log_pdf(y), math.log(0.1) + 0.1 * y, atol=0.2)
    assert density.log_pdf(np.array(1.0)) == density.log_pdf(np.array(0.0))


def test_the_floor_of_a_far_density_weighs_what_was_asked() -> None:
    """Signals at both ends of a span of 50, and nothing but the floor between them."""
    density = fit_far_density(
        np.append(np.linspace(-2, 0, 950), [-50.0] * 50), floor=0.2, size=2000
    )
    fine = np.linspace(-50, 0, 100_001)
    inside = np.trapezoid(np.exp(density.log_pdf(fine)), fine)
    between = math.exp(density.log_pdf(np.array([-25.0]))[0])
    assert between / inside == pytest.approx(0.2 / 50, rel=0.03)


def test_values_without_weight_change_no_far_density() -> None:
    rng = np.random.default_rng(12)
    x = np.append(-rng.exponential(10, 400), -70.0)
    junk = np.append(-rng.exponential(2, 300), -69.0)
    alone = fit_far_density(x, weights=np.ones(401))
    weights = np.concatenate([np.full(401, 3.0), np.zeros(301)])
    weighted = fit_far_density(np.concatenate([x, junk]), weights=weights)
    assert weighted.nodes[0] == alone.nodes[0]
    assert weighted.left_scale == pytest.approx(alone.left_scale, rel=ROUNDING)
    assert weighted.left_error == pytest.approx(alone.left_error, rel=ROUNDING)
    y = np.linspace(-80, 0, 30)
    np.testing.assert_allclose(weighted.log_pdf(y), alone.log_pdf(y), atol=1e-9)


def test_a_tail_of_far_falls_by_the_mean_excess_below_its_start() -> None:
    x = -np.concatenate([np.linspace(0, 10, 980), 20.0 + np.arange(20)])
    density = fit_far_density(x)
    start = float(np.quantile(x, 0.02))
    excess = start - x[x <= start]
    below = density.log_pdf(start - np.array([0.0, 7.0]))
    assert below[0] - below[1] == pytest.approx(7.0 / excess.mean(), rel=1e-9)
    assert density.left_error == pytest.approx(1 / math.sqrt(excess.size), rel=ROUNDING)


@pytest.mark.parametrize("x", [[], [-1.0], [-1.0, 0.5], [-1.0, math.nan]])
def test_a_far_density_needs_two_values_below_the_threshold(x: list[float]) -> None:
    with pytest.raises(FitError, match="needs two or more values at or below 0"):
        fit_far_density(np.array(x))


def test_two_signals_make_a_far_density_even_at_the_threshold() -> None:
    density = fit_far_density(np.array([-3.0, 0.0]))
    x = np.linspace(-60, 0, 600_001)
    assert np.trapezoid(np.exp(density.log_pdf(x)), x) == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("spread", [0.0, 1e-9, 0.5])
def test_many_signals_at_the_lowest_far_leave_little_below_it(spread: float) -> None:
    """Three of a hundred at a FAR that no search goes below, but for rounding or a little more."""
    x = -np.append(np.linspace(0, 30, 9700), 50 + np.linspace(0, spread, 300))
    density = fit_far_density(x)
    lower = np.linspace(-90, -51, 40_001)
    assert np.trapezoid(np.exp(density.log_pdf(lower)), lower) < 0.03
    log_bayes_factor = density.log_pdf(lower) - PowerLaw(exponent=1.0).log_pdf(lower)
    assert (np.diff(log_bayes_factor) < 1e-9).all()  # a lower FAR never speaks for noise
    # The tail is assumed: as uncertain as it is deep.
    depth = density.log_pdf(density.nodes[0]) - density.log_pdf(lower)
    assert (density.log_pdf_and_errors(lower)[1][0] >= depth).all()


def test_a_kernel_at_the_end_of_the_span_is_a_kernel() -> None:
    density = GridDensity.from_samples(np.full(9, 5.0), span=(-5, 5), bandwidth=0.5, floor=1e-9)
    fall = density.log_pdf(np.array([5.0])) - density.log_pdf(np.array([4.0]))
    assert fall[0] == pytest.approx(0.5 * (1 / 0.5) ** 2, rel=0.07)  # binned to h / 8


@pytest.mark.parametrize("samples", [[], [1.0, math.nan], [math.inf]])
def test_a_kernel_density_needs_finite_samples(samples: list[float]) -> None:
    with pytest.raises(FitError, match="needs finite samples"):
        GridDensity.from_samples(np.array(samples), span=(0, 1))


def test_weighted_samples_are_as_uncertain_as_they_are_few() -> None:
    x = np.random.default_rng(13).normal(size=500)
    weights = np.exp(x)
    told, counted = (
        GridDensity.from_samples(x, span=(-5, 5), bandwidth=0.3, weights=weights, events=events)
        for events in (None, effective_size(weights))
    )
    np.testing.assert_array_equal(told.node_errors, counted.node_errors)
    assert effective_size(np.zeros(3)) == 0.0


def test_errors_of_a_mixture_are_those_of_its_parts_by_their_shares() -> None:
    flat = GridDensity(
        nodes=np.array([0.0, 1.0]),
        log_values=np.zeros(2),
        left_scale=0.0,
        right_scale=0.0,
        node_errors=np.array([[0.3, 0.0], [0.6, 0.0]]),
    )
    other = replace(flat, node_errors=np.array([[0.4, 0.1], [0.0, 0.1]]))
    mixed = GridDensity.mixture([(1.0, flat), (3.0, other)])
    expected = [[math.hypot(0.075, 0.3), 0.075], [0.15, 0.075]]
    np.testing.assert_allclose(mixed.node_errors, expected, atol=5e-4)
    alone = GridDensity.mixture([(0.0, replace(flat, nodes=flat.nodes * 0.5)), (3.0, other)])
    np.testing.assert_array_equal(alone.nodes, [0.0, 0.5])


def test_mixture_is_the_weighted_sum() -> None:
    left = GridDensity.from_samples(np.array([-1.0]), span=(-4, 4), bandwidth=0.5)
    right = GridDensity.from_samples(np.array([1.0]), span=(-4, 4), bandwidth=0.5)
    mixed = GridDensity.mixture([(3.0, left), (1.0, right)])
    expected = 0.75 * np.exp(left.log_pdf(left.nodes)) + 0.25 * np.exp(right.log_pdf(left.nodes))
    np.testing.assert_allclose(np.exp(mixed.log_pdf(left.nodes)), expected, rtol=1e-3)


@pytest.mark.parametrize(
    ("nodes", "values"),
    [([0.0], [0.0]), ([0.0, 0.0], [0.0, 0.0]), ([0.0, 1.0], [0.0, math.nan]), ([1.0, 0.0], [0, 0])],
)
def test_grid_density_refuses_a_grid_that_is_none(nodes: list[float], values: list[float]) -> None:
    with pytest.raises(FitError, match="finite increasing nodes"):
        GridDensity(nodes=np.array(nodes), log_values=np.array(values))


@pytest.mark.parametrize("dof", [2.5, 4, 7])
def test_regression_density_is_students_t(dof: float) -> None:
    density = StudentRegression(coefficients=np.array([1.0, 0.5]), scale=0.3, dof=dof)
    y, features = np.array([0.7, 5.0]), np.array([[1.0, 2.0], [1.0, -1.0]])
    expected = t.logpdf(y, dof, loc=features @ [1.0, 0.5], scale=0.3)
    np.testing.assert_allclose(density.log_pdf(y, features), expected, rtol=ROUNDING)


def test_regression_ignores_outliers_that_ruin_least_squares() -> None:
    rng = np.random.default_rng(3)
    features = np.stack([np.ones(500), rng.uniform(-1, 1, 500), np.zeros(500)], axis=1)
    y = features @ [2.0, -1.0, 0.0] + 0.1 * rng.normal(size=500)
    y[:20] += 10
    fitted = StudentRegression.fit(y, features, dof=2)
    np.testing.assert_allclose(fitted.coefficients, [2.0, -1.0, 0.0], atol=0.03)
    plain = np.linalg.lstsq(features, y, rcond=None)[0]
    assert abs(plain[0] - 2.0) > 0.3


def test_regression_maximises_the_likelihood() -> None:
    rng = np.random.default_rng(4)
    features = np.stack([np.ones(200), rng.normal(size=200)], axis=1)
    y = features @ [0.3, 1.2] + norm.rvs(scale=0.2, size=200, random_state=5)
    best = StudentRegression.fit(y, features)
    likelihood = best.log_pdf(y, features).sum()
    for shift in (np.array([0.02, 0.0]), np.array([0.0, -0.02])):
        moved = StudentRegression(coefficients=best.coefficients + shift, scale=best.scale)
        assert moved.log_pdf(y, features).sum() < likelihood


def test_regression_of_normal_errors_is_least_squares() -> None:
    rng = np.random.default_rng(11)
    features = np.stack([np.ones(12), rng.normal(size=12), np.zeros(12)], axis=1)
    y = features @ [0.3, 1.2, 0.0] + rng.normal(size=12)
    solution, squares, _, _ = np.linalg.lstsq(features[:, :2], y, rcond=None)
    fitted = StudentRegression.fit(y, features, dof=1e7)
    np.testing.assert_allclose(fitted.coefficients, [*solution, 0.0], rtol=1e-5)
    assert fitted.scale**2 == pytest.approx(squares[0] / (12 - 2), rel=1e-5)
    assert fitted.dof == 1e7


def test_regression_needs_more_rows_than_features() -> None:
    features = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 3.0], [1.0, 4.0]])
    y = np.array([0.0, 1.0, 2.0, 5.0])
    with pytest.raises(FitError, match="on 2 features needs more than 3 rows"):
        StudentRegression.fit(y[:3], features[:3])
    assert StudentRegression.fit(y, features).events == 4
    assert StudentRegression.fit(y[:3], features[:3] * [1, 0]).events == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"coefficients": [1.0, math.nan]},
        {"inverse_moments": np.full((2, 2), math.inf)},
        {"scale": 0.0},
        {"dof": 0.0},
        {"events": 0.0},
    ],
)
def test_a_regression_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(FitError, match="regression"):
        StudentRegression(**{"coefficients": np.ones(2), "scale": 1.0, **wrong})


@given(st.lists(st.tuples(finite, st.integers(1, 4)), min_size=2, max_size=12))
def test_kernels_weigh_a_sample_like_its_copies(samples: list[tuple[float, int]]) -> None:
    x, copies = np.array(samples).T
    weighted = GridDensity.from_samples(x, span=(-6, 6), bandwidth=0.3, weights=2.5 * copies)
    repeated = GridDensity.from_samples(
        np.repeat(x, copies.astype(int)), span=(-6, 6), bandwidth=0.3
    )
    np.testing.assert_allclose(weighted.log_values, repeated.log_values, atol=1e-9)


def test_kernels_are_as_wide_as_the_weighted_scatter() -> None:
    width = silverman_bandwidth(np.array([0.0, 1.0]), np.array([1.0, 3.0]))
    assert width == pytest.approx(0.9 * math.sqrt(3 / 16) * 1.6**-0.2, rel=ROUNDING)
    assert silverman_bandwidth(np.zeros(9)) == 0.02


def test_an_outlier_widens_no_kernel_but_where_all_else_is_alike() -> None:
    x = np.append(np.arange(100.0), 1e6)
    assert silverman_bandwidth(x) == pytest.approx(0.9 * 50 / 1.34 * 101**-0.2, rel=ROUNDING)
    alike = np.append(np.zeros(99), 100.0)
    assert silverman_bandwidth(alike) == pytest.approx(0.9 * alike.std() * 100**-0.2, rel=ROUNDING)


def test_a_floor_far_from_any_event_is_as_uncertain_as_it_is_far() -> None:
    """Nothing seen is pi^2 / 2 in the square; a floor d widths off lifts by d^2 / 2; 20 at most."""
    d = np.array([0.0, 1.0, 10.0, 20.0, 50.0])
    none = np.zeros(5)
    below, above = kernel_errors(local_events=none, bias=none, lift=d**2 / 2)
    np.testing.assert_allclose(above, math.pi / math.sqrt(2), atol=1e-3)
    expected = np.hypot(math.pi / math.sqrt(2), np.hypot(1, np.minimum(d, 20)) - 1)
    np.testing.assert_allclose(below, expected, atol=1e-3)
    for ends in kernel_errors(local_events=none[:1], bias=np.array([0.3]), lift=np.array([-0.4])):
        assert ends[0] == pytest.approx(math.hypot(math.pi / math.sqrt(2), 0.3), abs=1e-3)


def test_weights_make_one_density_of_another() -> None:
    """Uniform samples weighted by a normal density, against it; n_eff of 5000 is about 2400."""
    x = np.random.default_rng(8).uniform(-5, 5, 5000)
    weights = norm.pdf(x)
    assert effective_size(weights) == pytest.approx(5000 * 2 * math.sqrt(math.pi) / 10, rel=0.05)
    density = GridDensity.from_samples(x, span=(-6, 6), floor=1e-9, weights=weights)
    y = np.linspace(-2, 2, 9)
    errors = np.maximum(*density.log_pdf_and_errors(y)[1])
    assert (np.abs(density.log_pdf(y) - norm.logpdf(y)) < 4 * errors).all()
    assert errors.max() < 0.2
    far = fit_far_density(-np.abs(x) - 1e-3, weights=weights)
    half = math.log(2) + norm.logpdf(y[y < -0.4])
    np.testing.assert_allclose(far.log_pdf(y[y < -0.4]), half, atol=0.2)


@given(st.floats(0.1, 10))
def test_equal_weights_change_no_regression(weight: float) -> None:
    rng = np.random.default_rng(9)
    features = np.stack([np.ones(40), rng.normal(size=40)], axis=1)
    y = features @ [1.0, 2.0] + rng.normal(size=40)
    plain = StudentRegression.fit(y, features)
    weighted = StudentRegression.fit(y, features, weights=np.full(40, weight))
    np.testing.assert_allclose(weighted.coefficients, plain.coefficients, rtol=1e-9)
    assert weighted.scale == pytest.approx(plain.scale, rel=1e-9)
    assert weighted.events == pytest.approx(40)


def test_a_row_without_weight_tells_a_regression_nothing() -> None:
    rng = np.random.default_rng(10)
    features = np.stack([np.ones(60), rng.normal(size=60)], axis=1)
    y = features @ [1.0, 2.0] + rng.normal(size=60)
    y[40:] += 50
    weights = np.where(np.arange(60) < 40, 1.0, 0.0)
    weighted = StudentRegression.fit(y, features, weights=weights)
    alone = StudentRegression.fit(y[:40], features[:40])
    np.testing.assert_allclose(weighted.coefficients, alone.coefficients, rtol=1e-9)
    assert weighted.scale == pytest.approx(alone.scale, rel=1e-9)
