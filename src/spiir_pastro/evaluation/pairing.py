"""Which events of two evaluations are the same: candidates, injections and known mergers."""

from collections.abc import Sequence

import polars as pl

from spiir_pastro.domain import Source
from spiir_pastro.evaluation.result import Span

_CLASSES = [str(source) for source in Source]
_CALLED_P_ASTRO = 0.5
_FATES = ("found", "counts", "heard", "right")


def in_both(first: Sequence[Span], second: Sequence[Span]) -> tuple[Span, ...]:
    """Intersect two unions of spans of time."""
    overlaps = ((max(a[0], b[0]), min(a[1], b[1])) for a in first for b in second)
    return tuple(sorted((start, end) for start, end in overlaps if start <= end))


def within(table: pl.DataFrame, time: str, spans: Sequence[Span]) -> pl.DataFrame:
    """Return the rows whose time, GPS nanoseconds, is in a span."""
    inside = [pl.col(time).is_between(start, end) for start, end in spans]
    return table.filter(pl.any_horizontal(inside)) if inside else table.clear()


def judged(candidates: pl.DataFrame, far_hz: float) -> pl.DataFrame:
    """Return the candidates with a probability and a FAR up to this."""
    return candidates.filter(pl.col("p_astro").is_not_null(), pl.col("far_hz") <= far_hz)


def keyed(candidates: pl.DataFrame) -> pl.DataFrame:
    """Name candidates by time and bank: the order of files and rows gives other event ids."""
    bank = pl.col("bank").fill_null("") if "bank" in candidates.columns else pl.lit("")
    keyed = candidates.with_columns(bank.cast(pl.String).alias("_bank"))
    return keyed.unique(["gps_ns", "_bank"], keep="first", maintain_order=True)


def beside(old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """Put the earlier predictions of each candidate beside those of now.

    ``p_true_before`` and ``p_true_after`` are the probabilities of what it is.
    """
    earlier = keyed(old).select(
        "gps_ns",
        "_bank",
        *(pl.col(name).alias(f"{name}_before") for name in _CLASSES),
        p_before="p_astro",
        was_signal="is_signal",
        p_true_before=p_true(),
    )
    return (
        keyed(new)
        .select(
            "event_id",
            "gps_ns",
            "_bank",
            "is_signal",
            *(pl.col(name).alias(f"{name}_after") for name in _CLASSES),
            p_after="p_astro",
            p_true_after=p_true(),
        )
        .join(earlier, on=["gps_ns", "_bank"], maintain_order="left")
    )


def p_true() -> pl.Expr:
    """``p_true``, the probability of what it is; null where a signal's class is not known."""
    truth = pl.when("is_signal").then("source_class").otherwise(pl.lit(str(Source.TERRESTRIAL)))
    given = pl.coalesce(pl.when(truth == name).then(name) for name in _CLASSES)
    return given.alias("p_true")


def injections_of(
    candidates: pl.DataFrame, missed: pl.DataFrame | None, spans: Sequence[Span], far_hz: float
) -> pl.DataFrame | None:
    """Return a row an injection and what became of it; None where injections are not known.

    Columns bank, injection_gps_ns, source_class; found (with a candidate below the FAR that matches
    in chirp mass, where that is known), counts (with any below the FAR), heard (p_astro of one half
    or more) and right (its class is the most probable).
    """
    if missed is None or "injection_gps_ns" not in candidates.columns:
        return None
    is_told = "is_matched" in candidates.columns
    matched = pl.col("is_matched") if is_told else pl.lit(value=True)
    found = candidates.filter(pl.col("injection_gps_ns").is_not_null()).select(
        "bank",
        "injection_gps_ns",
        "source_class",
        found=(pl.col("far_hz") <= far_hz) & matched,
        counts=pl.col("far_hz") <= far_hz,
        heard=(pl.col("p_astro") >= _CALLED_P_ASTRO).fill_null(value=False),
        right=(_most_probable() == pl.col("source_class")).fill_null(value=False),
    )
    lost = missed.select(
        "bank",
        "injection_gps_ns",
        "source_class",
        *(pl.lit(value=False).alias(name) for name in _FATES),
    )
    every = pl.concat([found, lost], how="vertical_relaxed")
    every = every.unique(["bank", "injection_gps_ns"], keep="first", maintain_order=True)
    return within(every, "injection_gps_ns", spans)


def same_injections(old: pl.DataFrame, new: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return a row an injection of the first, in both; what the second does not know it lost.

    Those that either has a candidate of count.
    """
    both = old.join(
        new, on=["bank", "injection_gps_ns"], how="left", suffix="_after", maintain_order="left"
    ).with_columns(pl.col(f"{name}_after").fill_null(value=False) for name in _FATES)
    either = pl.any_horizontal("counts", "counts_after")
    was = both.with_columns(counts=either)
    return was, was.with_columns(
        pl.col(f"{name}_after").alias(name) for name in _FATES if name != "counts"
    )


def only_first(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    """Return the candidates of the first, as `keyed`, that the second has not."""
    return first.join(second, on=["gps_ns", "_bank"], how="anti", maintain_order="left")


def mergers_beside(
    before: pl.DataFrame, after: pl.DataFrame, spans: Sequence[Span]
) -> pl.DataFrame:
    """Put the earlier predictions of each known merger in both spans beside those of now."""
    earlier = [
        within(
            one.with_columns(_gps_ns=(pl.col("gps") * 1e9).cast(pl.Int64)),
            "_gps_ns",
            spans,
        )
        for one in (before, after)
    ]
    old_columns = earlier[0].select(
        "name", class_in_before="source_class", class_before=_most_probable(), p_before="p_astro"
    )
    new_columns = earlier[1].select(
        "name", "source_class", class_after=_most_probable(), p_after="p_astro"
    )
    both = new_columns.join(
        old_columns, on="name", how="full", coalesce=True, maintain_order="left_right"
    )
    return both.select(
        "name",
        pl.coalesce("source_class", "class_in_before").alias("source_class"),
        "class_before",
        "class_after",
        "p_before",
        "p_after",
    )


def _most_probable() -> pl.Expr:
    """Name the class with the highest probability; null without a candidate."""
    highest = pl.max_horizontal(_CLASSES)
    return pl.coalesce(pl.when(pl.col(name) == highest).then(pl.lit(name)) for name in _CLASSES)


def has_moved(by: float) -> pl.Expr:
    """Tell which mergers were lost or found, changed their class, or p_astro by more than this."""
    one_is_absent = pl.col("p_before").is_null() != pl.col("p_after").is_null()
    far = (pl.col("p_after") - pl.col("p_before")).abs() > by
    return pl.any_horizontal(
        one_is_absent, far, pl.col("class_before") != pl.col("class_after")
    ).fill_null(value=False)
