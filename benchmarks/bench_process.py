"""Processing at scale: rows a second and peak memory against the number of rows.

Run it: ``python benchmarks/bench_process.py [ROWS...]``, by default 10^6, 10^7 and 5*10^7. It
stages a campaign of four weeks, three banks, with and without injections, of so many rows in all 67
columns, and processes it in a process of its own. Bars: 600,000 rows a second, and at 5*10^7 rows a
peak below 1.5 GB.
"""

import hashlib
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from spiir_pastro.domain import DETECTORS
from spiir_pastro.domain.columns import POSTCOH_TYPES
from spiir_pastro.io.ligolw.layout import DTYPES
from spiir_pastro.io.reader_version import READER_VERSION
from spiir_pastro.io.seals import seal
from spiir_pastro.pipeline.staging import Receipt, StagedTable, Staging, Status

_START, _DAYS, _DAY = 1_262_304_018, 28, 86_400
_BANKS = ("BNS", "NSBH", "BBH")
_INJECTION_INTERVAL = 100  # s

_RUNS = """runs:
{runs}
"""
_RUN = """
  - name: {bank}_{kind}
    bank: {bank}
    purpose: {purpose}
    directories: [{bank}_{kind}]
    gps_start: {start}
    gps_end: {end}
"""


def runs_file() -> str:
    parts = []
    for bank in _BANKS:
        for kind, purpose in (("bg", "background"), ("inj", "foreground")):
            end = _START + _DAYS * _DAY
            run = _RUN.format(bank=bank, kind=kind, purpose=purpose, start=_START, end=end)
            if kind == "inj":
                run += f"    injections: {bank}.xml.gz\n    twin: {bank}_bg\n"
            parts.append(run)
    return _RUNS.format(runs="".join(parts))


def triggers(rows: int, day: int, dice: np.random.Generator) -> pl.DataFrame:
    """Draw a day of triggers of one run: times in order, FARs log-uniform, all columns filled."""
    seconds = np.sort(dice.uniform(0, _DAY, rows)) + _START + day * _DAY
    frame = {
        "event_id": np.arange(rows),
        "end_time": seconds.astype(int),
        "end_time_ns": (seconds % 1 * 1e9).astype(int),
        "ifos": dice.choice(["H1L1", "H1L1V1"], rows),
        "far": 10 ** dice.uniform(-6, -1, rows),
        "mchirp": 10 ** dice.uniform(0, 1.6, rows),
        "cohsnr": 4 + dice.exponential(1, rows),
        **{f"deff_{ifo}": dice.uniform(10, 900, rows) for ifo in DETECTORS},
        **{f"snglsnr_{ifo}": 3 + dice.exponential(1, rows) for ifo in DETECTORS},
    }
    table = pl.DataFrame(frame)
    rest = [name for name in POSTCOH_TYPES if name not in frame]
    spare = pl.Series(dice.uniform(0, 100, rows))
    return table.with_columns(spare.alias(name) for name in rest).select(
        pl.col(name).cast(DTYPES[kind]) for name, kind in POSTCOH_TYPES.items()
    )


def injections() -> pl.DataFrame:
    times = np.arange(_START, _START + _DAYS * _DAY, _INJECTION_INTERVAL)
    same = dict.fromkeys(("mchirp", "mass1", "mass2", "distance"), 10.0)
    return pl.DataFrame(
        {"simulation_id": range(times.size), "geocent_end_time": times}
    ).with_columns(geocent_end_time_ns=0, **{n: pl.lit(v) for n, v in same.items()})


def segments() -> dict[str, pl.DataFrame]:
    numbers = list(range(2))
    return {
        "segment_definer": pl.DataFrame(
            {"segment_def_id": numbers, "ifos": ["H1", "L1"], "name": ["postcohprocessed"] * 2}
        ),
        "segment": pl.DataFrame(
            {
                "segment_def_id": numbers,
                "start_time": [_START] * 2,
                "start_time_ns": [0] * 2,
                "end_time": [_START + _DAYS * _DAY] * 2,
                "end_time_ns": [0] * 2,
            }
        ),
    }


def stage(staging: Staging, name: str, tables: dict[str, pl.DataFrame]) -> None:
    """Write tables and a receipt as extract does."""
    written = {}
    for table, frame in tables.items():
        path = staging.path(name, table)
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(path, compression="zstd", row_group_size=100_000)
        written[table] = StagedTable(rows=frame.height, seal=seal(path))
    staging.keep(
        Receipt(
            name=name,
            ending=".xml.gz",
            size=1,
            sha256=hashlib.sha256(name.encode()).hexdigest(),  # the same bytes twice are refused
            reader=READER_VERSION,
            status=Status.DONE,
            tables=written,
            rejected=None,
            columns=None,
            error=None,
        )
    )


def campaign(folder: Path, rows: int) -> None:
    """Stage so many rows; every run has the same few days over and over, at other times."""
    (folder / "RUNS.yaml").write_text(runs_file())
    staging, dice = Staging(folder / "staging"), np.random.default_rng(1)
    for bank in _BANKS:
        stage(staging, f"{bank}_inj/injections/{bank}", {"sim_inspiral": injections()})
        for kind in ("bg", "inj"):
            stage(staging, f"{bank}_{kind}/HL_SEGMENTS_{_START}_{_DAYS * _DAY}", segments())
            for day in range(_DAYS):
                name = f"{bank}_{kind}/000_zerolag_{_START + day * _DAY}_{_DAY}"
                per_file = rows // (2 * len(_BANKS) * _DAYS)
                stage(staging, name, {"postcoh": triggers(per_file, day, dice)})


def processed(folder: Path) -> tuple[float, float, float]:
    """Process in a new process; return seconds of wall and processor, and the peak in GB."""
    start = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [
        sys.executable, "-m", "spiir_pastro", "process", str(folder / "RUNS.yaml"),
        "--staging", str(folder / "staging"), "--processed", str(folder / "processed"),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603  (our own)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, busy, after.ru_maxrss / 1e6


def main() -> None:
    """Print the table."""
    sizes = [int(float(size)) for size in sys.argv[1:]] or [10**6, 10**7, 5 * 10**7]
    print(f"{'rows':>11} {'wall s':>8} {'processor s':>11} {'rows/s':>10} {'peak GB':>8}")
    for rows in sorted(sizes):
        with tempfile.TemporaryDirectory() as folder:
            campaign(Path(folder), rows)
            wall, busy, peak = processed(Path(folder))
        print(f"{rows:>11,} {wall:8.1f} {busy:11.1f} {rows / wall:10,.0f} {peak:8.2f}", flush=True)


if __name__ == "__main__":
    main()
