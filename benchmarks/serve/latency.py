"""The whole alert service on loopback, with its broker and a stand-in of GraceDB: how fast it is.

An event's latency runs from when its alert was read (the spool's ``read_at``) to when GraceDB's
stand-in has the whole request (the journal's ``at``). Both are clocks of this machine.
"""

import argparse
import http.client
import os
import sqlite3
import tempfile
import time
from pathlib import Path

import numpy as np

from rehearsal.sample_alerts import sample_alert
from rehearsal.stage import GROUP, TOPICS, Stage
from rehearsal.stand_in import read_journal
from spiir_pastro.serve.alert_source import LOOK_AGAIN_S


def times(stage: Stage) -> tuple[dict[str, float], dict[str, float]]:
    """When each event was read and when GraceDB had its file."""
    connection = sqlite3.connect(stage.folder / "spool" / "spool.sqlite")
    read_at = dict(connection.execute("SELECT event_id, read_at FROM events").fetchall())
    connection.close()
    return read_at, {e.event_id: e.at for e in read_journal(stage.journal) if e.filename}


def cpu_s(pid: int | None) -> float:
    """Processor seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def latency(stage: Stage, count: int) -> None:
    for number in range(1, count + 1):
        stage.broker.publish(f"{GROUP}.{TOPICS[0]}", [sample_alert(number)])
        time.sleep(0.02)
    stage.wait_for({f"G{n}" for n in range(1, count + 1)}, 30.0)
    read_at, at = times(stage)
    taken_ms = [1e3 * (at[event] - read_at[event]) for event in read_at]
    median, high, most = np.percentile(taken_ms, [50, 99, 100])
    print(f"latency     {count} alerts one by one: median {median:.1f} ms (bar 5), ", end="")
    print(f"99 % {high:.1f} ms (bar 15), most {most:.1f} ms")


def floor(stage: Stage, count: int) -> None:
    """Ask GraceDB's stand-in for next to nothing: what this machine does to any round trip."""
    connection = http.client.HTTPConnection("127.0.0.1", stage.gracedb_port)
    taken_ms = []
    for _ in range(count):
        begun = time.perf_counter()
        connection.request("GET", "/api/events/G1/labels/")
        connection.getresponse().read()
        taken_ms.append(1e3 * (time.perf_counter() - begun))
        time.sleep(0.02)
    median, high, most = np.percentile(taken_ms, [50, 99, 100])
    print(f"            a bare request beside it: median {median:.1f} ms, ", end="")
    print(f"99 % {high:.1f} ms, most {most:.1f} ms")


def throughput(stage: Stage, count: int) -> None:
    first = 100_000
    numbers = range(first, first + count)
    alerts = [sample_alert(number) for number in numbers]
    before_s = cpu_s(stage.service.pid)
    stage.broker.publish(f"{GROUP}.{TOPICS[0]}", alerts)
    verdict = stage.wait_for({f"G{n}" for n in numbers}, 120.0)
    read_at, at = times(stage)
    mine = [f"G{n}" for n in numbers]
    cpu_ms = 1e3 * (cpu_s(stage.service.pid) - before_s) / count
    span_s = max(at[e] for e in mine) - min(read_at[e] for e in mine)
    print(f"throughput  {count} alerts at once: {count / span_s:.0f} a second (bar 300), ", end="")
    print(f"lost {verdict.lost}, doubled {verdict.doubled}")
    print(f"            processor time of the service: {cpu_ms:.2f} ms an alert (bar 1.45)")


def stopping(stage: Stage) -> None:
    begun = time.perf_counter()
    stage.service.terminate()
    stage.service.join()
    print(f"SIGTERM     {time.perf_counter() - begun:.1f} s to the end (bar 5), ", end="")
    print(f"exit code {stage.service.exitcode}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alerts", type=int, default=500)
    parser.add_argument("--burst", type=int, default=3000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        try:
            stage.wait_until_up()
            # In its first seconds it looks on GraceDB before each upload.
            time.sleep(LOOK_AGAIN_S + 1)
            latency(stage, arguments.alerts)
            floor(stage, arguments.alerts)
            throughput(stage, arguments.burst)
            stopping(stage)
        finally:
            stage.close()


if __name__ == "__main__":
    main()
