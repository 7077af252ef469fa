"""``spiir-pastro process``: staged triggers to foreground and background."""

from functools import partial
from pathlib import Path

import click
import msgspec

from spiir_pastro.cli.options import (
    FILE,
    FOLDER,
    NEW_FOLDER,
    NOT_NEGATIVE,
    known_events_option,
    setting,
)
from spiir_pastro.cli.output import json_option, print_json, print_table, progress_bar
from spiir_pastro.domain.times import SECOND_NS
from spiir_pastro.io.folders import sole_writer
from spiir_pastro.io.runs import read_runs
from spiir_pastro.io.table_storage import FrameFormat
from spiir_pastro.pipeline.inventory import Inventory, take_inventory
from spiir_pastro.pipeline.processed import Processed, open_processed
from spiir_pastro.pipeline.processing import process, remove_leftovers
from spiir_pastro.pipeline.summary import ProcessSettings
from spiir_pastro.selection import TwinTolerance

_DEFAULT = ProcessSettings()


_measure = partial(setting, type=NOT_NEGATIVE)


@click.command(name="process")
@click.argument("runs_file", metavar="RUNS.yaml", type=FILE)
@setting("--staging", type=FOLDER, default="data/staging", help="Folder that extract wrote.")
@setting(
    "--processed",
    type=NEW_FOLDER,
    default="data/processed",
    help="Folder to write; an earlier result in it is replaced.",
)
@known_events_option
@setting(
    "--format",
    "file_format",
    type=click.Choice([str(kind) for kind in FrameFormat]),
    default=str(FrameFormat.PARQUET),
    help="How tables are stored.",
)
@_measure(
    "--cluster-window",
    default=_DEFAULT.cluster_window_ns / SECOND_NS,
    help="Of triggers nearer in time only the most significant is a candidate, seconds.",
)
@_measure(
    "--known-window",
    default=_DEFAULT.known_window_ns / SECOND_NS,
    help="Largest distance in time of a trigger from its known merger, seconds.",
)
@_measure(
    "--injection-window",
    default=_DEFAULT.injection_window_ns / SECOND_NS,
    help="Largest distance in time of a trigger from its injection, seconds.",
)
@_measure(
    "--injection-mchirp-tolerance",
    default=_DEFAULT.injection_mchirp_tolerance,
    help="Largest distance in chirp mass, as a fraction of the injection's.",
)
@_measure(
    "--twin-window",
    default=_DEFAULT.twin.window_ns / SECOND_NS,
    help="Largest distance in time of noise from itself in the twin run, seconds.",
)
@_measure(
    "--twin-mchirp-tolerance",
    default=_DEFAULT.twin.mchirp,
    help="Largest distance in chirp mass, as a fraction of the twin's.",
)
@_measure(
    "--twin-snr-excess",
    default=_DEFAULT.twin.snr,
    help="Louder than its twin by more than this fraction, a trigger is no noise.",
)
@click.option(
    "--allow-missing",
    is_flag=True,
    default=False,
    help="Go on without files that are missing, changed, damaged or not extracted; the summary, "
    "the model and the report name them.",
)
@json_option("the content of summary.json")
def command(
    *,
    runs_file: Path,
    staging: Path,
    processed: Path,
    known_events: Path | None,
    file_format: str,
    cluster_window: float,
    known_window: float,
    injection_window: float,
    injection_mchirp_tolerance: float,
    twin_window: float,
    twin_mchirp_tolerance: float,
    twin_snr_excess: float,
    allow_missing: bool,
    as_json: bool,
) -> None:
    """Cluster, label and decontaminate staged runs into foreground and background.

    Ends with code 3 and writes nothing if a file is missing, changed, damaged or not extracted.
    """
    runs = read_runs(runs_file, staged=True)
    settings = ProcessSettings(
        cluster_window_ns=round(cluster_window * SECOND_NS),
        known_window_ns=round(known_window * SECOND_NS),
        injection_window_ns=round(injection_window * SECOND_NS),
        injection_mchirp_tolerance=injection_mchirp_tolerance,
        twin=TwinTolerance(
            window_ns=round(twin_window * SECOND_NS),
            mchirp=twin_mchirp_tolerance,
            snr=twin_snr_excess,
        ),
    )
    with sole_writer(processed), progress_bar() as progress:
        remove_leftovers(processed)
        inventory = take_inventory(runs, staging)
        result = process(
            inventory,
            known_events=known_events,
            settings=settings,
            allow_missing=allow_missing,
            scratch=processed,
            watch=lambda steps, stage: progress.track(steps, description=stage),
        )
        result.write(processed, file_format=FrameFormat(file_format))
    _tell(inventory, result)
    if as_json:
        print_json(msgspec.to_builtins(open_processed(processed).summary))
    else:
        print_table(result.fate_table(), title="What became of every staged row")


def _tell(inventory: Inventory, result: Processed) -> None:
    """Say on stderr what the result lacks, and what could not be checked."""
    if inventory.unchecked:
        click.echo(
            f"no raw file of {', '.join(inventory.unchecked)} is there: taken from "
            f"{inventory.folder} alone, as it is",
            err=True,
        )
    for problem in result.problems:
        click.echo(f"{problem.trouble}: {problem.name}: {problem.why}", err=True)
    for gap in result.uncovered:
        if gap.seconds is None:
            click.echo(
                f"{gap.run}: the names of its trigger files do not end in _<GPS>_<seconds>, so it "
                "is not known which segments they cover; all count as livetime",
                err=True,
            )
        else:
            click.echo(
                f"{gap.run}: no trigger file covers {gap.seconds:.0f} s of its segments, which do "
                "not count as livetime",
                err=True,
            )
