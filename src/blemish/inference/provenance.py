"""What a model was made from: data, seed, and the files by which trained and tested parts are told apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any

from blemish.core.errors import FormatError


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a model was made from. It is saved with the model; tests, exports and calibrations ask it.

    Attributes:
        data: What determines the data, as `DataModule.describe` returns it; empty where the model was fitted without one.
        seed: Of what was random in the fit, or None.
        learned: Fingerprints (`Record.fingerprint`) of training and held-out parts.
        learned_content: Content (`core.files.content_of`) of the files that `fit` was given; None where it was not kept.
        calibrated: Content of the files that the threshold was chosen from.
        unread: Training parts that could not be read.
        learns_from: What the method learned from, see `core.detector.LearnsFrom`.
        adapted: The data of each `adapt` after the fit, in order.
    """

    data: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    seed: int | None = None
    learned: tuple[str, ...] = ()
    learned_content: tuple[str, ...] | None = None
    calibrated: tuple[str, ...] = ()
    unread: int = 0
    learns_from: str = "good"
    adapted: tuple[Mapping[str, Any], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the values as JSON values; `from_dict` reads them back."""
        return asdict(replace(self, data=dict(self.data), adapted=tuple(map(dict, self.adapted))))

    @classmethod
    def from_dict(cls, stored: Any) -> Provenance:
        """Read what `as_dict` returned, or an earlier version wrote (which spelled "learned" with a t).

        Args:
            stored: The values.

        Returns:
            The provenance.

        Raises:
            FormatError: a value is unknown, or of another type.
        """
        if not isinstance(stored, Mapping):
            raise FormatError(f"a model's provenance is {type(stored).__name__}, not an object")
        given = {str(name).replace("earnt", "earned"): value for name, value in stored.items()}
        if unknown := given.keys() - {each.name for each in fields(cls)}:
            raise FormatError(f"a model's provenance has unknown values: {', '.join(sorted(unknown))}")
        for name in ("learned", "learned_content", "calibrated", "adapted"):
            if given.get(name) is not None:
                given[name] = _texts(name, given[name]) if name != "adapted" else tuple(given[name])
        found = cls(**given)
        right = isinstance(found.data, Mapping) and isinstance(found.seed, int | None) and isinstance(found.unread, int)
        if not right or not all(isinstance(one, Mapping) for one in found.adapted):
            raise FormatError("a model's provenance has values of other types than they were written with")
        return found

    @property
    def dataset(self) -> str:
        """Name of the data set, "" where it is not known."""
        return str(self.data.get("dataset", ""))

    @property
    def category(self) -> str | list[str] | None:
        """The category, several of them, "all", or None."""
        found: str | list[str] | None = self.data.get("category")
        return found

    @property
    def options(self) -> dict[str, Any]:
        """The options of the data set."""
        return dict(self.data.get("options", {}))

    @property
    def split(self) -> dict[str, Any]:
        """The arguments of a data module that decide which parts are held out."""
        return {"seed": self.data.get("seed", 0), "holdout": self.data.get("holdout", 0.2)}


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise FormatError(f"{name} of a model's provenance must be a list of texts")
    return tuple(value)
