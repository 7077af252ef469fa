"""Two thousand events while everything is killed at random: none lost, none answered twice.

The service, the broker and GraceDB are killed and started again while alerts come in on two topics,
and GraceDB fails a request now and then in every way it knows.
"""

import argparse
import random
import tempfile
import time
from pathlib import Path

from spiir_pastro.serve.rehearsal.alerts import sample_alerts
from spiir_pastro.serve.rehearsal.gracedb import Faults
from spiir_pastro.serve.rehearsal.stage import Stage, Verdict

FAULTS = Faults(
    error=0.03,
    busy=0.03,
    unavailable=0.02,
    half=0.03,
    unauthorized=0.02,
    missing=0.02,
    login=0.02,
    cut_before=0.03,
    cut_after=0.03,
    stall_before=0.02,
    stall_after=0.02,
    stall_s=0.8,
)


def rehearse_chaos(
    folder: Path, *, events: int, kills: int, seed: int, patience_s: float
) -> Verdict:
    """Publish events while killing things, then wait for the dust to settle.

    Parameters
    ----------
    folder
        An empty folder.
    events, kills
        How many alerts are published, and how many kills fall in between.
    patience_s
        How long to wait at the end.
    """
    dice = random.Random(seed)
    stage = Stage(folder, faults=FAULTS, seed=seed, timeout_s=0.5, settle_s=1.0)
    alerts = list(sample_alerts(events))
    size = -(-events // kills)
    try:
        stage.wait_until_up()  # "latest" begins with the service's first start
        for start in range(0, events, size):
            stage.publish(alerts[start : start + size])
            time.sleep(dice.uniform(0.0, 0.6))
            _kill_one(stage, dice)
        return stage.wait_for({str(alert["uid"]) for alert in alerts}, patience_s)
    finally:
        stage.close()


def _kill_one(stage: Stage, dice: random.Random) -> None:
    """Kill something, leave it dead for a moment, start it again."""
    victim = dice.choice(["service", "service", "gracedb", "broker"])
    pause_s = dice.uniform(0.0, 0.8)
    if victim == "broker":
        stage.broker.kill()
        time.sleep(pause_s)
        stage.broker.start()
    elif victim == "gracedb":
        stage.gracedb.kill()
        stage.gracedb.join()
        time.sleep(pause_s)
        stage.start_gracedb()
    else:
        if dice.random() < 0.8:  # the rest die while starting
            stage.wait_until_up()
        kill = dice.choice([stage.service.kill, stage.service.terminate])
        kill()
        stage.service.join()
        time.sleep(pause_s)
        stage.start_service()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        judged = rehearse_chaos(
            Path(folder),
            events=arguments.events,
            kills=arguments.kills,
            seed=arguments.seed,
            patience_s=180.0,
        )
        log = (Path(folder) / "service.log").read_text()
    print(f"chaos       {judged} after {arguments.kills} kills, ", end="")
    print(
        f"{log.count('service.started')} lives, {log.count('upload.postponed')} failed attempts, "
    )
    print(f"            {time.monotonic() - begun:.0f} s (bar: lost, doubled, unlabelled 0)")


if __name__ == "__main__":
    main()
