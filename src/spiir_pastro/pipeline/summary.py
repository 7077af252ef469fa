"""``summary.json`` of a processed campaign: what became of every row, and which tables are its own.

It is written last and names each table by its hash; `processed` reads it.
"""

from dataclasses import dataclass, field
from typing import Literal

import msgspec

from spiir_pastro.io.documents import Document
from spiir_pastro.models.population import BinaryPopulation
from spiir_pastro.pipeline.fates import Fate
from spiir_pastro.pipeline.inventory import Problem
from spiir_pastro.selection import TwinTolerance
from spiir_pastro.selection.clustering import CLUSTER_WINDOW_NS
from spiir_pastro.selection.decontamination import KNOWN_WINDOW_NS
from spiir_pastro.selection.matching import INJECTION_MCHIRP_TOLERANCE, INJECTION_WINDOW_NS


@dataclass(frozen=True, kw_only=True)
class ProcessSettings:
    """What a person chooses about background and foreground.

    Attributes
    ----------
    cluster_window_ns
        Of triggers nearer than this in time only the most significant is a candidate, nanoseconds.
    known_window_ns
        Triggers as near as this to a known merger are none of the background, nanoseconds.
    injection_window_ns
        Largest distance in time of a trigger from its injection, in nanoseconds.
    injection_mchirp_tolerance
        Largest distance in chirp mass, as a fraction of the injection's.
    twin
        How alike two triggers of twin runs are that the same noise made.
    """

    cluster_window_ns: int = CLUSTER_WINDOW_NS
    known_window_ns: int = KNOWN_WINDOW_NS
    injection_window_ns: int = INJECTION_WINDOW_NS
    injection_mchirp_tolerance: float = INJECTION_MCHIRP_TOLERANCE
    twin: TwinTolerance = field(default_factory=TwinTolerance)


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the summary."""


class Origin(_Part, frozen=True, kw_only=True):
    """What the tables were made from: versions and hashes."""

    version: str  # of spiir-pastro
    runs: str  # SHA-256 of what the runs file says of the runs but where their directories are
    staged: str  # SHA-256 of the names and hashes of the raw files that were staged
    known_events: str  # SHA-256 of the table of known mergers


class Uncovered(_Part, frozen=True, kw_only=True):
    """Segments of a run that no trigger file covers."""

    run: str
    # how long any detector was on meanwhile; null if file names do not say what they cover
    seconds: float | None


class FateCount(_Part, frozen=True, kw_only=True):
    """How many rows of a run had one fate."""

    run: str
    bank: str
    purpose: str
    fate: Fate
    rows: int


class InjectedRun(_Part, frozen=True, kw_only=True):
    """What became of a run's injections, and what they were drawn from."""

    run: str
    bank: str
    found: int
    missed: int
    analysed: int  # how many were made while two detectors or more were analysed
    # the population they were drawn from; null if the runs file does not say
    injected: BinaryPopulation | None
    kept_fraction: float  # the fraction of the binaries drawn that was injected
    early_warning_s: float = 0.0  # before the merger, where signals end


class Livetime(_Part, frozen=True, kw_only=True):
    """How long exactly these detectors were analysed; see ``livetime`` of the tables."""

    run: str | None
    bank: str | None
    ifos: str
    seconds: float


class Summary(Document, frozen=True, kw_only=True):
    """What became of every row, and the tables."""

    origin: Origin  # what the tables were made from
    description: str = ""  # what the data are, as the runs file says
    settings: ProcessSettings
    # files that were not as they should be, which ``--allow-missing`` let pass
    problems: tuple[Problem, ...]
    # segments without trigger files, which do not count as livetime
    uncovered: tuple[Uncovered, ...]
    fates: tuple[FateCount, ...]  # rows by run and fate
    injections: tuple[InjectedRun, ...]  # by foreground run
    background_livetime_s: float  # seconds of background with two detectors or more
    livetime: tuple[Livetime, ...]  # seconds by run and combination of detectors
    tables: dict[str, str]  # SHA-256 of each table, by its path below the folder
    schema_version: Literal[3] = 3
