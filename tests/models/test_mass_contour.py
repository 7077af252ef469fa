"""Shares of the chirp-mass band, against PyCBC and against what must hold."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import quad

from spiir_pastro.domain import ASTROPHYSICAL, MassBoundaries, Region
from spiir_pastro.errors import ConfigError, TriggerError
from spiir_pastro.models.cosmology import redshift
from spiir_pastro.models.distance import PYCBC_LIVE_O3, DistanceModel
from spiir_pastro.models.mass_contour import MassContourClassifier
from spiir_pastro.models.mass_plane import band_areas
from tolerances import QUADRATURE, ROUNDING

Floats = NDArray[np.float64]

GAP = MassBoundaries(gap_max=5.0)
CLASSIFIER = MassContourClassifier(distance=PYCBC_LIVE_O3)


def _grid(n: int, seed: int) -> tuple[Floats, Floats, Floats]:
    """Detector-frame chirp mass, SNR and effective distance, over all that can come."""
    rng = np.random.default_rng(seed)
    return 10 ** rng.uniform(-0.3, 2, n), rng.uniform(4, 100, n), 10 ** rng.uniform(0, 4, n)


def _quick_redshift(distance: float, cosmology: object) -> float:
    """Stand in for PyCBC's, which finds no redshift below distance zero and gives zero there."""
    del cosmology
    return float(redshift(max(distance, 0.0)))


def _pycbc(columns: Sequence[Floats], gap_max: float | None) -> Floats:
    """PyCBC's shares, each region by itself."""
    from pycbc.mchirp_area import calc_probabilities  # noqa: PLC0415  (slow to import)

    settings = {
        "mass_limits": {"max_m1": 45.0, "min_m2": 1.0},
        "mass_bdary": {"ns_max": 3.0, "gap_max": gap_max or 3.0},
        "estimation_coeff": {"a0": 0.74899, "b0": -0.51557, "b1": -0.32195, "m0": 0.01},
        "mass_gap": gap_max is not None,
        "mass_gap_separate": gap_max is not None,
        "lal_cosmology": True,
    }
    rows = np.stack(columns, axis=1).tolist()
    return np.array([list(calc_probabilities(*row, settings).values()) for row in rows])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_shares_are_pycbcs_with_its_own_redshifts() -> None:
    columns = _grid(25, seed=1)
    np.testing.assert_allclose(
        CLASSIFIER.probabilities(*columns), _pycbc(columns, None), rtol=0, atol=QUADRATURE
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("gap_max", [None, 5.0])
def test_areas_are_pycbcs_all_over_the_plane(
    gap_max: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its redshifts take three times as long as its areas.
    monkeypatch.setattr("pycbc.mchirp_area._redshift", _quick_redshift)
    columns = _grid(150, seed=2)
    classifier = MassContourClassifier(
        distance=PYCBC_LIVE_O3, boundaries=MassBoundaries(gap_max=gap_max)
    )
    np.testing.assert_allclose(
        classifier.region_shares(*columns), _pycbc(columns, gap_max), rtol=QUADRATURE, atol=1e-10
    )


def test_area_of_a_band_is_the_integral_between_its_contours() -> None:
    # In m2 < 3 < m1 the band from M = 3 to 3.3 lies free of every other edge but m2 = 1.
    def primary(secondary: float, mchirp: float) -> float:
        roots = np.roots([1, 0, -((mchirp**5) / secondary**3), -(mchirp**5) / secondary**2])
        return float(roots[np.abs(roots.imag) < 1e-9].real.max())

    expected, _ = quad(lambda m2: primary(m2, 3.3) - primary(m2, 3.0), 1, 3)
    areas = band_areas(np.array([3.0]), np.array([3.3]), MassBoundaries())
    np.testing.assert_allclose(areas[1], expected, rtol=ROUNDING)


def test_the_whole_plane_is_the_sum_of_its_rectangles_and_triangles() -> None:
    areas = band_areas(np.array([0.0]), np.array([1e3]), GAP)[:, 0]
    np.testing.assert_allclose(areas, [2, 4, 80, 2, 80, 800], rtol=ROUNDING)
    np.testing.assert_allclose(areas.sum(), 44**2 / 2, rtol=ROUNDING)


positive = st.floats(1e-3, 1e5)


@given(st.tuples(positive, positive, positive), st.sampled_from([None, 3.5, 5.0, 40.0]))
def test_shares_are_shares_wherever_the_trigger_lies(
    trigger: tuple[float, float, float], gap_max: float | None
) -> None:
    classifier = MassContourClassifier(
        distance=PYCBC_LIVE_O3, boundaries=MassBoundaries(gap_max=gap_max)
    )
    columns = [[value] for value in trigger]
    regions = classifier.region_shares(*columns)
    classes = classifier.probabilities(*columns)
    for shares in (regions, classes):
        assert np.all((shares >= 0) & (shares <= 1))
        np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=ROUNDING)
    if gap_max is not None:  # an object in the gap is no neutron star
        by_name = dict(zip(classifier.regions, regions.T, strict=True))
        folded = [
            by_name[Region.BNS],
            by_name[Region.GNS] + by_name[Region.NSBH],
            by_name[Region.GG] + by_name[Region.BHG] + by_name[Region.BBH],
        ]
        np.testing.assert_allclose(classes.T, folded, rtol=0, atol=1e-10)


def test_a_chirp_mass_outside_the_plane_is_certain() -> None:
    shares = CLASSIFIER.probabilities([0.5, 100.0], [10, 10], [100, 100])
    np.testing.assert_array_equal(shares, [[1, 0, 0], [0, 0, 1]])
    assert len(ASTROPHYSICAL) == shares.shape[1]


def test_a_distance_error_beyond_the_distance_ends_at_zero() -> None:
    wide = DistanceModel(
        luminosity_per_effective=1.0, log_sigma_intercept=1.0, sigma_snr_exponent=0.0
    )
    classifier = MassContourClassifier(distance=wide)
    mean, sigma = classifier.source_mchirp([5.0], [10.0], [1000.0])
    z, farthest = redshift([1000.0, 1000.0 * (1 + math.e)])
    np.testing.assert_allclose(
        sigma / mean, np.hypot(0.01, 0.5 * farthest / (1 + z)), rtol=ROUNDING
    )
    assert classifier.probabilities([5.0], [10.0], [1e6]).sum() == pytest.approx(1)


@pytest.mark.parametrize("missing", range(3))
def test_what_is_unknown_stays_unknown(missing: int) -> None:
    columns = [np.full(3, 5.0), np.full(3, 10.0), np.full(3, 500.0)]
    columns[missing][1] = np.nan
    shares = CLASSIFIER.probabilities(*columns)
    assert np.isnan(shares[1]).all()
    np.testing.assert_allclose(shares[[0, 2]].sum(axis=1), 1, rtol=ROUNDING)


def test_the_nearest_detector_counts() -> None:
    by_detector = np.array([[700.0, 500.0, np.nan], [np.nan, np.nan, np.nan]])
    shares = CLASSIFIER.probabilities([5.0, 5.0], [10.0, 10.0], by_detector)
    np.testing.assert_array_equal(
        shares, CLASSIFIER.probabilities([5.0, 5.0], [10.0, 10.0], [500.0, np.nan])
    )


def test_each_event_is_judged_by_itself() -> None:
    order = np.random.default_rng(4).permutation(9000)
    one = order[0]
    columns = _grid(9000, seed=3)
    together = CLASSIFIER.probabilities(*columns)
    shuffled = CLASSIFIER.probabilities(*(column[order] for column in columns))
    np.testing.assert_array_equal(shuffled, together[order])
    alone = CLASSIFIER.probabilities(*(column[[one]] for column in columns))
    np.testing.assert_allclose(alone[0], together[one], rtol=ROUNDING)


def test_no_events_have_no_shares() -> None:
    assert CLASSIFIER.probabilities([], [], []).shape == (0, 3)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.inf])
def test_a_value_that_cannot_be_is_named(bad: float) -> None:
    with pytest.raises(TriggerError, match=rf"snr holds {bad} in row 1"):
        CLASSIFIER.probabilities([5.0, 5.0], [10.0, bad], [500.0, 500.0])
    with pytest.raises(TriggerError, match="eff_distance has shape"):
        CLASSIFIER.probabilities([5.0, 5.0], [10.0, 9.0], [500.0])
    with pytest.raises(TriggerError, match=r"snr has shape \(2, 2\); mchirp has \(2,\), and every"):
        CLASSIFIER.probabilities([5.0, 5.0], [[10.0, 9.0]] * 2, [500.0, 500.0])


@pytest.mark.parametrize("bad", [0.0, -1.0, 1.0, np.inf, np.nan])
def test_a_chirp_mass_error_that_is_no_fraction_is_refused(bad: float) -> None:
    with pytest.raises(ConfigError, match=f"mchirp_relative_error is {bad}; it must be between"):
        MassContourClassifier(distance=PYCBC_LIVE_O3, mchirp_relative_error=bad)


@pytest.mark.real_data
def test_known_mergers_get_their_catalogue_class(real_data: Path) -> None:
    o3a = pl.read_csv(real_data / "spiir" / "gwtc_effective_distances_o3a.csv")
    o3b = pl.read_csv(real_data / "spiir" / "bayestar_distances_o3b.csv")
    events = pl.concat(
        [table.select("superevent", "mchirp", "cohsnr", "min_dist") for table in (o3a, o3b)]
    )
    shares = CLASSIFIER.probabilities(*(events[name].to_numpy() for name in events.columns[1:]))
    best = shares.argmax(axis=1)
    # GWTC source-frame masses: 5.7 + 1.5 and 5.9 + 1.44 solar masses; every other event is heavier.
    catalogue = [1 if name in {"S190426c", "S200115j"} else 2 for name in events["superevent"]]
    wrong = best != catalogue
    # 8.8 + 5.1 solar masses, source chirp mass found right (5.7): a chirp mass alone leaves the
    # larger part of its band below m2 = 3.
    assert events["superevent"].filter(wrong).to_list() == ["S190924h"]
    np.testing.assert_allclose(shares[wrong], [[0.0, 0.56, 0.44]], atol=0.01)


def test_gw170817_as_spiir_saw_it_is_a_binary_neutron_star() -> None:
    # postcoh table of the SPIIR candidate at GPS 1187008882.445; K1 took no part.
    by_detector = [[130.3493322431026, 68.41129686399179, 465.0269279007809, np.nan]]
    shares = CLASSIFIER.probabilities([1.1978076], [28.813919], by_detector)
    assert shares[0, 0] > 0.95
