"""Injections of one population stand for another: volumes known analytically, and weights."""

import math

import numpy as np
import pytest

from spiir_pastro.errors import FitError
from spiir_pastro.models.cosmology import luminosity_distance
from spiir_pastro.models.exposure import Exposure
from spiir_pastro.models.population import BinaryPopulation, DistanceLaw, MassLaw, RedshiftLaw
from spiir_pastro.models.reweighting import InjectionSet, uncovered_fraction, volumes_gpc3

STAR = MassLaw(low=1.0, high=2.0)
SKY = BinaryPopulation(primary=STAR, secondary=STAR, redshift=RedshiftLaw(evolution=1.0))
HORIZON = 0.02
"""A search that finds everything nearer and nothing beyond."""

INJECTED = {
    "uniform in distance": BinaryPopulation(
        primary=STAR, secondary=STAR, distance=DistanceLaw(low=1.0, high=400.0)
    ),
    "log-uniform masses of the detector": BinaryPopulation(
        primary=MassLaw(low=0.9, high=2.5, exponent=-1.0),
        secondary=MassLaw(low=0.9, high=2.5, exponent=-1.0),
        distance=DistanceLaw(low=1.0, high=120.0, exponent=2.0),
        frame="detector",
    ),
    "the population itself": BinaryPopulation(
        primary=STAR, secondary=STAR, redshift=RedshiftLaw(evolution=1.0, high=0.03)
    ),
}


def _ball_gpc3(z: float) -> float:
    """Comoving volume, which is the population's: one power of 1+z cancels the other."""
    return float(4 / 3 * math.pi * (luminosity_distance(z) / (1 + z) / 1e3) ** 3)


@pytest.mark.parametrize("law", INJECTED)
def test_a_sharp_horizon_encloses_its_ball(law: str) -> None:
    """False alarm 6e-5 a case: 4 of the error that the exposure itself states."""
    sets = [InjectionSet(population=INJECTED[law], made=30_000)]
    binaries = INJECTED[law].draw(30_000, np.random.default_rng(1))
    found = tuple(values[binaries[2] < HORIZON] for values in binaries)
    exposure = Exposure.sensitive_volume_time(
        volumes_gpc3(SKY, sets, found), drawn=30_000, livetime_yr=2.0
    )
    assert exposure.log_error < 0.03
    error = math.log(exposure.size / (2 * _ball_gpc3(HORIZON))) / exposure.log_error
    assert abs(error) < 4


def test_runs_of_different_populations_measure_one_volume_together() -> None:
    rng = np.random.default_rng(2)
    counts = (9_000, 12_000, 3_000)
    sets = [
        InjectionSet(population=population, made=count)
        for population, count in zip(INJECTED.values(), counts, strict=True)
    ]
    drawn = [one.population.draw(one.made, rng) for one in sets]
    every = [np.concatenate(values) for values in zip(*drawn, strict=True)]
    near = every[2] < HORIZON
    volumes = volumes_gpc3(SKY, sets, tuple(values[near] for values in every))
    exposure = Exposure.sensitive_volume_time(volumes, drawn=sum(counts), livetime_yr=1.0)
    assert abs(math.log(exposure.size / _ball_gpc3(HORIZON))) < 4 * exposure.log_error
    assert exposure.log_error < 0.03


def test_twice_as_many_drawn_stand_for_half_as_much_each() -> None:
    population = INJECTED["the population itself"]
    binaries = population.draw(10, np.random.default_rng(3))
    once, twice = (
        volumes_gpc3(SKY, [InjectionSet(population=population, made=n)], binaries)
        for n in (100, 200)
    )
    np.testing.assert_allclose(once, 2 * twice, rtol=1e-12)
    np.testing.assert_allclose(once, population.volume_gpc3 / 100, rtol=1e-6)


def test_weights_turn_one_distribution_into_another() -> None:
    """Mean chirp mass of the sky's heavy end by injections from elsewhere; 4 sigma."""
    rng = np.random.default_rng(4)
    heavy = BinaryPopulation(
        primary=MassLaw(low=5.0, high=60.0, exponent=-2.0),
        secondary=MassLaw(low=5.0),
        redshift=RedshiftLaw(evolution=2.0, high=1.0),
    )
    flat = BinaryPopulation(
        primary=MassLaw(low=4.0, high=70.0, exponent=-1.0),
        secondary=MassLaw(low=4.0, exponent=1.0),
        redshift=RedshiftLaw(high=1.0),
    )
    drawn, wanted = flat.draw(40_000, rng), heavy.draw(40_000, rng)
    weights = volumes_gpc3(heavy, [InjectionSet(population=flat, made=40_000)], drawn)
    for injected, true in zip(drawn, wanted, strict=True):
        mean = np.average(injected, weights=weights)
        error = math.hypot(
            math.sqrt(np.sum((weights * (injected - mean)) ** 2)) / weights.sum(),
            true.std() / math.sqrt(true.size),
        )
        assert abs(mean - true.mean()) < 4 * error
        assert abs(injected.mean() - true.mean()) > 10 * error


def test_an_injection_outside_its_population_is_named() -> None:
    sets = [InjectionSet(population=INJECTED["the population itself"], made=10)]
    masses = np.array([1.5, 2.4]), np.array([1.2, 1.3])
    with pytest.raises(FitError, match=r"1 of 2 injections lie outside .* masses 2\.4 and 1\.3 at"):
        volumes_gpc3(SKY, sets, (*masses, np.array([0.01, 0.01])))


def test_masses_never_injected_are_counted() -> None:
    half = BinaryPopulation(
        primary=MassLaw(low=1.0, high=1.5), secondary=MassLaw(low=1.0, high=1.5),
        redshift=RedshiftLaw(high=0.1),
    )  # fmt: skip
    sets = [InjectionSet(population=half, made=10)]
    z = np.array([0.05])
    assert uncovered_fraction(half, sets, z) == 0
    assert 0.75 < uncovered_fraction(SKY, sets, z) < 0.9  # three quarters, the heavier ones


def test_what_was_never_injected_counts_as_it_is_heard() -> None:
    """By the chirp mass to 5/2, over masses drawn anew; 2 % is four errors of both drawings."""
    wide, narrow = (
        BinaryPopulation(
            primary=MassLaw(low=1.0, high=high),
            secondary=MassLaw(low=1.0),
            redshift=RedshiftLaw(high=0.5),
        )
        for high in (10.0, 8.0)
    )
    z = np.linspace(0.01, 0.2, 50)
    sets = [InjectionSet(population=narrow, made=100)]
    mass1, mass2 = wide.draw_masses(100_000, np.random.default_rng(7))
    heard = ((mass1 * mass2) ** 0.6 / (mass1 + mass2) ** 0.2) ** 2.5
    expected = heard[mass1 > 8].sum() / heard.sum()
    assert uncovered_fraction(wide, sets, z) == pytest.approx(expected, rel=0.02)
    assert uncovered_fraction(wide, sets, z) == uncovered_fraction(wide, sets, z)
