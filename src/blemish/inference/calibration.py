"""From raw scores to decisions: thresholds with a stated guarantee, and p-values.

The score of a new good part is equally likely to take any rank among those of n held-out good parts (split conformal
prediction, Vovk et al. 2005). Whatever the detector and however the scores are distributed, a threshold just above the
j-th highest held-out score therefore rejects a new good part with probability at most j / (n + 1). With labelled
defective parts the same argument from the other side bounds the share of defects that escape.

One comparison everywhere, at fit and at use: `score >= threshold` is defective. No torch.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blemish.core.errors import FormatError, InputError
from blemish.core.shares import log_choose, log_mass, open_share, upper_bound

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold, how it was chosen, and what it guarantees.

    Attributes:
        good_scores: Raw image scores of held-out good parts, ascending.
        threshold: Raw image score; a part that reaches it is defective.
        pixel_threshold: Raw map score from which a pixel is defective, or None if nothing is known of maps.
        rule: What the threshold was chosen for: "false_reject_rate", "escape_rate", "costs" or "given".
        wanted: The rule's target: a rate, the given threshold, or for costs the share of escapes in the cost of
            deciding everything wrongly.
        guarantee: One sentence on what holds for new parts.
        note: A warning, or empty.
        categories: Of a model of several categories, the calibration of each; this one is of all together.

    Raises:
        InputError: a value is not finite, or the scores are empty or not ascending.
    """

    good_scores: tuple[float, ...] = field(repr=False)
    threshold: float
    pixel_threshold: float | None
    rule: str
    wanted: float
    guarantee: str
    note: str = ""
    categories: Mapping[str, Calibration] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        numbers = [*self.good_scores, self.threshold, self.wanted, *filter(None, [self.pixel_threshold])]
        if not all(math.isfinite(number) for number in numbers):
            raise InputError("a calibration holds NaN or infinity; every score and threshold must be finite")
        if not self.good_scores or any(a > b for a, b in zip(self.good_scores, self.good_scores[1:], strict=False)):
            raise InputError("a calibration's good scores must be at least one, in ascending order")

    def p_value(self, score: float) -> float:
        """Return the conformal p-value (1 + number of good scores >= `score`) / (n + 1).

        For a good part it is at most u with probability at most u.

        Args:
            score: Raw image score.

        Returns:
            The p-value, in [1 / (n + 1), 1].

        Raises:
            InputError: the score is NaN.
        """
        if math.isnan(score):
            raise InputError("the score is NaN; it has no p-value")
        good = self.good_scores
        return (1 + len(good) - bisect_left(good, score)) / (len(good) + 1)

    def as_dict(self) -> dict[str, Any]:
        """Return all values as JSON values; `from_dict` rebuilds an equal calibration."""
        own = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "categories"}
        categories = {name: calibration.as_dict() for name, calibration in self.categories.items()}
        return {**own, "good_scores": list(self.good_scores), **({"categories": categories} if categories else {})}

    def of(self, category: str) -> Calibration:
        """Return the calibration that decides on a part.

        Args:
            category: The part's category, "" where nobody said.

        Returns:
            That category's, or where it has none, this one.
        """
        return self.categories.get(category, self)

    @classmethod
    def from_dict(cls, stored: Any) -> Calibration:
        """Rebuild a calibration.

        Args:
            stored: What `as_dict` returned.

        Returns:
            An equal calibration.

        Raises:
            FormatError: a value is missing, unknown, or of the wrong type.
        """
        names = {each.name for each in fields(cls)} - {"categories"}
        if not isinstance(stored, Mapping) or set(stored) - {"categories"} != names:
            held = sorted(map(str, stored)) if isinstance(stored, Mapping) else type(stored).__name__
            raise FormatError(f"a calibration holds {sorted(names)}; found {held}. Calibrate again.")
        good = stored["good_scores"]
        pixel = stored["pixel_threshold"]
        numbers = [stored["threshold"], stored["wanted"], *([] if pixel is None else [pixel])]
        texts = [stored["rule"], stored["guarantee"], stored["note"]]
        if not isinstance(good, list | tuple) or not all(map(_is_number, [*good, *numbers])):
            raise FormatError("a calibration's scores and thresholds must be numbers. Calibrate again.")
        if not all(isinstance(text, str) for text in texts):
            raise FormatError("a calibration's rule, guarantee and note must be text. Calibrate again.")
        try:
            return cls(
                good_scores=tuple(map(float, good)),
                threshold=float(stored["threshold"]),
                pixel_threshold=None if pixel is None else float(pixel),
                rule=stored["rule"],
                wanted=float(stored["wanted"]),
                guarantee=stored["guarantee"],
                note=stored["note"],
                categories={name: cls.from_dict(own) for name, own in stored.get("categories", {}).items()},
            )
        except (InputError, OverflowError, AttributeError) as error:
            raise FormatError(f"damaged calibration: {error}. Calibrate again.") from error


def from_good(
    good_scores: ArrayLike,
    false_reject_rate: float = 0.01,
    confidence: float | None = None,
    pixel_peaks: ArrayLike | None = None,
) -> Calibration:
    """Choose the lowest threshold that rejects good parts at no more than the wanted rate, from good parts alone.

    With too few parts for the wanted rate the threshold is just above the highest score, and `guarantee` and `note`
    state the rate that is guaranteed.

    Args:
        good_scores: (n,) raw image scores of held-out good parts, n >= 2.
        false_reject_rate: Wanted share of rejected good parts, in (0, 1).
        confidence: Without it the rate holds on average over the draw of the held-out parts. With it, in (0, 1), the
            rate at this very threshold is at most the wanted one with that confidence: stricter, and it needs more
            parts.
        pixel_peaks: (n,) maxima of the same parts' maps; the same rule bounds how many good parts show a defective
            pixel.

    Returns:
        The calibration; without `pixel_peaks` it has no pixel threshold.

    Raises:
        InputError: fewer than two scores, a score that is not finite, another number of peaks than of scores, a rate or
            confidence outside (0, 1).
    """
    good = _scores("good", good_scores, at_least=2)
    rate = open_share("false_reject_rate", false_reject_rate)
    if confidence is not None:
        open_share("confidence", confidence)
    guarantee, note = _promise(len(good), rate, confidence)
    if good[0] == good[-1]:
        same = f"All {len(good)} parts score the same, {good[0]:g}, as copies of one image do; real parts differ."
        note = f"{same} {note}".rstrip()
    pixel_threshold = None
    if pixel_peaks is not None:
        peaks = _scores("pixel peak", pixel_peaks, at_least=2)
        if len(peaks) != len(good):
            raise InputError(
                f"there are {len(peaks)} pixel peaks and {len(good)} scores; there must be one of each a part"
            )
        pixel_threshold = _above(peaks, _rank(len(peaks), rate, confidence))
    return Calibration(
        good_scores=tuple(good.tolist()),
        threshold=_above(good, _rank(len(good), rate, confidence)),
        pixel_threshold=pixel_threshold,
        rule="false_reject_rate",
        wanted=rate,
        guarantee=guarantee,
        note=note,
    )


def from_costs(
    good_scores: ArrayLike,
    defect_scores: ArrayLike,
    cost_escape: float,
    cost_false_reject: float,
    defect_share: float,
) -> Calibration:
    """Choose the threshold of lowest expected cost per part on labelled held-out parts.

    Among equal costs fewer escapes win, then fewer false rejects. The threshold is the middle of the gap between two
    adjacent scores.

    Args:
        good_scores: (n,) raw image scores of held-out good parts, n >= 2.
        defect_scores: (m,) raw image scores of held-out defective parts, m >= 2.
        cost_escape: Cost of one escaped defect, 0 or more.
        cost_false_reject: Cost of one rejected good part, 0 or more, in the same currency.
        defect_share: Share of defective parts in production, in (0, 1).

    Returns:
        The calibration, without a pixel threshold; it guarantees nothing for new parts.

    Raises:
        InputError: fewer than two scores of a kind, a score that is not finite, negative costs or both zero, a share
            outside (0, 1).
    """
    good, bad = _scores("good", good_scores, at_least=2), _scores("defect", defect_scores, at_least=2)
    share = open_share("defect_share", defect_share)
    for name, cost in (("cost_escape", cost_escape), ("cost_false_reject", cost_false_reject)):
        if not (math.isfinite(cost) and cost >= 0):
            raise InputError(f"{name} is {cost}; it must be a finite number, 0 or more")
    per_escape, per_reject = share * cost_escape, (1 - share) * cost_false_reject
    if not per_escape + per_reject > 0:
        raise InputError("cost_escape and cost_false_reject are both 0; then every threshold costs the same")
    cuts = np.unique(np.concatenate([good, bad]))
    escapes = np.append(np.searchsorted(bad, cuts), len(bad))  # with the threshold at or just below each cut, or above
    rejects = np.append(len(good) - np.searchsorted(good, cuts), 0)
    expected: Scores = per_escape * (escapes / len(bad)) + per_reject * (rejects / len(good))
    # Rounding must not break ties: of equal costs take the fewest escapes, then the fewest rejects (either may be free).
    equal = np.flatnonzero(expected <= expected.min() * (1 + 1e-12))
    best = int(equal[np.lexsort((rejects[equal], escapes[equal]))[0]])
    threshold, note = _between(cuts, best)
    return Calibration(
        good_scores=tuple(good.tolist()),
        threshold=threshold,
        pixel_threshold=None,
        rule="costs",
        wanted=per_escape / (per_escape + per_reject),
        guarantee=(
            f"Nothing is guaranteed for new parts: on {len(good)} good and {len(bad)} defective calibration parts this "
            f"threshold has the lowest expected cost, {expected[best]:.4g} per part, with {escapes[best]} escaped and "
            f"{rejects[best]} falsely rejected."
        ),
        note=note,
    )


def from_escape_rate(
    good_scores: ArrayLike, defect_scores: ArrayLike, escape_rate: float, confidence: float = 0.95
) -> Calibration:
    """Choose the highest threshold whose escape rate is, with `confidence`, at most the wanted one.

    It is the highest whose one-sided Clopper-Pearson bound on the share of defects below it is small enough; since it
    is a score of the sample chosen by rank alone, the bound holds although it was chosen on the same parts. The
    guarantee covers defects like those given, not kinds never seen.

    Args:
        good_scores: (n,) raw image scores of held-out good parts, n >= 2.
        defect_scores: (m,) raw image scores of held-out defective parts, m >= 2.
        escape_rate: Wanted share of defects that pass, in (0, 1).
        confidence: Confidence of both bounds in the guarantee, in (0, 1).

    Returns:
        The calibration, without a pixel threshold.

    Raises:
        InputError: too few defective parts for this rate and confidence (the message says how many are needed), fewer
            than two scores of a kind, a score that is not finite, a rate or confidence outside (0, 1).
    """
    good, bad = _scores("good", good_scores, at_least=2), _scores("defect", defect_scores, at_least=2)
    rate, confidence = open_share("escape_rate", escape_rate), open_share("confidence", confidence)
    rank = _confident_rank(len(bad), rate, confidence)
    if rank == 0:
        raise InputError(
            f"an escape rate of {_percent(rate)} with {_sure(confidence)} confidence needs at least "
            f"{_parts_needed(rate, confidence)} defective parts; there are {len(bad)}. "
            "Collect more, or ask for a higher rate or less confidence."
        )
    threshold = float(bad[rank - 1])
    escaped, rejected = int((bad < threshold).sum()), int((good >= threshold).sum())
    bound = upper_bound(rejected, len(good), confidence)
    return Calibration(
        good_scores=tuple(good.tolist()),
        threshold=threshold,
        pixel_threshold=None,
        rule="escape_rate",
        wanted=rate,
        guarantee=(
            f"With {_sure(confidence)} confidence at most {_percent(rate)} of defects like the {len(bad)} given "
            f"score below the threshold ({escaped} of them did), and, also with {_sure(confidence)} confidence, at "
            f"most {_percent(bound)} of good parts like the {len(good)} given are rejected ({rejected} of them were)."
        ),
    )


def from_given(good_scores: ArrayLike, threshold: float, confidence: float = 0.95) -> Calibration:
    """Take a threshold that was fixed beforehand, and bound the share of good parts that reach it.

    Since the threshold was not chosen on these parts, the one-sided Clopper-Pearson bound holds for good parts like
    them.

    Args:
        good_scores: (n,) raw image scores of held-out good parts, n >= 2.
        threshold: Raw image score, finite.
        confidence: Confidence of the bound, in (0, 1).

    Returns:
        The calibration, without a pixel threshold.

    Raises:
        InputError: fewer than two scores, one that is not finite, a threshold that is not, or a confidence outside (0,
            1).
    """
    good, confidence = _scores("good", good_scores, at_least=2), open_share("confidence", confidence)
    if not _is_number(threshold) or not math.isfinite(threshold):
        raise InputError(f"threshold is {threshold}; it must be a finite number on the scale of the scores")
    rejected = int((good >= threshold).sum())
    bound = _percent(upper_bound(rejected, len(good), confidence))
    return Calibration(
        good_scores=tuple(good.tolist()),
        threshold=float(threshold),
        pixel_threshold=None,
        rule="given",
        wanted=float(threshold),
        guarantee=(
            f"The threshold was given. {rejected} of {len(good)} good parts reach it: if it was not chosen by looking at "
            f"them, with {_sure(confidence)} confidence at most {bound} of good parts like them do."
        ),
    )


def _promise(n: int, rate: float, confidence: float | None) -> tuple[str, str]:
    """Return the guarantee of a threshold from n good parts, and the warning if it falls short of the wanted rate."""
    if confidence is None:
        least, needed = 1 / (n + 1), math.ceil(1 / _exact(rate)) - 1
        start, sure = "A new good part", "averaged over the draw of those parts"
        text = f"{start} like the {n} held-out ones is rejected with a probability of at most {{}}, {sure}."
    else:
        least, needed = -math.expm1(math.log1p(-confidence) / n), _parts_needed(rate, confidence)
        text = (
            f"With {_sure(confidence)} confidence at most {{}} of good parts like the {n} held-out ones are rejected."
        )
    if _wanted_rank(n, rate, confidence):
        return text.format(_percent(rate)), ""
    short = f"the wanted {_percent(rate)} cannot be guaranteed with {n} parts"
    return text.format(_percent(least)).removesuffix(".") + f"; {short}.", (
        f"A false-reject rate of {_percent(rate)} needs at least {needed} held-out good parts; there are {n}, which "
        f"guarantee {_percent(least)}. The threshold lies just above the highest of them. Hold out more good parts, or "
        "ask for a higher rate."
    )


def _rank(n: int, rate: float, confidence: float | None) -> int:
    return max(1, _wanted_rank(n, rate, confidence))


def _wanted_rank(n: int, rate: float, confidence: float | None) -> int:
    """Return j such that a threshold just above the j-th highest of n scores keeps the rate; 0 if none does."""
    return math.floor((n + 1) * _exact(rate)) if confidence is None else _confident_rank(n, rate, confidence)


def _confident_rank(n: int, rate: float, confidence: float) -> int:
    """Return the largest j for which the j-th most extreme of n scores cuts off at most `rate`, with `confidence`."""
    # The share beyond it is at most Beta(j, n + 1 - j), above `rate` as often as a binomial (n, rate) stays below j.
    fewer = np.logaddexp.accumulate(log_mass(log_choose(n), rate))[:-1]  # log P(X < j) for j = 1 .. n
    return int(np.count_nonzero(fewer <= _doubt(confidence)))


def _parts_needed(rate: float, confidence: float) -> int:
    """Return the smallest n for which `_confident_rank` is 1: the most extreme score cuts off at most `rate`."""
    n = max(1, math.floor(math.log1p(-confidence) / math.log1p(-rate)) - 1)
    while n * math.log1p(-rate) > _doubt(confidence):
        n += 1
    return n


def _doubt(confidence: float) -> float:
    """Return log(1 - confidence), a rounding error higher, so that 2 parts bound a rate of 1/2 with 75 % confidence."""
    return math.log1p(-confidence) + 1e-12


def above_rank(scores: ArrayLike, rank: int) -> float:
    """Return the lowest threshold that lets `rank` - 1 of the scores reach it: just above the `rank`-th highest.

    Args:
        scores: (n,) raw scores, n >= 1.
        rank: Rank from the highest, 1 or more; above n it counts as n.

    Returns:
        The threshold.

    Raises:
        InputError: no score, or one that is not finite.
    """
    found = _scores("pixel peak", scores, at_least=1)
    return _above(found, min(rank, len(found)))


def _above(scores: Scores, rank: int) -> float:
    """Return the lowest number above the `rank`-th highest of ascending scores."""
    return float(np.nextafter(scores[len(scores) - rank], np.inf))


def _between(cuts: Scores, index: int) -> tuple[float, str]:
    """Return the threshold that separates cuts[:index] from cuts[index:], and a warning where it separates nothing."""
    if index == 0:
        note = "Rejecting every calibration part is cheapest: the scores do not tell, or escapes cost more."
        return float(cuts[0]), note
    if index == len(cuts):
        return float(np.nextafter(cuts[-1], np.inf)), "Rejecting no calibration part is cheapest at these costs."
    below, above = float(cuts[index - 1]), float(cuts[index])
    middle = below / 2 + above / 2
    return (middle if middle > below else above), ""


def _scores(name: str, values: ArrayLike, at_least: int) -> Scores:
    """Return the values ascending in float64, checked."""
    try:
        found: Scores = np.sort(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} scores must be numbers, one a part: {error}") from error
    if found.ndim != 1 or len(found) < at_least:
        raise InputError(
            f"{name} scores have shape {found.shape}; needed are at least {at_least}, one a part. "
            "Calibrate with more parts."
        )
    if not np.isfinite(found).all():
        bad = int((~np.isfinite(found)).sum())
        raise InputError(f"{bad} of {len(found)} {name} scores are NaN or infinite; all must be finite numbers")
    return found


def _exact(rate: float) -> Fraction:
    """Return the decimal number that was written: 0.07 as 7/100, so that 100 x 0.07 is 7."""
    return Fraction(repr(rate))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.floating | np.integer) and not isinstance(value, bool)


def _sure(confidence: float) -> str:
    """Return a confidence in percent, rounded down to 3 digits of it, or of what it lacks to 100 %; never 100 %."""
    percent = 100 * Decimal(repr(float(confidence)))
    unit = Decimal(1).scaleb(min(percent, 100 - percent).adjusted() - 2)
    return f"{percent // unit * unit:f}".rstrip("0").rstrip(".") + " %"


def _percent(share: float) -> str:
    """Return the share in percent with 3 digits, rounded up: what is guaranteed must not look better than it is."""
    percent = 100 * share
    unit = 10.0 ** (math.floor(math.log10(percent)) - 2) if percent < 10 else 0.1 if percent < 90 else 0.001
    return f"{math.ceil(percent / unit - 1e-6) * unit:.6g} %"
