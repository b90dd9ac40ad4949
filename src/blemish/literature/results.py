"""The numbers that others printed, each with its setting and the kind of its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType

from blemish.literature.facts import sources
from blemish.literature.names import find
from blemish.literature.store import entries

COLUMNS = {
    "paper": "published",
    "authors": "published",
    "quoted": "quoted",
    "benchmark": "re-run",
    "reimplementation": "re-run",
    "organisers": "re-run",
    "memory": "recalled",
}
"""The kinds of source, and the column of a table in which numbers of that kind stand."""

KINDS = {
    "paper": "printed in the method's own paper",
    "authors": "printed by the authors in their repository",
    "quoted": "printed in somebody else's table, as what the paper says or as what they got",
    "benchmark": "run by a benchmark, all methods under one protocol",
    "reimplementation": "run by a third party, with their code or the authors'",
    "organisers": "run by the makers of the data set",
    "memory": "recalled and never checked",
}
"""What each kind of source means."""

RANK = ("paper", "authors", "organisers", "benchmark", "reimplementation", "quoted", "memory")
"""Kinds from the nearest to the furthest; a number with several sources counts as the nearest of them."""

MARK = "?"
"""Follows every recalled number wherever it is printed."""


@dataclass(frozen=True, slots=True)
class Result:
    """One number, in percent, the mean over the categories of a data set unless `detail` says otherwise.

    `setting` is one of `literature.settings()`; what else is known of the conditions stands in `inputs` ("rgb", "3d",
    "rgb+3d"), `backbone`, `image_size` (pixels a side) and `detail`. `averaged_here` says that the source printed only
    `by_category`, and that we took the mean. `sources` maps the id of a source to its kind.
    """

    method: str
    dataset: str
    metric: str
    setting: str
    value: float
    inputs: str = ""
    backbone: str = ""
    image_size: int | None = None
    detail: str = ""
    averaged_here: bool = False
    by_category: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}), compare=False)
    sources: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), compare=False)

    @property
    def source_kind(self) -> str:
        """The nearest kind among its sources."""
        return min(self.sources.values(), key=RANK.index)

    @property
    def column(self) -> str:
        """The column in which it stands: "published", "quoted", "re-run" or "recalled"."""
        return COLUMNS[self.source_kind]

    @property
    def recalled(self) -> bool:
        """Whether it is only remembered; it is then printed with a mark, and only where that was asked for."""
        return self.source_kind == "memory"

    @property
    def shown(self) -> str:
        """The number with one decimal, and the mark if it is recalled."""
        return f"{self.value:.1f}{MARK if self.recalled else ''}"

    @property
    def conditions(self) -> str:
        """What is known of the conditions beside the setting, in one line."""
        size = f"{self.image_size} px" if self.image_size else ""
        inputs = {"3d": "3D only", "rgb+3d": "RGB and 3D"}.get(self.inputs, "")
        return ", ".join(part for part in (self.backbone, size, inputs, self.detail) if part)

    @property
    def cited(self) -> str:
        """The names of its sources, in one line."""
        return "; ".join(sources()[source].name for source in self.sources)


@cache
def _stored(kind: str) -> tuple[Result, ...]:
    return tuple(Result(**entry) for entry in entries(kind))


def results(
    *, method: str = "", dataset: str = "", metric: str = "", setting: str = "", recalled: bool = False
) -> tuple[Result, ...]:
    """Return the numbers that meet every condition given; names may be any alias.

    Recalled numbers are left out unless `recalled`: they were never checked.

    Raises:
        UnknownName: no such method, data set, metric or setting; the message suggests the nearest.
    """
    wanted = {
        "method": method and find("methods", method),
        "dataset": dataset and find("datasets", dataset),
        "metric": metric and find("metrics", metric),
        "setting": setting and find("settings", setting),
    }
    every = _stored("results") + (_stored("recalled") if recalled else ())
    return tuple(r for r in every if all(not value or getattr(r, name) == value for name, value in wanted.items()))
