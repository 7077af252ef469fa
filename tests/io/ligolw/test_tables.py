"""What a reader gets: names, types, nulls and order."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from igwn_ligolw import ligolw, utils

import spiir_pastro as sp
from spiir_pastro.errors import TableError
from spiir_pastro.io.ligolw import read_arrays, read_params

LEGACY = """<?xml version='1.0' encoding='utf-8'?>
<LIGO_LW>
	<Table Name="postcoh:table">
		<Column Name="end_time" Type="int_4s"/>
		<Column Name="end_time_H" Type="int_4s"/>
		<Column Name="postcoh:end_time_ns_L" Type="int_4s"/>
		<Column Name="chisq_H" Type="real_4"/>
		<Column Name="far_h" Type="real_4"/>
		<Column Name="far_l_1d" Type="real_4"/>
		<Column Name="ifos" Type="lstring"/>
		<Column Name="pivotal_ifo" Type="lstring"/>
		<Column Name="event_id" Type="ilwd:char"/>
		<Stream Delimiter="," Name="postcoh:table" Type="Local">
			1,2,3,0.5,1e-9,,"L1,H1","H1","postcoh:event_id:7",
			2,,3,0.5,0,1e-8,"H1L1","L1","postcoh:event_id:6",
			0,2,3,,nan,,,"X9","postcoh:event_id:8"
		</Stream>
	</Table>
</LIGO_LW>
"""


@pytest.fixture
def legacy(tmp_path: Path) -> Path:
    path = tmp_path / "legacy.xml"
    path.write_text(LEGACY)
    return path


def test_legacy_names_types_and_detector_sets_become_canonical(legacy: Path) -> None:
    table = sp.read_table(legacy, "postcoh")
    assert table.schema == {
        "end_time": pl.Int32,
        "end_time_sngl_H1": pl.Int32,
        "end_time_ns_sngl_L1": pl.Int32,
        "chisq_H1": pl.Float32,
        "far_sngl_H1": pl.Float32,
        "far_1d_sngl_L1": pl.Float32,
        "ifos": pl.String,
        "pivotal_ifo": pl.String,
        "event_id": pl.Int64,
    }
    assert table["ifos"].to_list() == ["H1L1", "H1L1", None]
    assert table["pivotal_ifo"].to_list() == ["H1", "L1", "X9"]
    assert table["event_id"].to_list() == [7, 6, 8]
    assert table["end_time"].to_list() == [1, 2, 0]


def test_an_empty_cell_is_null_and_a_zero_is_zero(legacy: Path) -> None:
    table = sp.read_table(legacy, "postcoh")
    assert table["end_time_sngl_H1"].to_list() == [2, None, 2]
    assert table["far_1d_sngl_L1"].is_null().to_list() == [True, False, True]
    assert table["far_sngl_H1"].to_list()[1] == 0.0
    assert table["far_sngl_H1"].is_nan().to_list() == [False, False, True]


def test_columns_come_in_the_order_asked_for_and_absent_ones_as_nulls(legacy: Path) -> None:
    table = sp.read_table(legacy, "postcoh", columns=["far_sngl_K1", "event_id", "deff_K1"])
    assert table.schema == {"far_sngl_K1": pl.Float32, "event_id": pl.Int64, "deff_K1": pl.Float64}
    assert table["deff_K1"].null_count() == 3
    with pytest.raises(TableError, match="postcoh has no column 'snr'; it has chisq_H1, end_time"):
        sp.read_table(legacy, "postcoh", columns=["snr"])


def test_a_file_that_is_only_read_is_not_hashed(
    legacy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hashlib.sha256", None)
    assert sp.read_table(legacy, "postcoh").height == 3


def test_tables_without_rows_keep_their_columns(tmp_path: Path) -> None:
    for empty in ("<Stream Delimiter=',' Type='Local'/>", "", "<Stream>\n\t\t</Stream>"):
        path = tmp_path / "t.xml"
        path.write_text(
            "<LIGO_LW><Table Name='postcoh:table'><Column Name='far' Type='real_4'/>"
            f"{empty}</Table></LIGO_LW>"
        )
        table = sp.read_table(path, "postcoh")
        assert table.schema == {"far": pl.Float32}
        assert table.is_empty()


def test_a_real_candidate_reads_as_written(real_data: Path) -> None:
    path = real_data / "spiir" / "coinc" / "H1L1_1257994429_387_373.xml"
    row = sp.read_table(path, "postcoh").row(0, named=True)
    assert row["cohsnr"] == np.float32(9.4354286)
    assert row["deff_H1"] == 882.7631386012827
    assert (row["event_id"], row["process_id"], row["tmplt_idx"]) == (2341, 0, 373)
    assert (row["ifos"], row["pivotal_ifo"], row["skymap_fname"]) == ("H1L1", "H1", "")
    tables = sp.read_tables(path)
    assert tables["sngl_inspiral"]["ifo"].to_list() == ["H1", "L1"]
    assert tables["process_params"].height == 66


def test_real_statistics_are_read_whole(real_data: Path) -> None:
    [path] = (real_data / "spiir" / "stats").glob("*.xml.gz")
    arrays = read_arrays(path)
    theirs = utils.load_filename(str(path))
    assert len(arrays) == len(theirs.getElementsByTagName("Array"))
    for array in theirs.getElementsByTagName("Array"):
        name = array.getAttribute("Name").removesuffix(":array")
        np.testing.assert_array_equal(arrays[name], array.array.T)
        assert arrays[name].dtype == array.array.dtype
    joint = arrays["background_feature:H1_lgsnr_lgchisq_rate"]
    np.testing.assert_array_equal(joint.sum(axis=1), arrays["background_feature:H1_lgsnr_rate"])
    assert read_params(path)["background_feature:H1L1_nevent"] == 9575375
    assert isinstance(theirs, ligolw.Document)
