"""Shell completion, tried in the shells themselves, as docs/how-to/scripts.md sets it up."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spiir_pastro.cli import COMMANDS

ASK = {
    "bash": "COMP_WORDS=({words}); COMP_CWORD={n}; _spiir_pastro_completion spiir-pastro; "
    'printf "%s\\n" "${{COMPREPLY[@]}}"',
    "zsh": "words=({words}); CURRENT=$(({n} + 1)); _spiir_pastro_completion",
    "fish": "complete -C '{line}'",
}
# What an interactive shell has, and a script has not.
PREPARE = {
    "bash": "",
    "zsh": "compdef() {}; compadd() { print -l -- $completions }; "
    "_describe() { print -l -- $completions_with_descriptions }; ",
    "fish": "",
}
SOURCE = {
    "bash": 'eval "$(_SPIIR_PASTRO_COMPLETE=bash_source spiir-pastro)"',
    "zsh": 'eval "$(_SPIIR_PASTRO_COMPLETE=zsh_source spiir-pastro)"',
    "fish": "_SPIIR_PASTRO_COMPLETE=fish_source spiir-pastro | source",
}


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH on which ``spiir-pastro`` is this checkout's."""
    script = tmp_path / "spiir-pastro"
    script.write_text(
        f"#!{sys.executable}\nimport sys\nsys.argv[0] = 'spiir-pastro'\n"
        "from spiir_pastro.cli import main\nmain()\n"
    )
    script.chmod(0o755)
    return f"{tmp_path}:{os.environ['PATH']}"


@pytest.mark.parametrize("shell", ASK)
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("spiir-pastro ", set(COMMANDS)),
        ("spiir-pastro extract --s", {"--staging", "--scheduler", "--strict"}),
    ],
)
def test_tab_completes(shell: str, line: str, expected: set[str], path: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here; install it to test its completion")
    words = [*line.split(), *([""] if line.endswith(" ") else [])]
    quoted = " ".join(f"'{word}'" for word in words)
    asked = ASK[shell].format(words=quoted, n=len(words) - 1, line=line)
    script = f"{PREPARE[shell]}{SOURCE[shell]}\n{asked}"
    done = subprocess.run(
        [shell, "-c", script], capture_output=True, text=True, check=False,
        env={**os.environ, "PATH": path}, timeout=60,
    )  # fmt: skip
    said = {line.split("\t")[0].split(":")[0].split(",")[-1] for line in done.stdout.splitlines()}
    assert said & (expected | set(COMMANDS)) == expected, done.stderr
