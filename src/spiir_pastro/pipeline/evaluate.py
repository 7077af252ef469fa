"""Evaluate a model on uploads, some of them known mergers, or on a processed campaign."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from spiir_pastro.evaluation.result import PROBABILITIES, SCORED, Evaluation
from spiir_pastro.io.artifact import ModelArtifact
from spiir_pastro.io.atomic import write_atomically
from spiir_pastro.io.frames import read_frame
from spiir_pastro.io.gwtc import read_known_events
from spiir_pastro.io.predictions import as_table
from spiir_pastro.io.sources import read_triggers
from spiir_pastro.io.triggers import to_candidates
from spiir_pastro.models.count_summary import CountSummary
from spiir_pastro.models.counts import Prior, fit_counts
from spiir_pastro.pipeline.alternatives import alternatives
from spiir_pastro.pipeline.training import FitSettings, from_processed
from spiir_pastro.report.evaluation import write_figures
from spiir_pastro.report.page import Previous, write_report
from spiir_pastro.selection.known import label_known
from spiir_pastro.selection.uploads import select_uploads

__all__ = ["evaluate_processed", "evaluate_triggers", "write_evaluation"]

_CANDIDATE_COLUMNS = (
    "event_id",
    "gps_ns",
    "ifos",
    "bank",
    "far_hz",
    "snr",
    "mchirp_det",
    "p_astro",
    *PROBABILITIES,
    "p_astro_low",
    "p_astro_high",
    *SCORED.values(),
    "is_signal",
    "source_class",
    "known_event",
    "injection_id",
)


def evaluate_triggers(
    artifact: ModelArtifact, triggers_path: Path, *, known_events_path: Path | None = None
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
    """
    model = artifact.model
    events = read_known_events(known_events_path, boundaries=model.contour.boundaries)
    selection = select_uploads(
        read_triggers(triggers_path).triggers, events, far_threshold_hz=model.far_threshold_hz
    )
    triggers = selection.candidates.rename({"is_known": "is_signal", "known_class": "source_class"})
    said = model.predict(to_candidates(triggers))
    candidates = pl.concat([triggers, as_table(said)], how="horizontal")
    return Evaluation(
        candidates=candidates,
        known_mergers=_known_mergers(candidates, events),
        left_out=selection.left_out,
        alternatives=alternatives(model, to_candidates(triggers), said),
        data=triggers_path.name,
    )


def evaluate_processed(
    artifact: ModelArtifact, folder: Path, *, known_events_path: Path | None = None
) -> Evaluation:
    """Evaluate a model on a processed campaign: injections found against the background.

    Injections are far more frequent than mergers, so that signals are counted anew among these
    candidates for the probabilities that are scored, without their labels; densities and all else
    are the model's. What the model itself says of each stands beside. Known mergers are judged by
    the model as it is, among the candidates of the background runs.

    Parameters
    ----------
    artifact
        The model.
    folder
        What ``spiir-pastro process`` wrote.
    known_events_path
        Known mergers; None for the committed GWTC table.
    """
    model = artifact.model
    settings = FitSettings(
        far_threshold_hz=model.far_threshold_hz, boundaries=model.contour.boundaries
    )
    campaign = from_processed(folder, settings=settings)
    injections = campaign.labelled.sort("gps_ns", "event_id", maintain_order=True)
    factors = model.densities.log_bayes_factors(
        to_candidates(injections), far_threshold_hz=model.far_threshold_hz
    )
    prior: Prior = artifact.compressed_counts.get("prior", settings.prior)
    counts = CountSummary.of(fit_counts(factors, prior=prior))
    triggers = to_candidates(injections)
    said = replace(model, counts=counts).predict(triggers)
    scored = as_table(said).select(pl.col(name).alias(column) for name, column in SCORED.items())
    events = read_known_events(known_events_path, boundaries=settings.boundaries)
    search = label_known(campaign.counted, events, window_ns=campaign.known_window_ns)
    search = search.rename({"is_known": "is_signal"})
    judged = as_table(model.predict(to_candidates(search)))
    searched = pl.concat([search, judged], how="horizontal")
    return Evaluation(
        candidates=pl.concat(
            [injections, as_table(model.predict(triggers)), scored], how="horizontal"
        ),
        known_mergers=_known_mergers(searched, events),
        alternatives=alternatives(model, triggers, said),
        missed=_missed(folder, far_threshold_hz=model.far_threshold_hz),
        truth="injection",
        counts=np.append(counts.mean, counts.noise_mean),
        searched=searched,
        scored_by="at the injections' rates",
        data=folder.name,
    )


def write_evaluation(
    evaluation: Evaluation,
    artifact: ModelArtifact,
    folder: Path,
    *,
    name: str,
    previous: Previous | None = None,
) -> Path:
    """Write the report, the metrics, the tables and the figures; return ``report.html``.

    Parameters
    ----------
    evaluation
        What to write.
    artifact
        The model evaluated.
    folder
        Where: ``report.html``, ``metrics.json``, ``candidates.csv``, ``known_mergers.csv`` and
        figures as PNG and SVG.
    name
        Of the model, for people.
    previous
        What to compare with.
    """
    text = json.dumps(evaluation.metrics(), indent=1, allow_nan=False)
    write_atomically(folder / "metrics.json", text.encode() + b"\n")
    kept = [column for column in _CANDIDATE_COLUMNS if column in evaluation.candidates.columns]
    tables = {
        "candidates": evaluation.candidates.select(kept),
        "known_mergers": evaluation.known_mergers,
    }
    for stem, table in tables.items():
        write_atomically(folder / f"{stem}.csv", table.write_csv().encode())
    write_figures(evaluation.scored, evaluation.known_mergers, folder)
    page = folder / "report.html"
    write_report(page, evaluation, artifact, name=name, previous=previous)
    return page


def _missed(folder: Path, *, far_threshold_hz: float) -> pl.DataFrame | None:
    """Return the injections made in analysed data that gave no candidate, or one above the FAR.

    None where it is not known when data were analysed.
    """
    parts = []
    for kind, prefix in (("foreground", "injection_"), ("missed", "")):
        for path in sorted((folder / kind).glob("*.*")):
            table = read_frame(path)
            if f"{prefix}analysed" not in table.columns:
                return None
            within = pl.col("far_hz") <= far_threshold_hz if prefix else pl.lit(value=False)
            parts.append(
                table.filter(f"{prefix}analysed").select(
                    injection_mchirp_det=f"{prefix}mchirp_det",
                    injection_distance_mpc=f"{prefix}distance_mpc",
                    is_candidate=within.fill_null(value=False),
                )
            )
    every = pl.concat(parts)
    return None if every.is_empty() else every.filter(~pl.col("is_candidate")).drop("is_candidate")


def _known_mergers(candidates: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Put SPIIR's most significant candidate, if any, beside each known merger of the span."""
    first, last = candidates["gps_ns"].min(), candidates["gps_ns"].max()
    during = events.filter(pl.col("is_known"), pl.col("gps_ns").is_between(first, last))
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
