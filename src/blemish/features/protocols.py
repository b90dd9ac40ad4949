"""What methods ask of foundation models besides maps of an image: texts embedded, objects found, objects cut out, answers.

A method takes any module that has these methods. Tiny ones with random weights, for tests, are in `blemish.testing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor


class Found(NamedTuple):
    """What an open-vocabulary finder saw in an image.

    Attributes:
        boxes: (N, 4) float32: left, top, right, bottom in pixels of the image.
        scores: (N,) float32 in [0, 1], how sure it is of each.
        prompts: (N,) int64: which prompt each box answers.
    """

    boxes: Tensor
    scores: Tensor
    prompts: Tensor


@runtime_checkable
class TextEncoder(Protocol):
    """Embeds texts in the space of an image encoder, as CLIP's text tower does."""

    channels: int

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Embed texts.

        Args:
            texts: N texts.

        Returns:
            (N, channels) float32, not normalised; on the module's device.
        """
        ...


@runtime_checkable
class ObjectFinder(Protocol):
    """Finds what texts name, as Grounding DINO and OWLv2 do."""

    def find(self, image: Tensor, prompts: Sequence[str]) -> Found:
        """Find objects.

        Args:
            image: (3, H, W) float32 RGB in [0, 1].
            prompts: What to find.

        Returns:
            The boxes, in no order.
        """
        ...


@runtime_checkable
class Segmenter(Protocol):
    """Cuts out what boxes hold, as SAM does."""

    def segment(self, image: Tensor, boxes: Tensor) -> Tensor:
        """Cut out objects.

        Args:
            image: (3, H, W) float32 RGB in [0, 1].
            boxes: (N, 4) float32: left, top, right, bottom in pixels.

        Returns:
            (N, H, W) float32: how likely each pixel belongs to the object, in [0, 1].
        """
        ...


@runtime_checkable
class LanguageModel(Protocol):
    """Answers questions about an image, as a vision-language model does."""

    def answer(self, image: Tensor, question: str) -> str:
        """Answer a question.

        Args:
            image: (3, H, W) float32 RGB in [0, 1].
            question: The question, in English.

        Returns:
            The answer, one line.
        """
        ...
