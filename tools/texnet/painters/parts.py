"""Single objects on an empty ground."""

from __future__ import annotations

import cv2
import numpy as np

from .fields import SHIFT, Field, Random, disc, fine, rotation


def part(fixed: Random, rng: Random, side: int) -> Field:
    """A machined part: an outline with holes, slots and a bevel, on an empty ground."""
    corners, size = int(fixed.choice([3, 4, 5, 6, 8, 40])), side * fixed.uniform(0.2, 0.45)
    squeeze, turn = fixed.uniform(0.5, 1), fixed.uniform(0, 2 * np.pi) + rng.normal(0, 0.1)
    holes, orbit, bore = int(fixed.integers(0, 8)), fixed.uniform(0.4, 0.75), fixed.uniform(0.05, 0.25)
    hub, bevel, teeth = fixed.uniform(0.1, 0.45), fixed.uniform(1, 9), fixed.choice([0.0, 0.0, 0.12])
    centre = np.full(2, side / 2) + rng.normal(0, side * 0.05, 2)
    around = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    radius = size * (1 + teeth * np.sign(np.sin(around * 10)))
    outline = np.stack([np.cos(around) * radius, np.sin(around) * radius * squeeze], 1) @ rotation(turn) + centre
    canvas = np.zeros((side, side), np.uint8)
    cv2.fillPoly(canvas, [fine(outline)], 255, cv2.LINE_AA, SHIFT)
    at = np.linspace(0, 2 * np.pi, max(holes, 1), endpoint=False)
    for place in (np.stack([np.cos(at), np.sin(at) * squeeze], 1) * size * orbit @ rotation(turn) + centre)[:holes]:
        disc(canvas, place, size * bore, 0)
    if fixed.random() < 0.6:
        disc(canvas, centre, size * hub, int(fixed.integers(0, 140)))
    else:
        fixed.integers(0, 140)
    inside = cv2.distanceTransform((canvas > 127).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    return (0.35 * canvas.astype(np.float32) / 255 + 0.65 * np.clip(inside / np.float32(bevel), 0, 1)).astype(
        np.float32
    )
