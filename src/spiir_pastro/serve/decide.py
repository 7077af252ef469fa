"""What to do about an alert: upload its probabilities, or skip it and say why.

Pure: a payload and a choice of models in, a decision out.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from spiir_pastro.domain import SourceProbabilities, Trigger
from spiir_pastro.errors import AlertError, TriggerError
from spiir_pastro.io.alerts import ALL_SKY, Alert, Event, parse_alert
from spiir_pastro.serve.model_slot import Model

PIPELINE = "spiir"
LABEL = "PASTRO_READY"
"""What an event has whose probabilities are there."""


class SkipReason(StrEnum):
    """Why an alert is not answered.

    The first group is not ours to answer; the second is, and is kept to be looked at.
    """

    OTHER_TYPE = "other_type"
    OTHER_PIPELINE = "other_pipeline"
    EARLY_WARNING = "early_warning"
    INJECTION = "injection"
    OFFLINE = "offline"
    OTHER_SEARCH = "other_search"
    RESERVED = "reserved"
    NO_FAR = "no_far"
    TEST_MESSAGE = "test_message"

    NOT_AN_ALERT = "not_an_alert"
    NOT_A_TRIGGER = "not_a_trigger"
    NOT_ASSESSABLE = "not_assessable"
    CRASHED = "crashed"

    @property
    def is_dead_letter(self) -> bool:
        """Whether the payload is kept in the dead-letter folder."""
        return self in _DEAD_LETTERS


_DEAD_LETTERS = frozenset(
    {
        SkipReason.NOT_AN_ALERT,
        SkipReason.NOT_A_TRIGGER,
        SkipReason.NOT_ASSESSABLE,
        SkipReason.CRASHED,
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """A trigger and the probabilities GraceDB is to be told, with the name of their model."""

    trigger: Trigger
    probabilities: SourceProbabilities
    model: str
    # the bytes of ``spiir.properties.json``, None if it is not to be told
    properties: bytes | None = None
    search: str = ALL_SKY  # the search as which it was answered, in lower case
    revision: int = 0  # how many answers went before
    # whether the alert says that there are probabilities: the pipeline may have sent its own
    is_answered: bool = False

    @property
    def content(self) -> bytes:
        """The bytes of ``spiir.p_astro.json``."""
        return json.dumps(self.probabilities.as_mapping()).encode()


@dataclass(frozen=True, kw_only=True, slots=True)
class Skip:
    """No answer, why, and what exactly was wrong."""

    reason: SkipReason
    uid: str = ""
    detail: str = ""


Decision = Upload | Skip

Choose = Callable[[Event], Model | SkipReason]
"""Which model answers an event, or why none does."""


def decide(
    payload: str | bytes | dict[str, object],
    choose: Choose,
    *,
    updates: bool = False,
    properties: bool = False,
) -> Decision:
    """Decide about one payload; never raises on account of what it holds.

    With ``updates``, ``update`` alerts are answered as ``new`` ones are; with ``properties``, the
    event's properties are told as well, where its model knows any.
    """
    try:
        alert = parse_alert(payload)
    except AlertError as error:
        return Skip(reason=SkipReason.NOT_AN_ALERT, detail=str(error))
    model = _not_ours(alert, updates=updates) or choose(alert.event)
    if isinstance(model, SkipReason):
        return Skip(reason=model, uid=alert.uid)
    try:
        trigger = alert.trigger()
    except (AlertError, TriggerError) as error:
        return Skip(reason=SkipReason.NOT_A_TRIGGER, uid=alert.uid, detail=str(error))
    if trigger.far_hz is None:
        return Skip(reason=SkipReason.NO_FAR, uid=alert.uid)
    try:
        probabilities = model.assessor.assess(trigger)
    except TriggerError as error:
        return Skip(reason=SkipReason.NOT_ASSESSABLE, uid=alert.uid, detail=str(error))
    return Upload(
        trigger=trigger,
        probabilities=probabilities,
        model=model.name,
        properties=model.describe(trigger, probabilities) if properties else None,
        is_answered=alert.event.has_label(LABEL),
        search=alert.event.answered_as,
    )


def _not_ours(alert: Alert, *, updates: bool) -> SkipReason | None:
    """Say why an alert is not ours, from the fields that every pipeline's alerts have."""
    event = alert.event
    if alert.alert_type != "new" and not (updates and alert.alert_type == "update"):
        return SkipReason.OTHER_TYPE
    if event.pipeline.lower() != PIPELINE:
        return SkipReason.OTHER_PIPELINE
    if event.processing_status == "reserved":
        return SkipReason.RESERVED
    return None
