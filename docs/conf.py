"""Sphinx settings; ``make docs`` builds with warnings as errors."""

from importlib import metadata

project = "spiir-pastro"
author = "The spiir-pastro developers"
release = metadata.version("spiir-pastro")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
]
exclude_patterns = ["_build"]
html_theme = "furo"
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
numpydoc_show_class_members = False
