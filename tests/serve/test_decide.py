"""A payload becomes an upload or a skip with its reason, whatever it holds."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.sample_alerts import other_alerts, sample_alert
from rehearsal.sample_model import RehearsalModel, always
from spiir_pastro.domain import SourceProbabilities, Trigger
from spiir_pastro.errors import TriggerError
from spiir_pastro.serve.decide import Choose, Skip, SkipReason, Upload, decide
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.metrics import Metrics
from spiir_pastro.serve.searches import Models


@pytest.fixture
def choose(tmp_path: Path, model: RehearsalModel) -> Choose:
    """The choice of a service to which the settings named no searches."""
    model.save(tmp_path / "model.json")
    path = tmp_path / "model.json"
    slots = Models(path, RehearsalModel.load, metrics=Metrics(), health=Health())
    assert slots.own.assessor == model
    return lambda event: (
        found if isinstance(found := slots.choose(event), SkipReason) else always(model)(event)
    )


def test_a_new_spiir_alert_is_answered_with_the_models_probabilities(
    model: RehearsalModel, choose: Choose
) -> None:
    decision = decide(sample_alert(7), choose)
    assert isinstance(decision, Upload)
    assert decision.trigger.event_id == "G7"
    assert decision.probabilities == model.assess(decision.trigger)
    assert decision.model == "rehearsal+000000000000"
    content = json.loads(decision.content)
    assert list(content) == ["BNS", "NSBH", "BBH", "Terrestrial"]
    assert SourceProbabilities.from_mapping(content) == decision.probabilities


@pytest.mark.parametrize(
    ("payload", "reason"),
    list(
        zip(
            other_alerts(),
            [
                SkipReason.OTHER_TYPE,
                SkipReason.OTHER_PIPELINE,
                SkipReason.EARLY_WARNING,
                SkipReason.RESERVED,
                SkipReason.NO_FAR,
                SkipReason.NOT_A_TRIGGER,
                SkipReason.NOT_AN_ALERT,
                SkipReason.NOT_AN_ALERT,
            ],
            strict=True,
        )
    ),
    ids=lambda value: value if isinstance(value, SkipReason) else "",
)
def test_what_is_not_answered_says_why(payload: bytes, reason: SkipReason, choose: Choose) -> None:
    decision = decide(payload, choose)
    assert isinstance(decision, Skip)
    assert decision.reason is reason
    assert bool(decision.detail) == reason.is_dead_letter


def test_a_trigger_the_model_cannot_assess_is_a_dead_letter() -> None:
    class Choosy:
        def assess(self, trigger: Trigger, /) -> SourceProbabilities:
            raise TriggerError(f"trigger {trigger.event_id}: no chirp mass")

    decision = decide(sample_alert(7), always(Choosy()))
    assert decision == Skip(
        reason=SkipReason.NOT_ASSESSABLE, uid="G7", detail="trigger G7: no chirp mass"
    )
    assert SkipReason.NOT_ASSESSABLE.is_dead_letter


def test_the_pipelines_name_is_read_in_any_case(choose: Choose) -> None:
    alert = json.loads(json.dumps(sample_alert(7)).replace('"spiir"', '"SPIIR"'))
    assert isinstance(decide(alert, choose), Upload)


def test_a_chirp_mass_next_to_nothing_is_answered(choose: Choose) -> None:
    alert = json.loads(json.dumps(sample_alert(7)))
    alert["data"]["extra_attributes"]["CoincInspiral"]["mchirp"] = 5e-324
    decision = decide(alert, choose)
    assert isinstance(decision, Upload)
    assert decision.probabilities.bbh == 0.0


@given(st.data())
def test_mutilated_alerts_are_decided_about_and_never_raise(data: st.DataObject) -> None:
    text = bytearray(json.dumps(sample_alert(data.draw(st.integers(1, 50)))).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=6))
    decision = decide(bytes(text), always(RehearsalModel()))
    assert isinstance(decision, Upload | Skip)
