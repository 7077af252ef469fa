r"""Fit the composite model to candidates of which some are known mergers.

The noise densities come from the candidates that are no known merger, the signals' from those that
are, together with a *reference* of recovered chirp masses by class (injections), which stands for
the classes nobody has seen enough of. Each reference counts as ten events.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import ASTROPHYSICAL, Candidates, Source
from spiir_pastro.errors import FitError
from spiir_pastro.models.components import CandidateDensity, ComponentDensities, snr_features
from spiir_pastro.models.densities import (
    GridDensity,
    LogDensity,
    PowerLaw,
    StudentRegression,
    fit_far_density,
    fit_power_law,
)

__all__ = ["MCHIRP_SPAN", "fit_densities", "recovered_chirp_masses"]

Floats = NDArray[np.float64]
Labels = NDArray[np.bool_]

MCHIRP_SPAN = (math.log(0.5), math.log(200.0))
"""Chirp masses a template bank may hold, solar masses (natural logarithms)."""

REFERENCE_WEIGHT = 10.0
"""How many seen events a class's reference counts as."""

FEWEST_FOR_REGRESSION = 8
ENOUGH_FOR_A_CLASS = 200
"""Signals from which a class gets its own laws of FAR and SNR."""

TYPICAL_FAR_EXPONENT = 0.1
"""Of recovered signals in ln FAR where none is known to fit it."""

MISRECOVERED_FRACTION = 8 / 47
"""Of real mergers SPIIR recovered with a chirp mass far below the catalogue's."""
MISRECOVERED_RATIOS = np.linspace(0.2, 0.4, 9)
"""Recovered over true chirp mass of those."""


def fit_densities(
    candidates: Candidates,
    *,
    is_signal: Labels,
    classes: NDArray[np.str_],
    reference_mchirp: Mapping[Source, Floats],
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
    reference_mchirp
        Recovered detector-frame chirp masses by class, in solar masses.
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
    noise_snr = _fit_snr(s, features, ~is_signal, use=(1, 0, 1, 1))
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
            mchirp=_class_density(m[of_class[source]], reference_mchirp[source]),
            snr=signal_snr[source] if use_snr else None,
        )
        for source in ASTROPHYSICAL
    }
    return ComponentDensities(noise=noise, signals=signals)


def recovered_chirp_masses(true_mchirp: Floats) -> Floats:
    """Spread true chirp masses, (n,), into recovered ones, with SPIIR's share of far-off values.

    Deterministic: each value stands for itself many times and for its far-off images as often as
    happens.
    """
    images = true_mchirp[:, None] * MISRECOVERED_RATIOS
    odds = (1 - MISRECOVERED_FRACTION) / MISRECOVERED_FRACTION
    copies = round(odds * MISRECOVERED_RATIOS.size)
    return np.concatenate([np.repeat(true_mchirp, copies), images.ravel()])


def _density(log_mchirp: Floats) -> GridDensity:
    return GridDensity.from_samples(log_mchirp[~np.isnan(log_mchirp)], span=MCHIRP_SPAN)


def _class_density(seen: Floats, reference_mchirp: Floats) -> GridDensity:
    reference = _density(np.log(reference_mchirp))
    seen = seen[~np.isnan(seen)]
    if not seen.size:
        return reference
    return GridDensity.mixture([(REFERENCE_WEIGHT, reference), (seen.size, _density(seen))])


def _fit_far(x: Floats) -> LogDensity:
    """Fit the law of signals' FARs: a curve where there are many, a power law where few."""
    if x.size >= ENOUGH_FOR_A_CLASS:
        return fit_far_density(x)
    if x.size:
        return fit_power_law(x)
    return PowerLaw(exponent=TYPICAL_FAR_EXPONENT, exponent_std=TYPICAL_FAR_EXPONENT / 2)


def _fit_snr(
    log_snr: Floats, features: Floats, rows: Labels, *, use: tuple[int, ...]
) -> StudentRegression | None:
    """Fit SNR given the features in use, or nothing where there are too few rows."""
    rows = rows & np.isfinite(features.sum(axis=1) + log_snr)
    if np.count_nonzero(rows) < FEWEST_FOR_REGRESSION:
        return None
    return StudentRegression.fit(log_snr[rows], features[rows] * use)
