"""Which candidates a model was trained on: a digest of each, small enough to stand in its file.

A candidate is known by its time (to a microsecond), its detectors and its chirp mass (to a part in
a thousand), whatever table it comes in: parts, supersets and sorted copies of a training table are
recognised. Digests have 48 bits; that one of a million candidates is taken for another has a
probability of one in 280 for a table of another million.
"""

import base64
import binascii
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.errors import ArtifactError

if TYPE_CHECKING:
    import polars as pl

Digests = NDArray[np.uint64]

DIGEST_BYTES = 6
_CANDIDATE = ("gps_ns", "ifos", "mchirp_det")


def candidate_digests(triggers: "pl.DataFrame") -> Digests:
    """Return the digest of each candidate of a canonical trigger table, (n,)."""
    # Imported here so that the alert service loads a model without data frames.
    import polars as pl  # noqa: PLC0415

    # Coarser than what tables write: a time that went through a float of seconds keeps
    # microseconds, and a chirp mass of four digits its thousandths.
    microseconds = triggers["gps_ns"].to_numpy() // 1000
    # Two letters a detector, so that up to four fit into 64 bits.
    names = triggers["ifos"].unique().to_list()
    codes = {name: int.from_bytes(name.encode()[:8], "little") for name in names}
    ifos = triggers["ifos"].replace_strict(codes, return_dtype=pl.UInt64).to_numpy()
    mchirp = triggers["mchirp_det"].fill_null(1.0).to_numpy()
    thousandths = np.round(np.log(mchirp) * 1000).astype(np.int64)
    mixed = _mixed(microseconds.astype(np.uint64))
    mixed = _mixed(mixed ^ ifos)
    return _mixed(mixed ^ thousandths.astype(np.uint64)) >> np.uint64(64 - 8 * DIGEST_BYTES)


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingDigest:
    """The digests of the candidates a model was trained on, sorted, each once, (n,)."""

    values: Digests = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))

    @classmethod
    def of(cls, *tables: "pl.DataFrame") -> Self:
        """Take down every candidate of some canonical trigger tables."""
        parts = [candidate_digests(table.select(_CANDIDATE)) for table in tables]
        return cls(values=np.unique(np.concatenate(parts)))

    def knows(self, triggers: "pl.DataFrame") -> NDArray[np.bool_]:
        """Tell which triggers of a canonical table the model was trained on, (n,)."""
        return np.isin(candidate_digests(triggers.select(_CANDIDATE)), self.values)

    def as_text(self) -> str:
        """Write the digests as they stand in a model file."""
        octets = self.values.astype(">u8").view(np.uint8).reshape(-1, 8)[:, -DIGEST_BYTES:]
        return base64.b64encode(octets.tobytes()).decode()

    @classmethod
    def from_text(cls, text: object) -> Self:
        """Read what `as_text` wrote; ArtifactError if it is something else."""
        try:
            octets = np.frombuffer(base64.b64decode(str(text), validate=True), dtype=np.uint8)
            wide = np.zeros((octets.size // DIGEST_BYTES, 8), dtype=np.uint8)
            wide[:, -DIGEST_BYTES:] = octets.reshape(-1, DIGEST_BYTES)
        except (binascii.Error, ValueError) as exc:
            raise ArtifactError(f"no digests of training candidates: {exc}; fit again") from exc
        return cls(values=wide.view(">u8").ravel().astype(np.uint64))


def _mixed(values: Digests) -> Digests:
    """Spread 64-bit numbers evenly (the finaliser of SplitMix64, Steele et al. 2014)."""
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)), dtype=np.uint64)
