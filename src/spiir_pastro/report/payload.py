"""What the report's page draws from: plain values, few enough for a page of some megabytes.

Probabilities and what they are of are handed over to the last digit; other numbers are rounded.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from spiir_pastro.domain import (
    ASTROPHYSICAL,
    SOURCE_COLOURS,
    SOURCE_MARKS,
    Source,
    class_of_region,
)
from spiir_pastro.evaluation.reasons import disagreement
from spiir_pastro.evaluation.result import SCORED, Evaluation
from spiir_pastro.io.event_properties import property_plane
from spiir_pastro.io.trigger_tables import EFF_DISTANCES, to_candidates
from spiir_pastro.models.explanation import Explanation, explain
from spiir_pastro.models.mass_plane import partner_mass, region_bounds, regions
from spiir_pastro.models.pastro import PastroModel
from spiir_pastro.models.properties import MCHIRP_BINS, SourceProperties
from spiir_pastro.report import charts
from spiir_pastro.report.evidence import FACTS, Evidence, weigh
from spiir_pastro.report.numbers import utc
from spiir_pastro.report.thinning import DecisiveFars, interesting_rows, misjudged, telling_rows

Floats = NDArray[np.float64]
Json = Mapping[str, Any]

MOST_ROWS = 2000
_MOST_UNCATALOGUED = 500
_DIGITS = 6

_EXACT = {
    "far_hz", "snr", "mchirp_det", "mtotal_det", "p_astro", "p_astro_low", "p_astro_high",
    *map(str, Source), *SCORED.values(),
}  # fmt: skip
_KEPT = (
    "event_id", "ifos", "bank", "far_hz", "snr", "mchirp_det", "mtotal_det", *EFF_DISTANCES,
    "p_astro", "p_astro_low", "p_astro_high", *map(str, Source), *SCORED.values(), "is_signal",
    "source_class", "known_event", "extrapolated", "note", "set", "injection_mchirp_det",
    "injection_distance_mpc",
)  # fmt: skip

# Key, label, kind of cell, and from which width on it is shown: 1 phones, 2 screens, 3 on demand.
_CANDIDATE_COLUMNS = (
    ("event_id", "event", "text", 1), ("bars", "", "bar", 1), ("p_astro", "p_astro", "spread", 1),
    ("far_hz", "FAR (Hz)", "number", 2), ("snr", "SNR", "number", 2),
    ("mchirp_det", "chirp mass (M☉)", "number", 2), ("truth", "in truth", "text", 2),
    ("known_event", "catalogue", "text", 2), ("scored_p_astro", "scored", "probability", 2),
    *((str(s), str(s), "probability", 3) for s in Source), ("ifos", "detectors", "text", 3),
    ("bank", "bank", "text", 3), ("utc", "UTC", "text", 3), ("gps", "GPS (s)", "gps", 3),
    ("extrapolated", "extrapolated", "text", 3), ("note", "note", "text", 3),
)  # fmt: skip
_KNOWN_COLUMNS = (
    ("name", "merger", "text", 1), ("bars", "", "bar", 1), ("p_astro", "p_astro", "spread", 1),
    ("catalogue_p_astro", "catalogue's", "probability", 2), ("source_class", "class", "text", 2),
    ("reason", "where it disagrees, and why", "wide", 2), ("far_hz", "FAR (Hz)", "number", 3),
    *((str(s), str(s), "probability", 3) for s in ASTROPHYSICAL),
    ("event_id", "candidate", "text", 3), ("ifos", "detectors", "text", 3),
    ("spiir_snr", "SNR", "number", 3), ("spiir_mchirp_det", "chirp mass (M☉)", "number", 3),
    ("catalogue_mchirp_det", "catalogue's", "number", 3), ("catalogue", "catalogue", "text", 3),
    ("gps", "GPS (s)", "gps", 3),
)  # fmt: skip


def report_payload(evaluation: Evaluation, model: PastroModel) -> Json:
    """Return everything the page's plots and tables show.

    Of more than about 2000 candidates the most informative; see `telling_rows`.
    """
    candidates = evaluation.candidates
    search = candidates if evaluation.searched is None else evaluation.searched
    uncatalogued = _rows_of(evaluation.uncatalogued().head(_MOST_UNCATALOGUED), search)
    seen = evaluation.known_mergers.filter(pl.col("event_id").is_not_null())
    mergers = _rows_of(seen.with_columns(known_event="name"), search)
    interesting = interesting_rows(candidates)
    named = np.unique(np.concatenate([mergers, uncatalogued]))
    # What a table of mergers opens must be among the rows that the page has.
    keep = np.concatenate([named, interesting]) if search is candidates else interesting
    shown = telling_rows(candidates, most=MOST_ROWS, keep=keep)
    noise = "noise" if evaluation.truth == "injection" else "unknown"
    if search is candidates:
        rows = _rows([candidates[shown]], model, noise=noise)
        where = np.searchsorted(shown, named)
    else:
        rows = _rows([candidates[shown], search[named]], model, noise=noise)
        where = shown.size + np.arange(named.size)
    of_mergers, of_uncatalogued = (
        where[np.searchsorted(named, chosen)].tolist() for chosen in (mergers, uncatalogued)
    )
    return {
        **_constants(model),
        "truth": evaluation.truth,
        "scored_by": evaluation.scored_by,
        "fars": asdict(DecisiveFars.of(evaluation.scored)),
        "rows": rows,
        "interesting": np.searchsorted(shown, interesting).tolist(),
        "known": _known(evaluation.known_mergers, rows, of_mergers),
        "uncatalogued": of_uncatalogued,
        "charts": charts.all_charts(evaluation),
        "columns": {
            "candidates": _columns(_CANDIDATE_COLUMNS, {*rows, "bars"}, opens="event_id"),
            "known": _columns(
                _KNOWN_COLUMNS, {*evaluation.known_mergers.columns, "bars", "reason"}, opens="name"
            ),
        },
    }


def event_payload(triggers: pl.DataFrame, model: PastroModel) -> Json:
    """Return what the page of single candidates shows."""
    return {
        **_constants(model),
        "truth": "known",
        "scored_by": "",
        "rows": _rows([triggers], model),
    }


def _constants(model: PastroModel) -> Json:
    """Return what every event is shown with: names, colours, boundaries, a contour of the plane."""
    b = model.contour.boundaries
    primary = np.geomspace(2**0.2, 200, 240)
    return {
        "sources": [str(source) for source in Source],
        "colours": [SOURCE_COLOURS[source] for source in Source],
        "marks": [SOURCE_MARKS[source] for source in Source],
        "facts": FACTS,
        "boundaries": {"m_min": b.m_min, "ns_max": b.ns_max, "m_max": b.m_max},
        "mchirp_edges": rounded(np.array(MCHIRP_BINS)),
        "regions": [
            {"source": str(class_of_region(region)), "m2": m2, "m1": m1}
            for region in regions(b)
            for m2, m1 in [region_bounds(region, b)]
        ],
        "contour": [rounded(primary), rounded(partner_mass(primary, np.ones(1)))],
    }


def _rows_of(chosen: pl.DataFrame, candidates: pl.DataFrame) -> NDArray[np.int64]:
    """Find rows of candidates again, by what names them, in the order chosen."""
    names = [name for name in ("event_id", "known_event") if name in candidates.columns]
    wanted = chosen.select(names).with_row_index("wanted")
    numbered = candidates.select(names).with_row_index("row")
    # Ids of different files may agree, so all that names a candidate counts.
    found = wanted.join(numbered, on=names, nulls_equal=True, maintain_order="left_right")
    first = found.unique("wanted", keep="first", maintain_order=True)
    return first["row"].to_numpy().astype(np.int64)


def _rows(
    sets: Sequence[pl.DataFrame], model: PastroModel, *, noise: str = "noise"
) -> dict[str, list[Any]]:
    """Return columns of candidates with what explains each; ``set`` says which set it is of."""
    shown = pl.concat(
        [s.with_columns(set=pl.lit(k), gps=pl.col("gps_ns") / 1e9) for k, s in enumerate(sets)],
        how="diagonal",
    )
    rows: dict[str, list[Any]] = {
        "gps": [round(gps, 3) for gps in shown["gps"]],
        "utc": utc(shown["gps_ns"].to_numpy()),
    }
    for name in _KEPT:
        if name not in shown.columns:
            continue
        column = shown[name]
        if name not in _EXACT and column.null_count() == shown.height:
            continue
        exact = name in _EXACT or not column.dtype.is_float()
        rows[name] = column.to_list() if exact else rounded(column.to_numpy())
    if "is_signal" in rows:
        rows["truth"] = _truth(shown, noise)
        # As it is scored; what only the search has is not.
        rows["misjudged"] = misjudged(
            shown.with_columns(
                pl.coalesce(scored, name).alias(name)
                for name, scored in SCORED.items()
                if scored in shown.columns
            )
        ).tolist()
    candidates = to_candidates(shown)
    explained = explain(model, candidates)
    evidence = weigh(explained)
    properties = property_plane(model).properties(candidates, evidence.shares[:, -1])
    return rows | _explained(explained, evidence) | _properties(properties)


def _truth(shown: pl.DataFrame, noise: str) -> list[str]:
    """Name what each candidate is: its class, or what is no signal."""
    classes = pl.col("source_class").fill_null("signal")
    named = pl.when("is_signal").then(classes).otherwise(pl.lit(noise))
    return shown.select(truth=named)["truth"].to_list()


def _properties(properties: SourceProperties) -> dict[str, list[Any]]:
    """Return what holds of each candidate if it is a signal."""
    return {
        "HasNS": rounded(properties.has_ns, 4),
        "HasMassGap": rounded(properties.has_mass_gap, 4),
        "HasRemnant": rounded(properties.has_remnant, 4),
        "mchirp_quantiles": [rounded(row, 4) for row in properties.source_mchirp],
        "mchirp_bins": [rounded(row, 3) for row in properties.mchirp_bins],
    }


def _explained(explained: Explanation, evidence: Evidence) -> dict[str, list[Any]]:
    """Return what the picture of each candidate's explanation is drawn from."""
    mean, std = explained.source_mchirp.T
    shares = explained.contour_shares.T
    factors = {
        f"{term}_{s}": rounded(logs[:, k])
        for term, logs in explained.log_factors.items()
        for k, s in enumerate(ASTROPHYSICAL)
    }
    return {
        **factors,
        "decibans": [rounded(bars, 4) for bars in evidence.decibans],
        "shares": [[rounded(step, 4) for step in steps] for steps in evidence.shares],
        "source_mchirp": rounded(mean),
        "source_mchirp_std": rounded(std),
        **{f"contour_{s}": rounded(shares[k]) for k, s in enumerate(ASTROPHYSICAL)},
    }


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
        found.append({**merger, "reason": reason or None, "row": row})
    return found


def _columns(
    wanted: Sequence[tuple[str, str, str, int]], there: set[str], *, opens: str
) -> list[Json]:
    return [
        {"key": key, "label": label, "kind": kind, "from": width, "opens": key == opens}
        for key, label, kind, width in wanted
        if key in there
    ]


def rounded(values: Floats, digits: int = _DIGITS) -> list[float | None]:
    """Round numbers for the page; what is no number becomes null."""
    return [
        float(f"{value:.{digits}g}") if math.isfinite(value) else None for value in values.tolist()
    ]
