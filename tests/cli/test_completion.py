"""Shell completion, tried in the shells themselves, as docs/how-to/scripts.md sets it up."""

import shutil
import subprocess

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


@pytest.mark.parametrize("name", ASK)
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("spiir-pastro ", set(COMMANDS)),
        ("spiir-pastro extract --s", {"--staging", "--scheduler", "--strict"}),
    ],
)
def test_tab_completes(name: str, line: str, expected: set[str], shell: dict[str, str]) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"no {name} here; install it to test its completion")
    words = [*line.split(), *([""] if line.endswith(" ") else [])]
    quoted = " ".join(f"'{word}'" for word in words)
    asked = ASK[name].format(words=quoted, n=len(words) - 1, line=line)
    script = f"{PREPARE[name]}{SOURCE[name]}\n{asked}"
    done = subprocess.run(
        [name, "-c", script], capture_output=True, text=True, check=False,
        env=shell, timeout=60,
    )  # fmt: skip
    said = {line.split("\t")[0].split(":")[0].split(",")[-1] for line in done.stdout.splitlines()}
    assert said & (expected | set(COMMANDS)) == expected, done.stderr
