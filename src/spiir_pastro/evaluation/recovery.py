"""Truth beside inference: how many of each class there were, were found, and are counted."""

from dataclasses import dataclass

from spiir_pastro.domain import ASTROPHYSICAL, Source
from spiir_pastro.evaluation.result import Evaluation


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """What became of the signals of one class."""

    source: Source
    made: int | None  # signals made in analysed data; None where those missed are not known
    found: int  # those that are among the candidates
    # how many of the candidates the model counts as of this class: the sum of its probabilities
    counted: float
    interval: tuple[float, float]  # central 90 % interval of that


def recovered(evaluation: Evaluation) -> list[Recovered]:
    """Return truth beside inference, class by class; classes that nothing is of are left out."""
    by_class = {group.name: group for group in evaluation.groups if group.kind == "class"}
    missed = evaluation.missed
    rows = []
    for source in ASTROPHYSICAL:
        scores, ends = by_class[source].scores, by_class[source].intervals
        made = None
        if missed is not None and "source_class" in missed.columns:
            made = scores.signals + missed.filter(source_class=str(source)).height
        if not made and not scores.signals:
            continue
        rows.append(
            Recovered(
                source=source,
                made=made,
                found=scores.signals,
                counted=scores.expected_signals,
                interval=ends["expected_signals"],
            )
        )
    return rows
