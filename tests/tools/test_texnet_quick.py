"""The quick protocol: a random bank, the distance to it, and a command that tells a trained network from a random one."""

import sys

import numpy as np
import pytest
import torch

from blemish.data import Folder
from blemish.data.reader import Loader
from blemish.ops.maps import blur, describe, enlarge
from parts import write_folder, write_png


def net(image: torch.Tensor) -> list[torch.Tensor]:
    return [torch.nn.functional.avg_pool2d(image, 8), torch.nn.functional.avg_pool2d(image**2, 16)]


@pytest.fixture
def data(tmp_path) -> Folder:
    return Folder(write_folder(tmp_path / "striped", good=15, bad=4), image_size=64, holdout=0.0)


def loader(data: Folder, records: list) -> Loader:
    return Loader(records, data.imaging, batch_size=3)


def test_the_bank_has_equally_many_patches_of_each_image(tools, data) -> None:
    """The bank has as many patches of each image and no others."""
    good = loader(data, data.train_records)
    bank = tools["quick"].remember(net, good, 25, np.random.default_rng(0))
    assert bank.shape == (25, 6)
    every = torch.stack([grid.flatten(0, 1) for batch in good for grid in describe(net(batch.image))])
    same = (bank[:, None, None] == every).all(3)
    assert same.any(2).sum(0).tolist() == [3] * 8 + [1, 0], "three of each until there are 25"
    again = tools["quick"].remember(net, good, 25, np.random.default_rng(0))
    assert torch.equal(bank, again)


def test_scores_and_maps_against_a_search_by_hand(tools, data) -> None:
    quick = tools["quick"]
    bank = quick.remember(net, loader(data, data.train_records), 25, np.random.default_rng(0))
    scores, maps = quick.look(net, bank, loader(data, data.test_records))
    for i, batch in enumerate(Loader(data.test_records, data.imaging, batch_size=1)):
        grid = describe(net(batch.image))[0]
        apart = torch.tensor([[min(float((cell - row).norm()) for row in bank) for cell in line] for line in grid])
        assert scores[i] == pytest.approx(float(apart.max()), abs=1e-5)
        whole = blur(enlarge(apart[None], (64, 64)))[0]
        np.testing.assert_allclose(maps[i], whole[::2, ::2], atol=1e-5)


def test_the_command_tells_a_trained_network_from_a_random_one(tools, data, monkeypatch, capsys) -> None:
    means = {}
    for more in ((), ("--random",)):
        asked = ["quick.py", "--root", str(data.root), "--size", "64", "--patches", "200", *more]
        monkeypatch.setattr(sys, "argv", asked)
        torch.manual_seed(0)
        tools["quick"].main()
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines] == ["striped", "mean"]
        means[more] = [float(value) for value in lines[1].split()[1::2]]
    assert means[()][0] == 1.0
    assert means[()][1] > means[("--random",)][1] + 0.05
    monkeypatch.setattr(sys, "argv", ["quick.py"])
    with pytest.raises(SystemExit, match="no data set is there"):
        tools["quick"].main()


def test_sets_are_found_and_a_defect_without_a_mask_is_refused(tools, data, tmp_path) -> None:
    for name in ("hazelnut_toy", "piped_paper/piped_b", "piped_paper/piped_a", "magnetic_tile"):
        (tmp_path / "all" / name).mkdir(parents=True)
    found = [(name, layout) for name, _, layout in tools["quick"].sets(tmp_path / "all", [tmp_path / "mine"])]
    assert [name for name, _ in found] == ["mine", "hazelnut_toy", "piped_a", "piped_b", "magnetic_tile"]
    assert found[-1][1] == "magnetic_tile"
    write_png(data.root / "test" / "unmarked" / "0.png", torch.rand(3, 64, 64))
    with pytest.raises(SystemExit, match=r"unmarked.* has no mask"):
        tools["quick"].measure(net, Folder(data.root, image_size=64, holdout=0.0), 25, 1, 0)
