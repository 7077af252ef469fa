"""A model simple enough to need no fit: a power law in FAR against noise, classes by chirp mass."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from spiir_pastro.domain import SourceProbabilities, Trigger
from spiir_pastro.errors import ArtifactError, TriggerError
from spiir_pastro.io.atomic import write_atomically
from spiir_pastro.serve.decide import Choose
from spiir_pastro.serve.model_slot import Assessor, Model

__all__ = ["RehearsalModel", "always"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RehearsalModel:
    """Odds of signal against noise ``(far_even_hz / FAR)**slope``.

    Attributes
    ----------
    far_even_hz
        FAR at which the odds are even.
    slope
        One minus the exponent of the signals' power law.
    """

    far_even_hz: float = 1e-8
    slope: float = 0.9

    def assess(self, trigger: Trigger, /) -> SourceProbabilities:
        """Return the four probabilities."""
        if trigger.far_hz is None or trigger.mchirp_det is None:
            raise TriggerError(f"trigger {trigger.event_id}: FAR and chirp mass are needed")
        p_astro = 1.0 / (1.0 + (trigger.far_hz / self.far_even_hz) ** self.slope)
        # Chirp masses of 1.4 + 3 and 3 + 3 solar masses, a bit redshifted, softened by a tenth.
        log_mchirp = math.log(trigger.mchirp_det)
        heavier = 0.5 * (1.0 + math.tanh((log_mchirp - math.log(1.9)) / 0.1))
        heaviest = 0.5 * (1.0 + math.tanh((log_mchirp - math.log(3.0)) / 0.1))
        bbh = p_astro * heavier * heaviest
        nsbh = p_astro * heavier * (1.0 - heaviest)
        bns = p_astro * (1.0 - heavier)
        return SourceProbabilities(bns=bns, nsbh=nsbh, bbh=bbh, terrestrial=1.0 - bns - nsbh - bbh)

    def describe(
        self, trigger: Trigger, probabilities: SourceProbabilities, /
    ) -> Mapping[str, object]:
        """Return whether a neutron star takes part, if it is a signal."""
        del trigger
        light = probabilities.bns + probabilities.nsbh
        return {"given": "it is a signal", "HasNS": light / (light + probabilities.bbh)}

    def save(self, path: Path) -> None:
        """Write the parameters."""
        write_atomically(path, json.dumps(asdict(self)).encode())

    @classmethod
    def load(cls, path: Path) -> "RehearsalModel":
        """Read parameters written by :meth:`save`."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, TypeError, ValueError) as exc:
            raise ArtifactError(f"{path} is no rehearsal model: {exc}") from exc


def always(assessor: Assessor) -> Choose:
    """Choose one model whatever search an event is of."""
    model = Model(assessor=assessor, digest="0" * 64, version="rehearsal")
    return lambda _: model
