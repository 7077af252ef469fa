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
from spiir_pastro.serve.config import GraceDBSettings, KafkaSettings, Settings
from spiir_pastro.serve.gracedb import FileUploader, GraceDBUploader, Uploader
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.http import StatusServer
from spiir_pastro.serve.metrics import Metrics
from spiir_pastro.serve.model import Assessor
from spiir_pastro.serve.page import render
from spiir_pastro.serve.searches import Models
from spiir_pastro.serve.service import Service
from spiir_pastro.serve.source import FileSource, KafkaSource, Source
from spiir_pastro.serve.systemd import Systemd

__all__ = ["check", "configure_logs", "listen", "replay"]

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
    # The clients' libraries chat; what matters of theirs comes through the service's own events.
    logging.getLogger().setLevel(logging.CRITICAL)


_AT_ONCE_S = 1e-3  # a folder needs no time to settle

Load = Callable[[Path], Assessor]


def listen(model: Path, config: Path, *, load: Load, dry_run: bool = False) -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = Settings.load(config)
    if dry_run:
        settings = _dry(settings)
    health, metrics = Health(), Metrics()
    source = KafkaSource(settings.kafka, health=health, metrics=metrics)
    models = Models(model, load, searches=settings.models, metrics=metrics, health=health)
    service = _service(settings, models, source, dry_run=dry_run)
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
    """Feed recorded alerts through the service, to a folder or to GraceDB, and end.

    Returns
    -------
    dict
        As :meth:`Service.run` returns it.
    """
    if config is not None:
        settings = Settings.load(config)
    else:
        settings = Settings(
            schema=1,
            spool=str(out),
            kafka=KafkaSettings(consumer_group="replay", topics=["none"]),
            gracedb=GraceDBSettings(settle_s=_AT_ONCE_S),
        )
    models = Models(model, load, searches=settings.models, metrics=Metrics(), health=Health())
    service = _service(settings, models, FileSource(files), dry_run=config is None)
    with _signals(service):
        return service.run()


def check(model: Path, config: Path, *, load: Load) -> Iterator[str]:
    """Try everything the service will need, and tell line by line; stop at the first fault."""
    settings = Settings.load(config)
    yield f"settings   {config}"
    health, metrics = Health(), Metrics()
    models = Models(model, load, searches=settings.models, metrics=metrics, health=health)
    for search, used in models.in_use.items():
        yield f"model      {search} {used.name}"
    source = KafkaSource(settings.kafka, health=health, metrics=metrics)
    missing = source.check()
    if missing:
        raise ConfigError(f"the broker does not offer {', '.join(missing)}; see kafka.topics")
    yield f"alerts     {settings.kafka.host}:{settings.kafka.port} {settings.kafka.group}"
    uploader = _uploader(settings)
    try:
        version = uploader.check()
    except PastroError as exc:
        raise ConfigError(f"{settings.gracedb.api}: {exc}") from exc
    finally:
        uploader.close()
    yield f"GraceDB    {settings.gracedb.api} {version}"


def _dry(settings: Settings) -> Settings:
    """Keep a dry run apart: its own place in the topics, and its own spool."""
    kafka = settings.kafka
    return msgspec.structs.replace(
        settings,
        spool=str(Path(settings.spool) / "dry-run"),
        gracedb=msgspec.structs.replace(settings.gracedb, settle_s=_AT_ONCE_S),
        kafka=msgspec.structs.replace(kafka, consumer_group=f"{kafka.consumer_group}-dry-run"),
    )


def _uploader(settings: Settings) -> GraceDBUploader:
    gracedb = settings.gracedb
    return GraceDBUploader(
        gracedb.api,
        timeout_s=gracedb.timeout_s,
        settle_s=gracedb.settle_s,
        anonymous=gracedb.anonymous,
    )


def _service(settings: Settings, model: Models, source: Source, *, dry_run: bool) -> Service:
    make_uploader: Callable[[], Uploader] = partial(_uploader, settings)
    if dry_run:
        folder = Path(settings.spool) / "uploads"
        make_uploader = partial(FileUploader, folder)
    log.info("uploads.go", to=str(folder) if dry_run else settings.gracedb.api)
    return Service(settings, model=model, source=source, make_uploader=make_uploader)


def _status_server(service: Service) -> closing[StatusServer]:
    settings = service.settings.http
    return closing(
        StatusServer(
            settings.host,
            settings.port,
            health=service.health,
            metrics=service.metrics.exposition,
            page=lambda: render(service.status()),
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
