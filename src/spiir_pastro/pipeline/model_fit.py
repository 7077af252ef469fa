"""Fit the composite model: a training set and localised events in, a model with provenance out."""

from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from spiir_pastro.domain import ASTROPHYSICAL, Source, SourceProbabilities, Trigger
from spiir_pastro.errors import FitError
from spiir_pastro.io.artifact import ModelArtifact
from spiir_pastro.io.distance_tables import CAMPAIGN, LocalisedEvents, read_distances
from spiir_pastro.io.horizons import read_horizons
from spiir_pastro.io.noise_statistics import read_noise_statistics
from spiir_pastro.io.populations import MASS_PLANE, read_populations
from spiir_pastro.io.provenance import DistanceRecord, NoiseStatistics, Provenance, Rates
from spiir_pastro.io.training_digest import TrainingDigest
from spiir_pastro.io.trigger_tables import to_candidates, to_trigger_list
from spiir_pastro.models.components import ComponentDensities
from spiir_pastro.models.count_summary import CountSummary
from spiir_pastro.models.counts import CountPosterior, fit_counts
from spiir_pastro.models.distance import PYCBC_LIVE_O3, DistanceModel
from spiir_pastro.models.distance_choice import FEWEST_TO_CHOOSE, choose_distance
from spiir_pastro.models.distance_fit import ESTIMATORS, Estimator, fit_distance
from spiir_pastro.models.early_warning import MASS_RATIO_UNKNOWN
from spiir_pastro.models.fit_settings import FitSettings
from spiir_pastro.models.fitting import fit_densities
from spiir_pastro.models.kernels import effective_size
from spiir_pastro.models.mass_contour import MassContourClassifier
from spiir_pastro.models.noise_histogram import NoiseHistogram, fit_noise_snr
from spiir_pastro.models.pastro import PastroModel
from spiir_pastro.models.source_model import SourceModel
from spiir_pastro.pipeline.sensitivity import rates_of
from spiir_pastro.pipeline.training import TrainingSet, fingerprints, fitted_response

REFERENCE_TRIGGERS = 10
"""From least to most probable, and half as many of the most."""


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
    response = fitted_response(labelled, settings.response)
    if training.early_warning_s > 0:
        response = replace(response, w_as_noise=MASS_RATIO_UNKNOWN)
    sources = SourceModel(
        populations=settings.population
        or read_populations(MASS_PLANE, boundaries=settings.boundaries),
        response=response,
        early_warning_s=training.early_warning_s,
    )
    densities = fit_densities(
        to_candidates(labelled),
        is_signal=labelled["is_signal"].to_numpy(),
        classes=labelled["source_class"].fill_null("").to_numpy().astype(np.str_),
        sources=sources,
        reach=sources.reach(read_horizons()),
        far_threshold_hz=threshold,
        boundaries=settings.boundaries,
        settings=settings.densities,
        weights=_weights(labelled),
        is_merger=_are_mergers(labelled),
    )
    if histograms:
        densities = _with_noise_snr(densities, histograms, settings)
    # What the densities are not of, they cannot count.
    judged = densities.judge(to_candidates(training.counted))
    counted = training.counted.filter(pl.Series(judged))
    factors = densities.log_bayes_factors(to_candidates(counted), far_threshold_hz=threshold)
    posterior = fit_counts(factors, prior=settings.prior)
    distance, chosen = _distance_model(distances, settings.distance_estimator)
    model = PastroModel(
        far_threshold_hz=threshold,
        densities=densities,
        counts=CountSummary.of(posterior),
        contour=MassContourClassifier(
            distance=distance,
            boundaries=settings.boundaries,
            mchirp_relative_error=settings.mchirp_relative_error,
        ),
        sharing=settings.sharing,
        sources=sources,
    )
    gps_ns = counted["gps_ns"].sort()
    provenance = Provenance(
        **msgspec.structs.asdict(training.data),
        settings=settings,
        effective_signals=_effective_signals(labelled),
        rates=_rates(posterior, training),
        noise_statistics=_described(noise_statistics, histograms),
        distances=chosen,
        candidates=counted.height,
        gps_span_ns=(gps_ns[0], gps_ns[-1]),
        versions={name: metadata.version(name) for name in ("spiir-pastro", "numpy", "scipy")},
    )
    return ModelArtifact(
        model=model,
        provenance=provenance,
        compressed_counts=posterior.as_mapping(),
        reference=_reference(model, counted),
        trained_on=TrainingDigest.of(labelled, counted),
        version=metadata.version("spiir-pastro"),
    )


def _distance_model(
    events: LocalisedEvents, estimator: Estimator
) -> tuple[DistanceModel, DistanceRecord | None]:
    """Fit the distance model, or let real events choose it; and say how they did."""
    if estimator != "best" or events.is_simulated or events.snr.size < FEWEST_TO_CHOOSE:
        return fit_distance(*events.columns, estimator=estimator), None
    campaign = read_distances(CAMPAIGN).columns
    fitted = {
        f"{name}, of the campaign that ships": fit_distance(*campaign, estimator=name)
        for name in ESTIMATORS
    }
    choice = choose_distance(
        *events.columns, others={"PyCBC Live's constants": PYCBC_LIVE_O3, **fitted}
    )
    return choice.model, DistanceRecord(
        events=events.snr.size, chosen=choice.chosen, scatter=dict(choice.scatter)
    )


def _reference(
    model: PastroModel, counted: pl.DataFrame
) -> list[tuple[Trigger, SourceProbabilities]]:
    """Choose triggers of every kind, from sure signals to sure noise, and assess them."""
    p_astro = model.predict(to_candidates(counted), intervals=False).p_astro
    judged = np.flatnonzero(np.isfinite(p_astro))
    order = judged[np.argsort(p_astro[judged], kind="stable")]
    places = np.unique(np.linspace(0, order.size - 1, REFERENCE_TRIGGERS).astype(int))
    rows = np.unique(np.concatenate([order[places], order[-REFERENCE_TRIGGERS // 2 :]]))
    return [(t, model.assess(t)) for t in to_trigger_list(counted[rows])]


def _are_mergers(labelled: pl.DataFrame) -> NDArray[np.bool_]:
    """Tell which signals are mergers in the sky, (n,): injections are not."""
    if "injection_mass1_det" not in labelled.columns:
        return labelled["is_signal"].to_numpy()
    return (
        labelled.select(pl.col("is_signal") & pl.col("injection_mass1_det").is_null())
        .to_series()
        .to_numpy()
    )


def _weights(labelled: pl.DataFrame) -> NDArray[np.float64] | None:
    """Return the weight of each signal, (n,); None where signals are not reweighted."""
    if "weight" not in labelled.columns:
        return None
    return labelled["weight"].fill_null(1.0).to_numpy()


def _effective_signals(labelled: pl.DataFrame) -> dict[Source, float]:
    """Return how many signals of equal weight those of each class are worth."""
    weights = _weights(labelled)
    every = np.ones(labelled.height) if weights is None else weights
    classes = labelled["source_class"].fill_null("").to_numpy()
    return {s: effective_size(every[classes == str(s)]) for s in ASTROPHYSICAL}


def _rates(posterior: CountPosterior, training: TrainingSet) -> Rates:
    if not training.livetime_yr:
        return Rates(why_not="the livetime of these candidates is not known")
    return rates_of(posterior, training.livetime_yr, training.sensitivity)


def _with_noise_snr(
    densities: ComponentDensities, histograms: Sequence[NoiseHistogram], settings: FitSettings
) -> ComponentDensities:
    """Take the SNR of noise from statistics files."""
    if "snr" not in densities.noise.factors:
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
    noise = replace(densities.noise, factors={**densities.noise.factors, "snr": snr})
    return replace(densities, noise=noise)


def _described(
    paths: Sequence[Path], histograms: Sequence[NoiseHistogram]
) -> tuple[NoiseStatistics, ...]:
    """Say what statistics of noise were used."""
    return tuple(
        NoiseStatistics(
            name=file.name,
            sha256=file.sha256,
            events=int(histogram.counts.sum()),
            livetime_s=histogram.livetime_s,
            slides=histogram.slides,
        )
        for file, histogram in zip(fingerprints(paths), histograms, strict=True)
    )
