"""A headless Chromium that opens a page from disk and says what it found."""

import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
DRIVEN = "<pre id='driven'></pre><script>{script}</script>"


def drive(page: Path, script: str, folder: Path) -> tuple[str, list[str]]:
    """Run a script in a page after its own; return what it says and what the console complains of.

    The script calls say(text). The page's policy forbids every request, and a request tried is an
    error on the console.
    """
    if CHROMIUM is None:
        pytest.skip("no Chromium here; install one to test pages")
    said = (
        "const say = (text) => { document.getElementById('driven').textContent += text + '\\n' };"
    )
    driven = folder / "driven.html"
    driven.write_text(
        page.read_text().replace("</body>", DRIVEN.format(script=said + script) + "</body>")
    )
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0",
        f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=3000", "--dump-dom",
        driven.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r"<pre id=\"driven\">(.*?)</pre>", done.stdout, re.DOTALL)
    assert found is not None
    return unescape(found[1]), [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
