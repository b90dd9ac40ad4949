"""The taxonomy as a picture: one layout, drawn as an SVG and as a LaTeX `picture` that needs no package."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from blemish.core.tables import escape_latex
from blemish.literature.taxonomy import Node

ROW, GAP, LEFT = 26, 10, (16, 216, 456, 696)
"""Height of a row, gap between families, and where the columns begin, in pixels."""

WIDTH = (168, 206, 206)
"""Widths of the boxes in pixels: the root, a family, a finer place."""

LINE = 58
"""Letters of method names that fit in a line next to a box."""

INKS = ("#31688e", "#1f7a50", "#8e5c9e", "#b83a4b", "#946400", "#1f7a70", "#56658a", "#6f6f6f", "#8a5a3c")
"""One ink a family, in turn; all dark enough for white letters on them."""


@dataclass(frozen=True, slots=True)
class Box:
    """A box of the picture, ROW - 6 pixels high.

    Attributes:
        x: Its left edge, in pixels.
        y: Its upper edge, in pixels.
        column: 0 root, 1 family, 2 finer place.
        text: The name in it.
        count: How many papers it stands for.
        ink: Its colour, "#rrggbb".
        beside: Lines of method names to its right.
    """

    x: int
    y: int
    column: int
    text: str
    count: int
    ink: str
    beside: tuple[str, ...] = ()

    @property
    def middle(self) -> int:
        """The height of its middle line."""
        return self.y + (ROW - 6) // 2


@dataclass(frozen=True, slots=True)
class Link:
    """A line from the right of one box to the left of another, around one corner.

    Attributes:
        start: The box it begins at.
        end: The box it ends at.
    """

    start: Box
    end: Box


def layout(nodes: Sequence[Node], root: str = "Anomaly detection") -> tuple[list[Box], list[Link], int]:
    """Arrange the taxonomy in three columns.

    Args:
        nodes: The families.
        root: The text of the first box.

    Returns:
        Boxes, links and the height of the picture, in pixels.
    """
    boxes: list[Box] = []
    links: list[Link] = []
    y = 16
    tops: list[Box] = []
    for node, ink in zip(nodes, (INKS[i % len(INKS)] for i in range(len(nodes))), strict=True):
        first = y
        children = []
        beside = _lines(node.methods)
        if beside and node.children:  # methods of the family itself, before its finer places
            children.append(Box(LEFT[2], y, 2, "(not finer)", len(node.papers), ink, beside))
            y += ROW * max(1, len(beside))
            beside = ()
        for child in node.children:
            names = _lines(child.methods)
            children.append(Box(LEFT[2], y, 2, child.name, child.paper_count, ink, names))
            y += ROW * max(1, len(names))
        if not node.children:
            y += ROW * max(1, len(beside))
        middle = (children[0].y + children[-1].y) // 2 if children else first
        top = Box(LEFT[1], middle, 1, node.name, node.paper_count, ink, beside)
        tops.append(top)
        boxes += [top, *children]
        links += [Link(top, child) for child in children]
        y += GAP
    total = sum(node.paper_count for node in nodes)
    start = Box(LEFT[0], (tops[0].y + tops[-1].y) // 2, 0, root, total, "#222222")
    return [start, *boxes], [Link(start, top) for top in tops] + links, y + 6


def svg(nodes: Sequence[Node]) -> str:
    """Draw the taxonomy as an SVG: boxes with counts of papers, our methods next to them in italics.

    Args:
        nodes: The families.

    Returns:
        The file's text.
    """
    boxes, links, height = layout(nodes)
    width = LEFT[3] + 420
    size, font = f'width="{width}" height="{height}"', 'font-family="Helvetica, Arial, sans-serif" font-size="13"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width} {height}" {font}>',
        "<title>Taxonomy of visual anomaly detection</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for link in links:
        x, turn = link.start.x + WIDTH[link.start.column], link.end.x - 14
        ink = link.end.ink if link.start.column else "#999999"
        path = f"M{x} {link.start.middle} H{turn} V{link.end.middle} H{link.end.x}"
        parts.append(f'<path d="{path}" fill="none" stroke="{ink}" stroke-width="1.2"/>')
    for box in boxes:
        parts += _svg_box(box)
    return "\n".join([*parts, "</svg>", ""])


def latex_picture(nodes: Sequence[Node]) -> str:
    """Draw the taxonomy as a LaTeX `picture` as wide as the text; the same layout, without colours.

    Args:
        nodes: The families.

    Returns:
        The LaTeX.
    """
    boxes, links, height = layout(nodes)
    width = LEFT[3] + 330
    lines = [rf"\setlength{{\unitlength}}{{{1 / width:.6f}\textwidth}}", rf"\begin{{picture}}({width},{height})\tiny"]
    for link in links:
        x, turn = link.start.x + WIDTH[link.start.column], link.end.x - 14
        y0, y1 = height - link.start.middle, height - link.end.middle
        lines.append(rf"\put({x},{y0}){{\line(1,0){{{turn - x}}}}}")
        if y0 != y1:
            lines.append(rf"\put({turn},{y0}){{\line(0,{1 if y1 > y0 else -1}){{{abs(y1 - y0)}}}}}")
        lines.append(rf"\put({turn},{y1}){{\line(1,0){{{link.end.x - turn}}}}}")
    for box in boxes:
        y, wide = height - box.y - (ROW - 6), WIDTH[box.column]
        lines.append(rf"\put({box.x},{y}){{\framebox({wide},{ROW - 6}){{{escape_latex(box.text)} ({box.count})}}}}")
        for i, text in enumerate(box.beside):
            at = height - box.middle - 5 - i * ROW
            lines.append(rf"\put({box.x + wide + 10},{at}){{\textit{{{escape_latex(text)}}}}}")
    return "\n".join([*lines, r"\end{picture}", ""])


def _svg_box(box: Box) -> list[str]:
    wide, high = WIDTH[box.column], ROW - 6
    solid = box.column < 2
    fill, ink = (box.ink, "#ffffff") if solid else ("#ffffff", "#222222")
    base = box.y + high - 6
    parts = [
        f'<rect x="{box.x}" y="{box.y}" width="{wide}" height="{high}" rx="4" fill="{fill}" stroke="{box.ink}"/>',
        f'<text x="{box.x + 8}" y="{base}" fill="{ink}">{html.escape(box.text)}</text>',
        f'<text x="{box.x + wide - 8}" y="{base}" fill="{ink}" text-anchor="end" font-size="11">{box.count}</text>',
    ]
    parts += [
        f'<text x="{box.x + wide + 10}" y="{base + i * ROW}" fill="#444444" font-style="italic">{html.escape(text)}</text>'
        for i, text in enumerate(box.beside)
    ]
    return parts


def _lines(names: Sequence[str]) -> tuple[str, ...]:
    """Break a list of names into lines of at most LINE letters."""
    lines: list[str] = []
    for name in names:
        if lines and len(lines[-1]) + 2 + len(name) <= LINE:
            lines[-1] += f", {name}"
        else:
            lines.append(name)
    return tuple(lines)
