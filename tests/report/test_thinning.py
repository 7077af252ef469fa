"""What is drawn of many candidates is what tells most."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spiir_pastro.evaluation.scores import roc
from spiir_pastro.report.thinning import telling_rows
from tolerances import ROUNDING


def _candidates(n: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    p = rng.random(n) ** 4
    return pl.DataFrame({"p_astro": p, "is_signal": rng.random(n) < p})


@given(st.integers(1, 3000), st.integers(0, 2**32 - 1))
def test_rows_are_in_order_few_and_hold_the_most_telling(n: int, seed: int) -> None:
    table, most = _candidates(n, seed), 400
    rows = telling_rows(table, most=most, keep=[0, n - 1])
    assert (np.diff(rows) > 0).all()
    assert rows.size <= max(1.2 * most, 1)
    assert {0, n - 1} <= set(rows.tolist())
    wrong = np.where(table["is_signal"], 1 - table["p_astro"], table["p_astro"])
    assert int(np.argmax(wrong)) in rows
    assert int(table["p_astro"].arg_max() or 0) in rows


def test_a_thinned_curve_keeps_its_area_and_ends() -> None:
    rng = np.random.default_rng(0)
    is_signal = np.arange(50_000) < 5000
    p = np.where(is_signal, rng.beta(3, 1, 50_000), rng.beta(1, 3, 50_000))
    whole = roc(p, is_signal)
    thin = whole.thinned(500)
    assert thin.thresholds.size <= 500
    assert thin.efficiency[[0, -1]].tolist() == [0.0, 1.0]
    area = [np.trapezoid(curve.efficiency, curve.false_alarm) for curve in (whole, thin)]
    assert area[1] == pytest.approx(area[0], abs=1e-3)
    few = roc(p[:3], is_signal[:3])
    np.testing.assert_allclose(few.thinned(500).efficiency, few.efficiency, rtol=ROUNDING)
