"""The FAR map of a histogram of noise is calibrated, and its SNR law is that of the noise."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

import spiir_pastro as sp
from spiir_pastro.errors import FitError, TableError
from spiir_pastro.io.noise_statistics import read_noise_statistics
from spiir_pastro.models.factors import LOUDEST_LOG_FAR_RATIO
from spiir_pastro.models.noise_histogram import NoiseHistogram, fit_noise_snr

LGSNR, LGCHISQ = np.array([0.54, 3.0]), np.array([-1.2, 3.5])
LIVETIME, SLIDES = 20_000.0, 100
STATISTICS = "spiir/stats/bank0384_stats_1257992907_172800.xml.gz"


def draw(rng: np.random.Generator, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw SNR and chi-square, which grow together as glitches' do."""
    depth = rng.exponential(0.12, n)
    return 5.5 * np.exp(depth), np.exp(rng.normal(0.5 * depth, 0.15))


def histogram(rng: np.random.Generator, n: int) -> NoiseHistogram:
    snr, chisq = draw(rng, n)
    # Bins as SPIIR's own rule makes them: the first takes what is below, too.
    edges = [c[0] + (c[1] - c[0]) / 299 * (np.arange(301) + 0.5) for c in (LGSNR, LGCHISQ)]
    counts = np.histogram2d(np.log10(snr), np.log10(chisq), bins=edges)[0]
    return NoiseHistogram(
        counts=counts.astype(np.int64),
        lgsnr=LGSNR,
        lgchisq=LGCHISQ,
        livetime_s=LIVETIME,
        slides=SLIDES,
    )


def far_of(
    noise: NoiseHistogram, snr: NDArray[np.float64], chisq: NDArray[np.float64]
) -> NDArray[np.float64]:
    """FAR of triggers in Hz, in the bins that SPIIR's own rule puts them."""

    def bin_of(values: NDArray[np.float64], lg: NDArray[np.float64], n: int) -> NDArray[np.int64]:
        step = (lg[1] - lg[0]) / (n - 1)
        rounded = ((np.log10(values) - lg[0] - step / 2) / step).astype(np.int64)
        return np.asarray(np.clip(rounded, 0, n - 1))

    rows, columns = noise.counts.shape
    far: NDArray[np.float64] = noise.far_hz[
        bin_of(snr, noise.lgsnr, rows), bin_of(chisq, noise.lgchisq, columns)
    ]
    return far


def features_of(log_far_ratio: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the density of SNR is given, of one solar mass."""
    x = np.maximum(log_far_ratio, LOUDEST_LOG_FAR_RATIO)
    return np.stack([np.ones_like(x), x, np.zeros_like(x), np.zeros_like(x)], axis=1)


def test_noise_has_a_far_below_any_value_as_often_as_that_says() -> None:
    found = histogram(np.random.default_rng(0), 1_000_000)
    far = far_of(found, *draw(np.random.default_rng(1), 1_000_000))
    for value in (1e-3, 1e-2, 0.1):
        expected = value * LIVETIME * SLIDES
        scatter = np.sqrt(2 * expected)  # of the histogram's events and of the new ones
        assert abs(np.count_nonzero(far <= value) - expected) < 4.5 * scatter + 0.01 * expected


def test_far_falls_with_snr_and_grows_with_chi_square() -> None:
    far = histogram(np.random.default_rng(2), 100_000).far_hz
    assert (np.diff(far, axis=0) <= 0).all()
    assert (np.diff(far, axis=1) >= 0).all()
    assert far.max() == pytest.approx(100_000 / LIVETIME / SLIDES)


def test_the_density_of_snr_given_far_is_that_of_noise_not_seen_yet() -> None:
    threshold, trials = 0.008, 8.0
    found = histogram(np.random.default_rng(3), 2_000_000)
    density = fit_noise_snr([found], far_threshold_hz=threshold, trials=trials)
    snr, chisq = draw(np.random.default_rng(4), 1_000_000)
    x = np.log(np.maximum(far_of(found, snr, chisq), 1e-30) * trials / threshold)
    chosen = (x <= -0.3) & (x > -3)  # kernels blur the threshold's edge
    features = features_of(x[chosen])
    lower = np.linspace(1.4, 4.5, 600)
    pdf = [np.exp(density.log_pdf(np.full(chosen.sum(), y), features)) for y in lower]
    cdf = np.cumsum(pdf, axis=0) * (lower[1] - lower[0])
    rank = cdf[np.searchsorted(lower, np.log(snr[chosen])), np.arange(chosen.sum())]
    # Uniform ranks have a mean of a half and a deviation of 0.289; kernels pull them inwards.
    assert rank.mean() == pytest.approx(0.5, abs=0.03)
    assert rank.std() == pytest.approx(12**-0.5, abs=0.03)


def test_beyond_the_loudest_event_little_is_known() -> None:
    density = fit_noise_snr(
        [histogram(np.random.default_rng(5), 1_000_000)], far_threshold_hz=0.01, trials=8.0
    )
    x = np.array([-1.0, -11.0])
    errors = density.log_pdf_and_errors(np.log([9.0, 9.0]), features_of(x))[1]
    assert errors[0, 0] < 0.5
    assert (errors[:, 1] > 1).all()


def test_events_below_a_far_stand_in_the_middle_of_their_bins() -> None:
    counts = np.zeros((11, 3), int)
    counts[3, 1], counts[5, 0], counts[2, 2] = 2, 1, 4
    noise = NoiseHistogram(
        counts=counts,
        lgsnr=np.array([0.0, 1.0]),
        lgchisq=np.array([-1.0, 1.0]),
        livetime_s=10.0,
        slides=10,
    )
    # No louder one of as low a chi-square but itself; then all three; then seven.
    far_hz, snr = noise.below(0.03)
    assert far_hz.tolist() == [0.03, 0.03, 0.01]
    np.testing.assert_allclose(np.log10(snr), [0.4, 0.4, 0.6], rtol=1e-12)
    for edge, far in ((0.355, 0.03), (0.445, 0.03), (0.555, 0.01), (0.645, 0.01)):
        assert far_of(noise, np.array(10**edge), np.array(10.0)) == pytest.approx(far)
    assert noise.below(0.07)[0].size == 7


def test_triggers_beyond_the_bins_belong_to_the_outermost() -> None:
    counts = np.array([[1, 2, 4], [8, 16, 32], [64, 128, 256]])
    noise = NoiseHistogram(
        counts=counts,
        lgsnr=np.array([0.0, 2.0]),
        lgchisq=np.array([0.0, 2.0]),
        livetime_s=1.0,
        slides=1,
    )
    beyond = np.array([1e-3, 1e5])
    far_hz = far_of(noise, beyond[:, None], beyond)
    np.testing.assert_array_equal(far_hz, noise.far_hz[np.ix_([0, 2], [0, 2])])
    assert len(np.unique(far_hz)) == 4
    with pytest.raises(ValueError, match="read-only"):
        noise.counts[0, 0] = 7


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"counts": np.ones(4)}, "needs counts"),
        ({"counts": np.ones((2, 1))}, "needs counts"),
        ({"counts": np.array([[1, 1], [1, -1]])}, "needs counts"),
        ({"livetime_s": 0.0}, "both must be positive"),
        ({"slides": 0}, "both must be positive"),
    ],
)
def test_a_histogram_that_gives_no_rate_is_refused(wrong: dict[str, Any], message: str) -> None:
    edges = np.array([0.0, 1.0])
    right: dict[str, Any] = {"lgsnr": edges, "lgchisq": edges, "livetime_s": 1.0, "slides": 1}
    assert NoiseHistogram(**right | {"counts": np.ones((2, 2))}).far_hz.max() == 4
    with pytest.raises(FitError, match=message):
        NoiseHistogram(**right | {"counts": np.ones((2, 2))} | wrong)


def test_what_makes_no_background_is_refused(tmp_path: Path) -> None:
    one = histogram(np.random.default_rng(6), 100)
    with pytest.raises(FitError, match="100 are needed"):
        fit_noise_snr([one], far_threshold_hz=1e-6, trials=8.0)
    other = NoiseHistogram(
        counts=one.counts, lgsnr=LGSNR, lgchisq=LGCHISQ, livetime_s=1.0, slides=10
    )
    with pytest.raises(FitError, match=r"statistics of \[100, 10\] slides do not add up"):
        fit_noise_snr([one, other], far_threshold_hz=1.0, trials=8.0)
    with pytest.raises(FitError, match="needs counts"):
        NoiseHistogram(
            counts=np.zeros((2, 2), int), lgsnr=LGSNR, lgchisq=LGCHISQ, livetime_s=1, slides=1
        )
    path = tmp_path / "stats.xml.gz"
    path.write_bytes(gzip.compress(b"<?xml version='1.0'?><LIGO_LW></LIGO_LW>"))
    with pytest.raises(TableError, match="give a SPIIR statistics file"):
        read_noise_statistics(path)


def test_fars_are_those_that_spiir_gave_its_candidates(real_data: Path) -> None:
    """Single detectors', where thousands of events tell them; SPIIR smooths, and adds the banks."""
    files = sorted((real_data / "spiir/coinc").glob("*.xml"))
    table = pl.concat([sp.read_table(path, "postcoh") for path in files], how="diagonal")
    compared = []
    for ifo in ("H1", "L1"):
        noise = read_noise_statistics(real_data / STATISTICS, ifos=ifo)
        theirs = table[f"far_1w_sngl_{ifo}"].to_numpy()
        ours = far_of(noise, table[f"snglsnr_{ifo}"].to_numpy(), table[f"chisq_{ifo}"].to_numpy())
        compared.append(np.log10(ours[theirs > 5e-3] / theirs[theirs > 5e-3]))
    decades = np.concatenate(compared)
    assert decades.size == 4
    assert (np.abs(decades) < 0.05).all()


def test_a_real_statistics_file_is_a_background(real_data: Path) -> None:
    noise = read_noise_statistics(real_data / STATISTICS)
    assert noise.counts.sum() == 9_575_375  # the file's own H1L1_nevent
    assert noise.far_hz.max() == pytest.approx(9_575_375 / 129_566 / 100)
    density = fit_noise_snr([noise], far_threshold_hz=3e-4, trials=8.0)
    y = np.linspace(0, 6, 20_001)
    pdf = np.exp(density.log_pdf(y, features_of(np.full(y.shape, -2.0))))
    assert np.trapezoid(pdf, y) == pytest.approx(1, rel=1e-3)
