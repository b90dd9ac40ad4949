"""The pages' templates, which lie beside the code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blemish.core.errors import MissingExtra

if TYPE_CHECKING:
    from jinja2 import Template


def template(name: str, package: str = "blemish.report") -> Template:
    """Return a template that lies beside the code of a package; what is put into it is escaped.

    It may include files that lie beside it, and those of this package.

    Raises:
        MissingExtra: jinja2 is not installed.
    """
    try:
        from jinja2 import ChoiceLoader, Environment, PackageLoader
    except ModuleNotFoundError as error:
        raise MissingExtra("jinja2, which writes the report,", "report") from error
    loader = ChoiceLoader([PackageLoader(place, "") for place in (package, "blemish.report")])
    return Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True).get_template(name)
