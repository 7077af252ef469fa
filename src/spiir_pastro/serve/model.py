"""The model in use, and its replacement while the service runs."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import structlog

from spiir_pastro.errors import PastroError
from spiir_pastro.serve.decide import Assessor
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.metrics import Metrics

__all__ = ["ModelSlot"]

log = structlog.get_logger(__name__)


class ModelSlot:
    """Holds the model; a new file replaces it if it loads, and is refused if not.

    Attributes
    ----------
    assessor
        The model.
    metrics, health
        Where its replacement, or refusal, is told.

    Raises
    ------
    PastroError
        If there is no valid model to start with.
    """

    def __init__(
        self,
        path: Path,
        load: Callable[[Path], Assessor],
        *,
        metrics: Metrics,
        health: Health,
    ) -> None:
        self._path = path
        self._load = load
        self.metrics = metrics
        self.health = health
        self._seen = _signature(path)
        self._digest = _digest(path)
        self.assessor = load(path)
        metrics.model.labels(version=self.version).set(1)

    @property
    def version(self) -> str:
        """The first twelve digits of the file's SHA-256."""
        return self._digest[:12]

    def refresh(self, *, forced: bool = False) -> None:
        """Load the file if it changed, or in any case if forced."""
        signature = _signature(self._path)
        if signature == self._seen and not forced:
            return
        self._seen = signature
        try:
            digest = _digest(self._path)
            assessor = self._load(self._path)
        except (PastroError, OSError) as error:
            self.metrics.model_swaps.labels(outcome="refused").inc()
            self.health.report("model", f"{self._path} refused, {self.version} stays: {error}")
            return
        self.health.clear("model")
        if digest == self._digest:
            return
        self.metrics.model.remove(self.version)
        self.assessor, self._digest = assessor, digest
        self.metrics.model.labels(version=self.version).set(1)
        self.metrics.model_swaps.labels(outcome="taken").inc()
        log.info("model.swapped", version=self.version, path=str(self._path))


def _signature(path: Path) -> tuple[int, int, int] | None:
    """Return what changes when a file is replaced or rewritten."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
