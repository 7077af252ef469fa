"""The commands from Python: each takes what the command of its name takes, and returns the result.

What a command writes is written where a folder or file for it is given, and nowhere otherwise.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from spiir_pastro.domain import Candidates
from spiir_pastro.errors import ConfigError, TableError, TriggerError
from spiir_pastro.evaluation.result import Evaluation
from spiir_pastro.io.artifact import ModelArtifact, load_model, write_model
from spiir_pastro.io.distance_tables import CAMPAIGN, read_distances
from spiir_pastro.io.runs import read_runs
from spiir_pastro.io.trigger_files import read_triggers
from spiir_pastro.io.trigger_tables import from_csv, from_postcoh, to_candidates
from spiir_pastro.models import explanation
from spiir_pastro.models.explanation import Explanation
from spiir_pastro.models.fit_settings import FitSettings
from spiir_pastro.models.pastro import PastroModel
from spiir_pastro.pipeline import extraction, processing
from spiir_pastro.pipeline import model_fit as fitting
from spiir_pastro.pipeline.assessment import (
    FOLDS,
    evaluate_processed,
    evaluate_triggers,
    write_evaluation,
)
from spiir_pastro.pipeline.inventory import take_inventory
from spiir_pastro.pipeline.processed import Processed
from spiir_pastro.pipeline.raw_files import raw_files, raw_files_of_runs
from spiir_pastro.pipeline.staging import Receipt, Status
from spiir_pastro.pipeline.summary import ProcessSettings
from spiir_pastro.pipeline.training import from_processed, from_uploads

PathLike = str | Path


@dataclass(frozen=True)
class Extraction:
    """What is staged of the files asked for.

    Attributes
    ----------
    receipts
        One a file.
    """

    receipts: tuple[Receipt, ...]

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each table."""
        counted: Counter[str] = Counter()
        for receipt in self.receipts:
            counted.update(receipt.rows)
        return dict(counted)

    def __repr__(self) -> str:
        rows = ", ".join(f"{count:,} {table}" for table, count in self.rows.items())
        return f"<Extraction of {len(self.receipts)} files: {rows or 'no rows'}>"


def extract(
    source: PathLike | Iterable[PathLike], staging: PathLike, *, workers: int | None = None
) -> Extraction:
    """Turn LIGO_LW files, directories of them, or a runs file's runs into Parquet.

    Parameters
    ----------
    source
        A runs file, or paths of LIGO_LW files and directories.
    staging
        Folder to write.
    workers
        Processes; None for one a core.

    Raises
    ------
    TableError
        If files could not be read; the others are staged nevertheless.
    """
    paths = [Path(source)] if isinstance(source, str | Path) else [Path(one) for one in source]
    of_runs = len(paths) == 1 and paths[0].suffix in (".yaml", ".yml")
    files = raw_files_of_runs(read_runs(paths[0])) if of_runs else raw_files(tuple(paths))
    receipts = extraction.extract(files, Path(staging), workers=workers)
    failed = [receipt.error for receipt in receipts if receipt.status is Status.FAILED]
    if failed:
        raise TableError(f"{len(failed)} files cannot be extracted, the first: {failed[0]}")
    return Extraction(tuple(receipts))


def process(
    runs: PathLike,
    staging: PathLike,
    *,
    processed: PathLike | None = None,
    known_events: PathLike | None = None,
    settings: ProcessSettings | None = None,
    allow_missing: bool = False,
) -> Processed:
    """Cluster, label and decontaminate staged runs into foreground and background.

    Parameters
    ----------
    runs
        The runs file.
    staging
        Folder that `extract` wrote.
    processed
        Folder to write; None for none.
    known_events
        Known mergers; None for the GWTC table that ships.
    settings
        Choices; None for the defaults.
    allow_missing
        Go on without files that are not as they should be.
    """
    done = processing.process(
        take_inventory(read_runs(Path(runs), staged=True), Path(staging)),
        known_events=_path(known_events),
        settings=settings,
        allow_missing=allow_missing,
    )
    if processed is not None:
        done.write(Path(processed))
    return done


def fit(
    *,
    triggers: PathLike | None = None,
    processed: PathLike | None = None,
    known_events: PathLike | None = None,
    distances: PathLike | None = None,
    settings: FitSettings | None = None,
    model: PathLike | None = None,
) -> ModelArtifact:
    """Fit a model on a processed campaign, or on uploads and known mergers.

    Parameters
    ----------
    triggers, processed
        Uploaded triggers, or a folder that `process` wrote: one of them.
    known_events
        Known mergers among uploads; None for the GWTC table that ships.
    distances
        Events with BAYESTAR distances; None for the campaign that ships.
    settings
        Choices; None for the defaults.
    model
        Model file to write; None for none.
    """
    settings = settings or FitSettings()
    path, is_campaign = _either(triggers, processed)
    if is_campaign:
        training = from_processed(path, settings=settings)
    else:
        training = from_uploads(path, known_events_path=_path(known_events), settings=settings)
    events = read_distances(CAMPAIGN if distances is None else Path(distances))
    artifact = fitting.fit(training, events, settings=settings)
    if model is not None:
        write_model(artifact, Path(model))
    return artifact


def evaluate(
    model: ModelArtifact | PathLike,
    *,
    triggers: PathLike | None = None,
    processed: PathLike | None = None,
    known_events: PathLike | None = None,
    folds: int = FOLDS,
    report: PathLike | None = None,
) -> Evaluation:
    """Compare a model with injections, or with the known mergers among uploads.

    Parameters
    ----------
    model
        The model or its file.
    triggers, processed
        Uploaded triggers, or a folder that `process` wrote: one of them.
    known_events
        Known mergers; None for the GWTC table that ships.
    folds
        In how many folds of time to score what the model was trained on.
    report
        Folder to write; None for none.
    """
    artifact = _loaded(model)
    path, is_campaign = _either(triggers, processed)
    judge = evaluate_processed if is_campaign else evaluate_triggers
    evaluation = judge(artifact, path, known_events_path=_path(known_events), folds=folds)
    if report is not None:
        name = "model" if isinstance(model, ModelArtifact) else Path(model).name
        write_evaluation(evaluation, artifact, Path(report), name=name)
    return evaluation


def explain(
    model: ModelArtifact | PastroModel | PathLike,
    triggers: pl.DataFrame | Candidates | PathLike,
    *,
    event: str | None = None,
) -> Explanation:
    """Say why candidates got their probabilities.

    Parameters
    ----------
    model
        The model or its file.
    triggers
        A trigger table, candidates, or a file of triggers.
    event
        Id of the one to explain, among a table or file; None for all.

    Raises
    ------
    TriggerError
        If no trigger has the id.
    """
    pastro = model if isinstance(model, PastroModel) else _loaded(model).model
    if isinstance(triggers, Candidates):
        return explanation.explain(pastro, triggers)
    table = _read(triggers)
    if event is not None:
        table = table.filter(pl.col("event_id") == event)
        if table.is_empty():
            raise TriggerError(f"no trigger is called {event}; give the id of one of the table")
    return explanation.explain(pastro, to_candidates(table))


def _read(triggers: pl.DataFrame | PathLike) -> pl.DataFrame:
    """Read triggers, whatever their columns are called, into canonical ones."""
    if not isinstance(triggers, pl.DataFrame):
        return read_triggers(Path(triggers)).triggers
    read = from_postcoh if "cohsnr" in triggers.columns else from_csv
    return read(triggers).triggers


def _loaded(model: ModelArtifact | PathLike) -> ModelArtifact:
    return model if isinstance(model, ModelArtifact) else load_model(model)


def _path(path: PathLike | None) -> Path | None:
    return None if path is None else Path(path)


def _either(triggers: PathLike | None, processed: PathLike | None) -> tuple[Path, bool]:
    """Return the path that was given, and whether it is a campaign's."""
    if (triggers is None) == (processed is None):
        raise ConfigError("give either triggers or processed")
    return (Path(processed), True) if processed is not None else (Path(str(triggers)), False)
