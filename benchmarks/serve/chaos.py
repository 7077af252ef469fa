"""Three thousand events while everything is killed: none lost, none answered twice.

The service, the broker and GraceDB are killed and started again while alerts come in on two topics,
and GraceDB fails a request now and then in every way it knows. Some lives of the service end at a
seam, just before or after something leaves the process; twice its spool is deleted.
"""

import argparse
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

from rehearsal.sample_alerts import sample_alerts
from rehearsal.stage import Stage, Verdict, _serve_alerts
from rehearsal.stand_in import Faults
from spiir_pastro.serve.alert_source import KafkaSource
from spiir_pastro.serve.gracedb_client import GraceDBClient
from spiir_pastro.serve.spool import Spool

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
SEAMS = (
    (Spool, "accept"),
    (Spool, "done"),
    (GraceDBClient, "write_log"),
    (GraceDBClient, "logs"),
    (GraceDBClient, "events"),
    (KafkaSource, "done"),
)
"""Calls before and after which a life may end."""


class ChaosStage(Stage):
    """A stage of which the service may end by itself; counts how often anything was killed."""

    at_seams = 0
    by_us = 0

    def start_service(self) -> BaseProcess:
        """Start the service, every other time for a life that ends at a seam."""
        self.seed += 1
        self.service = self.start(_serve_until_a_seam, self.model, self.config, self.seed)
        return self.service

    def revive(self) -> None:
        """Start the service again if it ended at a seam."""
        if not self.service.is_alive():
            self.at_seams += 1
            self.start_service()


def rehearse_chaos(
    folder: Path, *, events: int, kills: int, seed: int, patience_s: float
) -> tuple[Verdict, ChaosStage]:
    """Publish events while killing things, then wait for the dust to settle.

    Parameters
    ----------
    folder
        An empty folder.
    events, kills
        How many alerts are published, and how many kills fall in between, beside those at seams.
    patience_s
        How long to wait at the end.
    """
    dice = random.Random(seed)
    stage = ChaosStage(folder, faults=FAULTS, seed=seed, timeout_s=0.5, settle_s=1.5)
    alerts = list(sample_alerts(events))
    size = -(-events // kills)
    starts = range(0, events, size)
    deletions = {starts[len(starts) // 3], starts[2 * len(starts) // 3]}
    try:
        stage.wait_until_up()  # "latest" begins with the service's first start
        for start in starts:
            stage.publish(alerts[start : start + size])
            time.sleep(0.3 * dice.random())
            stage.revive()
            if start in deletions:
                _delete_spool(stage)
            _kill_one(stage, dice)
        return _wait_for(stage, {str(alert["uid"]) for alert in alerts}, patience_s), stage
    finally:
        stage.close()


def _wait_for(stage: ChaosStage, events: set[str], patience_s: float) -> Verdict:
    deadline = time.monotonic() + patience_s
    while True:
        judged = stage.wait_for(events, 1.0)
        if time.monotonic() > deadline or not (judged.lost or judged.unlabelled):
            return judged
        stage.revive()


def _delete_spool(stage: ChaosStage) -> None:
    stage.service.kill()
    stage.service.join()
    stage.by_us += 1
    shutil.rmtree(stage.folder / "spool")
    stage.start_service()


def _kill_one(stage: ChaosStage, dice: random.Random) -> None:
    """Kill something, leave it dead for a moment, start it again."""
    victim = dice.choice(["service", "service", "gracedb", "broker"])
    pause_s = dice.uniform(0.0, 0.8)
    stage.by_us += 1
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
            stage.wait_until_up(10.0)
            time.sleep(dice.choice([0.5, 6.0]) * dice.random())
        kill = dice.choice([stage.service.kill, stage.service.terminate])
        kill()
        stage.service.join()
        time.sleep(pause_s)
        stage.start_service()


def _serve_until_a_seam(model: Path, config: Path, seed: int) -> None:
    """Be the service until killed, every other time by itself."""
    dice = random.Random(seed)
    if dice.random() < 0.5:
        _die_at_a_seam(dice.randint(1, 20))
    _serve_alerts(model, config)


def _die_at_a_seam(number: int) -> None:
    """Have this process killed when it passes its so manieth seam."""
    left = [number]

    def passing() -> None:
        left[0] -= 1
        if left[0] <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def between(call: Callable[..., object]) -> Callable[..., object]:
        def called(*given: object, **named: object) -> object:
            passing()
            result = call(*given, **named)
            passing()
            return result

        return called

    for owner, name in SEAMS:
        setattr(owner, name, between(getattr(owner, name)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=3000)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        judged, stage = rehearse_chaos(
            Path(folder),
            events=arguments.events,
            kills=arguments.kills,
            seed=arguments.seed,
            patience_s=300.0,
        )
        log = (Path(folder) / "service.log").read_text()
    print(f"chaos       {judged}")
    print(f"            {stage.by_us} kills at random and {stage.at_seams} at seams, ", end="")
    print(f"{log.count('service.started')} lives, {log.count('upload.postponed')} failed attempts,")
    print(f"            {log.count('backfill.found')} events found by searching GraceDB, ", end="")
    print(f"{time.monotonic() - begun:.0f} s (bar: lost, doubled, unlabelled 0)")


if __name__ == "__main__":
    main()
