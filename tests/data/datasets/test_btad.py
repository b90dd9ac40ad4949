from __future__ import annotations

import pytest

from blemish.core.errors import DataError
from blemish.data.datasets.btad import index


def test_mixed_suffixes(draw):
    root = draw(
        *("BTech_Dataset_transformed/01/train/ok/0000.bmp", "BTech_Dataset_transformed/01/test/ok/0001.bmp"),
        *("BTech_Dataset_transformed/01/test/ko/0002.bmp", "BTech_Dataset_transformed/01/ground_truth/ko/0002.png"),
        *("BTech_Dataset_transformed/03/train/ok/0000.bmp", "BTech_Dataset_transformed/03/test/ko/0001.bmp"),
        "BTech_Dataset_transformed/03/ground_truth/ko/0001.bmp",
    )
    records = {r.key: r for r in index(root)}
    assert list(records) == [
        *("01/test/ko/0002.bmp", "01/test/ok/0001.bmp", "01/train/ok/0000.bmp"),
        *("03/test/ko/0001.bmp", "03/train/ok/0000.bmp"),
    ]
    assert records["01/test/ko/0002.bmp"].masks[0].name == "0002.png"
    assert records["03/test/ko/0001.bmp"].masks[0].name == "0001.bmp"
    assert [(r.kind, r.label) for r in records.values()] == [
        ("ko", 1),
        ("good", 0),
        ("good", 0),
        ("ko", 1),
        ("good", 0),
    ]


def test_mvtec_names_are_not_btad(draw):
    with pytest.raises(DataError, match="<category>/train/ok"):
        index(draw("01/train/good/0.png"))
