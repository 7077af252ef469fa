r"""Fit the densities of candidates of which some are signals.

Noise's densities come from the candidates that are no signals. Signals' FAR and SNR come from those
that are; their masses from the mass plane, see `spiir_pastro.models.source_model`.
"""

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import ASTROPHYSICAL, Candidates, MassBoundaries
from spiir_pastro.errors import FitError
from spiir_pastro.models.components import CandidateDensity, ComponentDensities, offered_templates
from spiir_pastro.models.densities import GridDensity
from spiir_pastro.models.density_settings import DensitySettings
from spiir_pastro.models.factor_laws import (
    LEAST_MCHIRP_WIDTH,
    Labelled,
    enough_alone,
    fit_measured,
    size_of,
)
from spiir_pastro.models.factors import FactorDensity, values_of
from spiir_pastro.models.kernels import silverman_bandwidth
from spiir_pastro.models.mass_contour import shares_at_distances
from spiir_pastro.models.outliers import Outliers
from spiir_pastro.models.response import Response
from spiir_pastro.models.source_model import LEAST_DENSITY, Reach, SourceModel, likely_distances

Floats = NDArray[np.float64]
Labels = NDArray[np.bool_]

SNR_NODES = np.geomspace(6.0, 60.0, 7)
"""At which the mass contour shares outliers: in between they hardly differ."""


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
    is_signal, classes : (n,)
        Which are known mergers, and of which class; empty where that is unknown.
    sources
        The population of each class, and the search's response.
    reach
        Distance to which the detectors are sensitive to binaries.
    boundaries
        Of the classes, for the outliers' mass contour; None for the defaults.
    weights : (n,), optional
        Of the signals: how many of the population each stands for, on average one a class. A class
        worth fewer than ``enough_for_a_class`` signals of equal weight has no laws of its own.
    is_merger : (n,), optional
        Which of the signals are real mergers, so that they tell the true distribution of masses;
        injections do not. All of them if not given.

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
    alone = candidates.n_detectors == 1
    labelled = Labelled(
        noise=~is_signal,
        signal=is_signal,
        of_class={source: is_signal & (classes == source) for source in ASTROPHYSICAL},
        weights=weights,
    )
    if not enough_alone(alone, is_signal, weights):
        labelled, alone = labelled & ~alone, np.zeros_like(alone)
    noise, *measured = fit_measured(values, labelled, alone, settings)
    masses = sources.recovered(
        reach,
        span=settings.span,
        templates=offered_templates(noise.get("w")),
        mchirp_error=settings.population_error,
        w_error=settings.response_error,
    )
    signals = {}
    for source, factors in zip(ASTROPHYSICAL, measured, strict=True):
        rows = labelled.of_class[source] & is_merger
        planes: dict[str, FactorDensity] = {
            "mchirp": _seen(m, rows, masses[source].mchirp, settings, weights),
            "w": masses[source].w,
        }
        factors |= {name: plane for name, plane in planes.items() if name in noise}
        signals[source] = CandidateDensity(factors=factors)
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


def _seen(
    m: Floats,
    rows: Labels,
    expected: GridDensity,
    settings: DensitySettings,
    weights: Floats | None,
) -> GridDensity:
    """Mix what the plane expects of a class with what was seen, by how many events either is."""
    rows = rows & ~np.isnan(m)
    size = size_of(rows, weights)
    if not size:
        return expected
    own = None if weights is None else weights[rows]
    seen = GridDensity.from_samples(
        m[rows],
        span=settings.span,
        bandwidth=max(silverman_bandwidth(m[rows], own), LEAST_MCHIRP_WIDTH),
        floor=LEAST_DENSITY,
        size=expected.nodes.size,
        weights=own,
    )
    return GridDensity.mixture([(settings.population_events, expected), (size, seen)])
