"""Fixtures every test may ask for."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as the commands do, before NumPy is imported
settings.register_profile("spiir-pastro", deadline=None)  # how fast a machine is proves nothing
settings.load_profile("spiir-pastro")

_PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real SPIIR data, or a skip that says where it was looked for."""
    folder = Path(os.environ.get("SPIIR_PASTRO_DATA", _PROJECT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set SPIIR_PASTRO_DATA to its folder")
    return folder


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """An environment for a shell in which ``spiir-pastro`` is this checkout's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "spiir-pastro"
    script.write_text(
        f"#!{sys.executable}\nimport sys\nsys.argv[0] = 'spiir-pastro'\n"
        "from spiir_pastro.cli import main\nif __name__ == '__main__':\n    main()\n"
    )
    script.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


pytest_plugins = ["uploads"]
