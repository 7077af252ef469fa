"""What is recovered of a class: the integral over the plane against draws, one binary at a time."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2

from spiir_pastro.domain import ASTROPHYSICAL, MassBoundaries, Source
from spiir_pastro.errors import FitError
from spiir_pastro.io.horizons import read_horizons
from spiir_pastro.io.populations import read_populations
from spiir_pastro.models.cosmology import luminosity_distance
from spiir_pastro.models.population import BinaryPopulation, DistanceLaw, MassLaw, RedshiftLaw
from spiir_pastro.models.response import Response
from spiir_pastro.models.source_model import (
    Binaries,
    SourceModel,
    likely_distances,
    network_reach,
    projection_exceeds,
    recovered_masses,
)

Floats = NDArray[np.float64]

SPAN = (math.log(0.8), math.log(200.0))
PLANE = read_populations("mass-plane")


def reach(heavy: Floats, light: Floats) -> Floats:
    """Let detectors hear farther the heavier a binary's chirp mass is."""
    mchirp = (heavy * light) ** 0.6 / (heavy + light) ** 0.2
    return np.asarray(250.0 * mchirp ** (5 / 6))


@pytest.fixture(scope="module", params=[str(s) for s in ASTROPHYSICAL])
def binaries(request: pytest.FixtureRequest) -> Binaries:
    return Binaries.found(PLANE[Source(request.param)], reach)


def test_recovered_masses_integrate_to_one(binaries: Binaries) -> None:
    found = recovered_masses(binaries, Response(), span=SPAN)
    m = np.linspace(SPAN[0] - 10, SPAN[1] + 10, 400_001)
    assert np.trapezoid(np.exp(found.mchirp.log_pdf(m)), m) == pytest.approx(1, abs=1e-4)
    w = np.linspace(0, 1, 10_001)
    for log_mchirp in np.linspace(*SPAN, 7):
        features = np.zeros((w.size, 3))
        features[:, 2] = log_mchirp
        area = np.trapezoid(np.exp(found.w.log_pdf(w, features)), w)
        assert area == pytest.approx(1, abs=1e-5)


def draw(binaries: Binaries, n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    rows = rng.choice(binaries.weight.size, n, p=binaries.weight)
    return binaries.log_mchirp_det[rows], binaries.w[rows]


def test_recovered_chirp_masses_are_those_drawn_one_by_one(binaries: Binaries) -> None:
    """Forty bins of equal content; a false alarm of 1e-3 for each class, fixed by the seed."""
    n, response = 4000, Response()
    found = recovered_masses(binaries, response, span=SPAN)
    drawn, _ = response.draw(*draw(binaries, n, np.random.default_rng(3)), np.random.default_rng(4))
    drawn = drawn[(drawn > SPAN[0]) & (drawn < SPAN[1])]  # by templates there are
    n = drawn.size
    m = np.linspace(*SPAN, 40_001)
    below = np.cumsum(np.exp(found.mchirp.log_pdf(m)))
    ranks = np.interp(drawn, m, below / below[-1])
    counts = np.histogram(ranks, bins=40, range=(0, 1))[0]
    statistic = float(((counts - n / 40) ** 2 / (n / 40)).sum())
    assert chi2.sf(statistic, 39) > 1e-3


def test_recovered_mass_ratios_given_the_chirp_mass_are_those_drawn(binaries: Binaries) -> None:
    """Templates of each mass ratio are offered alike, and the nearer ones taken; as above."""
    n, response = 4000, Response()
    found = recovered_masses(binaries, response, span=SPAN)
    m, w = response.draw(*draw(binaries, n, np.random.default_rng(5)), np.random.default_rng(6))
    inside = (m > SPAN[0]) & (m < SPAN[1])
    m, w = m[inside], w[inside]
    n = m.size
    y = np.linspace(0, 1, 1001)
    features = np.zeros((y.size, 3))
    ranks = np.empty(n)
    for k, (mass, value) in enumerate(zip(m, w, strict=True)):
        features[:, 2] = mass
        below = np.cumsum(np.exp(found.w.log_pdf(y, features)))
        ranks[k] = np.interp(value, y, below / below[-1])
    counts = np.histogram(ranks, bins=20, range=(0, 1))[0]
    statistic = float(((counts - n / 20) ** 2 / (n / 20)).sum())
    assert chi2.sf(statistic, 19) > 1e-3


def test_found_binaries_are_those_that_a_monte_carlo_finds() -> None:
    """Drawn from the population, thrown into space, kept where the projection is large enough."""
    population = replace(PLANE[Source.BBH], redshift=RedshiftLaw(high=2.0))
    rng = np.random.default_rng(7)
    m1, m2, z = population.draw(400_000, rng)
    heard = projection_exceeds(luminosity_distance(z) / reach(m1 * (1 + z), m2 * (1 + z)))
    kept = rng.random(z.size) < heard
    assert kept.sum() > 1500
    expected = Binaries.found(population, reach)
    for drawn, nodes in ((np.log(m1), np.log(expected.mass1)), (z, expected.redshift)):
        mean = float(np.average(nodes, weights=expected.weight))
        scatter = float(drawn[kept].std() / math.sqrt(kept.sum()))
        # Cells are 4 % of a mass wide, 20 % of a redshift.
        assert abs(drawn[kept].mean() - mean) < 4 * scatter + 0.01


def test_a_density_is_as_smooth_as_its_population(binaries: Binaries) -> None:
    """A response narrower than the nodes' distance makes no comb of them."""
    found = recovered_masses(binaries, Response(), span=SPAN).mchirp.log_values
    bends = np.abs(np.diff(found, 2))[found[1:-1] > found.max() - 4]
    assert bends.max() < 0.15


def test_binaries_lie_on_the_region_of_their_class(binaries: Binaries) -> None:
    assert binaries.weight.sum() == pytest.approx(1)
    assert (binaries.mass1 >= binaries.mass2).all()
    assert (binaries.weight > 0).all()


def test_the_plane_has_no_holes_and_each_class_its_region() -> None:
    edges = {Source.BNS: (1, 3, 1, 3), Source.NSBH: (3, 200, 1, 3), Source.BBH: (3, 200, 3, 200)}
    rng = np.random.default_rng(8)
    for source, (low1, high1, low2, high2) in edges.items():
        m1 = rng.uniform(low1 + 1e-3, high1 - 1e-3, 2000)
        m2 = rng.uniform(low2 + 1e-3, high2 - 1e-3, 2000)
        inside = PLANE[source].log_mass_pdf(np.maximum(m1, m2), np.minimum(m1, m2))
        assert np.isfinite(inside).all()
        for other in set(ASTROPHYSICAL) - {source}:
            outside = PLANE[other].log_mass_pdf(np.maximum(m1, m2), np.minimum(m1, m2))
            assert (outside == -np.inf).all()
    assert MassBoundaries().ns_max == 3.0


def test_templates_there_are_none_of_recover_nothing(binaries: Binaries) -> None:
    response = Response()
    found = recovered_masses(binaries, response, span=SPAN, mchirp_error=0.7, w_error=0.4)
    # Twice as uncertain below as above: no smooth law shows a population's holes.
    np.testing.assert_array_equal(found.mchirp.node_errors[0], 1.4)
    np.testing.assert_array_equal(found.mchirp.node_errors[1], 0.7)
    np.testing.assert_array_equal(found.w.node_errors[1], 0.4)


def test_the_projection_falls_from_one_to_none() -> None:
    x = np.linspace(0, 1, 101)
    p = projection_exceeds(x)
    assert p[0] == pytest.approx(1)
    assert p[-1] == 0
    assert (np.diff(p) <= 0).all()
    assert projection_exceeds(np.array([1.5])).tolist() == [0.0]


def test_a_source_of_some_snr_is_nearer_the_louder_it_is() -> None:
    mchirp = np.array([1.2, 30.0])
    quiet, weights = likely_distances(mchirp, 8.0, reach)
    loud, _ = likely_distances(mchirp, 16.0, reach)
    np.testing.assert_allclose(loud, quiet / 2)
    assert weights.sum() == pytest.approx(1)
    component = mchirp * 2**0.2
    assert (quiet.max(axis=1) <= reach(component, component)).all()


def test_the_network_hears_as_far_as_two_detectors_do() -> None:
    horizons = read_horizons()
    heard = network_reach(horizons)(np.array([[1.4, 30.0]]), np.array([[1.4, 30.0]]))
    one = horizons.horizon_mpc(np.array([1.4, 30.0]), np.array([1.4, 30.0]), ifo="L1", run="O3")
    np.testing.assert_allclose(heard[0], math.sqrt(2) * one)


def test_populations_of_other_classes_or_without_a_volume_are_refused() -> None:
    backwards = {source: PLANE[source] for source in ASTROPHYSICAL[::-1]}
    with pytest.raises(FitError, match="give BNS, NSBH, BBH, each with source-frame masses"):
        SourceModel(populations=backwards, response=Response())
    by_distance = BinaryPopulation(
        primary=MassLaw(low=1, high=3),
        secondary=MassLaw(low=1, high=3),
        distance=DistanceLaw(low=10, high=100),
    )
    with pytest.raises(FitError, match="give BNS, NSBH, BBH, each with source-frame masses"):
        SourceModel(populations=dict(PLANE) | {Source.BNS: by_distance}, response=Response())
    with pytest.raises(FitError, match="fills no volume"):
        Binaries.found(by_distance, reach)
