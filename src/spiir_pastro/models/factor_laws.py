"""Fit the laws of what a search measures: FAR and SNR of noise and signals, and noise's templates.

A class with too few signals for laws of its own takes those of all signals together. Candidates of
one detector have laws of their own where enough of them are there, or none.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import Source
from spiir_pastro.models.components import ByDetectors
from spiir_pastro.models.conditional import ConditionalGrid, LeaningGrid
from spiir_pastro.models.densities import GridDensity
from spiir_pastro.models.density_settings import DensitySettings
from spiir_pastro.models.factors import LOG_FAR, LOG_MCHIRP, FactorDensity, Values
from spiir_pastro.models.far_density import PowerLaw, fit_far_density, fit_power_law
from spiir_pastro.models.kernels import effective_size, silverman_bandwidth
from spiir_pastro.models.regression import StudentRegression

Floats = NDArray[np.float64]
Labels = NDArray[np.bool_]

FEWEST_NOISE_ALONE, FEWEST_SIGNALS_ALONE = 200, 30
"""Fewest candidates of one detector for laws of their own: with fewer signals the exponent
of their FARs is known to a fifth only. With fewer, such candidates get no probability."""

FEWEST_FOR_REGRESSION = 8
"""Rows: four coefficients, a scale, and a few to spare. With fewer SNR is left out."""

TYPICAL_FAR_EXPONENT = 0.1
"""Of recovered signals in ln FAR where none is known to fit it."""

LEAST_MCHIRP_WIDTH = 0.1
"""Of a kernel in noise's ln(chirp mass): one event must not make a spike."""


def enough_alone(alone: Labels, is_signal: Labels, weights: Floats | None) -> bool:
    """Whether there are enough noise and signals of one detector for laws of their own."""
    noise, signals = np.count_nonzero(alone & ~is_signal), size_of(alone & is_signal, weights)
    return bool(noise >= FEWEST_NOISE_ALONE and signals >= FEWEST_SIGNALS_ALONE)


@dataclass(frozen=True, kw_only=True, eq=False)
class Labelled:
    """Noise, signals of any class, and those of each, as masks of the candidates."""

    noise: Labels
    signal: Labels
    of_class: Mapping[Source, Labels]
    weights: Floats | None

    def __and__(self, rows: Labels) -> "Labelled":
        of_class = {source: own & rows for source, own in self.of_class.items()}
        return replace(self, noise=self.noise & rows, signal=self.signal & rows, of_class=of_class)

    def own(self, enough: float) -> list[Labels]:
        """Return the signals that give each class its laws: all together where it has too few."""
        return [
            rows if size_of(rows, self.weights) >= enough else self.signal
            for rows in self.of_class.values()
        ]


def _fit_all(
    values: Values, labelled: Labelled, settings: DensitySettings
) -> list[dict[str, FactorDensity]]:
    """Fit the laws of what the search measured: those of noise, then each class's."""
    weights, own = labelled.weights, labelled.own(settings.enough_for_a_class)
    noise = _fit_noise(values, labelled.noise, settings)
    far = [_fit_far(values.by_factor["far"], rows, settings, weights) for rows in own]
    laws: list[dict[str, FactorDensity]] = [noise, *({"far": law} for law in far)]
    snr = [_fit_snr(values, rows, use=(1, 1, 1, 0), weights=weights) for rows in own]
    # SNR is used where noise and every class have a law of it, or not at all.
    if "snr" not in noise or None in snr:
        noise.pop("snr", None)
        return laws
    return [noise, *({**law, "snr": one} for law, one in zip(laws[1:], snr, strict=True) if one)]


def fit_measured(
    values: Values, labelled: Labelled, alone: Labels, settings: DensitySettings
) -> list[dict[str, FactorDensity]]:
    """Fit the laws of what was measured, where there are such of candidates of one detector too."""
    together = _fit_all(values, labelled & ~alone, settings)
    if not alone.any():
        return together
    single = _fit_all(values, labelled & alone, settings)
    rows = [labelled.noise, *labelled.own(settings.enough_for_a_class)]
    return [
        _beside(of_many, of_one, *_fraction(alone, component, labelled.weights))
        for of_many, of_one, component in zip(together, single, rows, strict=True)
    ]


def _beside(
    together: Mapping[str, FactorDensity],
    alone: Mapping[str, FactorDensity],
    fraction: float,
    fraction_std: float,
) -> dict[str, FactorDensity]:
    """Put laws of candidates of one detector beside those of others.

    FAR's is of the number of detectors too; the other factors are given it.
    """
    both: dict[str, FactorDensity] = {
        name: ByDetectors(alone=alone[name], together=law)
        for name, law in together.items()
        if name in alone
    }
    far = ByDetectors(
        alone=alone["far"],
        together=together["far"],
        fraction_alone=fraction,
        fraction_std=fraction_std,
    )
    return {**both, "far": far}


def _fraction(alone: Labels, rows: Labels, weights: Floats | None) -> tuple[float, float]:
    """Return the fraction of candidates of one detector alone, and its standard error.

    Mean and standard deviation under Jeffreys' prior.
    """
    row_weights = None if weights is None else weights[rows]
    n = size_of(rows, weights)
    mean = (n * float(np.average(alone[rows], weights=row_weights)) + 0.5) / (n + 1)
    return mean, math.sqrt(mean * (1 - mean) / (n + 2))


def _fit_noise(values: Values, rows: Labels, settings: DensitySettings) -> dict[str, FactorDensity]:
    """Fit noise's density of each factor for which there is data."""
    factors: dict[str, FactorDensity] = {"far": PowerLaw(exponent=1.0)}
    m, w = values.by_factor["mchirp"][rows], values.by_factor["w"][rows]
    m_known = m[~np.isnan(m)]
    if m_known.size:
        width = max(silverman_bandwidth(m_known), LEAST_MCHIRP_WIDTH)
        factors["mchirp"] = GridDensity.from_samples(
            m_known, span=settings.span, bandwidth=width, floor=settings.density_floor
        )
    both = ~np.isnan(m + w)
    if both.sum() >= FEWEST_FOR_REGRESSION:
        factors["w"] = _fit_noise_w(m[both], w[both], settings)
    if snr := _fit_noise_snr(values, rows, settings):
        factors["snr"] = snr
    return factors


def _fit_noise_w(m: Floats, w: Floats, settings: DensitySettings) -> ConditionalGrid:
    """Fit noise's mass ratio given its chirp mass."""
    return ConditionalGrid.from_samples(
        m,
        w,
        column=LOG_MCHIRP,
        span=settings.span,
        floor=settings.density_floor,
        ends=(0.0, 1.0),
    )


def _fit_noise_snr(
    values: Values, rows: Labels, settings: DensitySettings
) -> StudentRegression | LeaningGrid | None:
    """Fit noise's SNR given FAR and chirp mass: where there are many, a curve at each mass."""
    line = _fit_snr(values, rows, use=(1, 1, 1, 1))
    if line is None:
        return None
    log_snr, features = values.by_factor["snr"], values.features
    rows = rows & np.isfinite(features.sum(axis=1) + log_snr)
    if np.count_nonzero(rows) < settings.enough_for_curves:
        return line
    slope = float(line.coefficients[LOG_FAR])
    centre = float(features[rows, LOG_FAR].mean())
    return LeaningGrid(
        column=LOG_FAR,
        slope=slope,
        slope_std=line.scale * math.sqrt(line.inverse_moments[LOG_FAR, LOG_FAR]),
        centre=centre,
        grid=ConditionalGrid.from_samples(
            features[rows, LOG_MCHIRP],
            log_snr[rows] - slope * (features[rows, LOG_FAR] - centre),
            column=LOG_MCHIRP,
            span=settings.span,
            floor=settings.density_floor,
        ),
    )


def _fit_far(
    x: Floats, rows: Labels, settings: DensitySettings, weights: Floats | None
) -> FactorDensity:
    """Fit the law of signals' FARs: a curve where there are many, a power law where few."""
    size = size_of(rows, weights)
    row_weights = None if weights is None else weights[rows]
    if size >= settings.enough_for_a_class:
        return fit_far_density(x[rows], floor=settings.density_floor, weights=row_weights)
    if size:
        scaled = None if row_weights is None else row_weights * (size / row_weights.sum())
        return fit_power_law(x[rows], weights=scaled)
    return PowerLaw(exponent=TYPICAL_FAR_EXPONENT, exponent_std=TYPICAL_FAR_EXPONENT / 2)


def _fit_snr(
    values: Values, rows: Labels, *, use: tuple[int, ...], weights: Floats | None = None
) -> StudentRegression | None:
    """Fit SNR given the features in use, or nothing where there are too few rows."""
    log_snr, features = values.by_factor["snr"], values.features
    rows = rows & np.isfinite(features.sum(axis=1) + log_snr)
    if size_of(rows, weights) < FEWEST_FOR_REGRESSION:
        return None
    row_weights = None if weights is None else weights[rows]
    return StudentRegression.fit(
        log_snr[rows], features[rows, : len(use)] * use, weights=row_weights
    )


def size_of(rows: Labels, weights: Floats | None) -> float:
    """Return how many signals of equal weight these are worth."""
    return float(rows.sum()) if weights is None else effective_size(weights[rows])
