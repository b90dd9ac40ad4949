"""How cost grows: PatchCore's selection and PaDiM's moments for 100, 1,000 and 10,000 training images, simulated.

    python benchmarks/growth.py

Patches come as a network would give them, 1,024 of 128 numbers an image, drawn with a spectrum like that of trained
features; each size runs in a fresh process. PatchCore keeps 10,000 patches and may hold 1 GiB of them (`memory=1`): from
about 2,000 images on it selects while reading. PaDiM has three grids and 100 channels.
"""

from __future__ import annotations

from side_by_side import Row, alone, finish, options

PATCHCORE = """
import json, resource, sys, time, torch
from blemish.ops.coreset import CoresetStream
images = int(sys.argv[1])
chance = torch.Generator().manual_seed(0)
fall = torch.arange(1, 129) ** -0.7
turn = torch.linalg.qr(torch.randn(128, 128, generator=chance))[0]
def patches():
    style = torch.randn(64, 128, generator=chance)
    place = torch.randint(0, 64, (8 * 1024,), generator=chance)
    return (style[place] + 0.3 * torch.randn(8 * 1024, 128, generator=chance)) * fall @ turn
CoresetStream(0.1, 100, limit=10**6).add(patches())
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
stream = CoresetStream(0.1, 10_000, limit=2**30 // 512)
spent = 0.0
for _ in range(max(1, images // 8)):
    some = patches()
    begun = time.perf_counter()
    stream.add(some)
    spent += time.perf_counter() - begun
begun = time.perf_counter()
bank = stream.bank()
spent += time.perf_counter() - begun
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": spent, "peak": peak - base, "radius": stream.radius}))
"""
PADIM = """
import json, resource, sys, time, torch
from blemish.ops.gaussian import Moments
images = int(sys.argv[1])
chance = torch.Generator().manual_seed(0)
def maps():
    return [torch.randn(8, c, s, s, generator=chance) for c, s in ((50, 16), (30, 32), (20, 64))]
Moments().update(maps())
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
moments, spent = Moments(), 0.0
for _ in range(max(1, images // 8)):
    some = maps()
    begun = time.perf_counter()
    moments.update(some)
    spent += time.perf_counter() - begun
begun = time.perf_counter()
moments.whitening(0.01)
spent += time.perf_counter() - begun
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": spent, "peak": peak - base}))
"""


def main() -> None:
    given, rows = options(__doc__), []
    for name, code in (("PatchCore, 10,000 of", PATCHCORE), ("PaDiM,", PADIM)):
        for images in (100, 1000, 10_000):
            found = alone(code, str(images))
            note = f"radius guaranteed {found['radius']:.3g}" if "radius" in found else ""
            unit = f"{images * 1024:,} patches" if "PatchCore" in name else f"{images:,} images"
            rows.append(Row(f"growth: {name} {unit}: time", found["seconds"], None, "s", "", note))
            rows.append(Row(f"growth: {name} {unit}: peak memory", found["peak"], None, "MB"))
    finish(rows, given)


if __name__ == "__main__":
    main()
