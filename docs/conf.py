"""Sphinx settings; ``make docs`` builds with warnings as errors."""

import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "spiir-pastro"
author = "The spiir-pastro developers"
release = metadata.version("spiir-pastro")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "generated",
    "mathml",
]
exclude_patterns = ["_build", "**/.jupyter_cache"]
nb_merge_streams = True
nb_execution_mode = "force"  # a notebook is kept without its results
nb_execution_raise_on_error = True
nb_execution_timeout = 300
html_theme = "furo"
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["equations.css"]
html_math_renderer = "mathml"
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
numpydoc_show_class_members = False
