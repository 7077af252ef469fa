"""The request that sends a file: as the client's own would be, for less of the processor's time."""

import json

import pytest
import requests

from rehearsal.stand_in import StandInGraceDB
from spiir_pastro.serve.gracedb_client import GraceDBClient
from spiir_pastro.serve.upload import FILE_NAME

CONTENT = b'{"BNS": 0.25, "NSBH": 0.25, "BBH": 0.25, "Terrestrial": 0.25}'
COMMENT = 'probabilities, model v1+ab@cd; \u00e4 \u2609 "quoted"'


@pytest.fixture
def client(gracedb: StandInGraceDB) -> GraceDBClient:
    return GraceDBClient(gracedb.url, timeout_s=2.0, settle_s=1.0, anonymous=True)


@pytest.mark.parametrize("label", ["PASTRO_READY", ""])
def test_it_says_what_the_librarys_own_says(
    gracedb: StandInGraceDB, client: GraceDBClient, label: str
) -> None:
    ours = client.write_log(
        "G1", COMMENT, filename=FILE_NAME, content=CONTENT, tag="p_astro", label=label
    )
    theirs = client._client.write_log(
        "G2", COMMENT, filename=FILE_NAME, filecontents=CONTENT, tag_name="p_astro",
        label=label or None,
    )  # fmt: skip
    assert ours.status == theirs.status_code == 201
    assert json.loads(ours.body) == theirs.json()
    one, other = gracedb.files("G1")[0], gracedb.files("G2")[0]
    for name in ("filename", "content", "tags", "label", "comment"):
        assert getattr(one, name) == getattr(other, name)


def test_its_headers_are_the_librarys_own(
    client: GraceDBClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[requests.PreparedRequest] = []
    send = requests.Session.send

    def noted(
        session: requests.Session, request: requests.PreparedRequest, **settings: object
    ) -> requests.Response:
        sent.append(request)
        return send(session, request, **settings)

    monkeypatch.setattr(requests.Session, "send", noted)
    client.service()
    for number in (1, 2):
        client.write_log(f"G{number}", "c", filename="f", content=b"{}", tag="t", label="")
    client._client.write_log("G3", "c", filename="f", filecontents=b"{}", tag_name="t")
    first, second, theirs = sent[-3:]
    varying = {"Content-Type", "Content-Length"}
    expected = {name: value for name, value in theirs.headers.items() if name not in varying}
    for number, ours in ((1, first), (2, second)):
        assert {n: v for n, v in ours.headers.items() if n not in varying} == expected
        assert str(ours.headers["Content-Type"]).startswith("multipart/form-data; boundary=")
        assert isinstance(ours.body, bytes)
        assert ours.headers["Content-Length"] == str(len(ours.body))
        assert ours.url == str(theirs.url).replace("G3", f"G{number}")
        assert ours.hooks == theirs.hooks
    assert first.headers["Content-Type"] != second.headers["Content-Type"]


def test_credentials_are_put_in_each_time(
    client: GraceDBClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = iter(["one", "two"])
    sent: list[object] = []

    def authorised(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {next(tokens)}"
        sent.append(request.headers["Authorization"])
        return request

    client.service()
    monkeypatch.setattr(client._client, "_prepared", client._client.prepare_request(
        requests.Request("POST", "http://127.0.0.1/")
    ))  # fmt: skip
    monkeypatch.setattr(client._client, "auth", authorised)
    for number in (1, 2):
        client.write_log(f"G{number}", "c", filename="f", content=b"{}", tag="t", label="")
    assert sent == ["Bearer one", "Bearer two"]


def test_an_unknown_label_is_no_request(gracedb: StandInGraceDB, client: GraceDBClient) -> None:
    with pytest.raises(Exception, match="none of this GraceDB's"):
        client.write_log("G1", "c", filename="f", content=b"{}", tag="t", label="NONE")
    assert gracedb.files("G1") == []
