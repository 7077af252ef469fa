"""Try the gate on changes known to be bad and on changes known to be harmless.

For each seed a campaign is simulated, processed, fitted and evaluated; then each change is made,
and its evaluation compared with the first. All bad ones should be stopped, no harmless one. Run
with the number of seeds::

    python benchmarks/bench_gate.py 10
"""

import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from spiir_pastro.domain import ASTROPHYSICAL, Source
from spiir_pastro.evaluation.comparison import Comparison, Evaluated, compare
from spiir_pastro.io.artifact import ModelArtifact
from spiir_pastro.io.distance_tables import CAMPAIGN, read_distances
from spiir_pastro.io.runs import Purpose, RunsFile, read_runs
from spiir_pastro.models.density_settings import DensitySettings
from spiir_pastro.models.fit_settings import FitSettings
from spiir_pastro.pipeline.assessment import evaluate_processed
from spiir_pastro.pipeline.campaign_files import simulate
from spiir_pastro.pipeline.evaluations import as_evaluated
from spiir_pastro.pipeline.extraction import extract
from spiir_pastro.pipeline.inventory import Inventory, take_inventory
from spiir_pastro.pipeline.model_fit import fit
from spiir_pastro.pipeline.processing import process
from spiir_pastro.pipeline.raw_files import RawKind, raw_files_of_runs
from spiir_pastro.pipeline.summary import ProcessSettings
from spiir_pastro.pipeline.training import TrainingSet, from_processed
from spiir_pastro.simulation import CampaignConfig

__all__ = ["BAD", "HARMLESS", "Campaign", "campaign_of", "change"]

_CONFIG = CampaignConfig(
    days=8.0,
    groups=1,
    far_max_hz=3e-4,
    injection_interval_s=1500.0,
    mergers_per_day=dict.fromkeys(ASTROPHYSICAL, 6.0),
    file_seconds=43_200,
)


@dataclass(frozen=True)
class Campaign:
    """A simulated campaign, and what became of it, each made when it is first asked for."""

    folder: Path
    seed: int

    @cached_property
    def runs(self) -> RunsFile:
        """Simulate and extract."""
        for _ in simulate(self.folder / "campaign", replace(_CONFIG, seed=self.seed)):
            pass
        runs = read_runs(self.folder / "campaign" / "RUNS.yaml")
        for _ in extract(raw_files_of_runs(runs), self.folder / "staging", workers=1):
            pass
        return runs

    @property
    def known_events(self) -> Path:
        """The mergers in the data."""
        return self.folder / "campaign" / "known_mergers.csv"

    @cached_property
    def inventory(self) -> Inventory:
        """What is staged."""
        return take_inventory(self.runs, self.folder / "staging")

    @cached_property
    def processed(self) -> Path:
        """Processed as by default."""
        return self.process("processed")

    def process(
        self,
        name: str,
        *,
        settings: ProcessSettings | None = None,
        inventory: Inventory | None = None,
    ) -> Path:
        """Process into a folder of the campaign."""
        done = process(
            inventory or self.inventory, known_events=self.known_events, settings=settings
        )
        done.write(self.folder / name)
        return self.folder / name

    def evaluate(self, artifact: ModelArtifact, processed: Path | None = None) -> Evaluated:
        """Evaluate a model on this campaign."""
        processed = processed or self.processed
        evaluation = evaluate_processed(artifact, processed, known_events_path=self.known_events)
        return as_evaluated(evaluation, artifact, name=processed.name)

    @cached_property
    def artifact(self) -> ModelArtifact:
        """The model fitted as by default."""
        return fitted(from_processed(self.processed, settings=FitSettings()))

    @cached_property
    def evaluated(self) -> Evaluated:
        """Its evaluation."""
        return self.evaluate(self.artifact)

    @property
    def other(self) -> "Campaign":
        """The campaign of the next seed."""
        return campaign_of(self.folder.parent, self.seed + 1)


@cache
def campaign_of(folder: Path, seed: int) -> Campaign:
    """Return the one campaign of a seed below a folder."""
    return Campaign(folder / str(seed), seed)


def fitted(training: TrainingSet, settings: FitSettings | None = None) -> ModelArtifact:
    """Fit a model."""
    return fit(training, read_distances(CAMPAIGN), settings=settings)


def _tighter_matching(campaign: Campaign) -> Evaluated:
    """Match injections to triggers within 0.4 % of their chirp mass, not 10 %."""
    processed = campaign.process(
        "tighter", settings=ProcessSettings(injection_mchirp_tolerance=0.004)
    )
    artifact = fitted(from_processed(processed, settings=FitSettings()))
    return campaign.evaluate(artifact, processed)


def _shuffled_labels(campaign: Campaign) -> Evaluated:
    """Fit on labels that were dealt out at random."""
    training = from_processed(campaign.processed, settings=FitSettings())
    labels = training.labelled.select("is_signal", "source_class")
    dealt = labels.sample(fraction=1, shuffle=True, seed=campaign.seed)
    labelled = training.labelled.with_columns(dealt)
    return campaign.evaluate(fitted(replace(training, labelled=labelled)))


def _fitted_with(campaign: Campaign, densities: DensitySettings) -> Evaluated:
    """Fit with other choices about the densities."""
    settings = FitSettings(densities=densities)
    training = from_processed(campaign.processed, settings=settings)
    return campaign.evaluate(fitted(training, settings))


def _floor_of_a_half(campaign: Campaign) -> Evaluated:
    """``fit --density-floor .5``: half of noise's density of chirp mass is a uniform one.

    Scores of a few hundred candidates cannot tell: such a model hedges, and its log loss is on some
    seeds the smaller one. It gives sharpness away without getting any score for it.
    """
    return _fitted_with(campaign, DensitySettings(density_floor=0.5))


def _half_outliers(campaign: Campaign) -> Evaluated:
    """``fit --outlier-fraction .5``: the mass contour shares half of every signal."""
    return _fitted_with(campaign, DensitySettings(outlier_fraction=0.5))


def _half_given_away(campaign: Campaign) -> Evaluated:
    """Share half of every candidate's probability evenly among the four sources."""
    one = campaign.evaluated
    sources = [str(source) for source in Source]
    mixed = one.candidates.with_columns(
        (0.5 * pl.col(name) + 0.125).alias(name) for name in sources
    )
    signals = [pl.col(str(source)) for source in ASTROPHYSICAL]
    return replace(one, candidates=mixed.with_columns(p_astro=pl.sum_horizontal(signals)))


def _class_dropped(campaign: Campaign) -> Evaluated:
    """Call every NSBH a BBH."""
    one = campaign.evaluated
    candidates = one.candidates.with_columns(BBH=pl.col("BBH") + pl.col("NSBH"), NSBH=0.0)
    return replace(one, candidates=candidates)


def _half_the_background(campaign: Campaign) -> Evaluated:
    """Lose every other trigger file of the background runs; their segments stay."""
    staged = dict(campaign.inventory.staged)
    for run in campaign.runs.having(Purpose.BACKGROUND):
        files = dict(staged[run.name].files)
        files[RawKind.TRIGGERS] = files[RawKind.TRIGGERS][::2]
        staged[run.name] = replace(staged[run.name], files=files)
    processed = campaign.process("half", inventory=replace(campaign.inventory, staged=staged))
    artifact = fitted(from_processed(processed, settings=FitSettings()))
    return campaign.evaluate(artifact, processed)


def _another_campaign(campaign: Campaign) -> Evaluated:
    """Simulate, fit and evaluate with another seed."""
    return campaign.other.evaluated


def _another_training_set(campaign: Campaign) -> Evaluated:
    """Fit on a campaign of another seed, and evaluate on the same."""
    return campaign.evaluate(campaign.other.artifact)


def _another_order(campaign: Campaign) -> Evaluated:
    """Read the files backwards, and fit on shuffled rows."""
    staged = {
        name: replace(of_run, files={kind: files[::-1] for kind, files in of_run.files.items()})
        for name, of_run in campaign.inventory.staged.items()
    }
    inventory = replace(campaign.inventory, staged=staged)
    processed = campaign.process("backwards", inventory=inventory)
    training = from_processed(processed, settings=FitSettings())
    labelled, counted = (
        table.sample(fraction=1, shuffle=True, seed=campaign.seed)
        for table in (training.labelled, training.counted)
    )
    artifact = fitted(replace(training, labelled=labelled, counted=counted))
    return campaign.evaluate(artifact, processed)


def _part_of_the_span(campaign: Campaign) -> Evaluated:
    """Evaluate the same model on the first five days of the eight."""
    runs = campaign.runs
    end = runs.runs[0].gps_start + round(5 * 86_400 * _CONFIG.days / 8)
    shorter = msgspec.structs.replace(
        runs, runs=tuple(msgspec.structs.replace(run, gps_end=end) for run in runs.runs)
    )
    staged = {
        run.name: replace(campaign.inventory.staged[run.name], run=run) for run in shorter.runs
    }
    inventory = replace(campaign.inventory, runs=shorter, staged=staged)
    return campaign.evaluate(campaign.artifact, campaign.process("part", inventory=inventory))


Variation = Callable[[Campaign], Evaluated]

BAD: Mapping[str, Variation] = {
    "tighter matching": _tighter_matching,
    "shuffled labels": _shuffled_labels,
    "a floor of one half": _floor_of_a_half,
    "half of the signals outliers": _half_outliers,
    "half of each probability given away": _half_given_away,
    "a class dropped": _class_dropped,
    "half the background files gone": _half_the_background,
}
"""Changes the gate must stop."""

HARMLESS: Mapping[str, Variation] = {
    "another campaign": _another_campaign,
    "another training set": _another_training_set,
    "another order": _another_order,
    "a part of the span": _part_of_the_span,
}
"""Changes it must let pass."""


def change(campaign: Campaign, variation: Variation) -> Comparison:
    """Make a change and compare."""
    return compare(campaign.evaluated, variation(campaign))


def _all_changes(seeds: int) -> Iterator[tuple[str, Comparison]]:
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            campaign = campaign_of(Path(folder), seed)
            for name, variation in {**BAD, **HARMLESS}.items():
                yield name, change(campaign, variation)


@dataclass
class _Tally:
    """How often a change was stopped, by which metrics, and the largest change of any."""

    stopped: int = 0
    by: Counter[str] = field(default_factory=Counter)
    largest: float = 0.0

    def add(self, compared: Comparison) -> None:
        self.stopped += bool(compared.worse)
        self.by.update(c.name for c in compared.worse)
        sizes = [abs(c.difference) / c.standard_error for c in compared.changes if c.events]
        self.largest = max(self.largest, float(np.nanmax(sizes)))


def main() -> None:
    """Print how often each change is stopped, and by which metrics."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    tallies = {name: _Tally() for name in {**BAD, **HARMLESS}}
    for name, compared in _all_changes(seeds):
        tallies[name].add(compared)
    print("| change | should be | stopped | largest change, standard errors | by |")
    print("|---|---|---|---|---|")
    for name, tally in tallies.items():
        wanted = "stopped" if name in BAD else "let pass"
        by = ", ".join(f"{metric} {count}" for metric, count in tally.by.most_common(3))
        print(f"| {name} | {wanted} | {tally.stopped} of {seeds} | {tally.largest:.1f} | {by} |")


if __name__ == "__main__":
    main()
