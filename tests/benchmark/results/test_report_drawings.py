"""The figures name every method, say in words what they show, and take the page's ink."""

import re

from blemish.benchmark.results.drawings import COLOURS, Curve, Point, against_cost, critical_difference, curves


def words(svg: str) -> list[str]:
    return re.findall(r"<text [^>]*>([^<]*)</text>", svg)


def test_every_method_is_named_once() -> None:
    crowd = [Point(f"method {i}", 10.0 + i / 10, 90 + i / 10, None, None) for i in range(15)]
    crowd.append(Point("5$^<&", 3.0, 60.0, 20.0, 99.0))
    found = words(against_cost(crowd, "ms", "image AUROC"))
    assert sorted(w for w in found if w.startswith("method")) == sorted(f"method {i}" for i in range(15))
    assert "5$^&lt;&amp;" in found
    assert not any("mathdefault" in w for w in found), "ticks are plain numbers"


def test_names_do_not_cover_each_other() -> None:
    points = [Point(f"m{i}", 10.0 * 1.4**i, 80.0 + 2 * (i % 3), 79.0, 85.0) for i in range(9)]
    svg = against_cost(points, "ms", "AUROC")
    places = re.findall(r'<text [^>]*transform="(?:rotate[^"]*)?translate\(([\d.-]+) ([\d.-]+)\)[^"]*"[^>]*>m\d<', svg)
    places += re.findall(r'<text [^>]*x="([\d.-]+)" y="([\d.-]+)"[^>]*>m\d<', svg)
    spots = [(float(x), float(y)) for x, y in places]
    assert len(spots) == 9
    assert all(abs(a[0] - b[0]) > 8 or abs(a[1] - b[1]) > 6 for i, a in enumerate(spots) for b in spots[:i])


def test_the_diagram_draws_groups_and_ranks() -> None:
    """The diagram draws a bar for each group and says the ranks."""
    ranks = {"a": 1.2, "b": 2.0, "c": 3.5, "d": 3.6}
    svg = critical_difference(ranks, 1.5, [["a", "b"], ["c", "d"]], "image AUROC")
    assert svg.count("stroke-width: 4") == 2
    assert 'aria-label="Average ranks by image AUROC, the best first: a 1.20, b 2.00, c 3.50, d 3.60. Critical' in svg
    assert sum(" 3.50" in w or "3.50 " in w for w in words(svg)) == 1
    assert "more than the scale" in critical_difference({"a": 1.0, "b": 2.0}, 9.0, [], "x")
    assert "#333c44" not in svg
    assert "currentColor" in svg


def test_curves_leave_gaps_where_there_is_no_result() -> None:
    lines = [Curve("one", [90.0, None, 70.0], 95.0), Curve("two", [None, 60.0, 50.0], None)]
    svg = curves(["1", "2", "4"], lines, "blur", "image AUROC")
    assert "one: plain 95.0, 90.0, none, 70.0; two: plain none, none, 60.0, 50.0" in svg
    assert {"plain", "1", "2", "4", "one", "two"} <= set(words(svg))
    drawn = re.findall(rf'<path d="([^"]*)"[^>]*style="fill: none; stroke: {COLOURS[0]}([^"]*)"', svg)
    solid = [path for path, style in drawn if "dasharray" not in style and path.count("M") > 1]
    assert len(solid) == 1
    assert "L" not in solid[0], "the two ends of the gap are not joined"
    assert "plain" not in words(curves(["1", "2"], [Curve("one", [1.0, 2.0], None)], "blur", "x"))
