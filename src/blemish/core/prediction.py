"""The verdict on a part: Prediction, with its Regions, Peak and Branches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from blemish.core.errors import FormatError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Region:
    """One connected defect region (8 neighbours) at the image's original size.

    Attributes:
        box: (left, top, right, bottom) in pixels, right and bottom exclusive.
        area: In pixels.
        peak: Highest map score inside.
        peak_at: (x, y) of the peak, in pixels.
    """

    box: tuple[int, int, int, int]
    area: int
    peak: float
    peak_at: tuple[int, int]

    def as_dict(self) -> dict[str, Any]:
        """Return the region as JSON values."""
        return {"box": list(self.box), "area": self.area, "peak": self.peak, "peak_at": list(self.peak_at)}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Region:
        """Return the region that `as_dict` described.

        Args:
            stored: Its JSON values.

        Returns:
            The region.
        """
        return cls(tuple(stored["box"]), stored["area"], stored["peak"], tuple(stored["peak_at"]))


class Peak(NamedTuple):
    """The highest score of a map where it counts.

    Attributes:
        value: The raw score.
        at: Its position (x, y), in pixels of the original image.
    """

    value: float
    at: tuple[int, int]


class Branch(NamedTuple):
    """One of the scores that a total was made of.

    Attributes:
        score: Its raw score.
        map: Its (H, W) float32 raw scores at the image's original size, or None.
    """

    score: float
    map: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Prediction:
    """The verdict on one part: the raw score, what it means, and where the defect is.

    Printed, and in a notebook, it is shown without its pictures; `blemish.report.picture` draws them.

    Attributes:
        key: Name of the part.
        score: Raw image score.
        p_value: Share of good parts expected to score at least this high (small is suspicious).
        threshold: Raw image score; a part that reaches it is defective.
        defective: `score >= threshold`; it, `threshold` and `p_value` are None for an inspector without a threshold.
        map: (H, W) float32 raw scores at the image's original size.
        mask: (H, W) bool at the image's original size, True where a pixel is defective.
        regions: Connected regions of the mask.
        error: Why the image could not be inspected; then every other value but `key` is empty.
        peak: The map's peak, whether or not it reaches the pixel threshold: a part can be rejected by its score while
            no region is found.
        category: Product that the part is, "" if nobody said; a model of several decides by that product's threshold.
        branches: What the score was made of, by name, from methods that say it.
        words: What the method says of the part in a sentence, from methods that speak.
    """

    key: str
    score: float = float("nan")
    p_value: float | None = None
    threshold: float | None = None
    defective: bool | None = None
    map: NDArray[np.float32] | None = None
    mask: NDArray[np.bool_] | None = None
    regions: tuple[Region, ...] = ()
    error: str | None = None
    peak: Peak | None = None
    category: str = ""
    branches: Mapping[str, Branch] = field(default_factory=lambda: MappingProxyType({}))
    words: str | None = None

    @property
    def verdict(self) -> str | None:
        """Return "good", "defective" or "error"; None without a threshold."""
        if self.error is not None:
            return "error"
        return None if self.defective is None else "defective" if self.defective else "good"

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict without its pictures, ready for JSON; `from_dict` reads it back."""
        said: dict[str, Any] = {"category": self.category} if self.category else {}
        if self.error is not None:
            return {"key": self.key, "verdict": self.verdict, "error": self.error, **said}
        if self.branches:
            said["branches"] = {name: branch.score for name, branch in self.branches.items()}
        if self.words is not None:
            said["words"] = self.words
        return {
            "key": self.key,
            "verdict": self.verdict,
            "score": self.score,
            "p_value": self.p_value,
            "threshold": self.threshold,
            "peak": None if self.peak is None else self.peak.value,
            "peak_at": None if self.peak is None else list(self.peak.at),
            "regions": [region.as_dict() for region in self.regions],
            **said,
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Prediction:
        """Return the verdict that `as_dict` described; its pictures (map and mask) are not in it.

        Args:
            stored: Its JSON values.

        Returns:
            The verdict.

        Raises:
            FormatError: a value is missing, or of another kind.
        """
        try:
            said: dict[str, Any] = {"key": str(stored["key"]), "category": str(stored.get("category", ""))}
            if stored["verdict"] == "error":
                return cls(**said, error=str(stored["error"]))
            peak = stored["peak"]
            return cls(
                **said,
                score=float(stored["score"]),
                p_value=stored["p_value"],
                threshold=stored["threshold"],
                defective=None if stored["verdict"] is None else {"good": False, "defective": True}[stored["verdict"]],
                regions=tuple(map(Region.from_dict, stored["regions"])),
                peak=None if peak is None else Peak(float(peak), _point(stored["peak_at"])),
                branches={name: Branch(float(score)) for name, score in stored.get("branches", {}).items()},
                words=stored.get("words"),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FormatError(f"this is no verdict as `Prediction.as_dict` writes it: {error!r} in {stored}") from error

    def _said(self) -> dict[str, str]:
        """Return what is shown of the verdict, each as short text; what is None is left out."""
        if self.error is not None:
            return {"error": self.error}
        numbers = {"score": self.score, "threshold": self.threshold, "p_value": self.p_value}
        said = {name: f"{value:.4g}" for name, value in numbers.items() if value is not None}
        if self.mask is not None:
            said["regions"] = str(len(self.regions))
        if self.map is not None:
            said["map"] = " x ".join(map(str, self.map.shape))
        said |= {name: f"{branch.score:.4g}" for name, branch in self.branches.items()}
        if self.category:
            said["category"] = self.category
        if self.words is not None:
            said["words"] = self.words
        return said

    def __repr__(self) -> str:
        verdict = [] if self.verdict in (None, "error") else [str(self.verdict)]
        return f"<Prediction {', '.join([self.key, *verdict, *(f'{k} {v}' for k, v in self._said().items())])}>"

    def _repr_html_(self) -> str:
        rows = {"part": self.key, "verdict": self.verdict or "no threshold", **self._said()}
        for number, region in enumerate(self.regions, 1):
            left, top, right, bottom = region.box
            rows[f"region {number}"] = (
                f"{left}, {top} to {right}, {bottom}; {region.area} pixels, peak {region.peak:.4g}"
            )
        cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows.items())
        return f"<table>{cells}</table>"


def _point(stored: Any) -> tuple[int, int]:
    x, y = stored
    return int(x), int(y)
