"""The report's figures, as SVG text: the distribution of the scores, and the curves."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from blemish.core.errors import MissingExtra
from blemish.core.files import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GOOD, BAD, INK, PALE = "#2a7f9e", "#c8553d", "#333c44", "#d8dee3"


def distributions(groups: Mapping[str, Sequence[float]], threshold: float | None) -> str:
    """Draw every part's score as a dot, one row per kind, and the threshold as a line.

    Args:
        groups: Raw scores by kind, good parts first.
        threshold: Raw score of the line, None for none.

    Returns:
        SVG text.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    rng = np.random.default_rng(0)
    with sheet(10.8, 0.8 + 0.5 * len(groups)) as (figure, axes):  # the width of the page's card
        axes.text(1.01, -0.62, "parts", transform=axes.get_yaxis_transform(), va="center", color=INK, fontsize=8)
        for row, scores in enumerate(groups.values()):
            height = row + rng.uniform(-0.24, 0.24, len(scores))
            axes.scatter(scores, height, s=16, color=GOOD if row == 0 else BAD, alpha=0.65, linewidths=0)
            axes.text(
                1.01, row, f"{len(scores)}", transform=axes.get_yaxis_transform(), va="center", color=INK, fontsize=8
            )
        if threshold is not None:
            axes.axvline(threshold, color=INK, linewidth=1.2, linestyle=(0, (4, 2)))
            axes.annotate(
                f"threshold {threshold:.4g}", (threshold, -0.75), ha="center", va="bottom", fontsize=8, color=INK
            )
        axes.set_yticks(range(len(groups)), [printable(kind) for kind in groups])
        axes.set_ylim(len(groups) - 0.5, -0.8)
        axes.set_xlabel("raw score of the part (higher is more anomalous)")
        return as_svg(figure)


def curve(x: Sequence[float], y: Sequence[float], labels: tuple[str, str], limit: float = 1.0, note: str = "") -> str:
    """Draw a curve over [0, limit] x [0, 1], with the diagonal of chance.

    Args:
        x: (n,) positions, from 0.
        y: (n,) heights.
        labels: Names of the two axes.
        limit: End of the x axis.
        note: Text in the lower right corner.

    Returns:
        SVG text.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    with sheet(3.7, 3.2) as (figure, axes):
        axes.plot([0, 1], [0, 1], color=PALE, linewidth=1)
        axes.fill_between(x, y, color=GOOD, alpha=0.12, linewidth=0)
        axes.plot(x, y, color=GOOD, linewidth=1.8)
        axes.set_xlim(0, limit)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        axes.text(0.96, 0.06, note, transform=axes.transAxes, ha="right", fontsize=9, color=INK)
        return as_svg(figure)


@contextmanager
def sheet(width: float, height: float) -> Iterator[tuple[Figure, Axes]]:
    """Open an empty figure in the style of the reports.

    Args:
        width: Inches.
        height: Inches.

    Yields:
        The figure and its axes.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtra("matplotlib, which draws the report,", "report") from error
    style: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "blemish",
        "text.parse_math": False,  # a kind may be called 5$
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.edgecolor": PALE,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
    }
    with rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(length=0)
        yield figure, axes


def as_svg(figure: Figure) -> str:
    """Return a figure as SVG text to be put into a page, which chooses the ink; its text stays text.

    Args:
        figure: A matplotlib figure.

    Returns:
        SVG text, from "<svg" on.
    """
    buffer = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # the text stays text: the browser has the glyphs
        figure.savefig(
            buffer, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace(INK, "currentColor").replace(PALE, "var(--line)")
