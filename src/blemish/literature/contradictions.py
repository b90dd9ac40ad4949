"""What a single source should not say: one number under two settings, and two numbers under the same conditions.

Both mostly mean that an entry was filed wrongly. Where the source does print it, a line of allowed.jsonl says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

Located = tuple[str, dict[str, Any]]
"""("file:line", entry)."""

CONDITIONS = ("inputs", "backbone", "image_size", "detail")
"""Fields that, beside the setting, tell two numbers of one source apart."""

_INFLATED = "_anomalib"  # a table of anomalib prints one AUPRO, not AUPRO and AUPRO by anomalib


def contradictions(results: Sequence[Located], allowed: Sequence[Located]) -> list[str]:
    """Return a line for each contradiction that is not allowed, and for each allowance that nothing needs.

    An allowance with `settings` is for one number that a source prints in exactly these settings; one without is for
    several numbers under the same conditions. Fields that it leaves out do not matter.
    """
    used: set[str] = set()

    def passes(said: Mapping[str, Any]) -> bool:
        fitting = [
            where
            for where, entry in allowed
            if ("settings" in entry) == ("settings" in said)
            and all(said.get(name) == value for name, value in entry.items() if name != "says")
        ]
        used.update(fitting)
        return bool(fitting)

    found = []
    for (source, method, dataset, metric, value), group in _by_number(results).items():
        named = sorted({_setting(entry) for _, entry in group})
        said = {"source": source, "method": method, "dataset": dataset, "metric": metric, "value": value}
        if len(named) > 1 and not passes({**said, "settings": named}):
            found.append(
                f"{_places(group)}: {source} gives {method} {value} in {' and '.join(named)}; "
                "leave it where the source has it"
            )
    for (source, _, method, dataset, metric, setting, *_), group in _by_conditions(results).items():
        values = sorted({entry["value"] for _, entry in group})
        said = {"source": source, "method": method, "dataset": dataset, "metric": metric}
        if len(values) > 1 and not passes(said):
            found.append(
                f"{_places(group)}: {source} gives {method} {' and '.join(map(str, values))} in {setting} under the same "
                "conditions; say in backbone, image_size or detail what sets them apart"
            )
    return found + [f"{where}: allows what nothing needs; remove it" for where, _ in allowed if where not in used]


def _by_number(results: Sequence[Located]) -> dict[tuple[Any, ...], list[Located]]:
    groups: dict[tuple[Any, ...], list[Located]] = defaultdict(list)
    for where, entry in results:
        for source in entry["sources"]:
            metric = entry["metric"].removesuffix(_INFLATED)
            groups[source, entry["method"], entry["dataset"], metric, entry["value"]].append((where, entry))
    return groups


def _by_conditions(results: Sequence[Located]) -> dict[tuple[Any, ...], list[Located]]:
    groups: dict[tuple[Any, ...], list[Located]] = defaultdict(list)
    for where, entry in results:
        told = [entry.get(name) for name in ("method", "dataset", "metric", "setting", *CONDITIONS)]
        for source in entry["sources"].items():
            groups[*source, *told].append((where, entry))
    return groups


def _setting(entry: Mapping[str, Any]) -> str:
    setting, metric = str(entry["setting"]), str(entry["metric"])
    return f"{setting} as {metric}" if metric.endswith(_INFLATED) else setting


def _places(group: Sequence[Located]) -> str:
    return ", ".join(where for where, _ in group)
