"""Run every stage in order, each under its own folder.

::

    DIR/
      campaign/        simulated, if no runs file is given
      data/staging/    extract
      data/processed/  process
      models/          fit
      held_out/        a second campaign, simulated, that the model has not seen
      reports/         evaluate, on the second campaign if there is one
      predictions.csv  predict, of the first file of an injection run

A stage that has its result already is cheap to run again: the campaign is kept if it was made with
the same parameters, and extraction does only what changed.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Protocol

from spiir_pastro.errors import ConfigError, TableError
from spiir_pastro.evaluation.holdout import Holdout
from spiir_pastro.evaluation.result import Evaluation
from spiir_pastro.io.artifact import load_model, write_model
from spiir_pastro.io.atomic import write_atomically
from spiir_pastro.io.distance_tables import CAMPAIGN, read_distances
from spiir_pastro.io.folders import sole_writer
from spiir_pastro.io.predictions import as_csv, predict_read
from spiir_pastro.io.runs import Purpose, RunsFile, read_runs
from spiir_pastro.io.trigger_files import read_triggers
from spiir_pastro.models.fit_settings import FitSettings
from spiir_pastro.pipeline.assessment import evaluate_processed, write_evaluation
from spiir_pastro.pipeline.campaign_files import is_campaign, simulate
from spiir_pastro.pipeline.extraction import extract
from spiir_pastro.pipeline.inventory import take_inventory
from spiir_pastro.pipeline.model_fit import fit
from spiir_pastro.pipeline.processed import open_processed
from spiir_pastro.pipeline.processing import process, remove_leftovers
from spiir_pastro.pipeline.raw_files import RawKind, kind_of, raw_files_of_run, raw_files_of_runs
from spiir_pastro.pipeline.staging import Status
from spiir_pastro.pipeline.training import from_processed
from spiir_pastro.simulation import CampaignConfig


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """Where the stages of a whole run leave their results, and what they read."""

    root: Path
    known_events: Path | None = None
    distances: Path | None = None
    workers: int = 1

    @property
    def campaign(self) -> Path:
        """The simulated campaign."""
        return self.root / "campaign"

    @property
    def staging(self) -> Path:
        """Extracted tables."""
        return self.root / "data" / "staging"

    @property
    def processed(self) -> Path:
        """Foreground and background."""
        return self.root / "data" / "processed"

    @property
    def predictions(self) -> Path:
        """Probabilities of the triggers of one raw file."""
        return self.root / "predictions.csv"

    @property
    def reports(self) -> Path:
        """The evaluation."""
        return self.root / "reports"

    @property
    def held_out(self) -> "Workspace":
        """Where the second campaign is."""
        return replace(self, root=self.root / "held_out")

    @property
    def model(self) -> Path:
        """The fitted model."""
        return self.root / "models" / "pastro.json"


@dataclass(frozen=True, kw_only=True)
class StageDone:
    """A stage has ended: its name, how long it took, and what it has to say."""

    stage: str
    seconds: float
    result: str
    evaluation: Evaluation | None = None  # what `evaluate` found; None from the other stages


class OnStep(Protocol):
    """Told how far a stage is: parts done of all, which is None where that is not known."""

    def __call__(self, stage: str, done: int, of: int | None) -> None:
        """Take note of it."""


def _nobody(stage: str, done: int, of: int | None) -> None:
    """Report nothing."""


def run(
    workspace: Workspace,
    *,
    runs_file: Path | None = None,
    simulation: CampaignConfig | None = None,
    second: CampaignConfig | None = None,
    on_step: OnStep = _nobody,
) -> Iterator[StageDone]:
    """Run every stage, yielding as each is done.

    Parameters
    ----------
    runs_file
        What to work on; None to simulate a campaign.
    simulation
        The campaign to simulate; None for the default one.
    second
        Another one that the model is judged on, without having seen it; None to judge it on the
        first, in folds.
    on_step
        Told how far a stage is.

    Raises
    ------
    ConfigError
        If the runs file is wrong, or another campaign was simulated here before.
    TableError
        If a raw file cannot be read.
    """
    work = partial(_timed, on_step=on_step)
    if runs_file is None:
        yield work("simulate", partial(_simulate, workspace, simulation or CampaignConfig()))
        runs_file = workspace.campaign / "RUNS.yaml"
        workspace = _with_truth(workspace)
    runs = read_runs(runs_file)
    yield work("extract", partial(_extract, workspace, runs))
    yield work("process", partial(_process, workspace, runs))
    yield work("fit", partial(_fit, workspace))
    judged = workspace
    if second is not None:
        judged = workspace.held_out
        yield work("simulate", partial(_simulate, judged, second))
        judged = _with_truth(replace(judged, known_events=None))
        others = read_runs(judged.campaign / "RUNS.yaml")
        yield work("extract", partial(_extract, judged, others))
        yield work("process", partial(_process, judged, others))
    start = time.perf_counter()
    on_step("evaluate", 0, None)
    evaluation = _evaluate(workspace, judged, second)
    yield StageDone(
        stage="evaluate",
        seconds=time.perf_counter() - start,
        result=f"AUC {evaluation.scores.auc:.3f}; open {workspace.reports / 'report.html'}",
        evaluation=evaluation,
    )
    yield work("predict", partial(_predict, workspace, runs))


def _with_truth(workspace: Workspace) -> Workspace:
    """Use the simulated campaign's own mergers and distances where none are given."""
    return replace(
        workspace,
        known_events=workspace.known_events or workspace.campaign / "known_mergers.csv",
        distances=workspace.distances or workspace.campaign / "distances_drawn.csv",
    )


def _timed(stage: str, work: Callable[[OnStep], str], *, on_step: OnStep) -> StageDone:
    start = time.perf_counter()
    on_step(stage, 0, None)
    result = work(on_step)
    return StageDone(stage=stage, seconds=time.perf_counter() - start, result=result)


def _simulate(workspace: Workspace, config: CampaignConfig, on_step: OnStep) -> str:
    """Simulate a campaign, or find that it stands there already."""
    folder = workspace.campaign
    if (folder / "RUNS.yaml").exists():
        if not is_campaign(folder, config):
            raise ConfigError(
                f"{folder} holds a campaign of other parameters; remove it or work elsewhere"
            )
        return "kept as it is"
    rows = files = 0
    for step in simulate(folder, config, processes=workspace.workers):
        rows, files = rows + step.rows, step.files
        on_step("simulate", step.files_done, files)
    return f"{rows:,} triggers in {files} files"


def _extract(workspace: Workspace, runs: RunsFile, on_step: OnStep) -> str:
    files = raw_files_of_runs(runs)
    done = count(1)
    receipts = extract(
        files,
        workspace.staging,
        workers=workspace.workers,
        on_outcome=lambda _: on_step("extract", next(done), len(files)),
    )
    failed = [receipt.error for receipt in receipts if receipt.status is Status.FAILED]
    if failed:
        raise TableError(f"{len(failed)} files cannot be extracted, the first: {failed[0]}")
    rows = sum(receipt.rows.get("postcoh", 0) for receipt in receipts)
    return f"{rows:,} triggers of {len(receipts)} files"


def _process(workspace: Workspace, runs: RunsFile, _: OnStep) -> str:
    with sole_writer(workspace.processed):
        remove_leftovers(workspace.processed)
        done = process(
            take_inventory(runs, workspace.staging),
            known_events=workspace.known_events,
            scratch=workspace.processed,
        )
        done.write(workspace.processed)
    return str(done)


def _fit(workspace: Workspace, _: OnStep) -> str:
    settings = FitSettings()
    training = from_processed(workspace.processed, settings=settings)
    artifact = fit(training, read_distances(workspace.distances or CAMPAIGN), settings=settings)
    write_model(artifact, workspace.model)
    counts = artifact.model.counts
    return ", ".join(
        f"{mean:.1f} +- {std:.1f} {source}"
        for source, mean, std in zip(
            artifact.model.densities.signals, counts.mean, counts.std, strict=True
        )
    )


def _evaluate(workspace: Workspace, judged: Workspace, second: CampaignConfig | None) -> Evaluation:
    """Judge the model on a processed campaign, and write the report."""
    artifact = load_model(workspace.model)
    evaluation = evaluate_processed(
        artifact, judged.processed, known_events_path=judged.known_events
    )
    if second is not None:
        # Another seed and another time: nothing of it was learnt from.
        evaluation = replace(evaluation, holdout=Holdout(seen=0, why_not=""))
    write_evaluation(evaluation, artifact, workspace.reports, name=workspace.model.name)
    return evaluation


def _richest_file(workspace: Workspace, runs: RunsFile) -> Path:
    """Choose the trigger file in which most injections were found; the first of equals."""
    paths = {
        raw.name: raw.path
        for run in runs.having(Purpose.FOREGROUND)
        for raw in raw_files_of_run(run)
        if kind_of(run, raw.name + raw.ending) is RawKind.TRIGGERS
    }
    found = Counter(
        event_id.rpartition(":")[0]
        for table in open_processed(workspace.processed).tables("foreground").values()
        for event_id in table["event_id"]
    )
    return paths[max(paths, key=found.__getitem__)]


def _predict(workspace: Workspace, runs: RunsFile, _: OnStep) -> str:
    path = _richest_file(workspace, runs)
    predictions = predict_read(load_model(workspace.model).model, read_triggers(path))
    write_atomically(workspace.predictions, as_csv(predictions).encode())
    return f"{predictions.height:,} triggers of {path.name} into {workspace.predictions}"
