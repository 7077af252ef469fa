#!/usr/bin/env python3
"""Fuzz the alert payload parser and the decision; see README.md."""

import sys
import tempfile
import warnings
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(include=["spiir_pastro"]):
    import oracles
from mutations import mutated_alert

_SCRATCH = Path(tempfile.mkdtemp(prefix="fuzz-alerts-"))


def one_input(payload: bytes) -> None:
    """Check one payload."""
    oracles.check_alert(payload, _SCRATCH)


def mutate(payload: bytes, max_size: int, seed: int) -> bytes:
    """Change a payload for libFuzzer."""
    blind = lambda data: atheris.Mutate(data, max_size)  # noqa: E731
    return mutated_alert(payload, Random(seed), blind)[:max_size]


if __name__ == "__main__":
    warnings.simplefilter("error")
    atheris.Setup(sys.argv, one_input, custom_mutator=mutate)
    atheris.Fuzz()
