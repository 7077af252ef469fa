"""Memory while a day of alerts at a hundred times the real rate goes through the whole service.

In O3 SPIIR uploaded about 15 events a day, each followed by about nine alerts of labels and logs:
a hundred times that is 1500 events and 13 500 others. They are published as fast as the service
takes them; its resident memory is read from /proc after every tenth.
"""

import tempfile
import time
from pathlib import Path

from rehearsal.sample_alerts import sample_alert
from rehearsal.stage import GROUP, TOPICS, Stage

EVENTS, OTHERS_EACH, STEPS = 1500, 9, 10


def resident_mib(pid: int | None) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        try:
            stage.wait_until_up()
            time.sleep(7.0)
            print(f"  start    {resident_mib(stage.service.pid):6.1f} MiB")
            first, sizes = 1, []
            for step in range(STEPS):
                numbers = range(first, first + EVENTS // STEPS)
                first = numbers.stop
                for number in numbers:
                    alert = sample_alert(number)
                    log = alert | {"alert_type": "log", "data": {"N": 1, "comment": "x" * 200}}
                    stage.broker.publish(f"{GROUP}.{TOPICS[0]}", [alert, *[log] * OTHERS_EACH])
                verdict = stage.wait_for({f"G{n}" for n in range(1, first)}, 60.0)
                assert verdict.is_clean, verdict
                time.sleep(1.0)
                sizes.append(resident_mib(stage.service.pid))
                print(f"  {10 * (step + 1):3} %    {sizes[-1]:6.1f} MiB")
            growth = sizes[-1] - sizes[1]
            print(f"memory      {EVENTS} events, {EVENTS * OTHERS_EACH} other alerts: ", end="")
            print(f"{growth:+.1f} MiB from the second tenth to the last (bar: flat)")
        finally:
            stage.close()


if __name__ == "__main__":
    main()
