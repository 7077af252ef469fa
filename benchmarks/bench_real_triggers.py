"""Predict later real triggers from earlier ones, beside the published recipe.

Uploads of one run are cut in five in time; each fifth is predicted by a model fitted on the other
four. Run with the data folder in SPIIR_PASTRO_DATA::

    python benchmarks/bench_real_triggers.py

The published recipe (``f = 3 snr*^3 / snr^4``, ``b = FAR / FAR*``) is fitted and scored on the same
fifths, as is the pair of FAR densities alone.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from spiir_pastro.evaluation.scores import score
from spiir_pastro.io.distance_tables import CAMPAIGN, read_distances
from spiir_pastro.io.gwtc import read_known_events
from spiir_pastro.io.trigger_files import read_triggers
from spiir_pastro.io.trigger_tables import to_candidates
from spiir_pastro.models.alternatives import published_log_bayes_factors
from spiir_pastro.models.components import CandidateDensity, ComponentDensities
from spiir_pastro.models.count_summary import CountSummary
from spiir_pastro.models.counts import fit_counts
from spiir_pastro.models.pastro import PastroModel
from spiir_pastro.pipeline.model_fit import fit
from spiir_pastro.pipeline.training import TrainingSet
from spiir_pastro.selection.uploads import select_uploads

FOLDS = 5
THRESHOLD_HZ = 3e-4
Predict = Callable[[pl.DataFrame, pl.DataFrame], np.ndarray]


def main() -> None:
    data = Path(os.environ.get("SPIIR_PASTRO_DATA", "../shared/data")) / "spiir"
    read = read_triggers(data / "gracedb_triggers_o1_o3a.csv")
    selection = select_uploads(read.triggers, read_known_events(), far_threshold_hz=THRESHOLD_HZ)
    candidates = selection.candidates
    fold = np.arange(candidates.height) * FOLDS // candidates.height
    known = candidates["is_known"].to_numpy()
    print(f"{candidates.height} candidates, {known.sum()} known mergers, {FOLDS} folds in time")
    print(f"{'model':34} log loss    AUC  expected")
    for name, predict in _MODELS.items():
        p = np.empty(candidates.height)
        for k in range(FOLDS):
            p[fold == k] = predict(candidates.filter(fold != k), candidates.filter(fold == k))
        s = score(p, known)
        print(f"{name:34} {s.log_loss:8.4f} {s.auc:6.4f} {s.expected_signals:9.1f}")


def _full(train: pl.DataFrame, test: pl.DataFrame) -> np.ndarray:
    return _fitted(train).predict(to_candidates(test)).p_astro


def _without(*names: str) -> Predict:
    def predict(train: pl.DataFrame, test: pl.DataFrame) -> np.ndarray:
        model = _fitted(train)
        full = model.densities
        densities = ComponentDensities(
            noise=_reduced(full.noise, names),
            signals={source: _reduced(d, names) for source, d in full.signals.items()},
            outliers=full.outliers,
        )
        factors = densities.log_bayes_factors(to_candidates(train), far_threshold_hz=THRESHOLD_HZ)
        counts = CountSummary.of(fit_counts(factors, prior="jeffreys"))
        reduced = replace(model, densities=densities, counts=counts)
        return reduced.predict(to_candidates(test), intervals=False).p_astro

    return predict


def _reduced(density: CandidateDensity, absent: tuple[str, ...]) -> CandidateDensity:
    kept = {name: factor for name, factor in density.factors.items() if name not in absent}
    return CandidateDensity(factors=kept)


def _toy(train: pl.DataFrame, test: pl.DataFrame) -> np.ndarray:
    factors = [
        published_log_bayes_factors(t["far_hz"].to_numpy(), t["snr"].to_numpy())
        for t in (train, test)
    ]
    # Practice pins the noise count to FAR* x livetime: about as many as there are candidates.
    counts = fit_counts(factors[0], expected_noise=float(train.height))
    return counts.probabilities(factors[1])[:, 0]


def _fitted(train: pl.DataFrame) -> PastroModel:
    labelled = train.rename({"is_known": "is_signal", "known_class": "source_class"})
    return fit(TrainingSet(labelled=labelled, counted=labelled), read_distances(CAMPAIGN)).model


_MODELS: dict[str, Predict] = {
    "published recipe": _toy,
    "FAR": _without("mchirp", "w", "snr"),
    "FAR, chirp mass": _without("w", "snr"),
    "FAR, chirp mass, SNR": _without("w"),
    "all (the default)": _full,
}

if __name__ == "__main__":
    main()
