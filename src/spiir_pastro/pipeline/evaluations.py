"""An evaluation on disk: its tables, its metrics, and what ties them together.

::

    reports/
      candidates.csv      what the model said of each candidate
      known_mergers.csv   the same of each known merger in the spans of time
      missed.csv          injections without a candidate; of a campaign
      report.html         all of it for people
      *.png, *.svg        figures
      metrics.json        flat names and numbers
      evaluation.json     what was evaluated, and the hash of each of the above; last

``evaluation.json`` is written last: a folder is read only if everything in it is of one evaluation.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec
import polars as pl

from spiir_pastro.errors import DocumentError, TableError
from spiir_pastro.evaluation.comparison import Evaluated
from spiir_pastro.evaluation.result import PROBABILITIES, SCORED, Evaluation, Span, with_scored
from spiir_pastro.io.artifact import ModelArtifact
from spiir_pastro.io.atomic import atomic_path
from spiir_pastro.io.documents import Document, encode_document, read_document
from spiir_pastro.io.folders import read_verified, sole_writer, write_folder
from spiir_pastro.io.provenance import plain_settings
from spiir_pastro.io.trigger_tables import EFF_DISTANCES
from spiir_pastro.pipeline.differences import leaves

_CANDIDATE_COLUMNS = (
    "event_id",
    "gps_ns",
    "ifos",
    "bank",
    "observing_run",
    "far_hz",
    "snr",
    "mchirp_det",
    "mtotal_det",
    *EFF_DISTANCES,
    "p_astro",
    *PROBABILITIES,
    "p_astro_low",
    "p_astro_high",
    *SCORED.values(),
    "is_signal",
    "source_class",
    "known_event",
    "injection_id",
    "injection_gps_ns",
    "is_matched",
)
_TEXT_COLUMNS = ("event_id", "ifos", "bank", "observing_run", "source_class", "known_event", "name",
          "catalogue")  # fmt: skip
_INTEGER_COLUMNS = ("gps_ns", "injection_gps_ns", "injection_id")
_DOCUMENT = "evaluation.json"
_NOT_ALWAYS = ("missed.csv", "known_mergers.png", "known_mergers.svg")
_REMEDY = "run spiir-pastro evaluate again"


class _Document(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was evaluated: ``files`` are names to their SHA-256."""

    schema_version: Literal[1] = 1
    model: str
    data: str
    held_out: bool
    cuts_gps_ns: tuple[int, ...]
    far_threshold_hz: float
    spans_gps_ns: tuple[Span, ...]
    settings: dict[str, str]
    files: dict[str, str]


def write_evaluated(
    evaluation: Evaluation,
    artifact: ModelArtifact,
    folder: Path,
    *,
    name: str,
    shown: Mapping[str, bytes],
) -> None:
    """Write the tables, ``metrics.json``, what people see and, last of all, ``evaluation.json``.

    Parameters
    ----------
    evaluation, artifact
        What was evaluated.
    folder
        Where.
    name
        Of the model, for people.
    shown
        The page and the figures by file name.
    """
    kept = [column for column in _CANDIDATE_COLUMNS if column in evaluation.candidates.columns]
    tables = {
        "candidates.csv": evaluation.candidates.select(kept),
        "known_mergers.csv": evaluation.known_mergers,
    }
    if evaluation.missed is not None:
        tables["missed.csv"] = evaluation.missed
    metrics = json.dumps(evaluation.metrics(), indent=1, allow_nan=False)
    files: dict[str, bytes | Callable[[Path], object]] = {
        **{file: partial(_write_csv, table) for file, table in tables.items()},
        **shown,
        "metrics.json": metrics.encode() + b"\n",
    }
    document = _Document(
        model=name,
        data=evaluation.data,
        held_out=evaluation.held_out,
        cuts_gps_ns=evaluation.holdout.cuts_gps_ns,
        far_threshold_hz=evaluation.far_threshold_hz,
        spans_gps_ns=evaluation.spans,
        settings=dict(chosen_settings(artifact)),
        files={},
    )
    with sole_writer(folder):
        write_folder(
            folder,
            files,
            last=_DOCUMENT,
            vouch=lambda sha: encode_document(msgspec.structs.replace(document, files=dict(sha))),
            replaces=_NOT_ALWAYS.__contains__,
        )


def _write_csv(table: pl.DataFrame, path: Path) -> None:
    with atomic_path(path) as draft:
        table.write_csv(draft)


def as_evaluated(evaluation: Evaluation, artifact: ModelArtifact, *, name: str) -> Evaluated:
    """Take what is compared of an evaluation in memory."""
    return Evaluated(
        name=name,
        metrics={k: float(v) for k, v in evaluation.metrics().items() if v is not None},
        candidates=with_scored(evaluation.candidates),
        known_mergers=with_scored(evaluation.known_mergers),
        missed=evaluation.missed,
        spans=evaluation.spans,
        far_threshold_hz=evaluation.far_threshold_hz,
        settings=chosen_settings(artifact),
        cuts_gps_ns=evaluation.holdout.cuts_gps_ns,
    )


def read_evaluation(folder: Path, *, name: str | None = None) -> Evaluated:
    """Read what ``spiir-pastro evaluate`` wrote.

    Parameters
    ----------
    folder
        Where it wrote.
    name
        What people know it by; None for the folder's name.

    Raises
    ------
    DocumentError
        If a file is absent, damaged, or of another evaluation than the others.
    """
    document = read_document(folder / _DOCUMENT, _Document, remedy=_REMEDY)
    contents = {
        file: read_verified(folder / file, sha256, remedy=_REMEDY)
        for file, sha256 in document.files.items()
        if file.endswith((".csv", ".json"))
    }
    tables = {
        Path(file).stem: _table(folder / file, content)
        for file, content in contents.items()
        if file.endswith(".csv")
    }
    metrics = _metrics(folder / "metrics.json", contents["metrics.json"])
    return Evaluated(
        name=name or str(folder),
        metrics={k: float(v) for k, v in metrics.items() if v is not None},
        candidates=with_scored(tables["candidates"]),
        known_mergers=with_scored(tables["known_mergers"]),
        missed=tables.get("missed"),
        spans=document.spans_gps_ns,
        far_threshold_hz=document.far_threshold_hz,
        settings=document.settings,
        cuts_gps_ns=document.cuts_gps_ns,
    )


def _metrics(path: Path, content: bytes) -> Mapping[str, float | None]:
    """Read metrics: a name and a number each, null where it is not determined."""
    try:
        return msgspec.json.decode(content, type=dict[str, float | bool | None])
    except msgspec.DecodeError as exc:
        raise DocumentError(f"{path}: no metrics: {exc}; {_REMEDY}") from exc


def chosen_settings(artifact: ModelArtifact) -> Mapping[str, str]:
    """Return what was chosen in fitting a model, by dotted name."""
    settings = leaves(plain_settings(artifact.provenance.settings))
    return {name: json.dumps(value) for name, value in settings}


def _table(path: Path, content: bytes) -> pl.DataFrame:
    try:
        table = pl.read_csv(content, infer_schema=False)
        return table.select(_typed(column) for column in table.columns)
    except pl.exceptions.PolarsError as exc:
        raise TableError(f"{path}: no table of an evaluation: {exc}; evaluate again") from exc


def _typed(column: str) -> pl.Expr:
    if column in _TEXT_COLUMNS:
        return pl.col(column)
    if column.startswith("is_"):
        return pl.col(column) == "true"
    return pl.col(column).cast(pl.Int64 if column in _INTEGER_COLUMNS else pl.Float64)
