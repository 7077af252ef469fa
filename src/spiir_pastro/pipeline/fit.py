"""Fit the composite model: a training set and localised events in, a model with provenance out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from spiir_pastro.domain import ASTROPHYSICAL
from spiir_pastro.errors import FitError
from spiir_pastro.io.artifact import ModelArtifact
from spiir_pastro.io.distances import LocalisedEvents
from spiir_pastro.io.noise_statistics import read_noise_statistics
from spiir_pastro.io.triggers import to_candidates
from spiir_pastro.models.components import ComponentDensities
from spiir_pastro.models.count_summary import CountSummary
from spiir_pastro.models.counts import CountPosterior, fit_counts
from spiir_pastro.models.distance_fit import fit_distance
from spiir_pastro.models.fitting import fit_densities
from spiir_pastro.models.kernels import effective_size
from spiir_pastro.models.mass_contour import MassContourClassifier
from spiir_pastro.models.noise_histogram import NoiseHistogram, fit_noise_snr
from spiir_pastro.models.pastro import PastroModel
from spiir_pastro.pipeline.sensitivity import rates_of
from spiir_pastro.pipeline.training import (
    FitSettings,
    TrainingSet,
    fingerprints,
    reference_of,
)

__all__ = ["fit"]


def fit(
    training: TrainingSet,
    distances: LocalisedEvents,
    *,
    settings: FitSettings | None = None,
    noise_statistics: Sequence[Path] = (),
) -> ModelArtifact:
    """Fit densities on labelled candidates, then count all of them.

    Parameters
    ----------
    training
        See `spiir_pastro.pipeline.training`.
    distances
        Events that BAYESTAR has localised.
    settings
        Choices; None for the defaults.
    noise_statistics
        SPIIR statistics files of the banks, for the SNR of noise; none to take the candidates'.

    Raises
    ------
    FitError
        If the candidates or distances do not determine a model.
    """
    settings = settings or FitSettings()
    threshold = settings.far_threshold_hz
    labelled = training.labelled
    histograms = [read_noise_statistics(path) for path in noise_statistics]
    densities = fit_densities(
        to_candidates(labelled),
        is_signal=labelled["is_signal"].to_numpy(),
        classes=labelled["source_class"].fill_null("").to_numpy().astype(np.str_),
        reference=training.reference or reference_of(distances, settings=settings.densities),
        far_threshold_hz=threshold,
        settings=settings.densities,
        weights=_weights(labelled),
    )
    if histograms:
        densities = _with_noise_snr(densities, histograms, settings)
    factors = densities.log_bayes_factors(
        to_candidates(training.counted), far_threshold_hz=threshold
    )
    posterior = fit_counts(factors, prior=settings.prior)
    model = PastroModel(
        far_threshold_hz=threshold,
        densities=densities,
        counts=CountSummary.of(posterior),
        contour=MassContourClassifier(
            distance=fit_distance(*distances.columns, estimator=settings.distance_estimator),
            boundaries=settings.boundaries,
            mchirp_relative_error=settings.mchirp_relative_error,
        ),
        sharing=settings.sharing,
    )
    gps_ns = training.counted["gps_ns"]
    provenance = {
        **training.provenance,
        "settings": {**asdict(settings), "sharing": str(settings.sharing)},
        "effective_signals": _effective_signals(labelled),
        "rates": _rates(posterior, training),
        **({"noise_statistics": _described(noise_statistics, histograms)} if histograms else {}),
        "candidates": training.counted.height,
        "gps_span_ns": [gps_ns.min(), gps_ns.max()],
        "versions": {name: metadata.version(name) for name in ("spiir-pastro", "numpy", "scipy")},
    }
    return ModelArtifact(
        model=model, provenance=provenance, compressed_counts=posterior.as_mapping()
    )


def _weights(labelled: pl.DataFrame) -> NDArray[np.float64] | None:
    """Return the weight of each signal, (n,); None where signals are not reweighted."""
    if "weight" not in labelled.columns:
        return None
    return labelled["weight"].fill_null(1.0).to_numpy()


def _effective_signals(labelled: pl.DataFrame) -> dict[str, float]:
    """Return how many signals of equal weight those of each class are worth."""
    weights = _weights(labelled)
    every = np.ones(labelled.height) if weights is None else weights
    classes = labelled["source_class"].fill_null("").to_numpy()
    return {str(s): effective_size(every[classes == str(s)]) for s in ASTROPHYSICAL}


def _rates(posterior: CountPosterior, training: TrainingSet) -> dict[str, Any]:
    if not training.livetime_yr:
        return {"why_not": "the livetime of these candidates is not known"}
    return rates_of(posterior, training.livetime_yr, training.sensitivity)


def _with_noise_snr(
    densities: ComponentDensities, histograms: Sequence[NoiseHistogram], settings: FitSettings
) -> ComponentDensities:
    """Take the SNR of noise from statistics files."""
    if densities.noise.snr is None:
        raise FitError(
            "too few candidates have an SNR for statistics of noise to be compared with; "
            "fit without --noise-statistics"
        )
    snr = fit_noise_snr(
        histograms,
        far_threshold_hz=settings.far_threshold_hz,
        trials=settings.noise_trials,
        floor=settings.densities.density_floor,
    )
    return replace(densities, noise=replace(densities.noise, snr=snr))


def _described(
    paths: Sequence[Path], histograms: Sequence[NoiseHistogram]
) -> Sequence[Mapping[str, Any]]:
    """Say what statistics of noise were used."""
    return [
        {
            **file,
            "events": int(histogram.counts.sum()),
            "livetime_s": histogram.livetime_s,
            "slides": histogram.slides,
        }
        for file, histogram in zip(fingerprints(paths), histograms, strict=True)
    ]
