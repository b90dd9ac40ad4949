"""The values that travel between the rooms of the house: Batch, Scores, Region, Peak, Prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class Scores(NamedTuple):
    """What a detector answers: raw scores, higher is more anomalous, never rescaled.

    `image` is (B,), finite. `map` is (B, H, W) at the size of the input, or None if the method does not localise.
    """

    image: Tensor
    map: Tensor | None


@dataclass(frozen=True, slots=True)
class Batch:
    """B parts, ready for a detector, with their truth kept apart from the inputs.

    `inputs` holds tensors by name; "image" is (B, 3, H, W) float32 RGB in [0, 1].
    `label` is (B,) int64, 1 for defective; an unsupervised `fit` never touches it.
    `keys` names the records.
    """

    inputs: Mapping[str, Tensor]
    label: Tensor
    keys: tuple[str, ...] = ()

    @property
    def image(self) -> Tensor:
        """(B, 3, H, W) float32 RGB in [0, 1]."""
        return self.inputs["image"]

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))


@dataclass(frozen=True, slots=True)
class Region:
    """One connected defect region (8 neighbours) at the image's original size.

    `box` is (left, top, right, bottom) in pixels, right and bottom exclusive; `area` is in pixels; `peak` is the
    highest map score inside and `peak_at` its (x, y).
    """

    box: tuple[int, int, int, int]
    area: int
    peak: float
    peak_at: tuple[int, int]


class Peak(NamedTuple):
    """The highest score of a map where it counts, and its place `at`, (x, y) in pixels of the original image."""

    value: float
    at: tuple[int, int]


@dataclass(frozen=True, slots=True, repr=False)
class Prediction:
    """The verdict on one part: the raw score, what it means, and where the defect is.

    `p_value` is the share of good parts expected to score at least this high (small is suspicious).
    `defective` is `score >= threshold`; both and `p_value` are None for an inspector without a threshold.
    `map` and `mask` are (H, W) at the image's original size, float32 and bool. `peak` is the map's, whether or not it
    reaches the pixel threshold: a part can be rejected by its score while no region is found.
    `error` says why the image could not be inspected; then every other value but `key` is empty.
    Printed, and in a notebook, it is shown without its pictures; `blemish.report.picture` draws them.
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

    @property
    def verdict(self) -> str | None:
        """Return "good", "defective" or "error"; None without a threshold."""
        if self.error is not None:
            return "error"
        return None if self.defective is None else "defective" if self.defective else "good"

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict without its pictures, ready for JSON."""
        if self.error is not None:
            return {"key": self.key, "verdict": self.verdict, "error": self.error}
        return {
            "key": self.key,
            "verdict": self.verdict,
            "score": self.score,
            "p_value": self.p_value,
            "threshold": self.threshold,
            "peak": None if self.peak is None else self.peak.value,
            "peak_at": None if self.peak is None else list(self.peak.at),
            "regions": [
                {"box": list(r.box), "area": r.area, "peak": r.peak, "peak_at": list(r.peak_at)} for r in self.regions
            ],
        }

    def _said(self) -> dict[str, str]:
        """Return what is shown of the verdict, each in a few letters; what is None is left out."""
        if self.error is not None:
            return {"error": self.error}
        numbers = {"score": self.score, "threshold": self.threshold, "p_value": self.p_value}
        said = {name: f"{value:.4g}" for name, value in numbers.items() if value is not None}
        if self.mask is not None:
            said["regions"] = str(len(self.regions))
        if self.map is not None:
            said["map"] = " x ".join(map(str, self.map.shape))
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
