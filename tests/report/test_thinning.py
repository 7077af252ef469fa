"""What is drawn of many candidates is what tells most."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spiir_pastro.evaluation.scores import roc
from spiir_pastro.report.thinning import DecisiveFars, misjudged, roc_span, telling_rows
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


def test_a_curve_is_drawn_from_below_what_is_above_all_noise() -> None:
    is_signal = np.arange(100) < 80
    good = roc(np.where(is_signal, 0.9, 0.1) + (np.arange(100) == 0) * -0.85, is_signal)
    assert good.clean_efficiency == pytest.approx(79 / 80)
    assert roc_span([good])[0] == pytest.approx(0.8)
    poor = roc(np.where(is_signal, 0.1, 0.9), is_signal)
    assert poor.clean_efficiency == 0
    assert roc_span([good, poor])[0] == 0
    assert roc_span([roc(is_signal.astype(float), is_signal)])[0] == pytest.approx(0.9)


def test_what_is_called_something_else_than_it_is_is_misjudged() -> None:
    said = {"BNS": [0.9, 0.0, 0.0, 0.0, 0.9], "NSBH": [0.0] * 5, "BBH": [0.0, 0.8, 0.1, 0.0, 0.0]}
    table = pl.DataFrame(
        {
            **said,
            "Terrestrial": [0.1, 0.2, 0.9, 1.0, 0.1],
            "is_signal": [True, False, True, False, True],
            "source_class": ["BBH", None, "BBH", None, None],
        }
    )
    assert misjudged(table).tolist() == [True, True, True, False, False]


def test_the_decisive_region_counts_all_that_is_louder() -> None:
    far = np.geomspace(1e-4, 1e-30, 1000)
    p = np.where(far > 1e-9, 0.5, 1.0)
    fars = DecisiveFars.of(pl.DataFrame({"far_hz": [*far, 0.0, 1e-40], "p_astro": [*p, 1.0, None]}))
    assert fars.least == pytest.approx(far[p < 1].min() * 1e-4, rel=ROUNDING)
    assert fars.louder == (far < fars.least).sum() + 1  # with the FAR of 0, without the unjudged
    assert fars.largest > far.max()
    sure = DecisiveFars.of(pl.DataFrame({"far_hz": far, "p_astro": np.ones(1000)}))
    assert sure.least < far.min()
    assert sure.louder == 0
    assert DecisiveFars.of(pl.DataFrame(schema={"far_hz": float, "p_astro": float})).louder == 0
