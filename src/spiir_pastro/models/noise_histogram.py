r"""Noise as SPIIR's statistics files hold it: time-slid triggers counted by SNR and chi-square.

SPIIR ranks a trigger of SNR :math:`\rho` and chi-square :math:`\xi` by the share of noise that is
at least as loud with at most that chi-square,
:math:`c(\rho, \xi) = P(\rho' \ge \rho, \xi' \le \xi)`,
and its FAR is the rate of noise of no larger share (Chu et al. 2022, arXiv:2011.06787),

.. math:: F(\rho, \xi) = \frac{N[c(\rho', \xi') \le c(\rho, \xi)]}{T \, n_\mathrm{slides}} .

So each cell of the histogram has a FAR, and its counts are a sample of SNR and FAR together: what
:math:`p(s \mid x)` of noise is to be estimated from. SPIIR smooths the histogram first, to give
FARs below that of a single event; here the loudest event ends what is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.errors import FitError
from spiir_pastro.models.conditional import ConditionalGrid
from spiir_pastro.models.factors import LOG_FAR, LOUDEST_LOG_FAR_RATIO

Floats = NDArray[np.float64]

FEWEST_EVENTS = 100
"""Below the FAR threshold: a kernel estimate in two variables of fewer tells little."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NoiseHistogram:
    """Counts of noise triggers of one template bank."""

    # (n, k) triggers by SNR and by chi-square, both in steps of their logarithm
    counts: NDArray[np.int64]
    # (2,) decimal logarithms of the first and the last bin's centre, as SPIIR names them
    lgsnr: Floats
    lgchisq: Floats
    livetime_s: float  # how long the search ran, seconds
    slides: int  # how many time slides of that data were made

    def __post_init__(self) -> None:
        counts = np.array(self.counts, dtype=np.int64)
        if counts.ndim != 2 or min(counts.shape) < 2 or counts.min() < 0 or not counts.any():
            raise FitError(
                f"a histogram of noise needs counts, not {counts.sum()} of shape {counts.shape}"
            )
        if not (self.livetime_s > 0 and self.slides > 0):
            raise FitError(
                f"a histogram of noise has a livetime of {self.livetime_s} s and {self.slides} "
                "slides; both must be positive for a rate"
            )
        counts.setflags(write=False)
        object.__setattr__(self, "counts", counts)

    @cached_property
    def far_hz(self) -> Floats:
        """FAR of a trigger in each cell, (n, k), Hz; 0 beyond the loudest event."""
        share = self.counts[::-1].cumsum(axis=0)[::-1].cumsum(axis=1).ravel()
        order = np.argsort(share, kind="stable")
        events = self.counts.ravel()[order].cumsum()
        last = np.searchsorted(share[order], share, side="right") - 1
        rate = events[last] / (self.livetime_s * self.slides)
        return np.asarray(rate.reshape(self.counts.shape))

    def below(self, far_hz: float) -> tuple[Floats, Floats]:
        """Return FAR (Hz) and SNR of every event up to a FAR, (m,) each, at its cell's middle."""
        chosen = self.far_hz <= far_hz
        copies = self.counts[chosen]
        step = (self.lgsnr[1] - self.lgsnr[0]) / (len(self.counts) - 1)
        # SPIIR rounds (lg SNR - centre of bin 0 - step / 2) / step down: bin i holds what lies from
        # half a step to one and a half above its nominal centre.
        middle = 10 ** (self.lgsnr[0] + step * (np.arange(len(self.counts)) + 1))
        return (
            np.repeat(self.far_hz[chosen], copies),
            np.repeat(np.broadcast_to(middle[:, None], chosen.shape)[chosen], copies),
        )


def fit_noise_snr(
    histograms: Sequence[NoiseHistogram],
    *,
    far_threshold_hz: float,
    trials: float,
    floor: float = 0.01,
) -> ConditionalGrid:
    """Estimate the density of noise's ln SNR given ln(FAR / threshold).

    Parameters
    ----------
    histograms
        Of one or several banks, of the same number of slides: each weighs by its livetime.
    trials
        A candidate's FAR over the one by the statistics of its own bank.
    floor
        Weight of a uniform density.

    Raises
    ------
    FitError
        If the slides differ, or too few events lie below the threshold.
    """
    if len({histogram.slides for histogram in histograms}) != 1:
        slides = [histogram.slides for histogram in histograms]
        raise FitError(f"statistics of {slides} slides do not add up; give those of one number")
    events = [histogram.below(far_threshold_hz / trials) for histogram in histograms]
    far_hz, snr = (np.concatenate(values) for values in zip(*events, strict=True))
    if far_hz.size < FEWEST_EVENTS:
        raise FitError(
            f"{far_hz.size} events of the noise statistics have a FAR below {far_threshold_hz} / "
            f"{trials} Hz; {FEWEST_EVENTS} are needed: give statistics of a longer time"
        )
    return ConditionalGrid.from_samples(
        np.log(far_hz * trials / far_threshold_hz),
        np.log(snr),
        column=LOG_FAR,
        span=(LOUDEST_LOG_FAR_RATIO, 0.0),
        floor=floor,
    )
