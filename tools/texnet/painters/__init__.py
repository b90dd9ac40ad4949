"""What materials are made of: each painter returns one (side, side) float32 field in [0, 1].

`fixed` decides what the material is, `rng` what differs from piece to piece. A painter's draws from `fixed` must not
depend on `rng`: then the same recipe shows the same material at every call.
"""

from __future__ import annotations

from .cables import bundle, cable
from .electronics import board, display, solar
from .fields import Field, Painter, Random, smooth_noise
from .goods import label, packed, screws
from .grains import dead_leaves, fibres, scattered, voronoi
from .machined import milled, ribbed, tread, weld
from .noises import banded_noise, brushed, power_noise, ridged_noise, rings
from .optics import caustics, crumple, highlights, zipper
from .parts import part
from .patterns import bricks, gratings, lattice, stripes, weave
from .prints import circuit, glyphs
from .sheets import ferrite, foam, gel, paper
from .surfaces import casting, ceramic, hammered, leather, marble, rust, wood
from .textiles import braid, carpet, chain, gauze, knit
from .turnery import bore, commutator, concentric, thread

__all__ = ["PAINTERS", "Field", "Painter", "Random", "smooth_noise"]

PAINTERS: tuple[Painter, ...] = (
    power_noise, banded_noise, ridged_noise, gratings, voronoi, dead_leaves, scattered, bricks, weave, brushed, rings,
    fibres, lattice, part, circuit, glyphs, stripes,
    wood, leather, casting, hammered, rust, marble, ceramic, paper, ferrite, foam, gel,
    knit, carpet, braid, gauze, chain, zipper, bore, commutator, thread, concentric, milled, weld, ribbed, tread,
    solar, board, display, label, packed, screws, cable, bundle, caustics, highlights, crumple,
)  # fmt: skip
