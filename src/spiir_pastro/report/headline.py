"""What the first screen says: a sentence to quote, three figures, and on what they stand."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spiir_pastro.domain import ASTROPHYSICAL
from spiir_pastro.domain.times import DAY_S
from spiir_pastro.evaluation.intervals import fraction_interval
from spiir_pastro.evaluation.result import Evaluation
from spiir_pastro.io.artifact import ModelArtifact
from spiir_pastro.io.provenance import Provenance
from spiir_pastro.report.numbers import count_of, dates, figure, percent, percents, source_name


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
class Headline:
    """The first screen."""

    sentence: str  # to quote
    # on which data
    trained: str
    tested: str
    # those called 0.9 that are real, and the signals that are called 0.5
    pure: PartOf
    found: PartOf
    expected: str  # how many of those called 0.9 should be real if the model is right
    # signals whose most probable class is the right one, all and class by class
    classes: Sequence[PartOf]
    # the class of them that is right least often; None if all are always right
    worst: PartOf | None
    unseen: Sequence[str]  # classes that none of the signals has
    mistakes: Sequence[str]  # what is called wrongly, the commonest first


def headline(evaluation: Evaluation, artifact: ModelArtifact) -> Headline:
    """Say what an evaluation found."""
    by_threshold = {call.threshold: call for call in evaluation.calls}
    sure, likely = by_threshold[0.9], by_threshold[0.5]
    classes = _classes(evaluation)
    missed = [one for one in classes[1:] if one.part < one.whole]
    return Headline(
        sentence=sentence(evaluation),
        trained=_trained(artifact.provenance),
        tested=_tested(evaluation),
        pure=_pure(evaluation),
        found=PartOf(name="signals called 0.5", part=likely.real, whole=likely.signals),
        expected=figure(sure.expected),
        classes=classes,
        worst=min(missed, key=lambda one: one.part / one.whole, default=None),
        unseen=[str(s) for s in ASTROPHYSICAL if str(s) not in {one.name for one in classes}],
        mistakes=[
            f"{count:,} {source_name(true)} called {source_name(called)}"
            for true, called, count in evaluation.confusion.mistakes()[:3]
        ],
    )


def _classes(evaluation: Evaluation) -> list[PartOf]:
    confusion = evaluation.signal_agreement.confusion
    by_class = [
        PartOf(name=str(source), part=int(confusion[k, k]), whole=int(confusion[k].sum()))
        for k, source in enumerate(ASTROPHYSICAL)
    ]
    every = PartOf(name="all", part=int(np.trace(confusion)), whole=int(confusion.sum()))
    return [every, *(one for one in by_class if one.whole)]


def sentence(evaluation: Evaluation) -> str:
    """Say in one sentence, to be quoted, what an evaluation found."""
    pure, classes = _pure(evaluation), _classes(evaluation)[0]
    real = "real" if evaluation.truth == "injection" else f"{evaluation.truth}s"
    purity = (
        f"Of the {pure.whole:,} events called 0.9 or more, {pure.part:,} are {real}"
        if pure.whole
        else "No event is called 0.9 or more"
    )
    if not classes.whole:
        return f"{purity}."
    signals = "signals" if evaluation.truth == "injection" else f"{evaluation.truth}s"
    return f"{purity}; noise aside, the class is right for {classes} {signals}."


def _pure(evaluation: Evaluation) -> PartOf:
    call = next(call for call in evaluation.calls if call.threshold == 0.9)
    return PartOf(name="called 0.9 and real", part=call.real, whole=call.called)


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
