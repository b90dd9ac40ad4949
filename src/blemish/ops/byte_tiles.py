"""Nearest neighbours by bytes: bounds of distances from 64 small whole numbers, of which one instruction multiplies four.

Vectors are rounded to whole multiples of 1 / scale between -127 and 127. By the triangle inequality, with what rounding
moved each of the two,

    scale |q - b|  >=  |round(q) - round(b)| - moved(q) - moved(b),

so a row whose bytes are too far away cannot be nearer than what was found, and need not be looked at: what comes out is
exact. Comparing bytes is a dot product, for |q - b|^2 / 2 = |q|^2 / 2 - (q b - |b|^2 / 2). Processors with AVX-512 VNNI
multiply 64 pairs of bytes with one instruction, VPDPBUSD, and add each four to one sum. It takes one side unsigned: rows
are kept 128 higher.

Four queries meet a tile of 64 rows in registers (`largest`), and only the largest value of each meeting is kept. A query
then begins where its largest value was, and visits the few other tiles that may hold something nearer.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from blemish.ops.tiles import LANES, bounds_of, guess, insert, rest

DEPTH = 64  # bytes of a vector
TOGETHER = 4  # queries that meet a tile in registers
MAXIMA = 1 << 16  # largest values held at once, 256 KiB: they and a tile stay in the cache
NOBODY = -(1 << 30)  # what a lane without a row begins with: less than any limit


@cache
def available() -> bool:
    """Return whether this processor has the instruction."""
    import llvmlite.binding as llvm

    return bool(llvm.get_host_cpu_features().get("avx512vnni", False))


class ByteTiles:
    """A bank of (M, D) vectors as bytes: their coordinates on the leading axes, and the length of what is left.

    `centre` is (D,), `axes` (D, at most 63), orthonormal.
    """

    def __init__(self, bank: Tensor, centre: Tensor, axes: Tensor) -> None:
        self.bank, self.axes, self.centre = bank.numpy(), axes, centre.numpy()
        self.offset = -(centre @ axes)
        bounds = bounds_of(bank, centre, axes)
        middle = (bounds.amin(0) + bounds.amax(0)) / 2  # taken off, so that bytes need not reach as far
        self.scale = np.float32(127 / max(float((bounds - middle).abs().max()), 1e-30))
        moved = (bounds - middle) * float(self.scale)
        rows = moved.round()
        self.middle, self.moved = middle.numpy(), np.float32(torch.linalg.vector_norm(moved - rows, dim=1).max())
        count, tiles = len(rows), -(-len(rows) // LANES)
        high = torch.full((tiles * LANES, DEPTH), 128, dtype=torch.uint8)
        high[:count, : rows.shape[1]] = (rows + 128).to(torch.uint8)
        self.tiles = high.view(tiles, LANES, DEPTH // 4, 4).transpose(1, 2).contiguous().numpy()
        halves = torch.full((tiles * LANES,), NOBODY, dtype=torch.int32)
        halves[:count] = -(rows.square().sum(1) / 2).floor().int()
        self.halves = halves.numpy()

    def nearest(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor, int]:
        """Return squared distances and indices, (Q, k), of the rows nearest to (Q, D) queries, nearest first.

        And how many distances were taken in full.
        """
        queries = queries.contiguous()
        count, leading = len(queries), torch.addmm(self.offset, queries, self.axes)
        best, who = torch.full((count, k), torch.inf), torch.full((count, k), -1, dtype=torch.int64)
        low = torch.zeros(-(-count // TOGETHER) * TOGETHER, DEPTH, dtype=torch.int8)
        asked = queries.numpy(), leading.numpy(), low.numpy(), best.numpy(), who.numpy()
        kept = self.bank, self.centre, self.middle, self.moved, self.scale, self.tiles, self.halves
        block = max(TOGETHER, min(256, MAXIMA // len(self.tiles) // TOGETHER * TOGETHER))
        blocks = iter([(first, min(first + block, count)) for first in range(0, count, block)])
        run = search()

        def work() -> int:  # who is done first takes the next block
            return sum(run(*asked, *kept, *part) for part in blocks)

        jobs = max(1, min(torch.get_num_threads(), count // block))
        with ThreadPoolExecutor(jobs) as pool:
            others = [pool.submit(work) for _ in range(jobs - 1)]
            taken = work() + sum(job.result() for job in others)  # this thread would only wait
        return best, who, taken


@cache
def search() -> Callable[..., int]:
    """Return `_search`, compiled on the first call or read from disk; it holds no Python lock."""
    import llvmlite.binding as llvm
    import numba
    from numba.extending import register_jitable

    llvm.initialize_native_asmparser()
    options: dict[str, Any] = {"fastmath": {"reassoc", "contract"}}
    for part in (rest, insert, guess, _limit, _visit, _lower):
        register_jitable(**options)(part)
    globals().update(_largest=_meeting(several=True), _values=_meeting(several=False))
    try:
        made: Callable[..., int] = numba.njit(cache=True, nogil=True, **options)(_search)
    except RuntimeError:  # no folder can be written: each process compiles anew
        made = numba.njit(nogil=True, **options)(_search)
    return made


_largest: Any = None  # what `_meeting` makes when it is first needed, for it needs numba
_values: Any = None


def _search(
    queries: Any, leading: Any, low: Any, best: Any, who: Any, bank: Any, centre: Any, middle: Any,
    moved: Any, scale: Any, tiles: Any, halves: Any, first: int, last: int,
) -> int:  # fmt: skip
    """Find the k rows nearest to the queries first to last, into `best` and `who` (Q, k), nearest first.

    `leading` (Q, L) are the queries' coordinates on the leading axes, `low` (Q to a multiple of 4, 64) is where their
    bytes go. Returns how many distances were taken in full.
    """
    count, farthest, taken = len(tiles), best.shape[1] - 1, 0
    size = (last - first + TOGETHER - 1) // TOGETHER * TOGETHER
    maxima, out = np.empty((size, count), np.int32), np.empty((LANES, 1), np.int32)
    own, reach = np.empty(size, np.float32), np.empty(size, np.float32)
    for p in range(first, last):
        own[p - first], slack = _lower(queries, leading, low, centre, middle, scale, p)
        reach[p - first] = slack + moved
    for t in range(count):
        for p in range(first, last, TOGETHER):
            _largest(low, p, tiles, t, halves, maxima, p - first)
    for p in range(first, last):
        guess(queries, bank, best, who, p, p - 32 if p - 32 >= first else -1, p - 1 if p > first else -1)
        m, top = p - first, 0
        least = _limit(best[p, farthest], scale, reach[m], own[m])
        for t in range(count):
            if maxima[m, t] > maxima[m, top]:
                top = t
        for turn in range(-1, count):  # the most promising tile first, and then as they come
            t = turn if turn >= 0 else top
            if maxima[m, t] > least and turn != top:
                _values(low, p, tiles, t, halves, out, 0)
                least, n = _visit(queries, bank, best, who, p, t, out, least, scale, reach[m], own[m])
                taken += n
    return taken


def _lower(queries: Any, leading: Any, low: Any, centre: Any, middle: Any, scale: Any, p: int) -> Any:
    """Round a query to bytes; return half its squared norm (less what rows being 128 higher adds), and its slack."""
    axes, whole, lead = leading.shape[1], np.float32(0), np.float32(0)
    for k in range(queries.shape[1]):
        whole += (queries[p, k] - centre[k]) ** 2
    for k in range(axes):
        lead += leading[p, k] ** 2
    # The difference of two sums may be wrong by a few millionths of them: the more, the less is left.
    unsure, left = np.float32(4e-6) * whole, np.sqrt(max(whole - lead, np.float32(0)))
    slack = min(np.sqrt(unsure), unsure / max(left, np.float32(1e-30))) * scale
    squares = total = missed = np.float32(0)
    for k in range(axes + 1):
        exact = ((leading[p, k] if k < axes else left) - middle[k]) * scale
        byte = min(max(np.float32(np.rint(exact)), np.float32(-127)), np.float32(127))
        low[p, k] = np.int8(byte)
        squares += byte * byte
        total += byte
        missed += (exact - byte) ** 2
    return squares / 2 + 128 * total, np.sqrt(missed) + slack


def _visit(
    queries: Any, bank: Any, best: Any, who: Any, p: int, t: int, out: Any, least: Any, scale: Any, slack: Any, own: Any
) -> Any:
    """Take the distances of a query to those rows of a tile that may be nearer; return the new limit, and how many."""
    taken, last = 0, best.shape[1] - 1
    for group in range(0, LANES, 16):
        some = 0  # counting is done for all sixteen at once
        for i in range(group, group + 16):
            some += out[i, 0] > least
        if some == 0:
            continue
        for i in range(group, group + 16):
            if out[i, 0] > least:
                squared = rest(queries, p, bank, t * LANES + i, 0)
                taken += 1
                if squared < best[p, last]:
                    insert(best, who, p, squared, t * LANES + i)
                    least = _limit(best[p, last], scale, slack, own)
    return least, taken


def _limit(best: Any, scale: Any, slack: Any, own: Any) -> Any:
    """Return the value that a row nearer than `best` exceeds; rounding must not lose anyone."""
    reach = np.float64(scale) * np.sqrt(np.float64(best)) * 1.00001 + np.float64(slack) + 0.01
    return np.int64(max(np.float64(own) - reach * reach / 2 - 2, -5e8))


def _meeting(*, several: bool) -> Any:
    """Return what numba calls to let queries meet a tile: (low, p, tiles, t, halves, out, at).

    The value of a lane is the dot product of query and row less half of the row's squared norm. `several`: four queries
    from p on; the largest value of each goes to out[at], out[at + 1], ... at column t. Otherwise one query; all its values
    go to out[:, 0].
    """
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    byte, word, long = ir.IntType(8), ir.IntType(32), ir.IntType(64)
    lanes, groups = ir.VectorType(word, 16), LANES // 16

    def number(value: int) -> ir.Constant:
        return ir.Constant(long, value)

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        low, p, tiles, t, halves, out, at = args

        def data(value: Any, place: int) -> Any:
            array = context.make_array(signature.args[place])(context, builder, value=value)
            return builder.bitcast(array.data, byte.as_pointer())

        def load(base: Any, offset: Any, kind: Any, align: int) -> Any:
            found = builder.load(builder.bitcast(builder.gep(base, [offset]), kind.as_pointer()))
            found.align = align
            return found

        def store(value: Any, base: Any, offset: Any) -> None:
            put = builder.store(value, builder.bitcast(builder.gep(base, [offset]), value.type.as_pointer()))
            put.align = 4

        def everywhere(value: Any) -> Any:
            empty = ir.Constant(lanes, ir.Undefined)
            first = builder.insert_element(empty, value, ir.Constant(word, 0))
            return builder.shuffle_vector(first, empty, ir.Constant(lanes, [0] * 16))

        queries, rows = data(low, 0), data(tiles, 2)
        own, tile = builder.mul(p, number(DEPTH)), builder.mul(t, number(DEPTH * LANES))
        norms, begin = data(halves, 4), builder.mul(t, number(4 * LANES))
        count = TOGETHER if several else 1
        start = [load(norms, builder.add(begin, number(64 * g)), lanes, 4) for g in range(groups)]
        sums = [list(start) for _ in range(count)]
        multiply = ir.FunctionType(lanes, [lanes, lanes, lanes])
        for step in range(DEPTH // 4):
            four = [load(rows, builder.add(tile, number(4 * LANES * step + 64 * g)), lanes, 4) for g in range(groups)]
            for j in range(count):
                query = everywhere(load(queries, builder.add(own, number(j * DEPTH + 4 * step)), word, 1))
                for g in range(groups):
                    # as text, for what LLVM calls the instruction differs between its versions
                    given = [sums[j][g], four[g], query]
                    sums[j][g] = builder.asm(multiply, "vpdpbusd $3, $2, $0", "=v,0,v,v", given, False)
        target = data(out, 5)
        if not several:
            for g in range(groups):
                store(sums[0][g], target, number(64 * g))
            return context.get_dummy_value()
        width = context.make_array(signature.args[5])(context, builder, value=out).shape
        columns = builder.extract_value(width, 1)
        highest = builder.module.declare_intrinsic("llvm.vector.reduce.smax.v16i32", (), ir.FunctionType(word, [lanes]))
        for j in range(count):
            most = sums[j][0]
            for g in range(1, groups):
                most = builder.select(builder.icmp_signed(">", most, sums[j][g]), most, sums[j][g])
            cell = builder.add(builder.mul(builder.add(at, number(j)), columns), t)
            store(builder.call(highest, [most]), target, builder.mul(cell, number(4)))
        return context.get_dummy_value()

    def meeting(typing: Any, low: Any, p: Any, tiles: Any, t: Any, halves: Any, out: Any, at: Any) -> Any:
        return types.void(low, types.int64, tiles, types.int64, halves, out, types.int64), build

    return intrinsic(meeting)
