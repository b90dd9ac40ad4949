"""Pictures and the HTML reports, loaded on first use: the page of an inspector needs torch, a picture does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blemish.report.page import write_page, write_pages
    from blemish.report.pictures import picture

__all__ = ["picture", "write_page", "write_pages"]


def __getattr__(name: str) -> Any:
    if name == "picture":
        from blemish.report.pictures import picture

        return picture
    if name in ("write_page", "write_pages"):
        from blemish.report import page

        return getattr(page, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
