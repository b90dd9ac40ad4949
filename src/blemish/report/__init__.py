"""Pictures and the HTML report. The page is loaded when it is asked for: the pictures alone need no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blemish.report.page import write_page

__all__ = ["write_page"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from blemish.report import page

        return getattr(page, name)
    raise AttributeError(f"blemish.report has no {name!r}; it has {', '.join(__all__)}")
