"""Are the probabilities true? A held-out simulated campaign, and counts over two hundred more.

A model is fitted on one simulated campaign through every stage of the pipeline, from raw files. A
second campaign, of another seed, is predicted with it; then many short campaigns are counted::

    python benchmarks/bench_calibration.py WORK [--campaigns 200] [--plot STEM] [--as-assumed]

With ``--as-assumed`` mergers are drawn from the population that the model's classes take,
``mass-plane``, and counts are those of a third campaign with it: what is left then is no matter of
other populations. WORK keeps the fitted model for a second call. The raw files hold triggers below
the FAR threshold only, which is exact (they are a thinned Poisson process).
"""

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import polars as pl

from spiir_pastro.domain import ASTROPHYSICAL, Source
from spiir_pastro.evaluation.breakdown import class_agreement
from spiir_pastro.evaluation.scores import reliability, score
from spiir_pastro.io.artifact import load_model
from spiir_pastro.io.populations import MASS_PLANE, read_populations
from spiir_pastro.io.trigger_tables import from_postcoh, to_candidates
from spiir_pastro.models.count_summary import CountSummary
from spiir_pastro.models.counts import CountPosterior, fit_counts
from spiir_pastro.models.pastro import PastroModel
from spiir_pastro.pipeline.workflow import Workspace, run
from spiir_pastro.report.evaluation import draw_calibration
from spiir_pastro.report.style import figure, house_style, save
from spiir_pastro.selection.clustering import cluster
from spiir_pastro.simulation import CampaignConfig, draw_candidates

THRESHOLD_HZ = 3e-4
TRAINING = CampaignConfig(days=150, far_max_hz=THRESHOLD_HZ, seed=1, file_seconds=2_592_000)
HELD_OUT = CampaignConfig(days=330, far_max_hz=THRESHOLD_HZ, seed=2, unassigned_s=0)
COUNTED = CampaignConfig(days=330, far_max_hz=THRESHOLD_HZ, seed=3, unassigned_s=0)
SHORT_DAYS = 20
FARTHEST = {Source.BNS: 0.15, Source.NSBH: 0.5, Source.BBH: 1.5}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("work", type=Path)
    arguments.add_argument("--campaigns", type=int, default=200)
    arguments.add_argument("--plot", type=Path, help="draw the calibration as STEM.png and .svg")
    arguments.add_argument("--as-assumed", action="store_true", help="see above")
    chosen = arguments.parse_args()
    workspace = Workspace(root=chosen.work, workers=2)
    if not workspace.model.exists():
        for stage in run(workspace, simulation=TRAINING):
            print(f"{stage.stage:10} {stage.seconds:6.1f} s  {stage.result}", flush=True)
    model = load_model(workspace.model).model
    held_out, short = (
        HELD_OUT,
        CampaignConfig(days=SHORT_DAYS, far_max_hz=THRESHOLD_HZ, unassigned_s=0),
    )
    if chosen.as_assumed:
        held_out, short = as_assumed(held_out), as_assumed(short)
        counts = _posterior(model, candidates_of(as_assumed(COUNTED)))[1]
        model = replace(model, counts=CountSummary.of(counts))
    report_calibration(model, candidates_of(held_out), chosen.plot)
    if chosen.campaigns:
        report_coverage(model, short, chosen.campaigns)


def as_assumed(config: CampaignConfig) -> CampaignConfig:
    """Draw the mergers from the population that the classes' densities take."""
    population = {
        source: replace(law, redshift=replace(config.merger_population[source].redshift, high=z))
        for source, law in read_populations(MASS_PLANE).items()
        for z in (FARTHEST[source],)
    }
    return replace(config, merger_population=population)


def candidates_of(config: CampaignConfig) -> pl.DataFrame:
    """Simulate a campaign and cluster its triggers; ``source_class`` is null for noise."""
    drawn = draw_candidates(config)
    numbered = drawn.with_columns(event_id=pl.int_range(pl.len()))
    truth = numbered.select(
        pl.col("event_id").cast(pl.String),
        pl.when(pl.col("origin") == "merger").then("source").alias("source_class"),
    )
    triggers = from_postcoh(numbered).triggers.filter(pl.col("far_hz") <= THRESHOLD_HZ)
    return cluster(triggers).join(truth, on="event_id", how="left", maintain_order="left")


def report_calibration(model: PastroModel, candidates: pl.DataFrame, plot: Path | None) -> None:
    said = model.predict(to_candidates(candidates))
    true = candidates["source_class"].fill_null("").to_numpy().astype(np.str_)
    signal = true != ""
    print(f"\nheld out: {len(true)} candidates, {signal.sum()} signals")
    rows = [("p_astro", said.p_astro, signal)] + [
        (str(source), said.probabilities[:, i], true == source)
        for i, source in enumerate(ASTROPHYSICAL)
    ]
    print("             true  expected  log loss     AUC     ECE   slope")
    for name, p, y in rows:
        s, ece = score(p, y), reliability(p, y).expected_calibration_error
        slope = np.polyfit(p, y, 1)[0]
        print(
            f"{name:10} {s.signals:6} {s.expected_signals:9.1f} {s.log_loss:9.4f} {s.auc:7.4f} "
            f"{ece:7.4f} {slope:7.3f}"
        )
    if plot is not None:
        draw_rows(rows, plot)
    found = signal & (said.p_astro > 0.5)
    arrays = to_candidates(candidates)[found]
    shares = model.contour.probabilities(arrays.mchirp_det, arrays.snr, arrays.eff_distance_mpc)
    contour = np.concatenate([shares, np.zeros((len(shares), 1))], axis=1)
    for name, p in (("densities", said.probabilities[found]), ("mass contour alone", contour)):
        agreement = class_agreement(p, true[found])
        print(f"class by {name}: {agreement.fraction:.2%} of {agreement.events} right")


def draw_rows(rows: Sequence[tuple[str, np.ndarray, np.ndarray]], stem: Path) -> None:
    with house_style():
        drawn = figure(width=1.4, height=0.85)
        for ax, (name, p, y) in zip(drawn.subplots(2, 2).flat, rows, strict=True):
            draw_calibration(ax, {"": reliability(p, y)})
            title = f"{name}: {y.sum()} true, {p.sum():.1f} expected"
            ax.set(title=title, xlabel="probability said", ylabel="fraction that are")
        save(drawn, stem)


def report_coverage(model: PastroModel, short: CampaignConfig, campaigns: int) -> None:
    # Fresh processes: Polars' threads do not survive a fork.
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        results = list(pool.map(partial(_count, model, short), range(campaigns), chunksize=5))
    true = np.array([truth for truth, _, _ in results])
    low, high = np.array([interval for _, interval, _ in results]).transpose(1, 0, 2)
    expected = true.mean(axis=0)
    realised = np.array([interval for _, _, interval in results]).transpose(1, 0, 2)
    print(f"\n{campaigns} campaigns of {SHORT_DAYS} days: inside the 90 % interval")
    print("        mean true count   expected count   count of the campaign")
    for i, source in enumerate(ASTROPHYSICAL):
        rate = ((low[:, i] <= expected[i]) & (expected[i] <= high[:, i])).mean()
        count = ((realised[0][:, i] <= true[:, i]) & (true[:, i] <= realised[1][:, i])).mean()
        print(f"{source:6} {expected[i]:16.2f} {rate:16.1%} {count:23.1%}")


def _count(
    model: PastroModel, short: CampaignConfig, number: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count one campaign: true counts, interval of the expected counts and of the realised ones."""
    candidates = candidates_of(replace(short, seed=1000 + number))
    true = [candidates.filter(source_class=str(source)).height for source in ASTROPHYSICAL]
    factors, posterior = _posterior(model, candidates)
    among = posterior.signals_among(factors, 2000, np.random.default_rng(0))
    return np.array(true), posterior.interval(0.9), np.quantile(among, [0.05, 0.95], axis=0)


def _posterior(model: PastroModel, candidates: pl.DataFrame) -> tuple[np.ndarray, CountPosterior]:
    factors = model.densities.log_bayes_factors(
        to_candidates(candidates), far_threshold_hz=THRESHOLD_HZ
    )
    return factors, fit_counts(factors, prior="jeffreys")


if __name__ == "__main__":
    main()
