"""The benchmark's figures as SVG text: accuracy against cost, critical differences, curves over a protocol's levels.

Ink takes the page's colour, so the figures are legible in light and in dark. Series differ by colour and by mark.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from html import escape
from itertools import cycle
from typing import TYPE_CHECKING, NamedTuple

from blemish.report.figures import INK, PALE, as_svg, sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

COLOURS = (
    *("#1f8fb5", "#d1603d", "#4a9a53", "#9a6bbd", "#b8871f", "#c2589a"),
    *("#6d7f8c", "#3f6fd1", "#8a9a2f", "#b0483f", "#2f9d8f", "#8b6a4f"),
)
MARKS = ("o", "s", "^", "D", "v", "P", "X")


class Point(NamedTuple):
    """A method in the plane of cost and accuracy.

    Attributes:
        name: The method.
        cost: Its cost, above 0.
        value: Its accuracy in percent.
        low: Lower bound of the interval over seeds, None where there is none.
        high: Its upper bound.
    """

    name: str
    cost: float
    value: float
    low: float | None
    high: float | None


class Curve(NamedTuple):
    """A method over the levels of a protocol.

    Attributes:
        name: The method.
        values: Percent at each level, None where there is no result.
        reference: Percent in the plain setting, None where there is no result.
    """

    name: str
    values: Sequence[float | None]
    reference: float | None


def against_cost(points: Sequence[Point], cost: str, metric: str) -> str:
    """Draw each method's accuracy over its cost, named, with the interval over seeds as a bar.

    Args:
        points: The methods.
        cost: Label of the cost, whose axis is logarithmic.
        metric: Label of the accuracy.

    Returns:
        The figure as SVG.
    """
    with sheet(6.4, 4.2 if len(points) <= 10 else 5.6) as (figure, axes):
        from matplotlib.ticker import LogLocator, NullFormatter

        axes.set_xscale("log")
        axes.grid(color=PALE, linewidth=0.6)
        axes.set_axisbelow(True)
        for point, colour in zip(points, cycle(COLOURS), strict=False):
            if point.low is not None and point.high is not None:
                axes.plot([point.cost, point.cost], [point.low, point.high], color=colour, linewidth=1.4, alpha=0.6)
            axes.plot([point.cost], [point.value], "o", color=colour, markersize=6)
        axes.margins(0.14, 0.1)
        lowest, highest = min(p.value for p in points), max(p.value for p in points)
        room = 0.12 * max(highest - lowest, 1.0)  # for the points; a wide interval is cut by the frame
        axes.set_ylim(lowest - room, highest + room)
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(f"{cost} (logarithmic)")
        axes.set_ylabel(f"{metric}, %")
        _name_points(figure, axes, points)
        return _described(
            as_svg(figure), f"{metric} against {cost}: " + ", ".join(f"{p.name} {p.value:.1f} %" for p in points)
        )


def critical_difference(
    ranks: Mapping[str, float], critical: float, groups: Sequence[Sequence[str]], metric: str
) -> str:
    """Draw Demsar's diagram: methods on a scale of average ranks, the best on the left, bars over those not told apart.

    Args:
        ranks: Average ranks by method.
        critical: The critical difference.
        groups: Methods that cannot be told apart.
        metric: The metric, for the description.

    Returns:
        The figure as SVG.
    """
    order = sorted(ranks, key=lambda name: ranks[name])
    count, half = len(order), -(-len(order) // 2)
    with sheet(8.6, 1.15 + 0.26 * half + 0.16 * len(groups)) as (figure, axes):
        low, high = 1.0, float(count)
        pad = (high - low) * 0.42 + 0.2
        bars = 0.32 * len(groups)
        depth = bars + 0.55 * half + 0.5
        axes.set_xlim(low - pad, high + pad)
        axes.set_ylim(-depth, 1.5)
        axes.axis("off")
        axes.plot([low, high], [0, 0], color=INK, linewidth=1)
        for tick in range(1, count + 1):
            axes.plot([tick, tick], [0, 0.14], color=INK, linewidth=1)
            axes.text(tick, 0.25, str(tick), ha="center", va="bottom", fontsize=8, color=INK)
        shown = min(critical, high - low)
        axes.plot([low, low + shown], [1.05, 1.05], color=INK, linewidth=1.6, marker="|", markersize=7)
        note = f"critical difference {critical:.2f}" + (" (more than the scale)" if shown < critical else "")
        axes.text(low + shown + 0.02 * (high - low), 1.05, f"  {note}", va="center", fontsize=8.5, color=INK)
        for level, group in enumerate(groups):
            ends = [ranks[name] for name in group]
            y = -0.3 - 0.32 * level
            axes.plot(
                [min(ends) - 0.03, max(ends) + 0.03], [y, y], color=COLOURS[0], linewidth=4, solid_capstyle="round"
            )
        for place, name in enumerate(order):
            left = place < half
            y = -bars - 0.5 - 0.55 * (place if left else count - 1 - place)
            end = low - 0.06 * (high - low + 1) if left else high + 0.06 * (high - low + 1)
            axes.plot([ranks[name], ranks[name], end], [0, y, y], color=INK, linewidth=0.8)
            words = f"{name}  {ranks[name]:.2f}" if left else f"{ranks[name]:.2f}  {name}"
            side = "right" if left else "left"
            away = -4 if left else 4
            axes.annotate(
                words, (end, y), (away, 0), textcoords="offset points", ha=side, va="center", color=INK, clip_on=False
            )
        said = ", ".join(f"{name} {ranks[name]:.2f}" for name in order)
        return _described(
            as_svg(figure), f"Average ranks by {metric}, the best first: {said}. Critical difference {critical:.2f}."
        )


def curves(levels: Sequence[str], lines: Sequence[Curve], axis: str, metric: str) -> str:
    """Draw each method over the levels, evenly spaced, with its result in the plain setting as a mark on the left.

    Args:
        levels: Labels of the levels.
        lines: The methods.
        axis: Label of the levels' axis.
        metric: Label of the accuracy.

    Returns:
        The figure as SVG.
    """
    with sheet(7.4, max(3.4, 0.8 + 0.22 * len(lines))) as (figure, axes):
        axes.grid(color=PALE, linewidth=0.6)
        axes.set_axisbelow(True)
        with_reference = any(line.reference is not None for line in lines)
        first = 1 if with_reference else 0
        for line, colour, mark in zip(lines, cycle(COLOURS), cycle(MARKS), strict=False):
            at = range(first, first + len(levels))
            known = [math.nan if value is None else value for value in line.values]  # a gap, not a line across it
            axes.plot(at, known, color=colour, marker=mark, markersize=5, label=line.name)
            if line.reference is not None:
                axes.plot([0], [line.reference], mark, color=colour, markersize=5, fillstyle="none")
                if line.values[0] is not None:
                    axes.plot([0, first], [line.reference, line.values[0]], color=colour, linestyle=":", linewidth=1)
        axes.set_xticks(range(len(levels) + first), [*(["plain"] if with_reference else []), *levels])
        axes.set_xlabel(axis)
        axes.set_ylabel(f"{metric}, %")
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, labelcolor=INK, fontsize=8.5)
        said = "; ".join(f"{line.name}: " + ", ".join(_said(line, with_reference)) for line in lines)
        return _described(as_svg(figure), f"{metric} by {axis} at {', '.join(levels)}. {said}")


def _said(line: Curve, with_reference: bool) -> list[str]:
    plain = [f"plain {_one(line.reference)}"] if with_reference else []
    return plain + [_one(value) for value in line.values]


def _one(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f}"


def _name_points(figure: Figure, axes: Axes, points: Sequence[Point]) -> None:
    """Write each method's name next to its point, where it covers no other name and no other point."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.transforms import Bbox

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
    centres = [axes.transData.transform((point.cost, point.value)) for point in points]
    taken = [Bbox.from_extents(x - 4, y - 4, x + 4, y + 4) for x, y in centres]
    frame = axes.get_window_extent(renderer)
    steps = [0, 9, -9, 18, -18, 27, -27, 36, -36, 45, -45, 54, -54, 63, -63, 72, -72, 90, -90, 108, -108]
    offsets = [(side, step) for far in (0, 24, 60) for step in steps for side in (8 + far, -8 - far)]
    for i in sorted(range(len(points)), key=lambda i: -points[i].value):
        best: tuple[float, Annotation] | None = None
        others = [box for j, box in enumerate(taken) if j != i]
        for side, step in offsets:
            words = axes.annotate(
                points[i].name,
                (points[i].cost, points[i].value),
                (side + (6 if side > 0 else -6) * (abs(step) > 9), step),
                textcoords="offset points",
                ha="left" if side > 0 else "right",
                va="center",
                fontsize=8,
                color=INK,
                arrowprops={"arrowstyle": "-", "color": INK, "lw": 0.5, "alpha": 0.6} if abs(step) > 9 else None,
            )
            box = _letters(words, renderer)
            covered = sum(box.overlaps(other) for other in others)
            outside = box.x0 < frame.x0 or box.x1 > frame.x1 or box.y0 < frame.y0 or box.y1 > frame.y1
            cost = covered * 10.0 + outside * 5.0
            if best is None or cost < best[0]:
                if best is not None:
                    best[1].remove()
                best = (cost, words)
            else:
                words.remove()
            if cost == 0:
                break
        assert best is not None  # noqa: S101 - there are offsets
        taken.append(_letters(best[1], renderer))


def _letters(words: Annotation, renderer: RendererAgg) -> Bbox:
    """Return where an annotation's letters are, without the line to its point."""
    from matplotlib.text import Text

    words.update_positions(renderer)
    return Text.get_window_extent(words, renderer)


def _described(svg: str, description: str) -> str:
    """Describe a picture for screen readers, and keep its ids apart from others'."""
    svg = re.sub(r' id="[A-Za-z]+\w*_\d+"', "", svg)  # names of groups, which nothing refers to
    own = "f" + sha256(f"{description} {svg}".encode()).hexdigest()[:8]
    svg = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{own}", svg)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(description, quote=True)}" ', 1)
