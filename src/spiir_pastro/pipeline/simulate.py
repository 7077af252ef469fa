"""Write a simulated campaign as directories of SPIIR's own files, beside its truth.

::

    DIR/
      RUNS.yaml                        what `extract` and `process` read
      campaign.json                    parameters, and how the injections were drawn
      known_mergers.csv                the real mergers, as a catalogue lists them
      distances_drawn.csv              a stand-in for a table of BAYESTAR distances
      injections/bbh.xml.gz            sim_inspiral
      bbh_bg/HLV_000/HLV_000_zerolag_<gps>_<seconds>.xml.gz, H1L1V1_SEGMENTS_<gps>_<seconds>.xml.gz
      bbh_inj/...                      the same noise, with injections
      truth/bbh_bg/HLV_000/HLV_000_zerolag_<gps>_<seconds>.parquet    each row's origin
      truth/injections_bbh.parquet     the injections with everything drawn

Each file is made by itself from the seed, so any number of processes makes the same bytes.
"""

import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import polars as pl
import yaml

from spiir_pastro.domain import Source
from spiir_pastro.errors import ConfigError
from spiir_pastro.io.atomic import atomic_path, write_atomically
from spiir_pastro.io.ligolw_layouts import (
    ID_OWNERS,
    LEGACY_NAMES,
    LEGACY_POSTCOH,
    POSTCOH,
    PROCESS,
    SEGMENT,
    SEGMENT_DEFINER,
    SIM_INSPIRAL,
)
from spiir_pastro.io.ligolw_writer import LigolwTable, write_ligolw
from spiir_pastro.simulation import (
    NETWORK,
    Campaign,
    CampaignConfig,
    build_campaign,
    draw_distances,
    injection_frame,
    merger_frame,
)

__all__ = ["Progress", "simulate"]

_PROGRAM = "spiir_pastro_simulate"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A file pair was written: how many there are in all, and the rows in this one."""

    files_done: int
    files: int
    rows: int


@dataclass(frozen=True, kw_only=True)
class _Task:
    """One bank group's files of one span, with injections and without."""

    root: Path
    config: CampaignConfig
    place: int
    span: tuple[int, int]
    legacy: bool


def simulate(
    root: str | Path, config: CampaignConfig, *, legacy: bool = False, processes: int = 1
) -> Iterator[Progress]:
    """Write a campaign, yielding progress as files are done.

    Parameters
    ----------
    root
        A directory, new or empty.
    config
        What to simulate.
    legacy
        Use the column names of SPIIR's older files.
    processes
        How many to use; the result is the same.

    Raises
    ------
    ConfigError
        If the directory holds something, or processes is not positive.
    TableError
        If a file cannot be written.
    """
    root = Path(root)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise ConfigError(f"{root} holds something already; name a new or empty directory")
    if processes < 1:
        raise ConfigError(f"processes is {processes}; at least 1 is needed")
    campaign = build_campaign(config)
    _write_surroundings(root, campaign)
    tasks = [
        _Task(root=root, config=config, place=place, span=span, legacy=legacy)
        for span in config.file_spans()
        for place in range(len(campaign.chain))
    ]
    for done, rows in enumerate(_run(tasks, processes), start=1):
        yield Progress(files_done=2 * done, files=2 * len(tasks), rows=rows)
    write_atomically(root / "RUNS.yaml", _runs_file(campaign).encode())


def _run(tasks: list[_Task], processes: int) -> Iterator[int]:
    if processes == 1:
        yield from map(_write_files, tasks)
        return
    context = multiprocessing.get_context("spawn")  # Polars' threads do not survive a fork
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        for future in as_completed([pool.submit(_write_files, task) for task in tasks]):
            yield future.result()


_CAMPAIGNS: dict[str, Campaign] = {}


def _campaign(config: CampaignConfig) -> Campaign:
    """Build a campaign once a process."""
    key = repr(config)
    if key not in _CAMPAIGNS:
        _CAMPAIGNS.clear()
        _CAMPAIGNS[key] = build_campaign(config)
    return _CAMPAIGNS[key]


def _write_files(task: _Task) -> int:
    """Write a bank group's zerolag, segment and truth files of one span; return the rows."""
    campaign = _campaign(task.config)
    group = campaign.chain[task.place]
    start, duration = task.span
    count = 0
    for kind in ("bg", "inj"):
        folder = Path(f"{group.bank.lower()}_{kind}") / f"HLV_{group.number:03d}"
        name = f"{folder.name}_zerolag_{start}_{duration}"
        truths: list[pl.DataFrame] = []
        blocks = campaign.blocks(task.place, task.span, injected=kind == "inj")
        write_ligolw(
            task.root / folder / f"{name}.xml.gz",
            [_process_table(start, duration), _postcoh(blocks, truths, legacy=task.legacy)],
        )
        truth = pl.concat(truths)
        _write_parquet(truth, task.root / "truth" / folder / f"{name}.parquet")
        count += truth.height
        write_ligolw(
            task.root / folder / f"{''.join(NETWORK)}_SEGMENTS_{start}_{duration}.xml.gz",
            [_process_table(start, duration), *_segment_tables(campaign, start, duration)],
        )
    return count


def _postcoh(
    blocks: Iterator[tuple[pl.DataFrame, pl.DataFrame]],
    truths: list[pl.DataFrame],
    *,
    legacy: bool,
) -> LigolwTable:
    """Return the trigger table, whose writing leaves the truth of its rows behind."""

    def rows() -> Iterator[pl.DataFrame]:
        for frame, truth in blocks:
            truths.append(truth)
            yield frame.rename(dict(LEGACY_NAMES)) if legacy else frame

    columns = LEGACY_POSTCOH if legacy else POSTCOH
    return LigolwTable(name="postcoh", columns=columns, rows=rows(), id_owners=ID_OWNERS)


def _process_table(start: int, duration: int) -> LigolwTable:
    row = pl.DataFrame(
        {name: [None] for name in PROCESS}
        | {
            "ifos": [",".join(NETWORK)],
            "is_online": [0],
            "jobid": [0],
            "process_id": [0],
            "program": [_PROGRAM],
            "start_time": [start],
            "end_time": [start + duration],
        }
    )
    return LigolwTable(name="process", columns=PROCESS, rows=[row], id_owners=ID_OWNERS)


def _segment_tables(campaign: Campaign, start: int, duration: int) -> list[LigolwTable]:
    """Return what was on within a span, as SPIIR writes it."""
    definers = pl.DataFrame(
        {
            "comment": "SPIIR postcoh snapshot",
            "ifos": NETWORK,
            "name": "postcohprocessed",
            "process_id": 0,
            "segment_def_id": range(len(NETWORK)),
            "version": None,
        }
    )
    spans = [
        (d, max(int(on), start), min(int(off), start + duration))
        for d, ifo in enumerate(NETWORK)
        for on, off in campaign.segments[ifo]
        if on < start + duration and off > start
    ]
    segments = pl.DataFrame(
        spans, schema=["segment_def_id", "start_time", "end_time"], orient="row"
    ).with_columns(
        process_id=pl.lit(0),
        start_time_ns=pl.lit(0),
        end_time_ns=pl.lit(0),
        segment_id=pl.int_range(pl.len()),
    )
    return [
        LigolwTable(
            name="segment_definer", columns=SEGMENT_DEFINER, rows=[definers], id_owners=ID_OWNERS
        ),
        LigolwTable(name="segment", columns=SEGMENT, rows=[segments], id_owners=ID_OWNERS),
    ]


def _write_surroundings(root: Path, campaign: Campaign) -> None:
    """Write all that is not triggers: injections, mergers, distances and the parameters."""
    config = campaign.config
    for bank, signals in campaign.injections.items():
        frame = injection_frame(signals)
        table = LigolwTable(
            name="sim_inspiral", columns=SIM_INSPIRAL, rows=[frame], id_owners=ID_OWNERS
        )
        write_ligolw(
            root / "injections" / f"{bank.lower()}.xml.gz",
            [_process_table(config.gps_start, config.seconds), table],
        )
        truth = pl.DataFrame(
            {"injection_id": signals.numbers, **signals.binaries.columns()}
        ).with_columns(source=pl.lit(str(bank)))
        _write_parquet(truth, root / "truth" / f"injections_{bank.lower()}.parquet")
    for name, listing in (
        ("known_mergers", merger_frame(campaign)),
        ("distances_drawn", draw_distances(campaign)),
    ):
        write_atomically(root / f"{name}.csv", listing.write_csv().encode())
    summary = {
        "schema_version": 1,
        "note": "simulated; distances_drawn.csv is drawn from a formula, not by BAYESTAR",
        "config": asdict(config),
        "injections": {
            bank: {
                "drawn": campaign.drawn[bank],
                "injected": len(signals.binaries),
            }
            for bank, signals in campaign.injections.items()
        },
    }
    write_atomically(root / "campaign.json", f"{json.dumps(summary, indent=2)}\n".encode())


def _runs_file(campaign: Campaign) -> str:
    runs = [run for bank in campaign.injections for run in _runs_of_bank(bank, campaign)]
    return yaml.safe_dump({"schema_version": 1, "runs": runs}, sort_keys=False)


def _runs_of_bank(bank: Source, campaign: Campaign) -> list[dict[str, object]]:
    name, config = bank.lower(), campaign.config
    drawn = campaign.drawn[bank]
    injected = len(campaign.injections[bank].binaries)
    span = {"gps_start": config.gps_start, "gps_end": config.gps_end}
    return [
        {
            "name": f"{name}_bg",
            "bank": str(bank),
            "purpose": "background",
            "directories": [f"{name}_bg"],
            **span,
        },
        {
            "name": f"{name}_inj",
            "bank": str(bank),
            "purpose": "foreground",
            "directories": [f"{name}_inj"],
            **span,
            "injections": f"injections/{name}.xml.gz",
            "injected": msgspec.to_builtins(config.injection_population[bank]),
            "kept_fraction": injected / drawn if drawn else 1.0,
            "twin": f"{name}_bg",
        },
    ]


def _write_parquet(frame: pl.DataFrame, path: Path) -> None:
    with atomic_path(path) as draft:
        frame.write_parquet(draft, compression="zstd", statistics=False)
