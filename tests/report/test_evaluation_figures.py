"""The figures of an evaluation hold at their edges, and nothing on them overlaps."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from spiir_pastro.evaluation.result import Evaluation
from spiir_pastro.evaluation.scores import reliability, roc
from spiir_pastro.report.evaluation import (
    draw_bars,
    draw_calibration,
    draw_candidates,
    draw_roc,
    figures,
    score_figures,
)
from spiir_pastro.report.style import figure, house_style

_MERGERS = pl.DataFrame(schema={"p_astro": pl.Float64, "far_hz": pl.Float64, "name": pl.String})


def _candidates(p_bbh: list[float], far_hz: list[float], truth: list[str | None]) -> pl.DataFrame:
    nothing = [0.0] * len(p_bbh)
    return pl.DataFrame(
        {
            "far_hz": far_hz,
            "mchirp_det": np.geomspace(1.2, 90, len(p_bbh)),
            "p_astro": p_bbh,
            "p_astro_low": nothing,
            "p_astro_high": p_bbh,
            "BNS": nothing,
            "NSBH": nothing,
            "BBH": p_bbh,
            "Terrestrial": [1 - p for p in p_bbh],
            "is_signal": [name is not None for name in truth],
            "source_class": pl.Series(truth, dtype=pl.String),
        }
    )


def test_candidates_that_are_all_called_the_same_are_drawn() -> None:
    candidates = _candidates([0.011, 0.012], [1e-4, 2e-4], [None, "BBH"])
    evaluation = Evaluation(candidates=candidates, known_mergers=_MERGERS)
    stems = {Path(name).stem for name in figures(evaluation)}
    assert stems == {"candidates", "roc", "calibration"}
    drawn = figures(replace(evaluation, known_mergers=candidates.with_columns(name=pl.lit("GW1"))))
    assert {Path(name).stem for name in drawn} == {*stems, "known_mergers"}


@pytest.mark.parametrize("noise", [3, 111, 2800, 900_000])
def test_no_label_of_the_false_alarms_covers_another(noise: int) -> None:
    """0 and 1e-3 stood upon each other where there were 111 candidates of noise."""
    is_signal = np.arange(noise + 20) < 20
    p = np.where(is_signal, 0.9, np.linspace(0, 0.95, noise + 20))
    with house_style():
        drawing = figure()
        ax = drawing.subplots()
        draw_roc(ax, {"": roc(p, is_signal)})
        drawing.draw_without_rendering()
    labels = [text for text in ax.get_xticklabels() if text.get_text()]
    assert labels[-1].get_text() == "1"
    boxes = [text.get_window_extent() for text in labels]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_nothing_hides_the_candidates_and_the_louder_ones_are_counted() -> None:
    far = [1e-4, 3e-5, 1e-5, 1e-8, 1e-20, 1e-38]
    candidates = _candidates(
        [0.0, 0.1, 0.5001, 0.999, 1.0, 1.0], far, [None, "BBH", "BBH", "BBH", "BBH", "BBH"]
    )
    with house_style():
        drawing = figure()
        ax = drawing.subplots()
        draw_candidates(ax, candidates, truth="truth")
        drawing.draw_without_rendering()
    left, right = ax.get_xlim()
    assert left > max(far)
    assert 1e-10 < right < 1e-8  # four decades past the last doubtful one
    assert "2 louder →" in [text.get_text() for text in ax.texts]
    key = ax.get_legend()
    assert key is not None
    assert key.get_window_extent().y0 >= ax.get_window_extent().y1
    rings = ax.collections[-1]
    assert np.asarray(rings.get_offsets())[:, 0] == pytest.approx([3e-5])
    assert rings.zorder < min(points.zorder for points in ax.collections[:-1])


def test_of_many_candidates_every_signal_class_and_the_noise_are_drawn() -> None:
    n = 50_000
    rng = np.random.default_rng(2)
    truth = ["BBH" if k % 5000 == 0 else None for k in range(n)]
    p = [0.9 if name else 0.01 for name in truth]
    candidates = _candidates(p, (1e-4 * rng.random(n)).tolist(), truth)
    with house_style():
        ax = figure().subplots()
        draw_candidates(ax, candidates, truth="truth")
    drawn = [np.asarray(points.get_offsets()).shape[0] for points in ax.collections]
    assert drawn[1] == 10  # BBH, all of them
    assert 1500 < drawn[0] <= 3000
    assert ax.get_title(loc="left").endswith("of 50,000 candidates, by FAR and chirp mass")


def test_two_models_are_told_apart_and_of_one_the_candidates_are_counted() -> None:
    is_signal = np.array([True, False, True, False])
    p = np.array([0.9, 0.1, 0.8, 0.2])
    models = {"before": (roc(1 - p, is_signal), reliability(1 - p, is_signal))}
    models |= {"after": (roc(p, is_signal), reliability(p, is_signal))}
    svg = score_figures(models)["calibration.svg"].decode()
    assert "before" in svg
    assert "after" in svg
    with house_style():
        ax = figure().subplots()
        draw_calibration(ax, {"": models["after"][1]})
    assert [text.get_text() for text in ax.texts] == ["0", "1", "1", *"00000", "1", "1"]


def test_a_merger_of_no_known_class_is_no_noise() -> None:
    with house_style():
        ax = figure().subplots()
        draw_bars(ax, _candidates([0.4], [1e-5], [None]), ["GW1"], classless="signal")
    assert "signal" in [text.get_text() for text in ax.texts]
