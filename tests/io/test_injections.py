"""Injection sets come to canonical names, complete or refused."""

from typing import Any

import polars as pl
import pytest

from spiir_pastro.errors import TableError
from spiir_pastro.io.injections import INJECTION_UNITS, from_sim_inspiral


def _table(**changes: Any) -> pl.DataFrame:  # noqa: ANN401  (column values)
    columns = {
        "simulation_id": [7, 3],
        "geocent_end_time": [1_238_166_018, 1_238_166_017],
        "geocent_end_time_ns": [999_999_999, 1],
        "mchirp": [1.2, 30.0],
        "mass1": [1.4, 40.0],
        "mass2": [1.36, 30.0],
        "distance": [40.0, 900.0],
        "eff_dist_h": [55.0, 0.0],
    }
    return pl.DataFrame({name: v for name, v in (columns | changes).items() if v is not None})


def test_names_and_times_are_canonical_and_absent_is_null() -> None:
    injections = from_sim_inspiral(_table())
    assert injections.columns == list(INJECTION_UNITS)
    assert injections.select("injection_id", "gps_ns", "mchirp_det").rows() == [
        (3, 1_238_166_017_000_000_001, 30.0),
        (7, 1_238_166_018_999_999_999, 1.2),
    ]
    assert injections["eff_distance_mpc_H1"].to_list() == [None, 55.0]
    assert injections["eff_distance_mpc_K1"].null_count() == 2


@pytest.mark.parametrize("ids", [None, [0, 0], [None, 0]])
def test_injections_that_ids_do_not_tell_apart_are_known_by_their_rows(ids: Any) -> None:  # noqa: ANN401
    """PyCBC's and LALInference's files repeat their ids."""
    injections = from_sim_inspiral(_table(simulation_id=ids))
    assert injections.select("injection_id", "mchirp_det").rows() == [(1, 30.0), (0, 1.2)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mchirp": None}, "no column mchirp"),
        ({"distance": [1.0, None]}, "row 1 of sim_inspiral has no distance_mpc"),
    ],
)
def test_incomplete_sets_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TableError, match=message):
        from_sim_inspiral(_table(**changes))
