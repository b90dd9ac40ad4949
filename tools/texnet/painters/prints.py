"""Made by print or etching: circuits and lines of letters."""

from __future__ import annotations

import cv2
import numpy as np

from .fields import SHIFT, Field, Random, disc, fine, rotation


def circuit(fixed: Random, rng: Random, side: int) -> Field:
    """A printed circuit: tracks that bend by 45 degrees, pads, rows of pins, vias with holes."""
    pitch, width = fixed.uniform(5, 14), int(fixed.integers(1, 4))
    tracks, vias, chips = int(fixed.integers(4, 22)), int(fixed.integers(0, 14)), int(fixed.integers(0, 4))
    canvas = np.full((side, side), 40, np.uint8)
    ways = np.array([(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)])
    for _ in range(tracks):
        turns = np.cumsum(rng.integers(-1, 2, 6)) + rng.integers(0, 4) * 2
        steps = ways[turns % 8] * rng.integers(1, 5, (6, 1))
        line = (rng.integers(0, int(side / pitch) + 1, 2) + np.cumsum(steps, 0)) * pitch
        cv2.polylines(canvas, [fine(line)], False, 150, width, cv2.LINE_AA, SHIFT)
    for place in rng.integers(0, int(side / pitch) + 1, (vias, 2)) * pitch:
        disc(canvas, place, pitch * 0.4, 230)
        disc(canvas, place, pitch * 0.18, 10)
    for left, top in rng.integers(0, side, (chips, 2)).tolist():
        wide, high = int(pitch * 3), int(pitch * 2)
        for pin in range(0, wide, max(3, int(pitch / 2))):
            cv2.rectangle(canvas, (left + pin, top - 3), (left + pin + 1, top + high + 3), 255, -1)
        cv2.rectangle(canvas, (left, top), (left + wide, top + high), 90, -1)
    return canvas.astype(np.float32) / 255


def glyphs(fixed: Random, rng: Random, side: int) -> Field:
    """Lines of print in an alphabet of its own."""
    letters, high = int(fixed.integers(2, 9)), np.exp(fixed.uniform(np.log(5), np.log(26)))
    width, gap, angle = (
        int(fixed.integers(1, max(2, int(high / 5)) + 1)),
        fixed.uniform(1.2, 2.2),
        fixed.choice([0.0, 0.8]),
    )
    closed, words = fixed.random() < 0.3, fixed.uniform(0.6, 1)
    alphabet = [fixed.random((int(fixed.integers(3, 7)), 2)) * (0.7 * high, high) for _ in range(letters)]
    canvas = np.zeros((side, side), np.uint8)
    turn, start = rotation(float(angle)), rng.uniform(-high, 0, 2)
    for top in np.arange(start[1] - (side / 2 if angle else 0), side * 1.4, high * gap):
        for left in np.arange(start[0], side * 1.4, high):
            letter = alphabet[int(rng.integers(letters))]
            if rng.random() < words:
                line = (letter + np.array([left, top])) @ turn
                cv2.polylines(canvas, [fine(line)], bool(closed), 255, width, cv2.LINE_AA, SHIFT)
    return canvas.astype(np.float32) / 255
