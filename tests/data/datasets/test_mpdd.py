from __future__ import annotations

from blemish.data.datasets.mpdd import index


def test_index(draw):
    root = draw(
        *("MPDD/tubes/train/good/000.png", "MPDD/tubes/test/good/000.png", "MPDD/tubes/test/anomalous/000.png"),
        "MPDD/tubes/ground_truth/anomalous/000_mask.png",
    )
    bad, good, train = index(root, "tubes")
    assert (bad.kind, bad.label, bad.split, bad.category) == ("anomalous", 1, "test", "tubes")
    assert bad.masks == (root / "MPDD/tubes/ground_truth/anomalous/000_mask.png",)
    assert (good.label, good.split, train.label, train.split) == (0, "test", 0, "train")
