"""Are the rates true? Injections of one population, mergers of another, and the rate put in.

Two simulated campaigns differ in what their injections were drawn from: one broad, one as the
mergers in the sky (GWTC-3). Reweighted, the first must measure what the second measures directly.
Then mergers are counted in short campaigns, and the merger rate put in is looked for::

    python benchmarks/bench_rates.py WORK [--campaigns 40]

WORK keeps the two campaigns for a second call.
"""

import argparse
import math
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import polars as pl

from spiir_pastro.domain import ASTROPHYSICAL, Source, coincident_segments
from spiir_pastro.domain.times import YEAR_S
from spiir_pastro.io.distance_tables import CAMPAIGN, read_distances
from spiir_pastro.io.populations import read_populations
from spiir_pastro.io.trigger_tables import from_postcoh, to_candidates
from spiir_pastro.models.counts import fit_counts
from spiir_pastro.models.exposure import Exposure
from spiir_pastro.models.fit_settings import FitSettings
from spiir_pastro.models.pastro import PastroModel
from spiir_pastro.models.population import BinaryPopulation, MassLaw, RedshiftLaw
from spiir_pastro.pipeline.model_fit import fit
from spiir_pastro.pipeline.sensitivity import Sensitivity, rates_of
from spiir_pastro.pipeline.training import TrainingSet, from_processed
from spiir_pastro.pipeline.workflow import Workspace, run
from spiir_pastro.selection.clustering import cluster
from spiir_pastro.simulation import CampaignConfig, build_campaign, draw_candidates
from spiir_pastro.simulation.binaries import draw_detectable
from spiir_pastro.simulation.config import stream

FARTHEST = {Source.BNS: 0.2, Source.NSBH: 0.4, Source.BBH: 1.9}
SKY = {
    source: replace(population, redshift=replace(population.redshift, high=FARTHEST[source]))
    for source, population in read_populations("gwtc-3").items()
}
BROAD = {
    Source.BNS: BinaryPopulation(
        primary=MassLaw(low=1.0, high=2.5),
        secondary=MassLaw(low=1.0, high=2.5),
        redshift=RedshiftLaw(high=0.2),
    ),
    Source.NSBH: BinaryPopulation(
        primary=MassLaw(low=4.0, high=30.0, exponent=-1.0),
        secondary=MassLaw(low=1.0, high=2.5),
        redshift=RedshiftLaw(high=0.4),
    ),
    Source.BBH: BinaryPopulation(
        primary=MassLaw(low=4.0, high=95.0, exponent=-1.0),
        secondary=MassLaw(low=4.0),
        redshift=RedshiftLaw(high=1.9),
    ),
}
COMMON = CampaignConfig(
    days=60,
    far_max_hz=3e-4,
    injection_interval_s=400,
    file_seconds=2_592_000,
    unassigned_s=0,
    merger_population=SKY,
    # Injections measure the network of their own days; in days of another campaign it differs.
    duty_cycle={"H1": 1.0, "L1": 1.0, "V1": 1.0},
)
SHORT_DAYS = 30


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("work", type=Path)
    arguments.add_argument("--campaigns", type=int, default=40)
    chosen = arguments.parse_args()
    population = read_populations("gwtc-3")
    reweighted = trained(chosen.work / "broad", 1, BROAD, FitSettings(population=population))
    direct = trained(chosen.work / "sky", 2, SKY, FitSettings(population=population))
    report_agreement(reweighted, direct)
    model = fit(reweighted, read_distances(CAMPAIGN)).model
    report_coverage(model, reweighted, chosen.campaigns)


def trained(
    root: Path, seed: int, injected: Mapping[Source, BinaryPopulation], settings: FitSettings
) -> TrainingSet:
    """Run the pipeline on a campaign, if it has not been run, and read what fit reads."""
    workspace = Workspace(root=root, workers=2)
    if not workspace.model.exists():
        config = replace(COMMON, seed=seed, injection_population=injected)
        for stage in run(workspace, simulation=config):
            print(f"{root.name:6} {stage.stage:10} {stage.seconds:6.1f} s  {stage.result}")
    return from_processed(workspace.processed, settings=settings)


def report_agreement(reweighted: TrainingSet, direct: TrainingSet) -> None:
    print("\nbroad injections reweighted to the sky / injected as the sky: in their joint errors")
    print("        found  worth   volume (Gpc3)         pull   <ln mchirp>   <ln FAR>   <ln SNR>")
    for source in ASTROPHYSICAL:
        sizes, errors = [], []
        for training in (reweighted, direct):
            exposure = training.sensitivity[source].exposure
            sizes.append(exposure.size / training.livetime_yr)
            errors.append(exposure.log_error)
        pulls = [math.log(sizes[0] / sizes[1]) / math.hypot(*errors)]
        for column in ("mchirp_det", "far_hz", "snr"):
            (a, da), (b, db) = (mean_log(t, source, column) for t in (reweighted, direct))
            pulls.append((a - b) / math.hypot(da, db))
        one = reweighted.sensitivity[source]
        print(
            f"{source:5} {one.found:7} {one.effective:6.0f}   {sizes[0]:8.4g} / {sizes[1]:8.4g} "
            f"{pulls[0]:7.2f} {pulls[1]:13.2f} {pulls[2]:10.2f} {pulls[3]:10.2f}"
        )


def mean_log(training: TrainingSet, source: Source, column: str) -> tuple[float, float]:
    """Weighted mean of a logarithm over a class's signals, and its error."""
    signals = training.labelled.filter(source_class=str(source))
    values, weights = signals[column].log().to_numpy(), signals["weight"].to_numpy()
    mean = np.average(values, weights=weights)
    return mean, math.sqrt(((weights * (values - mean)) ** 2).sum()) / weights.sum()


def true_rates(config: CampaignConfig) -> dict[Source, float]:
    """Mergers a Gpc^3 and year that the simulation was told to make."""
    rates = {}
    for source, population in config.merger_population.items():
        gps = np.linspace(config.gps_start, config.gps_end, 20_000)
        rng = stream(99, "kept", source)
        kept, drawn = draw_detectable(source, gps, config, rng, population)
        volume = population.volume_gpc3 * len(kept) / drawn
        rates[source] = config.mergers_per_day[source] * 365.25 / volume
    return rates


def report_coverage(model: PastroModel, training: TrainingSet, campaigns: int) -> None:
    densities = {
        source: replace(
            one,
            exposure=Exposure(
                size=one.exposure.size / training.livetime_yr, log_error=one.exposure.log_error
            ),
        )
        for source, one in training.sensitivity.items()
    }
    # Fresh processes: Polars' threads do not survive a fork.
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        results = list(pool.map(partial(rates_found, model, densities), range(campaigns)))
    truth = true_rates(COMMON)
    print(f"\n{campaigns} campaigns of {SHORT_DAYS} days: merger rate densities (Gpc^-3 yr^-1)")
    print("           put in   mean of medians   inside 90 %   above   below")
    for k, source in enumerate(ASTROPHYSICAL):
        median, low, high = np.array(results)[:, k].T
        above, below = (high < truth[source]).sum(), (low > truth[source]).sum()
        print(
            f"{source:5} {truth[source]:11.4g} {median.mean():17.4g} "
            f"{campaigns - above - below:7}/{campaigns} {above:10} {below:7}"
        )


def rates_found(
    model: PastroModel, volumes: Mapping[Source, Sensitivity], number: int
) -> list[list[float]]:
    """Count one short campaign and turn counts into merger rate densities."""
    config = replace(COMMON, days=SHORT_DAYS, seed=1000 + number)
    drawn = draw_candidates(config).with_columns(event_id=pl.int_range(pl.len()))
    triggers = from_postcoh(drawn).triggers
    candidates = cluster(triggers.filter(pl.col("far_hz") <= model.far_threshold_hz))
    segments = {
        ifo: (np.asarray(times) * 1e9).astype(np.int64)
        for ifo, times in build_campaign(config).segments.items()
    }
    livetime_yr = np.diff(coincident_segments(segments)).sum() / 1e9 / YEAR_S
    measured = {
        source: replace(one, exposure=replace(one.exposure, size=one.exposure.size * livetime_yr))
        for source, one in volumes.items()
    }
    factors = model.densities.log_bayes_factors(
        to_candidates(candidates), far_threshold_hz=model.far_threshold_hz
    )
    rates = rates_of(fit_counts(factors, prior="jeffreys"), livetime_yr, measured)
    return [one["mergers_per_gpc3_yr"] for one in rates["classes"].values()]


if __name__ == "__main__":
    main()
