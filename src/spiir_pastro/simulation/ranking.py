r"""From SNR and chi-square to SPIIR's combined FAR, and back.

SPIIR ranks a trigger against the noise of its own bank group and multiplies by a factor, so that
candidates clustered over all groups come at the rate that their FAR says. With u the FAR over the
rate of all noise triggers, u is uniform in (0, 1) for noise. What noise of one u looks like is
measured twice: most of it (u near 1) in a statistics file, whose law of SNR and chi-square
`spiir_pastro.simulation.noise` holds, and the rare part below FAR* = 3e-4 Hz in SPIIR's uploads.
With r the SNR above threshold, those follow a Burr XII law

    P(r' > r | u) = (1 + (r/S)^c)^(-d),        S = s (1 + k max(ln(u*/u), 0)),

louder where FAR is lower, and with a heavier tail for templates of larger total mass, which respond
to glitches. So p(r | u) is a mixture of both laws, and within one SNR the order in chi-square is
the order in FAR:

    P(chisq' < chisq | r) = P(u' < u | r) = int_0^u p(r | u') du' / int_0^1 p(r | u') du'.

The left side is the statistics file's, the right side the uploads'. Solved for u this is the FAR of
any trigger, noise or signal; solved for chi-square it completes noise whose FAR was drawn. Noise is
so calibrated by construction.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtri_exp

from spiir_pastro.domain import Source
from spiir_pastro.simulation.config import DETECTORS
from spiir_pastro.simulation.noise import (
    COHERENT_NOISE,
    SMALLEST_FAR_HZ,
    SNR_THRESHOLD,
    NoiseModel,
)

Floats = NDArray[np.float64]

FAR_FACTOR = 8
"""Between the FAR of a bank group and the combined one, in all eleven candidates of O3 in
tanghyd/spiir, share/data/pipeline/coinc. SPIIR's run scripts of today have 94."""
GROUP_RATE_HZ = 0.93
"""Noise triggers a second of a real bank group: those of a statistics file over its livetime."""
NOISE_CEILING_HZ = FAR_FACTOR * GROUP_RATE_HZ
"""Rate of all noise triggers of a search, the largest FAR there is."""

_FAR_UPLOADED_HZ = 3e-4
_LOG_U_UPLOADED = np.log(_FAR_UPLOADED_HZ / NOISE_CEILING_HZ)
_U_ORDINARY = 1e-3  # half of the noise of this u follows the statistics file
_THIRD_DETECTOR_SNR = 0.95  # SNR that a further detector's noise adds
_UNEVEN_PAIR_WIDTH = 0.75  # width of SNR above threshold, H1 V1 or L1 V1 over H1 L1

# The grids of a ranking's table: SNR above threshold, decimal logarithm of chi-square, and normal
# quantile of u.
_R = np.geomspace(0.02, 400.0, 120)
_LOG_CHISQ = np.linspace(-2.0, 4.0, 401)
_Z_U = np.concatenate([np.linspace(-38, -13, 26)[:-1], np.linspace(-13, 8, 141)])


@dataclass(frozen=True)
class TailLaw:
    """Law of r, the SNR above threshold, of noise with a low FAR."""

    # c, d and s of the Burr XII law
    power: float
    tail: float
    scale: float
    growth: float  # of its scale per unit of ln(FAR*/FAR): k

    def density(self, r: Floats, log_u: Floats) -> Floats:
        """Probability density of r at given ln u; the arguments broadcast."""
        size = self._size(log_u)
        x = (r / size) ** self.power
        return np.asarray(self.power * self.tail / r * x * (1 + x) ** (-self.tail - 1))

    def draw(self, log_u: Floats, rng: np.random.Generator) -> Floats:
        """Draw r for each ln u."""
        depth = rng.standard_exponential(log_u.size)
        return np.asarray(self._size(log_u) * np.expm1(depth / self.tail) ** (1 / self.power))

    def _size(self, log_u: Floats) -> Floats:
        return np.asarray(self.scale * (1 + self.growth * np.maximum(_LOG_U_UPLOADED - log_u, 0)))


UPLOADED: tuple[TailLaw, ...] = (
    TailLaw(2.37, 2.91, 3.66, 0.088),
    TailLaw(2.35, 1.50, 2.12, 0.145),
    TailLaw(2.43, 0.87, 1.56, 0.095),
)
"""By `template_kind`; fitted by maximum likelihood to the 2789 noise candidates below 3e-4 Hz among
SPIIR's uploads of O3a (clustered within 1 s, without known mergers)."""

_MTOTAL_EDGES = (20.0, 60.0)
# Heavy templates last a few cycles, which a loud glitch fits better than a long chirp does: by how
# much less log10 chi-square of glitches rises with log10 SNR, by kind, and from which SNR on.
# Chosen for the known mergers of O3a: without it those above SNR 12 had FARs three decades above
# simulated ones of the same SNR and mass.
_GLITCHES_RISE_LESS = (0.0, 1.0, 1.0)
_LOG_SNR_OF_GLITCHES = 0.95


def template_kind(mtotal: Floats) -> NDArray[np.int64]:
    """Index of the law of noise by the template's total mass: below 20, to 60, above, (n,)."""
    return np.searchsorted(np.array(_MTOTAL_EDGES), mtotal, side="right")


def reduced_snr(snr: Floats, on: NDArray[np.bool_]) -> Floats:
    """SNR above threshold, as H1 and L1 alone would have it, (n,); `on` is (n, detectors)."""
    shift, scale = _of_detectors(on)
    return np.asarray((snr - SNR_THRESHOLD - shift) / scale)


def whole_snr(r: Floats, on: NDArray[np.bool_]) -> Floats:
    """Coherent SNR of a reduced one: what `reduced_snr` undoes, (n,)."""
    shift, scale = _of_detectors(on)
    return np.asarray(SNR_THRESHOLD + shift + scale * r)


def _of_detectors(on: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Shift and scale of SNR by the detectors that took part.

    From the same uploads: quantiles of SNR of H1 L1 V1 lie 0.9 to 1.1 above those of H1 L1, and
    those of pairs with V1 spread 0.7 to 0.8 times as far.
    """
    number = on.sum(axis=1)
    even = on[:, DETECTORS.index("H1")] & on[:, DETECTORS.index("L1")]
    return _THIRD_DETECTOR_SNR * np.maximum(number - 2, 0), np.where(
        (number == 2) & ~even, _UNEVEN_PAIR_WIDTH, 1.0
    )


@dataclass(frozen=True)
class Ranking:
    """FAR against SNR and chi-square for one bank and kind of template."""

    ordinary: NoiseModel  # law of most noise, from a statistics file
    uploaded: TailLaw  # law of noise with a low FAR

    def draw_snr(self, log_u: Floats, rng: np.random.Generator) -> Floats:
        """Draw the reduced SNR of noise of given ln u, (n,)."""
        low = rng.random(log_u.size) < _weight(log_u)
        ordinary, _, _ = self.ordinary.draw(log_u.size, rng)
        return np.where(low, self.uploaded.draw(log_u, rng), ordinary - SNR_THRESHOLD)

    def log_u(self, r: Floats, log_chisq: Floats) -> Floats:
        """Ln of u, FAR over `NOISE_CEILING_HZ`, of triggers; log_chisq is decimal, (n,)."""
        column, share = _place(_LOG_CHISQ, log_chisq)
        table = self._rows(r)
        z = (1 - share) * table(column) + share * table(column + 1)
        return np.asarray(log_ndtr(z))

    def log_chisq(self, r: Floats, log_u: Floats) -> Floats:
        """Decimal logarithm of the chi-square that makes noise of this SNR have this u, (n,)."""
        table, z = self._rows(r), ndtri_exp(log_u)
        low = np.zeros(r.size, dtype=np.int64)
        high = np.full(r.size, _LOG_CHISQ.size - 1)
        while (high - low > 1).any():
            middle = (low + high) // 2
            below = table(middle) <= z
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        at_low, at_high = table(low), table(low + 1)
        share = (z - at_low) / (at_high - at_low)
        return np.asarray(_LOG_CHISQ[low] + share * (_LOG_CHISQ[1] - _LOG_CHISQ[0]))

    def _rows(self, r: Floats) -> "_Rows":
        row, share = _place(np.log(_R), np.log(np.clip(r, _R[0], _R[-1])))
        return _Rows(self._table, row, np.clip(share, 0, 1))

    @cached_property
    def _table(self) -> Floats:
        """Tabulate the normal quantile of u over the grids of r and log10 chi-square."""
        cdf = self.ordinary.log_chisq_cdf(_R[:, None] + SNR_THRESHOLD, _LOG_CHISQ)
        # Strictly rising, where the quantile of nearly 1 has no more digits, too.
        rank = np.minimum(ndtri_exp(np.minimum(cdf, -1e-16)), _Z_U[-1])
        rank = np.maximum.accumulate(rank, axis=1) + 1e-9 * np.arange(_LOG_CHISQ.size)
        table: Floats = np.empty(rank.shape)
        for row, quantiles in enumerate(self._u_within_snr()):
            table[row] = _interpolated(rank[row], quantiles, _Z_U)
        return table

    def _u_within_snr(self) -> Floats:
        """Tabulate the normal quantile of P(u' < u | r) over r and u's own quantile."""
        log_u = np.asarray(log_ndtr(_Z_U))
        weight = _weight(log_u)
        density = weight * self.uploaded.density(_R[:, None], log_u) + (
            1 - weight
        ) * self.ordinary.density(_R[:, None] + SNR_THRESHOLD)
        # Sums in logarithms: u spans 300 decades.
        log_step = log_u[:-1] + np.log(np.expm1(np.diff(log_u)))
        middle = (density[:, 1:] + density[:, :-1]) / 2
        log_mass = np.concatenate(
            [np.log(density[:, :1]) + log_u[0], np.log(middle) + log_step], axis=1
        )
        log_cdf = np.logaddexp.accumulate(log_mass, axis=1)
        log_rest = np.logaddexp.accumulate(log_mass[:, ::-1], axis=1)[:, ::-1]
        whole = log_cdf[:, -1:]
        above = np.concatenate([log_rest[:, 1:], np.full_like(whole, -np.inf)], axis=1) - whole
        # The nearer end of the distribution keeps the digits of the quantile.
        return np.where(
            log_cdf - whole < np.log(0.5),
            ndtri_exp(np.minimum(log_cdf - whole, -1e-300)),
            -ndtri_exp(np.minimum(above, -1e-300)),
        )


@dataclass(frozen=True)
class _Rows:
    """Rows of a table between its grid's, read at one column each."""

    table: Floats
    row: NDArray[np.int64]
    share: Floats

    def __call__(self, column: NDArray[np.int64]) -> Floats:
        here, next_one = self.table[self.row, column], self.table[self.row + 1, column]
        return np.asarray((1 - self.share) * here + self.share * next_one)


@cache
def ranking(bank: Source, kind: int) -> Ranking:
    """Return the ranking of a bank's templates of a `template_kind`."""
    ordinary = COHERENT_NOISE[bank]
    less = _GLITCHES_RISE_LESS[kind]
    turned = replace(
        ordinary,
        glitch_slope=ordinary.glitch_slope - less,
        glitch_intercept=ordinary.glitch_intercept + less * _LOG_SNR_OF_GLITCHES,
    )
    return Ranking(turned, UPLOADED[kind])


def combined_far_hz(
    bank: Source, mtotal: Floats, snr: Floats, chisq: Floats, on: NDArray[np.bool_]
) -> Floats:
    """Return the combined FAR in Hz of a bank's triggers, (n,).

    Parameters
    ----------
    bank
        That found them.
    mtotal
        Total mass of their templates, solar masses, (n,).
    snr, chisq
        Coherent SNR and combined chi-square, (n,).
    on
        Which detectors took part, (n, detectors).
    """
    r, far = reduced_snr(snr, on), np.empty(snr.size)
    with np.errstate(divide="ignore"):
        log_chisq = np.maximum(np.log10(chisq), _LOG_CHISQ[0])
    for kind, rows in _by_kind(mtotal):
        far[rows] = NOISE_CEILING_HZ * np.exp(ranking(bank, kind).log_u(r[rows], log_chisq[rows]))
    return np.maximum(far, SMALLEST_FAR_HZ)


def stretched_far_hz(far_hz: Floats, factor: Floats) -> Floats:
    """Multiply ln(FAR/FAR*) by a factor where FAR lies below FAR* = 3e-4 Hz, (n,)."""
    with np.errstate(over="ignore", under="ignore"):
        stretched = _FAR_UPLOADED_HZ * (far_hz / _FAR_UPLOADED_HZ) ** factor
    return np.where(far_hz < _FAR_UPLOADED_HZ, np.maximum(stretched, SMALLEST_FAR_HZ), far_hz)


def draw_reduced_snr(
    bank: Source, mtotal: Floats, far_hz: Floats, rng: np.random.Generator
) -> Floats:
    """Draw the SNR above threshold of noise with given FARs, (n,), as `whole_snr` takes it."""
    log_u, r = np.log(far_hz / NOISE_CEILING_HZ), np.empty(far_hz.size)
    for kind, rows in _by_kind(mtotal):
        r[rows] = ranking(bank, kind).draw_snr(log_u[rows], rng)
    return r


def noise_chisq(
    bank: Source, mtotal: Floats, far_hz: Floats, reduced: Floats
) -> tuple[Floats, Floats]:
    """Return the chi-square with which noise of this SNR has this FAR; `combined_far_hz` undone.

    Returns
    -------
    chisq
        Combined chi-square, (n,).
    glitch
        Probability that the trigger is a glitch, (n,).
    """
    log_u = np.log(far_hz / NOISE_CEILING_HZ)
    log_chisq, glitch = np.empty((2, far_hz.size))
    for kind, rows in _by_kind(mtotal):
        law, r = ranking(bank, kind), reduced[rows]
        log_chisq[rows] = law.log_chisq(r, log_u[rows])
        glitch[rows] = law.ordinary.glitch_probability(r + SNR_THRESHOLD, log_chisq[rows])
    return 10**log_chisq, glitch


def _by_kind(mtotal: Floats) -> Iterator[tuple[int, NDArray[np.int64]]]:
    kinds = template_kind(mtotal)
    for kind in range(len(UPLOADED)):
        yield kind, np.flatnonzero(kinds == kind)


def _weight(log_u: Floats) -> Floats:
    """Share of noise at ln u that follows the law of uploads."""
    return np.asarray(1 / (1 + np.exp(log_u) / _U_ORDINARY))


def _place(grid: Floats, values: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Cell of an even grid that holds each value, and how far in; outside, the outermost cell."""
    step = grid[1] - grid[0]
    cell = np.clip(((values - grid[0]) / step).astype(np.int64), 0, grid.size - 2)
    return cell, np.asarray((values - grid[0]) / step - cell)


def _interpolated(x: Floats, xp: Floats, fp: Floats) -> Floats:
    """Interpolate; beyond the ends, go on in the outermost straight line."""
    finite = np.isfinite(xp)
    xp, fp = xp[finite], fp[finite]
    below = fp[0] + (x - xp[0]) * (fp[1] - fp[0]) / (xp[1] - xp[0])
    above = fp[-1] + (x - xp[-1]) * (fp[-1] - fp[-2]) / (xp[-1] - xp[-2])
    inside = np.interp(x, xp, fp)
    return np.where(x < xp[0], below, np.where(x > xp[-1], above, inside))
