"""The detectors' present sensitivity over that of the training: a small file of the operator's.

    {"schema": 1,
     "range": {"BNS": 1.25, "NSBH": 1.2, "BBH": 1.15}, "noise": 1.0,
     "detectors": {"L1": {"range": 0.7}, "H1L1V1": {"volume": 2.1}}}

Factors are of the range or the volume, for all classes or by class, and of the rate of noise. Those
under ``detectors`` are for events in which just these took part; the others get the general ones.
A file that is missing or wrong leaves the last good one in use.
"""

import hashlib
import os
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Protocol, runtime_checkable

import msgspec

from spiir_pastro.domain import ASTROPHYSICAL, Source, SourceProbabilities, Trigger, split_ifos
from spiir_pastro.errors import ConfigError, TriggerError
from spiir_pastro.io.atomic import write_atomically
from spiir_pastro.serve.model_slot import Assessor, Describer, Refusal, signature

LARGEST_BYTES = 65_536
LOOK_S = 1.0

Factor = Annotated[float, msgspec.Meta(ge=1e-3, le=1e3)]
"""Wider than any change of a detector."""


class _Factors(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    range: Factor | dict[Source, Factor] | None = None
    volume: Factor | dict[Source, Factor] | None = None
    noise: Factor = 1.0


class _Document(_Factors, frozen=True, kw_only=True, forbid_unknown_fields=True):
    schema: Literal[1]
    detectors: dict[str, _Factors] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Factors:
    """Sensitive volume by class, and rate of noise, over those of the training."""

    volumes: Mapping[Source, float] = field(default_factory=dict)
    noise: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Sensitivity:
    """What a file, of which ``digest`` is the SHA-256, says.

    ``by_detectors`` are the factors for events in which just these took part, ``general`` those for
    all others.
    """

    digest: str
    general: Factors
    by_detectors: Mapping[tuple[str, ...], Factors] = field(default_factory=dict)

    @classmethod
    def parse(cls, content: bytes) -> "Sensitivity":
        """Read a file's content; ConfigError if it says something unknown, impossible or twice."""
        try:
            document = msgspec.json.decode(content, type=_Document)
            named = {split_ifos(name): part for name, part in document.detectors.items()}
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TriggerError) as exc:
            raise ConfigError(str(exc)) from exc
        if len(named) < len(document.detectors):
            raise ConfigError("it names the same detectors twice; keep one")
        return cls(
            digest=hashlib.sha256(content).hexdigest(),
            general=_factors(document),
            by_detectors={ifos: _factors(part) for ifos, part in named.items()},
        )


def _factors(part: _Factors) -> Factors:
    if part.range is not None and part.volume is not None:
        raise ConfigError("it gives both range and volume; keep one")
    given = part.volume if part.range is None else part.range
    power = 1 if part.range is None else 3  # volumes go with the cube
    by_class = given if isinstance(given, dict) else dict.fromkeys(ASTROPHYSICAL, given or 1.0)
    if Source.TERRESTRIAL in by_class:
        raise ConfigError("noise has neither range nor volume; give its rate as noise")
    return Factors(
        volumes={source: factor**power for source, factor in by_class.items()},
        noise=part.noise,
    )


class SensitivityFile:
    """Watches the file. ``present`` is what a good one said last, also kept for the next start."""

    def __init__(self, path: Path, kept: Path | None = None) -> None:
        self.path = path
        self._kept = kept
        self._looked_at = float("-inf")
        self._seen: object = ()
        self.present: Sensitivity | None = None
        if kept is not None:
            with suppress(OSError, ConfigError):
                self.present = Sensitivity.parse(_read(kept))

    def refresh(self) -> Sensitivity | Refusal | None:
        """Look whether there is another file; what it says, why it is not taken, or no news."""
        now = time.monotonic()
        if now < self._looked_at + LOOK_S:
            return None
        self._looked_at = now
        found = signature(self.path)
        if found == self._seen:
            return None
        self._seen = found
        try:
            content = _read(self.path)
            self.present = Sensitivity.parse(content)
        except OSError as error:
            return Refusal(path=self.path, reason=f"{self.path}: {error.strerror}")
        except ConfigError as error:
            return Refusal(path=self.path, reason=f"{self.path}: {error}")
        self._keep(content)
        return self.present

    def _keep(self, content: bytes) -> None:
        """Keep a copy; without it, a start at which the file is bad has none."""
        if self._kept is not None:
            with suppress(OSError):
                write_atomically(self._kept, content)


def _read(path: Path) -> bytes:
    """Read a small regular file, whatever stands there; a pipe must not keep the loop waiting."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:  # noqa: PTH123  (of a descriptor)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ConfigError("it is no regular file")
        content = file.read(LARGEST_BYTES + 1)
    if len(content) > LARGEST_BYTES:
        raise ConfigError(f"it is larger than {LARGEST_BYTES} bytes")
    return content


@runtime_checkable
class Rescalable(Assessor, Protocol):
    """An assessor whose counts scale with the detectors' sensitivity."""

    def rescaled(self, volumes: Mapping[Source, float], *, noise: float = 1.0) -> Assessor:
        """Return it for other volumes and another rate of noise."""


class PresentModel:
    """A trained model with its counts scaled for the present sensitivity."""

    def __init__(self, trained: Rescalable, sensitivity: Sensitivity) -> None:
        self.trained = trained
        self.general = _scaled(trained, sensitivity.general)
        self._by_detectors = {
            ifos: _scaled(trained, factors) for ifos, factors in sensitivity.by_detectors.items()
        }

    def assess(self, trigger: Trigger, /) -> SourceProbabilities:
        """Return the four probabilities by the factors of the detectors that took part."""
        return self._by_detectors.get(trigger.ifos, self.general).assess(trigger)

    def describe(
        self, trigger: Trigger, probabilities: SourceProbabilities, /
    ) -> Mapping[str, object] | None:
        """Return the properties; they depend on the probabilities alone."""
        if isinstance(self.trained, Describer):
            return self.trained.describe(trigger, probabilities)
        return None


def _scaled(trained: Rescalable, factors: Factors) -> Assessor:
    return trained.rescaled(factors.volumes, noise=factors.noise)
