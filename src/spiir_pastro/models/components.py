r"""Density of a candidate: FAR, then chirp mass, then SNR given both.

.. math:: p(x, m, s) = p(x)\, p(m)\, p(s \mid x, m)

with :math:`x = \ln(\mathrm{FAR}/f^*)`, :math:`m = \ln \mathcal{M}_\mathrm{det}` and
:math:`s = \ln \rho`. Signal and noise differ in each. SNR is taken *given* FAR and chirp mass,
since a loud signal has a low FAR already: its SNR counts only for what FAR did not say.
A value that is not known is integrated out: its factor is 1 for every component.

The errors of the factors add up in squares. A factor *extrapolates* where its logarithm is
uncertain by more than one: where fewer than one event, or so, tells what it is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import ASTROPHYSICAL, Candidates, Source
from spiir_pastro.errors import FitError
from spiir_pastro.models.conditional import ConditionalGrid
from spiir_pastro.models.densities import GridDensity, LogDensity
from spiir_pastro.models.regression import StudentRegression

__all__ = ["TERMS", "CandidateDensity", "ComponentDensities", "snr_features"]

Floats = NDArray[np.float64]

TERMS: Mapping[str, str] = {"far": "FAR", "mchirp": "chirp mass", "snr": "SNR"}
"""Factors of a density and the value each adds."""

LOG_FAR, LOG_MCHIRP = 1, 2
"""Columns of ln(FAR / threshold) and of the logarithm of the chirp mass among the SNR features."""

LOUDEST_LOG_FAR_RATIO = -12.0
"""Below this ln(FAR / threshold) the regression of SNR holds still: FAR underflows, SNR doesn't."""


@dataclass(frozen=True, kw_only=True)
class CandidateDensity:
    """Density of the candidates of one component, noise or a class of signals.

    Attributes
    ----------
    far
        Of ln(FAR / threshold).
    mchirp
        Of the logarithm of the detector-frame chirp mass in solar masses; None to ignore it.
    snr
        Of the logarithm of the coherent SNR given :func:`snr_features`; None to ignore it.
    """

    far: LogDensity
    mchirp: GridDensity | None = None
    snr: StudentRegression | ConditionalGrid | None = None

    def log_pdf(self, candidates: Candidates, *, far_threshold_hz: float) -> Floats:
        """Return the logarithm of the density, (n,); NaN where FAR is unknown."""
        terms = self.log_terms(candidates, far_threshold_hz=far_threshold_hz)
        return np.asarray(sum(terms.values()))

    def log_terms(self, candidates: Candidates, *, far_threshold_hz: float) -> Mapping[str, Floats]:
        """Return the terms that `log_pdf` adds up, (n,) each: ``far``, ``mchirp``, ``snr``.

        A term is 0 where its value is unknown or the density ignores it; FAR's is NaN there.
        """
        x = np.log(candidates.far_hz / far_threshold_hz)
        m = np.log(candidates.mchirp_det)
        terms = {"far": self.far.log_pdf(x), "mchirp": np.zeros_like(x), "snr": np.zeros_like(x)}
        if self.mchirp is not None:
            terms["mchirp"] = np.nan_to_num(self.mchirp.log_pdf(m))
        if self.snr is not None:
            s = np.log(candidates.snr)
            terms["snr"] = np.nan_to_num(self.snr.log_pdf(s, snr_features(x, m)))
        return terms

    def log_errors(self, candidates: Candidates, *, far_threshold_hz: float) -> Floats:
        """Return the standard errors of the terms in the order of `TERMS`, (3, 2, n).

        Below and above; 0 where the term is, and NaN where FAR is unknown.
        """
        x = np.log(candidates.far_hz / far_threshold_hz)
        m = np.log(candidates.mchirp_det)
        errors = np.zeros((len(TERMS), 2, x.size))
        errors[0] = self.far.log_errors(x)
        if self.mchirp is not None:
            errors[1] = np.nan_to_num(self.mchirp.log_errors(m))
        if self.snr is not None:
            s = np.log(candidates.snr)
            errors[2] = np.nan_to_num(self.snr.log_errors(s, snr_features(x, m)))
        return errors


@dataclass(frozen=True, kw_only=True)
class ComponentDensities:
    """Densities of noise and of each class of signals, in the same variables.

    Attributes
    ----------
    noise
        Density of noise candidates.
    signals
        Density of each class of signals, in the order of ``ASTROPHYSICAL``.
    """

    noise: CandidateDensity
    signals: Mapping[Source, CandidateDensity]

    def __post_init__(self) -> None:
        if tuple(self.signals) != ASTROPHYSICAL:
            raise FitError(
                f"densities are of {[str(source) for source in self.signals]}, "
                f"where {[str(source) for source in ASTROPHYSICAL]} belong"
            )

    def __iter__(self) -> Iterator[CandidateDensity]:
        """Go through the densities in the order of ``Source``, noise last."""
        yield from self.signals.values()
        yield self.noise

    def log_errors(self, candidates: Candidates, *, far_threshold_hz: float) -> Floats:
        """Return the standard errors of each source's terms, (4, 3, 2, n), below and above."""
        return np.stack([d.log_errors(candidates, far_threshold_hz=far_threshold_hz) for d in self])

    def log_bayes_factors(self, candidates: Candidates, *, far_threshold_hz: float) -> Floats:
        """Return ln f_a / b, (n, 3): each class against noise; NaN where FAR is unknown."""
        noise = self.noise.log_pdf(candidates, far_threshold_hz=far_threshold_hz)
        signals = [
            density.log_pdf(candidates, far_threshold_hz=far_threshold_hz)
            for density in self.signals.values()
        ]
        return np.stack(signals, axis=1) - noise[:, None]


def snr_features(log_far_ratio: Floats, log_mchirp: Floats) -> Floats:
    """Return the features (n, 4) that predict ln SNR: 1, ln FAR, ln mchirp and its square."""
    x = np.maximum(log_far_ratio, LOUDEST_LOG_FAR_RATIO)
    return np.stack([np.ones_like(x), x, log_mchirp, log_mchirp**2], axis=-1)
