"""EfficientAD: a student predicts what a teacher, and an autoencoder, answer on good parts; on a defect it cannot.

The teacher is a patch description network (PDN), a few convolutions that see 33 x 33 pixels, trained beforehand to
predict a large backbone's features. Its outputs are standardised channel by channel on the good images. Then, on good
images:
1. The student, the same network with twice the outputs, learns the teacher's outputs with the first half of them. Its
   loss counts only the hardest thousandth of the differences, and its outputs on other images are pulled to zero (the
   penalty), so that it does not generalise to defects. The first map is the mean squared difference of the two.
2. An autoencoder learns the teacher's outputs too, but through one vector for the whole image; the student's second
   half learns the autoencoder's outputs. Where they differ the image is wrong as a whole: the second map.
A tenth of the good images is held out. The 0.9 and 0.995 quantiles of either map over them become 0 and 0.1, which
makes the maps comparable; their mean is the map, its peak the image's score. The paper's unit is `steps`, as is ours.

The authors published no code; the port by nelson1425 reproduces their numbers. Where we differ from paper or port:
- The teacher is trained inside `fit`, before anything else, unless `teacher` names a file of one
  (`tools/distil_teacher.py` writes such a file). The paper's backbone is WideResNet-101 and its images are ImageNet; by
  default ours are texnet and `blemish.ops.textures`, with the good images among them. Each level of the backbone keeps
  half of the 384 channels.
- The port pads the PDN while it is trained and never after. Ours never pads; the target's border is cut off instead.
- Penalty images are generated too, or photographs if `pictures` names a folder. Published numbers need photographs.
- The port trains with one image a step. With B images each keeps its own hardest thousandth, and as many penalty images
  join.
- The image's score is the peak of the grid, before the map is padded with zeros (the paper's 4 cells) and enlarged.
- The held-out images are those with the smallest checksums: the same ones in every pass, whatever the order.
- At sizes other than 256 the autoencoder still sees `autoencoder_side` squared, and answers on the student's grid.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blemish.core.card import Card, Paper, Preset, Reported
from blemish.core.detector import Detector
from blemish.core.errors import InputError
from blemish.core.learned import loading
from blemish.core.types import Batch, Scores
from blemish.features import extractor
from blemish.features.distil import distil_teacher, load_teacher
from blemish.ops.colour import jitter_one, sometimes_grey
from blemish.ops.maps import enlarge, peak
from blemish.ops.networks.patch_descriptor import (
    BORDER,
    GlobalAutoencoder,
    channel_statistics,
    patch_descriptor,
    prepare,
)
from blemish.ops.textures import Pictures, photographs, several
from blemish.training.device import device_of, to
from blemish.training.optimise import optimise
from blemish.training.random_state import seeded

CARD = Card(
    name="EfficientAD",
    idea="a student of a small patch network and of an autoencoder, taught only where it is worst",
    family="distillation",
    paper=Paper(
        title="EfficientAD: Accurate Visual Anomaly Detection at Millisecond-Level Latencies",
        authors="Kilian Batzner, Lars Heckler, Rebecca König",
        year=2024,
        venue="WACV",
        url="https://arxiv.org/abs/2303.14535",
    ),
    code="https://github.com/nelson1425/EfficientAD",
    code_licence="Apache-2.0 (a port; the authors published none)",
    differs=(
        "teacher taught inside fit, offline, from texnet",
        "drawn textures instead of ImageNet unless given a folder",
    ),
    reported=(
        Reported("MVTec AD", "image_AUROC", 98.8, "paper", "size s, 256 px, ImageNet"),
        Reported("MVTec AD", "image_AUROC", 99.1, "paper", "size m, 256 px, ImageNet"),
        Reported("VisA", "image_AUROC", 97.5, "paper", "size s, 256 px, ImageNet"),
        Reported("MVTec AD", "image_AUROC", 99.0, "nelson1425's port", "size s, 256 px, ImageNet"),
    ),
    presets={
        "paper": Preset(256, 1),
        "quick": Preset(
            128,
            8,
            {
                "steps": 400,
                "teacher_steps": 200,
                "teacher_pictures": 8,
                "width": 0.25,
                "autoencoder_side": 128,
                "lr": 1e-3,
                "border": "edge",
            },
        ),
    },
)


class EfficientAD(Detector):
    """Squared differences between a student and its teacher, and between the student and an autoencoder.

    Without a `teacher` file, the teacher is distilled from the frozen network that `backbone`, `layers`, `weights` and
    `pretrained` choose, by Adam with the same `lr` and `weight_decay`.

    Size "s" has 8 057 856 parameters (PDN 2 694 144, student 4 267 392, autoencoder 1 096 320), size "m" 20 738 432.

    Args:
        size: "s" or "m", of the teacher and the student; the paper has both.
        width: Multiplies the channels inside the networks, above 0; the paper's is 1.
        channels: Channels of the networks' outputs, at least 2; the paper's is 384.
        autoencoder_side: Side of the images that the autoencoder sees, a multiple of 32; the paper's is 256.
        teacher: .safetensors file of a PDN; None distils one in `fit`.
        backbone: The frozen network to distil, see `blemish.features.extractor`; the paper's is "wide_resnet101_2".
        layers: Names of its layers, or strides as numbers; None: 8 and 16.
        weights: Local .safetensors file of its weights; None takes the pretrained ones.
        pretrained: Whether its weights are pretrained; if not, they are random, always the same.
        teacher_steps: Gradient steps of the distillation, at least 1; the paper's is 60 000.
        teacher_pictures: Other images that join the good ones in each of these steps, at least 0; the paper's is 16.
        pictures: Folder of photographs, the paper's is ImageNet; None generates textures.
        holdout: Share of the good images held out for the quantiles, in (0, 1); the paper's is 0.1.
        hard: Quantile of the differences above which the student learns, in (0, 1); the paper's is 0.999.
        border: What the map shows where no patch fits: "zeros" as in the paper, or the "edge" of the grid, which suits
            small images.
        steps: Gradient steps of student and autoencoder, at least 1; the paper's is 70 000.
        lr: Adam's learning rate, above 0; it falls to a tenth at 95 % of `steps`. The paper's is 1e-4.
        weight_decay: Adam's weight decay, at least 0; the paper's is 1e-5.
        seed: Random state of the initial weights, of training, and of the held-out images.

    Raises:
        InputError: a parameter is out of its range.
    """

    mean: Tensor  # (C,)
    std: Tensor  # (C,)
    marks: Tensor  # (2, 2) the two quantiles of either map
    losses: Tensor  # (steps,)

    def __init__(
        self,
        size: Literal["s", "m"] = "s",
        width: float = 1.0,
        channels: int = 384,
        autoencoder_side: int = 256,
        teacher: str | None = None,
        backbone: str = "texnet_s",
        layers: list[str] | list[int] | None = None,
        weights: str | None = None,
        pretrained: bool = True,
        teacher_steps: int = 60_000,
        teacher_pictures: int = 16,
        pictures: str | None = None,
        holdout: float = 0.1,
        hard: float = 0.999,
        border: Literal["zeros", "edge"] = "zeros",
        steps: int = 70_000,
        lr: float = 1e-4,
        weight_decay: float = 1e-5,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.size, self.width, self.channels, self.autoencoder_side = size, width, channels, autoencoder_side
        self.teacher, self.backbone, self.layers = teacher, backbone, layers
        self.weights, self.pretrained = weights, pretrained
        self.teacher_steps, self.teacher_pictures, self.pictures = teacher_steps, teacher_pictures, pictures
        self.holdout, self.hard, self.border, self.steps, self.lr = holdout, hard, border, steps, lr
        self.weight_decay, self.seed = weight_decay, seed
        self._check()
        with seeded(seed):
            self.pdn = patch_descriptor(size, channels, width)
            self.student = patch_descriptor(size, 2 * channels, width)
            self.autoencoder = GlobalAutoencoder(channels, autoencoder_side, width)
        if teacher is not None and not loading.get():
            load_teacher(self.pdn, Path(teacher))
        for name in ("mean", "std", "marks", "losses"):
            self.register_buffer(name, torch.empty(0))

    def fit(self, data: Iterable[Batch]) -> Self:
        """Distil the teacher if it is not given, train student and autoencoder, find the maps' quantiles."""
        draw = several(photographs(self.pictures, zoom=2))
        with seeded(self.seed):
            good, held = hold_out(data, self.holdout, self.seed)
            if self.teacher is None:
                self._distil(good, draw)
            self.pdn.requires_grad_(False).eval()
            self.mean, self.std = channel_statistics(self._each(good, lambda image: self.pdn(prepare(image))))
            trained = nn.ModuleList([self.student, self.autoencoder])
            optimiser = torch.optim.Adam(trained.parameters(), self.lr, weight_decay=self.weight_decay)
            schedule = torch.optim.lr_scheduler.StepLR(optimiser, max(1, int(0.95 * self.steps)), 0.1)
            losses = optimise(
                trained,
                lambda batch: self.loss(batch.image, draw),
                good,
                steps=self.steps,
                optimiser=optimiser,
                schedule=schedule,
                settings=self.params,
            )
        pair = torch.cat([maps.flatten(1) for maps in self._each(held, lambda image: torch.stack(self.maps(image)))], 1)
        self.marks = torch.stack([torch.stack([quantile(map, 0.9), quantile(map, 0.995)]) for map in pair])
        self.losses = torch.tensor(losses, device=self.marks.device)
        return self

    def _distil(self, good: Iterable[Batch], draw: Pictures) -> None:
        layers, device = (8, 16) if self.layers is None else self.layers, device_of(self)
        backbone = extractor(self.backbone, layers, weights=self.weights, pretrained=self.pretrained).to(device)
        distil_teacher(
            self.pdn,
            backbone,
            good,
            draw,
            steps=self.teacher_steps,
            pictures=self.teacher_pictures,
            lr=self.lr,
            weight_decay=self.weight_decay,
            settings=self.params,
        )

    def _each(self, data: Iterable[Batch], answer: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
        device = device_of(self)
        for batch in data:
            with torch.no_grad():
                yield answer(to(batch, device).image)

    def loss(self, image: Tensor, draw: Pictures) -> Tensor:
        """Return the sum of the four losses of good images and as many other images.

        Args:
            image: (B, 3, H, W) good images, RGB in [0, 1].
            draw: Draws the other images.

        Returns:
            Scalar loss.
        """
        c, other = self.channels, draw(len(image), (image.shape[2], image.shape[3])).to(image.device)
        plain, changed, strange = prepare(image), prepare(jitter_one(image)), prepare(sometimes_grey(other, 0.3))
        hard = hard_feature_loss((self.taught(plain) - self.student(plain)[:, :c]).square(), self.hard)
        penalty = self.student(strange)[:, :c].square().mean()
        wanted, said = self.taught(changed), self.student(changed)[:, c:]
        whole = self.autoencoder(changed, (said.shape[2], said.shape[3]))
        total: Tensor = hard + penalty + (wanted - whole).square().mean() + (whole - said).square().mean()
        return total

    def forward(self, image: Tensor) -> Scores:
        """Score by the mean of both maps, each on the scale of its quantiles; the image scores as the peak."""
        self.require_fit()
        grid = torch.stack([between(m, *marks) for m, marks in zip(self.maps(image), self.marks, strict=True)]).mean(0)
        around, mode = (BORDER, BORDER, BORDER, BORDER), "constant" if self.border == "zeros" else "replicate"
        map = enlarge(F.pad(grid[:, None], around, mode)[:, 0], (image.shape[2], image.shape[3]))
        return Scores(peak(grid), map)

    def maps(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean squared differences of student and teacher, and of student and autoencoder.

        Args:
            image: (B, 3, H, W) RGB in [0, 1], sides at least 33.

        Returns:
            Two maps, (B, h, w) each.
        """
        plain = prepare(image)
        said = self.student(plain)
        first, second = said[:, : self.channels], said[:, self.channels :]
        whole = self.autoencoder(plain, (said.shape[2], said.shape[3]))
        return (self.taught(plain) - first).square().mean(1), (whole - second).square().mean(1)

    def taught(self, plain: Tensor) -> Tensor:
        """Return the teacher's standardised outputs.

        Args:
            plain: Normalised images (B, 3, H, W), see `patch_descriptor.prepare`.

        Returns:
            (B, C, h, w).
        """
        said: Tensor = self.pdn(plain)
        mean, std = self.mean.view(-1, 1, 1), self.std.view(-1, 1, 1)
        return (said - mean) / std

    def _check(self) -> None:
        if self.size not in ("s", "m"):
            raise InputError(f"size is {self.size!r}; it is 's' or 'm'")
        if self.border not in ("zeros", "edge"):
            raise InputError(f"border is {self.border!r}; it is 'zeros' or 'edge'")
        if self.autoencoder_side < 32 or self.autoencoder_side % 32:
            raise InputError(f"autoencoder_side is {self.autoencoder_side}; it must be a multiple of 32")
        if not (0 < self.holdout < 1 and 0 < self.hard < 1):
            raise InputError(f"holdout is {self.holdout}, hard is {self.hard}; both must lie between 0 and 1")
        least = {"channels": 2, "teacher_steps": 1, "teacher_pictures": 0, "steps": 1, "weight_decay": 0}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least {low}")
        if self.width <= 0 or self.lr <= 0:
            raise InputError(f"width is {self.width}, lr is {self.lr}; both must be above 0")


def hard_feature_loss(squared: Tensor, share: float = 0.999) -> Tensor:
    """Return the mean of each image's squared differences above its `share` quantile, averaged over images.

    Above the interpolated quantile lie the n - ceil(share * (n - 1)) largest of n numbers, at least one: they are
    picked by rank, which needs no quantile and has no limit of size. The paper trains on one image at a time; here
    every image of a batch has its own quantile, so that a batch is the mean of its images.

    Args:
        squared: Squared differences, (B, ...).
        share: Quantile, in (0, 1).

    Returns:
        Scalar loss.
    """
    each = squared.flatten(1)
    count = each.shape[1] - math.ceil(share * (each.shape[1] - 1))
    return each.topk(max(1, count), dim=1, sorted=False).values.mean()


def quantile(values: Tensor, share: float) -> Tensor:
    """Return the quantile of all values, interpolated linearly between neighbours as numpy does by default.

    `torch.quantile` refuses more than 16 million values; this takes any number.

    Args:
        values: Any shape, not empty.
        share: Quantile, in [0, 1].

    Returns:
        Scalar.
    """
    flat = values.flatten()
    at = share * (len(flat) - 1)
    below = math.floor(at)
    low, high = (flat.kthvalue(min(rank, len(flat) - 1) + 1).values for rank in (below, below + 1))
    return torch.lerp(low, high, at - below)


def between(map: Tensor, low: Tensor, high: Tensor, mark: float = 0.1) -> Tensor:
    """Return a map on the linear scale where `low` is 0 and `high` is `mark`; equal marks leave a finite scale.

    Args:
        map: Any shape.
        low: Value that becomes 0.
        high: Value that becomes `mark`.
        mark: The upper mark.

    Returns:
        The scaled map.
    """
    tiny = torch.finfo(map.dtype).tiny ** 0.5
    return mark * (map - low) / (high - low).clamp_min(tiny)


class Chosen:
    """The batches of `data`, reduced to the images that are held out, or to those that are not.

    Args:
        data: Batches, gone through anew at every iteration.
        held: Checksums of the held-out images.
        seed: Random state of the checksums.
        inside: Whether the held-out images are kept, or the others.
    """

    def __init__(self, data: Iterable[Batch], held: frozenset[int], seed: int, inside: bool) -> None:
        self.data, self.held, self.seed, self.inside = data, held, seed, inside

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.data:
            kept = [i for i, sum in enumerate(checksums(batch.image, self.seed)) if (sum in self.held) is self.inside]
            if len(kept) == len(batch):
                yield batch
            elif kept:
                yield batch.take(kept)


def hold_out(data: Iterable[Batch], share: float, seed: int = 0) -> tuple[Chosen, Chosen]:
    """Split batches into training images and held-out images, each at least one.

    Args:
        data: Batches, gone through anew at every iteration.
        share: Share of the images to hold out.
        seed: Random state: decides which.

    Returns:
        The batches without the held-out images, and the batches of them.

    Raises:
        InputError: there are fewer than two different images.
    """
    sums = sorted(sum for batch in data for sum in checksums(batch.image, seed))
    count = min(max(1, round(share * len(sums))), len(sums) - 1)
    held = frozenset(sums[: max(0, count)])
    if not held or held.issuperset(sums):
        raise InputError(
            f"{len(set(sums))} different good image(s); 2 are needed, one to learn from and one held back. "
            "Check that the training folder holds good images."
        )
    return Chosen(data, held, seed, inside=False), Chosen(data, held, seed, inside=True)


def checksums(images: Tensor, seed: int) -> list[int]:
    """Return a number for each image that depends on its pixels and on `seed`.

    Args:
        images: (B, 3, H, W).
        seed: Random state; another one gives other numbers.

    Returns:
        B numbers, 32 bits each.
    """
    return [zlib.crc32(image.cpu().contiguous().numpy().tobytes(), seed & 0xFFFFFFFF) for image in images]
