"""Scores of candidates a model had not seen: refits in folds of time.

A model that was trained on a candidate knows it, and scores of that candidate flatter the model.
The time is then cut into folds with equally many candidates, and the candidates of each are judged
by a model fitted, with the same settings, on those of the others. Cuts stand on round times, so
that two tables which differ by a few candidates are cut at the same ones.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from spiir_pastro.errors import FitError
from spiir_pastro.evaluation.change import (
    Design,
    Tolerance,
    Verdict,
    changes_of_means,
    judge,
    source_surprise,
)
from spiir_pastro.evaluation.holdout import Holdout
from spiir_pastro.evaluation.pairing import p_true
from spiir_pastro.io.artifact import ModelArtifact
from spiir_pastro.io.distance_tables import CAMPAIGN, read_distances
from spiir_pastro.io.trigger_tables import to_candidates
from spiir_pastro.models.count_summary import CountSummary
from spiir_pastro.models.fit_settings import FitSettings
from spiir_pastro.models.pastro import PastroModel
from spiir_pastro.pipeline.model_fit import fit
from spiir_pastro.pipeline.prediction import predict_rows
from spiir_pastro.pipeline.training import TrainingSet

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_STEPS_PER_FOLD = 20


def cut_times(gps_ns: Ints, folds: int) -> tuple[int, ...]:
    """Return the GPS nanoseconds that part so many folds with about equally many candidates.

    They are multiples of 1, 2 or 5 times a power of ten seconds, at most a twentieth of a fold.
    """
    span_s = np.ptp(gps_ns) / 1e9
    most = max(span_s / (_STEPS_PER_FOLD * folds), 1e-9)
    power = 10.0 ** np.floor(np.log10(most))
    step_ns = max(round(max(k for k in (1, 2, 5) if k * power <= most) * power * 1e9), 1)
    # Cuts on round times: models fitted on slightly different tables are cut at the same.
    wanted = np.quantile(gps_ns.astype(np.float64), np.arange(1, folds) / folds)
    cuts = (np.rint(wanted / step_ns).astype(np.int64) * step_ns).tolist()
    return tuple(sorted(set(cuts)))


def fold_of(gps_ns: Ints, cuts_gps_ns: Sequence[int]) -> Ints:
    """Return the fold of each time, from 0; a time on a cut belongs to the later one."""
    return np.searchsorted(np.asarray(cuts_gps_ns, dtype=np.int64), gps_ns, side="right")


@dataclass(frozen=True, kw_only=True)
class Panel:
    """The models whose probabilities are scored: one, or one a fold."""

    models: Sequence[PastroModel]  # in the order of the folds
    cuts_gps_ns: tuple[int, ...] = ()  # between the folds

    def factors(self, triggers: pl.DataFrame) -> Floats:
        """Return the log Bayes factors of triggers, (n, classes), each by its fold's model."""
        parts = [
            model.densities.log_bayes_factors(
                to_candidates(part), far_threshold_hz=model.far_threshold_hz
            )
            for model, part in self._parts(triggers)
        ]
        return np.concatenate(parts)[self._back(triggers)]

    def predictions(
        self, triggers: pl.DataFrame, *, counts: CountSummary | None = None
    ) -> pl.DataFrame:
        """Return predictions of triggers, each by its fold's model; with other counts if given."""
        parts = []
        for model, part in self._parts(triggers):
            judge = model if counts is None else replace(model, counts=counts)
            parts.append(predict_rows(judge, part, intervals=False))
        return pl.concat(parts)[self._back(triggers)]

    def _parts(self, triggers: pl.DataFrame) -> Iterator[tuple[PastroModel, pl.DataFrame]]:
        fold = pl.Series(fold_of(triggers["gps_ns"].to_numpy(), self.cuts_gps_ns))
        for k, model in enumerate(self.models):
            yield model, triggers.filter(fold == k)

    def _back(self, triggers: pl.DataFrame) -> Ints:
        """Return where each trigger's row is when the folds' rows stand one after another."""
        fold = fold_of(triggers["gps_ns"].to_numpy(), self.cuts_gps_ns)
        # Sorting by fold puts the rows as the parts have them; the inverse permutation puts them
        # back.
        return np.argsort(np.argsort(fold, kind="stable"), kind="stable")


def scored_by(
    artifact: ModelArtifact,
    triggers: pl.DataFrame,
    training: Callable[[FitSettings], TrainingSet],
    ask: Callable[[Panel], pl.DataFrame],
    *,
    folds: int,
) -> tuple[Panel, Holdout, pl.DataFrame]:
    """Judge triggers by models that were not trained on them.

    Refits stand for the model only if it was fitted as they are. A model that does worse than they
    do on what it has seen was not: it is scored itself, as is one that has seen none of them.

    Parameters
    ----------
    triggers
        What is judged, with ``is_signal`` and ``source_class``.
    training
        Makes a training set of the same data, for refits.
    ask
        Asks a panel; returns what it says, a row a trigger.
    folds
        How many; fewer than 2 to let the model judge itself.
    """
    itself = Panel(models=(artifact.model,))
    own = ask(itself)
    seen = seen_in_training(artifact, triggers)
    if seen == 0:
        return itself, Holdout(seen=0, why_not=""), own
    if folds < 2:
        return itself, Holdout(seen=seen, why_not="no folds were asked for"), own
    cuts = cut_times(triggers["gps_ns"].to_numpy(), folds)
    try:
        models = _held_out_models(artifact, training(artifact.provenance.settings), cuts)
    except FitError as exc:
        return itself, Holdout(seen=seen, why_not=f"no models without them: {exc}"), own
    panel = Panel(models=models, cuts_gps_ns=cuts)
    refitted = ask(panel)
    # A model that has seen the candidates must do at least as well as models that have not.
    if _is_worse(own, refitted, triggers):
        return itself, Holdout(seen=seen, why_not=_WORSE_THAN_REFITS), own
    return panel, Holdout(seen=seen, cuts_gps_ns=cuts, why_not=""), refitted


_WORSE_THAN_REFITS = (
    "models fitted without them, as its settings say, do better than the model itself: it was "
    "fitted on other labels, or by other code"
)


def _is_worse(own: pl.DataFrame, refits: pl.DataFrame, triggers: pl.DataFrame) -> bool:
    """Tell whether one's log loss over the sources is larger beyond noise."""
    labels = triggers.select("is_signal", "source_class")
    p_of_truth = [table.hstack(labels).select(p_true())["p_true"] for table in (refits, own)]
    known = p_of_truth[0].is_not_null() & p_of_truth[1].is_not_null()
    sides = [[source_surprise(one.filter(known).to_numpy())] for one in p_of_truth]
    changes = changes_of_means(*sides, design=Design(paired=True, same_training=True))
    return Verdict.WORSE in judge(changes, Tolerance())


def seen_in_training(artifact: ModelArtifact, triggers: pl.DataFrame) -> int:
    """Count the triggers that a model was trained on, whatever table they came in."""
    return int(artifact.trained_on.knows(triggers).sum())


def _held_out_models(
    artifact: ModelArtifact, training: TrainingSet, cuts_gps_ns: Sequence[int]
) -> tuple[PastroModel, ...]:
    """Fit a model for each fold, as the model was but without the fold."""
    if artifact.provenance.noise_statistics:
        raise FitError("it took statistics files of noise, which are not at hand")
    settings = artifact.provenance.settings
    distances = read_distances(CAMPAIGN)
    models = []
    for k in range(len(cuts_gps_ns) + 1):
        labelled, counted = (
            table.filter(pl.Series(fold_of(table["gps_ns"].to_numpy(), cuts_gps_ns) != k))
            for table in (training.labelled, training.counted)
        )
        # Rates are of no use here, and the livetime without the fold is not known.
        rest = replace(training, labelled=labelled, counted=counted, livetime_yr=None)
        refitted = fit(rest, distances, settings=settings).model
        # Distances are of BAYESTAR's events, none of the candidates: the contour stays.
        models.append(replace(refitted, contour=artifact.model.contour))
    return tuple(models)
