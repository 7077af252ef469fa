"""Properties written down: ``spiir.properties.json``, and what `explain` prints.

They hold *if it is a signal*; to know what to expect, multiply by p_astro.
"""

import math
from typing import Any

from spiir_pastro.io.horizons import read_horizons
from spiir_pastro.models.pastro import PastroModel
from spiir_pastro.models.properties import MCHIRP_BINS, PropertyPlane, SourceProperties

DECIMALS = 6
"""After the point: more than the plane knows, few enough to be the same on every machine."""


def property_plane(model: PastroModel) -> PropertyPlane:
    """Lay out a model's plane for detectors as the table of horizons that ships has them."""
    return PropertyPlane.of(model, model.sources.reach(read_horizons()))


def as_document(properties: SourceProperties) -> dict[str, Any]:
    """Return the only candidate's properties as plain JSON values; null where nothing is said.

    The bins' last edge is null: that bin has no end.
    """
    low, median, high = (_number(value) for value in properties.source_mchirp[0])
    return {
        "given": "it is a signal",
        "HasNS": _number(properties.has_ns[0]),
        "HasMassGap": _number(properties.has_mass_gap[0]),
        "HasRemnant": _number(properties.has_remnant[0]),
        "source_mchirp": {"p05": low, "p50": median, "p95": high},
        "source_mchirp_bins": {
            "bin_edges": [_number(edge) for edge in MCHIRP_BINS],
            "probabilities": [_number(p) for p in properties.mchirp_bins[0]],
        },
    }


def _number(value: float) -> float | None:
    return round(float(value), DECIMALS) if math.isfinite(value) else None
