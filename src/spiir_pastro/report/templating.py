"""Jinja2 as every page of ours uses it: what is foreign is escaped, a mistyped name is an error."""

import jinja2


def templates_of(package: str) -> jinja2.Environment:
    """Return the templates in a package's folder ``templates``."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=True,
        # A name that a template mistypes is an error, not an empty place.
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
