"""Protocols do to a split and to images what their names say, and nothing else."""

import contextlib
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blemish.core.errors import InputError, UnknownName
from blemish.data import Folder
from blemish.data.record import Record
from blemish.evaluation.settings import (
    KINDS,
    Continual,
    FewShot,
    Noisy,
    Protocol,
    Robustness,
    Subsets,
    Unified,
    Unlabelled,
    parse,
    protocol,
)
from blemish.imaging.images import Imaging
from blemish.imaging.reading import read, read_mask
from parts import write_folder


def records(count: int, label: int, split: str) -> list[Record]:
    return [
        Record(f"{split}/{label}/{i:03}.png", {"image": Path("x")}, "good" if not label else "cut", label, split)
        for i in range(count)
    ]


SPLIT = Subsets(records(20, 0, "train"), records(5, 0, "validation"), [*records(6, 0, "test"), *records(8, 1, "test")])


def keys(found: list[Record]) -> set[str]:
    return {record.key for record in found}


@pytest.mark.parametrize("made", [Protocol(), Unified()])
def test_one_class_and_unified_leave_every_record_where_it_is(made) -> None:
    assert made.split(SPLIT) == SPLIT
    assert made.changed(SPLIT.test, Imaging(), Path("unused")) == SPLIT.test


def test_few_shot_draws_nested_sets_of_good_images() -> None:
    """Few shot draws k good images and a larger k contains a smaller."""
    found = {(k, d): FewShot(k, d).split(SPLIT) for k, d in itertools.product((1, 2, 4, 8), range(5))}
    for (k, draw), split in found.items():
        assert len(split.train) == k
        assert keys(split.train) <= keys(SPLIT.train) | keys(SPLIT.held_out)
        assert split.held_out == []
        assert split.test == SPLIT.test
        assert k == 1 or keys(found[k // 2, draw].train) < keys(split.train)
    assert len({frozenset(keys(found[4, draw].train)) for draw in range(5)}) > 1
    with pytest.raises(InputError, match=r"k is 26; it must be from 1 to 25"):
        FewShot(26).split(SPLIT)


@pytest.mark.parametrize("overlap", [True, False])
def test_noisy_training_holds_its_share_of_defects(overlap) -> None:
    """Noisy training holds the share of defective images and tests them only with overlap."""
    split = Noisy(0.2, overlap, draw=3).split(SPLIT)
    moved = keys(split.train) - keys(SPLIT.train)
    assert len(split.train) == 24
    assert moved < keys([r for r in SPLIT.test if r.label])
    assert all(r.label == 0 and r.split == "train" for r in split.train)  # they are taken to be good
    assert split.held_out == SPLIT.held_out
    assert (moved <= keys(split.test)) is overlap
    assert len(split.test) == (14 if overlap else 10)
    assert [r for r in SPLIT.test if r.key not in moved] == [r for r in split.test if r.key not in moved]
    assert moved < keys(Noisy(0.3, overlap, draw=3).split(SPLIT).train)
    assert moved != keys(Noisy(0.2, overlap, draw=4).split(SPLIT).train) - keys(SPLIT.train)


def test_noisy_training_says_which_share_can_be_had() -> None:
    assert len(Noisy(0.4, overlap=True).split(SPLIT).train) == 28
    with pytest.raises(
        InputError, match=r"8 defective images among 20 good ones, but at most 7 of 8.*share up to 0.35"
    ):
        Noisy(0.4).split(SPLIT)
    assert [r.label for r in Noisy(0.35).split(SPLIT).test].count(1) == 1


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> list[Record]:
    root = write_folder(tmp_path_factory.mktemp("changes"), good=6, bad=3, size=(48, 64))
    return Folder(root, holdout=0).test_records


def changed(parts, folder, name, strength) -> list[tuple[np.ndarray, np.ndarray]]:
    found = Robustness(name, strength).changed(parts, Imaging(), folder)
    assert [(r.key, r.label, r.kind, len(r.masks)) for r in found] == [
        (r.key, r.label, r.kind, len(r.masks)) for r in parts
    ]
    return [(read(before.image), read(after.image)) for before, after in zip(parts, found, strict=True)]


@pytest.mark.parametrize(
    ("name", "strength"), [("brightness", 1), ("contrast", 1), ("blur", 0), ("noise", 0), ("rotation", 0)]
)
def test_a_change_of_no_strength_changes_nothing(parts, tmp_path, name, strength) -> None:
    for before, after in changed(parts, tmp_path, name, strength):
        assert np.abs(before - after).max() < 1e-6


def test_each_change_does_what_its_name_says(parts, tmp_path) -> None:
    for before, after in changed(parts, tmp_path / "b", "brightness", 0.5):
        np.testing.assert_allclose(after, before / 2, atol=1e-5)
    for before, after in changed(parts, tmp_path / "c", "contrast", 0.5):
        assert after.std() == pytest.approx(before.std() / 2, rel=1e-3)
        assert after.mean() == pytest.approx(before.mean(), abs=1e-4)
    for before, after in changed(parts, tmp_path / "g", "blur", 8):  # 1.5 pixels here
        assert np.abs(np.diff(after, axis=1)).mean() < 0.9 * np.abs(np.diff(before, axis=1)).mean()
        assert after.mean() == pytest.approx(before.mean(), abs=0.01)
    differences = [after - before for before, after in changed(parts, tmp_path / "n", "noise", 0.03)]
    assert np.std(differences) == pytest.approx(0.03, rel=0.1)
    assert np.abs(differences[0] - differences[1]).max() > 0.01  # every image its own grain
    fine = [np.abs(a - b).mean() for b, a in changed(parts, tmp_path / "j", "jpeg", 95)]
    coarse = [np.abs(a - b).mean() for b, a in changed(parts, tmp_path / "k", "jpeg", 10)]
    assert 0 < np.mean(fine) < np.mean(coarse) / 2


def test_the_grain_depends_on_the_image_alone(parts, tmp_path) -> None:
    one = changed(parts, tmp_path / "a", "noise", 0.1)
    other = changed(parts[::-1], tmp_path / "b", "noise", 0.1)[::-1]
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(one, other, strict=True))


def test_masks_follow_a_rotation(parts, tmp_path) -> None:
    found = Robustness("rotation", 180.0).changed(parts, Imaging(), tmp_path)
    for before, after in zip(parts, found, strict=True):
        np.testing.assert_allclose(read(after.image), read(before.image)[::-1, ::-1], atol=1e-3)
        for mask, turned in zip(before.masks, after.masks, strict=True):
            assert np.array_equal(read_mask(turned, above=after.mask_above), read_mask(mask)[::-1, ::-1])
    small = Robustness("rotation", 10.0).changed(parts, Imaging(), tmp_path / "small")
    bad = next(i for i, record in enumerate(parts) if record.masks)
    marked, turned = read_mask(parts[bad].masks[0]), read_mask(small[bad].masks[0])
    assert 0 < (marked ^ turned).sum() < marked.sum()
    assert not (tmp_path / "masks0" / f"{parts[0].key}.png").exists() or parts[0].masks


def test_a_sensors_white_is_kept(tmp_path) -> None:
    from blemish.imaging.reading import encode_png

    place = tmp_path / "x.png"
    place.write_bytes(encode_png(np.full((16, 16), 2000, np.uint16)))
    imaging = Imaging(white=4000)
    (found,) = Robustness("brightness", 0.5).changed(
        [Record("x.png", {"image": place}, split="test")], imaging, tmp_path / "out"
    )
    assert imaging.read(found.image).mean() == pytest.approx(0.25, abs=1e-3)


def test_settings_come_back_as_they_went() -> None:
    for made in (Protocol(), Unified(), FewShot(4, 1), Noisy(0.05, True, 2), Robustness("jpeg", 30.0)):
        assert protocol(made.as_dict()) == made
    assert protocol({"kind": "robustness", "change": "blur", "strength": 2}).strength == 2.0
    assert FewShot(4, 1).name == "few-shot-4"
    assert (FewShot(4, 1).drawn, Protocol().drawn) == (1, None)


def test_errors_name_the_value_and_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"unknown protocol 'few_shots'. Did you mean 'few-shot'"):
        protocol({"kind": "few_shots"})
    with pytest.raises(UnknownName, match=r"setting of protocol noisy 'shares'. Did you mean 'share'"):
        protocol({"kind": "noisy", "shares": 0.1})
    with pytest.raises(UnknownName, match=r"change of robustness 'brightnes'. Did you mean 'brightness'"):
        protocol({"kind": "robustness", "change": "brightnes"})
    with pytest.raises(InputError, match="k of protocol few-shot is '4'; it must be int"):
        protocol({"kind": "few-shot", "k": "4"})
    with pytest.raises(InputError, match=r"strength of jpeg is 0.0; it must be from 1 to 100"):
        protocol({"kind": "robustness", "change": "jpeg", "strength": 0})


JSON = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "4", "blur"])
    | st.lists(st.integers(), max_size=2)
)


@given(st.sampled_from([*KINDS, "x"]), st.dictionaries(st.sampled_from(["k", "draw", "share", "strength", "y"]), JSON))
def test_any_settings_make_a_protocol_or_an_input_error(kind, settings) -> None:
    """No settings do anything but make a protocol or an input error."""
    with contextlib.suppress(InputError):
        assert isinstance(protocol({"kind": kind, **settings}), Protocol)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("one-class", Protocol()),
        ("few-shot:k=4,draw=1", FewShot(4, 1)),
        ("noisy:share=0.2,overlap=true", Noisy(0.2, overlap=True)),
        ("robustness:change=blur,strength=2", Robustness("blur", 2.0)),
        ("unlabelled", Unlabelled()),
        ("continual", Continual()),
    ],
)
def test_a_text_names_a_protocol(text, meant) -> None:
    assert parse(text) == meant
    assert protocol(meant.as_dict()) == meant


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("few-shots:k=4", "unknown protocol 'few-shots'. Did you mean 'few-shot'"),
        ("few-shot:k", "the setting 'k' of protocol few-shot has no value; write it as few-shot:k=4"),
        ("few-shot:k=four", "k of protocol few-shot is 'four'; it must be int"),
        ("noisy:shares=0.1", "Did you mean 'share'"),
    ],
)
def test_a_text_that_names_none_is_refused(text, said) -> None:
    with pytest.raises(InputError, match=said):
        parse(text)


def test_unlabelled_is_the_test_images_without_their_truth() -> None:
    subsets = Subsets(
        records(4, 0, "train"), records(2, 0, "validation"), [*records(3, 0, "test"), *records(2, 1, "test")]
    )
    found = Unlabelled().split(subsets)
    assert [record.key for record in found.train] == [record.key for record in subsets.test]
    assert {(record.label, record.split, record.masks) for record in found.train} == {(0, "train", ())}
    assert found.test == subsets.test
    assert found.held_out == subsets.held_out
