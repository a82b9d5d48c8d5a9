"""tile, tall_tile, and what brings numbers to them: the processor's vectors at work.

A product is fast if each number that is loaded serves many multiplications. So a small
block of the result, a tile, stays in registers while the sum runs. `tile` serves
c[i, j] += a[i, k] b[k, j]: a step of k loads VECTORS vectors of b's row and ROWS
numbers of a, and does ROWS VECTORS multiply-adds of LANES numbers each. With 8 rows
and 3 vectors, or the 8 and 2 of `tall_tile`, that is nearly all that one core can do.

What they read need not be evenly spaced. Row k of b begins `offset[k]` after b in the
one; a[i, k] lies `row[i] + step[k]` after a in the other. In an image those are the
places that a kernel's entries see from the windows, so a convolution is such a product
without the matrix of columns ever being written.

numba has no vectors, so these are written in LLVM's instructions. Addresses are
integers; distances and offsets count float32 numbers.
"""

import llvmlite.binding as llvm
from llvmlite import ir
from llvmlite.ir.values import MDValue
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from . import Unavailable
from .share import compiled

FEATURES = llvm.get_host_cpu_features()
if "x86" in llvm.get_process_triple() and not FEATURES.get("fma"):
    raise Unavailable("this processor has no fused multiply-add")

LANES = 16 if FEATURES.get("avx512f") else 8  # numbers in a vector
# Of a tile: its sums, a row of b and 1 number fill most of 32 or all of 16 registers.
ROWS, VECTORS = (8, 3) if LANES == 16 else (4, 3)
WIDE, NARROW, SLIM = VECTORS * LANES, 2 * LANES, LANES  # columns of a tile
LONG = 8  # vectors in a tile of one row
TALL, PANEL = LANES // 2, 2 * LANES  # rows and columns of a tall tile: 16 or 8 sums

INDEX, FLOAT = ir.IntType(64), ir.FloatType()
VECTOR = ir.VectorType(FLOAT, LANES)


def _number(b, address, n):
    """A pointer to the n-th float32 number from an address."""
    return b.gep(b.inttoptr(address, FLOAT.as_pointer()), [n])


def _vector(b, address, n):
    """A pointer to the LANES numbers from the n-th on."""
    return b.bitcast(_number(b, address, n), VECTOR.as_pointer())


def _integer(b, address, n):
    return b.load(b.gep(b.inttoptr(address, INDEX.as_pointer()), [n]))


def _spread(b, number):
    """The number in every lane."""
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    one = b.insert_element(ir.Constant(VECTOR, ir.Undefined), number, INDEX(0))
    return b.shuffle_vector(one, one, lanes)


def _function(b, name, result, *arguments):
    """One of LLVM's own functions."""
    kind = ir.FunctionType(result, arguments)
    return cgutils.get_or_insert_function(b.module, kind, name)


def _multiply_add(b):
    return _function(b, f"llvm.fma.v{LANES}f32", VECTOR, VECTOR, VECTOR, VECTOR)


def _row_starts(b, a, row, rows, count):
    """Addresses of `count` rows of a; from the last of `rows` on they repeat."""
    last = b.sub(rows, INDEX(1))
    for i in range(count):
        i = b.select(b.icmp_signed("<", INDEX(i), last), INDEX(i), last)
        yield b.add(a, b.mul(INDEX(4), b.mul(i, row)))


def _as_written(b, branch):
    """Have LLVM leave the loop as it is: two steps at once need too many registers."""
    never = b.module.add_metadata(["llvm.loop.unroll.disable"])
    loop = MDValue(b.module, (), name=str(len(b.module.metadata)))
    loop.operands = (loop, never)  # how LLVM tells one loop from another
    branch.set_metadata("llvm.loop", loop)


def _sum_over(b, n, sums, step):
    """The vectors that step(k, sums) makes of the sums, for 0 <= k < n, n > 0."""
    before, loop = b.block, b.append_basic_block("loop")
    b.branch(loop)
    b.position_at_end(loop)
    k = b.phi(INDEX)
    k.add_incoming(INDEX(0), before)
    held = [b.phi(VECTOR) for _ in range(sums)]
    for s in held:
        s.add_incoming(VECTOR([0.0] * LANES), before)
    new = step(k, held)
    following = b.add(k, INDEX(1))
    k.add_incoming(following, loop)
    for s, value in zip(held, new):
        s.add_incoming(value, loop)
    done = b.append_basic_block("done")
    _as_written(b, b.cbranch(b.icmp_signed("<", following, n), loop, done))
    b.position_at_end(done)
    return new


def _tile(count, width):
    """A tile of `count` rows and `width` vectors."""

    @intrinsic
    def tile(context, a, row_a, step_a, rows, b, offset, n, c, row_c, add):
        def code(context, build, signature, args):
            a, row_a, step_a, rows, b, offset, n, c, row_c, add = args
            starts = list(_row_starts(build, a, row_a, rows, count))
            multiply_add = _multiply_add(build)

            def step(k, sums):
                start, new = _integer(build, offset, k), []
                places = [build.add(start, INDEX(LANES * j)) for j in range(width)]
                right = [build.load(_vector(build, b, j), align=4) for j in places]
                along = build.mul(k, step_a)
                for i, row in enumerate(starts):
                    left = _spread(build, build.load(_number(build, row, along)))
                    for j in range(width):
                        s = sums[width * i + j]
                        new.append(build.call(multiply_add, [left, right[j], s]))
                return new

            found = _sum_over(build, n, count * width, step)
            places = [
                _vector(build, c, build.add(build.mul(INDEX(i), row_c), INDEX(j)))
                for i in range(count)
                for j in range(0, LANES * width, LANES)
            ]
            with build.if_else(build.icmp_signed("!=", add, INDEX(0))) as (yes, no):
                with yes:
                    for place, value in zip(places, found):
                        value = build.fadd(build.load(place, align=4), value)
                        build.store(value, place, align=4)
                with no:
                    for place, value in zip(places, found):
                        build.store(value, place, align=4)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 10), code

    tile.__doc__ = f"""c[i, j] = sum_(k < n) a[i row_a + k step_a] b[offset[k] + j].

    For i < {count} and j < {width} LANES, at c + i row_c + j, where it is added to what
    is there if `add`. If a has fewer `rows` than {count}, the others repeat the last
    and c has room for them.
    """
    return tile


tile, narrow_tile, slim_tile = (_tile(ROWS, width) for width in (VECTORS, 2, 1))
long_tile = _tile(1, LONG)


@compiled()
def tile_width(columns):
    """The width of the first tile for so many columns: wide ones, then narrower."""
    vectors = -(-columns // LANES)
    if vectors == 1:
        return SLIM
    return NARROW if vectors < VECTORS or vectors == 4 else WIDE


@compiled(types=types.void(*[types.intp] * 11))
def tiles(a, row_a, step_a, rows, b, offset, n, c, row_c, columns, add):
    """The same for any numbers of rows and columns: tile beside tile.

    c has room for whole tiles: rows up to a multiple of ROWS, columns of LANES.
    """
    for i in range(0, rows, ROWS):
        left, own, j = rows - i, a + 4 * i * row_a, 0
        while j < columns:
            at, to, width = b + 4 * j, c + 4 * (i * row_c + j), tile_width(columns - j)
            if width == WIDE:
                tile(own, row_a, step_a, left, at, offset, n, to, row_c, add)
            elif width == SLIM:
                slim_tile(own, row_a, step_a, left, at, offset, n, to, row_c, add)
            else:
                narrow_tile(own, row_a, step_a, left, at, offset, n, to, row_c, add)
            j += width


def _tall_tile(width):
    """A tile of TALL rows and `width` vectors."""

    @intrinsic
    def tile(context, a, row, step, n, b, c, plus, row_plus):
        def code(context, build, signature, args):
            a, row, step, n, b, c, plus, row_plus = args
            starts = [
                build.add(a, build.mul(INDEX(4), _integer(build, row, INDEX(i))))
                for i in range(TALL)
            ]
            multiply_add = _multiply_add(build)

            def term(k, sums):
                along, new = _integer(build, step, k), []
                below = build.mul(k, INDEX(PANEL))
                places = [build.add(below, INDEX(LANES * j)) for j in range(width)]
                right = [build.load(_vector(build, b, j), align=4) for j in places]
                for i, start in enumerate(starts):
                    left = _spread(build, build.load(_number(build, start, along)))
                    for j, r in enumerate(right):
                        s = sums[width * i + j]
                        new.append(build.call(multiply_add, [left, r, s]))
                return new

            found = _sum_over(build, n, TALL * width, term)
            for i in range(TALL):
                begin = build.mul(INDEX(i), row_plus)
                for j in range(width):
                    more = build.add(begin, INDEX(LANES * j))
                    more = build.load(_vector(build, plus, more), align=4)
                    value = build.fadd(more, found[width * i + j])
                    place = _vector(build, c, INDEX(PANEL * i + LANES * j))
                    build.store(value, place, align=4)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 8), code

    tile.__doc__ = f"""c[i, j] = plus[i, j] + sum_(k < n) a[row[i] + step[k]] b[k, j].

    For i < TALL and j < {width} LANES. Rows of b and c are PANEL numbers long, those of
    plus row_plus.
    """
    return tile


tall_tile, slim_tall_tile = _tall_tile(2), _tall_tile(1)


@compiled(types=types.void(*[types.intp] * 10))
def tall_tiles(a, row, rows, step, n, b, c, columns, plus, row_plus):
    """The same for any number of rows, tile below tile, and at most PANEL columns.

    row and c have room for whole tiles, plus too, unless it has one row: row_plus 0.
    """
    for i in range(0, rows, TALL):
        own, to, more = row + 8 * i, c + 4 * i * PANEL, plus + 4 * i * row_plus
        if columns > LANES:
            tall_tile(a, own, step, n, b, to, more, row_plus)
        else:
            slim_tall_tile(a, own, step, n, b, to, more, row_plus)


@intrinsic
def move(context, to, start, n, plus):
    """to[i] = start[i] + plus for i < n, in vectors of which the last overlaps another.

    Fewer numbers than LANES take two vectors of half, a quarter ... as many.
    """

    def code(context, build, signature, args):
        to, start, n, plus = args
        plus = _spread(build, plus)

        def at(i, lanes):
            kind = ir.VectorType(FLOAT, lanes)
            some = ir.Constant(ir.VectorType(ir.IntType(32), lanes), list(range(lanes)))
            more = build.shuffle_vector(plus, plus, some)
            source, place = (_number(build, p, i) for p in (start, to))
            value = build.load(build.bitcast(source, kind.as_pointer()), align=4)
            place = build.bitcast(place, kind.as_pointer())
            build.store(build.fadd(value, more), place, align=4)

        def vectors(lanes):
            last = build.sub(n, INDEX(lanes))
            fits = build.icmp_signed(">=", n, INDEX(lanes))
            with build.if_else(fits) as (yes, no):
                with yes:
                    with cgutils.for_range_slice(
                        build, INDEX(0), last, INDEX(lanes), INDEX, inc=True
                    ) as (i, _):
                        at(i, lanes)
                    at(last, lanes)
                with no:
                    if lanes > 1:
                        vectors(lanes // 2)

        vectors(LANES)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, types.float32), code


@intrinsic
def stride_move(context, to, step_to, start, step, n, plus):
    """to[i step_to] = start[i step] + plus for i < n."""

    def code(context, build, signature, args):
        to, step_to, start, step, n, plus = args
        with cgutils.for_range(build, n, intp=INDEX) as loop:
            value = build.load(_number(build, start, build.mul(loop.index, step)))
            place = _number(build, to, build.mul(loop.index, step_to))
            build.store(build.fadd(value, plus), place)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 5, types.float32), code


@intrinsic
def largest(context, start, n):
    """The largest of the n numbers at an address, n at least LANES; nan may pass by."""

    def code(context, build, signature, args):
        start, n = args
        last = build.sub(n, INDEX(LANES))
        top = cgutils.alloca_once_value(
            build, build.load(_vector(build, start, last), align=4)
        )
        with cgutils.for_range_slice(
            build, INDEX(0), last, INDEX(LANES), INDEX, inc=True
        ) as (i, _):
            value, old = build.load(_vector(build, start, i), align=4), build.load(top)
            more = build.fcmp_ordered(">", value, old)
            build.store(build.select(more, value, old), top)
        name = f"llvm.vector.reduce.fmax.v{LANES}f32"
        return build.call(_function(build, name, FLOAT, VECTOR), [build.load(top)])

    return types.float32(types.intp, types.intp), code


def _interleave(b, x, y, start):
    """x[start] y[start] x[start + 1] y[start + 1] ..., LANES numbers."""
    lanes = [start + i // 2 + i % 2 * LANES for i in range(LANES)]
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), lanes)
    return b.shuffle_vector(x, y, lanes)


@intrinsic
def turn(context, to, row_to, start, row):
    """to[i, j] = start[j, i] for i, j < LANES: a square of numbers transposed.

    Interleaving the first half of the rows with the second, as often as LANES can be
    halved, moves row j's number i to row i's place j.
    """

    def code(context, build, signature, args):
        to, row_to, start, row = args
        rows = []
        for j in range(LANES):
            place = _vector(build, start, build.mul(INDEX(j), row))
            rows.append(build.load(place, align=4))
        for _ in range(LANES.bit_length() - 1):
            half = LANES // 2
            rows = [
                _interleave(build, rows[i], rows[i + half], begin)
                for i in range(half)
                for begin in (0, half)
            ]
        for i, value in enumerate(rows):
            place = _vector(build, to, build.mul(INDEX(i), row_to))
            build.store(value, place, align=4)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 4), code


def _strips(many):
    """The function that copies `many` strips of ROWS columns side by side."""

    @intrinsic
    def strips(context, to, next_strip, start, row, n):
        def code(context, build, signature, args):
            to, next_strip, start, row, n = args
            wide = ir.VectorType(FLOAT, ROWS).as_pointer()
            with cgutils.for_range(build, n, intp=INDEX) as loop:
                left = build.mul(loop.index, row)
                below = build.mul(loop.index, INDEX(ROWS))
                for i in range(many):
                    place = _number(build, start, build.add(left, INDEX(i * ROWS)))
                    value = build.load(build.bitcast(place, wide), align=4)
                    place = build.add(below, build.mul(INDEX(i), next_strip))
                    place = _number(build, to, place)
                    build.store(value, build.bitcast(place, wide), align=4)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 5), code

    strips.__doc__ = f"""to[i next_strip + n ROWS + r] = start[n row + i ROWS + r].

    For i < {many}, r < ROWS: strips of columns, each with its rows one after another.
    """
    return strips


# Four at once read a line of the cache while it is there.
strip, four_strips = _strips(1), _strips(4)
