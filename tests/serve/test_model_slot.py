"""A model file is taken if it passes its rehearsal; whatever else happens, the old one stays."""

import os
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from rehearsal.sample_model import RehearsalModel
from serve.waiting import PATIENCE_S, wait_until
from spiir_pastro.domain import SourceProbabilities, Trigger
from spiir_pastro.errors import ArtifactError
from spiir_pastro.serve.model_slot import LARGEST_BYTES, Model, ModelSlot, Refusal, load_rehearsed

TRIGGER = Trigger(event_id="reference 1", gps_ns=0, ifos=("H1",), far_hz=1e-9, mchirp_det=1.2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Referenced(RehearsalModel):
    """A model with a reference trigger."""

    reference: tuple[tuple[Trigger, SourceProbabilities], ...] = ()
    version: str = "v1"


def referenced(path: Path) -> Referenced:
    """Load a model whose fit got the probabilities of the default parameters."""
    given = RehearsalModel.load(path)
    reference = ((TRIGGER, RehearsalModel().assess(TRIGGER)),)
    return Referenced(far_even_hz=given.far_even_hz, slope=given.slope, reference=reference)


def outcome(slot: ModelSlot, *, forced: bool = True) -> Model | Refusal:
    found = [slot.refresh(forced=forced)]

    def has_come() -> bool:
        found[0] = found[0] or slot.refresh()
        return found[0] is not None

    wait_until(has_come)
    assert found[0] is not None
    return found[0]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    RehearsalModel().save(tmp_path / "model.json")
    return tmp_path / "model.json"


def test_a_new_model_is_taken_up_and_a_bad_one_refused(path: Path) -> None:
    slot = ModelSlot(path, RehearsalModel.load)
    first = slot.model

    RehearsalModel(slope=0.8).save(path)
    second = outcome(slot)
    assert isinstance(second, Model)
    assert slot.model == second != first
    assert second.assessor == RehearsalModel(slope=0.8)

    path.write_text("{")
    refusal = outcome(slot)
    assert isinstance(refusal, Refusal)
    assert "no rehearsal model" in refusal.reason
    path.unlink()
    refusal = outcome(slot)
    assert isinstance(refusal, Refusal)
    assert "no such file" in refusal.reason
    assert slot.model == second

    RehearsalModel().save(path)
    assert outcome(slot) == first


def test_a_changed_file_is_seen_though_its_time_of_change_is_the_old_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spiir_pastro.serve.model_slot._LOOK_S", 0.0)
    slot = ModelSlot(path, RehearsalModel.load)
    stat = path.stat()
    path.write_text(path.read_text().replace("0.9", "0.7"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    found = outcome(slot, forced=False)
    assert isinstance(found, Model)
    assert found.assessor == RehearsalModel(slope=0.7)


def test_a_model_that_does_not_give_its_reference_triggers_their_probabilities_is_refused(
    path: Path,
) -> None:
    model = load_rehearsed(path, referenced)
    assert model.name == f"v1+{model.digest[:12]}"
    RehearsalModel(slope=0.9001).save(path)
    with pytest.raises(ArtifactError, match="reference trigger reference 1 gets BNS"):
        load_rehearsed(path, referenced)


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("a"), MemoryError(), RecursionError("deep"), KeyError("gps_span")]
)
def test_whatever_a_file_makes_of_the_loader_is_a_refusal(path: Path, error: Exception) -> None:
    def load(_: Path) -> RehearsalModel:
        raise error

    with pytest.raises(ArtifactError, match=f"damaged model: {type(error).__name__}"):
        load_rehearsed(path, load)


def test_size_is_looked_at_before_anything_is_read(path: Path) -> None:
    def load(_: Path) -> RehearsalModel:
        raise AssertionError("read")

    with path.open("wb") as file:
        file.truncate(LARGEST_BYTES + 1)
    with pytest.raises(ArtifactError, match="larger than"):
        load_rehearsed(path, load)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "none", "."):
        with pytest.raises(ArtifactError, match="no such file"):
            load_rehearsed(tmp_path / name, RehearsalModel.load)


def test_a_file_that_changes_while_it_is_read_is_refused(path: Path) -> None:
    def load(given: Path) -> RehearsalModel:
        model = RehearsalModel.load(given)
        replace(model, slope=0.7).save(given)
        return model

    with pytest.raises(ArtifactError, match="put models in place by renaming"):
        load_rehearsed(path, load)


def test_a_trial_that_takes_long_holds_up_nothing(path: Path) -> None:
    may_go_on = threading.Event()
    may_go_on.set()

    def slow(given: Path) -> RehearsalModel:
        assert may_go_on.wait(PATIENCE_S)
        return RehearsalModel.load(given)

    slot = ModelSlot(path, slow)
    may_go_on.clear()
    assert slot.refresh(forced=True) is None
    assert slot.refresh(forced=True) is None
    may_go_on.set()
    assert isinstance(outcome(slot, forced=False), Model)


def test_without_a_model_there_is_no_start(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("[]")
    with pytest.raises(ArtifactError, match="no rehearsal model"):
        ModelSlot(tmp_path / "model.json", RehearsalModel.load)


def test_a_start_with_a_bad_file_goes_on_with_the_model_it_had(path: Path, tmp_path: Path) -> None:
    kept = tmp_path / "spool" / "models" / "allsky.json"
    first = ModelSlot(path, RehearsalModel.load, kept).model
    path.write_text("{")
    again = ModelSlot(path, RehearsalModel.load, kept)
    assert again.model == first
    refusal = again.refresh()
    assert isinstance(refusal, Refusal)
    assert "no rehearsal model" in refusal.reason
    path.unlink()
    assert ModelSlot(path, RehearsalModel.load, kept).model == first

    RehearsalModel(slope=0.8).save(path)
    second = outcome(again)
    assert isinstance(second, Model)
    path.write_text("{")
    assert ModelSlot(path, RehearsalModel.load, kept).model == second
    kept.write_text("{")
    with pytest.raises(ArtifactError, match="no rehearsal model"):
        ModelSlot(path, RehearsalModel.load, kept)
