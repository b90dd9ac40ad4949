"""A surface under a lamp, seen by a camera: the few laws of light that all scenes share.

Lengths are in units of 1/256 of the image's side, so a scene looks the same at every size. x points right, y down, and
(0, 0) is the centre of the image. A cover is the share of each pixel that something covers, (H, W) in [0, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Field = NDArray[np.float32]
"""(H, W), one value per pixel, or (H, W, 3), RGB."""
UNITS = 256.0


@dataclass(frozen=True, slots=True)
class Surface:
    """A surface to be photographed. Its methods return a changed copy.

    Attributes:
        albedo: (H, W, 3) in [0, 1].
        height: (H, W) in units.
        gloss: (H, W) in [0, 1].
    """

    albedo: Field
    height: Field
    gloss: Field

    def painted(self, colour: ArrayLike, cover: Field) -> Surface:
        """Lay a colour over the surface.

        Args:
            colour: (3,) or (H, W, 3) RGB in [0, 1].
            cover: (H, W) cover of the colour.

        Returns:
            The painted surface.
        """
        return replace(self, albedo=mix(self.albedo, colour, cover))

    def tinted(self, factor: ArrayLike, cover: Field) -> Surface:
        """Multiply the colour of the surface.

        Args:
            factor: (3,) factor where the cover is 1.
            cover: (H, W) cover of the tint.

        Returns:
            The tinted surface.
        """
        return replace(self, albedo=self.albedo * mix(np.ones_like(self.albedo), factor, cover))

    def raised(self, by: Field) -> Surface:
        """Change the height of the surface.

        Args:
            by: (H, W) change in units; negative lowers.

        Returns:
            The raised surface.
        """
        return replace(self, height=self.height + by)

    def glossed(self, gloss: float, cover: Field) -> Surface:
        """Change the gloss of the surface.

        Args:
            gloss: The new gloss, in [0, 1], where the cover is 1.
            cover: (H, W) cover of the change.

        Returns:
            The surface with the new gloss.
        """
        return replace(self, gloss=self.gloss + (np.float32(gloss) - self.gloss) * cover)

    def cut(self, window: tuple[slice, slice]) -> Surface:
        """Cut out a window of the surface.

        Args:
            window: Its rows and columns.

        Returns:
            The part inside the window.
        """
        return Surface(self.albedo[window], self.height[window], self.gloss[window])

    def patched(self, window: tuple[slice, slice], part: Surface) -> Surface:
        """Replace a window of the surface.

        Args:
            window: Its rows and columns.
            part: The new content of the window.

        Returns:
            The patched surface.
        """
        albedo, height, gloss = self.albedo.copy(), self.height.copy(), self.gloss.copy()
        albedo[window], height[window], gloss[window] = part.albedo, part.height, part.gloss
        return Surface(albedo, height, gloss)


@dataclass(frozen=True, slots=True)
class Camera:
    """Lamp, lens and sensor during one shot: all that differs from shot to shot.

    Attributes:
        lamp: Direction of the lamp in the image plane, of length 1.
        gain: (H, W, 3) factor of the light: exposure, lighting gradient, vignette and white balance.
        blur: Standard deviation of the defocus, in pixels.
        noise: (H, W, 3) sensor noise.
    """

    lamp: tuple[float, float]
    gain: Field
    blur: float
    noise: Field

    @classmethod
    def draw(cls, rng: np.random.Generator, size: int) -> Camera:
        """Draw a lamp's direction, exposure, lighting gradient, vignette, focus and sensor noise.

        Args:
            rng: Random generator.
            size: Side of the image in pixels.

        Returns:
            The camera for one shot.
        """
        x, y = grid(size)
        angle = rng.normal(-2.2, 0.05)
        tilt = rng.normal(0, 0.025, 2)
        gain = rng.normal(1, 0.02) * (1 + (float(tilt[0]) * x + float(tilt[1]) * y) / 128)
        gain = gain * (1 - rng.uniform(0.02, 0.08) * (x * x + y * y) / 128**2)
        balance = rng.normal(1, 0.008, 3)
        return cls(
            lamp=(math.cos(angle), math.sin(angle)),
            gain=as_field(gain[..., None] * as_field(balance)),
            blur=float(rng.uniform(0.5, 0.7)) * size / UNITS,
            noise=rng.standard_normal((size, size, 3), dtype=np.float32) * np.float32(rng.uniform(0.005, 0.008)),
        )

    def see(self, surface: Surface) -> Field:
        """Compute the light that reaches the sensor: one lamp, diffuse and mirrored light.

        Args:
            surface: What the camera is pointed at.

        Returns:
            (H, W, 3), about [0, 1].
        """
        per_unit = len(surface.height) / UNITS
        slope_x = cv2.Sobel(surface.height, cv2.CV_32F, 1, 0, ksize=3, scale=per_unit / 8)
        slope_y = cv2.Sobel(surface.height, cv2.CV_32F, 0, 1, ksize=3, scale=per_unit / 8)
        facing = -(slope_x * self.lamp[0] + slope_y * self.lamp[1])
        shorter = 1 / np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
        diffuse = np.maximum((0.72 + 0.7 * facing) * shorter, 0) + 0.28
        towards = np.maximum((0.86 + 0.5 * facing) * shorter, 0)
        cubed = towards * towards * towards
        mirrored = surface.gloss * cubed * cubed * cubed * cubed
        light = surface.albedo * diffuse[..., None] + mirrored[..., None]
        return as_field(cv2.GaussianBlur(light * self.gain, (0, 0), self.blur))

    def expose(self, light: Field) -> NDArray[np.uint8]:
        """Take the image, with noise that grows with the light.

        Args:
            light: (H, W, 3) from `see`.

        Returns:
            (H, W, 3) uint8 RGB.
        """
        noisy = light + self.noise * np.sqrt(0.25 + np.maximum(light, 0))
        return np.asarray(np.clip(noisy * 255 + 0.5, 0, 255), dtype=np.uint8)


def grid(size: int) -> tuple[Field, Field]:
    """Return the coordinates of every pixel's centre.

    Args:
        size: Side of the image in pixels.

    Returns:
        x and y, each (size, size), in units.
    """
    line = (np.arange(size, dtype=np.float32) + 0.5) * np.float32(UNITS / size) - np.float32(UNITS / 2)
    x, y = np.meshgrid(line, line)
    return x, y


def placed(x: Field, y: Field, at: ArrayLike, angle: float) -> tuple[Field, Field]:
    """Return the coordinates of pixels in the frame of a part.

    Args:
        x: (H, W) x of the pixels, in units.
        y: (H, W) y of the pixels, in units.
        at: (x, y) of the part, in units.
        angle: Rotation of the part, in radians.

    Returns:
        x and y in the part's frame, each (H, W), in units.
    """
    left, top = np.asarray(at, dtype=np.float32)
    cos, sin = math.cos(angle), math.sin(angle)
    return as_field(cos * (x - left) + sin * (y - top)), as_field(cos * (y - top) - sin * (x - left))


def inside(distance: Field, per_unit: float | None = None) -> Field:
    """Return how much of each pixel is inside a shape.

    Args:
        distance: (H, W) distance to the shape's edge in units, positive inside.
        per_unit: Pixels per unit, if `distance` is not of the whole image.

    Returns:
        (H, W) cover of the shape.
    """
    pixels = distance * np.float32(len(distance) / UNITS if per_unit is None else per_unit)
    return as_field(np.clip(pixels + 0.5, 0, 1))


def clouds(rng: np.random.Generator, size: int, across: float, along: float | None = None) -> Field:
    """Return smooth noise.

    Args:
        rng: Random generator.
        size: Side of the image in pixels.
        across: Width of its lumps, in units.
        along: Height of its lumps, in units; None for as high as wide.

    Returns:
        (size, size), of about unit variance.
    """
    shape = [max(4, round(UNITS / length) + 3) for length in (along or across, across)]
    coarse = rng.standard_normal(shape, dtype=np.float32)
    scale = [size / (n - 3) for n in shape]
    big = cv2.resize(coarse, (round(shape[1] * scale[1]), round(shape[0] * scale[0])), interpolation=cv2.INTER_CUBIC)
    top, left = int(scale[0]), int(scale[1])
    return as_field(big[top : top + size, left : left + size] * 1.3)


def mix(under: Field, over: ArrayLike, cover: Field) -> Field:
    """Lay one image over another.

    Args:
        under: (H, W, 3).
        over: (3,) or (H, W, 3).
        cover: (H, W) cover of `over`.

    Returns:
        (H, W, 3).
    """
    return as_field(under + (np.asarray(over, dtype=np.float32) - under) * cover[..., None])


def smooth(value: Field) -> Field:
    """Return the smooth step from 0 to 1.

    Args:
        value: Values of any shape, clipped to [0, 1].

    Returns:
        3 v^2 - 2 v^3 of each value v.
    """
    clipped = np.clip(value, 0, 1)
    return as_field(clipped * clipped * (3 - 2 * clipped))


def as_field(values: Any) -> Field:
    """Convert values to float32.

    Args:
        values: Array or nested sequence of numbers.

    Returns:
        The values in float32.
    """
    return np.asarray(values, dtype=np.float32)
