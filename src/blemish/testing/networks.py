"""Tiny stand-ins for foundation models: the same methods, random weights from a seed, no download, milliseconds.

They know nothing: tests that use them check that a method is wired and shaped right, not that it finds defects.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from blemish.features.protocols import Found, LanguageModel, ObjectFinder, Segmenter, TextEncoder


class TinyTextEncoder(nn.Module, TextEncoder):
    """Embeds a text by its characters' embeddings, averaged and turned by a random layer.

    Args:
        channels: Of the embedding.
        seed: Of the weights.
    """

    def __init__(self, channels: int = 16, seed: int = 0) -> None:
        super().__init__()
        self.channels = channels
        generator = torch.Generator().manual_seed(seed)
        self.letters = nn.Parameter(torch.randn(256, channels, generator=generator), requires_grad=False)
        self.turn = nn.Parameter(torch.randn(channels, channels, generator=generator), requires_grad=False)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Embed texts, (N, channels)."""
        codes = [torch.tensor(list(text.encode()) or [0], device=self.letters.device) for text in texts]
        return torch.stack([self.letters[code].mean(0) for code in codes]) @ self.turn


class TinyFinder(nn.Module, ObjectFinder):
    """Finds, for each prompt, the cell of a grid that differs most from the image's mean along a random colour.

    Args:
        cells: Cells along each side.
        seed: Of the weights.
    """

    def __init__(self, cells: int = 4, seed: int = 0) -> None:
        super().__init__()
        self.cells, self.seed = cells, seed

    def find(self, image: Tensor, prompts: Sequence[str]) -> Found:
        """Find one box a prompt.

        Args:
            image: (3, H, W) float32 RGB in [0, 1].
            prompts: What to find; each names a direction in colour.

        Returns:
            A box for each, in order.
        """
        height, width = image.shape[1:]
        means = nn.functional.adaptive_avg_pool2d(image, self.cells)
        differs = (means - means.mean((1, 2), keepdim=True)).flatten(1)
        boxes, scores = [], []
        for prompt in prompts:
            strength = (self._colour(prompt).to(image) @ differs).abs()
            row, column = divmod(int(strength.argmax()), self.cells)
            left, top = column * width / self.cells, row * height / self.cells
            boxes.append([left, top, left + width / self.cells, top + height / self.cells])
            scores.append(strength.max().clamp(max=1))
        return Found(
            torch.tensor(boxes, dtype=torch.float32, device=image.device).reshape(-1, 4),
            torch.stack(scores) if scores else image.new_empty(0),
            torch.arange(len(prompts), device=image.device),
        )

    def _colour(self, prompt: str) -> Tensor:
        number = int.from_bytes(hashlib.sha256(f"{self.seed} {prompt}".encode()).digest()[:6], "big")
        return torch.randn(3, generator=torch.Generator().manual_seed(number))


class TinySegmenter(nn.Module, Segmenter):
    """Cuts out of each box what lies on the other side of the box's mean brightness than the image's mean."""

    def segment(self, image: Tensor, boxes: Tensor) -> Tensor:
        """Cut out one object a box."""
        grey = image.mean(0)
        masks = []
        for left, top, right, bottom in boxes.round().int().tolist():
            mask = torch.zeros_like(grey)
            inside = grey[top:bottom, left:right]
            if inside.numel():
                above = inside.mean() > grey.mean()
                mask[top:bottom, left:right] = ((inside >= inside.mean()) == above).to(grey)
            masks.append(mask)
        return torch.stack(masks) if masks else grey.new_empty(0, *grey.shape)


class TinyLanguageModel(nn.Module, LanguageModel):
    """Answers with how bright the image is, and the question's last word."""

    def answer(self, image: Tensor, question: str) -> str:
        """Answer in one line."""
        words = question.rstrip("?.! ").split()
        return f"{'bright' if float(image.mean()) > 0.5 else 'dark'} {words[-1] if words else 'image'}"
