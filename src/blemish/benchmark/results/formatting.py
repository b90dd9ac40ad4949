"""How the benchmark's numbers are written: percent, the interval after the sign, p-values, costs."""

from __future__ import annotations

import re
from collections.abc import Iterable

from blemish.benchmark.results.cells import Setting
from blemish.benchmark.results.rows import Number, Row

TITLES = {
    "image_AUROC": "image AUROC",
    "image_AP": "image AP",
    "image_F1Max": "image F1-max",
    "pixel_AUROC": "pixel AUROC",
    "pixel_AP": "pixel AP",
    "pixel_F1Max": "pixel F1-max",
    "pixel_AUPRO": "AUPRO (FPR to 0.3)",
    "pixel_AUPRO_05": "AUPRO (FPR to 0.05)",
    "pixel_AUPIMO": "AUPIMO",
}

MISSING = "–"
SHORT = "†"

ASSUMED = (
    "Numbers are percent: the mean over categories for each seed, then over seeds. After ± stands half of Student's 95 % "
    "interval over n seeds; it speaks of other seeds on the same images. Where training parts were drawn several times, n "
    "are the draws, each the mean over its seeds, and it speaks of other draws. In brackets is the 95 % interval over "
    "images, the mean of the cells' own; it speaks of other images with the same seeds; that of AUPIMO of other defective "
    "images beside the same good ones. A number is marked as the best only among rows of one data set, protocol and preset "
    "that have it for the same categories with the same split, and only where it is ahead of every other beyond both "
    "intervals. † marks a number from fewer categories, seeds or draws than its row has; the note says which."
)


def percent(value: float | None) -> str:
    """Return a share as percent.

    Args:
        value: 0 to 1, None if missing.

    Returns:
        Two digits, without the sign.
    """
    return MISSING if value is None else f"{100 * value:.2f}"


def mean(number: Number | None) -> str:
    """Return the mean and half its interval over seeds.

    Args:
        number: The number, None if missing.

    Returns:
        97.31 ± 0.40; with a dagger where the number has a note.
    """
    if number is None:
        return MISSING
    half, mark = number.over_seeds.half, SHORT if number.notes else ""
    return (percent(number.value) if half is None else f"{percent(number.value)} ± {percent(half)}") + mark


def bounds(number: Number | None) -> str:
    """Return the interval over images.

    Args:
        number: The number, None if missing.

    Returns:
        [95.02, 98.80], or nothing.
    """
    if number is None or number.low is None or number.high is None:
        return ""
    return f"[{percent(number.low)}, {percent(number.high)}]"


def seeds(row: Row, metrics: Iterable[str]) -> str:
    """Return how many seeds, or draws, numbers come from.

    Args:
        row: The row.
        metrics: Its numbers of these metrics.

    Returns:
        3, or 1–3 where they differ.
    """
    fewest, most = row.seeds(metrics)
    return str(most) if fewest == most else f"{fewest}–{most}"


def notes(row: Row, metrics: Iterable[str]) -> list[str]:
    """Return the notes on a row's numbers.

    Args:
        row: The row.
        metrics: Its numbers of these metrics.

    Returns:
        Each with the metric and the number's own n: "AUPIMO (n 1): 1 of 2 ...".
    """
    numbers = {TITLES.get(name, name): row.numbers[name] for name in metrics if name in row.numbers}
    return [f"{name} (n {one.over_seeds.seeds}): {'; '.join(one.notes)}" for name, one in numbers.items() if one.notes]


def p_value(p: float | None) -> str:
    """Return a p-value as text.

    Args:
        p: 0 to 1, None where there is none.

    Returns:
        Two digits, four below 0.1; "none given" where there is none.
    """
    if p is None:
        return "none given"
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.1 else f"{p:.2f}"


def cost(name: str, value: float | None) -> str:
    """Return a cost as text.

    Args:
        name: One of COSTS.
        value: The cost, None if missing.

    Returns:
        Parameters in millions where they are many, the rest with three significant digits.
    """
    if value is None:
        return MISSING
    if name == "parameters":
        return f"{value / 1e6:.2f} M" if value >= 1e4 else f"{value:.0f}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def setting(one: Setting) -> str:
    """Return a setting as text.

    Args:
        one: The setting.

    Returns:
        Data set, protocol and preset.
    """
    return ", ".join(filter(None, [one.dataset, one.protocol, f"preset {one.preset}" if one.preset else ""]))


def protocol(name: str) -> str:
    """Return what a protocol means, as far as its name tells.

    Args:
        name: The protocol's name.

    Returns:
        Half a sentence; "" for a protocol that is not known.
    """
    meanings = {
        r"one-class": "one model a category, fitted on its good parts",
        r"multi-class": "one model for all categories of a data set; results by category",
        r"few-shot-(\d+)": "as one-class, fitted on {0} good parts",
        r"noisy-([\d.]+)(-.+)?": "as one-class, with defective parts as a share of {0} of the training images{1}",
        r"robustness-([a-z_]+)-(-?[\d.]+)": "fitted as one-class; the test images are changed: {0} at strength {1}",
    }
    for pattern, meaning in meanings.items():
        if match := re.fullmatch(pattern, name):
            groups = [group or "" for group in match.groups()]
            return meaning.format(*(f" ({g[1:]})" if g.startswith("-") and not g[1:2].isdigit() else g for g in groups))
    return ""
