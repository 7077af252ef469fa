"""Whether scores are of candidates that a model had not seen when it was fitted."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Holdout:
    """Whether the scores are of candidates that the model had not seen."""

    # candidates that the model was trained on; None where the model does not say
    seen: int | None = None
    # GPS times between k folds, k - 1; empty without folds. A candidate's score is then
    # that of a model fitted on the other folds.
    cuts_gps_ns: tuple[int, ...] = ()
    # why the scores are not held out; empty if they are
    why_not: str = "it is not known what the model was trained on"

    @property
    def held_out(self) -> bool:
        """Whether they are."""
        return not self.why_not

    @property
    def folds(self) -> int:
        """How many models were fitted for the scores; none if the model itself had not seen."""
        return len(self.cuts_gps_ns) + 1 if self.cuts_gps_ns else 0

    @property
    def sentence(self) -> str:
        """What a reader should know before any score."""
        if self.why_not:
            return (
                "NOT HELD OUT: the scores are of candidates the model was trained on, and flatter "
                f"it ({self.why_not})"
            )
        if self.folds:
            return (
                f"Held out: time is cut into {self.folds} spans, and the candidates of each are "
                "scored by a model fitted to the others"
            )
        return "Held out: the model was not trained on any of these candidates"
