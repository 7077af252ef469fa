"""The model's card: what it was made from, its parameters, and where it ends."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from spiir_pastro.domain import ASTROPHYSICAL
from spiir_pastro.evaluation.result import Evaluation
from spiir_pastro.io.artifact import ModelArtifact
from spiir_pastro.io.provenance import Provenance, Quantiles, Rates
from spiir_pastro.models.far_density import PowerLaw
from spiir_pastro.models.pastro import ClassSharing, PastroModel
from spiir_pastro.report.numbers import between, figure, utc

_SHARING = {
    ClassSharing.MULTI_COMPONENT: "multi-component FGMC: each class counted with its own densities",
    ClassSharing.MASS_CONTOUR: "mass contour: p_astro times each class's share of the area",
}


@dataclass(frozen=True, kw_only=True)
class Card:
    """The card: facts by name in panels by title, and what the model does not hold for."""

    panels: Mapping[str, Mapping[str, str]]
    limits: Sequence[str]


def model_card(artifact: ModelArtifact, evaluation: Evaluation) -> Card:
    """Return data, parameters, provenance and limits."""
    panels = {
        "Data it was fitted on": _data(artifact.provenance),
        "Parameters": _parameters(artifact.model),
    }
    if rates := _rates(artifact.provenance.rates):
        panels["Rates (median, 90 %)"] = rates
    return Card(panels=panels, limits=_limits(artifact.model, evaluation))


def _data(provenance: Provenance) -> Mapping[str, str]:
    facts = {given.name: f"SHA-256 {given.sha256}" for given in provenance.inputs[:12]}
    first, last = (time[:19] for time in utc(np.array(provenance.gps_span_ns)))
    facts["Time span"] = f"{first} to {last} UTC"
    for name in ("rows", "rejects", "candidates", "injections_found", "livetime_s"):
        if (value := getattr(provenance, name)) is not None:
            facts[name.replace("_", " ").capitalize()] = f"{value:,}"
    if mergers := provenance.known_mergers:
        facts["Known mergers"] = f"{len(mergers)}: {', '.join(mergers)}"
    facts |= {f"Left out: {run}": why for run, why in provenance.left_out.items()}
    facts |= {f"Not as it should be: {file}": why for file, why in provenance.missing.items()}
    return facts | provenance.versions


def _rates(rates: Rates) -> Mapping[str, str]:
    """Return rates by class."""
    facts = {}
    for name, one in rates.classes.items():
        facts[f"{name} detections a year"] = _with_interval(one.detections_per_yr)
        facts[f"{name} mergers a Gpc³ and year"] = (
            f"{_with_interval(one.mergers_per_gpc3_yr)}; {one.found:,} of {one.injections:,} "
            f"injections found, worth {figure(one.effective)}"
            if one.mergers_per_gpc3_yr
            else f"not known: {one.why_not}"
        )
    if rates.why_not:
        facts["Not known"] = rates.why_not
    return facts


def _with_interval(values: Quantiles) -> str:
    median, low, high = values
    return f"{figure(median)} ({between((low, high))})"


def _parameters(model: PastroModel) -> Mapping[str, str]:
    counts = model.counts
    facts = {
        "FAR threshold": f"{model.far_threshold_hz:g} Hz",
        "Sharing among classes": _SHARING[model.sharing],
    }
    for k, source in enumerate(ASTROPHYSICAL):
        facts[f"{source} expected"] = (
            f"{figure(counts.mean[k])} ± {figure(counts.std[k])} "
            f"(90 % {between(counts.interval[:, k].tolist())})"
        )
    facts["Noise expected"] = figure(counts.noise_mean, 5)
    for source, density in model.densities.signals.items():
        far = density.factors["far"]
        if isinstance(far, PowerLaw):
            facts[f"{source}: slope in ln FAR"] = (
                f"{figure(far.exponent)} ± {figure(far.exponent_std)}"
            )
    boundaries = asdict(model.contour.boundaries)
    facts["Mass boundaries (M☉)"] = ", ".join(
        f"{name} {value:g}" for name, value in boundaries.items() if value is not None
    )
    distance = model.contour.distance
    facts["Distance"] = (
        f"D_L = {figure(distance.luminosity_per_effective, 4)} D_eff ({distance.average}), "
        f"ln(σ/D_L) = {figure(distance.log_sigma_intercept, 4)} "
        f"{distance.sigma_snr_exponent:+.4f} ln SNR"
    )
    if distance.fit is not None:
        facts["Distance fitted on"] = (
            f"{distance.fit.events} events; scatter {figure(distance.fit.fractional_scatter)}, "
            f"held out {figure(distance.fit.hold_out_scatter)}"
        )
    return facts


_ON_TRUTH = {
    "known merger": "Signals that are in no catalogue count as noise here.",
    "injection": "Injections follow the population they were drawn from, not the sky's.",
}


def _limits(model: PastroModel, evaluation: Evaluation) -> list[str]:
    """Return what a reader must not conclude, with the figures of this evaluation."""
    truth = evaluation.truth
    limits = [
        f"It holds for candidates with a FAR up to {model.far_threshold_hz:g} Hz.",
        "The 90 % interval of p_astro holds the errors of counts and densities.",
        _ON_TRUTH.get(truth, f"A candidate counts as a signal if it is a {truth}."),
    ]
    for source in ASTROPHYSICAL:
        seen = int((evaluation.source == str(source)).sum())
        if seen < 10:
            limits.append(
                f"{seen or 'No'} {source} among the signals here: little or nothing is shown of "
                f"how well {source} are told apart."
            )
    if not evaluation.held_out:
        limits.append(
            "It is not known to be judged on other candidates than it was fitted on: scores of "
            "the same ones flatter it."
        )
    return limits
