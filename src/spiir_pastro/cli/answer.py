"""``spiir-pastro answer``."""

import signal
import sys
import threading
from contextlib import ExitStack, closing
from pathlib import Path

import click

from spiir_pastro.cli.options import NEW_FILE, model_option
from spiir_pastro.io.artifact import load_model
from spiir_pastro.serve.answering import Answerer, answer_stream
from spiir_pastro.serve.model_slot import ModelSlot


@click.command("answer")
@model_option
@click.option(
    "--socket",
    type=NEW_FILE,
    help="Answer on this Unix socket, for its owner and group, until SIGTERM.",
)
@click.option(
    "--http",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Answer what is posted to this port of 127.0.0.1, until SIGTERM; 0 takes a free one.",
)
def command(*, model: Path, socket: Path | None, http: int | None) -> None:
    """Answer triggers inside the pipeline: a line in, a line of p_astro.json out.

    A line is a JSON object with the names of a trigger CSV's columns, the path of a coinc.xml, or ?
    for the model in use; a bad line gets {"error": ...}. Answers stdin on stdout, unless a socket
    or a port is given. Says "ready" on stderr as soon as it is. A new model file in the old one's
    place is taken up while running.
    """
    answerer = Answerer(ModelSlot(model, load_model))
    if socket is None and http is None:
        click.echo("ready: stdin", err=True)
        answer_stream(answerer, sys.stdin.buffer, sys.stdout.buffer)
        return
    from spiir_pastro.serve.sockets import HTTPAnswers, SocketAnswers  # noqa: PLC0415  (slow to load)

    with ExitStack() as serving:
        where = []
        if socket is not None:
            serving.enter_context(closing(SocketAnswers(answerer, socket)))
            where.append(str(socket))
        if http is not None:
            server = serving.enter_context(closing(HTTPAnswers(answerer, http)))
            where.append(server.url)
        click.echo(f"ready: {' and '.join(where)}", err=True)
        _wait_for_a_signal()


def _wait_for_a_signal() -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
