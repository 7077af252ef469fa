"""Writing trigger files, beside igwn-ligolw's own writer on the same rows; and whole campaigns.

Run it: ``python benchmarks/bench_simulate.py``. Bar: a day of campaign in seconds, four weeks in
minutes, at bounded memory.
"""

import os
import resource
import tempfile
import time
from pathlib import Path

import igwn_ligolw.ligolw
import igwn_ligolw.utils
import polars as pl

from spiir_pastro.domain import Source
from spiir_pastro.io.ligolw import read_table
from spiir_pastro.io.ligolw_layouts import POSTCOH
from spiir_pastro.io.ligolw_writer import LigolwTable, write_ligolw
from spiir_pastro.pipeline.campaign_files import simulate
from spiir_pastro.simulation import CampaignConfig, build_campaign

_PEER_ROWS = 20_000
_PLAIN = {name: kind.replace("ilwd:char", "int_8s") for name, kind in POSTCOH.items()}


def a_day_of_triggers() -> pl.DataFrame:
    config = CampaignConfig(banks=(Source.BBH,))
    blocks = build_campaign(config).blocks(0, (config.gps_start, config.seconds), injected=True)
    return pl.concat(rows for rows, _ in blocks)


def write_with_peer(path: Path, frame: pl.DataFrame) -> None:
    table = type("Postcoh", (igwn_ligolw.ligolw.Table,), {"tableName": "postcoh"})
    table.validcolumns = dict(_PLAIN)
    made = table.new(list(_PLAIN))
    for values in frame.select(list(_PLAIN)).iter_rows():
        row = made.RowType()
        for name, value in zip(_PLAIN, values, strict=True):
            setattr(row, name, value)
        made.append(row)
    document = igwn_ligolw.ligolw.Document()
    document.appendChild(igwn_ligolw.ligolw.LIGO_LW()).appendChild(made)
    igwn_ligolw.utils.write_filename(document, str(path), compress="gz")


def compare_writers(folder: Path) -> None:
    frame = a_day_of_triggers()
    ours, peers = folder / "ours.xml.gz", folder / "peer.xml.gz"
    start = time.process_time()
    write_ligolw(ours, [LigolwTable(name="postcoh", columns=_PLAIN, rows=[frame])])
    our_cost = (time.process_time() - start) / frame.height
    few = frame.head(_PEER_ROWS)
    start = time.process_time()
    write_with_peer(peers, few)
    peer_cost = (time.process_time() - start) / few.height
    columns = ["far", "cohsnr", "mchirp", "end_time_ns"]
    found, expected = (
        read_table(path, "postcoh", columns=columns).head(few.height) for path in (ours, peers)
    )
    close = ((found - expected) / expected.with_columns(pl.all().replace(0, 1))).max()
    assert max(close.row(0)) < 1e-6
    print(f"ours         {our_cost * 1e6:8.2f} us CPU a row  ({frame.height} rows)")
    print(f"igwn-ligolw  {peer_cost * 1e6:8.2f} us CPU a row  ({few.height} rows)")
    print(f"ratio        {peer_cost / our_cost:8.1f}")


def time_campaigns(folder: Path) -> None:
    for days in (1, 4):
        wall, cpu = time.perf_counter(), time.process_time()
        steps = simulate(folder / f"days{days}", CampaignConfig(days=days))
        rows = sum(step.rows for step in steps)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{days} days, 3 banks x 2 runs: {rows} rows, {time.perf_counter() - wall:.1f} s, "
            f"{time.process_time() - cpu:.1f} s CPU in one process, peak {peak:.0f} MiB"
        )


def main() -> None:
    print(f"{os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        compare_writers(Path(folder))
        time_campaigns(Path(folder))


if __name__ == "__main__":
    main()
