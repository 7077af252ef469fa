"""The committed catalogue facts, and tables of one's own."""

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
