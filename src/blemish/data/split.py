"""Which records are held out, decided by their keys and a seed: the same on every machine, in any listing order.

Every record gets a rank from the SHA-256 of seed and key. Shares are exact, so a file that is added or removed moves at
most one other across the border, and changes nothing about the order of the rest.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

from blemish.core.errors import DataError, InputError
from blemish.data.record import Record


def hold_out(records: Iterable[Record], share: float, seed: int) -> tuple[list[Record], list[Record]]:
    """Split records into two parts.

    With two records or more and a share above 0 both parts get at least one.

    Args:
        records: Records with unique keys.
        share: Share to hold out, rounded to whole records, in [0, 1).
        seed: Random seed of the choice.

    Returns:
        The remaining and the held-out records, each sorted by key.

    Raises:
        InputError: `share` is not in [0, 1).
        DataError: two records have the same key.
    """
    return _part(records, share, seed, "hold out")


def hold_out_groups(records: Iterable[Record], share: float, seed: int) -> tuple[list[Record], list[Record]]:
    """Split records into two parts without dividing a `Record.group`: images of one part stay together.

    Groups are held out in the order of their rank as long as they fit into the share; so no more than the share is held
    out, and less only where no remaining group fits.

    Args:
        records: Records with unique keys.
        share: Largest share to hold out, rounded to whole records, in [0, 1).
        seed: Random seed of the choice.

    Returns:
        The remaining and the held-out records, the latter sorted by key.

    Raises:
        InputError: `share` is not in [0, 1).
        DataError: two records have the same key.
    """
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in _by_key(records):
        groups[record.group or record.key].append(record)
    room = _count(sum(map(len, groups.values())), share)
    held: list[Record] = []
    for name in sorted(groups, key=lambda name: _rank(name, seed, "hold out groups")):
        if len(groups[name]) <= room - len(held):
            held += groups[name]
    chosen = {record.key for record in held}
    return [r for members in groups.values() for r in members if r.key not in chosen], _by_key(held)


def few_shot(records: Iterable[Record], k: int, seed: int) -> list[Record]:
    """Choose a few records; with the same seed a larger choice contains every smaller one.

    Args:
        records: Records with unique keys.
        k: Number of records to choose.
        seed: Random seed of the choice.

    Returns:
        `k` records, sorted by key.

    Raises:
        InputError: `k` is below 1 or there are fewer records.
        DataError: two records have the same key.
    """
    ranked = _ranked(records, seed, "few shot")
    if not 1 <= k <= len(ranked):
        raise InputError(f"k is {k}; it must be from 1 to {len(ranked)}, the number of records")
    return _by_key(ranked[:k])


def train_test(records: Iterable[Record], test_share: float, seed: int) -> list[Record]:
    """Split the records of a folder that has no splits of its own into training and testing.

    Records that are not good are all for testing. Each category is split separately. A single good record stays in
    training, unless the share is 1.

    Args:
        records: Records with unique keys.
        test_share: Share of the good records for testing, in [0, 1].
        seed: Random seed of the choice.

    Returns:
        The records with their split set, sorted by key.

    Raises:
        InputError: `test_share` is not in [0, 1].
        DataError: two records have the same key.
    """
    if test_share == 1:
        return _by_key(replace(record, split="test") for record in records)
    good: dict[str, list[Record]] = defaultdict(list)
    result: list[Record] = []
    for record in records:
        if record.label == 0:
            good[record.category].append(record)
        else:
            result.append(replace(record, split="test"))
    for members in good.values():
        train, test = _part(members, test_share, seed, "train test")
        result += [replace(record, split="train") for record in train]
        result += [replace(record, split="test") for record in test]
    return _by_key(result)


def held_share(train_share: float) -> float:
    """Return the share to hold out for a given training share.

    Args:
        train_share: Share to train on, in (0, 1].

    Returns:
        The remaining share, in [0, 1).

    Raises:
        InputError: `train_share` is not above 0 and up to 1.
    """
    if not 0 < train_share <= 1:
        raise InputError(f"train_share is {train_share}; it must be above 0 and up to 1, for example 0.8")
    return 1 - train_share


def split_hash(records: Iterable[Record]) -> str:
    """Hash a split: key, split and label of every record.

    Args:
        records: The records, in any order.

    Returns:
        The SHA-256 as hexadecimal digits.
    """
    lines = sorted(json.dumps([record.key, record.split, record.label]) for record in records)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _part(records: Iterable[Record], share: float, seed: int, purpose: str) -> tuple[list[Record], list[Record]]:
    ranked = _ranked(records, seed, purpose)
    count = _count(len(ranked), share)
    return _by_key(ranked[count:]), _by_key(ranked[:count])


def _count(total: int, share: float) -> int:
    if not 0 <= share < 1:
        raise InputError(f"the share is {share}; it must be from 0 to below 1, for example 0.2")
    if share == 0 or total < 2:
        return 0
    return min(max(round(share * total), 1), total - 1)


def _ranked(records: Iterable[Record], seed: int, purpose: str) -> list[Record]:
    return sorted(_by_key(records), key=lambda record: _rank(record.key, seed, purpose))


def _rank(name: str, seed: int, purpose: str) -> str:
    # The purpose makes two choices with one seed independent: otherwise few_shot would prefer what hold_out holds out.
    return hashlib.sha256(json.dumps([purpose, seed, name]).encode()).hexdigest()


def _by_key(records: Iterable[Record]) -> list[Record]:
    ordered = sorted(records, key=lambda record: record.key)
    for one, other in pairwise(ordered):
        if one.key == other.key:
            raise DataError(f"two records are called {one.key!r}; keys must be unique. Check how they were indexed.")
    return ordered
