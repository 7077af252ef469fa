"""Horizon distances, against LALSimulation's own waveforms and noise curves."""

import lal
import lalsimulation
import numpy as np
import pytest

from spiir_pastro.errors import PastroError
from spiir_pastro.io.horizons import read_horizons
from spiir_pastro.models.horizon import HORIZON_PER_RANGE, Horizons

CURVES = {
    ("O3", "H1"): "SimNoisePSDaLIGOaLIGOO3LowT1800545",
    ("O3", "L1"): "SimNoisePSDaLIGOaLIGOO3LowT1800545",
    ("O3", "V1"): "SimNoisePSDAdVO3LowT1800545",
    ("O3", "K1"): "SimNoisePSDKAGRA25MpcT1800545",
    ("O4", "L1"): "SimNoisePSDaLIGOaLIGO175MpcT1800545",
    ("O4", "V1"): "SimNoisePSDAdVO4IntermediateT1800545",
    ("O4", "K1"): "SimNoisePSDKAGRA25MpcT1800545",
}
LOW_HZ, HIGH_HZ, STEP_HZ = 15.0, 1024.0, 0.25
Parameters = tuple[float, float, float, float]


def random_binaries(count: int) -> list[Parameters]:
    rng = np.random.default_rng(200)
    mtotal = np.exp(rng.uniform(np.log(2), np.log(600), count))
    ratio = np.exp(rng.uniform(np.log(1 / 80), 0, count))
    spins = rng.uniform(-0.95, 0.95, (count, 2))
    mass1 = mtotal / (1 + ratio)
    return [
        (float(a), float(a * q), float(x), float(y))
        for a, q, (x, y) in zip(mass1, ratio, spins, strict=True)
    ]


def noise(curve: str) -> np.ndarray:
    series = lal.CreateREAL8FrequencySeries(
        "psd", 0, 0, STEP_HZ, lal.SecondUnit, int(HIGH_HZ / STEP_HZ) + 1
    )
    getattr(lalsimulation, curve)(series, 10.0)
    return np.where(series.data.data > 0, series.data.data, np.inf)


def strain(mass1: float, mass2: float, spin1z: float, spin2z: float) -> np.ndarray:
    """Evenly sampled amplitudes of lalsimulation's own generator, at 1 Mpc."""
    wave = lalsimulation.SimIMRPhenomDGenerateFD(
        0.0,
        LOW_HZ,
        STEP_HZ,
        mass1 * lal.MSUN_SI,
        mass2 * lal.MSUN_SI,
        spin1z,
        spin2z,
        LOW_HZ,
        HIGH_HZ,
        1e6 * lal.PC_SI,
        None,
        lalsimulation.NoNRT_V,
    )
    return np.asarray(np.abs(wave.data.data))


@pytest.fixture(scope="module")
def waveforms() -> list[tuple[Parameters, np.ndarray]]:
    return [(binary, strain(*binary)) for binary in random_binaries(1500)]


@pytest.mark.parametrize(("run", "ifo"), CURVES)
def test_the_table_is_within_three_per_cent_of_lalsimulation(
    run: str, ifo: str, waveforms: list[tuple[Parameters, np.ndarray]]
) -> None:
    power = noise(CURVES[run, ifo])
    first = int(LOW_HZ / STEP_HZ)
    expected = [
        np.sqrt(4 * STEP_HZ * np.sum(h[first : power.size] ** 2 / power[first : h.size])) / 8
        for _, h in waveforms
    ]
    binaries = np.array([binary for binary, _ in waveforms]).T
    ours = read_horizons().horizon_mpc(*binaries, ifo=ifo, run=run)
    assert np.abs(ours / expected - 1).max() < 0.03


def test_a_bns_range_sets_the_scale_and_nothing_else() -> None:
    table = read_horizons()
    star, mass1, mass2 = np.array([1.4]), np.array([60.0, 8.0]), np.array([30.0, 1.5])
    scaled = table.horizon_mpc(star, star, ifo="V1", bns_range_mpc=45.0)
    np.testing.assert_allclose(scaled, 45 * HORIZON_PER_RANGE, rtol=1e-12)
    ratios = [
        np.divide(*table.horizon_mpc(mass1, mass2, ifo="V1", bns_range_mpc=reach))
        for reach in (None, 45.0)
    ]
    assert ratios[0] == pytest.approx(ratios[1], rel=1e-12)


def test_light_binaries_follow_the_power_law_of_chirp_mass_beyond_the_table() -> None:
    masses = np.array([0.2, 0.4])
    near, far = read_horizons().horizon_mpc(masses, masses, ifo="L1")
    assert far / near == pytest.approx(2 ** (5 / 6), rel=0.01)


def test_the_order_of_the_bodies_does_not_matter() -> None:
    heavy, light = np.array([100.0]), np.array([20.0])
    table = read_horizons()
    one = table.horizon_mpc(heavy, light, 0.8, -0.5, ifo="L1")
    np.testing.assert_allclose(table.horizon_mpc(light, heavy, -0.5, 0.8, ifo="L1"), one)


def test_a_curve_that_is_not_there_is_named() -> None:
    star = np.array([1.4])
    with pytest.raises(PastroError, match=r"no noise curve 'O9_H1L1' of H1 in O9; there are O3"):
        read_horizons().horizon_mpc(star, star, ifo="H1", run="O9")


@pytest.mark.parametrize("text", ["", "a,b,c,d\n1,2,3,x\n", "a,b,c,d\n1,2,3,4\n2,2,3,4\n2,3,3,4"])
def test_what_is_no_table_is_refused(text: str) -> None:
    with pytest.raises(PastroError, match=r"horizons: .*make (it|the table) anew"):
        Horizons.parse(text)
