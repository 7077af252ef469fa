"""What is accepted survives; nothing is accepted twice; nothing leaves the folder."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.sample_alerts import sample_alerts
from rehearsal.sample_model import RehearsalModel, always
from spiir_pastro.domain import SourceProbabilities
from spiir_pastro.errors import ConfigError
from spiir_pastro.serve.dead_letters import DeadLetters
from spiir_pastro.serve.decide import Upload, decide
from spiir_pastro.serve.spool import Spool, browse
from spiir_pastro.serve.spool_file import SpoolDamaged


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
    spool.done("G1", "sent")
    spool.postponed("G3", 2, "503")
    spool.close()

    again = Spool(tmp_path)
    assert again.counts() == {"pending": 3, "done": 1}
    assert [(r.event_id, r.attempts, r.error) for r in again.pending()] == [
        ("G2", 0, None),
        ("G3", 2, "503"),
        ("G4", 0, None),
    ]
    assert again.pending()[2].content == events[3].content
    assert again.reopen("G2") is None
    reopened = again.reopen("G1")
    assert reopened is not None
    assert (reopened.event_id, reopened.state, reopened.outcome) == ("G1", "pending", None)
    assert again.counts() == {"pending": 4, "done": 0}
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
        spool.accept([good, unwritable], read_at=1.0, places={("t", 0): 8})
    assert spool.offsets() == {}
    assert spool.accept([good], read_at=1.0, places={("t", 0): 8}) == [good]
    assert spool.offsets() == {("t", 0): 8}


def test_done_events_are_forgotten_and_others_are_not(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.accept(uploads(2), read_at=10.0)
    spool.done("G1", "sent")
    assert spool.forget(before=1e12) == 0  # among the newest, whatever the clock says
    monkeypatch.setattr("spiir_pastro.serve.spool.KEEP_EVENTS", 1)
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
    connection.commit()
    Spool(tmp_path).close()  # the number alone may be damaged
    connection.execute("PRAGMA user_version = 7")
    connection.execute("ALTER TABLE events ADD COLUMN news TEXT")
    connection.close()
    with pytest.raises(ConfigError, match="schema 7"):
        Spool(tmp_path)


def test_a_file_that_is_no_database_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "spool.sqlite").write_bytes(b"no database" * 100)
    spool = Spool(tmp_path)
    assert spool.salvaged is not None
    assert (spool.salvaged.events, spool.counts()) == (0, {"pending": 0, "done": 0})
    assert spool.salvaged.kept.read_bytes() == b"no database" * 100
    assert len(spool.accept(uploads(2), read_at=1.0)) == 2
    spool.close()
    again = Spool(tmp_path)
    assert again.salvaged is None
    assert again.counts() == {"pending": 2, "done": 0}
    again.close()


@pytest.mark.parametrize("page", range(1, 60, 4))
def test_a_damaged_page_costs_only_what_it_held(tmp_path: Path, page: int) -> None:
    spool = Spool(tmp_path)
    events = uploads(200)
    spool.accept(events, read_at=5.0, places={("t", 0): 200})
    spool.done("G1", "sent")
    spool.close()
    path = tmp_path / "spool.sqlite"
    connection = sqlite3.connect(path)
    query = "SELECT rootpage FROM sqlite_master WHERE name = 'events'"
    roots = {1, *connection.execute(query).fetchone()}  # without them, no row can be found
    connection.close()
    content = bytearray(path.read_bytes())
    size = int.from_bytes(content[16:18])
    begin = size * (page % (len(content) // size))
    content[begin : begin + 512] = b"\xa5" * 512
    path.write_bytes(content)

    again = Spool(tmp_path)
    assert again.file.path.exists()
    kept = {record.event_id: record.content for record in again.pending()}
    if begin // size + 1 not in roots:
        assert len(kept) > 100
    expected = {event.trigger.event_id: event.content for event in events}
    assert all(expected[event_id] == content for event_id, content in kept.items())
    again.accept(events, read_at=6.0)
    assert sum(again.counts().values()) == 200
    again.close()


@pytest.mark.parametrize("change", ["content = x'7b7d'", "model = 'another'", "revision = 1"])
@pytest.mark.parametrize("is_done", [False, True], ids=["pending", "done"])
def test_what_is_not_what_was_written_is_never_uploaded(
    tmp_path: Path, change: str, *, is_done: bool
) -> None:
    spool = Spool(tmp_path)
    spool.accept(uploads(3), read_at=5.0)
    if is_done:  # it could be asked for again
        spool.done("G2", "sent")
    spool.close()
    connection = sqlite3.connect(tmp_path / "spool.sqlite")
    connection.execute(f"UPDATE events SET {change} WHERE event_id = 'G2'")  # noqa: S608
    connection.commit()
    connection.close()
    again = Spool(tmp_path)
    assert again.spoiled == ["G2"]
    assert [record.event_id for record in again.pending()] == ["G1", "G3"]
    again.close()


def test_a_cut_log_takes_events_and_offsets_together(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    for number, event in enumerate(uploads(20)):
        spool.accept([event], read_at=5.0, places={("t", 0): number + 1})
    log = tmp_path / "spool" / "spool.sqlite-wal"
    content = log.read_bytes()
    for cut in range(0, len(content), 7919):
        folder = tmp_path / f"cut-{cut}"
        folder.mkdir()
        (folder / "spool.sqlite").write_bytes((tmp_path / "spool" / "spool.sqlite").read_bytes())
        (folder / "spool.sqlite-wal").write_bytes(content[:cut])
        again = Spool(folder)
        assert sum(again.counts().values()) == again.offsets().get(("t", 0), 0)
        again.close()
    spool.close()


def test_a_salvage_killed_midway_is_finished_by_the_next_start(tmp_path: Path) -> None:
    Spool(tmp_path / "good").close()
    made = Spool(tmp_path / "good")
    made.accept(uploads(2), read_at=5.0)
    made.close()
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "spool.sqlite").write_bytes(b"no database" * 100)
    (folder / "spool.sqlite-wal").write_bytes(b"an old log")
    (folder / "spool.sqlite.draft").write_bytes(b"half")
    (tmp_path / "good" / "spool.sqlite").rename(folder / "spool.sqlite.salvaged")
    again = Spool(folder)
    assert again.counts() == {"pending": 2, "done": 0}
    again.close()


def test_a_file_format_that_sqlite_does_not_know_is_damage(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    with closing(Spool(folder)) as spool:
        spool.accept(uploads(3), read_at=1.0)
    content = bytearray((folder / "spool.sqlite").read_bytes())
    content[44:48] = b"\xff" * 4  # the schema's format, in the header
    (folder / "spool.sqlite").write_bytes(content)
    with closing(Spool(folder)) as spool:
        assert spool.salvaged is not None
        assert spool.salvaged.reason == "unsupported file format"


def test_a_file_that_failed_in_use_is_salvaged_though_it_reads_well(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    with closing(Spool(folder)) as spool:
        spool.accept(uploads(3), read_at=1.0)
        spool.file.suspect("no such collation sequence")
    with closing(Spool(folder)) as spool:
        assert spool.salvaged is not None
        assert spool.salvaged.reason == "no such collation sequence"
        assert spool.counts() == {"pending": 3, "done": 0}
    with closing(Spool(folder)) as spool:
        assert spool.salvaged is None


@pytest.mark.parametrize(
    ("written", "damaged"),
    [
        (b"outcome     TEXT", b"outc0me     TEXT"),
        (b"DEFAULT 'pending'", b"DEFAULT 'pe-ding'"),
        (b"G2pending{", b"G2pendixg{"),
        (b"cbc_spiir\x08", b"cbc_spiir\x07"),
    ],
)
def test_damage_of_which_the_structure_does_not_tell_is_found(
    tmp_path: Path, written: bytes, damaged: bytes
) -> None:
    folder = tmp_path / "spool"
    with closing(Spool(folder)) as spool:
        spool.accept(uploads(3), read_at=1.0, places={("cbc_spiir", 0): 8})
    path = folder / "spool.sqlite"
    content = path.read_bytes()
    assert content.count(written) == 1
    path.write_bytes(content.replace(written, damaged))
    with closing(Spool(folder)) as spool:
        assert spool.salvaged is not None
        assert len(spool.accept(uploads(4), read_at=1.0)) == 1
        assert spool.counts() == {"pending": 4, "done": 0}
        assert spool.offsets() == {}  # the broker has a copy; a wrong one is worse than none


def test_a_damaged_number_of_events_does_not_keep_the_salvage_counting(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    with closing(Spool(folder)) as spool:
        spool.accept(uploads(3), read_at=1.0)
        spool._durable.execute("UPDATE sqlite_sequence SET seq = 9223372036854775807")
        spool._durable.execute("UPDATE events SET seq = 9223372036854775807 WHERE seq = 3")
        spool.file.suspect("numbers")
    with closing(Spool(folder)) as spool:
        assert spool.salvaged is not None
        assert spool.counts() == {"pending": 3, "done": 0}
        assert len(spool.accept(uploads(4), read_at=2.0)) == 1  # there are numbers left


def test_an_older_spool_is_taken_over(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "spool.sqlite")
    connection.executescript(
        "CREATE TABLE events (event_id TEXT PRIMARY KEY, state TEXT NOT NULL, content BLOB,"
        "gps_ns INTEGER, p_astro REAL, source TEXT, read_at REAL, attempts INTEGER) WITHOUT ROWID;"
        "INSERT INTO events VALUES ('G1', 'done', x'7b7d', 1, 0.5, 'BNS', 1.0, 0);"
        "INSERT INTO events VALUES ('G2', 'refused', x'7b7d', 1, 0.5, 'BNS', 2.0, 3);"
        "PRAGMA user_version = 1;"
    )
    connection.close()
    spool = Spool(tmp_path)
    assert spool.counts() == {"pending": 1, "done": 1}
    assert [record.event_id for record in spool.pending()] == ["G2"]
    spool.close()


def test_a_folder_taken_away_in_use_is_noticed(spool: Spool) -> None:
    spool.check()
    spool.file.path.unlink()
    with pytest.raises(SpoolDamaged, match="taken away"):
        spool.check()


def test_dead_letters_are_kept_whole_and_once(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "dead", limit=2)
    path = letters.keep(b"\x00../../x")
    assert path is not None
    assert path.read_bytes() == b"\x00../../x"
    assert letters.keep(b"\x00../../x") == path
    assert len(DeadLetters(tmp_path / "dead")) == 1
    assert letters.keep(b"second") is not None
    problem = letters.problem()
    assert problem is not None
    assert "is full with 2 payloads of 14 bytes" in problem
    assert letters.keep(b"third") is None
    path.unlink()  # somebody made room
    assert letters.keep(b"third") is not None
    letters.remove(letters.name(b"third"))
    assert letters.problem() is None
    assert letters.names() == [letters.name(b"second")]
    assert letters.read(letters.name(b"second")) == b"second"
    assert letters.read(letters.name(b"third")) is None


def test_dead_letters_are_bounded_by_their_bytes(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "dead", limit_bytes=100)
    assert letters.keep(b"a" * 60) is not None
    assert letters.keep(b"b" * 60) is None
    assert letters.keep(b"c" * 40) is not None
    assert letters.problem() is not None
    assert DeadLetters(tmp_path / "dead").size == 100


@given(payload=st.binary())
def test_a_dead_letters_name_is_made_of_its_hash_alone(payload: bytes) -> None:
    name = DeadLetters.name(payload)
    assert name.endswith(".alert")
    assert set(name.removesuffix(".alert")) <= set("0123456789abcdef")


def changed(upload: Upload, far_hz: float, p_bns: float) -> Upload:
    probabilities = SourceProbabilities(bns=p_bns, nsbh=0.0, bbh=0.0, terrestrial=1.0 - p_bns)
    trigger = replace(upload.trigger, far_hz=far_hz)
    return replace(upload, trigger=trigger, probabilities=probabilities, model="later")


def test_an_event_with_other_numbers_is_answered_again_once_if_that_is_wanted(
    spool: Spool,
) -> None:
    (first,) = uploads(1)
    second, third = changed(first, 1e-12, 0.9), changed(first, 1e-13, 0.95)
    spool.accept([first], read_at=1.0)
    spool.done("G1", "sent")
    assert spool.accept([second], read_at=2.0) == []
    assert spool.accept([second, first, second], read_at=3.0, updates=True) == [
        replace(second, revision=1)
    ]
    (record,) = spool.pending()
    assert (record.content, record.model, record.revision) == (second.content, "later", 1)
    assert (record.far_hz, record.p_astro, record.outcome) == (1e-12, 0.9, None)
    assert spool.accept([third], read_at=4.0, updates=True) == [replace(third, revision=2)]
    # Whatever was answered before may come again, from any topic and in any order.
    assert spool.accept([first, second, third], read_at=5.0, updates=True) == []
    spool.done("G1", "sent", 1)
    assert spool.counts() == {"pending": 1, "done": 0}
    spool.done("G1", "sent", 2)
    assert spool.counts() == {"pending": 0, "done": 1}


def test_other_numbers_with_the_same_answer_are_no_new_version(spool: Spool) -> None:
    (first,) = uploads(1)
    spool.accept([first], read_at=1.0)
    same = replace(first, trigger=replace(first.trigger, snr=12.0))
    assert spool.accept([same], read_at=2.0, updates=True) == []


def test_an_event_that_another_writer_answered_is_left_to_it(spool: Spool) -> None:
    (first,) = uploads(1)
    spool.accept([first], read_at=1.0)
    spool.done("G1", "other")
    assert spool.accept([changed(first, 1e-12, 0.9)], read_at=2.0, updates=True) == []


def test_a_spool_in_use_can_be_looked_into(spool: Spool) -> None:
    first, second = uploads(2)
    spool.accept([first, replace(second, model="other")], read_at=1.0)
    assert [(r.event_id, r.model) for r in browse(spool.folder)] == [
        ("G2", "other"),
        ("G1", first.model),
    ]
    assert [r.event_id for r in spool.latest(5, model="other")] == ["G2"]
    assert [r.event_id for r in spool.latest(5)] == ["G2", "G1"]
    with pytest.raises(ConfigError, match="cannot be read"):
        next(browse(spool.folder / "none"))


def test_what_says_nothing_new_is_not_waited_for_the_disk(spool: Spool) -> None:
    first, second = uploads(2)
    spool.accept([first], read_at=1.0, places={("a", 0): 1})
    statements: list[str] = []
    spool._durable.set_trace_callback(statements.append)
    spool.accept([first], read_at=2.0, places={("b", 0): 1})
    assert statements == []
    assert spool.offsets() == {("a", 0): 1, ("b", 0): 1}
    assert spool.accept([first, second], read_at=3.0, places={("b", 0): 2}) == [second]
    assert statements
