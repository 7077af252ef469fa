"""docs/how-to/mlops.md followed word for word: its own commands, run in its own order.

One person sets the project up; another begins on a fresh clone with ``dvc pull``, changes a number
and pushes; the merge request's pipeline trains on a third clone and comments. Only names the reader
is meant to fill in are filled in.
"""

import base64
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mlops.forge import PROJECT, Forge, need, new_forge, search_path
from mlops.servers import KEY, SECRET, serve_s3, serve_ssh
from mlops.stand_ins import notes_api

pytestmark = pytest.mark.slow

_PAGE = (PROJECT / "docs" / "how-to" / "mlops.md").read_text()
_DATA_REPOSITORY = "https://git.example.org/group/spiir-data"


def _block(first: str) -> str:
    """Return the commands of the page's console block that begins with these words."""
    blocks = re.findall(r"```console\n(.*?)```", _PAGE, re.DOTALL)
    [block] = [block for block in blocks if block.startswith(f"$ {first}")]
    return "\n".join(re.findall(r"(?m)^\$ (.*)$", block))


_MACHINE = _block("git clone")
_REMOTES = {
    "s3": _block("dvc remote add --default store s3:"),
    "ssh": _block("dvc remote add --default store ssh:"),
    "folder": _block("dvc remote add --default store /path/all"),
}
_KEEP_DATA, _IMPORT = _block("dvc init"), _block("dvc import")
_SIMULATE, _TRAIN = _block("spiir-pastro --params params.yaml simulate"), _block("dvc repro")
_CHANGE, _KEEP = _block("git switch"), _block("dvc push")
_UPDATE = _block("dvc update")


@dataclass(frozen=True)
class Walker:
    """Someone who follows the page, filling in names of their own."""

    forge: Forge
    remote: str
    names: dict[str, str]

    def follow(self, folder: Path, *blocks: str) -> str:
        """Run blocks of the page in one shell; return what it printed."""
        text = "\n".join(blocks)
        for name, own in self.names.items():
            text = text.replace(name, own)
        if self.remote != "s3":  # who has that installs as the page says
            text = re.sub(r"(?m)^(python3 -m venv|pip install).*$", ":", text)
        script = folder / "commands.sh"
        script.write_text(f"set -e\n{text}\n")
        return self.forge.must(folder, "bash", str(script))


@pytest.fixture(params=["s3", "ssh", "folder"])
def walker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Walker]:
    """Someone with one of the remotes; the one with S3 installs as the page says."""
    need("git", "rsync", "rclone", "gitlab-ci-local", "/usr/sbin/sshd")
    with ExitStack() as stack:
        forge = new_forge(tmp_path, stack.enter_context(notes_api()))
        stored = tmp_path / "stored" / "bucket"
        stored.mkdir(parents=True)
        names = {
            "<your project>": str(tmp_path / "origin.git"),
            "/path/of/the/data": str(tmp_path / "stored" / "data"),
            "/path/all/of/us/see": str(stored),
        }
        if request.param == "s3":
            endpoint = stack.enter_context(serve_s3(stored.parent, path=search_path()))
            names |= {
                "https://s3.example.org": endpoint,
                "AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=...": f"AWS_ACCESS_KEY_ID={KEY} "
                f"AWS_SECRET_ACCESS_KEY={SECRET}",
            }
        if request.param == "ssh":
            who = stack.enter_context(serve_ssh(tmp_path / "sshd", home=tmp_path))
            names["user@host/path"] = f"{who}{stored}"
        yield Walker(forge=forge, remote=request.param, names=names)


def test_the_page_leads_from_a_fresh_machine_to_the_comment(walker: Walker) -> None:
    forge, origin = walker.forge, walker.forge.root / "origin.git"
    imported = walker.remote == "ssh"
    if imported:
        _start_data_repository(walker)
    first, second = forge.root / "first", forge.root / "second"
    for folder in (first, second):
        folder.mkdir()
    params = forge.must(origin, "git", "show", "main:params.yaml")
    [shown] = re.findall(r"```yaml\n(data:\n.*?)```", _PAGE, re.DOTALL)
    (forge.root / "params.yaml").write_text(re.sub(r"(?m)^data:\n(  .*\n)+", shown, params))
    edit = f"cp {forge.root / 'params.yaml'} ."
    data = _IMPORT if imported else _SIMULATE
    walker.follow(first, _MACHINE, _REMOTES[walker.remote], data, edit, _TRAIN)
    assert list((forge.root / "stored" / "bucket").rglob("files/md5/*/*"))

    secrets = [line for line in _REMOTES[walker.remote].splitlines() if line.startswith("export")]
    said = walker.follow(second, _MACHINE, *secrets, _CHANGE)
    assert "Stage 'process' didn't change, skipping" in said
    assert "Running stage 'fit'" in said
    clone = second / "spiir-pastro"
    assert "| log_loss |" in (clone / "comparison" / "report.md").read_text()
    again = walker.follow(
        second, "cd spiir-pastro", "[ ! -d .venv ] || . .venv/bin/activate", *secrets, _KEEP
    )
    assert "Running stage" not in again

    runner = _runner(walker)
    branch = runner.clone("runner", "fewer-false-alarms")
    done = runner.pipeline(branch, "train", "comment", "lock", **_variables(walker))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| params.yaml | fit.far_threshold_hz | 0.0003" in forge.notes.bodies[-1]
    assert forge.notes.images
    if imported:
        _follow_new_data(walker, first)


def _start_data_repository(walker: Walker) -> None:
    """Make the data repository that is imported from, and let Git find it at the page's address."""
    forge = walker.forge
    forge.must(forge.root, "git", "init", "-q", "--bare", "-b", "main", "data.git")
    for home in (forge.root, forge.root / "home-of-runner"):
        home.mkdir(exist_ok=True)
        (home / ".gitconfig").write_text(
            f'[url "{forge.root / "data.git"}"]\n\tinsteadOf = {_DATA_REPOSITORY}\n'
        )
    forge.must(forge.root, "git", "clone", "-q", _DATA_REPOSITORY, "data")
    folder = forge.root / "data"
    forge.must(folder, "git", "switch", "-qc", "main")
    params = str(PROJECT / "params.yaml")
    forge.must(PROJECT, "spiir-pastro", "--params", params, "simulate", str(folder / "runs" / "o3"))
    walker.follow(folder, _KEEP_DATA.replace("git push", "git push -u origin main"))


def _follow_new_data(walker: Walker, first: Path) -> None:
    """Describe the campaign otherwise where its data are, and take that over."""
    data, clone = walker.forge.root / "data", first / "spiir-pastro"
    runs = data / "runs" / "o3" / "RUNS.yaml"
    runs.write_text(f"# seen again\n{runs.read_text()}")
    walker.follow(data, _KEEP_DATA.partition("\n")[2])
    said = walker.follow(first, "cd spiir-pastro", _UPDATE)
    assert (clone / "data" / "o3" / "RUNS.yaml").read_text().startswith("# seen again")
    assert "(0 new, 0 failed)" in said  # nothing is extracted twice
    assert "Stage 'fit' didn't change, skipping" in said


def _runner(walker: Walker) -> Forge:
    """Return the forge as a runner sees it: with a home of its own, and no key in it."""
    home = walker.forge.root / "home-of-runner"
    home.mkdir(exist_ok=True)
    return replace(walker.forge, environment={**walker.forge.environment, "HOME": str(home)})


def _variables(walker: Walker) -> dict[str, str]:
    """Return the project's CI variables, as the page says what to put into them."""
    if walker.remote != "ssh":
        return {}  # S3's are in the environment
    ssh = walker.forge.root / ".ssh"
    return {
        "SSH_KEY": base64.b64encode((ssh / "id_ed25519").read_bytes()).decode(),
        "SSH_KNOWN_HOSTS": (ssh / "known_hosts").read_text().strip(),
    }
