"""A whole network in one call, for a few rows: what is done to so few numbers takes less time than calling it."""

from numba import types
from numba.extending import overload

from numlp.kernels.fused.affine import one_row
from numlp.kernels.fused.compiled import kernel, times_zero
from numlp.kernels.fused.vectors import FAST, LANES, WIDEST, add_rows
from numlp.kernels.fused.zeros import list_nonzeros


def _multiply(x, W, y, scratch):
    """y = x W without reading what a zero multiplies. `scratch` has 2 (I + 16) numbers."""


@overload(_multiply)
def _multiply_of_dtype(x, W, y, scratch):
    def in_registers(x, W, y, scratch):
        values, bytes_of_tile, o = scratch.ctypes.data, 4 * LANES * WIDEST, len(y)
        places = values + 4 * (len(x) + LANES)
        count = list_nonzeros(x.ctypes.data, len(x), o, values, places, 0)
        for tile in range(-(-o // (LANES * WIDEST))):
            width = min(LANES * WIDEST, o - tile * LANES * WIDEST)
            left = bytes_of_tile * tile
            add_rows(values, places, count, W.ctypes.data + left, width, True, y.ctypes.data + left)

    def in_loops(x, W, y, scratch):
        one_row(x, W, 1.0, y)

    return in_registers if FAST and x.dtype == types.float32 else in_loops


@kernel
def few_finite(parts, values):
    return times_zero(values) == 0


@kernel
def mlp(parts, x, params, plan, scratch, out):
    if times_zero(x.reshape(-1)) != 0:
        return False
    room = len(scratch) // 4
    for n in range(len(x)):
        y = x[n]
        for k in range(len(plan)):
            W, b, i, o, rectify = plan[k]
            z = scratch[room * (k & 1) : room * (k & 1) + o] if k < len(plan) - 1 else out[n]
            _multiply(y, params[W : W + i * o].reshape(i, o), z, scratch[2 * room :])
            for j in range(o):
                z[j] += params[b + j]
                if rectify and z[j] < 0:
                    z[j] = 0
            y = z
    return times_zero(out.reshape(-1)) == 0
