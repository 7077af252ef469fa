"""Clustering keeps exactly the triggers that no more significant one hides."""

from pathlib import Path
from random import Random

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from spiir_pastro.selection import cluster

_SCHEMA = {"event_id": pl.String, "gps_ns": pl.Int64, "far_hz": pl.Float64, "snr": pl.Float64}

_rows = st.lists(
    st.tuples(
        st.integers(-20, 20),
        st.sampled_from([None, 1e-9, 1e-6, 1e-4]),
        st.sampled_from([None, 7.0, 8.0, 9.0]),
    ),
    max_size=40,
).map(lambda rows: [(f"e{i}", *row) for i, row in enumerate(rows)])


def _frame(rows: list[tuple[str, int, float | None, float | None]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def _brute_force(
    rows: list[tuple[str, int, float | None, float | None]], window: int
) -> pl.DataFrame:
    """The definition, word for word."""

    def significance(row: tuple[str, int, float | None, float | None]) -> tuple[object, ...]:
        event_id, gps_ns, far, snr = row
        return (far is None, far or 0.0, snr is None, -(snr or 0.0), event_id, gps_ns)

    kept = [
        row
        for row in rows
        if not any(
            abs(other[1] - row[1]) <= window and significance(other) < significance(row)
            for other in rows
        )
    ]
    return _frame(sorted(kept, key=lambda row: (row[1], row[0])))


@given(_rows, st.integers(0, 12))
def test_it_is_the_definition(
    rows: list[tuple[str, int, float | None, float | None]], window: int
) -> None:
    assert_frame_equal(cluster(_frame(rows), window_ns=window), _brute_force(rows, window))


@given(_rows, st.integers(0, 12), st.randoms(use_true_random=False))
def test_row_order_does_not_matter_and_twice_is_once(
    rows: list[tuple[str, int, float | None, float | None]], window: int, random: Random
) -> None:
    once = cluster(_frame(rows), window_ns=window)
    random.shuffle(rows)
    assert_frame_equal(cluster(_frame(rows), window_ns=window), once)
    assert_frame_equal(cluster(once, window_ns=window), once)
    gaps = once["gps_ns"].diff().drop_nulls()
    assert (gaps > window).all()


def test_the_window_is_one_second_and_includes_its_end() -> None:
    second = 1_000_000_000
    rows: list[tuple[str, int, float | None, float | None]] = [
        ("a", 0, 1e-9, 9.0),
        ("b", second, 1e-8, 9.0),
        ("c", 3 * second, 1e-9, 9.0),
        ("d", 4 * second + 1, 1e-8, 9.0),
    ]
    assert cluster(_frame(rows))["event_id"].to_list() == ["a", "c", "d"]


def test_uploads_of_o3_are_fewer_candidates(real_data: Path) -> None:
    uploads = pl.read_csv(real_data / "spiir" / "gracedb_triggers_o1_o3a.csv").select(
        event_id="graceid",
        gps_ns=(pl.col("end_time").cast(pl.Int64) * 1_000_000_000)
        + pl.col("end_time_ns").cast(pl.Int64),
        far_hz="far",
        snr="snr",
    )
    kept = cluster(uploads)
    assert 0 < kept.height < uploads.height
    assert kept["gps_ns"].diff().drop_nulls().min() > 1_000_000_000  # type: ignore[operator]
    best = uploads["far_hz"].min()
    assert kept["far_hz"].min() == best
