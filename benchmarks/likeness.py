"""Compare simulated candidates with SPIIR's own, and write "How like SPIIR is it?".

``python benchmarks/likeness.py docs/explanation`` with the data folder in SPIIR_PASTRO_DATA. Real
are the uploads of O3a, a statistics file and ten injections of O3b; simulated is a year.
"""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from histograms import draw_pairs
from noise_laws import FAR_MAX_HZ, fit_laws, noise_candidates, uploads
from numpy.typing import NDArray
from scipy.spatial import KDTree
from scipy.stats import kstest, poisson
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from spiir_pastro.domain import Source
from spiir_pastro.io.gwtc import read_known_events
from spiir_pastro.io.noise_statistics import read_noise_statistics
from spiir_pastro.selection.clustering import cluster
from spiir_pastro.simulation import CampaignConfig, build_campaign, draw_candidates, merger_frame
from spiir_pastro.simulation.config import stream
from spiir_pastro.simulation.noise import COHERENT_NOISE

Floats = NDArray[np.float64]

VARIABLES = ("far_hz", "snr", "mchirp_det")
DAYS = 365.0
SECOND_NS = 10**9
_SEEDS = range(3)
_QUANTILES = (0.05, 0.5, 0.95, 0.99)
_LOUD_SNR = 13.5
_HEAVY = 30.0
_MERGERS_PER_DAY = 40.0
_NEIGHBOURS = 100
_LOG_SNR_NEAR, _LOG_MCHIRP_NEAR = 0.05, 0.35  # what counts as one step away, of either
_LIGHT_TEMPLATE = 15.0


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Uploads of noise and of mergers; of each merger the true chirp mass, where known."""

    noise_uploads: pl.DataFrame
    noise: pl.DataFrame
    merger_uploads: pl.DataFrame
    mergers: pl.DataFrame


def real_sample(path: Path) -> Sample:
    every, candidates = uploads(path)
    truth = read_known_events().select(
        known_event="name", true_mchirp="mchirp_det", status="status"
    )
    known = candidates.filter("is_known").join(truth, on="known_event", how="left")
    return Sample(
        noise_uploads=noise_candidates(every),
        noise=noise_candidates(candidates),
        merger_uploads=every.filter("is_known"),
        mergers=known,
    )


def simulated_sample(seed: int) -> Sample:
    """Simulate a year of noise; of mergers, BBH that a catalogue lists, as nearly all real are."""
    config = CampaignConfig(
        seed=seed,
        days=DAYS,
        far_max_hz=FAR_MAX_HZ,
        mergers_per_day={Source.BBH: _MERGERS_PER_DAY},
        injection_interval_s=1e7,
        unassigned_s=0,
    )
    drawn = draw_candidates(config).with_columns(
        event_id=pl.format("{}-{}-{}", "bank", "group", "event_id"),
        far_hz="far",
        snr="cohsnr",
        mchirp_det="mchirp",
    )
    listed = merger_frame(build_campaign(config)).select(
        origin_id="merger_id", true_mchirp="chirp_mass_det"
    )
    noise = drawn.filter(pl.col("origin") == "noise")
    merger = drawn.filter(pl.col("origin") == "merger").join(listed, on="origin_id")
    return Sample(
        noise_uploads=noise,
        noise=cluster(noise),
        merger_uploads=merger,
        mergers=cluster(merger),
    )


def auc(one: pl.DataFrame, other: pl.DataFrame, columns: tuple[str, ...]) -> float:
    """How well gradient boosting tells two samples apart, by five folds; 0.5 is not at all."""
    n = min(one.height, other.height)
    found = []
    for seed in _SEEDS:
        x = np.concatenate(
            [np.log(t.sample(n, seed=seed).select(columns).to_numpy()) for t in (one, other)]
        )
        y = np.repeat([0, 1], n)
        folds = StratifiedKFold(5, shuffle=True, random_state=seed)
        model = GradientBoostingClassifier(random_state=seed)
        p = cross_val_predict(model, x, y, cv=folds, method="predict_proba")[:, 1]
        found.append(roc_auc_score(y, p))
    return float(np.mean(found))


def two_samples(real: Sample, simulated: Sample) -> Iterator[str]:
    """Rows of the table of AUCs."""
    first = real.noise.head(real.noise.height // 2)
    second = real.noise.tail(real.noise.height - first.height)
    pairs = {
        "campaign against all of O3a": (simulated.noise, real.noise),
        "laws fitted to the first half of O3a against the second": (_drawn(first, 1), second),
        "laws fitted to the second half against the first": (_drawn(second, 2), first),
        "for scale: the first half against the second, both real": (first, second),
    }
    for name, (one, other) in pairs.items():
        figures = [auc(one, other, columns) for columns in (VARIABLES, *((v,) for v in VARIABLES))]
        yield _row(name, *(f"{f:.3f}" for f in figures))


def _drawn(noise: pl.DataFrame, seed: int) -> pl.DataFrame:
    return fit_laws(noise).draw(noise.height, stream(seed, "likeness"))


def noise_rows(real: Sample, simulated: Sample) -> Iterator[str]:
    """Rows of the table of noise candidates."""
    for name, column, form in (
        ("SNR", "snr", "{:.2f}"),
        ("chirp mass", "mchirp_det", "{:.2f}"),
        ("template's total mass", "mtotal", "{:.1f}"),
    ):
        yield from _both(
            f"{name}, {', '.join(f'{100 * q:g}' for q in _QUANTILES)} %",
            lambda s, c=column, f=form: ", ".join(
                f.format(v) for v in np.quantile(s.noise[c].to_numpy(), _QUANTILES)
            ),
            real,
            simulated,
        )
    for ifos in ("H1L1", "H1L1V1", "L1V1", "H1V1"):
        yield from _both(
            f"from {ifos}", lambda s, i=ifos: _percent(s.noise["ifos"] == i), real, simulated
        )
    yield from _both(
        f"SNR above {_LOUD_SNR:g}", lambda s: _percent(s.noise["snr"] > _LOUD_SNR), real, simulated
    )
    yield from _both(
        "the same, of templates above 60 solar masses",
        lambda s: _percent(s.noise.filter(pl.col("mtotal") > 60)["snr"] > _LOUD_SNR),
        real,
        simulated,
    )
    yield from _both("slope of ln SNR on ln FAR", _slope, real, simulated)
    yield from _both(
        "uploaded more than once", lambda s: _percent(_sizes(s.noise_uploads) > 1), real, simulated
    )


def merger_rows(real: Sample, simulated: Sample) -> Iterator[str]:
    """Rows of the table of mergers."""
    yield from _both("mergers", lambda s: str(s.mergers.height), real, simulated)
    for low, high in ((1, 1), (2, 3), (4, 10)):
        yield from _both(
            f"uploaded {low} to {high} times" if low < high else "uploaded once",
            lambda s, a=low, b=high: _percent(
                (_sizes(s.merger_uploads) >= a) & (_sizes(s.merger_uploads) <= b)
            ),
            real,
            simulated,
        )
    yield from _both("from more than one set of detectors", _mixed, real, simulated)
    yield from _both(
        f"above {_HEAVY:g} solar masses, recovered below half", _misrecovered, real, simulated
    )


def far_rows(real: Sample, simulated: Sample) -> Iterator[str]:
    """Rows of the table of mergers' FARs, beside simulated ones of about their SNR and mass."""
    mergers = real.mergers
    place, decades = _beside_neighbours(mergers, simulated.mergers)
    snr, mchirp = mergers["snr"].to_numpy(), mergers["mchirp_det"].to_numpy()
    for name, chosen in {
        "all": snr > 0,
        "SNR below 10": snr < 10,
        "SNR 10 to 12": (snr >= 10) & (snr < 12),
        "SNR above 12": snr >= 12,
        f"chirp mass below {_LIGHT_TEMPLATE:g}": mchirp < _LIGHT_TEMPLATE,
        f"chirp mass above {_LIGHT_TEMPLATE:g}": mchirp >= _LIGHT_TEMPLATE,
    }.items():
        n, p_value = int(chosen.sum()), kstest(place[chosen], "uniform").pvalue
        least, middle, most = np.quantile(decades[chosen], [0.25, 0.5, 0.75])
        yield _row(
            name,
            str(n),
            f"{middle:.1f} ({least:.1f} to {most:.1f})",
            f"{place[chosen].mean():.2f} +- {np.sqrt(1 / 12 / n):.2f}",
            f"{p_value:.2f}",
        )


def _beside_neighbours(real: pl.DataFrame, simulated: pl.DataFrame) -> tuple[Floats, Floats]:
    """Share of the nearest simulated mergers with a lower FAR, and decades above their median."""
    ours, theirs = (
        np.log(t.select("snr", "mchirp_det").to_numpy()) / (_LOG_SNR_NEAR, _LOG_MCHIRP_NEAR)
        for t in (simulated, real)
    )
    _, near = KDTree(ours).query(theirs, k=_NEIGHBOURS)
    far = np.log10(simulated["far_hz"].to_numpy())[near]
    real_far = np.log10(real["far_hz"].to_numpy())
    return (far < real_far[:, None]).mean(axis=1), real_far - np.median(far, axis=1)


def rate_rows(simulated: Sample) -> Iterator[str]:
    """Rows of the table of rates: candidates found below a FAR, and expected."""
    duty = CampaignConfig().duty_cycle
    on = np.array(list(duty.values()))
    off = 1 - on
    enough = 1 - off.prod() - sum(on[d] * np.delete(off, d).prod() for d in range(on.size))
    for far in (1e-4, 1e-5, 1e-6):
        expected = far * DAYS * 86_400 * enough
        found = int((simulated.noise["far_hz"] < far).sum())
        chance = min(poisson.cdf(found, expected), poisson.sf(found - 1, expected)) * 2
        yield _row(f"{far:g}", str(found), f"{expected:.1f}", f"{min(chance, 1):.2f}")


def zerolag_rows(path: Path) -> Iterator[str]:
    """Rows of the table of all triggers, from the statistics file and from its model."""
    histogram = read_noise_statistics(path)
    counts = histogram.counts.astype(float)
    edges = 10 ** np.linspace(*histogram.lgsnr, counts.shape[0])
    model = COHERENT_NOISE[Source.BBH]
    snr, chisq, _ = model.draw(2_000_000, stream(0, "likeness"))
    log_chisq = np.linspace(*histogram.lgchisq, counts.shape[1])
    for limit in (6.5, 7, 8, 10, 14):
        share = counts[edges >= limit].sum() / counts.sum()
        yield _row(
            f"SNR above {limit:g}", f"{share:.2g}", f"{np.exp(model.log_survival(limit)):.2g}"
        )
    for low, high in ((6, 7), (8, 9), (12, 14)):
        inside = counts[(edges >= low) & (edges < high)].sum(axis=0).cumsum()
        real = 10 ** np.interp([0.1, 0.5, 0.9], inside / inside[-1], log_chisq)
        ours = np.quantile(chisq[(snr >= low) & (snr < high)], [0.1, 0.5, 0.9])
        yield _row(f"chi-square at SNR {low} to {high}, 10, 50, 90 %", _three(real), _three(ours))


def _three(values: Floats) -> str:
    return ", ".join(f"{v:.2f}" for v in values)


def _both(
    name: str, figure: Callable[[Sample], str], real: Sample, simulated: Sample
) -> Iterator[str]:
    yield _row(name, figure(real), figure(simulated))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _percent(flags: pl.Series | NDArray[np.bool_]) -> str:
    return f"{100 * np.mean(np.asarray(flags)):.1f} %"


def _sizes(table: pl.DataFrame) -> NDArray[np.int64]:
    return _gathered(table)["len"].to_numpy()


def _gathered(table: pl.DataFrame) -> pl.DataFrame:
    """Gather uploads no more than a second apart."""
    group = (pl.col("gps_ns").diff().fill_null(0) > SECOND_NS).cum_sum().alias("of")
    return (
        table.sort("gps_ns")
        .group_by(group, maintain_order=True)
        .agg(pl.len(), pl.col("ifos").n_unique())
    )


def _mixed(sample: Sample) -> str:
    several = _gathered(sample.merger_uploads).filter(pl.col("len") > 1)
    return _percent(several["ifos"] > 1)


def _slope(sample: Sample) -> str:
    x, y = (np.log(sample.noise[c].to_numpy()) for c in ("far_hz", "snr"))
    return f"{np.polyfit(x, y, 1)[0]:.3f}"


def _misrecovered(sample: Sample) -> str:
    heavy = sample.mergers.filter(pl.col("true_mchirp") > _HEAVY)
    below = (heavy["mchirp_det"] / heavy["true_mchirp"] < 0.5).sum()
    return f"{100 * below / heavy.height:.0f} % ({below} of {heavy.height})"


_PAGE = """# How like SPIIR is it?

`python benchmarks/likeness.py docs/explanation` writes this page. Real are SPIIR's uploads of O3a
below 3e-4 Hz, clustered within 1 s, and a statistics file of O3b; simulated are {days:.0f} days.
The laws of simulated noise were fitted to the same uploads ([the simulated
campaign](simulation.md)): what carries over to other uploads, the halves of O3a say.

## Can a classifier tell simulated noise from real?

AUC of gradient boosting on FAR, SNR and chirp mass together and on each alone, in five folds; 0.5
is not at all.

| | all three | FAR | SNR | chirp mass |
|---|---|---|---|---|
{auc}

## Noise candidates

| | real | simulated |
|---|---|---|
{noise}

## Candidates below a FAR

Simulated noise, clustered over all banks, against FAR times the time with two detectors on, and how
often chance alone is farther off.

| FAR (Hz) | found | expected | chance |
|---|---|---|---|
{rate}

## Mergers

Known mergers among the uploads, against simulated BBH that a catalogue lists (an SNR of 8 or more
in the best template); the most significant upload counts. A merger that no catalogue lists is noise
on the real side, so its mergers are the more significant ones.

| | real | simulated |
|---|---|---|
{merger}

Their FARs: each of them among the {neighbours} simulated mergers nearest in SNR and in the
template's chirp mass (one step is {snr_step:g} in the one's logarithm and {mchirp_step:g} in the
other's). The share of those that are more significant would be uniform, 0.5 in the mean, were both
alike; the last column says how often chance alone is farther from that (Kolmogorov-Smirnov). 25
mergers do not see a decade, and two hardly.

| | real | decades above the simulated: median (quartiles) | share more significant | chance |
|---|---|---|---|---|
{far}

## Which are real?

Each quantity is drawn twice, side by side: one histogram is of real candidates, the other of as
many simulated ones, in an order drawn by lot.

![Twenty histograms in ten pairs of one quantity each, of noise candidates and of mergers; the two
of a pair look alike.](histograms.svg)

Real are {answers}.

## All triggers

A statistics file of a BBH bank, against the law that most simulated noise follows.

| | real | simulated |
|---|---|---|
{zerolag}
"""


def _pairs(real: Sample, simulated: Sample, stem: Path) -> tuple[int, ...]:
    tables = ({"noise": s.noise, "mergers": s.mergers} for s in (real, simulated))
    return draw_pairs(*tables, stem, stream(4, "histograms"))


def main() -> None:
    data = Path(os.environ.get("SPIIR_PASTRO_DATA", "../shared/data")) / "spiir"
    real = real_sample(data / "gracedb_triggers_o1_o3a.csv")
    simulated = simulated_sample(seed=1)
    (statistics,) = (data / "stats").glob("*_stats_*.xml.gz")
    page = _PAGE.format(
        days=DAYS,
        auc="\n".join(two_samples(real, simulated)),
        noise="\n".join(noise_rows(real, simulated)),
        rate="\n".join(rate_rows(simulated)),
        merger="\n".join(merger_rows(real, simulated)),
        far="\n".join(far_rows(real, simulated)),
        neighbours=_NEIGHBOURS,
        snr_step=_LOG_SNR_NEAR,
        mchirp_step=_LOG_MCHIRP_NEAR,
        answers=", ".join(map(str, _pairs(real, simulated, Path(sys.argv[1]) / "histograms"))),
        zerolag="\n".join(zerolag_rows(statistics)),
    )
    (Path(sys.argv[1]) / "likeness.md").write_text(page)


if __name__ == "__main__":
    main()
