"""Images held back are the same ones however the stream is shuffled."""

import pytest
import torch

from blemish.core.errors import InputError
from blemish.models.efficientad import hold_out
from parts import Parts, stripes


def seen(batches) -> set[float]:
    return {float(image.double().sum()) for batch in batches for image in batch.image}


@pytest.mark.parametrize(
    ("count", "share", "held"), [(24, 0.1, 2), (24, 0.5, 12), (2, 0.1, 1), (3, 0.99, 2), (100, 0.1, 10)]
)
def test_every_image_is_on_one_side_in_the_share_wanted(count, share, held) -> None:
    images = stripes(count, (8, 8), seed=0)
    learn, back = hold_out(Parts(images), share)
    assert len(seen(back)) == held
    assert len(seen(learn)) == count - held
    assert seen(learn) | seen(back) == seen(Parts(images))


def test_order_and_batches_do_not_matter_but_the_seed_does() -> None:
    """The order and the batches do not matter but the seed does."""
    images = stripes(40, (8, 8), seed=0)
    shuffled = images[torch.randperm(40, generator=torch.Generator().manual_seed(1))]
    one, other = (seen(hold_out(Parts(stack, size), 0.2)[1]) for stack, size in ((images, 8), (shuffled, 7)))
    assert one == other
    assert one != seen(hold_out(Parts(images), 0.2, seed=1)[1])


def test_no_batch_is_empty() -> None:
    learn, back = hold_out(Parts(stripes(10, (8, 8), seed=0), batch_size=1), 0.3)
    assert [len(batch) for batch in learn] == [1] * 7
    assert [len(batch) for batch in back] == [1] * 3


@pytest.mark.parametrize(
    "images", [stripes(1, (8, 8), 0), stripes(1, (8, 8), 0).repeat(5, 1, 1, 1), torch.empty(0, 3, 8, 8)]
)
def test_too_few(images) -> None:
    with pytest.raises(InputError, match="good image"):
        hold_out(Parts(images), 0.1)
