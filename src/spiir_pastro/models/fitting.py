r"""Fit the composite model to candidates of which some are known mergers.

The noise densities come from the candidates that are no known merger, the signals' from those that
are, together with a *reference* of recovered chirp masses by class, from injections, which stands
for the classes nobody has seen enough of.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

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
from spiir_pastro.models.densities import GridDensity, LogDensity
from spiir_pastro.models.far_density import PowerLaw, fit_far_density, fit_power_law
from spiir_pastro.models.kernels import effective_size
from spiir_pastro.models.regression import StudentRegression

__all__ = ["DensitySettings", "Reference", "fit_densities"]

Floats = NDArray[np.float64]
Labels = NDArray[np.bool_]

FEWEST_FOR_REGRESSION = 8
"""Rows: four coefficients, a scale, and a few to spare. With fewer SNR is left out."""

TYPICAL_FAR_EXPONENT = 0.1
"""Of recovered signals in ln FAR where none is known to fit it."""

IMAGES = 9
"""Ratios that stand for the range of far-off ones: steps finer than the densities' kernels."""


@dataclass(frozen=True, kw_only=True)
class DensitySettings:
    """What a person chooses about the densities.

    Attributes
    ----------
    mchirp_min, mchirp_max
        Chirp masses a template bank may hold, solar masses.
    density_floor
        Weight of a uniform density in each estimated one: what no sample excludes stays possible.
    enough_for_a_class
        Signals from which a class gets its own laws of FAR and SNR.
    enough_for_curves
        Noise candidates from which SNR is described mass by mass.
    heavy_mchirp
        Mergers heavier than this, solar masses, are at times recovered far off.
    misrecovered_fraction
        How many of them: 5 of 17 in O3a.
    misrecovered_ratio_min, misrecovered_ratio_max
        Recovered over true chirp mass of those.

    Raises
    ------
    FitError
        If a range is empty or a fraction none.
    """

    mchirp_min: float = 0.5
    mchirp_max: float = 200.0
    density_floor: float = 0.01
    enough_for_a_class: int = 200
    enough_for_curves: int = 2000
    heavy_mchirp: float = 30.0
    misrecovered_fraction: float = 0.3
    misrecovered_ratio_min: float = 0.2
    misrecovered_ratio_max: float = 0.4

    def __post_init__(self) -> None:
        low, high = self.misrecovered_ratio_min, self.misrecovered_ratio_max
        share = self.misrecovered_fraction
        rules = {
            "0 < mchirp_min < mchirp_max": 0 < self.mchirp_min < self.mchirp_max < math.inf,
            "0 < density_floor < 1": 0 < self.density_floor < 1,
            "enough_for_a_class and enough_for_curves of 2 or more": (
                min(self.enough_for_a_class, self.enough_for_curves) >= 2
            ),
            "heavy_mchirp >= 0": self.heavy_mchirp >= 0,
            # Whole copies of every mass stand for the fraction: hundreds at the least of it.
            "misrecovered_fraction of 0, or 0.01 to 0.9": share == 0 or 0.01 <= share <= 0.9,
            "0 < misrecovered_ratio_min <= misrecovered_ratio_max": 0 < low <= high < math.inf,
        }
        if broken := [rule for rule, holds in rules.items() if not holds]:
            raise FitError(f"densities need {'; '.join(broken)}, not {self}")

    @property
    def span(self) -> tuple[float, float]:
        """First and last ln(chirp mass in solar masses) of the densities."""
        return math.log(self.mchirp_min), math.log(self.mchirp_max)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Recovered chirp masses of each class of signals, from injections.

    Attributes
    ----------
    mchirp_det
        Recovered detector-frame chirp masses by class, in solar masses.
    weight
        How many seen signals they count as; infinite to go by them alone.
    events
        How many independent injections they come from, by class; as many as chirp masses if not
        given.
    sample_weights
        Of each chirp mass, by class, up to a factor; equal where not given.
    """

    mchirp_det: Mapping[Source, Floats]
    weight: float = 10.0
    events: Mapping[Source, float] = field(default_factory=dict)
    sample_weights: Mapping[Source, Floats] = field(default_factory=dict)

    @classmethod
    def of_injections(
        cls,
        mchirp_det: Mapping[Source, Floats],
        *,
        settings: DensitySettings | None = None,
        weight: float = weight,
        sample_weights: Mapping[Source, Floats] | None = None,
    ) -> Self:
        """Spread the chirp masses of injections, by class, into recovered ones.

        Deterministic: each value stands for itself many times, a heavy one also for its far-off
        images, as often as happens.
        """
        settings = settings or DensitySettings()
        spread = {source: _images(masses, settings) for source, masses in mchirp_det.items()}
        given = sample_weights or {}
        return cls(
            mchirp_det={s: mchirp_det[s][rows] * ratios for s, (rows, ratios) in spread.items()},
            weight=weight,
            events={
                source: effective_size(given[source]) if source in given else masses.size
                for source, masses in mchirp_det.items()
            },
            sample_weights={source: w[spread[source][0]] for source, w in given.items()},
        )


def fit_densities(
    candidates: Candidates,
    *,
    is_signal: Labels,
    classes: NDArray[np.str_],
    reference: Reference,
    far_threshold_hz: float,
    settings: DensitySettings | None = None,
    weights: Floats | None = None,
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
    settings
        Choices; None for the defaults.
    weights : (n,), optional
        Of the signals: how many of the population each stands for, on average one a class. A class
        whose weights tell less than ``enough_for_a_class`` equal ones has no laws of its own.

    Raises
    ------
    FitError
        If no noise candidate is left, a FAR is unknown or above the threshold.
    """
    settings = settings or DensitySettings()
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
        source: rows if _size(rows, weights) >= settings.enough_for_a_class else is_signal
        for source, rows in of_class.items()
    }
    features = snr_features(x, m)
    noise_snr = _fit_noise_snr(s, features, ~is_signal, settings)
    signal_snr = {
        source: _fit_snr(s, features, rows, use=(1, 1, 1, 0), weights=weights)
        for source, rows in own.items()
    }
    use_snr = noise_snr is not None and None not in signal_snr.values()
    noise = CandidateDensity(
        far=PowerLaw(exponent=1.0),
        mchirp=_density(m[~is_signal], settings),
        snr=noise_snr if use_snr else None,
    )
    signals = {
        source: CandidateDensity(
            far=_fit_far(x, own[source], settings, weights),
            mchirp=_class_density(m, of_class[source], source, reference, settings, weights),
            snr=signal_snr[source] if use_snr else None,
        )
        for source in ASTROPHYSICAL
    }
    return ComponentDensities(noise=noise, signals=signals)


def _images(true_mchirp: Floats, settings: DensitySettings) -> tuple[NDArray[np.int64], Floats]:
    """Return which values stand for recovered ones, (k,), and recovered over true, (k,)."""
    rows = np.arange(true_mchirp.size)
    if not settings.misrecovered_fraction:
        return rows, np.ones(rows.size)
    far_off = np.linspace(settings.misrecovered_ratio_min, settings.misrecovered_ratio_max, IMAGES)
    copies = round(IMAGES / settings.misrecovered_fraction)
    heavy = true_mchirp > settings.heavy_mchirp
    right = np.repeat(rows, np.where(heavy, copies - IMAGES, copies))
    ratios = np.concatenate([np.ones(right.size), np.tile(far_off, int(heavy.sum()))])
    return np.concatenate([right, np.repeat(rows[heavy], IMAGES)]), ratios


def _size(rows: Labels, weights: Floats | None) -> float:
    """Return how many signals of equal weight these are worth."""
    return float(rows.sum()) if weights is None else effective_size(weights[rows])


def _density(
    log_mchirp: Floats,
    settings: DensitySettings,
    *,
    events: float | None = None,
    weights: Floats | None = None,
) -> GridDensity:
    known = ~np.isnan(log_mchirp)
    return GridDensity.from_samples(
        log_mchirp[known],
        span=settings.span,
        floor=settings.density_floor,
        events=events,
        weights=None if weights is None else weights[known],
    )


def _class_density(
    log_mchirp: Floats,
    rows: Labels,
    source: Source,
    reference: Reference,
    settings: DensitySettings,
    weights: Floats | None,
) -> GridDensity:
    """Mix what the reference expects with what was seen, by how many signals either is worth."""
    expected = _density(
        np.log(reference.mchirp_det[source]),
        settings,
        events=reference.events.get(source),
        weights=reference.sample_weights.get(source),
    )
    rows = rows & ~np.isnan(log_mchirp)
    size = _size(rows, weights)
    if not size or math.isinf(reference.weight):
        return expected
    mine = None if weights is None else weights[rows]
    seen = _density(log_mchirp[rows], settings, weights=mine)
    return GridDensity.mixture([(reference.weight, expected), (size, seen)])


def _fit_far(
    x: Floats, rows: Labels, settings: DensitySettings, weights: Floats | None
) -> LogDensity:
    """Fit the law of signals' FARs: a curve where there are many, a power law where few."""
    size = _size(rows, weights)
    mine = None if weights is None else weights[rows]
    if size >= settings.enough_for_a_class:
        return fit_far_density(x[rows], floor=settings.density_floor, weights=mine)
    if size:
        scaled = None if mine is None else mine * (size / mine.sum())
        return fit_power_law(x[rows], weights=scaled)
    return PowerLaw(exponent=TYPICAL_FAR_EXPONENT, exponent_std=TYPICAL_FAR_EXPONENT / 2)


def _fit_noise_snr(
    log_snr: Floats, features: Floats, rows: Labels, settings: DensitySettings
) -> StudentRegression | ConditionalGrid | None:
    """Fit noise's SNR given its chirp mass: a curve at each mass where there are many."""
    rows = rows & np.isfinite(features.sum(axis=1) + log_snr)
    if np.count_nonzero(rows) < settings.enough_for_curves:
        return _fit_snr(log_snr, features, rows, use=(1, 0, 1, 1))
    return ConditionalGrid.from_samples(
        features[rows, LOG_MCHIRP],
        log_snr[rows],
        column=LOG_MCHIRP,
        span=settings.span,
        floor=settings.density_floor,
    )


def _fit_snr(
    log_snr: Floats,
    features: Floats,
    rows: Labels,
    *,
    use: tuple[int, ...],
    weights: Floats | None = None,
) -> StudentRegression | None:
    """Fit SNR given the features in use, or nothing where there are too few rows."""
    rows = rows & np.isfinite(features.sum(axis=1) + log_snr)
    if _size(rows, weights) < FEWEST_FOR_REGRESSION:
        return None
    mine = None if weights is None else weights[rows]
    return StudentRegression.fit(log_snr[rows], features[rows] * use, weights=mine)
