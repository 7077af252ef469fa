"""A trigger on a line is that of the same row in a CSV; anything else is refused in words."""

import json
import math
from contextlib import suppress

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spiir_pastro.domain import DETECTORS
from spiir_pastro.errors import TriggerError
from spiir_pastro.io.trigger_lines import MAX_LINE_BYTES, parse_trigger_line
from spiir_pastro.io.trigger_tables import from_csv

ROW: dict[str, object] = {
    "graceid": "G1",
    "far": 1e-9,
    "snr": 9.1,
    "mchirp": 1.2,
    "ifos": "L1,H1",
    "end_time": 1264316116,
    "end_time_ns": 437500000,
    "deff_H1": 120.5,
    "eff_distance_L1": 0.0,
    "minimum_duration": "whatever else a table has",
}

positive = st.one_of(st.just(0), st.none(), st.floats(1e-300, 1e300), st.integers(1, 10**6))
rows = st.fixed_dictionaries(
    {
        "graceid": st.text("G0123", min_size=1, max_size=4),
        "far": positive,
        "snr": positive,
        "mchirp": positive,
        "ifos": st.sampled_from(["H1,L1", "H1L1V1", "K1"]),
    },
    optional={
        "eff_distance_H1": positive,
        "deff_L1": positive,
        "eff_dist_V": positive,
        "mass1": positive,
        "bank": st.text(max_size=3),
    },
).flatmap(
    lambda row: st.one_of(
        st.floats(0, 2e9).map(lambda t: row | {"end_time": t}),
        st.tuples(st.integers(0, 2**31), st.integers(0, 10**9 - 1)).map(
            lambda t: row | {"end_time": t[0], "end_time_ns": t[1]}
        ),
        st.integers(0, 2**62).map(lambda t: row | {"gps_ns": t}),
    )
)


@given(rows)
def test_a_line_makes_the_trigger_that_a_csv_makes_of_the_row(row: dict[str, object]) -> None:
    trigger = parse_trigger_line(json.dumps(row).encode())
    (expected,) = from_csv(pl.DataFrame([row], infer_schema_length=None)).triggers.to_dicts()
    assert trigger.event_id == expected["event_id"]
    assert trigger.gps_ns == expected["gps_ns"]
    assert "".join(trigger.ifos) == expected["ifos"]
    assert trigger.far_hz == expected["far_hz"]
    assert trigger.snr == expected["snr"]
    assert trigger.mchirp_det == expected["mchirp_det"]
    for ifo in DETECTORS:
        assert trigger.eff_distance_mpc.get(ifo) == expected[f"eff_distance_mpc_{ifo}"]


def test_a_trigger_that_was_not_uploaded_has_no_id() -> None:
    row = {name: value for name, value in ROW.items() if name != "graceid"}
    assert parse_trigger_line(json.dumps(row).encode()).event_id == ""


def test_both_masses_stand_for_a_chirp_mass() -> None:
    row = {name: value for name, value in ROW.items() if name != "mchirp"}
    trigger = parse_trigger_line(json.dumps(row | {"mass1": 3.0, "mass2": 1.4}).encode())
    assert trigger.mchirp_det is not None
    assert math.isclose(trigger.mchirp_det, (3.0 * 1.4) ** 0.6 / 4.4**0.2, rel_tol=1e-12)
    unknown = parse_trigger_line(json.dumps(row | {"mass1": 3.0, "mass2": None}).encode())
    assert unknown.mchirp_det is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"farr": ROW["far"]}, "no far among"),
        ({"far": "1e-9"}, "far: '1e-9' is no number"),
        ({"far": True}, "far: 'True' is no number"),
        ({"far": -1.0}, "far_hz is -1.0"),
        ({"far_hz": 1e-9, "snr": [1]}, "snr: '\\[1\\]' is no number"),
        ({"ifos": "X1"}, "ifos 'X1' is no list of detectors"),
        ({"ifos": None}, "ifos: 'None' is no text"),
        ({"end_time": None}, "end_time: None is no GPS time"),
        ({"end_time": -1}, "end_time: -1 is no GPS time"),
        ({"eff_distance_H1": 3.0}, "2 keys give eff_distance_mpc_H1"),
        ({"graceid": {"a": 1}}, "event_id: .* is no text"),
    ],
)
def test_what_makes_no_trigger_is_refused_in_words(change: dict[str, object], message: str) -> None:
    row = ROW | change
    if "farr" in change:
        del row["far"]
    with pytest.raises(TriggerError, match=message):
        parse_trigger_line(json.dumps(row).encode())


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"far": NaN}',
        b'{"far": 1e999}',
        b"\xff",
        b"[" * 5000,
        b'{"a":' * 5000,
    ],
    ids=str,
)
def test_what_is_no_json_object_is_refused_in_words(line: bytes) -> None:
    with pytest.raises(TriggerError, match=r"no JSON object|no ifos|no text|no end_time|no far"):
        parse_trigger_line(line)


def test_a_line_without_end_is_refused() -> None:
    with pytest.raises(TriggerError, match="65536 is the limit"):
        parse_trigger_line(b" " * (MAX_LINE_BYTES + 1))


@given(st.data())
def test_a_mutilated_line_gives_a_trigger_or_a_refusal(data: st.DataObject) -> None:
    text = bytearray(json.dumps(ROW).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=6))
    with suppress(TriggerError):
        assert parse_trigger_line(bytes(text)).ifos
