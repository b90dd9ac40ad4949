"""Published numbers, each with its setting and the kind of its source, and what is known to be doubtful about them.

A dispute may concern a number, a protocol or a fact of a data set, and finds the numbers it touches.
"""

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
    """One number, the mean over the categories of a data set unless `detail` says otherwise.

    Attributes:
        method: The method's one name.
        dataset: Id of the data set.
        metric: Id of the metric.
        setting: Id of the setting, one of `literature.settings()`.
        value: In percent.
        inputs: "rgb", "3d" or "rgb+3d"; "" where not known, like everything below.
        backbone: The pretrained network.
        image_size: Pixels a side.
        detail: What else is known of the conditions.
        averaged_here: Whether the source printed only `by_category`, and the mean is ours.
        by_category: Numbers of the categories, in percent.
        sources: Kinds of source by their ids.
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
        """What is known of the conditions besides the setting, in one line."""
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
    """Return the numbers that meet every condition given.

    Args:
        method: Any name of a method; "" for all, as in the others.
        dataset: Any name of a data set.
        metric: Any name of a metric.
        setting: Any name of a setting.
        recalled: Whether recalled numbers, which were never checked, are among them.

    Returns:
        The numbers in the order of the files, recalled ones last.

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

    Attributes:
        id: Its name.
        says: What is doubtful.
        methods: Numbers of these methods, ...
        dataset: ... on this data set, ...
        metric: ... in this metric ...
        settings: ... and these settings.
        value: This number only, in percent.
        column: "published", "quoted" or "re-run" numbers only.
        source: Numbers of this source only.
        about: The fact of the data set that is disputed ("count", "licence", "split", "year", "layout"); the dispute
            then concerns no results.
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
        """Return whether the doubt concerns a number.

        Args:
            result: The number.

        Returns:
            True if they agree in every field that is given.
        """
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
    """Return the disputes that name a method and may concern its published numbers, in any setting.

    Args:
        method: The method's one name.
        dataset: Any name of a data set; one that is not known meets no dispute that asks for a data set.
        metric: Any name of a metric, likewise.

    Returns:
        The disputes.
    """
    dataset, metric = look_up("datasets", dataset) or "-", look_up("metrics", metric) or "-"
    return tuple(
        d
        for d in disputes()
        if method in d.methods and d.dataset in ("", dataset) and d.metric in ("", metric) and d.column != "re-run"
    )


def disputed(results: Iterable[Result], dataset: str = "", about: Sequence[str] = ()) -> tuple[Dispute, ...]:
    """Return the disputes that touch any of some results, and those about facts of a data set.

    Args:
        results: The results.
        dataset: Id of a data set, "" for none.
        about: Facts of this data set: "count", "licence", "split", "year", "layout".

    Returns:
        The known disputes, then one for every printed mean that its own categories, averaged here, do not give.
    """
    shown = tuple(results)
    known = tuple(
        d
        for d in disputes()
        if (d.about in about and d.dataset == dataset) or any(d.touches(result) for result in shown)
    )
    return known + tuple(d for d in map(_wrong_mean, shown) if d is not None)


def _wrong_mean(result: Result) -> Dispute | None:
    """Return the dispute about a printed mean that is further from its categories' mean than rounding explains."""
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
