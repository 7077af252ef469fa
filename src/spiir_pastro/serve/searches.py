"""Which model answers which search.

GraceDB names an event's search: ``AllSky``, ``EarlyWarning``, ``MDC``, ... Each is another
experiment, with its own rates and its own FARs, so none is answered by a model that was not fitted
for it. The service's own model answers ``AllSky`` and events without a search; the settings name
others. Case does not matter.

Two kinds of events are no search of the sky, whatever search they name, and are answered only if
the settings name a model for them: injections (search or group ``VTInjection``, or the label
``INJ``), under ``VTInjection``, and what was uploaded offline, under ``offline``.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import structlog

from spiir_pastro.domain import Trigger
from spiir_pastro.io.alerts import ALL_SKY, INJECTION, OFFLINE, Event
from spiir_pastro.serve.adjusting import Adjusted
from spiir_pastro.serve.decide import SkipReason
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.metrics import Metrics
from spiir_pastro.serve.model_slot import Assessor, Model, ModelSlot, Refusal

log = structlog.get_logger(__name__)

_UNNAMED: Mapping[str, SkipReason] = {
    "earlywarning": SkipReason.EARLY_WARNING,  # GWCelery answers these
    INJECTION: SkipReason.INJECTION,
    OFFLINE: SkipReason.OFFLINE,
}
_MOST_WARNINGS = 100  # one a search; the names of searches come from outside


class Models:
    """The models in use, by the search whose events they answer.

    Parameters
    ----------
    path
        Of the service's own model; ArtifactError if it, or another, holds no valid one.
    searches
        Model files of other searches, by name.
    kept
        Folder for copies of the models in use, for a start at which a file is bad.
    describes
        Whether properties will be asked for.
    adjusted
        Adjusts the service's own model to what was counted and to the present sensitivity.
    """

    def __init__(  # noqa: PLR0913  (parts meet here)
        self,
        path: Path,
        load: Callable[[Path], Assessor],
        *,
        searches: Mapping[str, Path] | None = None,
        kept: Path | None = None,
        describes: bool = False,
        adjusted: Adjusted | None = None,
        metrics: Metrics,
        health: Health,
    ) -> None:
        paths = {ALL_SKY: path} | {name.lower(): p for name, p in (searches or {}).items()}
        slots = {
            p.resolve(): ModelSlot(
                p, load, None if kept is None else kept / f"{name}.json", describes=describes
            )
            for name, p in paths.items()
        }
        self._slots = {name: slots[p.resolve()] for name, p in paths.items()}
        self._adjusted = adjusted or Adjusted(health=health)
        self.metrics = metrics
        self.health = health
        self._warned: set[str] = set()
        self._tell()

    @property
    def own(self) -> Model:
        """The model of the search of the whole sky."""
        return self._adjusted.of(self._slots[ALL_SKY].model)

    @property
    def in_use(self) -> dict[str, Model]:
        """Every model, by the search it answers, in lower case."""
        return {name: slot.model for name, slot in self._slots.items()} | {ALL_SKY: self.own}

    def choose(self, event: Event) -> Model | SkipReason:
        """Return the model that answers an event, or why none does."""
        search = event.answered_as
        if search == ALL_SKY:
            return self.own
        slot = self._slots.get(search)
        if slot is not None:
            return slot.model
        if search not in _UNNAMED:
            self._warn(search)
        return _UNNAMED.get(search, SkipReason.OTHER_SEARCH)

    def refresh(self, *, forced: bool = False) -> bool:
        """Use the new files that passed their trial; return whether any did. Never waits.

        New counts and another sensitivity of the service's own model are used as well.
        """
        news = [self._refresh(slot, forced=forced) for slot in dict.fromkeys(self._slots.values())]
        if self._adjusted.refresh(self._slots[ALL_SKY].model):
            self._tell()
        return any(news)

    def count(self, triggers: Sequence[Trigger]) -> None:
        """Add what was answered to the counts of the service's own model; may take seconds."""
        self._adjusted.count(self._slots[ALL_SKY].model, triggers)

    def _refresh(self, slot: ModelSlot, *, forced: bool) -> bool:
        before = slot.model
        part = "model" if slot is self._slots[ALL_SKY] else f"model {slot.path.name}"
        match slot.refresh(forced=forced):
            case Model() as model:
                self.health.clear(part)
                if model == before:
                    return False
                self._tell()
                self.metrics.model_swaps.labels(outcome="taken").inc()
                log.info("model.swapped", model=model.name, path=str(slot.path))
                return True
            case Refusal() as refusal:
                self.metrics.model_swaps.labels(outcome="refused").inc()
                self.health.report(part, f"{before.name} stays: {refusal.reason}")
        return False

    def _tell(self) -> None:
        self.metrics.model.clear()
        for name, model in self.in_use.items():
            self.metrics.model.labels(search=name, version=model.name).set(1)

    def _warn(self, search: str) -> None:
        """Warn once about a search without a model."""
        if search not in self._warned and len(self._warned) < _MOST_WARNINGS:
            self._warned.add(search)
            log.warning("search.unnamed", search=search, remedy="name a model under [searches]")
