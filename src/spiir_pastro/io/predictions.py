"""Predictions of many candidates, written down: a table or CSV."""

import itertools

import numpy as np
import polars as pl

from spiir_pastro.io.answers import PROBABILITY_COLUMNS
from spiir_pastro.io.trigger_tables import TriggerRead, from_csv, from_postcoh, to_candidates
from spiir_pastro.models.pastro import PastroModel, Predictions
from spiir_pastro.models.properties import MCHIRP_BINS, SourceProperties, source_properties
from spiir_pastro.models.source_model import Reach


def predict_table(model: PastroModel, table: pl.DataFrame) -> pl.DataFrame:
    """Give every row its probabilities; see `spiir_pastro.io.artifact.ModelArtifact.predict`."""
    read = from_postcoh(table) if "cohsnr" in table.columns else from_csv(table)
    return predict_read(model, read)


def predict_read(
    model: PastroModel,
    read: TriggerRead,
    *,
    intervals: bool = True,
    reach: Reach | None = None,
) -> pl.DataFrame:
    """Give triggers their probabilities and rejects their reasons, in the order of the source.

    Given the distances to which binaries are detected, also their properties.
    """
    said = as_table(model.predict(to_candidates(read.triggers), intervals=intervals))
    said = pl.concat([read.triggers.select("event_id"), said], how="horizontal")
    if reach is not None:
        properties = source_properties(model, to_candidates(read.triggers), reach)
        said = said.hstack(_properties_table(properties))
    if read.rejects.is_empty():
        return said
    unsaid = read.rejects.select("row", "event_id", note="rule")
    everything = pl.concat([said, unsaid.drop("row")], how="diagonal")
    # Rejects stand at their rows of the source, triggers fill the others in their order.
    kept = np.delete(np.arange(everything.height), unsaid["row"].to_numpy())
    return everything[np.argsort(np.concatenate([kept, unsaid["row"].to_numpy()]))]


def as_table(predictions: Predictions) -> pl.DataFrame:
    """Put predictions into columns, in their order; NaN becomes null."""
    columns = dict(zip(PROBABILITY_COLUMNS[1:], predictions.probabilities.T, strict=True))
    low, high = predictions.p_astro_interval.T
    columns = {"p_astro": predictions.p_astro, **columns, "p_astro_low": low, "p_astro_high": high}
    return pl.DataFrame(
        [
            *(pl.Series(name, values).fill_nan(None) for name, values in columns.items()),
            pl.Series("extrapolated", predictions.extrapolated.tolist(), pl.String),
            pl.Series("note", predictions.notes.tolist(), pl.String),
        ]
    )


def _properties_table(properties: SourceProperties) -> pl.DataFrame:
    """Put properties into columns; NaN becomes null."""
    low, median, high = properties.source_mchirp.T
    columns = {
        "has_ns": properties.has_ns,
        "has_mass_gap": properties.has_mass_gap,
        "has_remnant": properties.has_remnant,
        "source_mchirp_low": low,
        "source_mchirp": median,
        "source_mchirp_high": high,
    }
    for k, (left, right) in enumerate(itertools.pairwise(MCHIRP_BINS)):
        columns[f"source_mchirp_{left:g}_to_{right:g}"] = properties.mchirp_bins[:, k]
    return pl.DataFrame({name: pl.Series(v).fill_nan(None) for name, v in columns.items()})


def as_csv(predictions: pl.DataFrame) -> str:
    """Write a row a candidate; numbers that read back as the same floats."""
    return predictions.write_csv()
