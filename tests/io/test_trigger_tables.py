"""A trigger reads the same however it is written; what is none is set aside with its rule."""

import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spiir_pastro.domain import Candidates
from spiir_pastro.errors import TableError
from spiir_pastro.io.ligolw import read_table
from spiir_pastro.io.trigger_files import read_triggers
from spiir_pastro.io.trigger_tables import from_coinc, from_csv, from_postcoh, to_candidates

GOOD = {
    "graceid": "G1",
    "end_time": 1187008882.0,
    "end_time_ns": 443359375.0,
    "ifos": "L1,H1",
    "far": 1e-9,
    "snr": 32.0,
    "mchirp": 1.2,
    "deff_H": 57.0,
    "eff_distance_L1": 45.0,
    "V1": 0.0,
}


def test_a_gracedb_row_becomes_canonical() -> None:
    read = from_csv(pl.DataFrame([GOOD]))
    assert read.rejects.is_empty()
    row = read.triggers.row(0, named=True)
    assert row == {
        "event_id": "G1",
        "gps_ns": 1187008882443359375,
        "ifos": "H1L1",
        "far_hz": 1e-9,
        "snr": 32.0,
        "mchirp_det": 1.2,
        "eff_distance_mpc_H1": 57.0,
        "eff_distance_mpc_L1": 45.0,
        "eff_distance_mpc_V1": None,
        "eff_distance_mpc_K1": None,
        "mtotal_det": None,
    }


def test_the_total_mass_is_taken_or_added_up_and_a_zero_is_none() -> None:
    bodies = {"mass1": 1.5, "mass2": 1.3}
    given = [GOOD | {"mtotal_det": 3.0}, GOOD | {"mtotal_det": 0.0}]
    assert from_csv(pl.DataFrame(given)).triggers["mtotal_det"].to_list() == [3.0, None]
    named = {f"{name}_det": mass for name, mass in bodies.items()}
    added = from_csv(pl.DataFrame([GOOD | named])).triggers
    assert added["mtotal_det"].to_list() == [pytest.approx(2.8)]
    eta = to_candidates(added).eta
    assert eta.shape == (1,)


@pytest.mark.parametrize(
    ("mtotal", "eta"),
    [
        (2.0 * 2**0.2, 0.25),  # equal masses of a chirp mass of 1
        (1.0 / 0.1**0.6, 0.1),
        (2.0 * 2**0.2 * (1 - 0.005), 0.25),  # rounded in its third digit
        (2.0 * 2**0.2 * (1 - 0.01), math.nan),  # masses of no two bodies
        (math.nan, math.nan),
    ],
)
def test_the_mass_ratio_follows_from_chirp_and_total_mass(mtotal: float, eta: float) -> None:
    one = np.ones(1)
    candidates = Candidates(
        far_hz=one,
        snr=one,
        mchirp_det=one,
        eff_distance_mpc=np.full((1, 4), np.nan),
        mtotal_det=mtotal * one,
    )
    np.testing.assert_allclose(candidates.eta, [eta], rtol=1e-9)


@pytest.mark.parametrize("name", ["far", "snr", "mchirp", "deff_H"])
@pytest.mark.parametrize("value", [0.0, None])
def test_zero_and_nothing_both_mean_unknown(name: str, value: float | None) -> None:
    read = from_csv(pl.DataFrame([GOOD | {name: value}], schema_overrides={name: pl.Float64}))
    candidates = to_candidates(read.triggers)
    columns = [candidates.far_hz, candidates.snr, candidates.mchirp_det]
    columns.append(candidates.eff_distance_mpc[:, 0])
    assert [bool(np.isnan(c[0])) for c in columns] == [
        name == n for n in ("far", "snr", "mchirp", "deff_H")
    ]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"ifos": "H1X1"}, "ifos: no list of detectors"),
        ({"far": -1.0}, "far_hz: -1.0 is not finite and positive"),
        ({"snr": float("nan")}, "snr: NaN is not finite and positive"),
        ({"mchirp": float("inf")}, "mchirp_det: inf is not finite and positive"),
        ({"end_time": None}, "gps_ns: no time"),
    ],
)
def test_a_bad_row_is_set_aside_with_its_rule(change: dict[str, object], rule: str) -> None:
    table = pl.DataFrame([GOOD, GOOD | change, GOOD | {"graceid": "G3"}])
    read = from_csv(table)
    assert read.triggers["event_id"].to_list() == ["G1", "G3"]
    assert read.rejects.rows() == [(1, "G1", rule)]


def test_text_where_a_number_belongs_costs_its_own_row_only(tmp_path: Path) -> None:
    file = tmp_path / "uploads.csv"
    changes = [{}, {"far": "low"}, {"end_time": "noon"}, {"end_time": "1e300"}, {"mass1": "heavy"}]
    rows = [GOOD | {"graceid": f"G{i}", "mass1": 1.4} | c for i, c in enumerate(changes)]
    lines = [",".join(rows[0]), *(",".join(f'"{v}"' for v in row.values()) for row in rows)]
    file.write_text("\n".join(lines))
    read = read_triggers(file)
    assert read.triggers.select("event_id", "gps_ns", "far_hz").rows() == [
        ("G0", 1187008882443359375, 1e-9)
    ]
    assert read.rejects.rows() == [
        (1, "G1", "far_hz: low is no number"),
        (2, "G2", "gps_ns: no time"),
        (3, "G3", "gps_ns: no time"),
        (4, "G4", "mass1_det: heavy is no number"),
    ]


@pytest.mark.parametrize(
    ("column", "remedy"),
    [
        (pl.Series("far", [True]), "far_hz holds Boolean; give numbers"),
        (pl.Series("end_time", [datetime(2017, 8, 17, tzinfo=UTC)]), "end_time holds .*GPS"),
        (pl.Series("ifos", [["H1", "L1"]]), "ifos holds .*; give text"),
        (pl.Series("eff_distance_H1", [1.0]), "2 columns give eff_distance_mpc_H1; keep"),
    ],
)
def test_a_column_that_would_mean_something_else_is_refused(column: pl.Series, remedy: str) -> None:
    with pytest.raises(TableError, match=remedy):
        from_csv(pl.DataFrame([GOOD]).with_columns(column))


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Enum(["L1,H1"])])
def test_detectors_may_be_categories(dtype: pl.DataType) -> None:
    table = pl.DataFrame([GOOD]).with_columns(pl.col("ifos").cast(dtype))
    assert from_csv(table).triggers["ifos"].to_list() == ["H1L1"]


def test_a_table_without_a_needed_column_is_refused_by_name() -> None:
    with pytest.raises(
        TableError, match=r"needs a column mchirp or mchirp_det \(.*\); this one has"
    ):
        from_csv(pl.DataFrame([GOOD]).drop("mchirp"))


def test_a_file_without_a_needed_column_is_named_with_the_remedy(tmp_path: Path) -> None:
    file = tmp_path / "uploads.csv"
    pl.DataFrame([GOOD]).drop("mchirp").write_csv(file)
    with pytest.raises(TableError, match=r"uploads\.csv: .* needs a column mchirp .*: rename"):
        read_triggers(file)


@given(st.floats(1e-30, 1e-3), st.floats(4, 100), st.floats(0.5, 100))
def test_canonical_tables_read_as_themselves(far: float, snr: float, mchirp: float) -> None:
    once = from_csv(pl.DataFrame([GOOD | {"far": far, "snr": snr, "mchirp": mchirp}])).triggers
    assert from_csv(once).triggers.equals(once)


def test_postcoh_values_keep_their_units_and_extras() -> None:
    postcoh = pl.DataFrame(
        {
            "event_id": [7, 8],
            "end_time": [10, 11],
            "end_time_ns": [5, 0],
            "ifos": ["H1L1", "H1L1"],
            "far": [0.0, 1e-5],
            "cohsnr": [8.0, 9.0],
            "mchirp": [1.2, 1.3],
            "deff_H1": [100.0, 0.0],
            "cmbchisq": [1.1, 1.2],
        }
    )
    triggers = from_postcoh(postcoh).triggers
    assert triggers["far_hz"].to_list() == [None, 1e-5]
    assert triggers["eff_distance_mpc_H1"].to_list() == [100.0, None]
    assert triggers["combined_chisq"].to_list() == [1.1, 1.2]
    assert triggers["event_id"].to_list() == ["7", "8"]


def test_a_coinc_file_holds_one_candidate() -> None:
    coinc = pl.DataFrame({"end_time": [1, 2]})
    singles = pl.DataFrame({"ifo": ["H1"], "eff_distance": [1.0]})
    with pytest.raises(TableError, match="coinc_inspiral has 2 rows"):
        from_coinc({"coinc_inspiral": coinc, "sngl_inspiral": singles}, event_id="x")


def test_the_real_gracedb_table_reads_whole(real_data: Path) -> None:
    table = pl.read_csv(
        real_data / "spiir" / "gracedb_triggers_o1_o3a.csv", infer_schema_length=None
    )
    read = from_csv(table)
    assert (read.triggers.height, read.rejects.height) == (3510, 0)
    assert set(read.triggers["ifos"]) == {"H1L1", "H1L1V1", "L1V1", "H1V1"}


def test_a_real_candidate_has_the_same_snr_in_both_its_tables(real_data: Path) -> None:
    """SPIIR's own coinc files: GraceDB's ``snr`` against that made of ``postcoh``."""
    paths = [*real_data.glob("spiir/coinc/*.xml"), *real_data.glob("spiir/coinc_series/*.xml")]
    assert len(paths) > 10
    for path in paths:
        tables = {
            name: read_table(path, name) for name in ("postcoh", "coinc_inspiral", "sngl_inspiral")
        }
        (snr,) = from_postcoh(tables["postcoh"]).triggers["snr"]
        (known,) = from_coinc(tables, event_id="G1").triggers["snr"]
        assert snr == pytest.approx(known, rel=1e-9)
    assert tables["postcoh"]["cohsnr"][0] != pytest.approx(known, rel=1e-4)  # three detectors


def test_snr_of_a_postcoh_table_is_that_of_the_detectors_that_took_part() -> None:
    table = pl.DataFrame(
        {
            "event_id": [0, 1, 2, 3],
            "end_time": [1_238_166_018.5] * 4,
            "ifos": ["H1L1", "H1L1V1", "H1K1", "H1L1"],
            "far": [1e-7] * 4,
            "mchirp": [20.0] * 4,
            "cohsnr": [9.0, 9.0, 9.0, 9.0],
            "snglsnr_H1": [3.0, 2.0, 3.0, None],
            "snglsnr_L1": [4.0, 3.0, 4.0, 4.0],
            "snglsnr_V1": [99.0, 6.0, 0.0, 0.0],
        }
    )
    assert from_postcoh(table).triggers["snr"].to_list() == [5.0, 7.0, 9.0, 9.0]
    bare = table.drop("snglsnr_H1", "snglsnr_L1", "snglsnr_V1")
    assert from_postcoh(bare).triggers["snr"].to_list() == [9.0] * 4
