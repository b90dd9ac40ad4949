from __future__ import annotations

import pytest

from blemish.core.errors import DataError, UnknownName
from blemish.data.datasets.visa import index

HEAD = "object,split,label,image,mask\n"
ROWS = (
    "pcb1,train,normal,pcb1/Data/Images/Normal/0000.JPG,\n"
    "pcb1,test,normal,pcb1/Data/Images/Normal/0001.JPG,\n"
    "pcb1,test,anomaly,pcb1/Data/Images/Anomaly/000.JPG,pcb1/Data/Masks/Anomaly/000.png\n"
    "candle,train,normal,candle/Data/Images/Normal/0000.JPG,\n"
)
NAMES = (
    *("pcb1/Data/Images/Normal/0000.JPG", "pcb1/Data/Images/Normal/0001.JPG", "pcb1/Data/Images/Anomaly/000.JPG"),
    "pcb1/Data/Masks/Anomaly/000.png",
)


def table(root, text, name="1cls"):
    (root / "split_csv").mkdir(exist_ok=True)
    (root / "split_csv" / f"{name}.csv").write_text(text)
    return root


def test_split_file_decides(draw):
    root = table(draw(*NAMES), HEAD + ROWS)
    assert [(r.key, r.kind, r.label, r.split) for r in index(root)] == [
        ("pcb1/Data/Images/Anomaly/000.JPG", "anomaly", 1, "test"),
        ("pcb1/Data/Images/Normal/0000.JPG", "good", 0, "train"),
        ("pcb1/Data/Images/Normal/0001.JPG", "good", 0, "test"),
    ]
    bad = index(root, "pcb1")[0]
    assert bad.masks == (root / "pcb1/Data/Masks/Anomaly/000.png",)
    assert bad.mask_above == 0


def test_category_folder_as_root(draw):
    root = table(draw(*NAMES), HEAD + ROWS)
    assert index(root / "pcb1") == index(root)


def test_absent_split_file_says_where_it_belongs(draw):
    root = draw(*NAMES)
    with pytest.raises(DataError) as caught:
        index(root)
    assert str(root / "split_csv" / "1cls.csv") in str(caught.value)
    assert "github.com/amazon-science/spot-diff" in str(caught.value)


def test_supervised_split(draw):
    root = table(draw(*NAMES), HEAD + ROWS.replace("test,anomaly", "train,anomaly"), "2cls_fewshot")
    assert [r.split for r in index(root, split="2cls_fewshot") if r.label] == ["train"]
    with pytest.raises(UnknownName, match="'2cls_fewshot'"):
        index(root, split="2cls_fewshots")


def test_listed_image_that_is_missing(draw):
    root = table(draw(*NAMES), HEAD + ROWS)
    (root / "pcb1/Data/Images/Normal/0001.JPG").unlink()
    with pytest.raises(DataError, match=r"of 3 images listed for 'pcb1' 1 are missing.*Normal/0001\.JPG"):
        index(root)


@pytest.mark.parametrize(
    "text",
    [
        "object,split\npcb1,train\n",
        HEAD + "pcb1,train,good,x.png,\n",
        HEAD + "pcb1,validation,normal,x.png,\n",
        HEAD + "pcb1,train\n",
    ],
)
def test_damaged_split_file(draw, text):
    with pytest.raises(DataError, match="line 2"):
        index(table(draw(*NAMES), text))


def test_split_file_of_something_else(draw):
    with pytest.raises(DataError, match="of 0 images listed for 'pcb1'"):
        index(table(draw(*NAMES), HEAD))


def test_split_file_that_is_not_text(draw):
    root = table(draw(*NAMES), "")
    (root / "split_csv/1cls.csv").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(DataError, match="cannot be read"):
        index(root)
