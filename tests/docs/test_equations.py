"""Equations are drawn without a network, and a half stays a half."""

import subprocess
import sys
from pathlib import Path

EXTENSIONS = Path(__file__).parents[2] / "docs" / "_ext"
CONF = """
import sys
sys.path.insert(0, {extensions!r})
extensions = ["mathml"]
html_math_renderer = "mathml"
html_theme = "basic"
"""


def _build(equations: str, folder: Path) -> tuple[str, str]:
    """Return the page that Sphinx makes, and what it complains of."""
    (folder / "conf.py").write_text(CONF.format(extensions=str(EXTENSIONS)))
    (folder / "index.rst").write_text(f"Page\n====\n\n{equations}\n")
    command = [sys.executable, "-m", "sphinx", "-q", str(folder), str(folder / "built")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return (folder / "built" / "index.html").read_text(), done.stderr


def test_equations_are_mathml_and_fetch_nothing(tmp_path: Path) -> None:
    page, said = _build(
        ":math:`\\tfrac12 q`, :eq:`e`.\n\n.. math:: E = m\n   :label: e\n", tmp_path
    )
    assert said == ""
    assert page.count("<math") == 2
    assert "<mn>1</mn><mn>2</mn>" in "".join(page.split())
    assert 'display="block"' in page
    assert '<span class="eqno">(1)' in page
    assert "https://cdn" not in page


def test_latex_that_cannot_be_drawn_is_a_warning_with_its_place(tmp_path: Path) -> None:
    _, said = _build(":math:`\\nonsense`", tmp_path)
    assert "index.rst:4: WARNING: not LaTeX that docutils knows" in said
    assert r"\nonsense" in said
