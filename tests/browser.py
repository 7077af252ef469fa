"""A headless Chromium that opens a page from disk, and tells what the page says and does.

It is spoken to over two pipes in the DevTools protocol, JSON documents that end in a zero byte.
"""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
_OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe")
# A browser takes its commands from descriptor 3 and answers on descriptor 4.
_START = "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"


class Tab:
    """One page that is open.

    Attributes
    ----------
    complaints
        What stands on the console, and errors nobody caught.
    requests
        Addresses asked for, the page's own apart.
    """

    def __init__(self, asks: int, answers: int) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._asks, self._answers = asks, answers
        self._session: str | None = None
        self._heard = b""
        self._sent = 0
        self._loaded = False

    def open(self, page: Path, *, width: int, height: int, dark: bool) -> None:
        """Open a page and wait until it is drawn."""
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self._ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")
        self.resize(width, height)
        self.prefer("screen", dark=dark)
        self._loaded = False
        self._ask("Page.navigate", url=page.as_uri())
        while not self._loaded:
            self._hear()
        self.settle()

    def resize(self, width: int, height: int = 900) -> None:
        """Give the page another size; below 600 pixels it is a phone's."""
        self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def prefer(self, medium: str, *, dark: bool) -> None:
        """Show the page on a screen or in print, light or dark."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", media=medium, features=[scheme])

    def settle(self) -> None:
        """Wait until what the page still has to draw is drawn."""
        self.run("new Promise((done) => setTimeout(() => requestAnimationFrame(done), 400))")

    def run(self, script: str) -> Any:  # noqa: ANN401 - whatever the script gives
        """Evaluate a script in the page; an error in it is an error here."""
        done = self._ask(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Write what is seen, or the whole page, as PNG."""
        done = self._ask("Page.captureScreenshot", captureBeyondViewport=whole, **self._clip(whole))
        path.write_bytes(base64.b64decode(done["data"]))

    def print(self, path: Path) -> None:
        """Write the page as PDF."""
        self.prefer("", dark=True)
        done = self._ask("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        path.write_bytes(base64.b64decode(done["data"]))

    def _clip(self, whole: bool) -> dict[str, Any]:  # noqa: FBT001
        if not whole:
            return {}
        size = self._ask("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, **_size(size), "scale": 1}}

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401
        self._sent += 1
        document = {"id": self._sent, "method": method, "params": parameters}
        if self._session is not None:
            document["sessionId"] = self._session
        os.write(self._asks, json.dumps(document).encode() + b"\0")
        while (heard := self._hear()).get("id") != self._sent:
            pass
        assert "error" not in heard, heard["error"]
        result: dict[str, Any] = heard["result"]
        return result

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self._heard:
            part = os.read(self._answers, 1 << 20)
            assert part, "the browser has ended"
            self._heard += part
        line, _, self._heard = self._heard.partition(b"\0")
        document: dict[str, Any] = json.loads(line)
        self._note(document.get("method", ""), document.get("params", {}))
        return document

    def _note(self, method: str, said: dict[str, Any]) -> None:
        match method:
            case "Page.loadEventFired":
                self._loaded = True
            case "Runtime.exceptionThrown":
                self.complaints.append(str(said["exceptionDetails"]))
            case "Runtime.consoleAPICalled":
                self.complaints.append(str(said["args"]))
            case "Log.entryAdded":
                self.complaints.append(said["entry"]["text"])
            case "Network.requestWillBeSent":
                address = said["request"]["url"]
                # What is in the address itself is asked for from nobody.
                if said["type"] != "Document" and not address.startswith("data:"):
                    self.requests.append(address)


@contextmanager
def opened(
    page: Path, folder: Path, *, width: int = 1400, height: int = 900, dark: bool = False
) -> Iterator[Tab]:
    """Open a page in a browser whose profile is put into a folder; skip where there is none."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here; install one to test pages")
    ours, theirs = os.pipe(), os.pipe()
    command = [CHROMIUM, *_OPTIONS, f"--user-data-dir={folder / 'profile'}"]

    def hand_over() -> None:
        # First out of the way: a pipe may already have one of the two numbers.
        asks, answers = os.dup(ours[0]), os.dup(theirs[1])
        os.dup2(asks, 3)
        os.dup2(answers, 4)

    with subprocess.Popen(
        command,
        close_fds=False,
        preexec_fn=hand_over,  # noqa: PLW1509
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as browser:
        os.close(ours[0])
        os.close(theirs[1])
        try:
            tab = Tab(ours[1], theirs[0])
            tab.open(page, width=width, height=height, dark=dark)
            yield tab
        finally:
            browser.terminate()
            os.close(ours[1])
            os.close(theirs[0])


def _size(size: dict[str, Any]) -> dict[str, Any]:
    return {"width": size["width"], "height": size["height"]}
