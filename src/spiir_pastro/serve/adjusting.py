"""The service's own model as it answers: with what it counted, for the present sensitivity."""

from collections.abc import Sequence
from dataclasses import replace

import structlog

from spiir_pastro.domain import Trigger
from spiir_pastro.errors import PastroError
from spiir_pastro.serve.drift import expected_rates
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.model_slot import Model, Refusal
from spiir_pastro.serve.running_counts import CountedFile, is_made_from
from spiir_pastro.serve.sensitivity_file import (
    PresentModel,
    Rescalable,
    Sensitivity,
    SensitivityFile,
)

log = structlog.get_logger(__name__)


class Adjusted:
    """Turns the model of a file into the model that answers.

    ``counted`` is the file with the service's own counts, ``sensitivity`` that with the
    present sensitivity; either may be None.
    """

    def __init__(
        self,
        *,
        counted: CountedFile | None = None,
        sensitivity: SensitivityFile | None = None,
        health: Health,
    ) -> None:
        self._counted = counted
        self._sensitivity = sensitivity
        self._health = health
        self._stored = self._read_counted()
        self._base: Model | None = None
        self._own: Model | None = None
        self._news: Model | None = None
        self._look_at_sensitivity()

    def of(self, base: Model) -> Model:
        """Return what answers in place of a file's model."""
        if self._own is None or base is not self._base:
            self._base, self._own = base, self._composed(base)
        return self._own

    def refresh(self, base: Model) -> bool:
        """Take up new counts and another sensitivity; tell whether there is another model."""
        before = self.of(base)
        has_counts, hears_else = self._take_counts(), self._look_at_sensitivity()
        if has_counts or hears_else:
            self._own = self._composed(base)
            log.info("model.adjusted", model=self._own.name)
        return self._own is not before

    def count(self, base: Model, triggers: Sequence[Trigger]) -> None:
        """Add candidates to the counts; `refresh` takes them up. On any thread but only one."""
        if self._counted is None:
            return
        start = self._stored if is_made_from(self._stored, base) else None
        try:
            self._news = self._counted.count(base, start, triggers)
        except (PastroError, OSError) as error:
            self._health.report("counts", f"not gone on with: {error}")
        else:
            self._health.clear("counts")

    def _read_counted(self) -> Model | None:
        try:
            return None if self._counted is None else self._counted.read()
        except PastroError as error:  # what the spool remembers is counted again
            log.error("counts.unreadable", error=str(error))  # noqa: TRY400
            return None

    def _take_counts(self) -> bool:
        news, self._news = self._news, None
        self._stored = news or self._stored
        return news is not None

    def _look_at_sensitivity(self) -> bool:
        news = None if self._sensitivity is None else self._sensitivity.refresh()
        match news:
            case Sensitivity() as sensitivity:
                self._health.clear("sensitivity")
                log.info("sensitivity.read", sha256=sensitivity.digest)
                return True
            case Refusal() as refusal:
                has_good = self._sensitivity is not None and self._sensitivity.present is not None
                stays = "the last good one" if has_good else "that of the training"
                self._health.report("sensitivity", f"{stays} stays: {refusal.reason}")
        return False

    def _composed(self, base: Model) -> Model:
        counted = self._stored if is_made_from(self._stored, base) else None
        model = counted or base
        present = None if self._sensitivity is None else self._sensitivity.present
        if present is None:
            return model
        if not isinstance(model.assessor, Rescalable):
            self._health.report("sensitivity", f"{model.name} has no counts to scale")
            return model
        scaled = PresentModel(model.assessor, present)
        return replace(
            model,
            assessor=scaled,
            expected=expected_rates(scaled.general),
            sensitivity=present.digest,
        )
