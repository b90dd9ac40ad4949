"""Protocols that come in levels (robustness-blur-1, -2; few-shot-1, -2, -4; noisy-0.1), gathered for their curves."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from blemish.benchmark.results.cells import ONE_CLASS, CellResult, Results, natural
from blemish.benchmark.results.rows import Row, values

LEVEL = re.compile(r"^(?P<stem>.+?)-(?P<level>-?\d+(?:\.\d+)?)(?P<rest>-\D.*)?$")


@dataclass(frozen=True, slots=True)
class Ladder:
    """One kind of protocol on one data set.

    Attributes:
        stem: The protocols' name without the level.
        dataset: The data set.
        preset: The preset.
        levels: (level as text, protocol), rising.
    """

    stem: str
    dataset: str
    preset: str
    levels: tuple[tuple[str, str], ...]


def in_levels(protocol: str) -> bool:
    """Return whether a protocol is one level of several.

    Args:
        protocol: The protocol's name.

    Returns:
        True if it ends with a number, which may be followed by words.
    """
    return LEVEL.match(protocol) is not None


def ladders(table: Sequence[Row]) -> list[Ladder]:
    """Gather protocols that come in levels.

    Args:
        table: The benchmark's table.

    Returns:
        Those that are worth a curve: two levels, or one together with plain one-class results.
    """
    found: dict[tuple[str, str, str], dict[str, str]] = defaultdict(dict)
    plain = {(row.setting.dataset, row.setting.preset) for row in table if row.setting.protocol == ONE_CLASS}
    for row in table:
        if match := LEVEL.match(row.setting.protocol):
            stem = match["stem"] + (match["rest"] or "")
            found[stem, row.setting.dataset, row.setting.preset][match["level"]] = row.setting.protocol
    return [
        Ladder(*key, tuple(sorted(levels.items(), key=lambda pair: float(pair[0]))))
        for key, levels in sorted(found.items(), key=lambda item: (natural(item[0][0]), item[0]))
        if len(levels) > 1 or key[1:] in plain
    ]


def level_means(ladder: Ladder, cells: Results, metric: str) -> dict[tuple[str, str], dict[str, float]]:
    """Return the results of the levels, and of one-class to compare them with.

    Args:
        ladder: The levels.
        cells: The cells.
        metric: The metric.

    Returns:
        The mean over seeds of each category, 0 to 1, by (method, protocol).
    """
    wanted = {ONE_CLASS, *(protocol for _, protocol in ladder.levels)}
    grouped: dict[tuple[str, str], list[CellResult]] = defaultdict(list)
    for cell in cells.cells:
        here = (cell.setting.dataset, cell.setting.preset) == (ladder.dataset, ladder.preset)
        if here and cell.setting.protocol in wanted and cell.failed is None:
            grouped[cell.method, cell.setting.protocol].append(cell)
    means = {
        key: {category: fmean(m.value for m in by_seed.values()) for category, by_seed in values(own, metric).items()}
        for key, own in grouped.items()
    }
    return {key: one for key, one in means.items() if one}
