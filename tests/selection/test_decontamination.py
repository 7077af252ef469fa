"""The background loses signals and the foreground loses noise, and nothing else goes."""

import math

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from spiir_pastro.selection import TwinTolerance, remove_twin_noise, split_near

_MS = 1_000_000
_SCHEMA = {"gps_ns": pl.Int64, "mchirp_det": pl.Float64, "snr": pl.Float64}
_Row = tuple[int, float | None, float | None]
_rows = st.lists(
    st.tuples(
        st.integers(0, 60).map(lambda t: t * _MS),
        st.sampled_from([None, 1.0, 1.008, 1.02, 30.0]),
        st.sampled_from([None, 7.0, 7.5, 8.0, 20.0]),
    ),
    max_size=25,
)


def _frame(rows: list[_Row]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


@given(st.lists(st.integers(-30, 30)), st.lists(st.integers(-30, 30)), st.integers(0, 9))
def test_near_is_within_the_window_with_its_ends(
    times: list[int], mergers: list[int], window: int
) -> None:
    triggers = pl.DataFrame({"gps_ns": times}, schema={"gps_ns": pl.Int64})
    away, near = split_near(triggers, np.array(mergers, dtype=np.int64), window_ns=window)
    is_near = [any(abs(t - m) <= window for m in mergers) for t in times]
    assert near["gps_ns"].to_list() == [t for t, it_is in zip(times, is_near, strict=True) if it_is]
    assert away["gps_ns"].to_list() == [
        t for t, it_is in zip(times, is_near, strict=True) if not it_is
    ]


@given(_rows, _rows)
def test_noise_is_what_every_pair_would_tell(triggers: list[_Row], twin: list[_Row]) -> None:
    def same_noise(row: _Row, noise: _Row) -> bool:
        t, mchirp, snr = (math.nan if v is None else v for v in row)
        t_noise, mchirp_noise, snr_noise = (math.nan if v is None else v for v in noise)
        return (
            abs(t - t_noise) <= 10 * _MS
            and abs(mchirp - mchirp_noise) <= 0.01 * mchirp_noise
            and snr <= 1.1 * snr_noise
        )

    kept = [row for row in triggers if not any(same_noise(row, noise) for noise in twin)]
    assert_frame_equal(remove_twin_noise(_frame(triggers), _frame(twin)), _frame(kept))


@given(_rows)
def test_a_run_holds_nothing_its_own_twin_does_not(rows: list[_Row]) -> None:
    left = remove_twin_noise(_frame(rows), _frame(rows))
    assert left.filter(pl.all_horizontal(pl.all().is_not_null())).is_empty()


def test_a_signal_on_top_of_the_twins_noise_stays() -> None:
    noise, signal = (0, 1.2, 7.0), (2 * _MS, 1.2, 9.0)
    left = remove_twin_noise(_frame([noise, signal]), _frame([noise]))
    assert left.rows() == [signal]
    wide = TwinTolerance(snr=0.5)
    assert remove_twin_noise(_frame([signal]), _frame([noise]), tolerance=wide).is_empty()
