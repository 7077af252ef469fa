"""What the mass plane says of an event beyond its class."""

from pathlib import Path

import numpy as np
import pytest

from spiir_pastro.domain import Candidates
from spiir_pastro.io.distance_tables import CAMPAIGN, read_distances
from spiir_pastro.io.horizons import read_horizons
from spiir_pastro.models import properties
from spiir_pastro.models.fit_settings import FitSettings
from spiir_pastro.models.pastro import PastroModel
from spiir_pastro.models.properties import (
    PropertyPlane,
    SourceProperties,
    leaves_remnant,
    source_properties,
)
from spiir_pastro.models.source_model import network_reach, projection_density, projection_exceeds
from spiir_pastro.pipeline.model_fit import fit
from spiir_pastro.pipeline.training import from_uploads


@pytest.fixture(scope="module")
def model(uploads: tuple[Path, Path]) -> PastroModel:
    training = from_uploads(uploads[0], known_events_path=uploads[1], settings=FitSettings())
    return fit(training, read_distances(CAMPAIGN)).model


def properties_of(
    model: PastroModel, mchirp: list[float], mtotal: list[float], distance: float = np.nan
) -> SourceProperties:
    event = candidates_of(mchirp, mtotal, distance)
    return source_properties(model, event, network_reach(read_horizons()))


def candidates_of(mchirp: list[float], mtotal: list[float], distance: float = np.nan) -> Candidates:
    n = len(mchirp)
    return Candidates(
        far_hz=np.full(n, 1e-10),
        snr=np.full(n, 15.0),
        mchirp_det=np.array(mchirp),
        mtotal_det=np.array(mtotal),
        eff_distance_mpc=np.full((n, 4), distance),
    )


def test_published_events_have_the_properties_published(model: PastroModel) -> None:
    # GW170817, GW200115 and GW150914 in the detectors' frame (GWTC-1 and GWTC-3).
    said = properties_of(model, [1.198, 2.58, 31.2], [2.76, 7.8, 72.0])
    np.testing.assert_allclose(said.has_ns, [1, 1, 0], atol=0.1)
    assert said.has_remnant[0] > 0.99
    assert said.has_remnant[2] < 0.01
    # Source-frame chirp masses 1.186, 2.43 and 28.6.
    for k, truth in enumerate([1.186, 2.43, 28.6]):
        low, _, high = said.source_mchirp[k]
        assert low * 0.98 < truth < high * 1.02
    np.testing.assert_allclose(said.mchirp_bins.sum(axis=1), 1.0)


def test_a_distance_says_more_than_the_snr(model: PastroModel) -> None:
    near = properties_of(model, [31.2], [72.0], distance=400.0).source_mchirp[0]
    far = properties_of(model, [31.2], [72.0], distance=4000.0).source_mchirp[0]
    assert near[1] > far[1]
    blind = properties_of(model, [31.2], [72.0]).source_mchirp[0]
    assert near[2] - near[0] < blind[2] - blind[0]


def test_an_event_is_told_alike_alone_and_by_its_classes_shares(
    model: PastroModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(properties, "_EVENTS_AT_ONCE", 2)
    together = properties_of(model, [1.198, 2.58, 31.2], [2.76, 7.8, 72.0])
    alone = properties_of(model, [2.58], [7.8])
    np.testing.assert_allclose(alone.mchirp_bins[0], together.mchirp_bins[1], rtol=1e-12)
    plane = PropertyPlane.of(model, network_reach(read_horizons()))
    event = candidates_of([2.58], [7.8])
    one = plane.properties(event, np.array([[0.0, 1.0, 0.0]]))
    other = plane.properties(event, np.array([[0.0, 20.0, 0.0]]))  # up to a factor
    np.testing.assert_allclose(one.source_mchirp, other.source_mchirp)
    assert one.has_ns[0] == pytest.approx(1.0)
    assert plane.properties(event, np.array([[0.0, 0.0, 1.0]])).has_ns[0] == 0.0


def test_nodes_no_template_can_be_of_are_left_out_without_a_difference(
    model: PastroModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [1.198, 2.58, 12.0, 31.2], [2.76, 7.8, 29.0, 72.0]
    few = properties_of(model, *events)
    monkeypatch.setattr(properties, "_FARTHEST_WIDTHS", np.inf)
    monkeypatch.setattr(properties, "LEAST_CLASS_SHARE", 0.0)
    every = properties_of(model, *events)
    for name in ("has_ns", "has_mass_gap", "has_remnant", "mchirp_bins"):
        # To two digits: a class that only outliers are of has a share of 0.002.
        np.testing.assert_allclose(getattr(few, name), getattr(every, name), atol=5e-3)
    np.testing.assert_allclose(few.source_mchirp, every.source_mchirp, rtol=2e-3)


def test_of_an_outlier_no_chirp_mass_tells_more(model: PastroModel) -> None:
    plane = PropertyPlane.of(model, network_reach(read_horizons()))
    # No black holes are recovered at 1.5 or 2 solar masses, however wide their response.
    outliers = candidates_of([1.5, 2.0, np.nan], [3.6, 4.8, np.nan], 400.0)
    said = plane.properties(outliers, np.array([[0.0, 0.0, 1.0]] * 3))
    np.testing.assert_allclose(said.mchirp_bins[:2], said.mchirp_bins[[2, 2]], rtol=1e-12)
    np.testing.assert_array_equal(said.source_mchirp[:2], said.source_mchirp[[2, 2]])


def test_nothing_is_said_where_the_model_says_nothing(model: PastroModel) -> None:
    said = properties_of(model, [0.3], [0.7])
    assert np.isnan(said.has_ns).all()
    assert np.isnan(said.mchirp_bins).all()


@pytest.mark.parametrize(
    ("mass1", "mass2", "leaves"),
    [
        (1.6, 1.3, True),  # two stars
        (30.0, 20.0, False),  # two black holes
        (40.0, 1.4, False),  # swallowed whole
        (2.2, 1.2, True),  # torn apart by a light black hole
        (20.0, 2.5, False),  # heavier than SLy has stars
    ],
)
def test_what_leaves_a_remnant(mass1: float, mass2: float, leaves: bool) -> None:  # noqa: FBT001
    assert leaves_remnant(np.array([mass1]), np.array([mass2]))[0] == leaves


def test_stars_have_the_radii_of_sly() -> None:
    lalsimulation = pytest.importorskip("lalsimulation")
    from spiir_pastro.models.properties import SLY_MASS_MSUN, SLY_RADIUS_KM  # noqa: PLC0415

    family = lalsimulation.CreateSimNeutronStarFamily(lalsimulation.SimNeutronStarEOSByName("SLY"))
    sun = 1.988409870698051e30
    radii = [lalsimulation.SimNeutronStarRadius(m * sun, family) / 1e3 for m in SLY_MASS_MSUN[:-1]]
    np.testing.assert_allclose(SLY_RADIUS_KM[:-1], radii, atol=1e-3)


def test_the_projection_is_a_distribution() -> None:
    x = np.linspace(0, 1, 2001)
    density = projection_density(x)
    assert np.trapezoid(density, x) == pytest.approx(1.0, abs=1e-4)
    slope = -np.gradient(projection_exceeds(x), x)
    np.testing.assert_allclose(density[5:-5], slope[5:-5], atol=5e-3)
