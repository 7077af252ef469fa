#!/usr/bin/env python3
"""Fuzz the LIGO_LW reader; see README.md."""

import sys
import tempfile
import warnings
import zlib
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(include=["spiir_pastro"]):
    import oracles
from mutations import mutated_file

_SCRATCH = Path(tempfile.mkdtemp(prefix="fuzz-ligolw-"))


def one_input(content: bytes) -> None:
    """Check one file; what it holds decides how the document is cut into blocks."""
    step = oracles.STEPS[zlib.crc32(content) % len(oracles.STEPS)]
    oracles.check_file(content, _SCRATCH, steps=[step])


def mutate(content: bytes, max_size: int, seed: int) -> bytes:
    """Change a file for libFuzzer."""
    blind = lambda data: atheris.Mutate(data, max_size)  # noqa: E731
    return mutated_file(content, Random(seed), blind)[:max_size]


if __name__ == "__main__":
    warnings.simplefilter("error")
    atheris.Setup(sys.argv, one_input, custom_mutator=mutate)
    atheris.Fuzz()
