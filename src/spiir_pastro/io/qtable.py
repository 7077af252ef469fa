"""Tables with units: a Polars frame of ours as an astropy ``QTable``.

Other conversions are Polars' own: ``frame.to_pandas()``, ``to_arrow()``, ``to_numpy()``.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from spiir_pastro.domain.columns import POSTCOH_UNITS
from spiir_pastro.domain.times import SECOND_NS
from spiir_pastro.io.injections import INJECTION_UNITS
from spiir_pastro.io.trigger_tables import TRIGGER_UNITS

if TYPE_CHECKING:
    from astropy.table import Column, QTable
    from astropy.time import Time
    from astropy.units import Quantity

_UNITS: Mapping[str, str] = {
    name: unit.partition(" ")[0]  # the scale of a time stands behind its unit
    for name, unit in {
        **POSTCOH_UNITS,
        **INJECTION_UNITS,
        **TRIGGER_UNITS,
        "livetime_ns": "ns",
    }.items()
}


def to_qtable(frame: pl.DataFrame) -> "QTable":
    """Give a table of triggers, injections or predictions to astropy, with its units.

    Parameters
    ----------
    frame
        A table of ours: as `read_table`, `read_triggers` or `ModelArtifact.predict` returns it, or
        read from a processed Parquet file.

    Returns
    -------
    astropy.table.QTable
        The columns in their order. ``gps_ns`` becomes ``gps``, an `astropy.time.Time` in format
        "gps" that keeps the nanoseconds; ``end_time`` with ``end_time_ns`` do as well. Floats with
        a unit become quantities, in which null is NaN; nulls of other columns are masked.

    Examples
    --------
    >>> table = to_qtable(pl.DataFrame({"gps_ns": [1126259462391000000], "mchirp_det": [30.6]}))
    >>> print(table["gps"].utc.isot[0], table["mchirp_det"][0])
    2015-09-14T09:50:45.391 30.6 solMass
    """
    from astropy.table import QTable  # noqa: PLC0415  (half a second that few need)

    table = QTable()
    for name in frame.columns:
        if name.endswith("gps_ns"):
            table[name.removesuffix("_ns")] = _time(
                frame[name] // SECOND_NS, frame[name] % SECOND_NS
            )
        elif name == "end_time" and "end_time_ns" in frame.columns:
            table["gps"] = _time(frame[name], frame["end_time_ns"])
        elif name != "end_time_ns" or "end_time" not in frame.columns:
            table[name] = _column(frame[name], _UNITS.get(name.removeprefix("injection_"), ""))
    return table


def _time(seconds: pl.Series, nanoseconds: pl.Series) -> "Time":
    from astropy.time import Time  # noqa: PLC0415

    whole, rest = (part.cast(pl.Float64).to_numpy() for part in (seconds, nanoseconds))
    return Time(whole, rest * 1e-9, format="gps")


def _column(values: pl.Series, unit: str) -> "Quantity | Column":
    from astropy.table import Column, MaskedColumn  # noqa: PLC0415
    from astropy.units import Quantity  # noqa: PLC0415

    if values.dtype.is_float():
        numbers = values.fill_null(np.nan).to_numpy()
        return Quantity(numbers, unit) if unit else Column(numbers)
    if not values.has_nulls():
        return Column(values.to_list(), unit=unit or None)
    filler = "" if values.dtype == pl.String else 0
    return MaskedColumn(values.fill_null(filler).to_list(), mask=values.is_null().to_list())
