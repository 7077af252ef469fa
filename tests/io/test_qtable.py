"""Tables keep their numbers, units and nulls on the way to astropy and pandas."""

import numpy as np
import polars as pl
from astropy import units as u
from hypothesis import given
from hypothesis import strategies as st

import spiir_pastro as sp
from spiir_pastro.domain.columns import POSTCOH_UNITS
from spiir_pastro.pipeline.processed import UNITS

TABLE = pl.DataFrame(
    {
        "event_id": ["a", "b"],
        "gps_ns": [1126259462391000000, 1187008882430000001],
        "far_hz": [1e-9, None],
        "eff_distance_mpc_H1": [400.0, None],
        "injection_distance_mpc": [410.0, 40.0],
        "template_id": [7, None],
        "note": [None, "no FAR assigned"],
    }
)


def test_units_and_nulls_arrive() -> None:
    table = sp.to_qtable(TABLE)
    assert table.colnames == ["gps" if name == "gps_ns" else name for name in TABLE.columns]
    assert table["far_hz"].unit == u.Hz
    assert np.isnan(table["far_hz"][1])
    assert u.allclose(table["injection_distance_mpc"], [0.41, 0.04] * u.Gpc)
    assert table["template_id"].tolist() == [7, None]
    assert table["note"].tolist() == [None, "no FAR assigned"]
    assert table["gps"][0].utc.isot == "2015-09-14T09:50:45.391"


@given(st.integers(0, 9_000_000_000), st.integers(0, 999_999_999))
def test_time_keeps_its_nanoseconds(seconds: int, nanoseconds: int) -> None:
    one = sp.to_qtable(pl.DataFrame({"gps_ns": [seconds * 10**9 + nanoseconds]}))["gps"]
    two = sp.to_qtable(pl.DataFrame({"end_time": [seconds], "end_time_ns": [nanoseconds]}))["gps"]
    assert one[0] == two[0]
    whole = sp.to_qtable(pl.DataFrame({"gps_ns": [seconds * 10**9]}))["gps"]
    assert round((one[0] - whole[0]).to_value(u.ns)) == nanoseconds


def test_every_unit_is_one_of_astropy() -> None:
    for unit in {*UNITS.values(), *POSTCOH_UNITS.values()} - {""}:
        u.Unit(unit.split(" ")[0])


def test_pandas_gets_the_same_numbers() -> None:
    frame = TABLE.to_pandas()
    assert frame["gps_ns"].tolist() == TABLE["gps_ns"].to_list()
    assert frame["far_hz"].isna().tolist() == [False, True]
