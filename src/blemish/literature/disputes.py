"""What is known to be doubtful about a number, a protocol or a data set, and which numbers it touches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from blemish.literature.datasets import datasets
from blemish.literature.names import fold, look_up
from blemish.literature.results import Result
from blemish.literature.store import entries

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
