"""Which triggers count: clustering, injection matching, decontamination; columnar and pure."""

from spiir_pastro.selection.clustering import cluster

__all__ = ["cluster"]
