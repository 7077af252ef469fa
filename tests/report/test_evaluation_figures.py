"""The figures of an evaluation hold at their edges."""

from pathlib import Path

import polars as pl

from spiir_pastro.report.evaluation import figures


def test_candidates_that_are_all_called_the_same_are_drawn() -> None:
    candidates = pl.DataFrame(
        {
            "far_hz": [1e-4, 2e-4],
            "mchirp_det": [1.2, 20.0],
            "p_astro": [0.011, 0.012],
            "is_signal": [False, True],
        }
    )
    none = pl.DataFrame(schema={"p_astro": pl.Float64, "far_hz": pl.Float64})
    stems = {Path(name).stem for name in figures(candidates, none)}
    assert stems == {"candidates", "roc", "reliability"}
