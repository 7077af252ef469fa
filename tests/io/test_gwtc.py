"""The committed catalogue facts, and tables of one's own."""

import json
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from spiir_pastro.errors import TableError
from spiir_pastro.io.gwtc import read_known_events


def test_the_catalogue_knows_the_famous_events() -> None:
    events = {row["name"]: row for row in read_known_events().to_dicts()}
    assert events["GW170817"]["source_class"] == "BNS"
    assert events["GW200115_042309"]["source_class"] == "NSBH"
    assert events["GW150914"]["source_class"] == "BBH"
    assert events["GW150914"]["gps_ns"] == 1126259462_400000000
    assert events["GW150914"]["is_known"]
    assert not events["GW190531_023648"]["is_known"]


def test_the_catalogue_is_sorted_and_whole() -> None:
    events = read_known_events()
    assert events["gps_ns"].is_sorted()
    assert events["name"].is_unique().all()
    assert set(events["catalogue"]) == {"GWTC-1", "GWTC-2.1", "GWTC-3", "GWTC-4.0"}
    assert events["is_known"].null_count() == 0


def test_the_committed_figures_are_those_collected(real_data: Path) -> None:
    collected = pl.read_csv(real_data / "gwtc" / "gwtc_events.csv", infer_schema_length=None)
    ours = read_known_events()
    theirs = collected.select("name", "p_astro", mchirp_det=pl.col("chirp_mass_det").round(3)).sort(
        "name"
    )
    assert_frame_equal(ours.select("name", "p_astro", "mchirp_det").sort("name"), theirs)


def test_a_table_of_ones_own_needs_only_names_and_times(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("name,gps\nmine,1.5\n")
    row = read_known_events(path).row(0, named=True)
    assert (row["gps_ns"], row["is_known"], row["source_class"]) == (1_500_000_000, True, None)
    path.write_text("name\nmine\n")
    with pytest.raises(TableError, match="gps is absent"):
        read_known_events(path)
    with pytest.raises(TableError, match="no table of known events"):
        read_known_events(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("GW2,soon,9", "line 3: gps is 'soon', not a number"),
        ("GW2,,9", "line 3: gps is missing"),
        ("GW2,1126259462.4,loud", "line 3: snr is 'loud', not a number"),
    ],
)
def test_a_cell_that_is_no_number_is_named(tmp_path: Path, row: str, message: str) -> None:
    table = tmp_path / "events.csv"
    table.write_text(f"name,gps,snr\nGW1,1187008882.4,32\n{row}\n")
    with pytest.raises(TableError, match=message):
        read_known_events(table)


# The columns of GWOSC's event portal, as of 2025; intervals and what is not read left out.
_GWOSC_CSV = """\
id,commonName,version,catalog.shortName,GPS,reference,jsonurl,mass_1_source,mass_2_source,\
network_matched_filter_snr,luminosity_distance,chirp_mass_source,chirp_mass,redshift,far,p_astro
GW190521-v3,GW190521,3,GWTC-2,1242442967.4,https://doi.org/x,,95.3,69.0,14.2,3920.0,69.2,,0.64,,
GW190521-v4,GW190521,4,GWTC-2.1-confident,1242442967.4,,,98.4,57.2,14.3,3310.0,63.3,,0.56,0.0002,1.0
GW170817-v3,GW170817,3,GWTC-1-confident,1187008882.4,,,1.46,1.27,33.0,40.0,1.186,1.1977,0.01,1e-07,1.0
161202-v1,161202,1,GWTC-1-marginal,1164686041.0,,,,,10.5,,,,,6.0,
"""


def test_gwoscs_csv_is_read_as_it_is_downloaded(tmp_path: Path) -> None:
    path = tmp_path / "GWTC.csv"
    path.write_text(_GWOSC_CSV)
    events = {row["name"]: row for row in read_known_events(path).to_dicts()}
    assert list(events) == ["161202", "GW170817", "GW190521"]
    assert events["GW190521"]["mass1_source"] == 98.4  # of its last version
    assert events["GW190521"]["catalogue"] == "GWTC-2.1-confident"
    assert events["GW190521"]["mchirp_det"] == pytest.approx(63.3 * 1.56)
    assert events["GW170817"]["mchirp_det"] == 1.1977
    assert events["GW170817"]["gps_ns"] == 1187008882_400000000
    assert events["GW170817"]["source_class"] == "BNS"
    assert not events["161202"]["is_known"]


def test_gwoscs_json_says_the_same(tmp_path: Path) -> None:
    table = pl.read_csv(_GWOSC_CSV.encode(), infer_schema_length=None)
    events = {row["id"]: {**row, "parameters": {"a": {}}} for row in table.to_dicts()}
    (tmp_path / "GWTC.csv").write_text(_GWOSC_CSV)
    (tmp_path / "allevents.json").write_text(json.dumps({"events": events}))
    assert_frame_equal(
        read_known_events(tmp_path / "GWTC.csv"), read_known_events(tmp_path / "allevents.json")
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"events": ', "no table of known events"),
        ('{"results": {}}', "no table of known events: 'events'"),
        ('{"events": []}', "no table of known events"),
        ('{"events": {}}', "needs columns name and gps"),
        ('{"events": {"a": {"commonName": "a", "GPS": "soon"}}}', "event 1: gps is 'soon'"),
    ],
)
def test_json_that_is_no_catalogue_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "events.json"
    path.write_text(content)
    with pytest.raises(TableError, match=message):
        read_known_events(path)
