"""Evaluate a model on uploads, some of them known mergers, or on a processed campaign."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import polars as pl

from spiir_pastro.evaluation.comparison import Comparison
from spiir_pastro.evaluation.result import PROBABILITIES, SCORED, Evaluation, spans_of
from spiir_pastro.io.artifact import ModelArtifact
from spiir_pastro.io.gwtc import read_known_events
from spiir_pastro.io.trigger_files import read_triggers
from spiir_pastro.io.trigger_tables import to_candidates
from spiir_pastro.models.alternatives import alternatives
from spiir_pastro.models.count_summary import CountSummary
from spiir_pastro.models.counts import Prior, fit_counts
from spiir_pastro.models.fit_settings import FitSettings
from spiir_pastro.models.pastro import PastroModel
from spiir_pastro.pipeline.evaluations import write_evaluated
from spiir_pastro.pipeline.folds import Panel, scored_by
from spiir_pastro.pipeline.prediction import predict_rows
from spiir_pastro.pipeline.processed import open_processed
from spiir_pastro.pipeline.training import TrainingSet, from_processed, from_uploads, source_class
from spiir_pastro.report.evaluation import figures
from spiir_pastro.report.page import report_page
from spiir_pastro.selection.labelling import label_known
from spiir_pastro.selection.time_span import ALWAYS, During
from spiir_pastro.selection.uploads import select_uploads

FOLDS = 5


def evaluate_triggers(
    artifact: ModelArtifact,
    triggers_path: Path,
    *,
    known_events_path: Path | None = None,
    folds: int = FOLDS,
    during: During = ALWAYS,
) -> Evaluation:
    """Evaluate a model on a file of triggers, those of it that are independent candidates.

    Parameters
    ----------
    artifact
        The model.
    triggers_path
        Trigger CSV or Parquet; triggers are clustered and cut like those of a fit.
    known_events_path
        Known mergers; None for the committed GWTC table.
    folds
        In how many folds of time to fit anew for the scores, where the model was trained on the
        triggers; fewer than 2 for none.
    during
        Candidates of which time to judge.

    Raises
    ------
    FitError
        If there is none.
    """
    model = artifact.model
    events = read_known_events(known_events_path, boundaries=model.contour.boundaries)
    selection = select_uploads(
        read_triggers(triggers_path).triggers, events, far_threshold_hz=model.far_threshold_hz
    )
    triggers = during.of(selection.candidates).rename(
        {"is_known": "is_signal", "known_class": "source_class"}
    )
    training = partial(from_uploads, triggers_path, known_events_path=known_events_path)
    _, holdout, scored = scored_by(
        artifact,
        triggers,
        lambda settings: training(settings=settings),
        lambda panel: panel.predictions(triggers),
        folds=folds,
    )
    columns = [predict_rows(model, triggers)]
    if holdout.folds:
        columns.append(_as_scored(scored))
    candidates = pl.concat([triggers, *columns], how="horizontal")
    return Evaluation(
        candidates=candidates,
        known_mergers=_known_mergers(candidates, events),
        left_out=selection.left_out,
        alternatives=alternatives(model, to_candidates(triggers), scored["p_astro"].to_numpy()),
        far_threshold_hz=model.far_threshold_hz,
        holdout=holdout,
        scored_by="by models fitted without the candidate's span of time" if holdout.folds else "",
        data=triggers_path.name,
    )


def evaluate_processed(
    artifact: ModelArtifact,
    folder: Path,
    *,
    known_events_path: Path | None = None,
    folds: int = FOLDS,
    during: During = ALWAYS,
) -> Evaluation:
    """Evaluate a model on a processed campaign: injections found against the background.

    Injections are far more frequent than mergers, so that signals are counted anew among these
    candidates for the probabilities that are scored, without their labels; densities and all else
    are the model's. What the model itself says of each stands beside. Known mergers are judged
    with the model's own counts, among the candidates of the background runs.

    Parameters
    ----------
    artifact
        The model.
    folder
        What ``spiir-pastro process`` wrote.
    known_events_path
        Known mergers; None for the committed GWTC table.
    folds, during
        As in `evaluate_triggers`.

    Raises
    ------
    FitError
        If no candidate is of that time.
    """
    model = artifact.model
    settings = FitSettings(
        far_threshold_hz=model.far_threshold_hz, boundaries=model.contour.boundaries
    )
    campaign = from_processed(folder, settings=settings)
    injections = during.of(campaign.labelled).sort("gps_ns", "event_id", maintain_order=True)
    prior: Prior = artifact.compressed_counts.get("prior", settings.prior)
    panel, holdout, scored = scored_by(
        artifact,
        injections,
        lambda settings: from_processed(folder, settings=settings),
        lambda panel: _recounted(panel, injections, prior),
        folds=folds,
    )
    events = read_known_events(known_events_path, boundaries=settings.boundaries)
    counted = replace(campaign, counted=during.of(campaign.counted))
    searched = _searched(counted, events, model, panel)
    return Evaluation(
        candidates=pl.concat(
            [injections, predict_rows(model, injections), _as_scored(scored)], how="horizontal"
        ),
        known_mergers=_known_mergers(searched, events),
        alternatives=alternatives(model, to_candidates(injections), scored["p_astro"].to_numpy()),
        missed=_missed(folder, settings, during),
        far_threshold_hz=model.far_threshold_hz,
        truth="injection",
        searched=searched,
        holdout=holdout,
        scored_by="at the injections' rates"
        + (", by models fitted without the candidate's span of time" if holdout.folds else ""),
        data=campaign.data.description or folder.name,
    )


def _recounted(panel: Panel, injections: pl.DataFrame, prior: Prior) -> pl.DataFrame:
    """Judge with the counts of these candidates."""
    counts = CountSummary.of(fit_counts(panel.factors(injections), prior=prior))
    return panel.predictions(injections, counts=counts)


def _searched(
    campaign: TrainingSet, events: pl.DataFrame, model: PastroModel, panel: Panel
) -> pl.DataFrame:
    """Label and judge the candidates of the background runs."""
    search = label_known(campaign.counted, events, window_ns=campaign.known_window_ns)
    search = search.rename({"is_known": "is_signal"})
    columns = [predict_rows(model, search)]
    if panel.cuts_gps_ns:
        columns.append(_as_scored(panel.predictions(search)))
    return pl.concat([search, *columns], how="horizontal")


def _as_scored(predictions: pl.DataFrame) -> pl.DataFrame:
    return predictions.select(pl.col(name).alias(column) for name, column in SCORED.items())


def write_evaluation(
    evaluation: Evaluation,
    artifact: ModelArtifact,
    folder: Path,
    *,
    name: str,
    comparison: Comparison | None = None,
) -> Path:
    """Write the report, the tables, the figures and the metrics; return ``report.html``.

    Parameters
    ----------
    evaluation
        What to write.
    artifact
        The model evaluated.
    folder
        Where: ``report.html``, figures as PNG and SVG, and what `evaluations` lists.
    name
        Of the model, for people.
    comparison
        With an earlier evaluation.
    """
    # All of it is made before any is written: what interrupts the work leaves an earlier result.
    shown = {
        **figures(evaluation),
        "report.html": report_page(evaluation, artifact, name=name, comparison=comparison),
    }
    write_evaluated(evaluation, artifact, folder, name=name, shown=shown)
    return folder / "report.html"


def _missed(folder: Path, settings: FitSettings, during: During) -> pl.DataFrame | None:
    """Return the injections made in analysed data that gave no candidate, or one above the FAR.

    None where no injection was.
    """
    processed = open_processed(folder)
    parts = []
    for kind, prefix, far in (
        ("foreground", "injection_", "far_hz"),
        ("missed", "", "recovered_far_hz"),
    ):
        missed = ~(pl.col(far) <= settings.far_threshold_hz).fill_null(value=False)
        for bank, table in processed.tables(kind).items():
            lost = table.filter(pl.col(f"{prefix}analysed") & missed)
            parts.append(
                lost.select(
                    "injection_id",
                    bank=pl.lit(bank),
                    source_class=source_class(lost, settings.boundaries, prefix=prefix),
                    injection_gps_ns=f"{prefix}gps_ns",
                    injection_mchirp_det=f"{prefix}mchirp_det",
                    injection_distance_mpc=f"{prefix}distance_mpc",
                )
            )
    return pl.concat(parts).filter(during.holds("injection_gps_ns")) if parts else None


def _known_mergers(candidates: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Put SPIIR's most significant candidate, if any, beside each known merger of the spans."""
    inside = [pl.col("gps_ns").is_between(*span) for span in spans_of(candidates)]
    during = events.filter(pl.col("is_known"), pl.any_horizontal(pl.lit(value=False), *inside))
    scored = [column for column in SCORED.values() if column in candidates.columns]
    seen = (
        candidates.filter("is_signal")
        .sort("far_hz")
        .unique("known_event", keep="first", maintain_order=True)
        .select(
            "known_event",
            "event_id",
            "ifos",
            "far_hz",
            pl.col("snr").alias("spiir_snr"),
            pl.col("mchirp_det").alias("spiir_mchirp_det"),
            "p_astro",
            "p_astro_low",
            "p_astro_high",
            *PROBABILITIES,
            *scored,
        )
    )
    catalogue = during.select(
        "name",
        "gps",
        "catalogue",
        "source_class",
        catalogue_p_astro="p_astro",
        catalogue_mchirp_det="mchirp_det",
    )
    return catalogue.join(seen, left_on="name", right_on="known_event", how="left").sort("gps")
