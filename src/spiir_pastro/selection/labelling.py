"""Which triggers are known mergers: those within a second of a catalogue's event."""

import polars as pl

from spiir_pastro.selection.decontamination import KNOWN_WINDOW_NS


def label_known(
    triggers: pl.DataFrame, events: pl.DataFrame, *, window_ns: int = KNOWN_WINDOW_NS
) -> pl.DataFrame:
    """Add to each trigger the nearest catalogue event within the window, nanoseconds.

    ``events`` are as `spiir_pastro.io.gwtc.read_known_events` returns them. The triggers keep their
    order and get ``known_event`` (the event's name, null if there is none), ``known_class`` and
    ``is_known`` (false for marginal events and for no event).
    """
    named = events.select(
        "gps_ns",
        known_event="name",
        known_class="source_class",
        is_known="is_known",
    ).sort("gps_ns")
    return (
        triggers.with_row_index("_order")
        .sort("gps_ns")
        .join_asof(named, on="gps_ns", strategy="nearest", tolerance=window_ns)
        .sort("_order")
        .drop("_order")
        .with_columns(pl.col("is_known").fill_null(value=False))
    )
