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

Each file is made by itself from the seed, so any number of processes makes the same bytes, and what
was interrupted goes on where it stopped. RUNS.yaml is written last.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import polars as pl
import yaml

from spiir_pastro.domain import Source
from spiir_pastro.errors import ConfigError
from spiir_pastro.io.atomic import atomic_path, is_draft, remove_drafts, write_atomically
from spiir_pastro.io.folders import sole_writer
from spiir_pastro.io.ligolw_layouts import (
    ID_OWNERS,
    LEGACY_NAMES,
    LEGACY_POSTCOH,
    PROCESS,
    SEGMENT,
    SEGMENT_DEFINER,
    SIM_INSPIRAL,
    postcoh_layout,
)
from spiir_pastro.io.ligolw_writer import LigolwTable, write_ligolw
from spiir_pastro.pipeline.executors import run_all
from spiir_pastro.simulation import (
    NETWORK,
    Campaign,
    CampaignConfig,
    build_campaign,
    draw_distances,
    injection_frame,
    merger_frame,
)

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
    """Write a campaign, or what is missing of it, yielding progress as files are done.

    Parameters
    ----------
    root
        A directory, new or empty, or one in which this very campaign was interrupted.
    legacy
        Use the column names of SPIIR's older files.
    processes
        How many to use; the result is the same.

    Raises
    ------
    ConfigError
        If the directory holds something else, another process writes to it, or processes is not
        positive.
    """
    if legacy and config.network != NETWORK:
        raise ConfigError(f"older files name no detectors but {', '.join(NETWORK)}; leave out K1")
    if processes < 1:
        raise ConfigError(f"processes is {processes}; at least 1 is needed")
    root = Path(root)
    with sole_writer(root):
        if not _is_free(root) and (
            (root / "RUNS.yaml").exists() or not is_campaign(root, config, legacy=legacy)
        ):
            raise ConfigError(f"{root} holds something already; name a new or empty directory")
        remove_drafts(root)
        campaign = build_campaign(config)
        _write_surroundings(root, campaign, legacy=legacy)
        tasks = [
            _Task(root=root, config=config, place=place, span=span, legacy=legacy)
            for span in config.file_spans()
            for place in range(len(campaign.chain))
        ]
        for done, rows in enumerate(run_all(_write_files, tasks, workers=processes), start=1):
            yield Progress(files_done=2 * done, files=2 * len(tasks), rows=rows)
        write_atomically(root / "RUNS.yaml", _runs_file(campaign).encode())


def _is_free(root: Path) -> bool:
    """Whether a directory holds no files but what a killed run began."""
    return root.is_dir() and all(path.is_dir() or is_draft(path) for path in root.rglob("*"))


def is_campaign(root: Path, config: CampaignConfig, *, legacy: bool = False) -> bool:
    """Whether a directory holds a campaign of these parameters, or the beginning of one."""
    try:
        summary = json.loads((root / "campaign.json").read_bytes())
    except (OSError, ValueError):
        return False
    wanted = {"config": json.loads(json.dumps(asdict(config))), "legacy": legacy}
    return isinstance(summary, dict) and wanted.items() <= summary.items()


_CAMPAIGNS: dict[str, Campaign] = {}


def _campaign(config: CampaignConfig) -> Campaign:
    """Build a campaign once a process."""
    key = repr(config)
    if key not in _CAMPAIGNS:
        _CAMPAIGNS.clear()
        _CAMPAIGNS[key] = build_campaign(config)
    return _CAMPAIGNS[key]


def _write_files(task: _Task) -> int:
    """Write a bank group's files of one span, those that are not there yet; return the rows."""
    return sum(_write_run(task, injected=injected) for injected in (False, True))


def _write_run(task: _Task, *, injected: bool) -> int:
    """Write the zerolag, truth and segment file of one run, in this order; return the rows."""
    campaign = _campaign(task.config)
    group = campaign.chain[task.place]
    start, duration = task.span
    kind = "inj" if injected else "bg"
    folder = Path(f"{group.bank.lower()}_{kind}") / f"HLV_{group.number:03d}"
    name = f"{folder.name}_zerolag_{start}_{duration}"
    truth_path = task.root / "truth" / folder / f"{name}.parquet"
    ifos = task.config.network
    last = task.root / folder / f"{''.join(ifos)}_SEGMENTS_{start}_{duration}.xml.gz"
    if last.exists():
        return int(pl.scan_parquet(truth_path).select(pl.len()).collect().item())
    truths: list[pl.DataFrame] = []
    blocks = campaign.blocks(task.place, task.span, injected=injected)
    write_ligolw(
        task.root / folder / f"{name}.xml.gz",
        [
            _process_table(ifos, start, duration),
            _postcoh(blocks, truths, ifos, legacy=task.legacy),
        ],
    )
    truth = pl.concat(truths)
    _write_parquet(truth, truth_path)
    write_ligolw(
        last, [_process_table(ifos, start, duration), *_segment_tables(campaign, start, duration)]
    )
    return truth.height


def _postcoh(
    blocks: Iterator[tuple[pl.DataFrame, pl.DataFrame]],
    truths: list[pl.DataFrame],
    ifos: tuple[str, ...],
    *,
    legacy: bool,
) -> LigolwTable:
    """Return the trigger table, whose writing leaves the truth of its rows behind."""

    def rows() -> Iterator[pl.DataFrame]:
        for frame, truth in blocks:
            truths.append(truth)
            yield frame.rename(dict(LEGACY_NAMES)) if legacy else frame

    columns = LEGACY_POSTCOH if legacy else postcoh_layout(ifos)
    return LigolwTable(name="postcoh", columns=columns, rows=rows(), id_owners=ID_OWNERS)


def _process_table(ifos: tuple[str, ...], start: int, duration: int) -> LigolwTable:
    row = pl.DataFrame(
        {name: [None] for name in PROCESS}
        | {
            "ifos": [",".join(ifos)],
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
            "ifos": campaign.config.network,
            "name": "postcohprocessed",
            "process_id": 0,
            "segment_def_id": range(len(campaign.segments)),
            "version": None,
        }
    )
    spans = [
        (d, max(int(on), start), min(int(off), start + duration))
        for d, ifo in enumerate(campaign.config.network)
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


def _write_surroundings(root: Path, campaign: Campaign, *, legacy: bool) -> None:
    """Write all that is not triggers: the parameters, then injections, mergers and distances."""
    config = campaign.config
    write_atomically(root / "campaign.json", _summary(campaign, legacy=legacy))
    for bank, signals in campaign.injections.items():
        frame = injection_frame(signals)
        table = LigolwTable(
            name="sim_inspiral", columns=SIM_INSPIRAL, rows=[frame], id_owners=ID_OWNERS
        )
        write_ligolw(
            root / "injections" / f"{bank.lower()}.xml.gz",
            [_process_table(config.network, config.gps_start, config.seconds), table],
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


def _summary(campaign: Campaign, *, legacy: bool) -> bytes:
    summary = {
        "schema_version": 1,
        "note": "simulated; distances_drawn.csv is drawn from a formula, not by BAYESTAR",
        "config": asdict(campaign.config),
        "legacy": legacy,
        "injections": {
            bank: {
                "drawn": campaign.drawn[bank],
                "injected": len(signals.binaries),
            }
            for bank, signals in campaign.injections.items()
        },
    }
    return f"{json.dumps(summary, indent=2)}\n".encode()


def _runs_file(campaign: Campaign) -> str:
    runs = [run for bank in campaign.injections for run in _runs_of_bank(bank, campaign)]
    said = f"simulated campaign (seed {campaign.config.seed})"
    document = {"schema_version": 1, "description": said, "runs": runs}
    return yaml.safe_dump(document, sort_keys=False)


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
            "early_warning_s": config.early_warning_s,
            "twin": f"{name}_bg",
        },
    ]


def _write_parquet(frame: pl.DataFrame, path: Path) -> None:
    with atomic_path(path) as draft:
        frame.write_parquet(draft, compression="zstd", statistics=False)
