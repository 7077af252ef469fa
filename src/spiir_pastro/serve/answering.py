"""Answering inside the pipeline: a trigger on a line in, its ``p_astro.json`` on a line out.

A line is a JSON object as `spiir_pastro.io.trigger_lines` reads it, the path of a candidate's
``coinc.xml``, or ``?`` for the model in use. A line that is none of these is answered by
``{"error": ...}``; nothing ends for it.
"""

import sys
import threading
from collections.abc import Iterator
from io import BufferedIOBase
from typing import BinaryIO

import msgspec

from spiir_pastro.errors import PastroError
from spiir_pastro.io.candidate_file import read_candidate
from spiir_pastro.io.trigger_lines import MAX_LINE_BYTES, parse_trigger_line
from spiir_pastro.serve.model_slot import Model, ModelSlot, Refusal
from spiir_pastro.serve.unexpected_errors import unforeseen

Stream = BinaryIO | BufferedIOBase

_SHOWN_CHARACTERS = 500
"""Of an error: what was asked wrong may be much longer."""


class Answerer:
    """Answers lines; requests of several threads one after the other.

    The model's file is watched, and a new one taken up between two answers.
    """

    def __init__(self, slot: ModelSlot) -> None:
        self._slot = slot
        self._turn = threading.Lock()

    def answer(self, line: bytes, *, may_read_files: bool = True) -> bytes:
        """Answer one line with a line; it may name a file only if ``may_read_files``."""
        with self._turn:
            self._look_for_a_new_model()
            try:
                with unforeseen(PastroError):  # one line must not end what serves the others
                    said = self._said(line.strip(), may_read_files=may_read_files)
            except PastroError as error:
                said = {"error": str(error)[:_SHOWN_CHARACTERS]}
        return msgspec.json.encode(said) + b"\n"

    def _said(self, line: bytes, *, may_read_files: bool) -> dict[str, float] | dict[str, str]:
        model = self._slot.model
        if line == b"?":
            return {"model": model.name, "sha256": model.digest}
        if line.startswith(b"{") or not may_read_files:
            trigger = parse_trigger_line(line)
        else:
            trigger = read_candidate(line.decode())
        return model.assessor.assess(trigger).as_mapping()

    def _look_for_a_new_model(self) -> None:
        """Take up a new model if one passed its trial; say so, or why not, on stderr."""
        before = self._slot.model
        match self._slot.refresh():
            case Model() as model if model != before:
                print(f"spiir-pastro: model {model.name} from now on", file=sys.stderr)  # noqa: T201
            case Refusal() as refusal:
                print(f"spiir-pastro: {before.name} stays: {refusal.reason}", file=sys.stderr)  # noqa: T201


def answer_stream(answerer: Answerer, lines: Stream, answers: Stream) -> None:
    """Answer a stream line by line, each before the next is read, until it ends."""
    for line in _lines(lines):
        answers.write(answerer.answer(line))
        answers.flush()


def _lines(stream: Stream) -> Iterator[bytes]:
    """Yield lines that say something; of one that is too long its beginning, which is refused."""
    while line := stream.readline(MAX_LINE_BYTES + 2):
        rest = line
        while len(rest) == MAX_LINE_BYTES + 2 and not rest.endswith(b"\n"):
            rest = stream.readline(MAX_LINE_BYTES + 2)
        if line.strip():
            yield line
