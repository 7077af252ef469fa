r"""Fit the densities of candidates of which some are signals.

Noise's densities come from the candidates that are no signals. Signals' FAR and SNR come from those
that are; their masses from the mass plane, see `spiir_pastro.models.source_model`.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import ASTROPHYSICAL, Candidates, MassBoundaries
from spiir_pastro.errors import FitError
from spiir_pastro.models.components import (
    LOG_FAR,
    LOG_MCHIRP,
    CandidateDensity,
    ComponentDensities,
    FactorDensity,
    Outliers,
    Values,
    values_of,
)
from spiir_pastro.models.conditional import ConditionalGrid, LeaningGrid
from spiir_pastro.models.densities import GridDensity
from spiir_pastro.models.far_density import PowerLaw, fit_far_density, fit_power_law
from spiir_pastro.models.kernels import effective_size, silverman_bandwidth
from spiir_pastro.models.mass_contour import shares_at_distances
from spiir_pastro.models.regression import StudentRegression
from spiir_pastro.models.response import Response
from spiir_pastro.models.source_model import (
    LEAST_DENSITY,
    Reach,
    SourceModel,
    likely_distances,
)

__all__ = ["DensitySettings", "fit_densities"]

Floats = NDArray[np.float64]
Labels = NDArray[np.bool_]

FEWEST_FOR_REGRESSION = 8
"""Rows: four coefficients, a scale, and a few to spare. With fewer SNR is left out."""

TYPICAL_FAR_EXPONENT = 0.1
"""Of recovered signals in ln FAR where none is known to fit it."""

LEAST_MCHIRP_WIDTH = 0.1
"""Of a kernel in noise's ln(chirp mass): one event must not make a spike."""

SNR_NODES = np.geomspace(6.0, 60.0, 7)
"""At which the mass contour shares outliers: in between they hardly differ."""


@dataclass(frozen=True, kw_only=True)
class DensitySettings:
    """What a person chooses about the densities.

    Attributes
    ----------
    mchirp_min, mchirp_max
        Chirp masses the templates of the banks have, solar masses; outside nothing is said.
    density_floor
        Weight of a uniform density in each that is estimated from noise or of FAR: what no sample
        excludes stays possible. It bounds what is said of signal against noise.
    outlier_fraction
        Signals whose masses no class explains. It bounds what is said of class against class.
    population_error, response_error
        Standard errors of the logarithms of a class's densities of chirp mass, and of mass ratio
        given that: how well the population and the response are known.
    population_events
        As how many known mergers the population counts where such are given: what is seen moves a
        class's density of chirp mass away from it.
    enough_for_a_class
        Signals from which a class gets its own laws of FAR and SNR.
    enough_for_curves
        Noise candidates from which SNR and mass ratio are described mass by mass.

    Raises
    ------
    FitError
        If a range is empty or a fraction none.
    """

    mchirp_min: float = 0.8
    mchirp_max: float = 200.0
    density_floor: float = 0.01
    outlier_fraction: float = 0.005
    population_error: float = 1.3
    response_error: float = 1.1
    population_events: float = 10.0
    enough_for_a_class: int = 200
    enough_for_curves: int = 2000

    def __post_init__(self) -> None:
        rules = {
            "0 < mchirp_min < mchirp_max": 0 < self.mchirp_min < self.mchirp_max < math.inf,
            "0 < density_floor < 1": 0 < self.density_floor < 1,
            "0 < outlier_fraction < 1": 0 < self.outlier_fraction < 1,
            "errors of 0 or more": (
                min(self.population_error, self.response_error) >= 0
                and max(self.population_error, self.response_error) < math.inf
            ),
            "population_events above 0": self.population_events > 0,
            "enough_for_a_class and enough_for_curves of 2 or more": (
                min(self.enough_for_a_class, self.enough_for_curves) >= 2
            ),
        }
        if broken := [rule for rule, holds in rules.items() if not holds]:
            raise FitError(f"densities need {'; '.join(broken)}, not {self}")

    @property
    def span(self) -> tuple[float, float]:
        """First and last ln(chirp mass in solar masses) of the densities."""
        return math.log(self.mchirp_min), math.log(self.mchirp_max)


def fit_densities(  # noqa: PLR0913  (each is another table or choice)
    candidates: Candidates,
    *,
    is_signal: Labels,
    classes: NDArray[np.str_],
    sources: SourceModel,
    reach: Reach,
    far_threshold_hz: float,
    boundaries: MassBoundaries | None = None,
    settings: DensitySettings | None = None,
    weights: Floats | None = None,
    is_merger: Labels | None = None,
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
    sources
        What there is of each class, and what a search recovers of it.
    reach
        How far detectors hear binaries.
    far_threshold_hz
        The threshold.
    boundaries
        Of the classes, for the outliers' mass contour; None for the defaults.
    settings
        Choices; None for the defaults.
    weights : (n,), optional
        Of the signals: how many of the population each stands for, on average one a class. A class
        whose weights tell less than ``enough_for_a_class`` equal ones has no laws of its own.
    is_merger : (n,), optional
        Which of the signals are mergers in the sky, so that they tell how masses are distributed
        there; injections do not. All of them if not given.

    Raises
    ------
    FitError
        If no noise candidate is left, a FAR is unknown or above the threshold.
    """
    settings = settings or DensitySettings()
    values = values_of(candidates, far_threshold_hz=far_threshold_hz)
    x, m = values.by_factor["far"], values.by_factor["mchirp"]
    is_merger = np.ones_like(is_signal) if is_merger is None else is_merger
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
    noise = _fit_noise(values, ~is_signal, settings)
    snr = {s: _fit_snr(values, rows, use=(1, 1, 1, 0), weights=weights) for s, rows in own.items()}
    use_snr = "snr" in noise and None not in snr.values()
    noise_w = noise.get("w")
    masses = sources.recovered(
        reach,
        span=settings.span,
        templates=noise_w if isinstance(noise_w, ConditionalGrid) else None,
        mchirp_error=settings.population_error,
        w_error=settings.response_error,
    )
    signals = {}
    for source in ASTROPHYSICAL:
        factors: dict[str, FactorDensity | None] = {
            "far": _fit_far(x, own[source], settings, weights),
            "mchirp": _seen(
                m, of_class[source] & is_merger, masses[source].mchirp, settings, weights
            )
            if "mchirp" in noise
            else None,
            "w": masses[source].w if "w" in noise else None,
            "snr": snr[source] if use_snr else None,
        }
        signals[source] = CandidateDensity(factors={k: f for k, f in factors.items() if f})
    if not use_snr:
        noise.pop("snr", None)
    return ComponentDensities(
        noise=CandidateDensity(factors=noise),
        signals=signals,
        outliers=_outliers(sources.response, reach, boundaries or MassBoundaries(), settings),
    )


def _outliers(
    response: Response, reach: Reach, boundaries: MassBoundaries, settings: DensitySettings
) -> Outliers:
    """Share what no class explains by the mass contour, at the distances its SNR makes likely."""
    log_mchirp = np.linspace(*settings.span, 200)
    mchirp = np.exp(log_mchirp)
    shares = [
        shares_at_distances(mchirp, *likely_distances(mchirp, snr, reach), boundaries=boundaries)
        for snr in SNR_NODES
    ]
    return Outliers(
        fraction=settings.outlier_fraction,
        mchirp_min=settings.mchirp_min,
        mchirp_max=settings.mchirp_max,
        w_as_noise=response.w_as_noise,
        log_mchirp_nodes=log_mchirp,
        log_snr_nodes=np.log(SNR_NODES),
        class_shares=np.moveaxis(np.stack(shares), (0, 1, 2), (2, 1, 0)).round(5),
    )


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


def _seen(
    m: Floats,
    rows: Labels,
    expected: GridDensity,
    settings: DensitySettings,
    weights: Floats | None,
) -> GridDensity:
    """Mix what the plane expects of a class with what was seen, by how many events either is."""
    rows = rows & ~np.isnan(m)
    size = _size(rows, weights)
    if not size:
        return expected
    mine = None if weights is None else weights[rows]
    seen = GridDensity.from_samples(
        m[rows],
        span=settings.span,
        bandwidth=max(silverman_bandwidth(m[rows], mine), LEAST_MCHIRP_WIDTH),
        floor=LEAST_DENSITY,
        size=expected.nodes.size,
        weights=mine,
    )
    return GridDensity.mixture([(settings.population_events, expected), (size, seen)])


def _fit_far(
    x: Floats, rows: Labels, settings: DensitySettings, weights: Floats | None
) -> FactorDensity:
    """Fit the law of signals' FARs: a curve where there are many, a power law where few."""
    size = _size(rows, weights)
    mine = None if weights is None else weights[rows]
    if size >= settings.enough_for_a_class:
        return fit_far_density(x[rows], floor=settings.density_floor, weights=mine)
    if size:
        scaled = None if mine is None else mine * (size / mine.sum())
        return fit_power_law(x[rows], weights=scaled)
    return PowerLaw(exponent=TYPICAL_FAR_EXPONENT, exponent_std=TYPICAL_FAR_EXPONENT / 2)


def _fit_snr(
    values: Values, rows: Labels, *, use: tuple[int, ...], weights: Floats | None = None
) -> StudentRegression | None:
    """Fit SNR given the features in use, or nothing where there are too few rows."""
    log_snr, features = values.by_factor["snr"], values.features
    rows = rows & np.isfinite(features.sum(axis=1) + log_snr)
    if _size(rows, weights) < FEWEST_FOR_REGRESSION:
        return None
    mine = None if weights is None else weights[rows]
    return StudentRegression.fit(log_snr[rows], features[rows] * use, weights=mine)


def _size(rows: Labels, weights: Floats | None) -> float:
    """Return how many signals of equal weight these are worth."""
    return float(rows.sum()) if weights is None else effective_size(weights[rows])
