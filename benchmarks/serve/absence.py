"""GraceDB is gone for a hundred seconds while alerts come: how soon all is delivered on its return.

The service, the broker and a stand-in for GraceDB are processes of their own, on loopback; the
settings are those that ship.
"""

import argparse
import json
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from rehearsal.sample_alerts import sample_alerts
from rehearsal.stage import Stage
from rehearsal.stand_in import read_journal


def problems(stage: Stage) -> dict[str, str]:
    try:
        with urllib.request.urlopen(f"{stage.status_url}/healthz", timeout=60) as answer:  # noqa: S310
            found = json.load(answer)
    except urllib.error.HTTPError as error:
        found = json.load(error)
    return dict(found["problems"])


def seconds_until(stage: Stage, *, is_well: bool, begun: float) -> float:
    while (problems(stage) == {}) != is_well:
        time.sleep(0.1)
    return time.monotonic() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=100.0)
    parser.add_argument("--alerts", type=int, default=40)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder), timeout_s=10.0, settle_s=20.0, retry_base_s=1.0)
        try:
            stage.wait_until_up()
            seconds_until(stage, is_well=True, begun=0.0)
            time.sleep(21.0)  # at first it waits for GraceDB to settle
            stage.gracedb.kill()
            stage.gracedb.join()
            gone_at = time.monotonic()
            alerts = list(sample_alerts(arguments.alerts))
            stage.publish(alerts[:1])
            told_s = seconds_until(stage, is_well=False, begun=gone_at)
            for alert in alerts[1:]:
                time.sleep(arguments.seconds / arguments.alerts)
                stage.publish([alert])
            time.sleep(max(0.0, gone_at + arguments.seconds - time.monotonic()))
            stage.start_gracedb()
            back_at = time.time()
            judged = stage.wait_for({str(alert["uid"]) for alert in alerts}, 300.0)
            last_s = max(e.at for e in read_journal(stage.journal)) - back_at
            well_s = seconds_until(stage, is_well=True, begun=time.monotonic()) + last_s
        finally:
            stage.close()
    print(f"absence     {arguments.seconds:.0f} s, {judged}; told after {told_s:.1f} s (bar 5);")
    print(f"            the last event {last_s:.1f} s after the return (bar 10), ", end="")
    print(f"health well after {well_s:.1f} s (bar 30)")


if __name__ == "__main__":
    main()
