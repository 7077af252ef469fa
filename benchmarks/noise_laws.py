"""Fit what the simulator's noise is made of to SPIIR's uploads, and print it as it is typed in.

``python benchmarks/noise_laws.py`` with the data folder in SPIIR_PASTRO_DATA.
"""

import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import minimize

from spiir_pastro.domain import ASTROPHYSICAL, Source
from spiir_pastro.io.gwtc import read_known_events
from spiir_pastro.io.trigger_files import read_triggers
from spiir_pastro.selection.labelling import label_known
from spiir_pastro.selection.uploads import select_uploads
from spiir_pastro.simulation.config import NETWORK
from spiir_pastro.simulation.noise_templates import TemplateLaw
from spiir_pastro.simulation.ranking import (
    NOISE_CEILING_HZ,
    UPLOADED,
    TailLaw,
    reduced_snr,
    template_kind,
    whole_snr,
)

__all__ = ["FAR_MAX_HZ", "NoiseLaws", "fit_laws", "noise_candidates", "uploads"]

Floats = NDArray[np.float64]

FAR_MAX_HZ = 3e-4
_LEVELS = (0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99, 1)
_RATIO_LEVELS = (0, 0.1, 0.25, 0.5, 0.75, 0.9, 1)
_PARTS = {
    Source.BNS: (0, 1 / 3, 2 / 3),
    Source.NSBH: (0, 1 / 3, 2 / 3),
    Source.BBH: (0, 0.25, 0.5, 0.75, 0.95),
}
_NS_MAX = 3.0
_LEAST_R = 0.05  # a few candidates lie just below the threshold


@dataclass(frozen=True, kw_only=True)
class NoiseLaws:
    """Laws of SNR by kind of template, of templates by bank, and shares of detectors."""

    tails: tuple[TailLaw, ...]
    templates: dict[Source, TemplateLaw]
    ifos: dict[str, float]

    def draw(self, n: int, rng: np.random.Generator) -> pl.DataFrame:
        """Draw n candidates below ``FAR_MAX_HZ``, without a template bank."""
        far = rng.uniform(0, FAR_MAX_HZ, n)
        shares = np.array([law.share for law in self.templates.values()])
        of_bank = rng.choice(shares.size, n, p=shares / shares.sum())
        log_mchirp, ratio, r = np.empty((3, n))
        for number, law in enumerate(self.templates.values()):
            rows = np.flatnonzero(of_bank == number)
            log_mchirp[rows], ratio[rows] = law.draw(rows.size, 0, 1, rng)
        mtotal = np.exp(log_mchirp) * (ratio / (1 + ratio) ** 2) ** -0.6
        kind = template_kind(mtotal)
        for number, tail in enumerate(self.tails):
            rows = np.flatnonzero(kind == number)
            r[rows] = tail.draw(np.log(far[rows] / NOISE_CEILING_HZ), rng)
        ifos = rng.choice(list(self.ifos), n, p=np.array(list(self.ifos.values())))
        return pl.DataFrame(
            {"far_hz": far, "snr": whole_snr(r, _on(ifos)), "mchirp_det": np.exp(log_mchirp)}
        )


def uploads(path: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read uploads below ``FAR_MAX_HZ`` of the runs that were uploaded so far down.

    Returns
    -------
    every
        All of them, with ``known_event`` and ``mtotal``.
    candidates
        Those left by clustering within a second.
    """
    table, events = read_triggers(path).triggers, read_known_events()
    candidates = select_uploads(table, events, far_threshold_hz=FAR_MAX_HZ).candidates
    start, end = candidates["gps_ns"].min(), candidates["gps_ns"].max()
    mass = pl.read_csv(path).select(event_id="graceid", mtotal="mass")
    every = table.filter(
        pl.col("gps_ns").is_between(start, end), pl.col("far_hz") <= FAR_MAX_HZ
    ).sort("gps_ns")
    return (
        label_known(every, events).join(mass, on="event_id"),
        candidates.join(mass, on="event_id", maintain_order="left"),
    )


def noise_candidates(candidates: pl.DataFrame) -> pl.DataFrame:
    """Leave out what stands within a second of any event of a catalogue."""
    return candidates.filter(pl.col("known_event").is_null())


def fit_laws(noise: pl.DataFrame) -> NoiseLaws:
    """Fit the laws to noise candidates."""
    bank = _banks(noise)
    ifos = noise["ifos"].value_counts(normalize=True, sort=True)
    return NoiseLaws(
        tails=_fit_tails(noise),
        templates={source: _fit_templates(noise, bank == source) for source in ASTROPHYSICAL},
        ifos=dict(ifos.iter_rows()),
    )


def _on(ifos: NDArray[np.str_]) -> NDArray[np.bool_]:
    return np.array([[ifo in text for ifo in NETWORK] for text in ifos])


def _components(noise: pl.DataFrame) -> tuple[Floats, Floats]:
    mchirp, mtotal = noise["mchirp_det"].to_numpy(), noise["mtotal"].to_numpy()
    half = np.sqrt(np.maximum(1 - 4 * (mchirp / mtotal) ** (5 / 3), 0)) / 2
    return mtotal * (0.5 + half), mtotal * (0.5 - half)


def _banks(noise: pl.DataFrame) -> NDArray[np.str_]:
    m1, m2 = _components(noise)
    return np.where(m1 < _NS_MAX, "BNS", np.where(m2 < _NS_MAX, "NSBH", "BBH"))


def _fit_templates(noise: pl.DataFrame, mine: NDArray[np.bool_]) -> TemplateLaw:
    mchirp = noise["mchirp_det"].to_numpy()[mine]
    m1, m2 = (m[mine] for m in _components(noise))
    bank = Source(str(_banks(noise)[mine][0]))
    edges = (*_PARTS[bank], 1)
    place = np.searchsorted(np.sort(mchirp), mchirp, side="left") / mchirp.size
    ratios = tuple(
        tuple(np.quantile((m2 / m1)[(place >= low) & (place < high)], _RATIO_LEVELS))
        for low, high in pairwise(edges)
    )
    return TemplateLaw(
        share=float(mine.mean()),
        mchirp=tuple(np.quantile(mchirp, _LEVELS)),
        parts=_PARTS[bank],
        ratios=ratios,
    )


def _fit_tails(noise: pl.DataFrame) -> tuple[TailLaw, ...]:
    r = reduced_snr(noise["snr"].to_numpy(), _on(noise["ifos"].to_numpy()))
    r = np.maximum(r, _LEAST_R)
    log_u = np.log(noise["far_hz"].to_numpy() / NOISE_CEILING_HZ)
    kind = template_kind(noise["mtotal"].to_numpy())
    return tuple(_fit_tail(r[kind == k], log_u[kind == k]) for k in range(len(UPLOADED)))


def _fit_tail(r: Floats, log_u: Floats) -> TailLaw:
    def unlikely(p: Floats) -> float:
        return -float(np.log(TailLaw(*np.exp(p)).density(r, log_u)).sum())

    start = np.log([2.4, 1.8, 2.9, 0.09])
    best = minimize(unlikely, start, method="Nelder-Mead", options={"maxiter": 4000}).x
    return TailLaw(*np.exp(best))


def main() -> None:
    data = Path(os.environ.get("SPIIR_PASTRO_DATA", "../shared/data")) / "spiir"
    noise = noise_candidates(uploads(data / "gracedb_triggers_o1_o3a.csv")[1])
    laws = fit_laws(noise)
    print(f"{noise.height} noise candidates; {laws.ifos}")
    for tail in laws.tails:
        print(f"TailLaw({tail.power:.2f}, {tail.tail:.2f}, {tail.scale:.2f}, {tail.growth:.3f})")
    for source, law in laws.templates.items():
        print(source, f"share={law.share:.3f}", [float(f"{m:.3g}") for m in law.mchirp])
        for row in law.ratios:
            print("   ", [float(f"{q:.3g}") for q in row])


if __name__ == "__main__":
    main()
