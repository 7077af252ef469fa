"""What a search recovers of a binary: densities that integrate to one and say what is drawn."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import kstest, t, truncnorm, uniform

from spiir_pastro.errors import FitError
from spiir_pastro.models.response import Response, mass_difference
from tolerances import ROUNDING

Floats = NDArray[np.float64]

RESPONSE = Response()
TRUE = np.log([1.2, 3.0, 10.0, 29.0, 31.0, 90.0])


def core_mchirp(recovered: Floats, true: Floats) -> Floats:
    """Density of recovered (k,) given true (n,) ln(chirp mass) in the core, (n, k)."""
    width = RESPONSE.width(true)[:, None]
    return RESPONSE.core_density(recovered - true[:, None], width) * RESPONSE.core_peak(width)


def test_the_densities_integrate_to_one() -> None:
    m = np.linspace(-60, 60, 2_000_001)
    for true in TRUE:
        core = core_mchirp(m, np.array([true]))[0]
        assert np.trapezoid(core, m) == pytest.approx(1, abs=2e-3)  # steps of a width's hundredth
        far = RESPONSE.misrecovered_mchirp(m, np.array([true]))[0]
        assert np.trapezoid(far, m) == pytest.approx(1, abs=1e-3)
    w = np.linspace(0, 1, 20_001)
    core_w = RESPONSE.core_w(w, np.array([0.0, 0.1, 0.5, 1.0]))
    np.testing.assert_allclose(np.trapezoid(core_w, w, axis=1), 1, atol=1e-6)
    far_w = RESPONSE.misrecovered_w(w, np.log([5.0, 10.0, 33.0]))
    np.testing.assert_allclose(np.trapezoid(far_w, w, axis=1), 1, atol=1e-6)


def test_no_core_reaches_farther_than_a_factor_of_two() -> None:
    """A tail of heavy black holes, however thin, is more than there are light neutron stars."""
    true, beyond = np.log([1.2, 30.0, 80.0]), math.log(2) * 1.0001
    for shift in (-beyond, beyond):
        said = [core_mchirp(np.array([t + shift]), np.array([t]))[0, 0] for t in true]
        assert said == [0.0, 0.0, 0.0]
    rng = np.random.default_rng(4)
    drawn, _ = RESPONSE.draw(np.repeat(true[:2], 50_000), np.zeros(100_000), rng)
    core = np.abs(drawn - np.repeat(true[:2], 50_000))
    assert core.max() < math.log(2)


def test_a_cells_average_is_that_of_its_points() -> None:
    true = np.linspace(0.0, 5.0, 400)
    recovered = np.linspace(-0.5, 5.5, 300)
    said = RESPONSE.core_of_cells(recovered, true)
    half = (true[1] - true[0]) / 2
    for k in (0, 30, 200, 399):  # with the width of the middle, point by point
        points = np.linspace(true[k] - half, true[k] + half, 4001)
        shifted = recovered[:, None] - (points - true[k])
        values = core_mchirp(shifted.ravel(), true[k : k + 1]).reshape(shifted.shape)
        average = np.trapezoid(values, points, axis=1) / (2 * half)
        np.testing.assert_allclose(said[k], average, rtol=2e-3, atol=1e-4)


def test_the_core_is_students_t_and_a_normal_curve_between_its_cuts() -> None:
    m = np.log([1.19, 1.2, 1.3])
    said = core_mchirp(m, np.log([1.2]))[0]
    within = 1 - 2 * t.sf(math.log(2) / 0.003, RESPONSE.dof)
    expected = t.pdf(m, RESPONSE.dof, loc=math.log(1.2), scale=0.003) / within
    np.testing.assert_allclose(said, expected, rtol=1e-9)
    w = np.array([0.0, 0.4, 0.99])
    for true in (0.05, 0.8):
        cuts = -true / RESPONSE.w_width, (1 - true) / RESPONSE.w_width
        expected = truncnorm.pdf(w, *cuts, loc=true, scale=RESPONSE.w_width)
        np.testing.assert_allclose(RESPONSE.core_w(w, np.array([true]))[0], expected, rtol=1e-9)


def test_the_width_is_log_linear_between_nodes_and_holds_beyond() -> None:
    between = math.sqrt(5.0 * 8.0)
    np.testing.assert_allclose(
        RESPONSE.width(np.log([0.5, 1.2, between, 500.0])),
        [0.003, 0.003, math.sqrt(0.0046 * 0.011), 0.13],
        rtol=ROUNDING,
    )


@pytest.mark.parametrize("true_mchirp", [1.2, 25.0])
def test_what_is_drawn_of_light_binaries_has_the_density_said(true_mchirp: float) -> None:
    """Kolmogorov and Smirnov; false alarm 1e-3 each, once and for all by the seed."""
    n, w = 20_000, 0.3
    drawn_m, drawn_w = RESPONSE.draw(
        np.full(n, math.log(true_mchirp)), np.full(n, w), np.random.default_rng(1)
    )
    width = float(RESPONSE.width(np.log([true_mchirp]))[0])
    in_m = t(RESPONSE.dof, loc=math.log(true_mchirp), scale=width)
    in_w = truncnorm(
        -w / RESPONSE.w_width, (1 - w) / RESPONSE.w_width, loc=w, scale=RESPONSE.w_width
    )
    assert kstest(drawn_m, in_m.cdf).pvalue > 1e-3
    assert kstest(drawn_w, in_w.cdf).pvalue > 1e-3


def test_heavy_binaries_are_at_times_recovered_far_off_in_templates_of_a_given_total() -> None:
    n = 40_000
    drawn_m, drawn_w = RESPONSE.draw(
        np.full(n, math.log(60.0)), np.zeros(n), np.random.default_rng(2)
    )
    # Of those in the core, a width of 0.12 off, fewer than 1 in 300 are as far as that.
    off = (drawn_m < math.log(24.0)) & (drawn_m > math.log(12.0))
    assert abs(off.mean() - 0.3) < 0.004 + 4 * math.sqrt(0.3 * 0.7 / n)  # false alarm 6e-5
    ratio = np.exp(drawn_m[off]) / 60
    assert kstest(np.log(ratio), uniform(math.log(0.2), math.log(2)).cdf).pvalue > 1e-3
    eta = (1 - drawn_w[off] ** 2) / 4
    log_mtotal = drawn_m[off] - 0.6 * np.log(eta)
    assert np.median(log_mtotal) == pytest.approx(math.log(76), abs=0.01)
    assert RESPONSE.misrecovered(np.log([29.9, 30.1])).tolist() == [0.0, 0.3]
    # The density of w given the recovered chirp mass is that of the draws.
    near = np.abs(drawn_m[off] - math.log(18)) < 0.02
    w = np.linspace(0, 1, 2001)
    density = RESPONSE.misrecovered_w(w, np.log([18.0]))[0]
    below = np.append(0, np.cumsum((density[1:] + density[:-1]) / 2) * (w[1] - w[0]))
    assert kstest(drawn_w[off][near], lambda x: np.interp(x, w, below)).pvalue > 1e-3


def test_a_fit_finds_the_widths_and_the_fraction_that_were_drawn() -> None:
    """Two thousand recovered of another response, against ten events' worth of the given one."""
    truth = replace(
        RESPONSE,
        mchirp_widths=RESPONSE.mchirp_widths * 2.0,
        w_width=0.1,
        misrecovered_fraction=0.6,
    )
    rng = np.random.default_rng(3)
    true_m, true_w = np.log(rng.uniform(1.2, 70, 2000)), rng.uniform(0, 1, 2000)
    found = RESPONSE.fitted((true_m, true_w), truth.draw(true_m, true_w, rng))
    ratio = found.mchirp_widths / RESPONSE.mchirp_widths
    np.testing.assert_allclose(ratio, 2, rtol=0.15)
    assert found.misrecovered_fraction == pytest.approx(0.6, abs=0.05)
    # Cut at 0 and 1, what is drawn is a little nearer to the true one than the curve is wide.
    assert found.w_width == pytest.approx(0.1, rel=0.15)


def test_a_fit_to_nothing_changes_nothing_and_to_ten_events_goes_half_way() -> None:
    nothing = np.zeros(0)
    same = RESPONSE.fitted((nothing, nothing), (nothing, nothing))
    np.testing.assert_allclose(same.mchirp_widths, RESPONSE.mchirp_widths, rtol=ROUNDING)
    assert same.misrecovered_fraction == pytest.approx(0.3)
    assert same.w_width == pytest.approx(RESPONSE.w_width)
    heavy = np.full(10, math.log(50.0))
    off = RESPONSE.fitted((heavy, np.full(10, np.nan)), (heavy - 1.2, np.full(10, np.nan)))
    assert off.misrecovered_fraction == pytest.approx((0.3 + 1) / 2)
    unknown = RESPONSE.fitted((heavy, heavy), (np.full(10, np.nan), heavy))
    assert unknown.misrecovered_fraction == pytest.approx(0.3)


def test_w_is_the_difference_of_the_masses_over_their_sum() -> None:
    heavy, light = np.array([1.4, 10.0, 30.0]), np.array([1.4, 1.4, 25.0])
    eta = heavy * light / (heavy + light) ** 2
    expected = (heavy - light) / (heavy + light)
    np.testing.assert_allclose(mass_difference(eta), expected, atol=1e-7)
    assert np.isnan(mass_difference(np.array([np.nan]))).all()


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"mchirp_nodes": [1.0, 1.0], "mchirp_widths": [0.1, 0.1]}, "increasing mchirp_nodes"),
        ({"mchirp_nodes": [], "mchirp_widths": []}, "increasing mchirp_nodes"),
        ({"mchirp_widths": [0.1]}, "with a positive width each"),
        ({"mchirp_nodes": [1.0], "mchirp_widths": [0.0]}, "with a positive width each"),
        ({"mchirp_nodes": [1.0], "mchirp_widths": [math.inf]}, "with a positive width each"),
        ({"dof": 0.0}, "dof and widths above 0"),
        ({"w_width": math.nan}, "dof and widths above 0"),
        ({"w_as_noise": 1.0}, "0 < w_as_noise < 1"),
        ({"heavy_mchirp": -1.0}, "heavy_mchirp >= 0"),
        ({"misrecovered_fraction": 1.0}, "misrecovered_fraction < 1"),
        ({"misrecovered_ratio_min": 0.4}, "misrecovered_ratio_min < misrecovered_ratio_max"),
        ({"misrecovered_mtotal": 0.0}, "misrecovered_mtotal > 0"),
    ],
)
def test_a_response_that_is_none_is_refused(wrong: dict[str, Any], rule: str) -> None:
    with pytest.raises(FitError, match=rule):
        Response(**wrong)
