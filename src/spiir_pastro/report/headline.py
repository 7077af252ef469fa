"""What the first screen says: a sentence to quote, three figures, and on what they stand."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import ASTROPHYSICAL, Source
from spiir_pastro.domain.times import DAY_S
from spiir_pastro.evaluation.breakdown import Call
from spiir_pastro.evaluation.intervals import fraction_interval
from spiir_pastro.evaluation.result import Evaluation
from spiir_pastro.io.artifact import ModelArtifact
from spiir_pastro.io.provenance import Provenance
from spiir_pastro.report.numbers import count_of, dates, figure, percent, percents, source_name

_SURE, _LIKELY = 0.9, 0.5


@dataclass(frozen=True, kw_only=True)
class PartOf:
    """A part of a whole, the larger the better."""

    name: str  # what is counted
    # how many are as they should be, of how many
    part: int
    whole: int

    def __str__(self) -> str:
        return f"{self.part:,} of {self.whole:,}" if self.whole else "none"

    @property
    def percent(self) -> str:
        """The part in percent with its 90 % interval."""
        if not self.whole:
            return "–"
        ends = fraction_interval(self.part, self.whole).tolist()
        return f"{percent(self.part / self.whole)} (90 % interval {percents(ends)})"


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A part of all signals, and of each class that some of them have."""

    every: PartOf
    by_class: Sequence[PartOf]

    @property
    def worst(self) -> PartOf | None:
        """The class of which most is missing; None if nothing is."""
        lacking = [one for one in self.by_class if one.part < one.whole]
        return min(lacking, key=lambda one: one.part / one.whole, default=None)


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The first screen."""

    sentence: str  # to quote
    # on which data
    trained: str
    tested: str
    signals: str  # what signals are here
    pure: PartOf  # those called 0.9 that are signals
    expected: str  # how many of them should be if the model is right
    # signals whose most probable class is the right one, and those called 0.5
    classes: Parts
    found: Parts
    unseen: Sequence[str]  # classes that none of the signals has
    mistakes: Sequence[str]  # what is called wrongly, the commonest first


def headline(evaluation: Evaluation, artifact: ModelArtifact) -> Headline:
    """Say what an evaluation found."""
    classes = _classes(evaluation)
    there = {one.name for one in classes.by_class}
    return Headline(
        sentence=sentence(evaluation),
        trained=_trained(artifact.provenance),
        tested=_tested(evaluation),
        signals=_signals(evaluation),
        pure=_pure(evaluation),
        expected=figure(_call(evaluation, _SURE).expected),
        classes=classes,
        found=_found(evaluation),
        unseen=[str(source) for source in ASTROPHYSICAL if str(source) not in there],
        mistakes=[
            f"{count:,} {_truth(evaluation, true)} called {source_name(called)}"
            for true, called, count in evaluation.confusion.mistakes()[:3]
        ],
    )


def sentence(evaluation: Evaluation) -> str:
    """Say in one sentence, to be quoted, what an evaluation found."""
    pure, classes, signals = _pure(evaluation), _classes(evaluation), _signals(evaluation)
    purity = (
        f"Of the {pure.whole:,} events with p_astro of {_SURE} or more, {pure.part:,} are {signals}"
        if pure.whole
        else f"No event has a p_astro of {_SURE} or more"
    )
    if not classes.every.whole:
        return f"{purity}."
    if len(classes.by_class) > 1:
        return f"{purity}; noise aside, the class is right for {classes.every} {signals}."
    # Of one class alone it says little that the class is right.
    return f"{purity}; {_found(evaluation).every} {signals} have {_LIKELY} or more."


def _signals(evaluation: Evaluation) -> str:
    return f"{evaluation.truth}s"


def _truth(evaluation: Evaluation, source: Source) -> str:
    """Name what a candidate is: outside of simulations, what is in no catalogue may be no noise."""
    if source is Source.TERRESTRIAL and evaluation.truth != "injection":
        return "in no catalogue"
    return source_name(source)


def _call(evaluation: Evaluation, threshold: float) -> Call:
    return next(call for call in evaluation.calls if call.threshold == threshold)


def _pure(evaluation: Evaluation) -> PartOf:
    call = _call(evaluation, _SURE)
    return PartOf(name="called 0.9 and a signal", part=call.real, whole=call.called)


def _classes(evaluation: Evaluation) -> Parts:
    confusion = evaluation.signal_agreement.confusion
    right, whole = confusion.diagonal(), confusion.sum(axis=1)
    every = PartOf(name="all", part=int(right.sum()), whole=int(whole.sum()))
    return Parts(every=every, by_class=_by_class(right, whole))


def _found(evaluation: Evaluation) -> Parts:
    call = _call(evaluation, _LIKELY)
    of_class = evaluation.source == np.array([[str(source)] for source in ASTROPHYSICAL])
    likely = of_class & (evaluation.p_astro >= _LIKELY)
    return Parts(
        every=PartOf(name="all", part=call.real, whole=call.signals),
        by_class=_by_class(likely.sum(axis=1), of_class.sum(axis=1)),
    )


def _by_class(part: NDArray[np.int64], whole: NDArray[np.int64]) -> list[PartOf]:
    return [
        PartOf(name=str(source), part=int(part[k]), whole=int(whole[k]))
        for k, source in enumerate(ASTROPHYSICAL)
        if whole[k]
    ]


def _tested(evaluation: Evaluation) -> str:
    """Say what was judged: what of, when, and how much."""
    times = evaluation.candidates["gps_ns"]
    first, last = times.min(), times.max()
    parts = [evaluation.data] if evaluation.data else []
    if isinstance(first, int) and isinstance(last, int):
        parts.append(dates(first, last))
    scores = evaluation.scores
    parts.append(
        f"{count_of(scores.candidates, 'candidate')}, {count_of(scores.signals, evaluation.truth)} "
        "among them"
    )
    return "; ".join(parts)


def _trained(provenance: Provenance) -> str:
    """Say what the model was fitted on, as far as its file knows."""
    names = dict.fromkeys(given.name for given in provenance.inputs)
    tables = [name for name in names if name.endswith((".csv", ".parquet"))]
    livetime_s = provenance.livetime_s
    parts = [provenance.description] if provenance.description else []
    parts += tables[:1] if livetime_s is None else [f"{livetime_s / DAY_S:.3g} days of background"]
    parts.append(dates(*provenance.gps_span_ns))
    if provenance.injections_found:
        parts.append(count_of(provenance.injections_found, "injection"))
    if provenance.known_mergers:
        parts.append(count_of(len(provenance.known_mergers), "known merger"))
    if provenance.missing:
        parts.append(f"{count_of(len(provenance.missing), 'file')} missing, stale or damaged")
    return "; ".join(parts)
