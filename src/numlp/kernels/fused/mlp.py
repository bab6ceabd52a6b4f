"""A whole network in one call, for a few rows: what is done to so few numbers takes less time than calling it."""

from numba import types
from numba.extending import overload

from numlp.kernels.fused.compiled import kernel, part
from numlp.kernels.fused.vectors import FAST, LANES, WIDEST, add_rows, keep_nonzeros


@part
def _is_finite(x):
    check = x.dtype.type(0)
    for j in range(len(x)):
        check += x[j] * x.dtype.type(0)
    return check == 0


def _multiply(x, W, y, scratch):
    """y = x W without reading what a zero multiplies; W is flat. `scratch` has 2 (I + 16) numbers."""


@overload(_multiply)
def _multiply_of_dtype(x, W, y, scratch):
    def in_registers(x, W, y, scratch):
        values, bytes_of_tile = scratch.ctypes.data, 4 * LANES * WIDEST
        places = values + 4 * (len(x) + LANES)
        count, o = 0, len(y)
        for i in range(0, len(x), LANES):
            count += keep_nonzeros(x.ctypes.data + 4 * i, len(x) - i, i, o, values + 4 * count, places + 4 * count)
        for tile in range(-(-o // (LANES * WIDEST))):
            width = min(LANES * WIDEST, o - tile * LANES * WIDEST)
            left = bytes_of_tile * tile
            add_rows(values, places, count, W.ctypes.data + left, width, True, y.ctypes.data + left)

    def in_loops(x, W, y, scratch):
        y[:] = 0
        for i in range(len(x)):
            if x[i] != 0:
                for j in range(len(y)):
                    y[j] += x[i] * W[i * len(y) + j]

    return in_registers if FAST and x.dtype == types.float32 else in_loops


@kernel
def mlp(parts, x, params, plan, scratch, out):
    if not _is_finite(x.reshape(-1)):
        return False
    room = len(scratch) // 4
    for n in range(len(x)):
        y = x[n]
        for k in range(len(plan)):
            W, b, i, o, rectify = plan[k]
            z = scratch[room * (k & 1) : room * (k & 1) + o] if k < len(plan) - 1 else out[n]
            _multiply(y, params[W : W + i * o], z, scratch[2 * room :])
            for j in range(o):
                z[j] += params[b + j]
                if rectify and z[j] < 0:
                    z[j] = 0
            y = z
    return True
