"""Published numbers, each with its setting and the kind of its source, and what is known to be doubtful about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType

from blemish.literature.entries import entries, find, fold, look_up
from blemish.literature.facts import datasets, sources

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


ROUNDING = 0.1
"""How far a mean may be from its categories' mean by rounding alone: 0.05 each, in percent."""


@dataclass(frozen=True, slots=True)
class Dispute:
    """One doubt. It touches the results that agree with every field that is given; empty fields do not matter.

    `column` limits it to "published", "quoted" or "re-run" numbers, `source` to one source. `about` names the fact of a
    data set that is disputed ("count", "licence", "split", "year", "layout"); it then says nothing of results.
    """

    id: str
    says: str
    methods: tuple[str, ...] = ()
    dataset: str = ""
    metric: str = ""
    settings: tuple[str, ...] = ()
    value: float | None = None
    column: str = ""
    source: str = ""
    about: str = ""

    def touches(self, result: Result) -> bool:
        """Say whether the doubt concerns this number."""
        return (
            not self.about
            and (not self.methods or result.method in self.methods)
            and self.dataset in ("", result.dataset)
            and self.metric in ("", result.metric)
            and (not self.settings or result.setting in self.settings)
            and self.column in ("", result.column)
            and (not self.source or self.source in result.sources)
            and (self.value is None or abs(self.value - result.value) < 0.051)  # printed with one decimal
        )


@cache
def disputes() -> tuple[Dispute, ...]:
    """Return every known dispute."""
    return tuple(Dispute(**entry) for entry in entries("disputes"))


def disputes_of(method: str, dataset: str, metric: str) -> tuple[Dispute, ...]:
    """Return the disputes that name this method and may concern published numbers on a data set in a metric, any setting.

    The data set and the metric may be any of their names; a name that is not known meets no dispute that asks for one.
    """
    dataset, metric = look_up("datasets", dataset) or "-", look_up("metrics", metric) or "-"
    return tuple(
        d
        for d in disputes()
        if method in d.methods and d.dataset in ("", dataset) and d.metric in ("", metric) and d.column != "re-run"
    )


def disputed(results: Iterable[Result], dataset: str = "", about: Sequence[str] = ()) -> tuple[Dispute, ...]:
    """Return the disputes that touch any of these results, and those about the named facts of a data set ("count", ...).

    A printed mean that its own categories do not give is found by computing, and is one of them.
    """
    shown = tuple(results)
    known = tuple(
        d
        for d in disputes()
        if (d.about in about and d.dataset == dataset) or any(d.touches(result) for result in shown)
    )
    return known + tuple(d for d in map(_wrong_mean, shown) if d is not None)


def _wrong_mean(result: Result) -> Dispute | None:
    """Return the dispute about a printed mean that is further from that of all its categories than rounding explains."""
    values = result.by_category.values()
    if len(values) < 2 or len(values) != len(datasets()[result.dataset].categories):
        return None
    mean = sum(values) / len(values)
    if abs(mean - result.value) <= ROUNDING:
        return None
    return Dispute(
        id=f"mean-{fold(result.method)}-{result.dataset}-{result.metric}-{result.setting}",
        says=f"The mean printed for {result.method} is {result.value:.1f}; its categories give {mean:.1f}.",
        methods=(result.method,),
        dataset=result.dataset,
        metric=result.metric,
        settings=(result.setting,),
        value=result.value,
        column=result.column,
    )
