"""Registers of sixteen float32, for what the compiler does not make out of plain loops: the inside of `zeros`.

Each function here writes instructions into the compiled loop that calls it. Addresses are integers, as `array.ctypes.data`
gives them; nothing is checked.
"""

from collections.abc import Sequence
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

LANES = 16
WIDEST = 8  # registers of sums that `add_rows` fills at once: enough to hide the time that one addition takes

# there, one instruction takes the nonzeros out of a register; other CPUs do it one by one, and older compilers cannot say it
FAST = bool(llvmlite.binding.get_host_cpu_features().get("avx512f")) and llvmlite.binding.llvm_version_info[0] >= 20

_BIT, _BITS, _INT, _LONG = (ir.IntType(bits) for bits in (1, LANES, 32, 64))
_Floats, _Ints, _Mask = (ir.VectorType(kind, LANES) for kind in (ir.FloatType(), _INT, _BIT))
_BYTES = 4  # of a number
_NONE, _COUNTING = ir.Constant(_Floats, [0.0] * LANES), ir.Constant(_Ints, list(range(LANES)))
_address, _integer = types.uintp, types.int64

Value = Any  # a number or a register, while code is written


def _splat(b: ir.IRBuilder, value: Value, kind: ir.VectorType) -> Value:
    """Return a register with one number in all lanes."""
    first = b.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(_INT, 0))
    return b.shuffle_vector(first, first, ir.Constant(_Ints, [0] * LANES))


def _call(b: ir.IRBuilder, name: str, result: Any, *values: Value) -> Value:
    """Call one of the compiler's own functions."""
    kind = ir.FunctionType(result, [value.type for value in values])
    return b.call(b.module.globals.get(name) or ir.Function(b.module, kind, name), values)


def _at(b: ir.IRBuilder, address: Value, number: Value) -> Value:
    """Return the address of a number of 4 bytes, counted from `address`."""
    return b.add(address, b.mul(number, ir.Constant(_LONG, _BYTES)))


def _below(b: ir.IRBuilder, count: Value) -> Value:
    """Return the mask of the first `count` lanes; all of them, or none, where there are as many."""
    return b.icmp_signed("<", _COUNTING, _splat(b, b.trunc(count, _INT), _Ints))


def _read(b: ir.IRBuilder, address: Value, kind: Any = _Floats) -> Value:
    value = b.load(b.inttoptr(address, kind.as_pointer()))
    value.align = _BYTES
    return value


def _write(b: ir.IRBuilder, value: Value, address: Value) -> None:
    b.store(value, b.inttoptr(address, value.type.as_pointer())).align = _BYTES


def _read_masked(b: ir.IRBuilder, address: Value, mask: Value) -> Value:
    """Return a register with zeros where the mask is not; nothing is read there."""
    pointer = b.inttoptr(address, _Floats.as_pointer())
    return _call(b, "llvm.masked.load.v16f32.p0", _Floats, pointer, ir.Constant(_INT, _BYTES), mask, _NONE)


def _write_masked(b: ir.IRBuilder, value: Value, address: Value, mask: Value) -> None:
    pointer = b.inttoptr(address, _Floats.as_pointer())
    _call(b, "llvm.masked.store.v16f32.p0", ir.VoidType(), value, pointer, ir.Constant(_INT, _BYTES), mask)


@intrinsic
def copy_some(context, source, count, scale, target):
    """Write s x `count` numbers at most, and zeros up to a register, to `target`."""

    def generate(context, b, signature, arguments):
        source, count, scale, target = arguments
        factor = _splat(b, b.fptrunc(scale, ir.FloatType()), _Floats)
        _write(b, b.fmul(factor, _read_masked(b, source, _below(b, count))), target)
        return context.get_dummy_value()

    return types.void(_address, _integer, types.float64, _address), generate


@intrinsic
def copy_transposed(context, source, pitch, n_rows, n_columns, scale, target, target_pitch):
    """Write s times each of 16 columns at most, of 16 rows at most, behind the other; zeros up to a whole square.

    The rows of source are `pitch` numbers apart, those of target `target_pitch`; nothing is read outside.
    """

    def generate(context, b, signature, arguments):
        source, pitch, n_rows, n_columns, scale, target, target_pitch = arguments
        factor = _splat(b, b.fptrunc(scale, ir.FloatType()), _Floats)
        inside, outside = _below(b, n_columns), ir.Constant(_Mask, None)
        registers = []
        for row in range(LANES):
            number = ir.Constant(_LONG, row)
            mask = b.select(b.icmp_signed("<", number, n_rows), inside, outside)
            registers.append(b.fmul(factor, _read_masked(b, _at(b, source, b.mul(number, pitch)), mask)))
        for column, register in enumerate(_transposed(b, registers)):
            _write(b, register, _at(b, target, b.mul(ir.Constant(_LONG, column), target_pitch)))
        return context.get_dummy_value()

    integers = [_integer] * 3
    return types.void(_address, *integers, types.float64, _address, _integer), generate


@intrinsic
def keep_nonzeros(context, x, count, first, pitch, values, places):
    """Append those of `count` numbers at x, 16 at most, that are not zero; return how many.

    For each of them `places` gets where its row of a matrix begins, in bytes: x_0 multiplies row `first`, and the rows are
    `pitch` numbers apart. What is written behind them, up to a register, is undefined.
    """

    def generate(context, b, signature, arguments):
        x, count, first, pitch, values, places = arguments
        register = _read_masked(b, x, _below(b, count))
        mask = b.fcmp_unordered("!=", register, _NONE)  # NaN is not zero
        wide = _splat(b, b.trunc(b.mul(pitch, ir.Constant(_LONG, _BYTES)), _INT), _Ints)
        begin = b.mul(wide, b.add(_COUNTING, _splat(b, b.trunc(first, _INT), _Ints)))
        for kind, name, kept, address in ((_Floats, "f32", register, values), (_Ints, "i32", begin, places)):
            nothing = ir.Constant(kind, ir.Undefined)
            _write(b, _call(b, f"llvm.experimental.vector.compress.v16{name}", kind, kept, mask, nothing), address)
        return b.zext(_call(b, "llvm.ctpop.i16", _BITS, b.bitcast(mask, _BITS)), _LONG)

    return types.int64(_address, *[_integer] * 3, _address, _address), generate


def _transposed(b: ir.IRBuilder, registers: Sequence[Value]) -> list[Value]:
    """Return the columns of a square: its halves change places, then the halves of those."""
    rows, step = list(registers), LANES // 2
    while step:
        low = ir.Constant(_Ints, [j if not j & step else j - step + LANES for j in range(LANES)])
        high = ir.Constant(_Ints, [j + step if not j & step else j + LANES for j in range(LANES)])
        for i in range(LANES):
            if not i & step:
                one, other = rows[i], rows[i + step]
                rows[i], rows[i + step] = b.shuffle_vector(one, other, low), b.shuffle_vector(one, other, high)
        step //= 2
    return rows


@intrinsic
def add_rows(context, values, places, count, W, width, fresh, out):
    """out = sum_k values[k] x the numbers that begin at W + places[k], k < count, or `out` plus that unless `fresh`.

    `width` is that of out, 1 to 128. All sums stay in registers.
    """

    def generate(context, b, signature, arguments):
        values, places, count, W, width, fresh, out = arguments
        registers = b.udiv(b.add(width, ir.Constant(_LONG, LANES - 1)), ir.Constant(_LONG, LANES))
        end = b.append_basic_block("end")
        cases = b.switch(registers, end)
        for n in range(1, WIDEST + 1):
            block = b.append_basic_block(f"registers_{n}")
            cases.add_case(n, block)
            b.position_at_end(block)
            _add_rows(b, n, values, places, count, W, width, fresh, out)
            b.branch(end)
        b.position_at_end(end)
        return context.get_dummy_value()

    return types.void(_address, _address, _integer, _address, _integer, types.boolean, _address), generate


def _add_rows(
    b: ir.IRBuilder, n: int, values: Value, places: Value, count: Value, W: Value, width: Value, fresh: Value, out: Value
) -> None:
    """Write the loop over k for sums of n registers; of the last one, `out` may have a part."""
    before, body, after = (b.append_basic_block(name) for name in ("before", "body", "after"))
    full = ir.Constant(_Mask, [1] * LANES)
    masks = [*[full] * (n - 1), _below(b, b.sub(width, ir.Constant(_LONG, LANES * (n - 1))))]
    outs = [b.add(out, ir.Constant(_LONG, _BYTES * LANES * i)) for i in range(n)]
    start = b.block
    b.cbranch(fresh, body, before)

    b.position_at_end(before)
    olds = [_read_masked(b, address, mask) for address, mask in zip(outs, masks, strict=True)]
    b.branch(body)

    b.position_at_end(body)
    k, sums = b.phi(_LONG), [b.phi(_Floats) for _ in range(n)]
    for first, block in (([_NONE] * n, start), (olds, before)):
        k.add_incoming(ir.Constant(_LONG, 0), block)
        for total, number in zip(sums, first, strict=True):
            total.add_incoming(number, block)
    step = b.append_basic_block("step")
    b.cbranch(b.icmp_signed("<", k, count), step, after)

    b.position_at_end(step)
    value = _splat(b, _read(b, _at(b, values, k), ir.FloatType()), _Floats)
    row = b.add(W, b.zext(_read(b, _at(b, places, k), _INT), _LONG))
    for i, (total, mask) in enumerate(zip(sums, masks, strict=True)):
        number = _read_masked(b, _at(b, row, ir.Constant(_LONG, LANES * i)), mask)
        total.add_incoming(_call(b, "llvm.fma.v16f32", _Floats, value, number, total), step)
    k.add_incoming(b.add(k, ir.Constant(_LONG, 1)), step)
    b.branch(body)

    b.position_at_end(after)
    for total, address, mask in zip(sums, outs, masks, strict=True):
        _write_masked(b, total, address, mask)
