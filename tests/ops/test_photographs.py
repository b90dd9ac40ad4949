"""Photographs of a folder, cut and drawn at random."""

import pytest
import torch

from blemish.errors import InputError
from blemish.imaging import read, resize
from blemish.ops.photographs import photographs
from parts import stripes, write_png


def test_photographs_are_the_middle_of_what_was_resized_to_twice_the_size(tmp_path) -> None:
    write_png(tmp_path / "deep" / "one.png", stripes(1, (40, 30), seed=0)[0])
    (tmp_path / "notes.txt").write_text("not a photograph")
    found = photographs(tmp_path)(2, (16, 20))
    whole = torch.from_numpy(resize(read(tmp_path / "deep" / "one.png"), (32, 40))).permute(2, 0, 1)
    assert torch.equal(found, whole[:, 8:24, 10:30].expand(2, 3, 16, 20))
    assert photographs(tmp_path)(0, (16, 20)).shape == (0, 3, 16, 20)


def test_an_empty_folder_is_named(tmp_path) -> None:
    with pytest.raises(InputError, match="holds no image"):
        photographs(tmp_path)
