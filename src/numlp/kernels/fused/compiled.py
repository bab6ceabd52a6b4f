"""How a kernel is compiled, and the table of those there are."""

import ctypes
import os
import threading
from collections.abc import Callable, Set
from functools import partial
from importlib import metadata
from typing import Any

import numba
import numpy as np
from numba import njit

from numlp import blas

# not "nnan" and "ninf", which plain fastmath includes: NaN and infinity must come through
CAREFUL = {"contract", "nsz"}
FLAGS = {*CAREFUL, "reassoc"}  # sums in any order, or they do not vectorize

_TBB = {"libtbb.so.12", "tbb12.dll"}

# no loop is made parallel, or one with another, that is not written so: less to compile, and nothing to wonder about
_PRANGE_ONLY = {"prange": True} | dict.fromkeys(
    ("comprehension", "fusion", "inplace_binop", "numpy", "reduction", "setitem", "stencil"), False
)

KERNELS: dict[str, Callable[..., Any]] = {}


def kernel(
    function: Callable[..., Any] | None = None, *, parallel: bool = True, flags: Set[str] = FLAGS
) -> Callable[..., Any]:
    """Compile at the first call, for the types of that call; the machine code is kept on disk.

    What takes a few microseconds is not worth the waking of threads, nor the third of a second that `parallel` takes the
    compiler: such a kernel ignores its `parts`.
    """
    if function is None:
        return partial(kernel, parallel=parallel, flags=flags)
    options = {"nogil": True, "error_model": "numpy", "fastmath": set(flags), "parallel": parallel and _PRANGE_ONLY}
    KERNELS[function.__name__] = cached(partial(njit, **options), function)
    return KERNELS[function.__name__]


def cached(compile_with: Callable[..., Any], function: Callable[..., Any]) -> Any:
    """Return the function compiled by one of Numba's ways; the machine code is kept if a folder for it can be written."""
    try:
        return compile_with(cache=True)(function)
    except RuntimeError:
        return compile_with()(function)


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


@njit(nogil=True, fastmath=CAREFUL)
def total(parts, out):
    """out = sum_p parts_p, in order."""
    out[:] = 0
    for p in range(len(parts)):
        for j in range(len(out)):
            out[j] += parts[p, j]


def limit_threads(n_threads: int) -> int:
    """Let the loops that this Python thread starts use so many threads, and return how many they had."""
    before = numba.get_num_threads()
    numba.set_num_threads(min(n_threads, numba.config.NUMBA_NUM_THREADS))
    return before


def try_out() -> str:
    """Find threads, compile (or load) and run the kernel that every network needs, and return the name of the threads.

    Errors  RuntimeError if the loops would run on threads that only one caller at a time may use, or a product is wrong.
    """
    _choose_threads()
    x, W, b, y, scratch = (np.ones(shape, np.float32) for shape in ((3, 2), (2, 3), 3, (3, 3), 18))
    KERNELS["affine"](2, x, W, b, 0.5, True, y, scratch)
    if numba.threading_layer() == "workqueue":
        raise RuntimeError("Numba finds neither TBB nor OpenMP; `pip install tbb`, or install libgomp")
    if not (y == 2).all():
        raise RuntimeError(f"a product of ones gave {y.tolist()}, not 2 everywhere")
    return str(numba.threading_layer())


def _choose_threads() -> None:
    """Prefer OpenMP where the CPUs are free, TBB where other programs keep them busy; Numba chooses once a process.

    A loop of OpenMP waits for all its threads, and wakes them in a microsecond; where one of them is kept from its CPU by
    another program, every loop waits for milliseconds. A loop of TBB ends when its work is done, whoever did it, but its
    threads fall asleep between two loops, and the parts wander between the caches: a tenth slower on free CPUs, and
    three to eight times faster on busy ones. NUMBA_THREADING_LAYER decides otherwise.
    """
    _load_tbb()
    if "NUMBA_THREADING_LAYER" not in os.environ and not blas.cpus_are_busy():
        numba.config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]


def _load_tbb() -> None:
    """Load the TBB that pip installed beside this interpreter: the system does not look for it there."""
    try:
        installed = metadata.files("tbb") or []
    except metadata.PackageNotFoundError:
        return
    for file in installed:
        if file.name in _TBB:
            ctypes.CDLL(str(file.locate()))
