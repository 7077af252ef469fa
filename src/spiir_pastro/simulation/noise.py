r"""Most noise triggers, as a statistics file counts them: their SNR and chi-square.

Two kinds make up the noise: fluctuations of Gaussian noise (chi-square near 1) and glitches
(louder, with a chi-square that grows with SNR). With ``r`` the coherent SNR above threshold and
``x`` the decimal logarithm of the combined chi-square,

    P(r' > r) = w exp(-(r/b)^q)              x ~ N(c + k log10(rho), s)     glitches
              + (1 - w) Q(h, (r/a)^p)        x ~ N(m, t)                    Gaussian noise,

Q being the regularised upper incomplete gamma function, exp(-(r/a)^p) if h is 1. The numbers are
fitted to a real SPIIR statistics file (a BBH bank, H1 and L1, O3b: 9.6 million
background events over 300 x 300 bins of lgsnr and lgchisq). Longer templates tell glitches from
signals better: for BNS and NSBH banks the glitches' chi-square is raised, by an assumed amount.

`spiir_pastro.simulation.ranking` describes how rare noise with a low FAR departs from this law.

A single detector's trigger is ranked by the share of noise at least as loud with at most its
chi-square, as in SPIIR (Chu et al. 2022, arXiv:2011.06787):

    s = ln sum_k P_k(rho' > rho) P_k(x' < x | rho),

and ``FAR = rate x P(s' < s)`` with the probability integrated over the noise model itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincc, gammainccinv, gammaln, log_ndtr

from spiir_pastro.domain import Source

Floats = NDArray[np.float64]

SNR_THRESHOLD = 5.4
"""Smallest coherent SNR of noise in two detectors."""

SMALLEST_FAR_HZ = 1.1754944e-38  # SPIIR bounds FARs by the smallest float32

_STATISTIC_STEP = 0.02  # in the table of its distribution


@dataclass(frozen=True)
class NoiseModel:
    """Joint distribution of SNR and chi-square of noise triggers."""

    threshold: float  # smallest SNR
    # of the Gaussian part (a, p)
    scale: float
    power: float
    # of the glitches' tail (w, b, q)
    glitch_share: float
    glitch_scale: float
    glitch_power: float
    # of the glitches' log10 chi-square (c, k, s)
    glitch_intercept: float
    glitch_slope: float
    glitch_spread: float
    spread: float  # width of the Gaussian part's log10 chi-square (t)
    centre: float = -0.03  # mean of the same (m)
    shape: float = 1.0  # of the Gaussian part (h)

    def draw(self, n: int, rng: np.random.Generator) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """Draw n triggers: SNR, chi-square, and whether each is a glitch."""
        glitch = rng.random(n) < self.glitch_share
        loud = self.glitch_scale * rng.standard_exponential(n) ** (1 / self.glitch_power)
        quiet = self.scale * rng.standard_gamma(self.shape, n) ** (1 / self.power)
        snr = self.threshold + np.where(glitch, loud, quiet)
        z = rng.standard_normal(n)
        log_chisq = np.where(
            glitch, self._glitch_centre(snr) + self.glitch_spread * z, self.centre + self.spread * z
        )
        return snr, 10**log_chisq, glitch

    def log_survival(self, snr: Floats) -> Floats:
        """Ln P(SNR' > SNR) of noise, whatever its chi-square."""
        gaussian, glitch = self._log_survivals(snr)
        return np.asarray(np.logaddexp(gaussian, glitch))

    def density(self, snr: Floats) -> Floats:
        """Probability density of SNR, whatever the chi-square."""
        return np.asarray(np.add(*self._densities(snr)))

    def glitch_probability(self, snr: Floats, log_chisq: Floats) -> Floats:
        """Probability that noise of this SNR and decimal logarithm of chi-square is a glitch."""
        gaussian, glitch = self._densities(snr)
        likely = (
            gaussian / self.spread * np.exp(-(((log_chisq - self.centre) / self.spread) ** 2) / 2)
        )
        other = (
            glitch
            / self.glitch_spread
            * np.exp(-(((log_chisq - self._glitch_centre(snr)) / self.glitch_spread) ** 2) / 2)
        )
        return np.asarray((other + 1e-300) / (likely + other + 1e-300))

    def log_chisq_cdf(self, snr: Floats, log_chisq: Floats) -> Floats:
        """Ln P(chi-square at most 10^log_chisq | SNR); the arguments broadcast."""
        gaussian, glitch = self._densities(snr)
        with np.errstate(divide="ignore"):
            return np.asarray(
                np.logaddexp(
                    np.log(gaussian) + log_ndtr((log_chisq - self.centre) / self.spread),
                    np.log(glitch)
                    + log_ndtr((log_chisq - self._glitch_centre(snr)) / self.glitch_spread),
                )
                - np.log(gaussian + glitch)
            )

    def log_statistic(self, snr: Floats, chisq: Floats) -> Floats:
        """Return the ranking statistic s; smaller is more significant."""
        with np.errstate(divide="ignore"):
            x = np.log10(chisq)
        gaussian, glitch = self._log_survivals(snr)
        return np.asarray(
            np.logaddexp(
                gaussian + log_ndtr((x - self.centre) / self.spread),
                glitch + log_ndtr((x - self._glitch_centre(snr)) / self.glitch_spread),
            )
        )

    def log_false_alarm_probability(self, snr: Floats, chisq: Floats) -> Floats:
        """Ln P(s' < s): uniform in its exponential for noise."""
        statistic, log_cdf = self._calibration
        s = self.log_statistic(snr, chisq)
        slope = (log_cdf[200] - log_cdf[0]) / (statistic[200] - statistic[0])
        beyond = log_cdf[0] + slope * (s - statistic[0])
        return np.asarray(np.where(s < statistic[0], beyond, np.interp(s, statistic, log_cdf)))

    def far_hz(self, snr: Floats, chisq: Floats, rate_hz: float) -> Floats:
        """False-alarm rate in Hz of triggers of a search with that rate of noise triggers."""
        log_far = np.log(rate_hz) + self.log_false_alarm_probability(snr, chisq)
        return np.asarray(np.maximum(np.exp(log_far), SMALLEST_FAR_HZ))

    @cached_property
    def _calibration(self) -> tuple[Floats, Floats]:
        """Tabulate (s, ln P(s' < s)) by quadrature over both kinds' own coordinates."""
        depth = np.concatenate([np.linspace(0, 4, 400, endpoint=False), np.linspace(4, 60, 1400)])
        z = np.linspace(-13, 8, 500)
        depth_mid = (depth[1:] + depth[:-1]) / 2
        log_weight = (
            np.log(-np.diff(np.exp(-depth)))[:, None] - z**2 / 2 - np.log(np.exp(-(z**2) / 2).sum())
        )
        deep = gammainccinv(self.shape, np.exp(-depth_mid))
        snr = self.threshold + self.scale * deep ** (1 / self.power)
        loud = self.threshold + self.glitch_scale * depth_mid ** (1 / self.glitch_power)
        statistic = np.concatenate(
            [
                self.log_statistic(snr[:, None], 10 ** (self.centre + self.spread * z)).ravel(),
                self.log_statistic(
                    loud[:, None],
                    10 ** (self._glitch_centre(loud)[:, None] + self.glitch_spread * z),
                ).ravel(),
            ]
        )
        log_weight = np.concatenate(
            [
                (log_weight + np.log1p(-self.glitch_share)).ravel(),
                (log_weight + np.log(self.glitch_share)).ravel(),
            ]
        )
        return _cumulative(statistic, log_weight)

    def _glitch_centre(self, snr: Floats) -> Floats:
        return np.asarray(self.glitch_intercept + self.glitch_slope * np.log10(snr))

    def _densities(self, snr: Floats) -> tuple[Floats, Floats]:
        """Densities of SNR of the Gaussian part and of glitches, each with its share."""
        above = np.maximum(snr - self.threshold, 1e-12)
        laws = (
            (1 - self.glitch_share, self.scale, self.power, self.shape),
            (self.glitch_share, self.glitch_scale, self.glitch_power, 1.0),
        )
        gaussian, glitch = (
            share * p / a * np.exp((h * p - 1) * np.log(above / a) - (above / a) ** p - gammaln(h))
            for share, a, p, h in laws
        )
        return gaussian, glitch

    def _log_survivals(self, snr: Floats) -> tuple[Floats, Floats]:
        above = np.maximum(snr - self.threshold, 0)
        with np.errstate(divide="ignore"):
            quiet = np.log(gammaincc(self.shape, (above / self.scale) ** self.power))
        return (
            np.asarray(np.log1p(-self.glitch_share) + quiet),
            np.asarray(
                np.log(self.glitch_share) - (above / self.glitch_scale) ** self.glitch_power
            ),
        )


def _cumulative(values: Floats, log_weights: Floats) -> tuple[Floats, Floats]:
    """Return bin edges and ln of the weight below each, for values binned from their smallest."""
    lowest = float(values.min())
    place = ((values - lowest) / _STATISTIC_STEP).astype(np.int64)
    # Two scales keep both ends exact: far tails would vanish beside ordinary weights.
    heaviest = np.full(place.max() + 1, -np.inf)
    np.maximum.at(heaviest, place, log_weights)
    base = np.where(np.isfinite(heaviest), heaviest, 0.0)
    total = np.bincount(place, np.exp(log_weights - base[place]))
    with np.errstate(divide="ignore"):
        log_bins = base + np.log(total)
    log_cdf = np.logaddexp.accumulate(log_bins)
    edges: Floats = lowest + _STATISTIC_STEP * np.arange(1, log_cdf.size + 1, dtype=np.float64)
    return edges, np.asarray(log_cdf - log_cdf[-1])


def _coherent(chisq_raise: float) -> NoiseModel:
    return NoiseModel(
        threshold=SNR_THRESHOLD,
        scale=0.1078,
        power=0.9353,
        shape=5.611,
        glitch_share=0.0376,
        glitch_scale=4.27,
        glitch_power=1.45,
        glitch_intercept=-1.365 + chisq_raise,
        glitch_slope=2.134,
        glitch_spread=0.165,
        spread=0.067,
    )


COHERENT_NOISE: Mapping[Source, NoiseModel] = {
    Source.BNS: _coherent(0.20),
    Source.NSBH: _coherent(0.10),
    Source.BBH: _coherent(0.0),
}
"""Coherent SNR and combined chi-square, by bank."""

SINGLE_DETECTOR_NOISE = NoiseModel(
    3.6, 0.720, 1.77, 0.0295, 4.96, 1.516, -0.675, 1.777, 0.172, 0.099
)
"""SNR and chi-square in one detector, for the single-detector FARs."""
