"""Evaluate a model on uploaded triggers of which some are known mergers."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from spiir_pastro.evaluation.known import ClassAgreement, class_agreement
from spiir_pastro.evaluation.scores import Scores, reliability, score
from spiir_pastro.io.artifact import ModelArtifact
from spiir_pastro.io.atomic import write_atomically
from spiir_pastro.io.gwtc import read_known_events
from spiir_pastro.io.predictions import predict_triggers
from spiir_pastro.io.sources import read_triggers
from spiir_pastro.selection.uploads import select_uploads

__all__ = ["Evaluation", "evaluate_triggers", "write_evaluation"]

PROBABILITIES = ("BNS", "NSBH", "BBH", "Terrestrial")


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a model said of independent candidates, beside what is known of them.

    Attributes
    ----------
    candidates
        The clustered candidates with their probabilities, ``known_event``, ``known_class``,
        ``is_known``.
    known_mergers
        A row a known merger within the candidates' time span: SPIIR's most significant candidate
        and its probabilities, or nulls where SPIIR has none.
    left_out
        Runs whose uploads cannot be judged, and why.
    scores
        Of p_astro against being a known merger.
    expected_calibration_error
        Of the same.
    agreement
        Of classes, over the known mergers SPIIR has.
    """

    candidates: pl.DataFrame
    known_mergers: pl.DataFrame
    left_out: Mapping[str, str]
    scores: Scores
    expected_calibration_error: float
    agreement: ClassAgreement

    def metrics(self) -> Mapping[str, Any]:
        """Return flat names and numbers, for ``metrics.json``."""
        seen = self.known_mergers["event_id"].is_not_null().sum()
        return {
            **asdict(self.scores),
            "expected_calibration_error": self.expected_calibration_error,
            "known_mergers": self.known_mergers.height,
            "known_mergers_seen": int(seen),
            "class_agreement": self.agreement.fraction,
            "class_agreement_events": self.agreement.events,
        }


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
    said = predict_triggers(model, selection.candidates)
    candidates = pl.concat([selection.candidates, said.drop("event_id")], how="horizontal")
    p_astro, is_known = candidates["p_astro"].to_numpy(), candidates["is_known"].to_numpy()
    known_mergers = _known_mergers(candidates, events)
    probabilities = known_mergers.select(pl.col(PROBABILITIES).fill_null(np.nan)).to_numpy()
    classes = known_mergers["source_class"].fill_null("").to_numpy().astype(np.str_)
    return Evaluation(
        candidates=candidates,
        known_mergers=known_mergers,
        left_out=selection.left_out,
        scores=score(p_astro, is_known),
        expected_calibration_error=reliability(p_astro, is_known).expected_calibration_error,
        agreement=class_agreement(probabilities, classes),
    )


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Write ``metrics.json``, ``candidates.csv`` and ``known_mergers.csv``."""
    text = json.dumps(evaluation.metrics(), indent=1)
    write_atomically(folder / "metrics.json", text.encode() + b"\n")
    for name in ("candidates", "known_mergers"):
        table: pl.DataFrame = getattr(evaluation, name)
        write_atomically(folder / f"{name}.csv", table.write_csv().encode())


def _known_mergers(candidates: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Put SPIIR's most significant candidate, if any, beside each known merger of the span."""
    first, last = candidates["gps_ns"].min(), candidates["gps_ns"].max()
    during = events.filter(pl.col("is_known"), pl.col("gps_ns").is_between(first, last))
    seen = (
        candidates.filter("is_known")
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
