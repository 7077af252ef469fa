"""IGWN Alert payloads: hostile text in, an :class:`Alert` and its trigger out.

An alert is ``{uid, alert_type, data, object}``. Of a ``new`` alert ``data`` is the event, of the
others ``object`` is. Only the columns this project needs are read; the rest is checked for syntax
and dropped. Numbers are taken exactly as the JSON says.
"""

import json
from typing import Annotated, TypeVar

import msgspec

from spiir_pastro.domain import DETECTORS, Trigger, split_ifos
from spiir_pastro.domain.times import SECOND_NS
from spiir_pastro.errors import AlertError

MAX_PAYLOAD_BYTES = 2**20
"""A SPIIR alert has 12 kB; a broker takes a megabyte unless told otherwise."""

INJECTION = "vtinjection"
"""GraceDB's search, or group, of injections for measuring a search's reach; in lower case."""

ALL_SKY = "allsky"
"""The search of the whole sky, which an event without a search is of; in lower case."""

OFFLINE = "offline"
"""Not a search: what was uploaded after the fact."""

T = TypeVar("T")
_MOST_ENVELOPES = 2  # GraceDB's JSON string, in hop's labelled envelope

Name = Annotated[str, msgspec.Meta(max_length=64)]
GraceID = Annotated[str, msgspec.Meta(pattern=r"\A[A-Z][0-9]{1,15}\Z")]
"""GraceDB's name of an event; it becomes part of URLs and file names, so its form is checked."""

# No merger seen by a ground-based detector lies beyond; 0 is "none", a negative value an error.
Rate = Annotated[float, msgspec.Meta(ge=0, le=1e6)]
Ratio = Annotated[float, msgspec.Meta(ge=0, le=1e6)]
Mass = Annotated[float, msgspec.Meta(ge=0, le=1e6)]
Distance = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Seconds = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
Nanoseconds = Annotated[int, msgspec.Meta(ge=0, lt=SECOND_NS)]


class CoincInspiral(msgspec.Struct, frozen=True, kw_only=True):
    """The network's row: time, detectors, FAR (Hz), SNR, total and chirp mass (solar masses)."""

    ifos: Name
    end_time: Seconds
    end_time_ns: Nanoseconds
    combined_far: Rate | None = None
    snr: Ratio | None = None
    mass: Mass | None = None
    mchirp: Mass | None = None


class SingleInspiral(msgspec.Struct, frozen=True, kw_only=True):
    """A detector's row, of which the effective distance (Mpc) is needed."""

    ifo: Name
    eff_distance: Distance | None = None


class _Attributes(msgspec.Struct, frozen=True, kw_only=True):
    coinc: CoincInspiral = msgspec.field(name="CoincInspiral")
    singles: list[SingleInspiral] = msgspec.field(name="SingleInspiral", default_factory=list)


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What GraceDB says of an event; other pipelines' attributes are left unread."""

    graceid: GraceID | None = None
    pipeline: Name = ""
    group: Name | None = None
    search: Name | None = None
    processing_status: Name | None = None
    far: float | None = None
    offline: object = None
    labels: object = None
    attributes: msgspec.Raw = msgspec.field(name="extra_attributes", default=msgspec.Raw(b"null"))

    @property
    def answered_as(self) -> str:
        """The search whose model answers it, in lower case; injections have one of their own."""
        if self.is_injection:
            return INJECTION
        return OFFLINE if self.offline is True else (self.search or ALL_SKY).lower()

    @property
    def is_injection(self) -> bool:
        """Whether a simulated signal was put into the data, by its search, group or labels."""
        return self.has_label("INJ") or INJECTION in (
            (self.search or "").lower(),
            (self.group or "").lower(),
        )

    def has_label(self, name: str) -> bool:
        """Whether the event had a label when the alert was sent."""
        return isinstance(self.labels, list | dict) and name in self.labels


class _Envelope(msgspec.Struct, frozen=True, kw_only=True):
    uid: Name
    alert_type: Name
    data: msgspec.Raw = msgspec.Raw(b"null")
    object: msgspec.Raw = msgspec.Raw(b"null")


class _Labelled(msgspec.Struct, frozen=True, kw_only=True):
    format: Name
    content: msgspec.Raw


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert, its event read as far as every pipeline shares it."""

    uid: str  # what the alert is about: the event's or superevent's id
    alert_type: str  # ``new``, ``update``, ``label_added``, ``log`` and so on
    event: Event  # the event, whose fields are unset where the alert is about something else

    def trigger(self) -> Trigger:
        """Read the trigger of a SPIIR event.

        ``combined_far`` is preferred to the event's ``far``; a FAR, SNR, chirp mass or effective
        distance that is 0 or missing is unknown. AlertError if the id, the coincidence row or its
        time is missing, or a number is absurd; TriggerError if a detector is unknown, or the
        event's FAR is negative.
        """
        event_id = self.event.graceid
        if event_id is None:
            raise AlertError(f"alert {self.uid!r} names no event: graceid is missing")
        attributes = _decode(self.event.attributes, _Attributes, f"event {event_id}")
        coinc = attributes.coinc
        return Trigger(
            event_id=event_id,
            gps_ns=coinc.end_time * SECOND_NS + coinc.end_time_ns,
            ifos=split_ifos(coinc.ifos),
            far_hz=coinc.combined_far or self.event.far or None,
            snr=coinc.snr or None,
            mchirp_det=coinc.mchirp or None,
            mtotal_det=coinc.mass or None,
            eff_distance_mpc=_distances(event_id, attributes.singles),
        )


def parse_alert(payload: str | bytes | dict[str, object]) -> Alert:
    """Read a payload in any of the forms it arrives in.

    GraceDB publishes a JSON string, that is text within text; older hop clients put an envelope
    ``{format, content}`` around it; recorded alerts are plain objects.

    Raises
    ------
    AlertError
        If the payload is too large or too deep, is not JSON (NaN and infinity are not), or is no
        alert.

    Examples
    --------
    >>> alert = parse_alert('{"uid": "G1", "alert_type": "new", "data": {"graceid": "G1"}}')
    >>> alert.event.graceid
    'G1'
    """
    text = _unwrap(_as_bytes(payload))
    envelope = _decode(text, _Envelope, "alert")
    about = envelope.data if envelope.alert_type == "new" else envelope.object
    if envelope.alert_type == "update" and bytes(about) == b"null":
        about = envelope.data
    what = f"alert {envelope.uid!r}"
    event = Event() if bytes(about) == b"null" else _decode(about, Event, what)
    return Alert(uid=envelope.uid, alert_type=envelope.alert_type, event=event)


def _as_bytes(payload: object) -> bytes:
    """Bring every form to bytes of JSON, so that there is one path to check."""
    if isinstance(payload, dict):
        try:
            # The standard library, because it can refuse NaN where msgspec writes null.
            payload = json.dumps(payload, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as exc:
            raise AlertError(f"alert payload is no JSON object: {exc}") from exc
    if isinstance(payload, str):
        payload = payload.encode("utf-8", "surrogatepass")
    if not isinstance(payload, bytes):
        raise AlertError(f"alert payload is {type(payload).__name__}, not text, bytes or a dict")
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise AlertError(
            f"alert payload has {len(payload)} bytes; {MAX_PAYLOAD_BYTES} is the limit"
        )
    return payload


def _unwrap(text: bytes) -> bytes:
    """Take the alert out of a JSON string and of hop's envelope."""
    for _ in range(_MOST_ENVELOPES):
        # By its first bytes: decoding a whole payload only to see its form would double the cost.
        start = text.lstrip(b" \t\r\n")
        if start.startswith(b'"'):
            text = _decode(text, str, "alert payload").encode("utf-8", "surrogatepass")
        elif start.startswith(b'{"format"'):
            text = bytes(_decode(text, _Labelled, "alert payload").content)
    return text


def _decode(text: bytes | msgspec.Raw, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise AlertError(f"{what} cannot be understood: {exc}") from exc
    except RecursionError as exc:
        raise AlertError(f"{what} is nested too deep") from exc


def _distances(event_id: str, singles: list[SingleInspiral]) -> dict[str, float]:
    """Effective distances in Mpc of the detectors that have one."""
    names = [single.ifo for single in singles]
    if len(set(names)) < len(names) or not set(names) <= set(DETECTORS):
        raise AlertError(
            f"event {event_id}: SingleInspiral names detectors {names}; "
            f"each must be one of {', '.join(DETECTORS)}, once"
        )
    return {single.ifo: single.eff_distance for single in singles if single.eff_distance}
