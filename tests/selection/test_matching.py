"""Matching finds what a search of every pair finds."""

from random import Random
from typing import NamedTuple

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from spiir_pastro.selection import match_injections

_WINDOW, _TOLERANCE = 9, 0.1


class _Trigger(NamedTuple):
    event_id: str
    gps_ns: int
    far_hz: float | None
    snr: float
    mchirp_det: float | None


class _Injection(NamedTuple):
    injection_id: int
    gps_ns: int
    mchirp_det: float
    distance_mpc: float


_TRIGGERS = {
    "event_id": pl.String,
    "gps_ns": pl.Int64,
    "far_hz": pl.Float64,
    "snr": pl.Float64,
    "mchirp_det": pl.Float64,
}
_INJECTIONS = {
    "injection_id": pl.Int64,
    "gps_ns": pl.Int64,
    "mchirp_det": pl.Float64,
    "distance_mpc": pl.Float64,
}

_masses = st.sampled_from([1.0, 1.05, 1.1, 1.2, 30.0, 33.0])
_triggers = st.lists(
    st.tuples(
        st.integers(0, 60),
        st.sampled_from([None, 1e-9, 1e-6]),
        st.sampled_from([8.0, 9.0]),
        st.none() | _masses,
    ),
    max_size=30,
).map(lambda rows: [_Trigger(f"e{i}", *row) for i, row in enumerate(rows)])
_injections = st.lists(st.tuples(st.integers(0, 60), _masses), max_size=8).map(
    lambda rows: [_Injection(i, *row, 100.0 + i) for i, row in enumerate(rows)]
)


def _frames(
    triggers: list[_Trigger], injections: list[_Injection]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    return (
        pl.DataFrame(triggers, schema=_TRIGGERS, orient="row"),
        pl.DataFrame(injections, schema=_INJECTIONS, orient="row"),
    )


def _brute_force(triggers: list[_Trigger], injections: list[_Injection]) -> dict[int, str]:
    """Injection to trigger, from every pair."""
    claimed: dict[int, list[_Trigger]] = {}
    for t in triggers:
        near = [
            (abs(t.gps_ns - i.gps_ns), i.gps_ns, i.injection_id)
            for i in injections
            if abs(t.gps_ns - i.gps_ns) <= _WINDOW
            and t.mchirp_det is not None
            and abs(t.mchirp_det - i.mchirp_det) <= _TOLERANCE * i.mchirp_det
        ]
        if near:
            claimed.setdefault(min(near)[2], []).append(t)
    return {
        injection: min(
            ts, key=lambda t: (t.far_hz is None, t.far_hz or 0, -t.snr, t.event_id)
        ).event_id
        for injection, ts in claimed.items()
    }


@given(_triggers, _injections)
def test_it_finds_what_every_pair_would_tell(
    triggers: list[_Trigger], injections: list[_Injection]
) -> None:
    frames = _frames(triggers, injections)
    matches = match_injections(*frames, window_ns=_WINDOW, mchirp_tolerance=_TOLERANCE)
    found = dict(zip(matches.found["injection_id"], matches.found["event_id"], strict=True))
    assert found == _brute_force(triggers, injections)
    assert matches.found["event_id"].is_unique().all()
    everything = sorted([*found, *matches.missed["injection_id"]])
    assert everything == [i.injection_id for i in injections]
    assert_frame_equal(frames[0], _frames(triggers, injections)[0])


@given(_triggers, _injections, st.randoms(use_true_random=False))
def test_row_order_does_not_matter(
    triggers: list[_Trigger], injections: list[_Injection], random: Random
) -> None:
    before = match_injections(*_frames(triggers, injections), window_ns=_WINDOW)
    random.shuffle(triggers)
    random.shuffle(injections)
    after = match_injections(*_frames(triggers, injections), window_ns=_WINDOW)
    assert_frame_equal(after.found, before.found)
    assert_frame_equal(after.missed, before.missed)


def test_the_true_values_stand_beside_the_trigger() -> None:
    matches = match_injections(
        *_frames(
            [_Trigger("loud", 5, 1e-9, 12.0, 1.05), _Trigger("faint", 5, 1e-6, 9.0, 1.0)],
            [_Injection(7, 3, 1.0, 140.0)],
        )
    )
    assert matches.found.to_dicts() == [
        {
            "event_id": "loud",
            "gps_ns": 5,
            "far_hz": 1e-9,
            "snr": 12.0,
            "mchirp_det": 1.05,
            "injection_id": 7,
            "injection_gps_ns": 3,
            "injection_mchirp_det": 1.0,
            "injection_distance_mpc": 140.0,
        }
    ]


def test_a_duplicate_of_a_found_injection_is_not_its_missed_neighbour() -> None:
    second = 1_000_000_000
    matches = match_injections(
        *_frames(
            [_Trigger("first", 0, 1e-9, 12.0, 1.0), _Trigger("again", 1, 1e-8, 11.0, 1.0)],
            [_Injection(0, 0, 1.0, 100.0), _Injection(1, second // 2, 1.0, 500.0)],
        )
    )
    assert matches.found["event_id"].to_list() == ["first"]
    assert matches.missed["injection_id"].to_list() == [1]
