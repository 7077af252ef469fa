"""The model in use, and its replacement while the service runs.

A file is taken by its size, then its schema, then a rehearsal: it must give the reference triggers
it carries the probabilities that its fit got. Whatever else happens, the old model stays. New files
are tried on a thread of their own, so that nothing waits for them.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec

from spiir_pastro.domain import SourceProbabilities, Trigger
from spiir_pastro.errors import ArtifactError, PastroError
from spiir_pastro.io.atomic import write_atomically
from spiir_pastro.serve.drift import Rate, What, expected_rates
from spiir_pastro.serve.unexpected_errors import unforeseen

LARGEST_BYTES = 64 * 2**20
"""More than any model has, and less than a second to read."""

_PROBABILITY_TOLERANCE = 1e-6
"""For reference triggers: other processors and libraries round differently."""

_LOOK_S = 1.0
"""How often it is looked whether there is a new file, seconds."""


class Assessor(Protocol):
    """Whatever gives a trigger its probabilities; a loaded model is one."""

    def assess(self, trigger: Trigger, /) -> SourceProbabilities:
        """Return the four probabilities, or raise TriggerError if the trigger allows none."""


@runtime_checkable
class Describer(Protocol):
    """An assessor that also says what a trigger is, if it is a signal."""

    def describe(
        self, trigger: Trigger, probabilities: SourceProbabilities, /
    ) -> Mapping[str, object] | None:
        """Return the properties as JSON values; None if it knows none."""


Load = Callable[[Path], Assessor]
Signature = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """A model that passed its rehearsal."""

    assessor: Assessor = field(repr=False)  # the model itself
    digest: str  # SHA-256 of its file
    version: str  # what its maker calls it
    # what it expects a day, as far as it says
    expected: Mapping[What, Rate] = field(default_factory=dict, repr=False, compare=False)
    # SHA-256 of the file with the present sensitivity, if its counts are scaled for that
    sensitivity: str = ""

    @property
    def name(self) -> str:
        """Version and the first twelve digits of the digest: what comments, logs and rows say.

        After an @, the first eight of the digest of the sensitivity's file, if there is one.
        """
        present = f"@{self.sensitivity[:8]}" if self.sensitivity else ""
        return f"{self.version}+{self.digest[:12]}{present}"

    def describe(self, trigger: Trigger, probabilities: SourceProbabilities) -> bytes | None:
        """Return the content of ``spiir.properties.json``; None if this model describes nothing."""
        if not isinstance(self.assessor, Describer):
            return None
        try:
            said = self.assessor.describe(trigger, probabilities)
            return None if said is None else msgspec.json.encode(said)
        except (PastroError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            # What goes beside the probabilities must not keep them back.
            import structlog  # noqa: PLC0415  (`answer` needs no extra, and no properties)

            log = structlog.get_logger(__name__)
            log.error("properties.failed", event_id=trigger.event_id, error=repr(error))  # noqa: TRY400
            return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """Why a file was not taken."""

    path: Path
    reason: str


class ModelSlot:
    """Holds the model of one file; a new file replaces it if it passes, and is refused if not.

    Parameters
    ----------
    kept
        Where a copy of the model in use is kept: a start finds it there if the file is bad by then.
        ArtifactError if there is no valid model to start with.
    describes
        Whether properties will be asked for, so that they are rehearsed, too.
    """

    def __init__(
        self, path: Path, load: Load, kept: Path | None = None, *, describes: bool = False
    ) -> None:
        self.path = path
        self._load = load
        self._describes = describes
        self._kept = kept
        self._seen = _model_signature(path)
        self._at_start: Refusal | None = None
        self.model = self._first()
        self._looked_at = time.monotonic()
        self._trial: threading.Thread | None = None
        self._outcome: Model | Refusal | None = None

    def refresh(self, *, forced: bool = False) -> Model | Refusal | None:
        """Try the file if it changed, or in any case if forced, and tell how a trial ended.

        That is the model in use after a trial, the same if the file holds the same; why a file was
        refused; or None for no news. Call it often: it looks once a second, and never waits.
        """
        if self._at_start is not None:
            refusal, self._at_start = self._at_start, None
            return refusal
        if self._trial is None:
            if not forced and not self._has_changed():
                return None
            self._seen = _model_signature(self.path)
            self._trial = threading.Thread(target=self._try, name="model", daemon=True)
            self._trial.start()
        if self._trial.is_alive():
            return None
        self._trial = None
        outcome, self._outcome = self._outcome, None
        if isinstance(outcome, Model):
            if outcome.digest == self.model.digest:
                return self.model
            self.model = outcome
            self._keep()
        return outcome

    def _first(self) -> Model:
        """Load the file, or the copy of what was in use before it went bad."""
        try:
            self.model = self._rehearsed(self.path)
        except ArtifactError as error:
            if self._kept is None or not self._kept.exists():
                raise
            self.model = self._rehearsed(self._kept)
            self._at_start = Refusal(path=self.path, reason=str(error))
        else:
            self._keep()
        return self.model

    def _rehearsed(self, path: Path) -> Model:
        return load_rehearsed(path, self._load, describes=self._describes)

    def _keep(self) -> None:
        """Keep a copy of the file in use; without it, a start needs the file itself."""
        if self._kept is None:
            return
        with suppress(OSError):
            content = self.path.read_bytes()
            if hashlib.sha256(content).hexdigest() == self.model.digest:
                write_atomically(self._kept, content)

    def _has_changed(self) -> bool:
        now = time.monotonic()
        if now < self._looked_at + _LOOK_S:
            return False
        self._looked_at = now
        return _model_signature(self.path) != self._seen

    def _try(self) -> None:
        try:
            self._outcome = self._rehearsed(self.path)
        except PastroError as error:
            self._outcome = Refusal(path=self.path, reason=str(error))


def load_rehearsed(path: Path, load: Load, *, describes: bool = False) -> Model:
    """Load a model file and try it on its reference triggers, and on a description if asked to.

    ArtifactError if it is no file of a model's size, does not load, changes meanwhile, or does not
    give its reference triggers the probabilities it says.
    """
    before = _model_signature(path)
    if before is None:
        raise ArtifactError(f"{path}: no such file; put a model there that fit wrote")
    if before[-1] > LARGEST_BYTES:
        raise ArtifactError(f"{path}: larger than {LARGEST_BYTES} bytes; no model is")
    # A file that is not what it seems can raise anything anywhere; it must not end the service.
    with unforeseen(lambda said: ArtifactError(f"{path}: damaged model: {said}")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assessor = load(path)
        _require_as_written(assessor)
        _rehearse(assessor)
        version = str(getattr(assessor, "version", "unversioned"))
        expected = expected_rates(assessor)
        if describes and isinstance(assessor, Describer):
            # The first takes a tenth of a second, which no alert is to wait for.
            for trigger, probabilities in getattr(assessor, "reference", ())[:1]:
                assessor.describe(trigger, probabilities)
    if _model_signature(path) != before:
        raise ArtifactError(f"{path}: changed while it was read; put models in place by renaming")
    return Model(assessor=assessor, digest=digest, version=version, expected=expected)


def _require_as_written(assessor: Assessor) -> None:
    """Refuse a file in which a value is not the one its fit wrote, or nothing can show that."""
    if not getattr(assessor, "is_as_written", True):
        raise ArtifactError("damaged model: its values are not those fit wrote; copy it anew")
    if not getattr(assessor, "reference", (None,)):
        raise ArtifactError("damaged model: it has no reference triggers; fit anew")


def _rehearse(assessor: Assessor) -> None:
    """Compare a model's answers to its reference triggers with those of its fit."""
    for trigger, expected in getattr(assessor, "reference", ()):
        found = assessor.assess(trigger).as_mapping()
        for source, probability in expected.as_mapping().items():
            if not abs(found[source] - probability) <= _PROBABILITY_TOLERANCE:
                raise ArtifactError(
                    f"reference trigger {trigger.event_id} gets {source} {found[source]:.6g}, "
                    f"where the model's fit got {probability:.6g}: the file is damaged, or of "
                    "another version; fit anew"
                )


def signature(path: Path) -> Signature | None:
    """Return what changes when a file is replaced or rewritten, the size last; None if no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size


def _model_signature(path: Path) -> Signature | None:
    return signature(path) if path.is_file() else None
