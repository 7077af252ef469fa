"""Populations are normalised, draw what their density says, and know their volume."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad

from spiir_pastro.errors import FitError
from spiir_pastro.models.cosmology import distance_slope, luminosity_distance, redshift
from spiir_pastro.models.population import BinaryPopulation, DistanceLaw, MassLaw, RedshiftLaw
from tolerances import QUADRATURE

PEAKED = MassLaw(
    low=5.0,
    high=88.2,
    exponent=-3.51,
    taper=4.88,
    peak_fraction=0.033,
    peak_mean=33.6,
    peak_std=4.7,
)
TABULATED = 1e-5
"""Relative: an integral by trapezoids over eight thousand nodes."""


def _populations() -> list[BinaryPopulation]:
    far = RedshiftLaw(evolution=2.9, high=1.5)
    near = DistanceLaw(low=10.0, high=400.0, exponent=2.0)
    star = MassLaw(low=1.0, high=3.0)
    return [
        BinaryPopulation(primary=star, secondary=star, redshift=far),
        BinaryPopulation(
            primary=MassLaw(low=5.0, high=60.0, exponent=-1.0), secondary=star, distance=near
        ),
        BinaryPopulation(
            primary=PEAKED, secondary=MassLaw(low=5.0, exponent=0.96, taper=4.88), redshift=far
        ),
        BinaryPopulation(
            primary=MassLaw(low=2.0, high=9.0, exponent=-2.0),
            secondary=MassLaw(low=1.0),
            distance=near,
            frame="detector",
        ),
    ]


@settings(max_examples=30)
@example(low=9.0, width=1.5, exponent=-1.0, taper=0.0, peak=0.0)
@example(low=9.0, width=1.5, exponent=-1.0 - 1e-8, taper=0.0, peak=0.0)
@given(
    low=st.floats(0.5, 10),
    width=st.floats(1.5, 60),
    exponent=st.floats(-4, 4) | st.just(-1.0),
    taper=st.just(0.0) | st.floats(0.01, 1),
    peak=st.floats(0, 1),
)
def test_a_mass_law_has_the_shape_it_says(
    low: float, width: float, exponent: float, taper: float, peak: float
) -> None:
    """Against SciPy's quadrature of the same parts, each normalised by itself."""
    high = low + width
    law = MassLaw(
        low=low, high=high, exponent=exponent, taper=taper, peak_fraction=peak,
        peak_mean=low + width / 2, peak_std=width / 4,
    )  # fmt: skip
    m = np.linspace(low + 1.001 * taper, high * 0.999, 5)
    norm = quad(lambda x: x**exponent, low, high)[0]
    expected = (1 - peak) * m**exponent / norm + peak * stats.norm.pdf(
        m, low + width / 2, width / 4
    )
    np.testing.assert_allclose(np.exp(law.log_shape(m, high)), expected, rtol=1e-8)


@pytest.mark.parametrize("population", _populations())
def test_masses_integrate_to_one(population: BinaryPopulation) -> None:
    """By the midpoint rule in ln m1 and the share of ln m2: edges inside cost some 1e-3."""
    low = min(population.primary.low, population.secondary.low)
    share = (np.arange(1500) + 0.5) / 1500
    span = math.log((population.primary.high or 0) / low)
    m1 = low * np.exp(span * share)[:, None]
    inner = np.log(m1 / low)
    m2 = low * np.exp(inner * share)
    total = (np.exp(population.log_mass_pdf(m1, m2)) * m1 * m2 * span * inner).mean()
    assert total == pytest.approx(1, rel=3e-3)


@pytest.mark.parametrize("population", _populations())
def test_draws_follow_the_density(population: BinaryPopulation) -> None:
    """Importance sampling: E[q/p] over draws of p is the integral of q. 5 sigma: 6e-7 a case."""
    rng = np.random.default_rng(3)
    mass1, mass2, z = population.draw(40_000, rng)
    assert (mass1 >= mass2).all()
    log_p = population.log_pdf(mass1, mass2, z)
    assert np.isfinite(log_p).all()
    # A box inside the population: uniform density over the middle of every variable.
    box = [np.quantile(v, [0.3, 0.7]) for v in (mass1, mass2, z)]
    inside = np.all(
        [(v > lo) & (v < hi) for v, (lo, hi) in zip((mass1, mass2, z), box, strict=True)], axis=0
    )
    volume = math.prod(hi - lo for lo, hi in box)
    part = np.where(inside, np.exp(-log_p), 0) / volume
    reachable = _share_of_box_inside(population, box)
    assert abs(part.mean() - reachable) < 5 * part.std() / math.sqrt(part.size)


def _share_of_box_inside(population: BinaryPopulation, box: list[np.ndarray]) -> float:
    rng = np.random.default_rng(4)
    points = [rng.uniform(lo, hi, 400_000) for lo, hi in box]
    heavier = points[0] >= points[1]
    return float((np.isfinite(population.log_pdf(*points)) & heavier).mean())


def test_a_swap_of_the_two_bodies_changes_nothing() -> None:
    for population in _populations():
        m1, m2, z = population.draw(50, np.random.default_rng(1))
        np.testing.assert_array_equal(population.log_pdf(m1, m2, z), population.log_pdf(m2, m1, z))


def test_the_volume_of_near_binaries_is_a_ball() -> None:
    near = BinaryPopulation(
        primary=MassLaw(low=1.0, high=2.0),
        secondary=MassLaw(low=1.0, high=2.0),
        redshift=RedshiftLaw(evolution=1.0, high=0.01),  # no weight by time
    )
    radius_gpc = luminosity_distance(0.01) / 1.01 / 1e3
    assert near.volume_gpc3 == pytest.approx(4 / 3 * math.pi * radius_gpc**3, rel=TABULATED)
    masses = near.draw(100, np.random.default_rng(0))
    np.testing.assert_allclose(
        near.log_volume_density(*masses) - near.log_pdf(*masses),
        math.log(near.volume_gpc3),
        rtol=QUADRATURE,
    )


def test_a_smooth_lower_end_rises_as_its_authors_say() -> None:
    """Talbot & Thrane's Eq. 7 by hand: at a half and a third of its width, and at either end."""
    sharp, smooth = (MassLaw(low=5.0, high=50.0, exponent=-2.0, taper=t) for t in (0.0, 6.0))
    m = np.array([5.0, 7.0, 8.0, 11.0, 50.0])
    with np.errstate(divide="ignore"):
        expected = np.log([0, 1 / (1 + math.exp(1.5)), 1 / 2, 1, 1])
    np.testing.assert_allclose(
        smooth.log_shape(m, 50.0) - sharp.log_shape(m, 50.0), expected, atol=1e-12
    )
    assert np.isneginf(sharp.log_shape(np.array([4.99, 50.01]), 50.0)).all()


def test_a_power_law_of_masses_is_normalised() -> None:
    population = BinaryPopulation(
        primary=MassLaw(low=5.0, high=60.0, exponent=-2.0),
        secondary=MassLaw(low=1.0, high=3.0),
        redshift=RedshiftLaw(high=1.0),
    )
    m1 = np.array([5.0, 20.0, 60.0])
    expected = m1**-2.0 / (1 / 5 - 1 / 60) / 2
    said = np.exp(population.log_mass_pdf(m1, np.full(3, 2.0)))
    np.testing.assert_allclose(said, expected, rtol=TABULATED)


def test_drawn_primaries_follow_a_law_with_a_peak_and_a_smooth_end() -> None:
    """Counts in bins against SciPy's quadrature; a false alarm in a thousand seeds."""
    population = _populations()[2]
    drawn, _ = population.draw_masses(3000, np.random.default_rng(5))
    edges = np.array([5.0, 7.0, 9.0, 12.0, 20.0, 30.0, 40.0, 88.2])
    parts = [
        quad(lambda m: math.exp(PEAKED.log_shape(np.array(m), 88.2)), low, high)[0]
        for low, high in itertools.pairwise(edges)
    ]
    expected = 3000 * np.array(parts) / sum(parts)
    assert stats.chisquare(np.histogram(drawn, edges)[0], expected).pvalue > 1e-3


def test_detector_frame_masses_and_distances_become_source_frame_ones_and_redshifts() -> None:
    """All uniform: two ordered masses of density 1/2 each, and distances; with their Jacobians."""
    star = MassLaw(low=1.0, high=3.0)
    population = BinaryPopulation(
        primary=star, secondary=star, distance=DistanceLaw(low=1e3, high=1e4), frame="detector"
    )
    z = redshift([1e3, 5e3, 1e4])
    expected = 2 * (1 / 2) ** 2 * (1 + z) ** 2 * distance_slope(z) / 9e3
    said = population.log_pdf(2.5 / (1 + z), 1.5 / (1 + z), z)
    np.testing.assert_allclose(np.exp(said), expected, rtol=TABULATED)
    outside = z[[0, 2]] * [0.999, 1.001]
    masses = np.full(2, 2.0) / (1 + outside)
    assert np.isneginf(population.log_pdf(masses, masses, outside)).all()


def test_no_binary_is_here_and_now() -> None:
    population = _populations()[0]
    here = np.array([2.0]), np.array([1.5]), np.array([0.0])
    assert np.isneginf(population.log_pdf(*here)).all()
    assert np.isneginf(population.log_volume_density(*here)).all()


def test_impossible_populations_are_refused() -> None:
    star = MassLaw(low=1.0, high=3.0)
    with pytest.raises(FitError, match="limits must be positive and rise"):
        MassLaw(low=3.0, high=1.0)
    with pytest.raises(FitError, match="fraction must lie in 0 to 1"):
        MassLaw(low=1.0, high=2.0, peak_fraction=1.5)
    with pytest.raises(FitError, match="either a redshift or a distance"):
        BinaryPopulation(primary=star, secondary=star)
    with pytest.raises(FitError, match="no upper limit"):
        BinaryPopulation(primary=MassLaw(low=1.0), secondary=star, redshift=RedshiftLaw())
    with pytest.raises(FitError, match="do not fit under primaries"):
        BinaryPopulation(primary=star, secondary=MassLaw(low=2.0), redshift=RedshiftLaw())
    with pytest.raises(FitError, match=r"distances from 9\.0 to 1\.0 Mpc"):
        DistanceLaw(low=9.0, high=1.0)
    with pytest.raises(FitError, match="redshifts to -1"):
        RedshiftLaw(high=-1.0)
    endless = BinaryPopulation(primary=star, secondary=star, redshift=RedshiftLaw())
    with pytest.raises(FitError, match="without a farthest redshift"):
        endless.log_pdf(np.array(1.5), np.array(1.5), np.array(0.1))
    by_distance = BinaryPopulation(
        primary=star, secondary=star, distance=DistanceLaw(low=1.0, high=2.0)
    )
    with pytest.raises(FitError, match="fill no volume"):
        by_distance.log_volume_density(np.array(1.5), np.array(1.5), np.array(0.1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"low": 0.0},
        {"low": 2.0, "high": 2.0},
        {"low": 1.0, "exponent": math.inf},
        {"low": 1.0, "taper": -0.1},
        {"low": 1.0, "peak_fraction": 1.1},
        {"low": 1.0, "peak_mean": 0.0},
        {"low": 1.0, "peak_std": 0.0},
    ],
)
def test_a_mass_law_on_the_edge_of_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(FitError, match=r"limits must be positive|mean and width be positive"):
        MassLaw(**wrong)
    assert MassLaw(low=1.0, peak_fraction=1.0).peak_fraction == 1.0


def test_a_distance_law_and_a_redshift_law_need_room() -> None:
    for low, high in ((0.0, 1.0), (1.0, 1.0)):
        with pytest.raises(FitError, match="distances from"):
            DistanceLaw(low=low, high=high)
    with pytest.raises(FitError, match="redshifts to 0"):
        RedshiftLaw(high=0.0)
