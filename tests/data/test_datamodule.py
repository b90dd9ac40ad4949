"""A data set at work: what its constructor accepts."""

import pytest

from blemish.data import Folder, MVTecAD
from blemish.data.datamodule import DataModule
from blemish.errors import UnknownName


def test_a_wrong_argument_is_named_at_once_with_what_is_nearest(tmp_path) -> None:
    with pytest.raises(UnknownName, match=r"argument of Folder 'batch_size'.*'train_batch_size'"):
        Folder(tmp_path, batch_size=8)
    with pytest.raises(UnknownName, match="Did you mean 'mask_above'"):
        Folder(tmp_path, masks_above=8)
    with pytest.raises(UnknownName, match="argument of MVTecAD 'good'"):
        MVTecAD(tmp_path, "bottle", good="ok")
    assert Folder(tmp_path, mask_above=8).options == {"mask_above": 8}


def test_an_index_of_ones_own_may_take_anything(tmp_path) -> None:
    class Mine(DataModule):
        index = staticmethod(lambda root, category=None, **wanted: [])

    assert Mine(tmp_path, lamp="left").options == {"lamp": "left"}
