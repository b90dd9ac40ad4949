"""Reading ahead, in order, with a say about what cannot be read."""

import threading
import time

import cv2
import numpy as np
import pytest

from blemish.core.errors import DataError, ImageError
from blemish.core.read_ahead import read_ahead
from blemish.data.reader import Loader
from blemish.data.record import Record
from blemish.imaging.images import Imaging


@pytest.fixture
def records(tmp_path) -> list[Record]:
    found = []
    for i in range(7):
        path = tmp_path / f"{i}.png"
        cv2.imwrite(str(path), np.full((20 + i, 30), i * 30, np.uint8))
        found.append(Record(path.name, {"image": path}, label=i % 2))
    return found


def test_batches_keep_order_and_truth(records) -> None:
    batches = list(Loader(records, Imaging(size=(16, 16)), batch_size=3, truth=True))
    assert [len(b) for b in batches] == [3, 3, 1]
    assert [key for b in batches for key in b.keys] == [r.key for r in records]
    assert [int(v) for b in batches for v in b.truth.label] == [r.label for r in records]
    grey = [float(image.mean()) for b in batches for image in b.image]
    np.testing.assert_allclose(grey, np.arange(7) * 30 / 255, atol=1e-6)
    assert batches[0].image.shape == (3, 3, 16, 16)


def test_shuffling_is_new_each_time_and_repeats_with_the_seed(records) -> None:
    def orders(seed: int) -> list[list[str]]:
        loader = Loader(records, Imaging(size=(16, 16)), batch_size=3, shuffle=True, seed=seed)
        return [[key for batch in loader for key in batch.keys] for _ in range(3)]

    first = orders(1)
    assert first == orders(1)
    assert first != orders(2)
    assert first[0] != first[1]
    assert all(sorted(order) == sorted(r.key for r in records) for order in first)


def test_images_are_kept_as_many_as_there_is_room_for(records, monkeypatch) -> None:
    """Images are kept from the second time on as many as there is room for."""
    read: list[str] = []
    prepare = Imaging.read
    monkeypatch.setattr(Imaging, "read", lambda self, source: read.append(source.name) or prepare(self, source))
    room = 3 * 16 * 16 * 3 * 4
    loader = Loader(records, Imaging(size=(16, 16)), batch_size=2, shuffle=True, keep=room + 100)
    counts, contents = [], []
    for _ in range(4):
        read.clear()
        images = {key: image for batch in loader for key, image in zip(batch.keys, batch.image, strict=True)}
        counts.append(len(read))
        contents.append(images)
    assert counts == [7, 7, 4, 4]
    for images in contents[1:]:
        for key, image in images.items():
            assert np.array_equal(image, contents[0][key])


def test_unreadable_images_are_skipped_with_a_count_or_raised(records) -> None:
    records[2].image.write_bytes(b"")
    records[5].image.write_text("no image")
    with pytest.raises(ImageError, match=r"2\.png is empty"):
        list(Loader(records, Imaging(size=(16, 16))))
    loader = Loader(records, Imaging(size=(16, 16)), batch_size=2, on_error="skip")
    with pytest.warns(UserWarning, match="2 of 7 images were skipped. The first: .*2.png is empty"):
        batches = list(loader)
    assert [key for b in batches for key in b.keys] == ["0.png", "1.png", "3.png", "4.png", "6.png"]
    assert set(loader.skipped) == {"2.png", "5.png"}
    assert len(loader) == 3
    assert len(list(loader)) == 3  # known by now: no second warning, which would be an error here


def test_skipped_images_are_reported_when_a_pass_ends_early(records) -> None:
    """Skipped images are announced when the pass is left early."""
    records[0].image.write_bytes(b"")
    loader = Loader(records, Imaging(size=(16, 16)), batch_size=2, on_error="skip")
    stream = iter(loader)
    next(stream)
    with pytest.warns(UserWarning, match="1 of 7 images were skipped"):
        stream.close()
    assert len(list(loader)) == 3  # no second warning


def test_what_is_kept_holds_no_more_than_it_counts(tmp_path) -> None:
    for roi in ((4, 4, 20, 20), (4, 4, 21, 21), None):  # of the network's size, larger, the whole image
        side = 16 if roi is None else 64
        path = tmp_path / f"{side}.png"
        cv2.imwrite(str(path), np.zeros((side, side, 3), np.uint8))
        image = Imaging(size=(16, 16), roi=roi)(path)
        assert image.base is None
        assert image.nbytes == 16 * 16 * 3 * 4


def test_nothing_readable_is_an_error(records) -> None:
    for record in records:
        record.image.write_bytes(b"x")
    with pytest.raises(DataError, match="none of 7 images could be read"):
        list(Loader(records, Imaging(size=(16, 16)), on_error="skip"))


def test_reads_ahead_but_not_without_bound() -> None:
    begun, lock = [], threading.Lock()

    def work(i: int) -> int:
        with lock:
            begun.append(i)
        return i * i

    stream = read_ahead(work, range(100), ahead=8, threads=2)
    assert next(stream) == (0, 0)
    time.sleep(0.2)
    assert 4 <= len(begun) <= 9  # others were read while nobody asked, but no more than was allowed
    assert [value for _, value in stream] == [i * i for i in range(1, 100)]


def test_other_errors_are_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        list(read_ahead(lambda i: 1 // i, [1, 0]))


def test_the_warning_of_skipped_images_is_printable(records, tmp_path) -> None:
    """The warning of what was skipped says nothing to a terminal."""
    path = tmp_path / "a\x1b]0;title\x07\n.png"
    path.write_bytes(b"no image")
    with pytest.warns(UserWarning, match=r"1 of 8 images were skipped.*a\\x1b\]0;title\\x07\\n\.png cannot be read"):
        list(Loader([*records, Record(path.name, {"image": path})], Imaging(size=(16, 16)), on_error="skip"))
