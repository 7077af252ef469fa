"""A model knows the candidates it was trained on, in whatever table they come."""

import base64
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spiir_pastro.errors import ArtifactError
from spiir_pastro.io.training_digest import TrainingDigest, candidate_digests

N = 200


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "gps_ns": 1_260_000_000_000_000_000 + rng.integers(0, 10**15, N),
            "ifos": rng.choice(["H1L1", "H1L1V1", "V1"], N),
            "mchirp_det": [None, *rng.uniform(1, 60, N - 1)],
            "snr": rng.uniform(6, 20, N),
        }
    )


def test_sorted_copies_and_parts_and_supersets_are_recognised(table: pl.DataFrame) -> None:
    digest = TrainingDigest.of(table)
    assert digest.knows(table.sort("snr", descending=True)).all()
    assert digest.knows(table[::7]).all()
    more = pl.concat([table.with_columns(pl.col("gps_ns") + 1_000_000), table])
    assert digest.knows(more).tolist() == [False] * N + [True] * N
    assert TrainingDigest.of(table, table[:9]).values.tolist() == digest.values.tolist()


def test_digits_that_formats_round_off_change_nothing(table: pl.DataFrame) -> None:
    """Six digits of a second; a chirp mass in single precision."""
    rounded = table.with_columns(
        pl.col("gps_ns") // 1000 * 1000, pl.col("mchirp_det").cast(pl.Float32).cast(pl.Float64)
    )
    assert TrainingDigest.of(table).knows(rounded).all()


@pytest.mark.parametrize(
    "other",
    [
        pl.col("gps_ns") + 2000,
        pl.lit("K1").alias("ifos"),
        pl.col("mchirp_det").fill_null(2.0) * 1.01,
    ],
)
def test_another_time_detector_or_mass_is_another_candidate(
    table: pl.DataFrame, other: pl.Expr
) -> None:
    assert not TrainingDigest.of(table).knows(table.with_columns(other)).any()


@given(st.sets(st.integers(0, 2**48 - 1), max_size=50))
def test_what_is_written_is_read(values: set[int]) -> None:
    digest = TrainingDigest(values=np.array(sorted(values), dtype=np.uint64))
    text = digest.as_text()
    again = TrainingDigest.from_text(text)
    assert again.values.tolist() == digest.values.tolist()
    assert again.as_text() == text
    assert len(text) == 8 * len(values)


@pytest.mark.parametrize("text", [None, 7, "*", "AAA", "AAAA", "é" * 8, ["AAAAAAAA"], "AAAA AAAA"])
def test_what_is_no_digest_is_refused(text: Any) -> None:  # noqa: ANN401
    with pytest.raises(ArtifactError, match=r"no digests of training candidates.*fit again"):
        TrainingDigest.from_text(text)


def test_a_table_without_rows_knows_and_is_known_to_nobody(table: pl.DataFrame) -> None:
    nothing = TrainingDigest.of(table[:0])
    assert nothing.values.size == 0
    assert not nothing.knows(table).any()
    assert TrainingDigest.of(table).knows(table[:0]).size == 0
    assert TrainingDigest.from_text(nothing.as_text()).values.size == 0


def test_digests_are_as_even_as_chance_makes_them() -> None:
    """A million candidates a millisecond apart: 48 bits leave 0.0018 pairs alike on average."""
    many = pl.DataFrame({"gps_ns": np.arange(1_000_000) * 1_000_000}).with_columns(
        ifos=pl.lit("H1L1"), mchirp_det=pl.lit(1.2)
    )
    digests = candidate_digests(many)
    assert np.unique(digests).size == 1_000_000
    assert digests.max() < 2**48
    counts = np.bincount((digests >> np.uint64(40)).astype(int), minlength=256)
    assert abs(counts - 1_000_000 / 256).max() < 5 * (1_000_000 / 256) ** 0.5
    assert base64.b64decode(TrainingDigest.of(many[:1]).as_text()) == int(digests[0]).to_bytes(6)
