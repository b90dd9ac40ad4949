"""The pages' templates, which lie beside the code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blemish.errors import MissingExtra

if TYPE_CHECKING:
    from jinja2 import Template


def template(name: str) -> Template:
    """Return a template by its path below this folder; what is put into it is escaped.

    Raises:
        MissingExtra: jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader
    except ModuleNotFoundError as error:
        raise MissingExtra("jinja2, which writes the report,", "report") from error
    loader = PackageLoader("blemish.report", "")
    return Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True).get_template(name)
