"""The bottleneck and the decoder of reverse distillation against the published tables, on paper and in shapes."""

import pytest
import torch

from blemish.ops.networks.reverse import Bottleneck, Decoder, Embedding

WIDE = [256, 512, 1024]


def block(inside: int, outside: int, middle: int, shortcut: int) -> int:
    """Parameters of a bottleneck block with `middle` and `shortcut` weights a channel pair; two a channel for each norm."""
    width = outside // 2
    convolutions = inside * width + middle * width * width + width * outside + shortcut * inside * outside
    return convolutions + 2 * (2 * width + outside) + (2 * outside if shortcut else 0)


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_wide_decoder_has_the_published_layers() -> None:
    expected, inside = 0, 2048
    for outside, blocks in ((1024, 3), (512, 4), (256, 6)):
        expected += block(inside, outside, 4, 4) + (blocks - 1) * block(outside, outside, 9, 0)
        inside = outside
    with torch.device("meta"):
        decoder = Decoder(WIDE, [3, 4, 6])
        levels = decoder(torch.empty(1, 2048, 8, 8), [(64, 64), (32, 32), (16, 16)])
    assert count(decoder) == expected == 24_917_504
    assert [tuple(m.shape[1:]) for m in levels] == [(256, 64, 64), (512, 32, 32), (1024, 16, 16)]


def test_the_wide_embedding_has_the_published_layers() -> None:
    fusion = 9 * (256 * 512 + 2 * 512 * 1024) + 2 * (512 + 2 * 1024)
    expected = fusion + block(3072, 2048, 9, 1) + 2 * block(2048, 2048, 9, 0)
    with torch.device("meta"):
        embedding = Embedding(WIDE)
        pyramid = [torch.empty(1, c, side, side) for c, side in zip(WIDE, (64, 32, 16), strict=True)]
        code = embedding(pyramid)
    assert count(embedding) == expected == 58_885_120
    assert code.shape == (1, 2048, 8, 8)


@pytest.mark.parametrize("size", [(64, 64), (72, 100), (33, 50)])
def test_sides_that_do_not_divide_come_back(size) -> None:
    sizes = [tuple(-(-side // stride) for side in size) for stride in (4, 8, 16)]
    pyramid = [torch.rand(2, c, *s) for c, s in zip((4, 6, 8), sizes, strict=True)]
    code = Embedding([4, 6, 8], blocks=1)(pyramid)
    levels = Decoder([4, 6, 8], [1, 1, 1])(code, sizes)
    assert [m.shape for m in levels] == [m.shape for m in pyramid]


def test_only_without_the_last_relu_a_level_can_be_negative() -> None:
    code, sizes = torch.randn(2, 16, 2, 2, generator=torch.Generator().manual_seed(0)), [(8, 8), (4, 4)]
    with torch.no_grad():
        rectified = Decoder([4, 8], [2, 1], rectified=True)(code, sizes)
        linear = Decoder([4, 8], [2, 1], rectified=False)(code, sizes)
    assert all(float(m.min()) == 0 for m in rectified)
    assert all(float(m.min()) < 0 for m in linear)


def test_a_block_is_its_path_beside_its_shortcut() -> None:
    block = Bottleneck(4, 8, 2, rectified=False).eval()
    x = torch.randn(1, 4, 3, 5)
    with torch.no_grad():
        first, _, _, grow, _, _, last, _ = block.path
        inner = last((grow(first(x).relu() / (1 + 1e-5) ** 0.5) / (1 + 1e-5) ** 0.5).relu()) / (1 + 1e-5) ** 0.5
        expected = inner + block.shortcut[0](x) / (1 + 1e-5) ** 0.5
        torch.testing.assert_close(block(x), expected)
    assert expected.shape == (1, 8, 6, 10)
