"""What the report's page draws from: plain values, few enough for a page of some megabytes."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from spiir_pastro.domain import ASTROPHYSICAL, Source
from spiir_pastro.evaluation.reasons import disagreement
from spiir_pastro.evaluation.result import QUANTITIES, Evaluation
from spiir_pastro.io.triggers import EFF_DISTANCES, to_candidates
from spiir_pastro.models.explanation import explain
from spiir_pastro.models.pastro import PastroModel
from spiir_pastro.report.thinning import telling_rows

__all__ = ["event_payload", "report_payload"]

Floats = NDArray[np.float64]
Json = Mapping[str, Any]

MOST_ROWS = 4000
_MOST_UNCATALOGUED = 500
_ROC_POINTS = 400
_DIGITS = 6

_KEPT = (
    "event_id", "ifos", "bank", "far_hz", "snr", "mchirp_det", *EFF_DISTANCES, "p_astro",
    "p_astro_low", "p_astro_high", *map(str, Source), "is_signal", "source_class", "known_event",
    "note", "set", "injection_mchirp_det", "injection_distance_mpc",
)  # fmt: skip

_CANDIDATE_COLUMNS = (
    ("event_id", "event", "text"), ("bars", "", "bar"), ("p_astro", "p_astro", "probability"),
    *((str(s), str(s), "probability") for s in Source), ("is_signal", "signal", "yes"),
    ("source_class", "true class", "text"), ("known_event", "catalogue", "text"),
    ("far_hz", "FAR (Hz)", "number"), ("snr", "SNR", "number"),
    ("mchirp_det", "chirp mass (M☉)", "number"), ("ifos", "detectors", "text"),
    ("bank", "bank", "text"), ("gps", "GPS (s)", "gps"), ("note", "note", "text"),
)  # fmt: skip
_KNOWN_COLUMNS = (
    ("name", "merger", "text"), ("bars", "", "bar"), ("p_astro", "p_astro", "probability"),
    ("p_astro_low", "from", "probability"), ("p_astro_high", "to", "probability"),
    ("catalogue_p_astro", "catalogue's", "probability"), ("source_class", "its class", "text"),
    ("reason", "where we disagree, and why", "text"),
    *((str(s), str(s), "probability") for s in ASTROPHYSICAL),
    ("event_id", "candidate", "text"), ("ifos", "detectors", "text"),
    ("far_hz", "FAR (Hz)", "number"), ("spiir_snr", "SNR", "number"),
    ("spiir_mchirp_det", "chirp mass (M☉)", "number"),
    ("catalogue_mchirp_det", "catalogue's", "number"), ("catalogue", "catalogue", "text"),
    ("gps", "GPS (s)", "gps"),
)  # fmt: skip


def report_payload(evaluation: Evaluation, model: PastroModel) -> Json:
    """Return everything the page's plots and tables show.

    Of candidates beyond 4000 or so, those that tell most; see `telling_rows`.
    """
    candidates = evaluation.candidates
    search = candidates if evaluation.searched is None else evaluation.searched
    uncatalogued = _rows_of(evaluation.uncatalogued().head(_MOST_UNCATALOGUED), search)
    seen = evaluation.known_mergers.filter(pl.col("event_id").is_not_null())
    mergers = _rows_of(seen.with_columns(known_event="name"), search)
    named = np.unique(np.concatenate([mergers, uncatalogued]))
    keep = named if search is candidates else ()
    shown = telling_rows(candidates, most=MOST_ROWS, keep=keep)
    if search is candidates:
        rows = _rows([candidates[shown]], model)
        where = np.searchsorted(shown, named)
    else:
        rows = _rows([candidates[shown], search[named]], model)
        where = shown.size + np.arange(named.size)
    of_mergers, of_uncatalogued = (
        where[np.searchsorted(named, chosen)].tolist() for chosen in (mergers, uncatalogued)
    )
    return {
        **_constants(model, evaluation.counts),
        "truth": evaluation.truth,
        "rows": rows,
        "known": _known(evaluation.known_mergers, rows, of_mergers),
        "uncatalogued": of_uncatalogued,
        "calibration": _calibration(evaluation),
        "roc": _roc(evaluation),
        "efficiency": {
            name: {"label": label, "bins": bins}
            for name, label in QUANTITIES.items()
            if name in candidates.columns and (bins := _efficiency(evaluation, name))
        },
        "columns": {
            "candidates": _columns(_CANDIDATE_COLUMNS, {*rows, "bars"}, opens="event_id"),
            "known": _columns(
                _KNOWN_COLUMNS, {*evaluation.known_mergers.columns, "bars", "reason"}, opens="name"
            ),
        },
    }


def event_payload(triggers: pl.DataFrame, model: PastroModel) -> Json:
    """Return what the page of single candidates shows."""
    return {**_constants(model, None), "truth": "known", "rows": _rows([triggers], model)}


def _constants(model: PastroModel, counts: Floats | None) -> Json:
    """Return what every event is shown with: names, boundaries and counts, the model's last."""
    b = model.contour.boundaries
    own = np.append(model.counts.mean, model.counts.noise_mean)
    return {
        "sources": [str(source) for source in Source],
        "counts": [_rounded(own if counts is None else counts), _rounded(own)],
        "boundaries": {"m_min": b.m_min, "ns_max": b.ns_max, "m_max": b.m_max},
    }


def _rows_of(chosen: pl.DataFrame, candidates: pl.DataFrame) -> NDArray[np.int64]:
    """Find rows of candidates again, by what names them, in the order chosen."""
    names = [name for name in ("event_id", "known_event") if name in candidates.columns]
    numbered = candidates.select(names).with_row_index("row").unique(names, keep="first")
    found = chosen.select(names).join(numbered, on=names, nulls_equal=True, maintain_order="left")
    return found["row"].to_numpy().astype(np.int64)


def _rows(sets: Sequence[pl.DataFrame], model: PastroModel) -> dict[str, list[Any]]:
    """Return columns of candidates with what explains each; ``set`` says which set it is of."""
    shown = pl.concat(
        [s.with_columns(set=pl.lit(k), gps=pl.col("gps_ns") / 1e9) for k, s in enumerate(sets)],
        how="diagonal",
    )
    explained = explain(model, to_candidates(shown))
    rows: dict[str, list[Any]] = {"gps": [round(gps, 3) for gps in shown["gps"]]}
    for name in _KEPT:
        if name not in shown.columns or shown[name].null_count() == shown.height:
            continue
        column = shown[name]
        rows[name] = _rounded(column.to_numpy()) if column.dtype.is_float() else column.to_list()
    for term, logs in explained.log_factors.items():
        rows |= {f"{term}_{s}": _rounded(logs[:, k]) for k, s in enumerate(ASTROPHYSICAL)}
    mean, std = explained.source_mchirp.T
    rows |= {"source_mchirp": _rounded(mean), "source_mchirp_std": _rounded(std)}
    shares = explained.contour_shares.T
    rows |= {f"contour_{s}": _rounded(shares[k]) for k, s in enumerate(ASTROPHYSICAL)}
    return rows


def _known(
    mergers: pl.DataFrame, rows: Mapping[str, Sequence[Any]], where: Sequence[int]
) -> list[Json]:
    """Return a row a merger, with why the model disagrees and which candidate it is."""
    found: list[Json] = []
    seen = iter(where)
    for merger in mergers.to_dicts():
        row = None if merger["event_id"] is None else next(seen)
        called = None
        factors: dict[str, float] = {}
        if row is not None and merger["p_astro"] is not None:
            called = str(max(ASTROPHYSICAL, key=lambda source: merger[str(source)]))
            factors = {term: rows[f"{term}_{called}"][row] for term in ("far", "mchirp", "snr")}
        ours, theirs = merger.get("spiir_mchirp_det"), merger.get("catalogue_mchirp_det")
        reason = disagreement(
            event_id=merger["event_id"],
            p_astro=merger["p_astro"],
            called=called,
            catalogue_class=merger["source_class"],
            mchirp_ratio=ours / theirs if ours and theirs else None,
            log_factors=factors,
        )
        plain = {
            k: _round(v) if isinstance(v, float) and k != "gps" else v for k, v in merger.items()
        }
        found.append({**plain, "reason": reason or None, "row": row})
    return found


def _calibration(evaluation: Evaluation) -> list[Json]:
    bins = evaluation.calibration
    return [
        {
            "from": bins.edges[k],
            "to": bins.edges[k + 1],
            "p": _round(bins.mean_probability[k]),
            "fraction": _round(bins.fraction[k]),
            "low": _round(bins.interval[k, 0]),
            "high": _round(bins.interval[k, 1]),
            "count": int(bins.count[k]),
            "signals": int(bins.signals[k]),
        }
        for k in np.flatnonzero(bins.count)
    ]


def _roc(evaluation: Evaluation) -> Json:
    curve = evaluation.roc.thinned(_ROC_POINTS)
    thresholds = np.where(np.isinf(curve.thresholds), np.nan, curve.thresholds)
    return {
        "false_alarm": _rounded(curve.false_alarm),
        "efficiency": _rounded(curve.efficiency),
        "threshold": _rounded(thresholds),
    }


def _efficiency(evaluation: Evaluation, quantity: str) -> list[Json]:
    by_threshold = {t: evaluation.efficiency(quantity, threshold=t) for t in (0.5, 0.9)}
    edges = by_threshold[0.5].edges
    return [
        {
            "from": _round(edges[k]),
            "to": _round(edges[k + 1]),
            "count": int(count),
            **{
                f"{t:g}": {
                    "found": int(e.found[k]),
                    "fraction": _round(e.fraction[k]),
                    "low": _round(e.interval[k, 0]),
                    "high": _round(e.interval[k, 1]),
                }
                for t, e in by_threshold.items()
            },
        }
        for k, count in enumerate(by_threshold[0.5].count)
    ]


def _columns(wanted: Sequence[tuple[str, str, str]], there: set[str], *, opens: str) -> list[Json]:
    return [
        {"key": key, "label": label, "kind": kind, "opens": key == opens, "wide": key == "reason"}
        for key, label, kind in wanted
        if key in there
    ]


def _round(value: float) -> float | None:
    value = float(value)
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None


def _rounded(values: Floats) -> list[float | None]:
    return [_round(value) for value in values.tolist()]
