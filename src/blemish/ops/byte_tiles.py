"""Nearest neighbours by bytes: bounds of distances from 64 small whole numbers, of which one instruction multiplies four.

Vectors are rounded to small whole multiples of 1 / scale. By the triangle inequality, with what rounding moved each of the
two,

    scale |q - b|  >=  |round(q) - round(b)| - moved(q) - moved(b),

so a row whose bytes are too far away cannot be nearer than what was found, and need not be looked at: what comes out is
exact. Comparing bytes is a dot product, for |q - b|^2 / 2 = |q|^2 / 2 - (q b - |b|^2 / 2). The instructions take one side
unsigned, so rows are kept higher by as much as makes them positive:

    AVX-512 VNNI   VPDPBUSD multiplies 64 pairs of bytes and adds each four to one sum; numbers from -127 to 127
    AVX2           VPMADDUBSW multiplies 32 pairs and adds each two, in 16 bits; numbers from -63 to 63, so that the sum of
                   four products still fits, and VPMADDWD has half as much to add up

Four queries meet a tile of rows in registers, and only the largest value of each meeting is kept. A query then begins where
its largest value was, and visits the few other tiles that may hold something nearer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from blemish.ops.threads import together
from blemish.ops.tiles import bounds_of, guess, insert, rest

DEPTH = 64  # bytes of a vector
TOGETHER = 4  # queries that meet a tile in registers
MAXIMA = 1 << 16  # largest values held at once, 256 KiB: they and a tile stay in the cache
MOST = {"avx512vnni": 127, "avx2": 63}
"""The largest number that a byte may stand for, with each set of instructions."""

ROWS = {"avx512vnni": 64, "avx2": 16}
"""Rows of a tile: as many as there are registers to sum four times."""

NOBODY = -(1 << 30)  # what a lane without a row begins with: less than any limit


@cache
def means() -> tuple[str, ...]:
    """Return which instructions this processor has, the best first: names of MOST."""
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    return tuple(name for name in MOST if features.get(name, False))


class ByteTiles:
    """A bank of vectors as bytes: their coordinates on the leading axes, and the length of what is left.

    Args:
        bank: (M, D) float32.
        centre: (D,), subtracted first.
        axes: (D, at most 63), orthonormal.
        by: How bytes are multiplied: one of `means()`.
    """

    def __init__(self, bank: Tensor, centre: Tensor, axes: Tensor, by: str) -> None:
        axes = axes @ evenly(axes.shape[1])
        self.bank, self.axes, self.centre = bank.numpy(), axes, centre.numpy()
        self.offset = -(centre @ axes)
        bounds = bounds_of(bank, centre, axes)
        middle = (bounds.amin(0) + bounds.amax(0)) / 2  # taken off, so that bytes need not reach as far
        self.most = np.float32(MOST[by])
        self.scale = np.float32(self.most / max(float((bounds - middle).abs().max()), 1e-30))
        moved = (bounds - middle) * float(self.scale)
        rows = moved.round()
        self.middle, self.moved = middle.numpy(), np.float32(torch.linalg.vector_norm(moved - rows, dim=1).max())
        count, tiles, up = len(rows), -(-len(rows) // ROWS[by]), MOST[by] + 1
        # The type tells the compiled loops by which instructions the rows are to be compared.
        high = torch.full((tiles * ROWS[by], DEPTH), up, dtype=torch.uint8 if by == "avx512vnni" else torch.int8)
        high[:count, : rows.shape[1]] = (rows + up).to(high.dtype)
        self.tiles = high.view(tiles, ROWS[by], DEPTH // 4, 4).transpose(1, 2).contiguous().numpy()
        halves = torch.full((len(high),), NOBODY, dtype=torch.int32)
        halves[:count] = -(rows.square().sum(1) / 2).floor().int()
        self.halves = halves.numpy()

    def nearest(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor, int]:
        """Find the rows nearest to each query, nearest first.

        Args:
            queries: (Q, D) float32.
            k: How many, at most the rows of the bank.

        Returns:
            Squared distances and indices, (Q, k) each, and how many distances were computed in full.
        """
        queries = queries.contiguous()
        count, leading = len(queries), torch.addmm(self.offset, queries, self.axes)
        best, who = torch.full((count, k), torch.inf), torch.full((count, k), -1, dtype=torch.int64)
        low = torch.zeros(-(-count // TOGETHER) * TOGETHER, DEPTH, dtype=torch.int8)
        asked = queries.numpy(), leading.numpy(), low.numpy(), best.numpy(), who.numpy()
        kept = self.bank, self.centre, self.middle, self.moved, self.scale, self.most, self.tiles, self.halves
        block = max(TOGETHER, min(256, MAXIMA // len(self.tiles) // TOGETHER * TOGETHER))
        blocks = iter([(first, min(first + block, count)) for first in range(0, count, block)])
        run = search()

        def work() -> int:  # who is done first takes the next block
            return sum(run(*asked, *kept, *part) for part in blocks)

        jobs = max(1, min(torch.get_num_threads(), count // block))
        return best, who, sum(together([work] * jobs))


def evenly(count: int) -> Tensor:
    """Return the discrete cosine transform, (count, count) orthonormal, which spreads the few long axes over all.

    One scale serves all axes, and the longest decides it: the more alike they are, the less does rounding move.

    Args:
        count: How many axes.

    Returns:
        (count, count), orthonormal.
    """
    at = torch.arange(count, dtype=torch.float64)
    waves = torch.cos(torch.pi / count * (at[None] + 0.5) * at[:, None])
    mixing: Tensor = (waves / torch.linalg.vector_norm(waves, dim=1, keepdim=True)).float()
    return mixing


@cache
def search() -> Callable[..., int]:
    """Return `_search`, compiled on the first call or read from disk; it holds no Python lock."""
    import llvmlite.binding as llvm
    import numba
    from numba.extending import register_jitable

    llvm.initialize_native_asmparser()
    options: dict[str, Any] = {"fastmath": {"reassoc", "contract"}}
    for part in (rest, insert, guess, _limit, _keep, _visit, _lower):
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
    moved: Any, scale: Any, most: Any, tiles: Any, halves: Any, first: int, last: int,
) -> int:  # fmt: skip
    """Find the k rows nearest to the queries first to last, into `best` and `who` (Q, k), nearest first.

    `leading` (Q, L) are the queries' coordinates on the leading axes, `low` (Q to a multiple of 4, 64) is where their
    bytes go. Returns how many distances were taken in full.
    """
    count, k, taken = len(tiles), best.shape[1], 0
    size = (last - first + TOGETHER - 1) // TOGETHER * TOGETHER
    maxima, out = np.empty((count, size), np.int32), np.empty((1, tiles.shape[2]), np.int32)
    own, reach = np.empty(size, np.float32), np.empty(size, np.float32)
    for p in range(first, last):
        own[p - first], slack = _lower(queries, leading, low, centre, middle, scale, most, p)
        reach[p - first] = slack + moved
    top, highest = np.zeros((k, size), np.int32), np.full((k, size), NOBODY, np.int32)
    for t in range(count):
        for p in range(first, last, TOGETHER):
            _largest(low, p, tiles, t, halves, maxima, p - first)
        _keep(maxima, t, top, highest)
    least = np.full(size, -NOBODY, np.int32)
    for p in range(first, last):  # the most promising tiles
        m = p - first
        guess(queries, bank, best, who, p, p - 32 if p - 32 >= first else -1, p - 1 if p > first else -1)
        least[m] = _limit(best[p, k - 1], scale, reach[m], own[m])
        for j in range(k):
            if highest[j, m] > least[m]:
                _values(low, p, tiles, top[j, m], halves, out, 0)
                least[m], n = _visit(queries, bank, best, who, p, top[j, m], out, least[m], scale, reach[m], own[m])
                taken += n
    for t in range(count):  # then the others, each for all queries, for it is in the cache
        some = 0
        for m in range(size):
            some += maxima[t, m] > least[m]
        if some == 0:
            continue
        for p in range(first, last):
            m = p - first
            if maxima[t, m] > least[m] and t != top[0, m]:
                _values(low, p, tiles, t, halves, out, 0)
                least[m], n = _visit(queries, bank, best, who, p, t, out, least[m], scale, reach[m], own[m])
                taken += n
    return taken


def _keep(maxima: Any, t: int, top: Any, highest: Any) -> None:
    """Keep each query's k largest values and their tiles, both (k, queries), largest first."""
    last = len(top) - 1
    if last == 0:  # this is vectorised
        for m in range(top.shape[1]):
            top[0, m] = t if maxima[t, m] > highest[0, m] else top[0, m]
            highest[0, m] = max(highest[0, m], maxima[t, m])
        return
    for m in range(top.shape[1]):
        value, j = maxima[t, m], last
        if value > highest[last, m]:
            while j > 0 and highest[j - 1, m] < value:
                highest[j, m], top[j, m] = highest[j - 1, m], top[j - 1, m]
                j -= 1
            highest[j, m], top[j, m] = value, t


def _lower(queries: Any, leading: Any, low: Any, centre: Any, middle: Any, scale: Any, most: Any, p: int) -> Any:
    """Round a query to bytes; return half its squared norm (less what rows being higher adds), and its slack."""
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
        byte = min(max(np.float32(np.rint(exact)), -most), most)
        low[p, k] = np.int8(byte)
        squares += byte * byte
        total += byte
        missed += (exact - byte) ** 2
    return squares / 2 + (most + np.float32(1)) * total, np.sqrt(missed) + slack


def _visit(
    queries: Any, bank: Any, best: Any, who: Any, p: int, t: int, out: Any, least: Any, scale: Any, slack: Any, own: Any
) -> Any:
    """Take the distances of a query to those rows of a tile that may be nearer; return the new limit, and how many."""
    taken, last = 0, best.shape[1] - 1
    rows = out.shape[1]
    for group in range(0, rows, 16):
        some = 0  # counting is done for all sixteen at once
        for i in range(group, group + 16):
            some += out[0, i] > least
        if some == 0:
            continue
        for i in range(group, group + 16):
            if out[0, i] > least:
                squared = rest(queries, p, bank, t * rows + i, 0)
                taken += 1
                if squared < best[p, last]:
                    insert(best, who, p, squared, t * rows + i)
                    least = _limit(best[p, last], scale, slack, own)
    return least, taken


def _limit(best: Any, scale: Any, slack: Any, own: Any) -> Any:
    """Return the value that a row nearer than `best` exceeds; rounding must not lose anyone."""
    reach = np.float64(scale) * np.sqrt(np.float64(best)) * 1.00001 + np.float64(slack) + 0.01
    return np.int64(max(np.float64(own) - reach * reach / 2 - 2, -5e8))


def _meeting(*, several: bool) -> Any:
    """Return what numba calls to let queries meet a tile: (low, p, tiles, t, halves, out, at).

    The value of a lane is the dot product of query and row less half of the row's squared norm. `several`: four queries
    from p on; the largest value of each goes to out[t, at], out[t, at + 1], ... Otherwise one query; all its values go to
    out[0].
    """
    from numba import types
    from numba.extending import intrinsic

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, p, _, t, _, _, at = args
        arrays = {
            place: context.make_array(signature.args[place])(context, builder, value=args[place])
            for place in (0, 2, 4, 5)
        }
        by = "avx512vnni" if signature.args[2].dtype == types.uint8 else "avx2"
        code = _Code(builder, by)
        queries, rows, norms, target = (code.address(arrays[place].data) for place in (0, 2, 4, 5))
        own, tile = code.times(p, DEPTH), code.times(t, DEPTH * ROWS[by])
        groups, asked = range(ROWS[by] // code.width), range(TOGETHER if several else 1)
        start = [code.load(norms, code.times(t, 4 * ROWS[by]), 4 * code.width * g) for g in groups]
        sums = [list(start) for _ in asked]
        for first in range(0, DEPTH // 4, code.steps):
            steps = range(first, first + code.steps)
            four = [[code.load(rows, tile, 4 * (ROWS[by] * d + code.width * g)) for d in steps] for g in groups]
            for j in asked:
                query = [code.everywhere(queries, own, j * DEPTH + 4 * d) for d in steps]
                for g in groups:
                    sums[j][g] = code.multiply(sums[j][g], four[g], query)
        if not several:
            for g in groups:
                code.store(sums[0][g], target, code.number(4 * code.width * g))
            return context.get_dummy_value()
        columns = builder.extract_value(arrays[5].shape, 1)
        for j in asked:
            cell = builder.add(builder.mul(t, columns), builder.add(at, code.number(j)))
            code.store(code.largest(sums[j]), target, code.times(cell, 4))
        return context.get_dummy_value()

    def meeting(typing: Any, low: Any, p: Any, tiles: Any, t: Any, halves: Any, out: Any, at: Any) -> Any:
        return types.void(low, types.int64, tiles, types.int64, halves, out, types.int64), build

    return intrinsic(meeting)


class _Code:
    """Writes LLVM's code for registers of 32-bit sums, `width` a register; a row gives `steps` times four bytes at once."""

    def __init__(self, builder: Any, by: str) -> None:
        from llvmlite import ir

        self.ir, self.builder, self.wide = ir, builder, by == "avx512vnni"
        self.byte, self.word, self.long = ir.IntType(8), ir.IntType(32), ir.IntType(64)
        self.width, self.steps = (16, 1) if self.wide else (8, 2)
        self.lanes = ir.VectorType(self.word, self.width)

    def number(self, value: int) -> Any:
        """Return a constant."""
        return self.ir.Constant(self.long, value)

    def times(self, value: Any, factor: int) -> Any:
        """Return a product."""
        return self.builder.mul(value, self.number(factor))

    def address(self, data: Any) -> Any:
        """Return where an array's values lie, in bytes."""
        return self.builder.bitcast(data, self.byte.as_pointer())

    def load(self, base: Any, offset: Any, more: int) -> Any:
        """Return the register that lies at base + offset + more."""
        return self._load(base, offset, more, self.lanes, 4)

    def everywhere(self, base: Any, offset: Any, more: int) -> Any:
        """Return a register that holds the four bytes which lie there again and again."""
        empty, none = self.ir.Constant(self.lanes, self.ir.Undefined), self.ir.Constant(self.word, 0)
        first = self.builder.insert_element(empty, self._load(base, offset, more, self.word, 1), none)
        return self.builder.shuffle_vector(first, empty, self.ir.Constant(self.lanes, [0] * self.width))

    def store(self, value: Any, base: Any, offset: Any) -> None:
        """Put a register, or one number, where base + offset is."""
        place = self.builder.bitcast(self.builder.gep(base, [offset]), value.type.as_pointer())
        self.builder.store(value, place).align = 4

    def multiply(self, total: Any, rows: list[Any], query: list[Any]) -> Any:
        """Add the products of `steps` registers of rows with as many of a query."""
        if self.wide:
            return self._instruction("vpdpbusd $3, $2, $0", "=v,0,v,v", total, *rows, *query)
        pairs = self.ir.VectorType(self.ir.IntType(16), 2 * self.width)
        parts = [
            self.builder.bitcast(self._instruction("vpmaddubsw $2, $1, $0", "=x,x,x", some, asked), pairs)
            for some, asked in zip(rows, query, strict=True)
        ]
        both = self.builder.bitcast(self.builder.add(*parts), self.lanes)
        ones = self.ir.Constant(self.lanes, [0x00010001] * self.width)
        return self.builder.add(total, self._instruction("vpmaddwd $2, $1, $0", "=x,x,x", both, ones))

    def largest(self, registers: list[Any]) -> Any:
        """Return the largest number in some registers."""
        most = registers[0]
        for other in registers[1:]:
            most = self.builder.select(self.builder.icmp_signed(">", most, other), most, other)
        kind = self.ir.FunctionType(self.word, [self.lanes])
        name = f"llvm.vector.reduce.smax.v{self.width}i32"
        return self.builder.call(self.builder.module.declare_intrinsic(name, (), kind), [most])

    def _load(self, base: Any, offset: Any, more: int, kind: Any, align: int) -> Any:
        place = self.builder.gep(base, [self.builder.add(offset, self.number(more))])
        found = self.builder.load(self.builder.bitcast(place, kind.as_pointer()))
        found.align = align
        return found

    def _instruction(self, text: str, constraints: str, *given: Any) -> Any:
        """As text, for what LLVM calls the instructions differs between its versions."""
        kind = self.ir.FunctionType(self.lanes, [self.lanes] * len(given))
        return self.builder.asm(kind, text, constraints, given, False)
