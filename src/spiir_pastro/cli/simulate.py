"""``spiir-pastro simulate``: write a campaign with known truth in SPIIR's file formats."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from rich.progress import BarColumn, MofNCompleteColumn, TimeRemainingColumn

from spiir_pastro.cli.options import NEW_FOLDER, setting
from spiir_pastro.cli.output import progress_bar
from spiir_pastro.domain import ASTROPHYSICAL, Source
from spiir_pastro.io.populations import MASS_PLANE, read_populations
from spiir_pastro.models.early_warning import nearer
from spiir_pastro.pipeline.campaign_files import is_campaign, simulate
from spiir_pastro.simulation import (
    NETWORK,
    SENSITIVITIES,
    SIMULATED,
    CampaignConfig,
    is_detectable,
)

_DEFAULT = CampaignConfig()


def _banks(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[Source, ...]:  # noqa: ARG001  (click's signature)
    """Read ``BBH,BNS``."""
    names = {str(source).upper(): source for source in ASTROPHYSICAL}
    wanted = [name.strip().upper() for name in value.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in names]
    if unknown or not wanted:
        raise click.BadParameter(f"{value!r}; name some of {', '.join(names)}, with commas between")
    return tuple(names[name] for name in dict.fromkeys(wanted))


@click.command("simulate")
@click.argument("directory", type=NEW_FOLDER)
@setting("--days", default=_DEFAULT.days, help="Length of the campaign, days.")
@setting("--seed", default=_DEFAULT.seed, help="Same seed, same bytes.")
@setting(
    "--banks",
    default="BNS,NSBH,BBH",
    callback=_banks,
    help="Template banks; by default without those of which an early warning detects nothing.",
)
@setting("--groups", default=_DEFAULT.groups, help="Groups of templates in each bank.")
@setting("--noise-rate", default=_DEFAULT.noise_rate_hz, help="Noise triggers of a bank group, Hz.")
@click.option(
    "--far-max",
    type=float,
    default=None,
    help="Write only triggers with a FAR below this (Hz): a year of candidates, cheaply.",
)
@setting(
    "--injection-interval",
    default=_DEFAULT.injection_interval_s,
    help="Seconds from one injection to the next.",
)
@setting(
    "--mergers-per-day", default=3.0, help="Expected real mergers a day of each class, in all runs."
)
@setting(
    "--misrecovered",
    default=_DEFAULT.misrecovered,
    help="Fraction of heavy binaries recovered at 0.2 to 0.4 of their chirp mass.",
)
@setting(
    "--observing-run",
    type=click.Choice([*SENSITIVITIES]),
    default=_DEFAULT.observing_run,
    help="Whose noise curves, ranges and duty cycles the detectors have.",
)
@click.option("--kagra", is_flag=True, help="Search in K1 too.")
@setting(
    "--single-detector",
    default=_DEFAULT.single_detector,
    help="Search while one detector is on: its rate of noise candidates over that of H1 and L1.",
)
@setting(
    "--early-warning",
    default=_DEFAULT.early_warning_s,
    help="End signals so many seconds before the merger; heavy binaries are not detectable then.",
)
@setting("--gps-start", default=_DEFAULT.gps_start, help="When the campaign begins, GPS seconds.")
@setting("--file-seconds", default=_DEFAULT.file_seconds, help="Length of a file, seconds.")
@click.option("--legacy", is_flag=True, help="Use the column names of SPIIR's older files.")
@click.option(
    "--processes",
    default=os.cpu_count() or 1,
    show_default="all cores",
    help="Processes to use; the result is the same.",
)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    directory: Path,
    noise_rate: float,
    far_max: float | None,
    injection_interval: float,
    mergers_per_day: float,
    observing_run: str,
    kagra: bool,
    early_warning: float,
    legacy: bool,
    processes: int,
    **choices: Any,  # noqa: ANN401  (fields of CampaignConfig by their own names)
) -> None:
    """Write a SPIIR campaign with known truth into DIRECTORY.

    Every bank gets a run without injections and one with, over the same noise; truth/ says where
    each trigger comes from, and RUNS.yaml is ready for `spiir-pastro extract`.

    Interrupted, the same command goes on where it stopped; done, it does nothing.
    """
    if early_warning > 0:
        # Light binaries alone are detected, whose classes hang on the masses assumed: the model's.
        populations = {
            source: nearer(replace(law, redshift=SIMULATED[source].redshift), early_warning)
            for source, law in read_populations(MASS_PLANE).items()
        }
        choices |= {"merger_population": populations, "injection_population": populations}
    network = (*NETWORK, "K1") if kagra else NETWORK
    sensitivity = SENSITIVITIES[observing_run]
    config = CampaignConfig(
        observing_run=observing_run,
        bns_range_mpc={ifo: sensitivity.bns_range_mpc[ifo] for ifo in network},
        duty_cycle={ifo: sensitivity.duty_cycle[ifo] for ifo in network},
        noise_rate_hz=noise_rate,
        far_max_hz=far_max,
        injection_interval_s=injection_interval,
        mergers_per_day=dict.fromkeys(ASTROPHYSICAL, mergers_per_day),
        early_warning_s=early_warning,
        **choices,
    )
    if early_warning > 0 and ctx.get_parameter_source("banks") is ParameterSource.DEFAULT:
        config = _detectable(config)
    if (directory / "RUNS.yaml").exists() and is_campaign(directory, config, legacy=legacy):
        click.echo(f"{directory} holds this very campaign already", err=True)
        return
    rows = 0
    with progress_bar(
        "simulate",
        BarColumn(),
        MofNCompleteColumn(),
        "files  {task.fields[rows]:,} rows",
        TimeRemainingColumn(),
    ) as bar:
        task = bar.add_task("simulate", total=None, rows=0)
        for step in simulate(directory, config, legacy=legacy, processes=processes):
            rows += step.rows
            bar.update(task, total=step.files, completed=step.files_done, rows=rows)
    click.echo(f"{rows} triggers written; RUNS.yaml describes the runs", err=True)


def _detectable(config: CampaignConfig) -> CampaignConfig:
    """Leave out the banks of which nothing is detected so early, and say so."""
    banks = tuple(bank for bank in config.banks if is_detectable(bank, config))
    if not banks:
        raise click.UsageError(
            f"no binary is detectable {config.early_warning_s:g} s before the merger; give a "
            "smaller --early-warning"
        )
    if left_out := [bank for bank in config.banks if bank not in banks]:
        click.echo(
            f"left out: {', '.join(left_out)}, not detectable {config.early_warning_s:g} s before "
            "the merger",
            err=True,
        )
    return replace(config, banks=banks)
