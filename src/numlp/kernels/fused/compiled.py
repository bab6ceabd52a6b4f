"""How a kernel is compiled, and the table of those there are."""

import threading
from collections.abc import Callable, Set
from functools import partial
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba import njit
from numba.core import event
from numba.misc.appdirs import user_cache_dir

from numlp.progress import announce_compilation

# not "nnan" and "ninf", which plain fastmath includes: NaN and infinity must come through
CAREFUL = {"contract", "nsz"}
FLAGS = {*CAREFUL, "reassoc"}  # sums in any order, or they do not vectorize

LITTLE = 2**13  # numbers that one core has read and written before another one is awake

CACHE = Path(user_cache_dir(appname="numlp", appauthor=False)) / "kernels"  # the user's folder of machine code

KERNELS: dict[str, Callable[..., Any]] = {}
NOT_KEPT: set[str] = set()  # names of functions for whose machine code no folder can be written


def part(function: Callable[..., Any] | None = None, *, flags: Set[str] = FLAGS) -> Callable[..., Any]:
    """Compile with the kernel that calls it, for no other caller; what does not allocate compiles in half the time."""
    if function is None:
        return partial(part, flags=flags)
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": False}
    return njit(nogil=True, error_model="numpy", fastmath=set(flags), **options)(function)


def kernel(
    function: Callable[..., Any] | None = None, *, flags: Set[str] = FLAGS, allocates: bool = False
) -> Callable[..., Any]:
    """Compile at the first call, for the types of that call; the machine code is kept on disk.

    What takes a few microseconds is not worth the waking of threads: such a kernel ignores its `parts`. One that makes no
    array needs nobody to count references to those it is given: a third of a call.
    """
    if function is None:
        return partial(kernel, flags=flags, allocates=allocates)
    compile_with = partial(njit, nogil=True, error_model="numpy", fastmath=set(flags), _nrt=allocates)
    KERNELS[function.__name__] = cached(compile_with, function)
    return KERNELS[function.__name__]


def cached(compile_with: Callable[..., Any], function: Callable[..., Any]) -> Any:
    """Return the function compiled by one of Numba's ways; the machine code is kept if a folder for it can be written.

    It is kept in NUMBA_CACHE_DIR or `CACHE`: in the package, where Numba keeps it, it would stay after `pip uninstall`.
    Where `CACHE` cannot be written, Numba tries the package.
    """
    chosen = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = chosen or str(CACHE)
    try:
        return compile_with(cache=True)(function)
    except RuntimeError:
        NOT_KEPT.add(function.__name__)
        return compile_with()(function)
    finally:
        numba.config.CACHE_DIR = chosen


class _Announcer(event.Listener):  # type: ignore[misc]
    """Called by Numba when it compiles a kernel, not when it loads one from the disk."""

    def on_start(self, event: event.Event) -> None:
        announce_compilation()

    def on_end(self, event: event.Event) -> None:
        pass


event.register("numba:compile", _Announcer())
loading = event.TimingListener()  # seconds in which kernels were compiled or read from the disk
event.register("numba:compiler_lock", loading)


class Work(threading.local):
    """How the kernels that a Python thread calls are split."""

    parts = 1


work = Work()


def table() -> dict[str, Callable[..., Any]]:
    """Return the kernels by name, as they are called, each splitting its work into `work.parts`."""
    return {name: _split(function) for name, function in KERNELS.items()}


def _split(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        return function(work.parts, *arguments)

    return call


@part(flags=CAREFUL)
def total(parts, out):
    """out = sum_p parts_p, in order."""
    out[:] = 0
    for p in range(len(parts)):
        for j in range(len(out)):
            out[j] += parts[p, j]


@part
def times_zero(values):
    """Return sum_i 0 v_i: zero, or NaN if one of them is NaN or infinite."""
    total, zero = values.dtype.type(0), values.dtype.type(0)
    for i in range(len(values)):
        total += values[i] * zero
    return total


def try_out() -> str:
    """Compile (or load) and run the kernel that every network needs, and return the name of the threads.

    Errors  RuntimeError if the loops would run on threads that only one caller at a time may use, or a product is wrong.
    """
    n, i, o = 64, 64, 32  # large enough for the threads to be woken
    x, W, b, y, scratch = (np.ones(shape, np.float32) for shape in ((n, i), (i, o), o, (n, o), 2 * n * o))
    KERNELS["affine"](2, x, W, b, 0.5, True, y, scratch)
    if numba.threading_layer() == "workqueue":
        raise RuntimeError("Numba finds neither TBB nor OpenMP; `pip install tbb`, or install libgomp")
    if not (y == i / 2 + 1).all():
        raise RuntimeError(f"a product of ones gave {y.min():g} to {y.max():g}, not {i / 2 + 1:g} everywhere")
    return str(numba.threading_layer())
