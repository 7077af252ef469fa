"""When the service first started, which it must know even if its spool is lost.

A small file beside the spool's folder, not in it, and the same number in the spool: either is
enough. With ``first_start = "latest"`` nothing older is ever answered.
"""

import sqlite3
from functools import partial
from pathlib import Path

import msgspec
import structlog

from spiir_pastro.errors import ConfigError
from spiir_pastro.serve.clock import Clock
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.spool import Spool

log = structlog.get_logger(__name__)

_FACT = "first_start"


class _Document(msgspec.Struct, frozen=True, kw_only=True):
    first_start: float
    schema: int = 1


def history_path(folder: Path) -> Path:
    """Return the file that outlives a spool's folder: ``<folder>.history.json``."""
    return folder.with_name(f"{folder.name}.history.json")


def recall_first_start(spool: Spool, *, clock: Clock, health: Health) -> float:
    """Return when a service with this spool's name first started, Unix seconds.

    That is now if neither place knows. It is written to the place that lacks it. ConfigError if it
    can be written nowhere: the next start would take a later moment for the first, and never answer
    what came between.
    """
    path = history_path(spool.folder)
    known = (_read(path), spool.fact(_FACT), clock.wall_s())
    first = next(moment for moment in known if moment is not None)
    if (trouble := _write(spool, path, first)) is not None:
        if spool.fact(_FACT) is None and _read(path) is None:
            raise ConfigError(f"the first start cannot be kept: {trouble}; make room for it")
        # Tried again whenever problems are asked for, until it succeeds.
        health.watch("history", partial(_write, spool, path, first))
    return first


def _write(spool: Spool, path: Path, first: float) -> str | None:
    """Write the moment wherever it is not written; say what keeps it from being so."""
    try:
        if spool.fact(_FACT) != first:
            spool.note(_FACT, first)
        if _read(path) != first:
            spool.file.disk.write(path, msgspec.json.encode(_Document(first_start=first)))
    except (OSError, sqlite3.Error) as error:
        return f"{path} cannot be written, should the spool be lost: {error}"
    return None


def _read(path: Path) -> float | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Document).first_start
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        log.error("history.unreadable", path=str(path), error=str(error))  # noqa: TRY400
        return None
