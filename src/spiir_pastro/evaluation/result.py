"""The result of an evaluation: the predictions of candidates, beside what is known of them."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from html import escape

import numpy as np
import polars as pl
from numpy.typing import NDArray

from spiir_pastro.domain import ASTROPHYSICAL, Source
from spiir_pastro.evaluation.breakdown import (
    Call,
    ClassAgreement,
    Confusion,
    Efficiency,
    GroupScores,
    calls,
    class_agreement,
    efficiency,
    score_groups,
    scored,
)
from spiir_pastro.evaluation.holdout import Holdout
from spiir_pastro.evaluation.scores import Reliability, Roc, Scores, reliability, roc

Floats = NDArray[np.float64]
Span = tuple[int, int]
"""First and last GPS nanosecond of something."""

PROBABILITIES = tuple(str(source) for source in Source)
SCORED = {name: f"scored_{name}" for name in ("p_astro", *PROBABILITIES)}
"""Column that is scored, of a probability that the model itself says otherwise."""
QUANTITIES = {
    "snr": "coherent SNR",
    "far_hz": "FAR (Hz)",
    "mchirp_det": "recovered chirp mass, detector frame (M☉)",
    "injection_mchirp_det": "true chirp mass, detector frame (M☉)",
    "injection_distance_mpc": "true luminosity distance (Mpc)",
}
"""Columns of candidates that efficiency is shown against, where they are there."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """The predictions of a model for independent candidates, beside what is known of them.

    Attributes
    ----------
    candidates
        Canonical triggers with ``p_astro``, the four probabilities, ``p_astro_low``,
        ``p_astro_high``, ``note``, ``is_signal`` and ``source_class`` (the true one; null for
        noise, or where it is not known), all sorted by time. Where known: ``known_event``,
        ``bank``, ``observing_run``, ``injection_gps_ns``, ``injection_mchirp_det``,
        ``injection_distance_mpc``. Probabilities are what the
        model itself says of the candidate; those that are scored stand in the columns of `SCORED`
        where they are others, since injections are more frequent than mergers or since a candidate
        is judged by a model that was fitted without it.
    known_mergers
        A row a known merger within ``spans``: SPIIR's most significant candidate
        and its probabilities, or nulls where SPIIR has none.
    missed
        Injections made in analysed data that are not among the candidates, with their ``bank``,
        ``source_class``, ``injection_gps_ns``, ``injection_mchirp_det`` and
        ``injection_distance_mpc``; None where they are not known.
    left_out
        Runs whose candidates cannot be judged, and why.
    alternatives
        Name of another method to its probabilities of the same candidates, (n, 4).
    truth
        What a signal is, for people: "known merger" or "injection".
    searched
        The candidates among which known mergers were looked for, like ``candidates`` with
        ``known_event``, judged with the model's own counts; None if they are ``candidates``.
    scored_by
        Whose the scored probabilities are, for people, like "at the injections' rates"; empty if
        they are what the model itself says.
    holdout
        Whether the candidates were judged by models that had not been fitted on them.
    far_threshold_hz
        Largest FAR of a candidate.
    data
        What the candidates are, for people: the name of the file or folder they come from.
    """

    candidates: pl.DataFrame
    known_mergers: pl.DataFrame
    missed: pl.DataFrame | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    alternatives: Mapping[str, Floats] = field(default_factory=dict)
    truth: str = "known merger"
    searched: pl.DataFrame | None = None
    scored_by: str = ""
    holdout: Holdout = field(default_factory=Holdout)
    far_threshold_hz: float = math.inf
    data: str = ""

    @property
    def held_out(self) -> bool:
        """Whether the candidates were judged by models that had not been fitted on them."""
        return self.holdout.held_out

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """When candidates were looked for: from the first to the last of each observing run."""
        others = []
        if self.missed is not None and "injection_gps_ns" in self.missed.columns:
            others.append(self.missed["injection_gps_ns"])
        if self.searched is not None:
            others.append(self.searched["gps_ns"])
        return spans_of(self.candidates, *others)

    def __repr__(self) -> str:
        return f"<Evaluation: {'; '.join(f'{name} {value}' for name, value in self._told())}>"

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in self._told())
        return f"<table><caption>{escape(self.holdout.sentence)}.</caption>{rows}</table>"

    def _told(self) -> list[tuple[str, str]]:
        """Name what a person asks first, with its value."""
        scores, agreement = self.scores, self.signal_agreement
        call = next(call for call in self.calls if call.threshold == 0.9)
        classes = f"{round(agreement.fraction * agreement.events)} of {agreement.events}"
        return [
            ("candidates", f"{scores.candidates:,}"),
            (f"{self.truth}s", f"{scores.signals:,}"),
            ("expected", f"{scores.expected_signals:.1f}"),
            ("called 0.9 or more", f"{call.called}, {call.real} of them real"),
            ("classes right", classes if agreement.events else "none known"),
            ("log loss", f"{scores.log_loss:.4g}"),
            ("AUC", f"{scores.auc:.4g}"),
            ("held out", "yes" if self.held_out else "no"),
        ]

    @cached_property
    def judged(self) -> NDArray[np.bool_]:
        """Which candidates have probabilities, (n,)."""
        return self.candidates["p_astro"].is_not_null().to_numpy()

    @cached_property
    def p_astro(self) -> Floats:
        """Of the candidates judged, as it is scored, (m,)."""
        return self.scored["p_astro"].to_numpy()

    @cached_property
    def is_signal(self) -> NDArray[np.bool_]:
        """Whether each candidate judged is a signal, (m,)."""
        return self.scored["is_signal"].to_numpy()

    @cached_property
    def source(self) -> NDArray[np.str_]:
        """What each candidate judged is, (m,): a source's name, or empty where not known."""
        truth = np.where(
            self.is_signal, self.scored["source_class"].fill_null(""), Source.TERRESTRIAL
        )
        return truth.astype(np.str_)

    @cached_property
    def overall(self) -> GroupScores:
        """Scores of p_astro with intervals."""
        return scored("all", "all candidates", self.p_astro, self.is_signal)

    @property
    def scores(self) -> Scores:
        """Scores of p_astro against being a signal."""
        return self.overall.scores

    @cached_property
    def calibration(self) -> Reliability:
        """How many of those called p are signals."""
        return reliability(self.p_astro, self.is_signal)

    @cached_property
    def roc(self) -> Roc:
        """Efficiency against false alarms."""
        return roc(self.p_astro, self.is_signal)

    @cached_property
    def calls(self) -> list[Call]:
        """What is called a signal at usual thresholds, and what of it is one."""
        return calls(self.p_astro, self.is_signal)

    @cached_property
    def confusion(self) -> Confusion:
        """What candidates are against what they are called."""
        return Confusion.of(self.scored.select(PROBABILITIES).to_numpy(), self.source)

    @cached_property
    def agreement(self) -> ClassAgreement:
        """Of classes, over the known mergers SPIIR has."""
        return _agreement(with_scored(self.known_mergers))

    @cached_property
    def signal_agreement(self) -> ClassAgreement:
        """Of classes, over the signals among the candidates."""
        return _agreement(self.scored.filter("is_signal"))

    @cached_property
    def groups(self) -> list[GroupScores]:
        """Scores by class (that class against everything else), by bank and by detectors."""
        by_class = [
            scored("class", str(s), self.scored[str(s)].to_numpy(), self.source == str(s))
            for s in ASTROPHYSICAL
        ]
        by_column = [
            group
            for kind, column in (("bank", "bank"), ("detectors", "ifos"))
            if column in self.candidates.columns
            for group in score_groups(kind, self.scored, column)
        ]
        return by_class + by_column

    def efficiency(self, quantity: str, *, threshold: float) -> Efficiency:
        """Fraction of signals whose p_astro reaches a threshold, against one of ``QUANTITIES``.

        Against a true value, injections missed count where they are known.
        """
        signals = self.scored.filter("is_signal").select(quantity, "p_astro")
        if self.missed is not None and quantity in self.missed.columns:
            lost = self.missed.select(quantity, p_astro=pl.lit(-math.inf))
            signals = pl.concat([signals, lost], how="vertical_relaxed")
        values = signals[quantity].cast(pl.Float64).fill_null(np.nan).to_numpy()
        return efficiency(values, signals["p_astro"].to_numpy(), threshold=threshold)

    @cached_property
    def compared(self) -> list[tuple[GroupScores, ClassAgreement]]:
        """Scores and class agreement of this model and of each alternative."""
        truth = self.source[self.is_signal]
        methods = {"this model": self.scored.select(PROBABILITIES).to_numpy()}
        others = {name: every[self.judged] for name, every in self.alternatives.items()}
        rows = []
        for name, p in {**methods, **others}.items():
            p_astro = np.clip(p[:, :-1].sum(axis=1), 0, 1)
            rows.append(
                (
                    scored("method", name, p_astro, self.is_signal),
                    class_agreement(p[self.is_signal], truth),
                )
            )
        return rows

    def uncatalogued(self, *, p_astro: float = 0.5) -> pl.DataFrame:
        """Return candidates of the search that no catalogue has, most probable first."""
        search = self.candidates if self.searched is None else self.searched
        return search.filter(~pl.col("is_signal"), pl.col("p_astro") >= p_astro).sort(
            "p_astro", descending=True
        )

    def metrics(self) -> Mapping[str, float | int | None]:
        """Return flat names and numbers, for ``metrics.json``; None where not determined."""
        seen = int(self.known_mergers["event_id"].is_not_null().sum())
        holdout = self.holdout
        flat: dict[str, float | int] = {
            "held_out": holdout.held_out,
            "folds": holdout.folds,
            "seen_in_training": math.nan if holdout.seen is None else holdout.seen,
            **asdict(self.scores),
            "expected_calibration_error": self.calibration.expected_calibration_error,
            "known_mergers": self.known_mergers.height,
            "known_mergers_seen": seen,
            "class_agreement": self.agreement.fraction,
            "class_agreement_events": self.agreement.events,
            "signal_class_agreement": self.signal_agreement.fraction,
            "signal_class_agreement_events": self.signal_agreement.events,
        }
        flat |= _ends("", self.overall)
        for call in self.calls:
            flat |= {
                f"called_{call.threshold:g}": call.called,
                f"called_{call.threshold:g}_real": call.real,
                f"called_{call.threshold:g}_expected": call.expected,
            }
        for group in self.groups:
            name = f"{group.kind}.{group.name}."
            flat |= {f"{name}{key}": value for key, value in asdict(group.scores).items()}
            flat |= _ends(name, group)
        for i, true in enumerate(Source):
            for j, called in enumerate(Source):
                flat[f"confusion.{true}.{called}"] = int(self.confusion.count[i, j])
        return {name: None if math.isnan(value) else value for name, value in flat.items()}

    @cached_property
    def scored(self) -> pl.DataFrame:
        """The candidates judged, with the probabilities that are scored in their usual columns."""
        return with_scored(self.candidates.filter(pl.Series(self.judged)))


def with_scored(table: pl.DataFrame) -> pl.DataFrame:
    """Return a table with the probabilities that are scored in their usual columns."""
    others = [name for name, scored in SCORED.items() if scored in table.columns]
    return table.with_columns(pl.col(SCORED[name]).alias(name) for name in others)


def spans_of(candidates: pl.DataFrame, *others: pl.Series) -> tuple[Span, ...]:
    """Return first and last time of each observing run, where candidates have one, or of all.

    ``others`` are times, GPS nanoseconds, that the latter span holds as well.
    """
    if "observing_run" in candidates.columns:
        parts = candidates.partition_by("observing_run", maintain_order=True)
        return tuple(sorted(_span(part["gps_ns"]) for part in parts))
    times = pl.concat([candidates["gps_ns"], *others])
    return (_span(times),) if times.len() else ()


def _span(times: pl.Series) -> Span:
    return int(times.to_numpy().min()), int(times.to_numpy().max())


def _ends(prefix: str, group: GroupScores) -> dict[str, float]:
    return {
        f"{prefix}{name}_{end}": value
        for name, ends in group.intervals.items()
        for end, value in zip(("low", "high"), ends, strict=True)
    }


def _agreement(events: pl.DataFrame) -> ClassAgreement:
    probabilities = events.select(pl.col(PROBABILITIES).fill_null(np.nan)).to_numpy()
    classes = events["source_class"].fill_null("").to_numpy().astype(np.str_)
    return class_agreement(probabilities, classes)
