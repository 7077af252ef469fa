"""A relay to a broker that answers at once when there is nothing to fetch: it waits, as Kafka does.

A client asks again as soon as it is answered, so without the wait the two would spend a processor
on telling each other that nothing came. Only the frames of Kafka's protocol are read (documented at
kafka.apache.org/protocol). As in Kafka, what comes on a connection is answered in order.
"""

import asyncio
import contextlib
import os
import sys
import threading
import time
from asyncio import IncompleteReadError, StreamReader, StreamWriter

__all__ = ["Relay", "address"]

FETCH = 1
WAIT_S = 0.5  # a client's default, fetch.wait.max.ms
LOOK_S = 0.005
LIMIT_BYTES = 104_857_600  # a broker's default; who begins to speak TLS is beyond it
HOST = "127.0.0.1"


class Relay:
    """Listens on one port for a broker on another."""

    def __init__(self, port: int, broker_port: int) -> None:
        self._port, self._broker_port = port, broker_port
        self._theirs, self._ours = address(broker_port), address(port)

    async def serve(self) -> None:
        """Take connections for ever."""
        server = await asyncio.start_server(self._take, HOST, self._port)
        await server.serve_forever()

    async def _take(self, client_in: StreamReader, client_out: StreamWriter) -> None:
        with contextlib.suppress(OSError, IncompleteReadError), contextlib.closing(client_out):
            broker_in, broker_out = await asyncio.open_connection(HOST, self._broker_port)
            with contextlib.closing(broker_out):
                said: dict[bytes, bytes] = {}
                while True:
                    request = await _frame(client_in)
                    answer = await _ask(request, broker_in, broker_out)
                    if int.from_bytes(request[:2]) == FETCH:
                        until = time.monotonic() + WAIT_S
                        question = request[8:]  # the number of the request goes before
                        # The same answer as before: nothing new.
                        while said.get(question) == answer[4:] and time.monotonic() < until:
                            await asyncio.sleep(LOOK_S)
                            answer = await _ask(request, broker_in, broker_out)
                        if question in said and said[question] != answer[4:]:
                            said.clear()
                        said[question] = answer[4:]
                    # Where to find the broker: here.
                    _send(client_out, answer.replace(self._theirs, self._ours))


async def _ask(request: bytes, broker_in: StreamReader, broker_out: StreamWriter) -> bytes:
    _send(broker_out, request)
    return await _frame(broker_in)


async def _frame(reader: StreamReader) -> bytes:
    size = int.from_bytes(await reader.readexactly(4))
    if size > LIMIT_BYTES:
        raise ConnectionError("no frame of Kafka's protocol")
    return await reader.readexactly(size)


def _send(writer: StreamWriter, frame: bytes) -> None:
    writer.write(len(frame).to_bytes(4) + frame)


def address(port: int) -> bytes:
    """Say where a broker is, as answers of Kafka's protocol do."""
    return HOST.encode() + port.to_bytes(4)


def _end_with_the_caller() -> None:
    """End when the other end of our standard input is closed, as it is when its process ends."""
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_caller, daemon=True).start()
    asyncio.run(Relay(*map(int, sys.argv[1:])).serve())
