"""Ask "spiir-pastro answer --socket PATH" for probabilities; runs on Python 2.7 and 3."""

import json
import socket
from contextlib import closing


def ask(path, trigger, timeout_s=1.0):
    """Return {"BNS": ..., "NSBH": ..., "BBH": ..., "Terrestrial": ...}, the p_astro.json.

    The trigger is a dict with the names of a trigger CSV's columns, or the path of a coinc.xml.
    Raises ValueError, saying why, if it has no answer, and socket.error if nobody answers in time.
    """
    line = json.dumps(trigger) if isinstance(trigger, dict) else trigger
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as server:
        server.settimeout(timeout_s)
        server.connect(path)
        with closing(server.makefile("wb")) as lines, closing(server.makefile("rb")) as answers:
            lines.write(line.encode("utf-8") + b"\n")
            lines.flush()
            answer = json.loads(answers.readline().decode("utf-8"))
    if "error" in answer:
        raise ValueError(answer["error"])
    return answer
