"""Putting a service together: from files named on the command line to a running loop."""

import logging
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TextIO

import msgspec
import structlog

from spiir_pastro.errors import ConfigError, PastroError
from spiir_pastro.serve.adjusting import Adjusted
from spiir_pastro.serve.alert_source import FileSource, KafkaSource, Source
from spiir_pastro.serve.clock import Clock, SystemClock
from spiir_pastro.serve.consumer import KafkaConsumer, broker_settings, require_topics
from spiir_pastro.serve.dispatch import Duty
from spiir_pastro.serve.gracedb_client import GraceDBClient
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.history import recall_first_start
from spiir_pastro.serve.http import StatusServer
from spiir_pastro.serve.metrics import Metrics
from spiir_pastro.serve.model_slot import Assessor
from spiir_pastro.serve.running_counts import CountedFile, counted_path
from spiir_pastro.serve.searches import Models
from spiir_pastro.serve.sensitivity_file import SensitivityFile
from spiir_pastro.serve.service import Service
from spiir_pastro.serve.settings import GraceDBSettings, KafkaSettings, Settings
from spiir_pastro.serve.spool import Spool
from spiir_pastro.serve.spool_file import SpoolInUse
from spiir_pastro.serve.standby import KafkaMembership, Standby, session_s
from spiir_pastro.serve.status_page import render
from spiir_pastro.serve.sweeps import BackfillPlan, request_backfill
from spiir_pastro.serve.systemd import Systemd
from spiir_pastro.serve.upload import FileUploader, GraceDBUploader, Uploader

log = structlog.get_logger(__name__)


def configure_logs(stream: TextIO = sys.stderr) -> None:
    """One JSON object a line; coloured lines on a terminal."""
    terminal = stream.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *(() if terminal else (structlog.processors.format_exc_info,)),
            structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    # The clients' libraries log a lot; what matters of it is among the service's own events.
    logging.getLogger().setLevel(logging.CRITICAL)


_AT_ONCE_S = 1e-3  # a folder needs no time to settle

Load = Callable[[Path], Assessor]


def listen(model: Path, config: Path, *, load: Load, dry_run: bool = False) -> None:
    """Serve until SIGTERM or SIGINT.

    SpoolDamaged if the spool is damaged or taken away while in use; the next start salvages it.
    """
    settings = Settings.load(config)
    if dry_run:
        settings = _dry(settings)
    health, metrics = Health(), Metrics()
    models = _models(settings, model, load, health, metrics, kept=Path(settings.spool) / "models")
    connect = partial(KafkaConsumer, broker_settings(settings.kafka))
    clock = SystemClock()
    spool = Spool(Path(settings.spool), clock=clock)
    first_start = recall_first_start(spool, clock=clock, health=health)
    since = first_start if settings.kafka.first_start == "latest" else None
    source = KafkaSource(
        settings.kafka,
        connect,
        places=spool,
        since=since,
        health=health,
        metrics=metrics,
        shares_group=settings.standby is not None,
    )
    standby = None if dry_run else _standby(settings, clock, health, metrics)
    service = _service(settings, spool, models, source, dry_run=dry_run, duty=standby)
    if standby is not None:
        service.stand_by(standby)
    if not dry_run:
        service.search_gracedb(_gracedb(settings), _plan(settings, since))
    systemd = Systemd(health.problems)
    health.on_beat = systemd.alive
    with _status_server(service), _signals(service):
        service.run()
        systemd.stopping()


def replay(
    files: Sequence[Path],
    model: Path,
    *,
    load: Load,
    out: Path | None = None,
    config: Path | None = None,
) -> dict[str, int]:
    """Feed recorded alerts through the service, to a folder or to GraceDB; return its counts."""
    if config is not None:
        settings = Settings.load(config)
    else:
        settings = Settings(
            schema=1,
            spool=str(out),
            kafka=KafkaSettings(consumer_group="replay", topics=["none"]),
            gracedb=GraceDBSettings(settle_s=_AT_ONCE_S),
        )
    models = _models(settings, model, load, Health(), Metrics())
    spool = Spool(Path(settings.spool))
    service = _service(settings, spool, models, FileSource(files), dry_run=config is None)
    with _signals(service):
        return service.run()


def backfill(since: float, model: Path, config: Path, *, load: Load) -> dict[str, int] | None:
    """Answer the events since a Unix time that lack our file; return the service's counts.

    None if a running service was asked to do it. PastroError if GraceDB does not answer as it
    should; what was found until then is in the spool.
    """
    settings = Settings.load(config)
    try:
        spool = Spool(Path(settings.spool))
    except SpoolInUse:
        request_backfill(Path(settings.spool), since)
        return None
    models = _models(settings, model, load, Health(), Metrics())
    service = _service(settings, spool, models, FileSource(()), dry_run=False)
    gracedb = _gracedb(settings)
    service.backfiller(gracedb, _plan(settings, None)).sweep(since)
    gracedb.close()
    with _signals(service):
        return service.run()


def check(model: Path, config: Path, *, load: Load) -> Iterator[str]:
    """Try everything the service will need, report line by line, and stop at the first fault."""
    settings = Settings.load(config)
    yield f"settings   {config}"
    health, metrics = Health(), Metrics()
    models = _models(settings, model, load, health, metrics)
    for search, used in models.in_use.items():
        yield f"model      {search} {used.name}"
    require_topics(settings.kafka)
    yield f"alerts     {settings.kafka.host}:{settings.kafka.port} {settings.kafka.group}"
    uploader = GraceDBUploader(_gracedb(settings))
    try:
        version = uploader.check()
    except PastroError as exc:
        raise ConfigError(f"{settings.gracedb.api}: {exc}") from exc
    finally:
        uploader.close()
    yield f"GraceDB    {settings.gracedb.api} {version}"


def _models(
    settings: Settings,
    model: Path,
    load: Load,
    health: Health,
    metrics: Metrics,
    *,
    kept: Path | None = None,
) -> Models:
    """Load every model that the settings need."""
    file = settings.sensitivity.file
    spool = Path(settings.spool)
    adjusted = Adjusted(
        counted=CountedFile(counted_path(spool)) if settings.counts.update_hours else None,
        sensitivity=None
        if file is None
        else SensitivityFile(Path(file), kept=spool / "models" / "sensitivity.json"),
        health=health,
    )
    return Models(
        model,
        load,
        searches=settings.models,
        kept=kept,
        describes=settings.gracedb.properties,
        adjusted=adjusted,
        metrics=metrics,
        health=health,
    )


def _standby(settings: Settings, clock: Clock, health: Health, metrics: Metrics) -> Standby | None:
    """Join the group that elects the host on duty, if there is another host."""
    if settings.standby is None:
        return None
    settle_s = settings.gracedb.settle_s
    session = session_s(settings.standby.takeover_s, settle_s)
    membership = KafkaMembership(
        broker_settings(settings.kafka),
        f"{settings.kafka.group}.{settings.kafka.topics[0]}",
        session_s=session,
    )
    standby = Standby(
        membership,
        session_s=session,
        settle_s=settle_s,
        clock=clock,
        health=health,
        metrics=metrics,
    )
    membership.on_lost = standby.give_up
    return standby


def _plan(settings: Settings, since: float | None) -> BackfillPlan:
    minutes = settings.backfill_minutes
    return BackfillPlan(
        every_s=60.0 * minutes if minutes else None,
        since=since,
        topics=tuple(settings.kafka.topics),
        properties=settings.gracedb.properties,
    )


def _dry(settings: Settings) -> Settings:
    """Keep a dry run apart: its own place in the topics, and its own spool."""
    kafka = settings.kafka
    return msgspec.structs.replace(
        settings,
        spool=str(Path(settings.spool) / "dry-run"),
        gracedb=msgspec.structs.replace(settings.gracedb, settle_s=_AT_ONCE_S),
        kafka=msgspec.structs.replace(kafka, consumer_group=f"{kafka.consumer_group}-dry-run"),
    )


def _gracedb(settings: Settings) -> GraceDBClient:
    gracedb = settings.gracedb
    return GraceDBClient(
        gracedb.api,
        timeout_s=gracedb.timeout_s,
        settle_s=gracedb.settle_s,
        anonymous=gracedb.anonymous,
        credentials=gracedb.credentials,
    )


def _service(
    settings: Settings,
    spool: Spool,
    model: Models,
    source: Source,
    *,
    dry_run: bool,
    duty: Duty | None = None,
) -> Service:
    folder = spool.folder / "uploads"

    def make_uploader() -> Uploader:
        return FileUploader(folder) if dry_run else GraceDBUploader(_gracedb(settings))

    log.info("uploads.go", to=str(folder) if dry_run else settings.gracedb.api)
    return Service(
        settings,
        spool=spool,
        model=model,
        source=source,
        make_uploader=make_uploader,
        duty=duty,
    )


def _status_server(service: Service) -> closing[StatusServer]:
    settings = service.settings.http
    return closing(
        StatusServer(
            settings.host,
            settings.port,
            health=service.health,
            metrics=service.metrics.exposition,
            page=lambda asked: render(service.status(model=asked.get("model", ""))),
        )
    )


@contextmanager
def _signals(service: Service) -> Iterator[None]:
    """SIGTERM and SIGINT end the loop; SIGHUP reads the model again."""
    actions = {
        signal.SIGTERM: service.stop,
        signal.SIGINT: service.stop,
        signal.SIGHUP: service.reload,
    }
    before = {
        number: signal.signal(number, lambda *_, act=act: act()) for number, act in actions.items()
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
