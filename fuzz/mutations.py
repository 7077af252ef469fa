"""Mutations that know what LIGO_LW documents, gzip files and alerts are made of.

Blind ones seldom get past the first tag or brace; these keep most of a document whole and put
something odd in one place: a cell, a delimiter, white space, a tag, a JSON value.
"""

import gzip
import json
import re
import zlib
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from random import Random

__all__ = ["mutated_alert", "mutated_file"]

Blind = Callable[[bytes], bytes]
"""libFuzzer's own mutation."""

_TOKEN = re.compile(rb'<[^<>]*>|"(?:[^"\\]|\\.)*"|&\w+;|[^\s,<>"&]+|\s+|.', re.DOTALL)
_GZIP = b"\x1f\x8b"

_TYPES = b"real_4 real_8 int_2s int_4s int_8s int_4u int_8u lstring char_s ilwd:char blob".split()

# fmt: off
_ODD = [
    b",", b",,", b"\n", b"\r\n", b"\r", b"\t", b" ", b"\n\n", b"\x00", b"\x0b", b"\x0c", b"\x1f",
    b"\x7f", b'"', b'""', b"'", b"\\", b'\\"', b'"a,b"', b'"a\nb"', b'"\\"', b'" "', b"''",
    b"'a,b'", b'x"y"', b"&lt;", b"&gt;", b"&amp;", b"&quot;", b"&apos;", b"&#10;", b"&#44;",
    b"&#x22;", b"&x;", b"&", b"]]>", b"0", b"-0", b"+1", b"1.", b".5", b"1e5", b"1e400", b"1e-400",
    b"nan", b"-nan", b"inf", b"Infinity", b"0x10", b"1_0", b"007", b"99999999999999999999", b"-129",
    b"65536", b"2147483648", b"1d3", b"1,5", b"16777217.0000000000000001", b"9223372036854775808",
    b"true", b"null", b"NULL", b"None", b'"t:c0:7"', b'"t:c0:-7"', b"t:c0:7", b'"a:b:c"',
    b'"x:y:99999999999999999999"', b'"7"', b'"L1,H1"', b'"H1"', b'"H1H1"', b'"V1, H1"', b'""',
    "é😀".encode(), b"\xff", b"\xc3", b"\xef\xbb\xbf", "\u2028".encode(), "\u00a0".encode(),
    b"\xff\xfe", b"<!-- x -->", b"<![CDATA[", b"<![CDATA[1,2,]]>", b"<?pi x?>",
    b"<!DOCTYPE LIGO_LW>", b"<", b">", b"</", b'<!DOCTYPE LIGO_LW [<!ENTITY e "1,2">]>',
    b'<!DOCTYPE LIGO_LW [<!ATTLIST Stream Delimiter CDATA ";">]>',
    b'<!DOCTYPE LIGO_LW [<!ENTITY e SYSTEM "file:///etc/passwd">]>',
    b"<?xml version='1.0' encoding='utf-16'?>", b"<?xml version='1.0' encoding='latin-1'?>",
    b"<?xml version='1.0' encoding='rot13'?>", b"<?xml version='1.1'?>", b"<LIGO_LW>",
    b"</LIGO_LW>", b'<Table Name="t:table">', b'<Table Name="postcoh:table">', b"</Table>",
    b'<Stream Delimiter="," Type="Local">', b'<Stream Delimiter=";" Type="Local">', b"</Stream>",
    b"<Stream Type='Local'>", b'<Stream Delimiter="" Type="Local">',
    b'<Stream Delimiter=" " Type="Local">', b'<Stream Delimiter="," Type="Remote">',
    b'<Stream Delimiter="," Type="Local"/>',
    b'<Stream Delimiter="," Type="Local" Encoding="base64">',
    b'<Stream Delimiter="e" Type="Local">', b'<Stream Delimiter="&#9;" Type="Local">',
    b'<Stream Delimiter="&lt;" Type="Local">',
    *(b'<Column Name="c%d" Type="%s"/>' % (i, kind) for i, kind in enumerate(_TYPES)),
    b'<Column Name="postcoh:ifos" Type="lstring"/>', b'<Column Name="chisq_H" Type="real_4"/>',
    b'<Array Name="a:array" Type="real_8">', b'<Array Name="a:array" Type="lstring">', b"</Array>",
    b"<Dim>2</Dim>", b"<Dim>0</Dim>", b"<Dim>-1</Dim>", b"<Dim>-2</Dim>",
    b"<Dim>4611686018427387904</Dim>", b"<Dim/>", b'<Param Name="p:param" Type="real_8">3</Param>',
    b'<Param Name="p:param" Type="ilwd:char">a:b:3</Param>',
    b'<Param Name="p" Type="int_4s"><Dim>1</Dim></Param>',
]
_VALUES: list[object] = [
    None, True, False, 0, -0.0, 1, -1, 1.5, 0.5, 10**400, 2**32, 2**31, 2**63, 2**64, 1e-320,
    5e-324, 1e308, 1e6, 1e-6, 1e-300, 1e9, 3e-4, 999999999, 10**9, "", "new", "update", "spiir",
    "SPIIR", "gstlal", "G1", "S1", "../../etc/passwd", "G1\n", "G" + "1" * 15, "H1", "L1", "V1",
    "K1", "H1,L1", "L1H1V1", "H1 L1", "X1", "h1", "H1,H1", "EarlyWarning", "reserved", "AllSky",
    "x" * 65, "\ud800", "\x00", "é", "NaN", [], {}, [[]], [{}],
    [{"ifo": "H1", "eff_distance": 1e-300}], [{"ifo": "K1"}],
    {"ifos": "H1", "end_time": 1, "end_time_ns": 1},
]
_KEYS = [
    "uid", "alert_type", "data", "object", "graceid", "pipeline", "group", "search",
    "processing_status", "far", "extra_attributes", "CoincInspiral", "SingleInspiral", "ifos",
    "end_time", "end_time_ns", "combined_far", "snr", "mchirp", "ifo", "eff_distance", "format",
    "content", "",
]
_RAW = [
    b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"1E5", b"01", b"0x1", b"1.", b".1",
    b"{", b"}", b"[", b"]", b"[" * 3000, b'{"a":' * 1500, b'"', b"\\u0000", b"\\ud800", b"\\", b",",
    b":", b"\xff", b"\xef\xbb\xbf", b"\x00", b"\n", b"null", b'"uid": "G2", ', b'"data": {}, ',
    b"/*x*/", b'{"format": "json", "content": ', b'{"format"', b' {"format":1}',
]
# fmt: on


def mutated_file(content: bytes, dice: Random, blind: Blind) -> bytes:
    """Change a LIGO_LW file: mostly its text, be it inflated or not, else its bytes."""
    if not content.startswith(_GZIP):
        return (
            _mutated_text(content, dice, blind) if dice.random() < 0.97 else _packed(content, dice)
        )
    if dice.random() < 0.5:
        return blind(content)
    with suppress(OSError, EOFError, zlib.error):
        return _packed(_mutated_text(gzip.decompress(content), dice, blind), dice)
    return blind(content)


def _packed(content: bytes, dice: Random) -> bytes:
    """Compress, at times in two members, with padding, or with junk behind."""
    cut = dice.randrange(len(content) + 1) if dice.random() < 0.3 else 0
    members = [part for part in (content[:cut], content[cut:]) if part]
    packed = b"".join(gzip.compress(part, dice.choice((1, 9)), mtime=0) for part in members)
    return packed + dice.choice((b"", b"", b"\0\0\0", _GZIP, b"x"))


def _mutated_text(text: bytes, dice: Random, blind: Blind) -> bytes:
    if dice.random() < 0.15:
        return blind(text)
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        text = dice.choice((_of_tokens, _of_tokens, _of_tokens, _of_lines))(text, dice)
    return text


def _of_tokens(text: bytes, dice: Random) -> bytes:
    tokens = _TOKEN.findall(text) or [b""]
    at, other = dice.randrange(len(tokens)), dice.randrange(len(tokens))
    match dice.randrange(7):
        case 0:
            del tokens[at]
        case 1:
            tokens[at], tokens[other] = tokens[other], tokens[at]
        case 2:
            tokens.insert(at, tokens[other])
        case 3 | 4:
            tokens[at] = dice.choice(_ODD)
        case 5:
            tokens.insert(at, dice.choice(_ODD))
        case _:
            inside = dice.randrange(len(tokens[at]) + 1)
            tokens[at] = tokens[at][:inside] + dice.choice(_ODD) + tokens[at][inside:]
    return b"".join(tokens)


def _of_lines(text: bytes, dice: Random) -> bytes:
    lines = text.split(b"\n")
    at = dice.randrange(len(lines))
    count = dice.choice((1, 1, 2, 50))
    match dice.randrange(5):
        case 0:
            del lines[at : at + count]
        case 1:
            lines[at:at] = [lines[at]] * count
        case 2:
            lines[at:at] = [lines[dice.randrange(len(lines))]]
        case 3:
            lines[at : at + 2] = [b"".join(lines[at : at + 2])]
        case _:
            lines[at] = (
                dice.choice((b" ", b"\t", b"", b"\r"))
                + lines[at]
                + dice.choice((b" ", b"\r", b",", b""))
            )
    return b"\n".join(lines)


def mutated_alert(payload: bytes, dice: Random, blind: Blind) -> bytes:
    """Change a payload: mostly one of its JSON values, else its text or how it is wrapped."""
    chance = dice.random()
    if chance < 0.2:
        return blind(payload)
    if chance < 0.4:
        at = dice.randrange(len(payload) + 1)
        return payload[:at] + dice.choice(_RAW) + payload[at + dice.choice((0, 0, 1, 5)) :]
    try:
        alert = json.loads(payload)
    except (ValueError, RecursionError):
        return blind(payload)
    if isinstance(alert, str):
        return json.dumps(
            mutated_alert(alert.encode("utf-8", "replace"), dice, blind).decode(errors="replace")
        ).encode()
    for _ in range(dice.choice((1, 1, 2))):
        _change_value(alert, dice)
    text = json.dumps(alert)
    if chance > 0.97:
        text = dice.choice((json.dumps(text), json.dumps({"format": "json", "content": alert})))
    return text.encode("utf-8", "surrogatepass")


def _change_value(alert: object, dice: Random) -> None:
    places: list[tuple[dict[str, object] | list[object], str | int]] = []
    _gather(alert, places)
    if not places:
        return
    node, key = dice.choice(places)
    odd = deepcopy(dice.choice(_VALUES))
    if isinstance(node, dict) and dice.random() < 0.3:
        node[dice.choice(_KEYS)] = odd
    elif dice.random() < 0.2:
        del node[key]  # type: ignore[arg-type]
    elif isinstance(value := node[key], int | float) and dice.random() < 0.5:  # type: ignore[index]
        with suppress(OverflowError):
            node[key] = value * 10.0 ** dice.randint(-40, 40)  # type: ignore[index]
    else:
        node[key] = odd  # type: ignore[index]


def _gather(node: object, places: list[tuple[dict[str, object] | list[object], str | int]]) -> None:
    """List every place of a JSON document that holds a value."""
    if isinstance(node, dict):
        for key, value in node.items():
            places.append((node, key))
            _gather(value, places)
    elif isinstance(node, list):
        for i, value in enumerate(node):
            places.append((node, i))
            _gather(value, places)
