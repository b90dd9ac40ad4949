"""Photographs of a folder, cut and drawn at random."""

import pytest
import torch

from blemish.core.errors import InputError
from blemish.imaging.images import resize
from blemish.imaging.reading import read
from blemish.ops.textures import photographs, several, texture
from parts import stripes, write_png

SIZE = (24, 40)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_they_come_from_the_folder_and_its_folders(tmp_path) -> None:
    for i in range(3):
        write_png(tmp_path / f"kind{i}" / "a.png", torch.full((3, 30, 20), 0.2 * i + 0.2))
    (tmp_path / "readme.txt").write_text("no image")
    draw, generator = photographs(str(tmp_path)), seeded(0)
    found = {round(float(draw(SIZE, generator).mean()), 1) for _ in range(30)}
    assert found == {0.2, 0.4, 0.6}
    assert draw(SIZE, generator).shape == (3, *SIZE)
    assert torch.equal(draw(SIZE, seeded(4)), draw(SIZE, seeded(4)))


@pytest.mark.parametrize(("zoom", "top", "left"), [(1, 0, 0), (2, 8, 10), (3, 16, 20)])
def test_the_middle_of_what_was_resized_to_more_than_the_size(tmp_path, zoom, top, left) -> None:
    write_png(tmp_path / "deep" / "one.png", stripes(1, (40, 30), seed=0)[0])
    whole = torch.from_numpy(resize(read(tmp_path / "deep" / "one.png"), (zoom * 16, zoom * 20))).permute(2, 0, 1)
    found = several(photographs(tmp_path, zoom=zoom))(2, (16, 20))
    assert torch.equal(found, whole[:, top : top + 16, left : left + 20].expand(2, 3, 16, 20))


def test_none_at_all(tmp_path) -> None:
    write_png(tmp_path / "one.png", stripes(1, (40, 30), seed=0)[0])
    assert several(photographs(tmp_path))(0, (16, 20)).shape == (0, 3, 16, 20)
    assert photographs(None) is texture


def test_an_empty_folder_is_named(tmp_path) -> None:
    with pytest.raises(InputError, match=rf"{tmp_path} holds no image"):
        photographs(tmp_path)
