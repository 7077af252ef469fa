"""The library's face: what ``import spiir_pastro as sp`` promises."""

import subprocess
import sys

import spiir_pastro as sp


def test_every_public_name_loads() -> None:
    assert sp.__all__ == sorted(sp.__all__)
    for name in sp.__all__:
        assert getattr(sp, name).__name__ == name


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = ("numpy", "polars", "scipy", "matplotlib", "astropy")
    code = f"import sys, spiir_pastro.cli; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_tab_shows_the_public_names_and_no_others() -> None:
    assert dir(sp) == sorted([*sp.__all__, "__version__"])
    assert all((getattr(sp, name).__doc__ or "").strip() for name in sp.__all__)
