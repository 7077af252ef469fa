r"""Fit the composite model to candidates of which some are known mergers.

The noise densities come from the candidates that are no known merger, the signals' from those that
are, together with a *reference* of recovered chirp masses by class, from injections, which stands
for the classes nobody has seen enough of.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import ASTROPHYSICAL, Candidates, Source
from spiir_pastro.errors import FitError
from spiir_pastro.models.components import (
    LOG_MCHIRP,
    CandidateDensity,
    ComponentDensities,
    snr_features,
)
from spiir_pastro.models.conditional import ConditionalGrid
from spiir_pastro.models.densities import (
    GridDensity,
    LogDensity,
    PowerLaw,
    StudentRegression,
    fit_far_density,
    fit_power_law,
)

__all__ = ["MCHIRP_SPAN", "Reference", "fit_densities", "recovered_chirp_masses"]

Floats = NDArray[np.float64]
Labels = NDArray[np.bool_]

MCHIRP_SPAN = (math.log(0.5), math.log(200.0))
"""Chirp masses a template bank may hold, solar masses (natural logarithms)."""

FEWEST_FOR_REGRESSION = 8
ENOUGH_FOR_CURVES = 2000
"""Noise candidates from which SNR is described mass by mass."""

ENOUGH_FOR_A_CLASS = 200
"""Signals from which a class gets its own laws of FAR and SNR."""

TYPICAL_FAR_EXPONENT = 0.1
"""Of recovered signals in ln FAR where none is known to fit it."""

HEAVY_MCHIRP_MSUN = 30.0
MISRECOVERED_FRACTION = 0.3
"""Of mergers heavier than that, those whose recovered chirp mass is far off: 5 of 17 in O3a."""
MISRECOVERED_RATIOS = np.linspace(0.2, 0.4, 9)
"""Recovered over true chirp mass of those."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Recovered chirp masses of each class of signals, from injections.

    Attributes
    ----------
    mchirp_det
        Recovered detector-frame chirp masses by class, in solar masses.
    weight
        How many seen signals they count as; infinite to go by them alone.
    """

    mchirp_det: Mapping[Source, Floats]
    weight: float = 10.0


def fit_densities(
    candidates: Candidates,
    *,
    is_signal: Labels,
    classes: NDArray[np.str_],
    reference: Reference,
    far_threshold_hz: float,
) -> ComponentDensities:
    """Fit the densities of noise and signals.

    Parameters
    ----------
    candidates
        n independent candidates with FARs below the threshold.
    is_signal : (n,)
        Which are known mergers.
    classes : (n,)
        Their classes; empty where unknown. Not looked at for the rest.
    reference
        What chirp masses each class has, for classes seen seldom.
    far_threshold_hz
        The threshold.

    Raises
    ------
    FitError
        If no noise candidate is left, a FAR is unknown or above the threshold.
    """
    x = np.log(candidates.far_hz / far_threshold_hz)
    m, s = np.log(candidates.mchirp_det), np.log(candidates.snr)
    if not (x <= 0).all() or is_signal.all():
        raise FitError(
            f"{np.count_nonzero(~(x <= 0))} of {x.size} candidates have no FAR below "
            f"{far_threshold_hz} Hz and {np.count_nonzero(~is_signal)} are noise; "
            "fit on candidates below the threshold, most of them noise"
        )
    of_class = {source: is_signal & (classes == source) for source in ASTROPHYSICAL}
    # A class seen too seldom to speak for itself is described by all signals together.
    own = {
        source: rows if np.count_nonzero(rows) >= ENOUGH_FOR_A_CLASS else is_signal
        for source, rows in of_class.items()
    }
    features = snr_features(x, m)
    noise_snr = _fit_noise_snr(s, features, ~is_signal)
    signal_snr = {
        source: _fit_snr(s, features, rows, use=(1, 1, 1, 0)) for source, rows in own.items()
    }
    use_snr = noise_snr is not None and None not in signal_snr.values()
    noise = CandidateDensity(
        far=PowerLaw(exponent=1.0),
        mchirp=_density(m[~is_signal]),
        snr=noise_snr if use_snr else None,
    )
    signals = {
        source: CandidateDensity(
            far=_fit_far(x[own[source]]),
            mchirp=_class_density(m[of_class[source]], reference, source),
            snr=signal_snr[source] if use_snr else None,
        )
        for source in ASTROPHYSICAL
    }
    return ComponentDensities(noise=noise, signals=signals)


def recovered_chirp_masses(true_mchirp: Floats) -> Floats:
    """Spread true chirp masses, (n,), into recovered ones, with SPIIR's share of far-off values.

    Deterministic: each value stands for itself many times, a heavy one also for its far-off images,
    as often as happens.
    """
    images = MISRECOVERED_RATIOS.size
    copies = round(images / MISRECOVERED_FRACTION)
    heavy = true_mchirp > HEAVY_MCHIRP_MSUN
    far_off = true_mchirp[heavy, None] * MISRECOVERED_RATIOS
    right = np.repeat(true_mchirp, np.where(heavy, copies - images, copies))
    return np.concatenate([right, far_off.ravel()])


def _density(log_mchirp: Floats) -> GridDensity:
    return GridDensity.from_samples(log_mchirp[~np.isnan(log_mchirp)], span=MCHIRP_SPAN)


def _class_density(seen: Floats, reference: Reference, source: Source) -> GridDensity:
    expected = _density(np.log(reference.mchirp_det[source]))
    seen = seen[~np.isnan(seen)]
    if not seen.size or math.isinf(reference.weight):
        return expected
    return GridDensity.mixture([(reference.weight, expected), (seen.size, _density(seen))])


def _fit_far(x: Floats) -> LogDensity:
    """Fit the law of signals' FARs: a curve where there are many, a power law where few."""
    if x.size >= ENOUGH_FOR_A_CLASS:
        return fit_far_density(x)
    if x.size:
        return fit_power_law(x)
    return PowerLaw(exponent=TYPICAL_FAR_EXPONENT, exponent_std=TYPICAL_FAR_EXPONENT / 2)


def _fit_noise_snr(
    log_snr: Floats, features: Floats, rows: Labels
) -> StudentRegression | ConditionalGrid | None:
    """Fit noise's SNR given its chirp mass: a curve at each mass where there are many."""
    rows = rows & np.isfinite(features.sum(axis=1) + log_snr)
    if np.count_nonzero(rows) < ENOUGH_FOR_CURVES:
        return _fit_snr(log_snr, features, rows, use=(1, 0, 1, 1))
    return ConditionalGrid.from_samples(
        features[rows, LOG_MCHIRP], log_snr[rows], column=LOG_MCHIRP, span=MCHIRP_SPAN
    )


def _fit_snr(
    log_snr: Floats, features: Floats, rows: Labels, *, use: tuple[int, ...]
) -> StudentRegression | None:
    """Fit SNR given the features in use, or nothing where there are too few rows."""
    rows = rows & np.isfinite(features.sum(axis=1) + log_snr)
    if np.count_nonzero(rows) < FEWEST_FOR_REGRESSION:
        return None
    return StudentRegression.fit(log_snr[rows], features[rows] * use)
