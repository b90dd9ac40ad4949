"""A data set at work: what its constructor accepts."""

import pytest

from blemish.core.errors import InputError, UnknownName
from blemish.data import Folder, MVTecAD
from blemish.data.datamodule import DataModule


def test_a_wrong_argument_is_named_at_once_with_what_is_nearest(tmp_path) -> None:
    with pytest.raises(UnknownName, match=r"argument of Folder 'batch_size'.*'train_batch_size'"):
        Folder(tmp_path, batch_size=8)
    with pytest.raises(UnknownName, match="Did you mean 'mask_above'"):
        Folder(tmp_path, masks_above=8)
    with pytest.raises(UnknownName, match="argument of MVTecAD 'good'"):
        MVTecAD(tmp_path, "bottle", good="ok")
    assert Folder(tmp_path, mask_above=8).options == {"mask_above": 8}


def test_words_of_other_libraries_are_answered_with_ours(tmp_path) -> None:
    """The words of other libraries are answered with ours all at once."""
    theirs = ["name", "normal_dir", "abnormal_dir", "mask_dir", "normal_test_dir", "normal_split_ratio"]
    theirs += ["val_split_mode", "num_workers", "task", "transform"]
    with pytest.raises(InputError, match="Folder has no arguments 'name', 'normal_dir'") as told:
        Folder(tmp_path, **dict.fromkeys(theirs, "x"))
    for word, ours in [("normal_dir", "`good`"), ("abnormal_dir", "`defective`"), ("mask_dir", "`masks`")]:
        assert f"{word}: say {ours}." in str(told.value)
    assert all(f"{word}: " in str(told.value) for word in theirs)
    assert "Did you mean" not in str(told.value)
    with pytest.raises(InputError, match=r"MVTecAD has no argument 'num_workers'\. num_workers: leave it out"):
        MVTecAD(tmp_path, "bottle", num_workers=8)
    with pytest.raises(UnknownName, match=r"'batch_size'.*num_workers: leave it out.*'shufle' is unknown too"):
        Folder(tmp_path, num_workers=8, batch_size=8, shufle=True)


def test_an_index_of_ones_own_may_take_anything(tmp_path) -> None:
    class Mine(DataModule):
        index = staticmethod(lambda root, category=None, **wanted: [])

    assert Mine(tmp_path, lamp="left").options == {"lamp": "left"}
