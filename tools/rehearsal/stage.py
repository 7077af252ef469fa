"""The service, the broker and GraceDB as processes of their own, and who judges what came of it.

Each can be killed and started again while alerts come in on two topics.
"""

import multiprocessing
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

from rehearsal.broker import Broker, free_port, is_open
from rehearsal.sample_model import RehearsalModel
from rehearsal.stand_in import (
    LABELS,
    Faults,
    LogEntry,
    StandInGraceDB,
    announce,
    read_journal,
)
from spiir_pastro.serve import startup

__all__ = ["GROUP", "TOPICS", "Stage", "Verdict", "verdict"]

GROUP = "gracedb-playground"
TOPICS = ("cbc_spiir", "cbc_spiir_allsky")
_SETTINGS = """
schema = 1
spool = "{folder}/spool"
backfill_minutes = {backfill_minutes}
[kafka]
host = "127.0.0.1"
port = {kafka_port}
group = "{group}"
topics = {topics}
consumer_group = "rehearsal"
first_start = "latest"
anonymous = true
[gracedb]
url = "http://127.0.0.1:{gracedb_port}/api/"
anonymous = true
timeout_s = {timeout_s}
settle_s = {settle_s}
retry_base_s = {retry_base_s}
retry_limit_s = 2.0
[http]
port = {http_port}
"""


class Stage:
    """Broker, GraceDB and service as processes that can be killed one by one.

    Parameters
    ----------
    folder
        Where all of them keep what they must not lose.
    faults
        What GraceDB does wrong.
    """

    def __init__(
        self,
        folder: Path,
        *,
        faults: Faults | None = None,
        seed: int = 0,
        timeout_s: float = 5.0,
        settle_s: float = 0.5,
        retry_base_s: float = 0.1,
        backfill_minutes: float = 60.0,
    ) -> None:
        self.folder = folder
        self.faults = faults or Faults()
        self.seed = seed
        self.model, self.config = folder / "model.json", folder / "listen.toml"
        self.journal = folder / "gracedb.jsonl"
        self.gracedb_port, self.http_port = free_port(), free_port()
        self.broker = Broker(folder / "broker")
        self.broker.make_topics(f"{GROUP}.{topic}" for topic in TOPICS)
        RehearsalModel().save(self.model)
        self.config.write_text(
            _SETTINGS.format(
                folder=folder,
                group=GROUP,
                topics=list(TOPICS),
                kafka_port=self.broker.port,
                gracedb_port=self.gracedb_port,
                http_port=self.http_port,
                timeout_s=timeout_s,
                settle_s=settle_s,
                retry_base_s=retry_base_s,
                backfill_minutes=backfill_minutes,
            )
        )
        self._context = multiprocessing.get_context("spawn")
        self.gracedb = self.start_gracedb()
        self.service = self.start_service()

    @property
    def status_url(self) -> str:
        """Where the service shows its status."""
        return f"http://127.0.0.1:{self.http_port}"

    def start_gracedb(self) -> BaseProcess:
        """Start GraceDB; its dice fall differently each time."""
        self.seed += 1
        arguments = (self.journal, self.gracedb_port, self.faults, self.seed)
        self.gracedb = self.start(_serve_gracedb, *arguments)
        return self.gracedb

    def start_service(self) -> BaseProcess:
        """Start the service."""
        self.service = self.start(_serve_alerts, self.model, self.config)
        return self.service

    def publish(self, alerts: list[dict[str, object]]) -> None:
        """Create events and publish their alerts to both topics, as GraceDB does."""
        announce(self.journal, [alert["data"] for alert in alerts])  # type: ignore[misc]
        for topic in TOPICS:
            self.broker.publish(f"{GROUP}.{topic}", alerts)

    def start(
        self, target: Callable[..., None], *arguments: object, **options: object
    ) -> BaseProcess:
        """Start a process that ends with this one."""
        process = self._context.Process(target=target, args=arguments, kwargs=options, daemon=True)
        process.start()
        return process

    def wait_until_up(self, timeout_s: float = 90.0) -> None:
        """Wait until GraceDB and the service listen, the latter on its status port."""
        deadline = time.monotonic() + timeout_s
        ports = {self.gracedb_port, self.http_port}
        while ports and time.monotonic() < deadline:
            ports = {port for port in ports if not is_open(port)}
            time.sleep(0.02)

    def wait_for(self, events: set[str], timeout_s: float) -> "Verdict":
        """Wait until every event has its file and its label, and judge."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            judged = verdict(read_journal(self.journal), events)
            if not (judged.lost or judged.unlabelled):
                return judged
            time.sleep(0.1)
        return verdict(read_journal(self.journal), events)

    def close(self) -> None:
        """End all three."""
        for process in (self.service, self.gracedb):
            process.kill()
            process.join()
        self.broker.kill()


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What became of the events: all counts but the first should be 0.

    Attributes
    ----------
    events
        How many there were.
    lost, doubled, unlabelled
        How many have no file, more than one, no label.
    strange
        Files of events nobody announced.
    """

    events: int
    lost: int
    doubled: int
    unlabelled: int
    strange: int

    @property
    def is_clean(self) -> bool:
        """Whether every event was answered exactly once."""
        return not (self.lost or self.doubled or self.unlabelled or self.strange)


def verdict(journal: list[LogEntry], events: set[str]) -> Verdict:
    """Judge what GraceDB was told."""
    files = Counter(entry.event_id for entry in journal if entry.filename)
    labelled = {entry.event_id for entry in journal if entry.label == LABELS[0]}
    return Verdict(
        events=len(events),
        lost=len(events - set(files)),
        doubled=sum(count > 1 for count in files.values()),
        unlabelled=len(events - labelled),
        strange=len(set(files) - events),
    )


def _serve_gracedb(journal: Path, port: int, faults: Faults, seed: int) -> None:
    """Be GraceDB until killed."""
    StandInGraceDB(journal, port=port, faults=faults, seed=seed)
    signal.pause()


def _serve_alerts(model: Path, config: Path) -> None:
    """Be the service until killed, with its log in a file."""
    with (config.parent / "service.log").open("a") as file:
        startup.configure_logs(file)
        startup.listen(model, config, load=RehearsalModel.load)
