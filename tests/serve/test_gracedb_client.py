"""One file and its label, whatever GraceDB does; failures are sorted right."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rehearsal.broker import free_port
from rehearsal.stand_in import (
    UNKNOWN_EVENT,
    Faults,
    StandInGraceDB,
    read_journal,
)
from serve.sasl_gateway import make_certificate
from spiir_pastro.errors import ConfigError
from spiir_pastro.serve.gracedb_client import GraceDBClient
from spiir_pastro.serve.upload import (
    Delivered,
    EventFile,
    FileUploader,
    GraceDBUploader,
    Unanswered,
)

CONTENT = b'{"BNS": 1.0, "NSBH": 0.0, "BBH": 0.0, "Terrestrial": 0.0}'
FILE = EventFile(event_id="G1", content=CONTENT)


def uploader(gracedb: StandInGraceDB) -> GraceDBUploader:
    # Shorter than the stand-in stalls, where it does.
    return at(gracedb.url, timeout_s=0.3 if gracedb.faults.stall_after else 20.0)


def at(url: str, *, timeout_s: float = 20.0) -> GraceDBUploader:
    return GraceDBUploader(GraceDBClient(url, timeout_s=timeout_s, settle_s=0.7, anonymous=True))


def deliver(
    gracedb: StandInGraceDB,
    event_id: str = "G1",
    *,
    look_first: bool = False,
    content: bytes = CONTENT,
) -> Delivered:
    client = uploader(gracedb)
    try:
        return client.deliver(
            EventFile(event_id=event_id, content=content),
            look_first=look_first,
            on_send=lambda: None,
        )
    finally:
        client.close()


def test_the_file_arrives_with_its_name_tag_and_label(gracedb: StandInGraceDB) -> None:
    assert deliver(gracedb) is Delivered.SENT
    (entry,) = gracedb.files("G1")
    assert (entry.filename, entry.tags) == ("spiir.p_astro.json", ["p_astro"])
    assert json.loads(entry.content) == json.loads(CONTENT)
    assert gracedb.labels("G1") == {"PASTRO_READY"}


def test_a_file_that_is_there_is_not_sent_again_but_labelled(gracedb: StandInGraceDB) -> None:
    gracedb.faults = Faults(half=1.0)
    with pytest.raises(Unanswered, match="answered 500"):
        deliver(gracedb)
    assert gracedb.labels("G1") == set()
    gracedb.faults = Faults()
    assert deliver(gracedb, look_first=True) is Delivered.FOUND
    assert len(gracedb.files("G1")) == 1
    assert gracedb.labels("G1") == {"PASTRO_READY"}
    assert deliver(gracedb, "G2", look_first=True) is Delivered.SENT


def test_the_comment_names_the_model(gracedb: StandInGraceDB) -> None:
    client = uploader(gracedb)
    client.deliver(
        EventFile(event_id="G1", content=CONTENT, model="v1+ab"),
        look_first=False,
        on_send=lambda: None,
    )
    client.close()
    assert gracedb.files("G1")[0].comment == "SPIIR source probabilities, model v1+ab"


def test_a_later_answer_is_a_new_version_once(gracedb: StandInGraceDB) -> None:
    def revise(content: bytes) -> Delivered:
        client = uploader(gracedb)
        try:
            return client.deliver(
                EventFile(event_id="G1", content=content, replaces=True),
                look_first=True,
                on_send=lambda: None,
            )
        finally:
            client.close()

    assert deliver(gracedb) is Delivered.SENT
    later = b'{"BNS": 0.5, "NSBH": 0.5, "BBH": 0.0, "Terrestrial": 0.0}'
    assert revise(later) is Delivered.SENT
    assert revise(later) is Delivered.FOUND
    assert [entry.content for entry in gracedb.files("G1")] == [
        CONTENT.decode(),
        later.decode(),
    ]


def test_another_writers_file_is_compared_and_left(gracedb: StandInGraceDB) -> None:
    theirs = b'{"BNS": 0.5, "NSBH": 0.5, "BBH": 0.0, "Terrestrial": 0.0}'
    assert deliver(gracedb, content=theirs) is Delivered.SENT
    assert deliver(gracedb, look_first=True) is Delivered.OTHER
    assert [json.loads(entry.content) for entry in gracedb.files("G1")] == [json.loads(theirs)]
    assert gracedb.labels("G1") == {"PASTRO_READY"}


@pytest.mark.parametrize("fault", ["login", "unauthorized", "missing"])
def test_only_a_log_entry_is_a_success(gracedb: StandInGraceDB, fault: str) -> None:
    gracedb.faults = Faults(**{fault: 1.0})
    for look_first in (False, True):
        with pytest.raises(Unanswered, match="GraceDB") as caught:
            deliver(gracedb, look_first=look_first)
        assert caught.value.is_of_event == (fault == "missing")
    gracedb.faults = Faults()
    assert deliver(gracedb, look_first=True) is Delivered.SENT
    assert len(gracedb.files("G1")) == 1


@pytest.mark.parametrize(
    ("faults", "cause", "wait_s"),
    [
        (Faults(error=1.0), "status_500", 0.0),
        (Faults(busy=1.0), "status_429", 1.0),
        (Faults(unavailable=1.0), "status_503", 1.0),
        (Faults(unauthorized=1.0), "status_401", 0.0),
        (Faults(missing=1.0), "status_404", 0.0),
        (Faults(login=1.0), "status_200", 0.0),
        (Faults(cut_before=1.0), "connection", 0.7),
        (Faults(cut_after=1.0), "connection", 0.7),
        (Faults(stall_after=1.0, stall_s=0.6), "timeout", 0.7),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_failure_has_its_cause_and_its_wait(
    gracedb: StandInGraceDB, faults: Faults, cause: str, wait_s: float
) -> None:
    gracedb.faults = faults
    with pytest.raises(Unanswered, match="GraceDB") as caught:
        deliver(gracedb)
    assert (caught.value.cause, caught.value.wait_s) == (cause, wait_s)


def test_an_event_gracedb_does_not_know_is_that_events_problem(gracedb: StandInGraceDB) -> None:
    with pytest.raises(Unanswered, match="answered 404") as caught:
        deliver(gracedb, UNKNOWN_EVENT)
    assert caught.value.is_of_event


def test_a_server_that_is_down_or_talks_nonsense_is_unreachable(gracedb: StandInGraceDB) -> None:
    nobody = at(f"http://127.0.0.1:{free_port()}/api/")
    with pytest.raises(Unanswered, match="cannot be reached") as caught:
        nobody.deliver(FILE, look_first=False, on_send=lambda: None)
    assert caught.value.wait_s == 0.0
    nobody.close()
    lost = at(gracedb.url + "events/G1/files/")
    with pytest.raises(Unanswered, match="makes no sense"):
        lost.deliver(FILE, look_first=False, on_send=lambda: None)
    lost.close()


@pytest.mark.filterwarnings("ignore:Support for identity-based X.509:DeprecationWarning")
def test_credentials_must_be_found_unless_none_are_wanted(
    gracedb: StandInGraceDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BEARER_TOKEN", "BEARER_TOKEN_FILE", "SCITOKEN", "X509_USER_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    with pytest.raises(ConfigError, match="htgettoken"):
        GraceDBClient(gracedb.url, timeout_s=1.0, settle_s=1.0)


def test_the_check_asks_for_the_label(gracedb: StandInGraceDB) -> None:
    client = uploader(gracedb)
    assert client.check() == "stand-in"
    client.close()


def test_a_dry_run_writes_files_only(tmp_path: Path) -> None:
    files = FileUploader(tmp_path / "out")
    assert files.deliver(FILE, look_first=True, on_send=lambda: None) is Delivered.SENT
    assert files.deliver(FILE, look_first=True, on_send=lambda: None) is Delivered.FOUND
    other = replace(FILE, content=b'{"BNS": 0.0}')
    assert files.deliver(other, look_first=True, on_send=lambda: None) is Delivered.OTHER
    files.close()
    (path,) = (tmp_path / "out").iterdir()
    assert path.name == "G1.spiir.p_astro.json"
    assert path.read_bytes() == CONTENT


def test_the_stand_in_remembers_what_it_was_told(gracedb: StandInGraceDB, tmp_path: Path) -> None:
    deliver(gracedb)
    again = StandInGraceDB(tmp_path / "gracedb.jsonl")
    assert again.entries == gracedb.entries
    assert read_journal(tmp_path / "gracedb.jsonl") == gracedb.entries["G1"]
    again.close()


@pytest.mark.filterwarnings("ignore:Support for identity-based X.509:DeprecationWarning")
def test_of_two_kinds_of_credentials_the_setting_chooses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path, "robot")
    monkeypatch.setenv("X509_USER_CERT", str(certificate))
    monkeypatch.setenv("X509_USER_KEY", str(certificate))
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(tmp_path / "none"))
    url = "https://gracedb-playground.ligo.org/api/"
    GraceDBClient(url, timeout_s=1, settle_s=1, credentials="x509").close()
    for kind in ("all", "scitoken"):  # a token that is missing is not made up for in silence
        with pytest.raises(ConfigError, match="no credentials for"):
            GraceDBClient(url, timeout_s=1, settle_s=1, credentials=kind)
