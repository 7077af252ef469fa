"""Where a model comes from: a part of the model file, written by the fit and read in one place."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import msgspec
import numpy as np

from spiir_pastro.domain import Source
from spiir_pastro.errors import ArtifactError
from spiir_pastro.models.exposure import Exposure
from spiir_pastro.models.fit_settings import FitSettings

Quantiles = tuple[float, float, float]
"""Median, and the ends of the central 90 % interval."""


class _Part(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A part of the provenance; what is as by default is not written."""


class InputFile(_Part, frozen=True, kw_only=True):
    """A file that was read, and its SHA-256."""

    name: str
    sha256: str


class NoiseStatistics(InputFile, frozen=True, kw_only=True):
    """A statistics file of noise, and how much noise it counts."""

    events: int
    livetime_s: float
    slides: int


class Counted(_Part, frozen=True, kw_only=True):
    """The table whose candidates were counted in place of the training's own."""

    inputs: tuple[InputFile, ...]
    rows: int
    rejects: int
    left_out: dict[str, str]


class ClassRates(_Part, frozen=True, kw_only=True, omit_defaults=False):
    """How often a class merges."""

    # what its injections measured; see `spiir_pastro.pipeline.sensitivity`
    injections: int = 0
    found: int = 0
    effective: float = 0.0
    uncovered: float = 0.0
    exposure: Exposure | None = None
    why_not: str = ""  # why the density of mergers is not known
    detections_per_yr: Quantiles  # signals below the FAR threshold a year of livetime
    # mergers in the sky at redshift 0; None where not known
    mergers_per_gpc3_yr: Quantiles | None = None


class Rates(_Part, frozen=True, kw_only=True):
    """Rates by class over a livetime; ``why_not`` says why there are none."""

    livetime_yr: float | None = None
    classes: dict[Source, ClassRates] = {}
    why_not: str = ""


class TrainingData(_Part, frozen=True, kw_only=True):
    """What a model was trained on; what is not known of it, or does not apply, is not given."""

    inputs: tuple[InputFile, ...] = ()  # files read
    description: str = ""  # of a campaign: what its data are, as its runs file says
    # rows of a table of uploads, those that are no triggers, and those left out by the reason
    rows: int | None = None
    rejects: int | None = None
    dropped: dict[str, int] = {}
    left_out: dict[str, str] = {}  # runs that cannot be judged, and why
    known_mergers: tuple[str, ...] = ()  # names of the known mergers among the candidates
    livetime_s: float | None = None  # of a campaign: seconds of background
    missing: dict[str, str] = {}  # files of a campaign that were not as they should be, and why
    injections_found: int | None = None  # of a campaign: injections with a candidate
    # the part of the time that was kept, GPS seconds
    since_gps: float | None = None
    until_gps: float | None = None
    counted: Counted | None = None  # other candidates that were counted


class DistanceRecord(_Part, frozen=True, kw_only=True):
    """Which distance model real events chose."""

    events: int  # how many chose
    chosen: str  # name of the model
    # root mean square of (D - D_est) / D_est over them by model, from the least on
    scatter: dict[str, float]


class ServiceCounts(_Part, frozen=True, kw_only=True):
    """What the alert service added to the counts."""

    base: str  # SHA-256 of the model file that it added to
    gps_ns: tuple[int, ...] = ()  # when each candidate was, GPS nanoseconds


class Provenance(TrainingData, frozen=True, kw_only=True):
    """What a model was trained on, how, and what came of it."""

    settings: FitSettings
    # how many signals of equal weight those of each class are worth
    effective_signals: dict[Source, float]
    rates: Rates
    noise_statistics: tuple[NoiseStatistics, ...] = ()  # files that the SNR of noise was taken from
    # which distance model real events chose; None where too few of them were given
    distances: DistanceRecord | None = None
    # how many were counted, and the first and the last of them, GPS nanoseconds
    candidates: int
    gps_span_ns: tuple[int, int]
    versions: dict[str, str]  # of the packages that fitted it
    updates: tuple[InputFile, ...] = ()  # tables whose candidates were added to the counts later
    service_counts: ServiceCounts | None = None
    # what the counts were multiplied by since, by class and ``noise``
    rescaled: dict[str, float] = {}


def plain_provenance(provenance: Provenance) -> Mapping[str, Any]:
    """Return provenance as the plain JSON values that a model file holds."""
    return _plain(provenance) | {"settings": plain_settings(provenance.settings)}


def plain_settings(settings: FitSettings) -> Mapping[str, Any]:
    """Return what was chosen as plain JSON values, those left at their defaults included."""
    # msgspec leaves out of a dataclass that it read itself what the file had left out.
    return _plain(asdict(settings))


def read_provenance(value: object) -> Provenance:
    """Read what a model file says of its provenance.

    ArtifactError if a key is missing or not known, or a value is of another type.
    """
    try:
        provenance = msgspec.convert(value, Provenance, dec_hook=_array_of)
    except msgspec.ValidationError as exc:
        raise ArtifactError(f"provenance: {exc}") from exc
    # Dataclasses pass over keys that they do not know, and fill in those that are missing.
    settings = value["settings"] if isinstance(value, dict) else None
    if plain_settings(provenance.settings) != settings:
        raise ArtifactError("provenance: its settings are of another version")
    return provenance


def _plain(value: object) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(msgspec.json.encode(value, enc_hook=_list_of))
    return plain


def _list_of(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise NotImplementedError


def _array_of(kind: type, value: object) -> object:
    if kind is np.ndarray or "ndarray" in repr(kind):
        return np.array(value, dtype=np.float64)
    raise NotImplementedError
