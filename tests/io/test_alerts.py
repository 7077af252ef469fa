"""Alert payloads are hostile until read."""

import json
import math
import threading
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spiir_pastro.errors import AlertError, PastroError, TriggerError
from spiir_pastro.io.alerts import MAX_PAYLOAD_BYTES, Alert, parse_alert

Json = dict[str, object]

# The columns read, with the values GraceDB's schema gives them; G1 never happened.
COINC: Json = {
    "ifos": "L1,H1,V1",
    "end_time": 1344284404,
    "end_time_ns": 465332031,
    "snr": 14.53038024841362,
    "mchirp": 3.875040769577026,
    "combined_far": 2.290503960221562e-22,
}
SINGLES: list[Json] = [
    {"ifo": "H1", "snr": 10.2, "eff_distance": 379.62792},
    {"ifo": "L1", "snr": 10.1, "eff_distance": 444.97957},
    {"ifo": "V1", "snr": 0.0, "eff_distance": 0.0},
]


def new_alert(coinc: Json = COINC, singles: object = SINGLES, **event: object) -> Json:
    attributes = {"CoincInspiral": coinc, "SingleInspiral": singles}
    data = {"graceid": "G1", "pipeline": "spiir", "extra_attributes": attributes, **event}
    return {"uid": "G1", "alert_type": "new", "data": data, "object": data}


def forms(alert: Json) -> dict[str, str | bytes | Json]:
    text = json.dumps(alert)
    return {
        "dict": alert,
        "text": text,
        "bytes": text.encode(),
        "a string of JSON, as GraceDB publishes": json.dumps(text).encode(),
        "hop's envelope": json.dumps({"format": "blob", "content": text}),
        "hop's envelope around an object": json.dumps({"format": "json", "content": alert}),
    }


def test_every_form_of_a_payload_reads_the_same() -> None:
    expected = parse_alert(new_alert()).trigger()
    for name, payload in forms(new_alert()).items():
        assert parse_alert(payload).trigger() == expected, name


def test_numbers_are_taken_exactly_as_the_text_says() -> None:
    trigger = parse_alert(new_alert()).trigger()
    assert trigger.event_id == "G1"
    assert trigger.gps_ns == 1344284404465332031
    assert trigger.ifos == ("H1", "L1", "V1")
    assert trigger.far_hz == 2.290503960221562e-22
    assert trigger.snr == 14.53038024841362
    assert trigger.mchirp_det == 3.875040769577026
    assert dict(trigger.eff_distance_mpc) == {"H1": 379.62792, "L1": 444.97957}


@pytest.mark.parametrize("column", ["combined_far", "snr", "mchirp"])
@pytest.mark.parametrize("none", [0, 0.0, None, "absent"])
def test_zero_null_and_absent_are_unknown(column: str, none: object) -> None:
    rest = {name: value for name, value in COINC.items() if name != column}
    coinc = rest if none == "absent" else rest | {column: none}
    trigger = parse_alert(new_alert(coinc)).trigger()
    attribute = {"combined_far": "far_hz", "snr": "snr", "mchirp": "mchirp_det"}[column]
    assert getattr(trigger, attribute) is None


def test_the_event_far_stands_in_for_a_missing_combined_far() -> None:
    coinc = COINC | {"combined_far": None}
    assert parse_alert(new_alert(coinc, far=1e-9)).trigger().far_hz == 1e-9


def test_other_alert_types_carry_their_event_in_object() -> None:
    alert = new_alert(search="AllSky") | {"alert_type": "label_added", "data": {"name": "DQV"}}
    assert parse_alert(alert).event.graceid == "G1"


def test_other_pipelines_attributes_are_left_unread() -> None:
    alert = parse_alert(new_alert(pipeline="cwb", extra_attributes={"MultiBurst": [1]}, far=-1))
    assert alert.event.pipeline == "cwb"
    superevent: Json = {"superevent_id": "S1", "far": 1}
    assert parse_alert({"uid": "S1", "alert_type": "new", "data": superevent}).event.pipeline == ""


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "cannot be understood"),
        (b"\xff\xfe", "cannot be understood"),
        ("null", "Expected `object`"),
        ("[]", "Expected `object`"),
        ('"\\ud800"', "cannot be understood"),
        ("\ud800", "cannot be understood"),
        ('{"alert_type": "new"}', "missing required field `uid`"),
        ({"uid": "G1"}, "missing required field `alert_type`"),
        ({"uid": "G1", "alert_type": "new", "data": [1]}, "Expected `object`"),
        ({"uid": "G" * 65, "alert_type": "new"}, "length <= 64"),
        ({"uid": math.nan}, "no JSON object"),
        ({"uid": {1, 2}}, "no JSON object"),
        (b'{"uid": "G1", "alert_type": NaN}', "invalid character"),
        (b'{"uid": "G1", "alert_type": "new", "data": {"far": -Infinity}}', "invalid"),
        (b'{"uid": "G1", "alert_type": "new", "data": {"far": 1e999}}', "out of range"),
        (b" " * (MAX_PAYLOAD_BYTES + 1), "is the limit"),
        (b'{"x":' + b"[" * 100_000, "nested too deep"),
        (b'{"uid":"G1","alert_type":"new","data":' + b'{"a":' * 100_000, "nested too deep"),
        (3, "is int, not text"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_alert_is_refused(payload: str | bytes | Json, message: str) -> None:
    with pytest.raises(AlertError, match=message):
        parse_alert(payload)


def test_a_deep_payload_is_refused_on_a_thread_too() -> None:
    outcome: list[str] = []

    def read() -> None:
        try:
            parse_alert(b'{"x":' + b"[" * 1_000_000)
        except AlertError as error:
            outcome.append(str(error))

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert outcome == ["alert is nested too deep"]


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (new_alert(graceid="../../etc/passwd"), "matching regex"),
        (new_alert(graceid="G1\n"), "matching regex"),
        (new_alert(graceid=None), "graceid is missing"),
        (new_alert(extra_attributes=None), "Expected `object`"),
        (new_alert({}), "missing required field `ifos`"),
        (new_alert(COINC | {"end_time": 2**32}), "end_time"),
        (new_alert(COINC | {"end_time": 1.5}), "end_time"),
        (new_alert(COINC | {"end_time_ns": 10**9}), "end_time_ns"),
        (new_alert(COINC | {"snr": -8}), "snr"),
        (new_alert(COINC | {"snr": True}), "snr"),
        (new_alert(COINC | {"mchirp": "1.2"}), "mchirp"),
        (new_alert(COINC | {"mchirp": 1e300}), "mchirp"),
        (new_alert(COINC, [SINGLES[0], SINGLES[0]]), "once"),
        (new_alert(COINC, [{"ifo": "X1"}]), "X1"),
        (new_alert(COINC, [{"ifo": "H1", "eff_distance": -1}]), "eff_distance"),
    ],
)
def test_missing_fields_and_absurd_numbers_are_named(payload: Json, message: str) -> None:
    with pytest.raises(AlertError, match=message):
        parse_alert(payload).trigger()


def test_absurd_detectors_and_rates_are_no_trigger() -> None:
    with pytest.raises(TriggerError, match="'X1' is no list of detectors"):
        parse_alert(new_alert(COINC | {"ifos": "X1"})).trigger()
    with pytest.raises(TriggerError, match="far_hz is -1"):
        parse_alert(new_alert(COINC | {"combined_far": 0}, far=-1.0)).trigger()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.binary() | st.text() | st.dictionaries(st.text(), json_values))
def test_anything_at_all_is_an_alert_or_an_error_of_ours(payload: bytes | str | Json) -> None:
    with suppress(AlertError):
        assert isinstance(parse_alert(payload), Alert)


@given(st.data())
def test_an_alert_with_one_value_replaced_is_read_or_refused(data: st.DataObject) -> None:
    alert = json.loads(json.dumps(new_alert()))
    node, key = alert, "data"
    while (
        isinstance(node[key], dict | list) and node[key] and data.draw(st.booleans() | st.just(1))
    ):
        node = node[key]
        keys = sorted(node) if isinstance(node, dict) else range(len(node))
        key = data.draw(st.sampled_from(keys))
    node[key] = data.draw(json_values)
    with suppress(PastroError):
        parse_alert(alert).trigger()


def test_the_sample_alerts_agree_with_the_values_typed_from_them(real_data: Path) -> None:
    trigger = parse_alert(
        (real_data / "alerts/spiir_new_H1L1V1_1344284404.json").read_text()
    ).trigger()
    assert (trigger.event_id, trigger.gps_ns) == ("G585758", 1344284404465332031)
    assert (trigger.far_hz, trigger.snr) == (2.290503960221562e-22, 14.53038024841362)
    assert dict(trigger.eff_distance_mpc) == {"H1": 379.62792, "L1": 444.97957, "V1": 921.94705}
    kinds = {
        path.name: msgspec.structs.asdict(parse_alert(path.read_bytes()))["alert_type"]
        for path in (real_data / "alerts").glob("*.json")
    }
    assert sorted(kinds.values()) == ["label_added", "log", "new", "new", "new"]
