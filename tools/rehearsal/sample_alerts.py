"""Sample alerts in the form GraceDB gives SPIIR's: made up, reproducible, every outcome in them."""

import json
import math
import random
from collections.abc import Iterator

__all__ = ["other_alerts", "sample_alert", "sample_alerts"]

Json = dict[str, object]


def sample_alert(number: int, *, search: str = "AllSky") -> Json:
    """Make the ``new`` alert of event ``G<number>``; the number decides everything about it."""
    dice = random.Random(number)  # noqa: S311  (dice, no secret)
    mchirp = math.exp(dice.uniform(math.log(1.0), math.log(40.0)))
    far_hz = 10.0 ** dice.uniform(-16.0, -4.0)
    snr = 7.5 + 0.25 * max(0.0, -math.log10(far_hz))
    distance = 120.0 * mchirp ** (5 / 6) * 8.0 / snr * dice.uniform(0.8, 1.6)
    gps_ns = 1_400_000_000 * 10**9 + number * 61 * 10**9 + dice.randrange(10**9)
    ifos = dice.choice([("H1", "L1"), ("H1", "L1", "V1")])
    event: Json = {
        "submitter": "spiir",
        "created": "2024-05-18 00:00:00 UTC",
        "group": "CBC",
        "graceid": f"G{number}",
        "pipeline": "spiir",
        "gpstime": gps_ns / 1e9,
        "instruments": ",".join(ifos),
        "offline": False,
        "search": search,
        "far": far_hz,
        "labels": [],
        "extra_attributes": {
            "CoincInspiral": {
                "ifos": ",".join(ifos),
                "end_time": gps_ns // 10**9,
                "end_time_ns": gps_ns % 10**9,
                "mchirp": mchirp,
                "mass": mchirp * 2.3,
                "snr": snr,
                "false_alarm_rate": 0.0,
                "combined_far": far_hz,
            },
            "SingleInspiral": [
                {
                    "ifo": ifo,
                    "snr": snr / math.sqrt(len(ifos)),
                    "chisq": dice.uniform(0.7, 1.4),
                    "eff_distance": distance * dice.uniform(1.0, 1.5),
                    "mchirp": mchirp,
                }
                for ifo in ifos
            ],
        },
        "links": {},
    }
    return {"uid": f"G{number}", "alert_type": "new", "data": event, "object": event}


def sample_alerts(count: int, *, first: int = 1) -> Iterator[Json]:
    """Make so many alerts of different events."""
    return (sample_alert(number) for number in range(first, first + count))


def other_alerts() -> list[bytes]:
    """Make payloads that get no answer, one for each reason."""

    def varied(**changes: object) -> bytes:
        alert = sample_alert(9)
        event: Json = dict(alert["data"], **changes)  # type: ignore[call-overload]
        return json.dumps(dict(alert, data=event, object=event)).encode()

    no_far = sample_alert(9)
    no_far["data"]["extra_attributes"]["CoincInspiral"]["combined_far"] = 0.0  # type: ignore[index]
    no_far["data"]["far"] = 0.0  # type: ignore[index]
    return [
        json.dumps(sample_alert(9) | {"alert_type": "label_added"}).encode(),
        varied(pipeline="gstlal"),
        varied(search="EarlyWarning"),
        varied(processing_status="reserved"),
        json.dumps(no_far).encode(),
        varied(extra_attributes={}),
        varied(graceid="../../etc/passwd"),
        b"\x00not json",
    ]
