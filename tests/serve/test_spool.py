"""What is accepted survives; nothing is accepted twice; nothing leaves the folder."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spiir_pastro.errors import ConfigError
from spiir_pastro.serve.decide import Upload, decide
from spiir_pastro.serve.rehearsal.alerts import sample_alerts
from spiir_pastro.serve.rehearsal.model import RehearsalModel, always
from spiir_pastro.serve.spool import DeadLetters, Spool


def uploads(count: int) -> list[Upload]:
    decisions = [decide(alert, always(RehearsalModel())) for alert in sample_alerts(count)]
    return [decision for decision in decisions if isinstance(decision, Upload)]


def test_an_event_is_accepted_once(spool: Spool) -> None:
    first, second, third = uploads(3)
    assert spool.accept([first, second], read_at=1.0) == [first, second]
    assert spool.accept([second, third, third], read_at=2.0) == [third]


def test_events_survive_and_keep_their_state(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    events = uploads(4)
    spool.accept(events, read_at=5.0)
    spool.done("G1")
    spool.refused("G2", "404")
    spool.postponed("G3", 2, "503")
    spool.close()

    again = Spool(tmp_path)
    assert again.counts() == {"pending": 2, "refused": 1, "done": 1}
    assert [(r.event_id, r.attempts, r.error) for r in again.pending()] == [
        ("G3", 2, "503"),
        ("G4", 0, None),
    ]
    assert again.pending()[1].content == events[3].content
    assert [record.event_id for record in again.reopen()] == ["G2"]
    assert again.counts() == {"pending": 3, "refused": 0, "done": 1}
    assert again.accept(events, read_at=6.0) == []
    again.close()


def test_a_batch_is_accepted_whole_or_not_at_all(spool: Spool) -> None:
    class Unwritable(Upload):
        @property
        def content(self) -> bytes:
            raise sqlite3.OperationalError("disk full")

    good, bad = uploads(2)
    unwritable = Unwritable(trigger=bad.trigger, probabilities=bad.probabilities, model="m")
    with pytest.raises(sqlite3.OperationalError, match="disk full"):
        spool.accept([good, unwritable], read_at=1.0)
    assert spool.accept([good], read_at=1.0) == [good]


def test_done_events_are_forgotten_and_others_are_not(spool: Spool) -> None:
    spool.accept(uploads(2), read_at=10.0)
    spool.done("G1")
    assert spool.forget(before=10.0) == 0
    assert spool.forget(before=11.0) == 1
    assert [record.event_id for record in spool.latest(9)] == ["G2"]


def test_counts_for_drift_are_those_of_the_window(spool: Spool) -> None:
    events = uploads(40)
    spool.accept(events[:10], read_at=1.0)
    spool.accept(events[10:], read_at=2.0)
    counts = spool.assessed_since(2.0)
    probabilities = [event.probabilities for event in events[10:]]
    assert counts["alerts"] == 30
    assert counts["signals"] == sum(p.p_astro > 0.5 for p in probabilities) > 0
    assert counts["BBH"] == sum(p.most_probable == "BBH" for p in probabilities) > 0
    assert sum(counts[c] for c in ("BNS", "NSBH", "BBH", "Terrestrial")) == 30


def test_one_folder_serves_one_service(spool: Spool) -> None:
    with pytest.raises(ConfigError, match="in use by another service"):
        Spool(spool.folder)


def test_an_unknown_spool_is_refused(tmp_path: Path) -> None:
    Spool(tmp_path).close()
    connection = sqlite3.connect(tmp_path / "spool.sqlite")
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(ConfigError, match="schema 7"):
        Spool(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "spool.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(ConfigError, match="move it away"):
        Spool(tmp_path / "other")


def test_dead_letters_are_kept_whole_and_once(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "dead", limit=2)
    path = letters.keep(b"\x00../../x")
    assert path is not None
    assert path.read_bytes() == b"\x00../../x"
    assert letters.keep(b"\x00../../x") == path
    assert len(DeadLetters(tmp_path / "dead")) == 1
    assert letters.keep(b"second") is not None
    assert letters.is_full
    assert letters.keep(b"third") is None


@given(payload=st.binary())
def test_a_dead_letters_name_is_made_of_its_hash_alone(payload: bytes) -> None:
    name = DeadLetters.name(payload)
    assert name.endswith(".alert")
    assert set(name.removesuffix(".alert")) <= set("0123456789abcdef")
