"""Pictures and the HTML report."""

from blemish.report.page import write_page

__all__ = ["write_page"]
