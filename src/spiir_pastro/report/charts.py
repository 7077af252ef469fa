"""The plots of an evaluation, as data and layout that Plotly draws; colours come with the page."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spiir_pastro.domain import SOURCE_COLOURS, Source
from spiir_pastro.evaluation.result import QUANTITIES, Evaluation
from spiir_pastro.report.numbers import figure, percents, probability
from spiir_pastro.report.thinning import roc_span

Chart = Mapping[str, Any]

_BLUE, _ORANGE, _GREY = (SOURCE_COLOURS[s] for s in (Source.BNS, Source.BBH, Source.TERRESTRIAL))
_ROC_POINTS = 400
_TICKS = [m * 10.0**k for k in range(-1, 5) for m in (1, 2, 5)]


def all_charts(evaluation: Evaluation) -> Mapping[str, Chart]:
    """Return every plot of an evaluation by the name of its place in the page."""
    by_quantity = {
        f"efficiency-{name}": efficiency_chart(evaluation, name)
        for name in QUANTITIES
        if name in evaluation.candidates.columns
    }
    drawn = {name: chart for name, chart in by_quantity.items() if chart["data"][0]["x"]}
    return {"calibration": calibration_chart(evaluation), "roc": roc_chart(evaluation), **drawn}


def calibration_chart(evaluation: Evaluation) -> Chart:
    """Return how many of those called p are signals, with 90 % intervals."""
    bins = evaluation.calibration
    filled = np.flatnonzero(bins.count)
    fraction, interval = bins.fraction[filled], bins.interval[filled]
    text = [
        f"{bins.signals[k]} of {bins.count[k]} called {probability(bins.edges[k])} to "
        f"{probability(bins.edges[k + 1])}<br>are signals: 90 % interval "
        f"{percents(bins.interval[k])}"
        for k in filled
    ]
    points = {
        "x": bins.mean_probability[filled].tolist(),
        "y": fraction.tolist(),
        "mode": "markers",
        "marker": {"color": _BLUE, "size": 9},
        "error_y": _whiskers(interval[:, 1] - fraction, fraction - interval[:, 0], _BLUE),
        "text": text,
        "hoverinfo": "text",
    }
    ideal = {
        "x": [0, 1],
        "y": [0, 1],
        "mode": "lines",
        "line": {"color": _GREY, "dash": "dash", "width": 1},
        "hoverinfo": "skip",
    }
    return {
        "data": [points, ideal],
        "layout": _layout("p_astro said", "fraction that are signals", span=(-0.03, 1.03)),
    }


def roc_chart(evaluation: Evaluation) -> Chart:
    """Return signals found against noise called a signal, logarithmic."""
    # A point in a browser costs far more than in an array, and a screen has some thousand columns.
    curve, left = evaluation.roc.thinned(_ROC_POINTS), evaluation.roc.left_edge
    at = ["nothing" if np.isinf(t) else f"p_astro ≥ {probability(t)}" for t in curve.thresholds]
    text = [
        f"{called}<br>{100 * found:.4g} % of the signals<br>{100 * false:.3g} % of the noise"
        for called, found, false in zip(at, curve.efficiency, curve.false_alarm, strict=True)
    ]
    line = {
        "x": np.maximum(curve.false_alarm, left).tolist(),
        "y": curve.efficiency.tolist(),
        "mode": "lines",
        "line": {"color": _BLUE, "shape": "hv", "width": 2},
        "text": text,
        "hoverinfo": "text",
    }
    layout = _layout("fraction of noise called a signal", "fraction of signals found")
    decades = -float(np.log10(left))
    layout["xaxis"] |= {"type": "log", "range": [-decades, 0.0]}
    layout["xaxis"] |= {"dtick": 1 if decades > 2 else "D2"}
    layout["yaxis"]["range"] = list(roc_span([evaluation.roc]))
    return {"data": [line], "layout": layout}


def efficiency_chart(evaluation: Evaluation, quantity: str) -> Chart:
    """Return the fraction of signals called at two thresholds, against a quantity."""
    label = QUANTITIES[quantity]
    traces = []
    for threshold, colour, mark in ((0.5, _BLUE, "circle"), (0.9, _ORANGE, "square")):
        bins = evaluation.efficiency(quantity, threshold=threshold)
        low, high = bins.edges[:-1], bins.edges[1:]
        centre = np.sqrt(low * high) if (bins.edges > 0).all() else (low + high) / 2
        traces.append(
            {
                "x": centre.tolist(),
                "y": bins.fraction.tolist(),
                "mode": "markers",
                "name": f"p_astro ≥ {threshold:g}",
                "marker": {"color": colour, "symbol": mark, "size": 8},
                "error_x": _whiskers(high - centre, centre - low, colour, width=0),
                "error_y": _whiskers(
                    bins.interval[:, 1] - bins.fraction, bins.fraction - bins.interval[:, 0], colour
                ),
                "text": [
                    f"{figure(a)} to {figure(b)}: {found} of {count}<br>90 % interval "
                    f"{percents(ends)}"
                    for a, b, found, count, ends in zip(
                        low, high, bins.found, bins.count, bins.interval, strict=True
                    )
                ],
                "hoverinfo": "text+name",
            }
        )
    layout = _layout(label, "fraction of signals called")
    layout["xaxis"] |= {"type": "log", "tickvals": _TICKS}
    if quantity == "far_hz":
        layout["xaxis"] |= {
            "autorange": "reversed",
            "exponentformat": "power",
            "dtick": 2,
            "tickvals": None,
        }
    layout |= {"showlegend": True, "legend": {"orientation": "h", "x": 0, "y": 1.12}}
    return {"data": traces, "layout": layout}


def _layout(x: str, y: str, *, span: Sequence[float] | None = None) -> dict[str, Any]:
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": x}},
        "yaxis": {"title": {"text": y}, "range": [-0.03, 1.05]},
        "showlegend": False,
    }
    if span is not None:
        layout["xaxis"]["range"] = list(span)
    return layout


def _whiskers(up: Any, down: Any, colour: str, *, width: int = 3) -> dict[str, Any]:  # noqa: ANN401
    return {
        "type": "data",
        "array": np.asarray(up).tolist(),
        "arrayminus": np.asarray(down).tolist(),
        "color": colour,
        "thickness": 1.4,
        "width": width,
    }
