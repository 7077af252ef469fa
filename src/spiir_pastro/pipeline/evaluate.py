"""Evaluate a model on uploaded triggers of which some are known mergers."""

import json
from pathlib import Path

import polars as pl

from spiir_pastro.evaluation.result import PROBABILITIES, Evaluation
from spiir_pastro.io.artifact import ModelArtifact
from spiir_pastro.io.atomic import write_atomically
from spiir_pastro.io.gwtc import read_known_events
from spiir_pastro.io.predictions import as_table
from spiir_pastro.io.sources import read_triggers
from spiir_pastro.io.triggers import to_candidates
from spiir_pastro.pipeline.alternatives import alternatives
from spiir_pastro.selection.uploads import select_uploads

__all__ = ["evaluate_triggers", "write_evaluation"]


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
    )


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Write ``metrics.json``, ``candidates.csv`` and ``known_mergers.csv``."""
    text = json.dumps(evaluation.metrics(), indent=1, allow_nan=False)
    write_atomically(folder / "metrics.json", text.encode() + b"\n")
    for name in ("candidates", "known_mergers"):
        table: pl.DataFrame = getattr(evaluation, name)
        write_atomically(folder / f"{name}.csv", table.write_csv().encode())


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
