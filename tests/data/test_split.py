from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blemish.core.errors import DataError, InputError
from blemish.data.record import Record
from blemish.data.split import few_shot, hold_out, hold_out_groups, split_hash, train_test

KEYS = st.sets(st.text(min_size=1, max_size=6), max_size=40)
SHARES = st.floats(0, 1, exclude_max=True)


def parts(keys, **values):
    return [Record(key, {"image": Path(key)}, **values) for key in keys]


def grouped(records, letters):
    return [replace(record, group=record.key[:letters]) for record in records]


FIXED = ["037.png", "047.png", "065.png", "082.png"]
MANY = parts([f"{i:03}.png" for i in range(100)])


@given(KEYS, SHARES, st.integers(), st.randoms(use_true_random=False))
def test_hold_out_divides_and_ignores_order(keys, share, seed, random):
    records = parts(keys)
    fit, held = hold_out(records, share, seed)
    assert sorted(r.key for r in fit + held) == sorted(keys)
    assert [r.key for r in held] == sorted(r.key for r in held)
    if share and len(keys) > 1:
        assert fit
        assert held
        assert abs(len(held) - share * len(keys)) <= 1
    elif not share:
        assert not held
    random.shuffle(records)
    assert hold_out(records, share, seed) == (fit, held)


@given(KEYS, st.text(min_size=7, max_size=8), SHARES, st.integers(0, 9))
def test_one_file_more_moves_at_most_one_other(keys, new, share, seed):
    before = {r.key for r in hold_out(parts(keys), share, seed)[1]}
    after = {r.key for r in hold_out(parts(keys | {new}), share, seed)[1]} - {new}
    assert len(before ^ after) <= 1


def test_hold_out_is_fixed_for_good():
    """The ranks are the promise that a run of today is repeated by tomorrow's version."""
    order = sorted(MANY, key=lambda r: hashlib.sha256(json.dumps(["hold out", 0, r.key]).encode()).hexdigest())
    assert {r.key for r in hold_out(MANY, 0.2, 0)[1]} == {r.key for r in order[:20]}
    assert [r.key for r in hold_out(MANY, 0.04, 0)[1]] == FIXED


def test_seeds_differ_and_hold_everybody_once_in_a_while():
    held = [frozenset(r.key for r in hold_out(MANY, 0.2, seed)[1]) for seed in range(60)]
    assert len(set(held)) == 60
    assert frozenset().union(*held) == {r.key for r in MANY}


@pytest.mark.parametrize("share", [-0.1, 1.0, 2, float("nan")])
def test_impossible_share(share):
    with pytest.raises(InputError, match="from 0 to below 1"):
        hold_out(MANY, share, 0)


def test_same_key_twice():
    with pytest.raises(DataError, match=r"two records are called '000\.png'"):
        hold_out([*MANY, MANY[0]], 0.2, 0)


@given(KEYS, SHARES, st.integers(0, 9))
def test_groups_stay_together(keys, share, seed):
    fit, held = hold_out_groups(grouped(parts(keys), 1), share, seed)
    assert sorted(r.key for r in fit + held) == sorted(keys)
    assert not {r.key[0] for r in fit} & {r.key[0] for r in held}
    assert len(held) <= max(1, round(share * len(keys)))


def test_without_a_group_a_record_stands_alone():
    assert len(hold_out_groups(MANY, 0.35, 0)[1]) == 35


def test_groups_fill_the_share():
    held = hold_out_groups(grouped(MANY, 2), 0.35, 0)[1]
    assert len(held) == 30  # whole tens, and 40 would be more than 35


@given(KEYS.filter(bool), st.integers(0, 9))
def test_few_shot_is_nested(keys, seed):
    chosen = [few_shot(parts(keys), k, seed) for k in range(1, len(keys) + 1)]
    assert [len(c) for c in chosen] == list(range(1, len(keys) + 1))
    for small, large in pairwise(chosen):
        assert {r.key for r in small} < {r.key for r in large}


@pytest.mark.parametrize("k", [0, -1, 101])
def test_impossible_few_shot(k):
    with pytest.raises(InputError, match="from 1 to 100"):
        few_shot(MANY, k, 0)


def test_few_shot_does_not_prefer_who_was_held():
    held = {r.key for r in hold_out(MANY, 0.2, 0)[1]}
    assert {r.key for r in few_shot(MANY, 20, 0)} != held


def test_train_test_keeps_good_for_testing_in_each_category():
    a, b, lone = parts("abcdefghij", category="A"), parts("klmnopqrst", category="B"), parts("x", category="C")
    bad, unknown = parts("y", label=1, kind="cut"), parts("z", label=None)
    records = train_test([*a, *b, *lone, *bad, *unknown], 0.2, 0)
    assert [r.key for r in records] == sorted("abcdefghijklmnopqrstxyz")
    tested = [r for r in records if r.split == "test"]
    assert [sum(r.category == c for r in tested) for c in "ABC"] == [2, 2, 0]
    assert {r.key for r in tested} >= {"y", "z"}


def test_split_hash():
    first = split_hash(MANY)
    assert split_hash(MANY[::-1]) == first
    assert len(first) == 64
    for other in (replace(MANY[0], split="test"), replace(MANY[0], label=1), replace(MANY[0], key="else")):
        assert split_hash([other, *MANY[1:]]) != first
    assert split_hash([replace(MANY[0], files={"image": Path("/elsewhere")}), *MANY[1:]]) == first
