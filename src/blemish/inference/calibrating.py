"""Choosing a threshold by one rule: of all parts together, and of each category where there are several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from blemish.core.decision import defective
from blemish.core.errors import InputError
from blemish.inference.calibration import Calibration, above_rank, from_costs, from_escape_rate, from_given, from_good

LEAST = 2
"""Good parts that a threshold needs."""


class Scored(NamedTuple):
    """What a threshold is chosen from: a part's raw score, its map's peak (None without maps), and its category."""

    score: float
    peak: float | None
    category: str


@dataclass(frozen=True, slots=True)
class Rule:
    """What a threshold is to achieve; see `Inspection.calibrate`. Exactly one rate, costs or threshold is given."""

    false_reject_rate: float | None = None
    escape_rate: float | None = None
    confidence: float | None = None
    costs: tuple[float, float, float] | None = None
    threshold: float | None = None

    def check(self, with_defects: bool) -> None:
        """Check that the rule is one, and is given what it needs, before any part is scored.

        Args:
            with_defects: Whether defective parts are given.

        Raises:
            InputError: it is not.
        """
        rules = (self.false_reject_rate, self.escape_rate, self.costs, self.threshold)
        if sum(rule is not None for rule in rules) != 1:
            raise InputError("give exactly one of: false_reject_rate, escape_rate, costs, threshold")
        if (self.false_reject_rate is not None or self.threshold is not None) and with_defects:
            raise InputError(
                f"a {'threshold' if self.false_reject_rate is None else 'false_reject_rate'} looks at good parts alone, so "
                "the defective ones given would not count. Leave them out, or ask for an escape_rate or costs."
            )
        if self.costs is not None and self.confidence is not None:
            raise InputError(
                f"confidence is {self.confidence}, but costs guarantee nothing to be sure of. Leave it out, or ask for a "
                "false_reject_rate or an escape_rate."
            )
        if (self.escape_rate is not None or self.costs is not None) and not with_defects:
            raise InputError("an escape rate or costs need defective parts as well; give some, or a false_reject_rate")


def choose(rule: Rule, good: Sequence[Scored], bad: Sequence[Scored]) -> Calibration:
    """Choose the threshold.

    Args:
        rule: What it is to achieve.
        good: Held-out good parts.
        bad: Defective parts, for the rules that look at them.

    Returns:
        The calibration of all parts, which holds those of the categories where the good parts are of several.

    Raises:
        InputError: there are too few parts, or a rate is out of its range.
    """
    pooled = _choose(rule, good, bad)
    names = sorted({part.category for part in good} - {""})
    if len(names) < 2:
        return pooled
    own: dict[str, Calibration] = {}
    without: list[str] = []
    for name in names:
        of_it, spoilt = ([part for part in parts if part.category == name] for parts in (good, bad))
        if len(of_it) >= LEAST and (spoilt or not bad):
            own[name] = _choose(rule, of_it, spoilt)
        else:
            without.append(name)
    note = f"Too few parts of {', '.join(without)} for a threshold of their own: that of all decides there."
    return replace(pooled, categories=own, note=" ".join(filter(None, [pooled.note, note if without else ""])))


def _choose(rule: Rule, good: Sequence[Scored], bad: Sequence[Scored]) -> Calibration:
    scores = [part.score for part in good]
    peaks = [part.peak for part in good if part.peak is not None] or None
    if rule.false_reject_rate is not None:
        return from_good(scores, rule.false_reject_rate, rule.confidence, pixel_peaks=peaks)
    confidence = 0.95 if rule.confidence is None else rule.confidence
    if rule.threshold is not None:
        chosen = from_given(scores, rule.threshold, confidence)
    elif rule.escape_rate is not None:
        chosen = from_escape_rate(scores, [part.score for part in bad], rule.escape_rate, confidence)
    else:
        assert rule.costs is not None  # noqa: S101 - one rule is given
        chosen = from_costs(scores, [part.score for part in bad], *rule.costs)
    if peaks is None:
        return chosen
    rejected = sum(defective(score, chosen.threshold) for score in scores)
    return replace(chosen, pixel_threshold=above_rank(peaks, max(1, rejected)))
