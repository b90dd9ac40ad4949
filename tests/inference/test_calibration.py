"""Thresholds keep what they promise: by simulation, against SciPy, and against searching everything."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from blemish.core.decision import defective
from blemish.core.errors import FormatError, InputError
from blemish.core.shares import clopper_pearson, upper_bound
from blemish.inference.calibration import (
    Calibration,
    from_costs,
    from_escape_rate,
    from_given,
    from_good,
)

finite = st.floats(-1e6, 1e6)
coarse = st.integers(0, 6).map(float)  # many ties
samples = st.lists(finite | coarse, min_size=2, max_size=40)


class TestDefective:
    def test_reaching_the_threshold_is_defective(self) -> None:
        assert defective(1.0, 1.0) is True
        assert defective(math.nextafter(1.0, 0), 1.0) is False
        assert defective(np.array([0.0, 1.0, 2.0]), 1.0).tolist() == [False, True, True]

    def test_a_float32_map_is_compared_with_the_float64_threshold(self) -> None:
        score = np.float32(0.1)
        threshold = math.nextafter(float(score), math.inf)  # rounds down to `score` in float32
        assert not defective(np.full((2, 2), score), threshold).any()
        assert not defective(score, threshold)  # type: ignore[call-overload]
        assert defective(np.full((2, 2), score), float(score)).all()

    @pytest.mark.parametrize(("score", "threshold"), [(math.nan, 0.0), (0.0, math.nan), (np.array([0, math.nan]), 0.0)])
    def test_nan_does_not_pass_as_good(self, score: Any, threshold: float) -> None:
        with pytest.raises(InputError, match="NaN"):
            defective(score, threshold)


class TestConfidenceIntervals:
    @pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.9999])
    @pytest.mark.parametrize("trials", [1, 2, 7, 59, 400, 3000])
    def test_equals_the_beta_quantiles(self, trials: int, confidence: float) -> None:
        tail = 1 - confidence
        for seen in sorted({0, 1, trials // 3, trials - 1, trials}):
            low, high = clopper_pearson(seen, trials, confidence)
            want_low = 0.0 if seen == 0 else stats.beta.ppf(tail / 2, seen, trials - seen + 1)
            want_high = 1.0 if seen == trials else stats.beta.ppf(1 - tail / 2, seen + 1, trials - seen)
            assert (low, high) == pytest.approx((want_low, want_high), abs=1e-9)
            want_upper = 1.0 if seen == trials else stats.beta.ppf(1 - tail, seen + 1, trials - seen)
            assert upper_bound(seen, trials, confidence) == pytest.approx(want_upper, abs=1e-9)

    def test_rule_of_three(self) -> None:
        assert upper_bound(0, 59) < 0.05 < upper_bound(0, 58)

    @pytest.mark.parametrize(
        ("seen", "trials", "confidence"), [(1, 0, 0.9), (3, 2, 0.9), (-1, 2, 0.9), (1, 2, 1), (1, 2, 0)]
    )
    def test_refuses_nonsense(self, seen: int, trials: int, confidence: float) -> None:
        with pytest.raises(InputError):
            clopper_pearson(seen, trials, confidence)
        with pytest.raises(InputError):
            upper_bound(seen, trials, confidence)


def _reject_rates(n: int, draws: int, rate: float, confidence: float | None = None) -> np.ndarray:
    """True false-reject rate of each of `draws` calibrations; scores are uniform, so it is 1 - threshold."""
    rng = np.random.default_rng(n)
    return np.array([1 - from_good(rng.random(n), rate, confidence).threshold for _ in range(draws)])


class TestFromGood:
    @pytest.mark.parametrize(("n", "rate"), [(19, 0.05), (99, 0.01), (99, 0.07), (30, 0.1)])
    def test_false_rejects_average_to_the_promise(self, n: int, rate: float) -> None:
        rates = _reject_rates(n, 2000, rate)
        error = 3 * rates.std() / math.sqrt(len(rates))
        assert rates.mean() <= rate + error
        assert rates.mean() >= rate - 1 / (n + 1) - error  # no more careful than the number of parts forces it to be

    def test_ties_reject_less_never_more(self) -> None:
        rng = np.random.default_rng(0)
        rejected = []
        for _ in range(3000):
            scores = rng.binomial(4, 0.3, 20).astype(float)
            rejected.append(defective(float(scores[-1]), from_good(scores[:-1], 0.2).threshold))
        assert np.mean(rejected) <= 0.2 + 3 * math.sqrt(0.2 * 0.8 / len(rejected))

    def test_threshold_is_just_above_the_order_statistic(self) -> None:
        scores = np.random.default_rng(0).permutation(99.0 + np.arange(99))
        for rate, rank in ((0.01, 99), (0.07, 93), (0.29, 71), (0.5, 50)):  # ceil(100 (1 - rate)), in exact arithmetic
            found = from_good(scores, rate)
            assert found.threshold == np.nextafter(98.0 + rank, np.inf)
            assert found.note == ""
            assert defective(scores, found.threshold).sum() == 99 - rank

    def test_too_few_parts_say_what_is_guaranteed(self) -> None:
        """Too few parts say what is guaranteed and what is needed."""
        found = from_good(np.arange(98.0), 0.01)
        assert found.threshold == np.nextafter(97.0, np.inf)
        assert "1.02 %" in found.guarantee  # 1 in 99, rounded up
        assert "98 parts" in found.guarantee
        assert "at least 99 held-out" in found.note
        assert from_good(np.arange(99.0), 0.01).note == ""

    def test_scores_that_are_all_the_same_are_pointed_out(self):
        found = from_good(np.zeros(99), 0.01)
        assert "All 99 parts score the same, 0" in found.note
        assert found.threshold > 0
        assert "at least 99 held-out" in from_good(np.zeros(9), 0.01).note, "the other warning stays"

    @pytest.mark.parametrize(("n", "rate", "confidence"), [(100, 0.05, 0.95), (59, 0.05, 0.95), (200, 0.1, 0.8)])
    def test_with_confidence_few_calibrations_break_the_promise(self, n: int, rate: float, confidence: float) -> None:
        rates = _reject_rates(n, 1000, rate, confidence)
        broken = (rates > rate).mean()
        assert broken <= 1 - confidence + 3 * math.sqrt(confidence * (1 - confidence) / len(rates))

    @pytest.mark.parametrize(("n", "rate", "confidence"), [(100, 0.05, 0.95), (500, 0.02, 0.9), (60, 0.5, 0.5)])
    def test_with_confidence_takes_the_smallest_order_statistic(self, n: int, rate: float, confidence: float) -> None:
        k = next(k for k in range(1, n + 1) if stats.beta.sf(1 - rate, k, n + 1 - k) >= confidence)
        assert from_good(np.arange(n), rate, confidence).threshold == np.nextafter(k - 1.0, np.inf)

    def test_with_confidence_too_few_parts_say_how_many(self) -> None:
        found = from_good(np.arange(58.0), 0.05, 0.95)
        assert found.threshold == np.nextafter(57.0, np.inf)
        assert "at least 59 held-out" in found.note
        assert pytest.approx(0.05034, abs=1e-5) == 1 - 0.05 ** (1 / 58)
        assert "5.04 %" in found.guarantee  # rounded up
        assert from_good(np.arange(59.0), 0.05, 0.95).note == ""
        assert "at least 299 held-out" in from_good(np.arange(58.0), 0.01, 0.95).note

    @pytest.mark.parametrize(
        ("confidence", "said"),
        [
            (0.95, "95 %"),
            (0.9, "90 %"),
            (0.5, "50 %"),
            (0.999, "99.9 %"),
            (0.99999, "99.999 %"),
            (0.999999, "99.9999 %"),
            (0.9999999999999999, "99.99999999999999 %"),
            (0.9512345, "95.12 %"),
            (0.6666666, "66.6 %"),
            (0.001, "0.1 %"),
            (0.0012349, "0.123 %"),
        ],
    )
    def test_a_confidence_is_never_said_to_be_more_than_it_is(self, confidence: float, said: str) -> None:
        assert f"With {said} confidence" in from_good(np.arange(500.0), 0.2, np.float64(confidence)).guarantee
        with pytest.raises(InputError, match=f"with {re.escape(said)} confidence needs"):
            from_escape_rate([0.0, 1.0], [0.0, 1.0], 1e-4 if confidence > 0.1 else 1e-6, confidence)

    def test_pixel_threshold_follows_the_same_rule_on_peaks(self) -> None:
        peaks = np.arange(19.0)[::-1] * 3
        found = from_good(np.arange(19.0), 0.1, pixel_peaks=peaks)
        assert found.pixel_threshold == np.nextafter(51.0, np.inf)
        assert defective(peaks, found.pixel_threshold).sum() == 1
        assert from_good(np.arange(19.0), 0.1).pixel_threshold is None

    def test_constant_scores_reject_nothing_of_the_same(self) -> None:
        found = from_good([0.0, 0.0, 0.0], 0.3)
        assert not defective(0.0, found.threshold)
        assert defective(1e-9, found.threshold)

    @given(samples, st.sampled_from([0.01, 0.05, 0.07, 0.1, 0.29, 0.5, 0.9]), finite | coarse)
    def test_defective_iff_the_p_value_is_at_most_the_rate(self, good: list[float], rate: float, score: float) -> None:
        found = from_good(good, rate)
        p_value = found.p_value(score)
        assert p_value == (1 + sum(g >= score for g in good)) / (len(good) + 1)
        if not found.note:
            smallest = Fraction(round(p_value * (len(good) + 1)), len(good) + 1)
            assert defective(score, found.threshold) == (smallest <= Fraction(repr(rate)))

    def test_p_values_of_good_parts_are_super_uniform(self) -> None:
        rng = np.random.default_rng(1)
        for draw in (rng.random, lambda n: rng.integers(0, 5, n).astype(float)):
            found = np.array([from_good(s[1:]).p_value(s[0]) for s in (draw(20) for _ in range(2000))])
            for u in (0.05, 0.1, 0.3, 0.5, 0.8):
                assert (found <= u).mean() <= u + 3 * math.sqrt(u * (1 - u) / len(found))

    @pytest.mark.parametrize("scores", [[], [1.0], [1.0, math.nan], [1.0, math.inf], [[1.0, 2.0]], ["a", "b"], 3.0])
    def test_refuses_scores_it_cannot_use(self, scores: Any) -> None:
        with pytest.raises(InputError, match="good scores"):
            from_good(scores)
        with pytest.raises(InputError, match="pixel peak"):
            from_good([1.0, 2.0], pixel_peaks=scores)

    def test_every_part_has_a_score_and_a_peak(self) -> None:
        with pytest.raises(InputError, match="2 pixel peaks and 99 scores"):
            from_good(np.arange(99.0), pixel_peaks=[1.0, 2.0])

    @pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5, math.nan, "0.1", True])
    def test_refuses_rates_that_are_none(self, rate: Any) -> None:
        with pytest.raises(InputError, match="false_reject_rate"):
            from_good([1.0, 2.0], rate)
        with pytest.raises(InputError, match="confidence"):
            from_good([1.0, 2.0], 0.1, rate)


class TestFromCosts:
    @given(samples, samples, st.integers(1, 20), st.integers(0, 20), st.sampled_from([Fraction(1, 10), Fraction(1, 2)]))
    def test_equals_trying_every_threshold(
        self, good: list[float], bad: list[float], escape: int, reject: int, share: Fraction
    ) -> None:
        def outcome(threshold: float) -> tuple[Fraction, int, int]:
            escapes, rejects = sum(b < threshold for b in bad), sum(g >= threshold for g in good)
            cost = share * escape * Fraction(escapes, len(bad)) + (1 - share) * reject * Fraction(rejects, len(good))
            return cost, escapes, rejects

        found = from_costs(good, bad, escape, reject, float(share))
        every = sorted({*good, *bad})
        assert outcome(found.threshold) == min(map(outcome, [*every, math.nextafter(every[-1], math.inf)]))

    def test_threshold_lies_in_the_middle_of_the_gap(self) -> None:
        found = from_costs([0.0, 1.0], [3.0, 4.0], 1, 1, 0.5)
        assert found.threshold == 2.0
        assert "0 escaped and 0 falsely rejected" in found.guarantee
        assert found.note == ""

    def test_threshold_separates_neighbouring_floats(self) -> None:
        above = math.nextafter(1.0, 2)
        found = from_costs([0.0, 1.0], [above, above], 1, 1, 0.5)
        assert defective(above, found.threshold)
        assert not defective(1.0, found.threshold)

    def test_rounding_does_not_break_a_tie_towards_escapes(self) -> None:
        """Both cost 0.9 in exact arithmetic; in floats the one with two escapes looks cheaper."""
        good, bad = [0.0, 1.0, 3.0, 4.0, 4.0, 5.0], [0.0, 0.0, 3.0, 3.0, 4.0, 5.0]
        found = from_costs(good, bad, 9, 1, 0.1)
        assert defective(np.array(bad), found.threshold).all()

    def test_rejects_that_cost_nothing_are_not_made_for_nothing(self) -> None:
        found = from_costs([0.0, 1.0, 4.0], [3.0, 5.0], 2, 0, 0.5)
        assert found.threshold == 2.0
        assert "0 escaped and 1 falsely rejected" in found.guarantee
        assert found.note == ""

    def test_extreme_costs_reject_everything_or_nothing_and_say_so(self) -> None:
        everything = from_costs([0.0, 2.0], [1.0, 3.0, -1.0], 1, 0, 0.5)
        assert everything.threshold == -1.0
        assert "every" in everything.note
        nothing = from_costs([0.0, 2.0], [1.0, 1.5], 0, 1, 0.5)
        assert not defective(2.0, nothing.threshold)
        assert "no calibration part" in nothing.note

    @pytest.mark.parametrize(
        ("costs", "match"),
        [
            ((-1, 1, 0.5), "cost_escape"),
            ((1, -1, 0.5), "cost_false_reject"),
            ((math.inf, 1, 0.5), "cost_escape"),
            ((0, 0, 0.5), "both 0"),
            ((1, 1, 0), "defect_share"),
            ((1, 1, 1), "defect_share"),
        ],
    )
    def test_refuses_costs_that_decide_nothing(self, costs: tuple[float, float, float], match: str) -> None:
        with pytest.raises(InputError, match=match):
            from_costs([0.0, 1.0], [2.0, 3.0], *costs)
        with pytest.raises(InputError, match="defect scores"):
            from_costs([0.0, 1.0], [], 1, 1, 0.5)


@pytest.mark.slow
class TestFromEscapeRate:
    @given(samples, st.lists(finite | coarse, min_size=30, max_size=80), st.sampled_from([0.1, 0.2, 0.5]))
    def test_is_the_highest_score_whose_bound_holds(self, good: list[float], bad: list[float], rate: float) -> None:
        found = from_escape_rate(good, bad, rate, 0.9)
        held = [t for t in bad if upper_bound(sum(b < t for b in bad), len(bad), 0.9) <= rate]
        assert found.threshold == max(held)

    def test_few_calibrations_break_the_promise(self) -> None:
        rng = np.random.default_rng(0)
        escaped = np.array([from_escape_rate([0, 1], rng.random(100), 0.05, 0.9).threshold for _ in range(1000)])
        broken = (escaped > 0.05).mean()
        assert 0.02 < broken <= 0.1 + 3 * math.sqrt(0.1 * 0.9 / 1000)

    def test_too_few_defects_say_how_many_are_needed(self) -> None:
        with pytest.raises(InputError, match="at least 59 defective parts; there are 58"):
            from_escape_rate([0.0, 1.0], np.arange(58.0), 0.05)
        assert from_escape_rate([0.0, 1.0], np.arange(59.0), 0.05).threshold == 0.0

    @pytest.mark.parametrize(
        ("rate", "confidence", "needed"), [(0.5, 0.75, 2), (0.9, 0.99, 2), (0.6, 0.84, 2), (0.5, 1 - 2**-53, 53)]
    )
    def test_as_many_defects_as_are_said_to_be_needed_suffice(
        self, rate: float, confidence: float, needed: int
    ) -> None:
        assert from_escape_rate([0.0, 1.0], np.arange(float(needed)), rate, confidence).threshold == 0.0

    def test_reports_the_false_rejects_with_their_bound(self) -> None:
        found = from_escape_rate(np.arange(100.0), 95 + np.arange(59.0), 0.05)
        assert found.threshold == 95.0
        assert "(5 of them were)" in found.guarantee
        assert stats.beta.ppf(0.95, 6, 95) == pytest.approx(0.10225, abs=1e-5)
        assert "10.3 %" in found.guarantee  # rounded up


class TestGiven:
    def test_is_kept_and_its_good_parts_are_counted(self) -> None:
        found = from_given(np.arange(100.0), 95)
        assert (found.threshold, found.rule, found.wanted, found.pixel_threshold) == (95.0, "given", 95.0, None)
        assert "5 of 100 good parts reach it" in found.guarantee
        assert stats.beta.ppf(0.95, 6, 95) == pytest.approx(0.10225, abs=1e-5)
        assert "at most 10.3 % of good parts" in found.guarantee

    @pytest.mark.parametrize("threshold", [math.nan, math.inf, "2", None, True])
    def test_must_be_a_number(self, threshold: Any) -> None:
        with pytest.raises(InputError, match="finite number"):
            from_given([1.0, 2.0], threshold)


class TestStored:
    @given(samples, st.none() | finite)
    def test_survives_json_exactly(self, good: list[float], pixel: float | None) -> None:
        found = replace(from_good(good, 0.3, pixel_peaks=good[::-1]), pixel_threshold=pixel)
        again = Calibration.from_dict(json.loads(json.dumps(found.as_dict(), allow_nan=False)))
        assert again == found
        assert isinstance(again.good_scores, tuple)

    @pytest.mark.parametrize(
        "damage",
        [
            {"good_scores": []},
            {"good_scores": [2.0, 1.0]},
            {"good_scores": [1.0, math.nan]},
            {"good_scores": "12"},
            {"good_scores": ["1", "2"]},
            {"good_scores": [1.0, 10**400]},
            {"threshold": None},
            {"threshold": math.inf},
            {"threshold": True},
            {"pixel_threshold": "high"},
            {"pixel_threshold": math.nan},
            {"wanted": None},
            {"rule": 3},
            {"note": None},
            {"unheard_of": 1},
        ],
    )
    def test_damage_is_noticed(self, damage: dict[str, Any]) -> None:
        stored = from_good([1.0, 2.0], 0.5).as_dict()
        assert Calibration.from_dict(stored).wanted == 0.5
        with pytest.raises(FormatError):
            Calibration.from_dict(stored | damage)

    @pytest.mark.parametrize("name", list(from_good([1.0, 2.0], 0.5).as_dict()))
    def test_a_missing_entry_is_noticed(self, name: str) -> None:
        stored = from_good([1.0, 2.0], 0.5).as_dict()
        del stored[name]
        with pytest.raises(FormatError):
            Calibration.from_dict(stored)

    @pytest.mark.parametrize("stored", [None, [], "text", 3])
    def test_something_else_is_refused(self, stored: Any) -> None:
        with pytest.raises(FormatError):
            Calibration.from_dict(stored)

    def test_p_value_of_nan_is_refused(self) -> None:
        with pytest.raises(InputError):
            from_good([1.0, 2.0], 0.5).p_value(math.nan)
