"""A timm network that is asked for the maps of its blocks: transformers, and whatever lays its maps out otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

FINAL = "norm"
"""The layer after the last block: its map, normalised as the network's head gets it."""


class Blocks(nn.Module):
    """The maps of some blocks as (B, C, h, w), whatever the network's own layout.

    Args:
        model: A timm network without its classifier.
        chosen: Indices of the blocks, in order; one more than there are stands for `FINAL`.
        count: How many blocks there are.
    """

    def __init__(self, model: Any, chosen: Sequence[int], count: int) -> None:
        super().__init__()
        self.model: Any = model
        self.blocks = [i for i in chosen if i < count]
        self.final = count in chosen

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the maps.

        Args:
            image: (B, 3, H, W), normalised.

        Returns:
            One (B, C, h, w) map for each block.
        """
        if not self.final:
            maps: list[Tensor] = self.model.forward_intermediates(
                image, indices=self.blocks, stop_early=True, output_fmt="NCHW", intermediates_only=True
            )
            return maps
        last, found = self.model.forward_intermediates(image, indices=self.blocks or 1, output_fmt="NCHW")
        return [*(found if self.blocks else []), self._as_map(last, found[-1])]

    def vector(self, image: Tensor) -> Tensor:
        """Return the network's own global descriptor: class token or pooled map, as its classifier would get it.

        Args:
            image: (B, 3, H, W), normalised.

        Returns:
            (B, C).
        """
        found: Tensor = self.model.forward_head(self.model.forward_features(image), pre_logits=True)
        return found

    def _as_map(self, last: Tensor, like: Tensor) -> Tensor:
        """Return the last block's output as a map; prefix tokens (class, registers) are left out."""
        height, width = like.shape[-2:]
        if last.ndim == 4:
            return last if last.shape[-2:] == (height, width) else last.permute(0, 3, 1, 2).contiguous()
        tokens = last[:, last.shape[1] - height * width :]
        return tokens.transpose(1, 2).reshape(len(last), -1, height, width).contiguous()
