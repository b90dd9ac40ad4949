"""The pages' templates, which are next to the code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blemish.core.errors import MissingExtra

if TYPE_CHECKING:
    from jinja2 import Template


def template(name: str, package: str = "blemish.report") -> Template:
    """Load a template; what is put into it is escaped.

    It may include files of its package, and those of this one.

    Args:
        name: File name of the template.
        package: Package whose folder holds it.

    Returns:
        The jinja2 template.

    Raises:
        MissingExtra: jinja2 is not installed.
    """
    try:
        from jinja2 import ChoiceLoader, Environment, PackageLoader
    except ModuleNotFoundError as error:
        raise MissingExtra("jinja2, which writes the report,", "report") from error
    loader = ChoiceLoader([PackageLoader(place, "") for place in (package, "blemish.report")])
    return Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True).get_template(name)
