"""What testing found: Report, with the result of each part, as JSON and as a table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from blemish import metrics
from blemish.core.files import printable, read_json
from blemish.core.prediction import Region
from blemish.metrics import Confusion, Interval, Rate

Resolution = Literal["original", "network"]
RESOLUTIONS = get_args(Resolution)
"""At which size pixels are compared.

"original": maps are enlarged to each image's own size and compared with the mask as it was drawn.
"network": masks are resized (nearest) and cropped to the network's input, as most papers do: small defects may vanish. A
part whose defect does so then counts with good pixels only, but never as one of AUPIMO's good images.
"""


PIMO_INTERVAL = "AUPIMO's interval is over defective images, with these good ones, which set its thresholds."
"""Said wherever the interval is shown: other good images would move AUPIMO by more."""


HEADLINES = ("image_AUROC", "AU_sPRO_05", "SegF1", "pixel_AUROC", "pixel_AUPRO")
"""The metrics that the table of several categories shows."""


REGIONS = 50
"""How many regions of a part a report keeps, those with the highest peaks: a noisy map has thousands."""


@dataclass(frozen=True, slots=True)
class PartResult:
    """One tested part: truth, raw score, verdict, and where both lie in pixels of the image.

    `peak` and `peak_at` are the map's highest score and its (x, y); None without a map. Of its `region_count` regions at
    most REGIONS are kept as `regions`; without a pixel threshold there are none, and the count is None.
    `true_area` and `true_box` (left, top, right, bottom) are those of all that is marked as defective, None if nothing or
    nobody has marked it; `hit` is whether a region overlaps it. `branches` are the scores that the total was made of,
    `words` what the method says of the part.
    """

    key: str
    image: str
    kind: str
    label: int
    score: float
    p_value: float | None
    defective: bool | None
    peak: float | None = None
    peak_at: tuple[int, int] | None = None
    regions: tuple[Region, ...] = ()
    region_count: int | None = None
    true_area: int | None = None
    true_box: tuple[int, int, int, int] | None = None
    hit: bool | None = None
    category: str = ""
    branches: Mapping[str, float] = field(default_factory=dict)
    words: str | None = None

    @property
    def unplaced(self) -> bool:
        """Whether the part is rejected although no region of its map reaches the pixel threshold."""
        return bool(self.defective) and self.region_count == 0

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> PartResult:
        """Return the part whose JSON values these are; what older reports lack stays empty.

        Args:
            stored: The values.

        Returns:
            The part.
        """
        pairs = {name: tuple(stored[name]) for name in ("peak_at", "true_box") if stored.get(name) is not None}
        found = tuple(map(Region.from_dict, stored.get("regions", ())))
        return cls(**{**stored, **pairs, "regions": found})


@dataclass(frozen=True, slots=True)
class Report:
    """What testing found. `metrics` are Interval(value, low, high) by name; `as_dict` is the JSON that is saved.

    Of several categories `categories` holds the report of each, by name. The metrics are then their means, decisions and
    kinds are counted over all, each part decided by its category's threshold, and there are no curves.
    """

    metrics: dict[str, Interval]
    decisions: dict[str, Any]
    kinds: list[dict[str, Any]]
    parts: list[PartResult]
    curves: dict[str, dict[str, list[float]]]
    calibration: dict[str, Any] | None
    about: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    categories: Mapping[str, Report] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON values; the parts of a category are among the parts of all, and there alone."""
        found = asdict(replace(self, categories={}))
        found["metrics"] = {name: interval._asdict() for name, interval in self.metrics.items()}
        found["categories"] = {
            name: {**replace(report, parts=[], about={}).as_dict(), "parts": None}
            for name, report in self.categories.items()
        }
        return found

    @classmethod
    def load(cls, path: Path | str) -> Report:
        """Read a saved report.

        Args:
            path: A report.json.

        Returns:
            The report.

        Raises:
            FormatError: the file is not JSON.
        """
        stored = read_json(path)
        parts = [PartResult.from_dict(part) for part in stored["parts"]]
        each = stored.pop("categories", {})
        categories = {
            name: cls._of({**report, "about": stored["about"]}, [part for part in parts if part.category == name])
            for name, report in each.items()
        }
        return replace(cls._of(stored, parts), categories=categories)

    @classmethod
    def _of(cls, stored: dict[str, Any], parts: list[PartResult]) -> Report:
        found = {name: Interval(**interval) for name, interval in stored["metrics"].items()}
        return cls(**{**stored, "metrics": found, "parts": parts, "categories": {}})

    def text(self) -> str:
        """Return the table for a terminal."""
        rows = self._by_category() if self.categories else []
        mean = f", mean of {len(self.categories)} categories" if self.categories else ""
        rows += [f"{'metric':<24} {'value':>7}   95 % interval{mean}"]
        rows += [f"{name:<24} {m.value:7.4f}   {m.low:.4f} to {m.high:.4f}" for name, m in self.metrics.items()]
        if "pixel_AUPIMO" in self.metrics:
            rows.append(PIMO_INTERVAL)
        if self.decisions:
            at = self.decisions["threshold"]
            rows += ["", "At the threshold of each category:" if at is None else f"At the threshold {at:.6g}:"]
            rows += [
                f"{name:<20} {rate.value:7.4f}   {rate.low:.4f} to {rate.high:.4f}   {rate.count} of {rate.of} {what}"
                for name, what, rate in self.rates()
            ]
            counts = self.decisions["confusion"]
            rows += ["", f"{'':<20} {'passed':>8} {'rejected':>8}"]
            rows += [f"{'good':<20} {counts['passed']:>8} {counts['rejected']:>8}"]
            rows += [f"{'defective':<20} {counts['escaped']:>8} {counts['caught']:>8}"]
        if self.kinds:
            rows += ["", f"{'kind':<20} {'parts':>5} {'AUROC':>7} {'escapes':>8} {'recall':>7}   95 % interval"]
            for kind in self.kinds:
                row = f"{printable(kind['kind']):<20} {kind['count']:>5} {kind['auroc']:7.4f} "
                if kind["escapes"] is None:
                    rows.append(f"{row}{'-':>8} {'-':>7}   -")
                else:
                    recall = f"{1 - kind['escape_rate']:7.4f}   {1 - kind['high']:.4f} to {1 - kind['low']:.4f}"
                    rows.append(f"{row}{kind['escapes']:>8} {recall}")
        return "\n".join([*rows, *(f"Note: {printable(note)}" for note in self.notes)])

    def _by_category(self) -> list[str]:
        shown = [name for name in HEADLINES if name in self.metrics]
        titles = " ".join(f"{name.removeprefix('pixel_'):>11}" for name in shown)
        rows = [f"{'category':<24} {titles} {'threshold':>10} {'escaped':>9} {'rejected':>9}"]
        for name, report in self.categories.items():
            values = " ".join(
                f"{report.metrics[m].value:11.4f}" if m in report.metrics else f"{'-':>11}" for m in shown
            )
            row = f"{printable(name):<24} {values} "
            if not report.decisions:
                rows.append(f"{row}{'-':>10} {'-':>9} {'-':>9}")
                continue
            escape, reject = report.decisions["escape_rate"], report.decisions["false_reject_rate"]
            at = f"{report.decisions['threshold']:.4g}"
            escaped, rejected = (f"{rate['count']}/{rate['of']}" for rate in (escape, reject))
            rows.append(f"{row}{at:>10} {escaped:>9} {rejected:>9}")
        return [*rows, ""]

    def rates(self) -> list[tuple[str, str, Rate]]:
        """Return what the threshold does, none without one.

        There is no precision where nothing is rejected. It holds for the tested mix of good and defective parts alone.

        Returns:
            (name, what is counted, share with its interval) each.
        """
        if not self.decisions:
            return []
        counts = Confusion(**self.decisions["confusion"])
        marked, bad = counts.caught + counts.rejected, counts.caught + counts.escaped
        found = [
            ("escape_rate", "defective parts pass", Rate(**self.decisions["escape_rate"])),
            ("false_reject_rate", "good parts are rejected", Rate(**self.decisions["false_reject_rate"])),
            ("recall", "defective parts are rejected", metrics.rate(counts.caught, bad)),
        ]
        if marked:
            found.append(("precision", "rejected parts are defective", metrics.rate(counts.caught, marked)))
        return found
