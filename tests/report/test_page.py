"""The page holds what was evaluated, nothing foreign runs in it, and it works in a browser."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import polars as pl
import pytest

from browser import opened
from spiir_pastro.errors import ConfigError
from spiir_pastro.evaluation.comparison import compare
from spiir_pastro.evaluation.holdout import Holdout
from spiir_pastro.evaluation.result import SCORED, Evaluation
from spiir_pastro.io.artifact import ModelArtifact
from spiir_pastro.io.distance_tables import read_distances
from spiir_pastro.io.folders import sole_writer
from spiir_pastro.models.fit_settings import FitSettings
from spiir_pastro.pipeline.assessment import evaluate_triggers, write_evaluation
from spiir_pastro.pipeline.evaluations import as_evaluated
from spiir_pastro.pipeline.model_fit import fit
from spiir_pastro.pipeline.training import from_uploads
from spiir_pastro.report.charts import all_charts
from spiir_pastro.report.evidence import FACTS
from spiir_pastro.report.headline import sentence
from spiir_pastro.report.page import report_page, write_event_page
from spiir_pastro.report.payload import MOST_ROWS, event_payload, report_payload
from spiir_pastro.report.thinning import interesting_rows

HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>'\"&"


@pytest.fixture(scope="module")
def artifact(uploads: tuple[Path, Path], distances: Path) -> ModelArtifact:
    settings = FitSettings()
    training = from_uploads(uploads[0], known_events_path=uploads[1], settings=settings)
    return fit(training, read_distances(distances), settings=settings)


@pytest.fixture(scope="module")
def evaluation(artifact: ModelArtifact, uploads: tuple[Path, Path]) -> Evaluation:
    return evaluate_triggers(artifact, uploads[0], known_events_path=uploads[1])


@pytest.fixture(scope="module")
def hostile(
    evaluation: Evaluation, artifact: ModelArtifact, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A report of an evaluation in which names are attacks, and distances are known."""
    renamed = {evaluation.known_mergers.item(0, "name"): HOSTILE}
    candidates = evaluation.candidates.with_columns(
        pl.col("known_event").replace(renamed),
        eff_distance_mpc_H1=pl.lit(900.0),
        eff_distance_mpc_L1=pl.lit(1100.0),
    )
    mergers = evaluation.known_mergers.with_columns(
        pl.col("name").replace(renamed),
        p_astro=pl.when(pl.int_range(pl.len()) == 0).then(0.1).otherwise("p_astro"),
    )
    path = tmp_path_factory.mktemp("page") / "report.html"
    attacked = Evaluation(candidates=candidates, known_mergers=mergers, left_out={HOSTILE: HOSTILE})
    earlier = replace(as_evaluated(evaluation, artifact, name=HOSTILE), settings={HOSTILE: HOSTILE})
    now = as_evaluated(attacked, artifact, name=HOSTILE)
    compared = compare(earlier, now)
    path.write_bytes(report_page(attacked, artifact, name=HOSTILE, comparison=compared))
    return path


def test_the_same_evaluation_gives_the_same_page(
    evaluation: Evaluation, artifact: ModelArtifact
) -> None:
    first, second = (report_page(evaluation, artifact, name="m") for _ in range(2))
    assert first == second


def test_metrics_are_flat_and_strict_json(
    evaluation: Evaluation, artifact: ModelArtifact, tmp_path: Path
) -> None:
    write_evaluation(evaluation, artifact, tmp_path, name="m")
    metrics = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert all(value is None or isinstance(value, int | float) for value in metrics.values())
    with sole_writer(tmp_path), pytest.raises(ConfigError, match="another process writes to"):
        write_evaluation(evaluation, artifact, tmp_path, name="m")
    assert metrics["auc_low"] <= metrics["auc"] <= metrics["auc_high"]
    assert metrics["confusion.BBH.BBH"] + metrics["confusion.BBH.Terrestrial"] == 40


def test_the_page_fetches_nothing(hostile: Path) -> None:
    text = hostile.read_text()
    assert "default-src 'none'" in text
    shell = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?(?:https?:|//|data:)", shell)
    assert len(text) < 10e6


def test_many_candidates_are_thinned_to_the_telling_ones(
    evaluation: Evaluation, artifact: ModelArtifact
) -> None:
    copies = -(-3 * MOST_ROWS // evaluation.candidates.height)
    many = pl.concat(
        [
            evaluation.candidates.with_columns(event_id=pl.col("event_id") + f"-{k}")
            for k in range(copies)
        ]
    )
    mergers = evaluation.known_mergers.with_columns(event_id=pl.col("event_id") + "-0")
    payload = report_payload(Evaluation(candidates=many, known_mergers=mergers), artifact.model)
    shown = payload["rows"]["event_id"]
    assert len(shown) <= 1.2 * MOST_ROWS
    assert len(set(shown)) == len(shown)
    few = report_payload(evaluation, artifact.model)
    # Of all that are beyond the picture, not of those that the page has.
    assert payload["fars"]["louder"] == copies * few["fars"]["louder"] > 0
    best = many.sort("p_astro", descending=True)["event_id"][:500]
    assert set(best) <= set(shown)
    assert all(merger["row"] is not None for merger in payload["known"])


def test_mergers_of_another_search_are_explained_by_its_own_candidates(
    evaluation: Evaluation, artifact: ModelArtifact
) -> None:
    injections = evaluation.candidates.filter(~pl.col("is_signal")).with_columns(
        event_id=pl.lit("same id"), known_event=pl.lit(None, pl.String)
    )
    other = Evaluation(
        candidates=injections,
        known_mergers=evaluation.known_mergers,
        searched=evaluation.candidates,
        truth="injection",
    )
    payload = report_payload(other, artifact.model)
    assert payload["rows"]["set"].count(0) == injections.height
    listed = [payload["rows"]["event_id"][k] for k in payload["uncatalogued"]]
    assert listed == other.uncatalogued()["event_id"].to_list()
    for merger in payload["known"]:
        for name in ("event_id", "far_hz", "p_astro"):
            assert payload["rows"][name][merger["row"]] == merger[name]
        assert payload["rows"]["set"][merger["row"]] == 1


def test_what_each_fact_adds_comes_to_the_probability(
    evaluation: Evaluation, artifact: ModelArtifact
) -> None:
    rows = report_payload(evaluation, artifact.model)["rows"]
    p = np.array(rows["p_astro"])
    added = np.array(rows["decibans"])
    assert added.shape == (p.size, len(FACTS))
    noise = np.array(rows["Terrestrial"])
    # Rounded to four digits each, and each of what is added may be a hundred decibans or more.
    atol = 0.05 * len(FACTS)
    np.testing.assert_allclose(added.sum(axis=1), 10 * np.log10(p / noise), atol=atol)
    last = np.array(rows["shares"])[:, -1]
    said = np.array([rows[source] for source in ("BNS", "NSBH", "BBH")]).T
    np.testing.assert_allclose(last, said / p[:, None], atol=1e-4)


def test_without_a_far_the_classes_are_shared_by_the_rest(
    evaluation: Evaluation, artifact: ModelArtifact
) -> None:
    event = evaluation.candidates.filter("is_signal").head(1)
    nothing = pl.lit(None, pl.Float64)
    unknown = event.with_columns(
        far_hz=nothing, **dict.fromkeys(("p_astro", "p_astro_low", "p_astro_high"), nothing)
    )
    rows = event_payload(unknown, artifact.model)["rows"]
    assert rows["decibans"] == [[None] * len(FACTS)]
    np.testing.assert_allclose(np.sum(rows["shares"][0], axis=1), 1, atol=1e-3)
    assert rows["shares"][0][-1][2] > 0.5


def test_every_plot_is_one_that_plotly_knows(evaluation: Evaluation) -> None:
    charts = all_charts(evaluation)
    assert {"calibration", "roc", "efficiency-snr", "efficiency-far_hz"} <= set(charts)
    for chart in charts.values():
        go.Figure(data=chart["data"], layout=chart["layout"])  # raises if a name is wrong


def test_the_first_screen_says_it_in_words(hostile: Path, evaluation: Evaluation) -> None:
    text = hostile.read_text()
    sure, likely = (
        next(call for call in evaluation.calls if call.threshold == p) for p in (0.9, 0.5)
    )
    pure = f"Of the {sure.called} events with p_astro of 0.9 or more, {sure.real} are known mergers"
    found = f"{likely.real} of {likely.signals}"
    # All are BBH: that their class is right is not said.
    assert f"{pure}; {found} known mergers have 0.5 or more." in text
    classes = evaluation.candidates["source_class"].to_list()
    first = classes.index("BBH")
    two = ["BNS" if k == first else name for k, name in enumerate(classes)]
    mixed = Evaluation(
        candidates=evaluation.candidates.with_columns(source_class=pl.Series(two)),
        known_mergers=evaluation.known_mergers,
    )
    assert sentence(mixed) == f"{pure}; noise aside, the class is right for 39 of 40 known mergers."
    assert "NOT HELD OUT" in text
    assert 'class="big">None' not in text


def test_rings_are_where_the_scores_are_wrong(
    evaluation: Evaluation, artifact: ModelArtifact
) -> None:
    # A model that was fitted without them calls all of them noise.
    held_out = evaluation.candidates.with_columns(
        pl.lit(1.0 if name == "Terrestrial" else 0.0).alias(column)
        for name, column in SCORED.items()
    )
    scored = replace(evaluation, candidates=held_out, scored_by="by others")
    rows = report_payload(scored, artifact.model)["rows"]
    assert rows["misjudged"] == rows["is_signal"]
    assert rows["p_astro"] == report_payload(evaluation, artifact.model)["rows"]["p_astro"]


def test_a_banner_stands_only_above_scores_that_may_flatter(
    evaluation: Evaluation, artifact: ModelArtifact
) -> None:
    apart = replace(evaluation, holdout=Holdout(seen=0, why_not=""))
    assert b"NOT HELD OUT" not in report_page(apart, artifact, name="m")


def test_a_few_of_each_kind_are_interesting(evaluation: Evaluation) -> None:
    candidates = evaluation.candidates
    few = candidates[interesting_rows(candidates)]
    assert 5 < few.height <= 10
    assert few["p_astro"].is_sorted(descending=True)
    noise = candidates.filter(~pl.col("is_signal"))
    assert noise["p_astro"].max() in few["p_astro"]
    assert interesting_rows(candidates.clear()).size == 0


@pytest.mark.parametrize(
    ("width", "dark"), [(1400, False), (1400, True), (390, False), (390, True)]
)
def test_the_page_fits_and_is_quiet(hostile: Path, tmp_path: Path, width: int, dark: bool) -> None:  # noqa: FBT001
    with opened(hostile, tmp_path, width=width, dark=dark) as tab:
        assert tab.run(_TOO_WIDE.replace("WIDTH", str(width))) == []
        tab.run("openEvent(0)")
        tab.settle()
        assert tab.run(_TOO_WIDE.replace("WIDTH", str(width))) == []
        assert tab.run("window.hacked") is None
        assert tab.complaints == []
        assert tab.requests == []


def test_the_page_prints_on_paper(hostile: Path, tmp_path: Path) -> None:
    with opened(hostile, tmp_path, dark=True) as tab:
        tab.print(tmp_path / "page.pdf")
        assert tab.complaints == []
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


_TOO_WIDE = """
[...document.querySelectorAll("body, header *, main *, dialog[open] *")]
  .filter((e) => !e.closest(".scroll, nav, .js-plotly-plot, .skip"))
  .filter((e) => e.getBoundingClientRect().right > WIDTH + 1)
  .concat([...document.querySelectorAll("#quality .scroll, #alternatives .scroll")]
    .filter((e) => e.scrollWidth > e.clientWidth + 1))
  .map((e) => e.tagName + "." + e.className).concat(
    document.documentElement.scrollWidth > WIDTH ? ["the page"] : [])
"""


def test_tables_sort_and_filter_and_events_open(hostile: Path, tmp_path: Path) -> None:
    with opened(hostile, tmp_path) as tab:
        said = tab.run(_SCRIPT)
        assert tab.complaints == []
    assert said == {
        "falling": ["descending", True],
        "rising": ["ascending", True],
        "filtered": True,
        "columns": True,
        "points": 1540,
        "rings": True,
        "dialog": True,
        "contour": True,
        "hacked": None,
    }


_SCRIPT = """(async () => {
const said = {}, table = document.getElementById("candidates-table");
const rows = () => [...table.querySelectorAll("tbody tr")];
const column = (k) => rows().map((row) => row.children[k].textContent);
const heads = [...table.querySelectorAll("th")];
const k = heads.findIndex((head) => head.textContent === "SNR");
const inOrder = (sign) =>
  column(k).map(Number).every((v, i, all) => !i || sign * (v - all[i - 1]) >= 0);
heads[k].querySelector("button").click();
said.falling = [heads[k].getAttribute("aria-sort"), inOrder(-1)];
heads[k].querySelector("button").click();
said.rising = [heads[k].getAttribute("aria-sort"), inOrder(1)];
const search = table.querySelector("input");
search.value = "snr>9 H1L1";
search.dispatchEvent(new Event("input"));
said.filtered = column(k).length > 0 && column(k).every((snr) => Number(snr) >= 9);
const visible = () => heads.filter((head) => head.offsetParent !== null).length;
const before = visible();
[...table.querySelectorAll(".tools button")].find((b) => b.textContent === "all columns").click();
said.columns = visible() > before;
said.points = document.querySelectorAll("#plane .scatterlayer .trace:first-child .point").length;
const rings = document.querySelectorAll("#plane .scatterlayer .trace:nth-child(2) .point").length;
said.rings = rings > 0 && rings === DATA.rows.misjudged.filter(Boolean).length;
table.querySelector("tbody .link").click();
await new Promise((done) => setTimeout(done, 300));
const dialog = document.getElementById("event");
said.dialog = dialog.open && dialog.textContent.includes("A signal, or noise?")
  && dialog.textContent.includes("UTC (GPS");
said.contour = dialog.querySelectorAll(".js-plotly-plot .scatterlayer .js-fill").length > 0;
said.hacked = window.hacked ?? null;
return said;
})()"""


def test_the_page_of_one_event_works(
    evaluation: Evaluation, artifact: ModelArtifact, tmp_path: Path
) -> None:
    page = tmp_path / "event.html"
    event = evaluation.candidates.head(1).with_columns(event_id=pl.lit(HOSTILE))
    write_event_page(page, event, artifact)
    with opened(page, tmp_path) as tab:
        text = tab.run("document.getElementById('single').textContent")
        assert "A signal, or noise?" in text
        assert "(if it is a signal, and p_astro is " in text
        assert tab.run("window.hacked ?? null") is None
        assert (tab.complaints, tab.requests) == ([], [])
    assert page.stat().st_size < 10e6


@pytest.mark.parametrize(
    ("low", "high", "drawn"), [(0.2, 1.0, True), (1.0, 1.0, False), (0.0, 0.7, True)]
)
def test_an_interval_that_digits_cannot_hold_goes_on_beyond_the_picture(
    evaluation: Evaluation, artifact: ModelArtifact, tmp_path: Path, low: float, high: float,
    drawn: bool,  # noqa: FBT001
) -> None:  # fmt: skip
    """It was drawn where the digits of p_astro end, beside the point that it is of."""
    page = tmp_path / "event.html"
    best = evaluation.candidates.sort("far_hz").head(1)
    write_event_page(
        page, best.with_columns(p_astro_low=pl.lit(low), p_astro_high=pl.lit(high)), artifact
    )
    with opened(page, tmp_path) as tab:
        places = tab.run(_INTERVAL)
    assert len(places) == drawn
    for left, right, edge in places:
        margin = 0.03 * edge  # of the picture
        assert (edge - right if high == 1.0 else left) < margin


_INTERVAL = """[...document.querySelectorAll(".total b")].map((mark) => {
  const box = mark.getBoundingClientRect(), track = mark.parentElement.getBoundingClientRect();
  return [box.left - track.left, box.right - track.left, track.width];
})"""


def test_the_page_of_an_event_without_a_far_says_what_can_be_said(
    evaluation: Evaluation, artifact: ModelArtifact, tmp_path: Path
) -> None:
    page = tmp_path / "event.html"
    nothing = pl.lit(None, pl.Float64)
    said = ("far_hz", "p_astro", "p_astro_low", "p_astro_high", "BNS", "NSBH", "BBH", "Terrestrial")
    event = evaluation.candidates.filter("is_signal").head(1)
    event = event.with_columns(
        **dict.fromkeys(said, nothing), eff_distance_mpc_H1=pl.lit(90.0), mchirp_det=pl.lit(1.2)
    )
    write_event_page(page, event, artifact)
    with opened(page, tmp_path) as tab:
        text = tab.run("document.getElementById('single').textContent")
        assert "No FAR: whether it is a signal cannot be said. If it is one: BNS" in text
        assert "HasNS, HasMassGap, HasRemnant0.9" in text
        assert "(if it is a signal); in M☉, 0.87 to 1.74: 0.9" in text
        assert "A signal, or noise?" not in text
        for width in (390, 1400):
            tab.resize(width)
            tab.settle()
        assert tab.complaints == []


def test_an_event_leads_to_where_more_is_known(
    evaluation: Evaluation, artifact: ModelArtifact, tmp_path: Path
) -> None:
    page = tmp_path / "event.html"
    event = evaluation.candidates.head(1).with_columns(
        event_id=pl.lit("G298048"), known_event=pl.lit("GW170817")
    )
    write_event_page(page, event, artifact)
    with opened(page, tmp_path) as tab:
        links = tab.run("[...document.querySelectorAll('.links a')].map((a) => a.href)")
    assert links == [
        "https://gracedb.ligo.org/events/G298048/view/",
        "https://gwosc.org/eventapi/html/event/GW170817/",
    ]
