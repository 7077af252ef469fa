"""Runs become foreground and background: nothing lost, doubled or in the wrong place."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from spiir_pastro.errors import ConfigError
from spiir_pastro.io.runs import RunsFile, read_runs
from spiir_pastro.io.table_storage import FrameFormat, _read_notes, read_frame
from spiir_pastro.pipeline.extraction import extract
from spiir_pastro.pipeline.inventory import take_inventory
from spiir_pastro.pipeline.processed import Processed, open_processed
from spiir_pastro.pipeline.processing import process
from spiir_pastro.pipeline.raw_files import raw_files_of_runs
from spiir_pastro.pipeline.summary import ProcessSettings

_RUNS = """
runs:
  - {name: plain, bank: BBH, purpose: background, directories: [plain], gps_start: 100,
     gps_end: 200}
  - {name: light, bank: BNS, purpose: background, directories: [light], gps_start: 100,
     gps_end: 200}
  - {name: injected, bank: BBH, purpose: foreground, directories: [injected], gps_start: 100,
     gps_end: 200, injections: bbh.xml, twin: plain}
"""


class _Row(NamedTuple):
    """A staged trigger: what matters of the postcoh table here."""

    event_id: int
    end_time: float
    mchirp: float
    far: float
    cohsnr: float = 8.0


_NOISE = [
    _Row(0, 110.0, 20.0, 1e-5),
    _Row(1, 110.9, 20.0, 1e-4),  # hidden by 0
    _Row(2, 140.3, 30.0, 1e-8, 10.0),  # a known merger
    _Row(3, 160.0, 25.0, 1e-4),  # noise that happens to coincide with an injection
    _Row(4, 180.0, 25.0, 0.0),  # no FAR yet
    _Row(5, 300.0, 25.0, 1e-4),  # after the span
    _Row(6, 190.0, -1.0, 1e-4),  # no trigger
]
_LIGHT = [_Row(0, 111.9, 1.2, 1e-6), _Row(1, 150.0, 1.2, 1e-4)]
_SIGNALS = [
    _Row(7, 130.01, 21.0, 1e-7, 9.0),  # injection 0
    _Row(8, 130.02, 20.5, 1e-6, 9.0),  # again
    _Row(9, 130.01, 40.0, 1e-9, 9.0),  # another chirp mass
    _Row(10, 160.004, 25.0, 1e-9, 14.0),  # injection 1, on top of the noise
]
_INJECTIONS = [(0, 130, 20.0), (1, 160, 25.0), (2, 170, 25.0), (3, 250, 25.0)]


def _table(name: str, columns: dict[str, str], rows: Sequence[tuple[object, ...]]) -> str:
    declared = "".join(f'<Column Name="{name}:{c}" Type="{t}"/>\n' for c, t in columns.items())
    cells = [",".join(f'"{c}"' if isinstance(c, str) else str(c) for c in row) for row in rows]
    stream = ",\n".join(cells)
    return (
        f'<Table Name="{name}:table">\n{declared}<Stream Delimiter="," Name="{name}:table" '
        f'Type="Local">\n{stream}\n</Stream>\n</Table>\n'
    )


def _write_xml(path: Path, *tables: str) -> None:
    path.write_text(f"<?xml version='1.0'?>\n<LIGO_LW>\n{''.join(tables)}</LIGO_LW>\n")


def _write_segments(path: Path) -> None:
    """H1 is on for all of the span and more, L1 for its second half."""
    _write_xml(
        path,
        _table(
            "segment_definer",
            {"ifos": "lstring", "name": "lstring", "segment_def_id": "int_8s"},
            [("H1", "postcohprocessed", 0), ("L1", "postcohprocessed", 1)],
        ),
        _table(
            "segment",
            dict.fromkeys(
                ("segment_def_id", "start_time", "start_time_ns", "end_time", "end_time_ns"),
                "int_8s",
            ),
            [(0, 50, 0, 250, 0), (1, 150, 500_000_000, 200, 0)],
        ),
    )


def _write_injections(path: Path) -> None:
    kinds = {
        "simulation_id": "int_8s",
        "geocent_end_time": "int_4s",
        "geocent_end_time_ns": "int_4s",
        **dict.fromkeys(("mchirp", "mass1", "mass2", "distance"), "real_4"),
    }
    rows = [(i, gps, 0, mchirp, 1.2 * mchirp, mchirp, 400.0) for i, gps, mchirp in _INJECTIONS]
    _write_xml(path, _table("sim_inspiral", kinds, rows))


_TRIGGERS = {
    "event_id": "int_8s",
    "end_time": "int_4s",
    "end_time_ns": "int_4s",
    "mchirp": "real_8",
    "far": "real_8",
    "cohsnr": "real_8",
    "ifos": "lstring",
}


def _write_triggers(path: Path, rows: Sequence[_Row]) -> None:
    cells = [
        (
            row.event_id, int(row.end_time), round(row.end_time * 1e9 % 1e9),
            row.mchirp, row.far, row.cohsnr, "H1L1",
        )
        for row in rows
    ]  # fmt: skip
    _write_xml(path, _table("postcoh", _TRIGGERS, cells))


class _Campaign(NamedTuple):
    folder: Path
    known_events: Path

    @property
    def staging(self) -> Path:
        return self.folder / "staging"

    @property
    def runs(self) -> RunsFile:
        return read_runs(self.folder / "RUNS.yaml", staged=True)

    def extract(self) -> None:
        extract(raw_files_of_runs(self.runs), self.staging, workers=1)

    def process(self, **options: Any) -> Processed:  # noqa: ANN401  (those of process)
        inventory = take_inventory(self.runs, self.staging)
        return process(inventory, known_events=self.known_events, **options)


@pytest.fixture(name="campaign")
def _campaign(tmp_path: Path) -> _Campaign:
    contents = {"plain": _NOISE, "light": _LIGHT, "injected": [*_NOISE, *_SIGNALS]}
    for run, rows in contents.items():
        (tmp_path / run).mkdir()
        _write_triggers(tmp_path / run / "000_zerolag_100_100.xml", rows)
        _write_segments(tmp_path / run / "H1L1_SEGMENTS_100_100.xml")
    _write_injections(tmp_path / "bbh.xml")
    (tmp_path / "RUNS.yaml").write_text(_RUNS)
    (tmp_path / "mergers.csv").write_text("name,gps\nGW140,140.0\n")
    campaign = _Campaign(tmp_path, tmp_path / "mergers.csv")
    campaign.extract()
    return campaign


def test_every_row_has_the_fate_it_should(campaign: _Campaign) -> None:
    done = campaign.process()
    assert done.background["event_id"].to_list() == [
        "plain/000_zerolag_100_100:0",
        "light/000_zerolag_100_100:0",
        "light/000_zerolag_100_100:1",
        "plain/000_zerolag_100_100:3",
        "plain/000_zerolag_100_100:4",
    ]
    assert done.known_mergers["event_id"].to_list() == ["plain/000_zerolag_100_100:2"]
    found = done.matches["injected"].found
    assert found.select("event_id", "injection_id", "injection_distance_mpc").rows() == [
        ("injected/000_zerolag_100_100:7", 0, 400.0),
        ("injected/000_zerolag_100_100:10", 1, 400.0),
    ]
    assert done.matches["injected"].missed["injection_id"].to_list() == [2]
    fates = {(run, fate): rows for run, _, _, fate, rows in done.fate_table().rows()}
    assert fates == {
        ("plain", "rejected"): 1,
        ("plain", "outside the run's span"): 1,
        ("plain", "near a known merger"): 1,
        ("plain", "hidden by a more significant one"): 1,
        ("plain", "kept as background"): 3,
        ("light", "kept as background"): 2,
        ("injected", "rejected"): 1,
        ("injected", "outside the run's span"): 1,
        ("injected", "coincides with no injection"): 5,
        ("injected", "stands in the twin run too"): 1,
        ("injected", "not the best of its injection"): 1,
        ("injected", "kept as foreground"): 2,
    }
    assert done.rejects.select("run", "file", "event_id").rows() == [
        ("plain", "plain/000_zerolag_100_100", "6"),
        ("injected", "injected/000_zerolag_100_100", "6"),
    ]


@pytest.mark.parametrize("rows_per_slice", [1, 3, 7])
def test_it_does_not_matter_where_the_campaign_is_cut(
    campaign: _Campaign, rows_per_slice: int
) -> None:
    whole = campaign.process()
    cut = campaign.process(rows_per_slice=rows_per_slice)
    for place, table in whole.tables().items():
        assert_frame_equal(cut.tables()[place], table)
    assert cut.fates == whole.fates


@pytest.mark.parametrize("rows_at_once", [1, 2, 3, 5, 300_000])
def test_it_does_not_matter_which_files_are_read_together(
    campaign: _Campaign, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    folder = campaign.folder / "plain"
    (folder / "000_zerolag_100_100.xml").unlink()
    broken = [row._replace(mchirp=-1.0) for row in _NOISE]
    _write_triggers(folder / "000_zerolag_100_50.xml", [*_NOISE[:2], broken[2], _NOISE[2]])
    _write_triggers(folder / "000_zerolag_150_10.xml", [broken[3]])
    _write_triggers(folder / "000_zerolag_160_40.xml", [*_NOISE[3:6], broken[5], broken[4]])
    (campaign.staging / "plain" / "000_zerolag_100_100.receipt.json").unlink()
    campaign.extract()
    monkeypatch.setattr("spiir_pastro.pipeline.store._ROWS_AT_ONCE", rows_at_once)
    done = campaign.process()
    names = [f"plain/000_zerolag_{span}" for span in ("100_50", "150_10", "160_40")]
    of_plain = done.rejects.filter(pl.col("run") == "plain")
    assert of_plain.select("file", "row", "event_id").rows() == [
        (names[0], 2, "2"), (names[1], 0, "3"), (names[2], 3, "5"), (names[2], 4, "4"),
    ]  # fmt: skip
    kept = done.background.filter(pl.col("run") == "plain")["event_id"].to_list()
    assert kept == [f"{names[0]}:0", f"{names[2]}:3", f"{names[2]}:4"]
    fates = {fate: rows for run, _, _, fate, rows in done.fate_table().rows() if run == "plain"}
    assert fates == {
        "rejected": 4,
        "outside the run's span": 1,
        "near a known merger": 1,
        "hidden by a more significant one": 1,
        "kept as background": 3,
    }


def test_livetime_counts_within_the_span_and_once(campaign: _Campaign) -> None:
    done = campaign.process()
    expected = [("H1", 50_500_000_000), ("H1L1", 49_500_000_000)]
    for key in [("plain", "BBH"), (None, "BNS"), (None, None)]:
        of_key = done.livetime.filter(
            pl.col("run").eq_missing(key[0]), pl.col("bank").eq_missing(key[1])
        )
        assert of_key.select("ifos", "livetime_ns").rows() == expected
    assert done.background_livetime_ns == 49_500_000_000


@pytest.mark.parametrize("file_format", list(FrameFormat))
def test_what_is_written_is_what_was_found(
    campaign: _Campaign, tmp_path: Path, file_format: FrameFormat
) -> None:
    done = campaign.process()
    out = tmp_path / "processed"
    for other in FrameFormat:
        done.write(out, file_format=other)
    done.write(out, file_format=file_format)
    written = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert written == {
        "summary.json",
        *(
            f"{place}.{file_format}"
            for place in (
                "background/BBH",
                "background/BNS",
                "known_mergers/BBH",
                "known_mergers/BNS",
                "foreground/BBH",
                "missed/BBH",
                "rejects",
                "livetime",
            )
        ),
    }
    foreground = out / f"foreground/BBH.{file_format}"
    assert_frame_equal(read_frame(foreground), done.tables()["foreground/BBH"])
    units = json.loads(_read_notes(foreground, foreground)["units"])
    assert (units["far_hz"], units["injection_distance_mpc"]) == ("Hz", "Mpc")
    (injected,) = open_processed(out).summary.injections
    assert (injected.run, injected.bank, injected.found, injected.missed) == (
        "injected",
        "BBH",
        2,
        1,
    )
    assert (injected.analysed, injected.injected, injected.kept_fraction) == (2, None, 1.0)


def test_a_background_without_segments_is_refused(campaign: _Campaign) -> None:
    for path in (campaign.folder / "light", campaign.staging / "light"):
        for file in path.glob("*SEGMENTS*"):
            file.unlink()
    with pytest.raises(ConfigError, match=r"runs\[1\]\.segments: no staged file matches"):
        campaign.process()


def test_the_windows_are_those_chosen(campaign: _Campaign) -> None:
    """Noise 0.9 s after a louder trigger, and a trigger 0.3 s after a known merger."""
    settings = ProcessSettings(cluster_window_ns=500_000_000, known_window_ns=200_000_000)
    done = campaign.process(settings=settings)
    kept = {name.rpartition(":")[2] for name in done.background.filter(run="plain")["event_id"]}
    assert {"1", "2"} <= kept
    assert done.known_mergers.is_empty()
    usual = campaign.process()
    few = {name.rpartition(":")[2] for name in usual.background.filter(run="plain")["event_id"]}
    assert {"1", "2"}.isdisjoint(few)
    assert usual.known_mergers.height == 1


def test_injections_say_whether_data_were_analysed_and_what_stood_near(
    campaign: _Campaign,
) -> None:
    settings = ProcessSettings(injection_mchirp_tolerance=0.01)
    done = campaign.process(settings=settings)
    found, missed = done.matches["injected"].found, done.matches["injected"].missed
    assert found.select("injection_id", "injection_analysed").rows() == [(1, True)]
    columns = ("injection_id", "analysed", "recovered_far_hz", "recovered_mchirp_det")
    assert missed.select(columns).rows() == [(0, False, 1e-9, 40.0), (2, True, None, None)]


def test_the_population_injected_is_written_down(campaign: _Campaign) -> None:
    path = campaign.folder / "RUNS.yaml"
    law = "primary: {low: 5, high: 50}, secondary: {low: 5}, redshift: {high: 1}"
    text = _RUNS.rstrip().removesuffix("}") + f",\n     injected: {{{law}}}, kept_fraction: 0.5}}\n"
    path.write_text(text)
    done = campaign.process()
    (written,) = done.summary({}).injections
    assert (written.kept_fraction, written.bank) == (0.5, "BBH")
    assert written.injected == read_runs(path).runs[2].injected
