"""Equations as MathML, which browsers draw themselves: the pages need no script and no network."""

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

_LOG = logging.getLogger(__name__)
# TeX takes \frac12 for a half, docutils for 12 over whatever follows.
_DIGITS = re.compile(r"(frac) ?(\d)(\d)")


def _mathml(node: nodes.Element, *, as_block: bool) -> str:
    try:
        return tex2mathml(_DIGITS.sub(r"\1{\2}{\3}", node.astext()), as_block=as_block)
    except MathError as error:
        _LOG.warning("not LaTeX that docutils knows, %s: %s", error, node.astext(), location=node)
        return ""


def _inline(writer: HTML5Translator, node: nodes.math) -> None:
    writer.body.append(_mathml(node, as_block=False))
    raise nodes.SkipNode


def _block(writer: HTML5Translator, node: nodes.math_block) -> None:
    writer.body.append(writer.starttag(node, "div", CLASS="math"))
    if node["number"]:
        writer.body.append(f'<span class="eqno">({get_node_equation_number(writer, node)})')
        writer.add_permalink_ref(node, "Link to this equation")
        writer.body.append("</span>")
    writer.body.append(f"{_mathml(node, as_block=True)}</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Let Sphinx know the renderer that ``html_math_renderer`` names."""
    app.add_html_math_renderer(
        "mathml", inline_renderers=(_inline, None), block_renderers=(_block, None)
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
