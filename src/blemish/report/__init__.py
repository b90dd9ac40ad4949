"""Pictures and the HTML reports, loaded on first use: the page of an inspector needs torch, a picture does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blemish.report.page import write_page
    from blemish.report.pictures import picture

__all__ = ["picture", "write_page"]


def __getattr__(name: str) -> Any:
    if name == "picture":
        from blemish.report.pictures import picture

        return picture
    if name == "write_page":
        from blemish.report.page import write_page

        return write_page
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
