"""Documents are read as they were written, or refused in one sentence."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from spiir_pastro.errors import DocumentError
from spiir_pastro.io.documents import (
    Document,
    decode_document,
    encode_document,
    read_document,
    write_document,
)


class _Rates(Document, frozen=True, kw_only=True):
    livetime_s: float
    names: tuple[str, ...]
    rows: dict[str, int]
    schema_version: Literal[2] = 2


_GOOD = _Rates(livetime_s=0.1 + 0.2, names=("é", "b"), rows={"far": 3})


def test_a_document_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "rates.json"
    write_document(path, _GOOD)
    read = read_document(path, _Rates, remedy="fit again")
    assert (read.livetime_s, read.names, read.rows) == (0.1 + 0.2, ("é", "b"), {"far": 3})
    assert json.loads(path.read_text())["schema_version"] == 2
    write_document(path, read)
    assert read_document(path, _Rates, remedy="fit again") == read


def _without(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda content: content.pop(key)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(schema_version=99), "has schema version 99, where 2 is known"),
        (_without("schema_version"), "missing required field `schema_version`"),
        (_without("livetime_s"), "missing required field `livetime_s`"),
        (lambda c: c.update(more=1), "unknown field `more`"),
        (lambda c: c.update(rows={"far": "3"}), r"Expected `int`, got `str` - at `\$.rows"),
        (lambda c: c.update(livetime_s=0.3), "checksum does not fit"),
        (_without("checksum"), "checksum does not fit"),
    ],
)
def test_another_document_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    path = tmp_path / "rates.json"
    content = json.loads(encode_document(_GOOD))
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(DocumentError, match=rf"rates\.json: .*{message}.*; fit again$") as caught:
        read_document(path, _Rates, remedy="fit again")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"7", b"\xff\xfe", b"null"])
def test_what_is_no_document_is_refused(text: bytes) -> None:
    with pytest.raises(DocumentError):
        decode_document(text, _Rates)


def test_a_document_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="is not there; fit again"):
        read_document(tmp_path / "rates.json", _Rates, remedy="fit again")


def test_every_flipped_bit_is_found_or_changes_nothing() -> None:
    good = encode_document(_GOOD)
    meant = decode_document(good, _Rates)
    found = 0
    for bit in range(8 * len(good)):
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            assert decode_document(bytes(flipped), _Rates) == meant
        except DocumentError:
            found += 1
    assert found > 0.7 * 8 * len(good)
    assert np.isfinite(meant.livetime_s)
