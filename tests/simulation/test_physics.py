"""The simulated network, population and noise, against LAL, analytic laws and real statistics."""

import itertools
from dataclasses import replace
from pathlib import Path

import lal
import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from scipy import stats

from spiir_pastro.domain import ASTROPHYSICAL, Source
from spiir_pastro.io.ligolw import read_arrays
from spiir_pastro.models.cosmology import luminosity_distance
from spiir_pastro.models.mass_plane import chirp_mass
from spiir_pastro.simulation.bank import nearest_template, template_groups
from spiir_pastro.simulation.binaries import draw_binaries, draw_detectable
from spiir_pastro.simulation.config import (
    DETECTORS,
    NETWORK,
    SENSITIVITIES,
    SIMULATED,
    CampaignConfig,
    stream,
)
from spiir_pastro.simulation.network import (
    antenna_patterns,
    arrival_delays,
    detectors_on,
    draw_segments,
    greenwich_angle,
    sigma_mpc,
)
from spiir_pastro.simulation.noise import COHERENT_NOISE, SINGLE_DETECTOR_NOISE, NoiseModel
from spiir_pastro.simulation.ranking import (
    NOISE_CEILING_HZ,
    combined_far_hz,
    draw_reduced_snr,
    noise_chisq,
    whole_snr,
)
from spiir_pastro.simulation.triggers import _null_snr

CONFIG = CampaignConfig()
GPS = np.linspace(1.2e9, 1.4e9, 40)

LAL_DETECTORS = [
    lal.CachedDetectors[index]
    for index in (lal.LHO_4K_DETECTOR, lal.LLO_4K_DETECTOR, lal.VIRGO_DETECTOR, lal.KAGRA_DETECTOR)
]


def directions(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = stream(1, "directions")
    return rng.uniform(0, 6.28, n), np.arcsin(rng.uniform(-1, 1, n)), rng.uniform(0, 3.14, n)


def test_greenwich_angle_is_lals() -> None:
    expected = [lal.GreenwichMeanSiderealTime(lal.LIGOTimeGPS(t)) % (2 * np.pi) for t in GPS]
    leap_seconds = 3e-4  # up to three of them, before 2017
    np.testing.assert_allclose(greenwich_angle(GPS), expected, atol=leap_seconds)


def test_antenna_patterns_are_lals() -> None:
    ra, dec, psi = directions(GPS.size)
    plus, cross = antenna_patterns(ra, dec, psi, GPS, DETECTORS)
    angles = greenwich_angle(GPS)
    expected = np.array(
        [
            [lal.ComputeDetAMResponse(d.response, *place) for d in LAL_DETECTORS]
            for place in zip(ra, dec, psi, angles, strict=True)
        ]
    )
    # LAL keeps its tensors in single precision.
    np.testing.assert_allclose(plus, expected[:, :, 0], atol=3e-7)
    np.testing.assert_allclose(cross, expected[:, :, 1], atol=3e-7)


def test_arrival_delays_are_lals() -> None:
    ra, dec, _ = directions(GPS.size)
    delays = arrival_delays(ra, dec, GPS, DETECTORS)
    expected = [
        [lal.TimeDelayFromEarthCenter(d.location, a, b, lal.LIGOTimeGPS(t)) for d in LAL_DETECTORS]
        for a, b, t in zip(ra, dec, GPS, strict=True)
    ]
    np.testing.assert_allclose(delays, expected, atol=3e-4 * 0.022)


def test_horizon_is_the_bns_range_for_neutron_stars() -> None:
    star, still = np.array([1.4]), np.zeros(1)
    sigma = sigma_mpc((star, star), (still, still), CONFIG.bns_ranges_mpc)
    ranges = [CONFIG.bns_range_mpc[ifo] for ifo in NETWORK]
    np.testing.assert_allclose(sigma[0] / 8 / 2.2648, ranges, rtol=1e-12)


@pytest.mark.real_data
def test_horizon_follows_that_of_bayestar(real_data: Path) -> None:
    """Over masses; its waveforms start at 30 Hz, ours at 15 Hz."""
    table = pl.read_csv(real_data / "bayestar" / "bayestar_injections.csv").drop_nulls("hor_L1")
    columns = ("mass1", "mass2", "spin1z", "spin2z")
    mass1, mass2, spin1z, spin2z = (table[name].to_numpy() for name in columns)
    sigma = sigma_mpc((mass1, mass2), (spin1z, spin2z), CONFIG.bns_ranges_mpc)
    ratio = table["hor_L1"].to_numpy() / sigma[:, 1]
    assert ratio.std() / ratio.mean() < 0.08


def test_what_is_heard_is_the_redshifted_binary() -> None:
    """A binary of (1 + z) m at the same distance is as loud without redshift."""
    gps = np.full(50, 1.3e9)
    near = draw_binaries(Source.BBH, gps, stream(5, "redshift"), SIMULATED[Source.BBH])
    factor = 1 + near.redshift
    moved = replace(
        near, mass1=near.mass1 * factor, mass2=near.mass2 * factor, redshift=0 * near.redshift
    )
    np.testing.assert_allclose(near.optimal_snr(CONFIG), moved.optimal_snr(CONFIG), rtol=1e-12)


def test_detectors_are_on_for_their_duty_cycle() -> None:
    config = CampaignConfig(days=400)
    segments = draw_segments(config)
    for ifo in NETWORK:
        spans = segments[ifo]
        assert (spans[:, 1] > spans[:, 0]).all()
        assert (spans[1:, 0] >= spans[:-1, 1]).all()
        on = (spans[:, 1] - spans[:, 0]).sum() / config.seconds
        assert abs(on - config.duty_cycle[ifo]) < 0.03
    times = np.array([spans[0, 0] for spans in segments.values()], dtype=float)
    assert detectors_on(times, segments).diagonal().all()
    assert not detectors_on(times - 1, segments).diagonal().any() or (times == times.min()).any()


@pytest.mark.parametrize("source", ASTROPHYSICAL)
def test_sources_fill_comoving_volume(source: Source) -> None:
    """The share within half the comoving reach, against its integral; 1 false alarm in 10^4."""
    n = 20_000
    binaries = draw_binaries(source, np.full(n, 1.3e9), stream(3, source), SIMULATED[source])
    z = np.sort(binaries.redshift)
    shells = np.linspace(0, z[-1], 2000)
    comoving = luminosity_distance(shells) / (1 + shells)
    density = np.gradient(comoving**3, shells) / (1 + shells)
    cdf = np.cumsum(density) / density.sum()
    assert stats.kstest(z, lambda x: np.interp(x, shells, cdf)).pvalue > 1e-4
    assert (binaries.mass1 >= binaries.mass2).all()
    np.testing.assert_allclose(binaries.distance_mpc, luminosity_distance(binaries.redshift), 1e-5)
    assert stats.kstest(np.cos(binaries.inclination), "uniform", (-1, 2)).pvalue > 1e-4


def test_detected_snr_falls_as_its_fourth_power() -> None:
    """In the local universe P(> rho) = (rho0/rho)^3 (Schutz 2011); 1 false alarm in 10^4."""
    gps = stream(4, "times").uniform(1.3e9, 1.3e9 + 86_400, 4000)
    binaries, drawn = draw_detectable(
        Source.BNS, gps, CONFIG, stream(4, "bns"), SIMULATED[Source.BNS]
    )
    snr = np.linalg.norm(binaries.optimal_snr(CONFIG), axis=1)
    loud = snr[snr > 12]  # well inside the volume drawn from
    assert loud.size > 200
    assert stats.kstest((12 / loud) ** 3, "uniform").pvalue > 1e-4
    assert (snr >= 5).all()
    assert drawn > 4 * gps.size


def test_moving_a_binary_in_time_keeps_what_is_heard() -> None:
    gps = stream(5, "times").uniform(1.3e9, 1.3e9 + 10 * 86_400, 500)
    binaries, _ = draw_detectable(Source.BBH, gps, CONFIG, stream(5, "bbh"), SIMULATED[Source.BBH])
    np.testing.assert_array_equal(binaries.gps, gps)
    assert (np.linalg.norm(binaries.optimal_snr(CONFIG), axis=1) > 4.99).all()


def test_noise_has_uniform_false_alarm_probability() -> None:
    """Over all and in the tail that matters; each KS test has 1 false alarm in 10^4."""
    model = SINGLE_DETECTOR_NOISE
    snr, chisq, _ = model.draw(2_000_000, stream(6, "single"))
    p = np.exp(model.log_false_alarm_probability(snr, chisq))
    assert stats.kstest(p[:100_000], "uniform").pvalue > 1e-4
    tail = p[p < 1e-3] / 1e-3
    assert stats.kstest(tail, "uniform").pvalue > 1e-4
    assert stats.binomtest(tail.size, p.size, 1e-3).pvalue > 1e-4


def pairs(n: int) -> NDArray[np.bool_]:
    """Say n times that H1 and L1 took part."""
    return np.tile(np.array([True, True, False]), (n, 1))


@pytest.mark.parametrize("bank", ASTROPHYSICAL)
@pytest.mark.parametrize("mtotal", [3.0, 30.0, 150.0])
def test_noise_drawn_at_a_far_has_that_far(bank: Source, mtotal: float) -> None:
    rng = stream(6, bank)
    far = np.concatenate([rng.uniform(0, NOISE_CEILING_HZ, 2000), np.geomspace(1e-37, 1e-2, 2000)])
    total = np.full(far.size, mtotal)
    on = rng.random((far.size, 3)) < 0.7
    on = on[on.sum(axis=1) >= 2][: far.size]
    far, total = far[: len(on)], total[: len(on)]
    reduced = draw_reduced_snr(bank, total, far, rng)
    chisq, glitch = noise_chisq(bank, total, far, reduced)
    assert ((glitch >= 0) & (glitch <= 1)).all()
    snr = whole_snr(reduced, on)
    np.testing.assert_allclose(combined_far_hz(bank, total, snr, chisq, on), far, rtol=1e-6)


@pytest.mark.parametrize("bank", ASTROPHYSICAL)
def test_most_noise_follows_the_statistics_file(bank: Source) -> None:
    """SNR and chi-square of all noise are the model's of it; each test has 1 false alarm in 10^4.

    Chi-square is read between the grid's points, by a few hundredths.
    """
    rng, n = stream(7, bank), 20_000
    far = rng.uniform(0, NOISE_CEILING_HZ, n)
    reduced = draw_reduced_snr(bank, np.full(n, 10.0), far, rng)
    snr = whole_snr(reduced, pairs(n))
    chisq, _ = noise_chisq(bank, np.full(n, 10.0), far, reduced)
    expected_snr, expected_chisq, _ = COHERENT_NOISE[bank].draw(n, rng)
    assert stats.ks_2samp(snr, expected_snr).pvalue > 1e-4
    assert stats.ks_2samp(chisq, expected_chisq).statistic < 0.03


def test_false_alarm_rate_falls_with_snr_and_rises_with_chisq() -> None:
    snr, n = np.linspace(7, 60, 200), 200

    def far_hz(snr: NDArray[np.float64], chisq: NDArray[np.float64]) -> NDArray[np.float64]:
        return combined_far_hz(Source.BBH, np.full(n, 10.0), snr, chisq, pairs(n))

    assert (np.diff(far_hz(snr, np.ones(n))) <= 0).all()
    assert (np.diff(far_hz(np.full(n, 10.0), np.geomspace(0.3, 30, n))) >= 0).all()
    assert far_hz(np.full(n, 5.0), np.full(n, 100.0))[0] == pytest.approx(
        NOISE_CEILING_HZ, rel=0.02
    )


def test_real_candidates_get_about_the_far_spiir_gave_them() -> None:
    """(cohsnr, cmbchisq, total mass, FAR of a bank group) of ten injections in O3b, in decades.

    SPIIR's candidates of a BBH run (tanghyd/spiir, share/data/pipeline/coinc), whose combined FAR
    is 8 times that of the group.
    """
    real = np.array(
        [
            (9.4354286, 0.76655638, 9.0046024, 7.3084799e-08),
            (11.816113, 1.2396595, 8.5379057, 3.0906182e-09),
            (9.9656162, 1.167877, 6.6897283, 3.402194e-07),
            (10.615422, 1.001156, 6.8281312, 1.9454713e-09),
            (7.8957949, 0.57090932, 8.8827353, 1.1786051e-06),
            (8.8541088, 0.90571952, 8.1689482, 6.6271009e-06),
            (10.202198, 0.90005636, 8.633914, 1.2130918e-08),
            (9.4661131, 0.94014752, 9.5701332, 2.7192945e-07),
            (13.420614, 1.447005, 8.60425, 4.8066431e-09),
            (9.0398731, 1.1576852, 9.0781813, 8.4761587e-06),
        ]
    )
    snr, chisq, mtotal, group_far = real.T
    ours = combined_far_hz(Source.BBH, mtotal, snr, chisq, pairs(len(real)))
    decades = np.log10(ours / (8 * group_far))
    assert abs(np.median(decades)) < 0.2
    assert np.abs(decades).max() < 0.8
    assert stats.spearmanr(ours, group_far).statistic > 0.8


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "model"), [("H1L1", COHERENT_NOISE[Source.BBH]), ("H1", SINGLE_DETECTOR_NOISE)]
)
def test_noise_follows_the_real_statistics(real_data: Path, name: str, model: NoiseModel) -> None:
    """Survival to a factor 1.5 over five decades; chi-square medians of glitches to 0.12 dex."""
    (path,) = (real_data / "spiir" / "stats").glob("*.xml.gz")
    counts = read_arrays(path)[f"background_feature:{name}_lgsnr_lgchisq_rate"].astype(float)
    snr: np.ndarray = np.power(10.0, 0.54 + np.arange(300) * 0.0082)
    log_chisq = -1.2 + (np.arange(300) + 0.5) * 4.7 / 300
    by_snr = counts.sum(axis=1)
    kept = snr >= model.threshold
    survival = by_snr[::-1].cumsum()[::-1][kept] / by_snr[kept].sum()
    tested = (survival > 1e-5) & (snr[kept] > model.threshold + 0.3)
    difference = model.log_survival(snr[kept])[tested] - np.log(survival[tested])
    assert np.abs(difference).max() < np.log(1.6)
    rng = stream(7, name)
    drawn_snr, drawn_chisq, _ = model.draw(2_000_000, rng)
    for low, high in ((8, 9), (9.5, 10.5), (12, 14)):
        rows = (snr >= low) & (snr < high)
        cumulative = np.cumsum(counts[rows].sum(axis=0)) / counts[rows].sum()
        real_median = np.interp(0.5, cumulative, log_chisq)
        inside = (drawn_snr >= low) & (drawn_snr < high)
        assert abs(np.median(np.log10(drawn_chisq[inside])) - real_median) < 0.12


@pytest.mark.parametrize("bank", ASTROPHYSICAL)
@pytest.mark.parametrize("groups", [1, 3, 8])
def test_bank_groups_cover_the_bank_and_overlap(bank: Source, groups: int) -> None:
    parts = template_groups(bank, groups)
    for part in parts:
        assert (np.diff(part.log_mchirp) >= 0).all()
        assert (part.mass1 >= part.mass2).all()
        np.testing.assert_allclose(
            np.exp(part.log_mchirp), chirp_mass(part.mass1, part.mass2), rtol=1e-12
        )
        keys = part.bankid * 10_000 + part.tmplt_idx
        assert np.unique(keys).size == len(part)
    for light, heavy in itertools.pairwise(parts):
        assert light.log_mchirp[-1] > heavy.log_mchirp[0]
        assert not set(light.bankid) & set(heavy.bankid)


def test_the_nearest_template_is_near() -> None:
    (group,) = template_groups(Source.BBH, 1)
    target = np.log(np.geomspace(4, 60, 200))
    found = nearest_template(group, target, np.full(200, 0.7))
    assert np.abs(group.log_mchirp[found] - target).max() < 0.03


def test_o4_hears_as_far_as_its_ranges_say() -> None:
    star, still = np.array([1.4]), np.array([0.0])
    ranges = tuple(SENSITIVITIES["O4"].bns_range_mpc.values())
    sigma = sigma_mpc((star, star), (still, still), ranges, "O4")
    np.testing.assert_allclose(sigma[0] / 8 / 2.2648, [152, 160, 50, 7], rtol=1e-6)
    heavy = np.array([60.0])
    o3, o4 = (sigma_mpc((heavy, heavy), (still, still), ranges, run)[0] for run in ("O3", "O4"))
    assert (np.abs(o4[:3] / o3[:3] - 1) > 0.01).all()  # another curve, at the same BNS range


def test_null_snr_is_what_no_wave_makes() -> None:
    """None of a wave's own SNR, of three and of four detectors; all of what lies across."""
    gps = stream(8, "null").uniform(1.3e9, 1.31e9, 200)
    binaries = draw_binaries(Source.BBH, gps, stream(8, "null", 1), SIMULATED[Source.BBH])
    which = np.arange(200)
    for ifos in (NETWORK, DETECTORS):
        on = np.ones((200, len(ifos)), dtype=bool)
        wave = 1000 * binaries.response(ifos)
        assert _null_snr(binaries, which, wave, on, ifos).max() < 1e-3
        plus, cross = antenna_patterns(
            binaries.right_ascension, binaries.declination, 0 * gps, gps, ifos
        )
        across = np.linalg.svd(np.stack([plus, cross], axis=1))[2][:, -1]
        np.testing.assert_allclose(
            _null_snr(binaries, which, wave + 7j * across, on, ifos), 7, rtol=1e-3
        )
