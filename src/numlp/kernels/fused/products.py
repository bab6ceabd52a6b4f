"""Where NumPy's own BLAS has its matrix products in memory, so that compiled code can call them."""

import ctypes
import sys
from collections.abc import Iterator, Sequence

from numlp import blas

# as NumPy's wheels have them (64-bit integers, and renamed lest two libraries meet), and as everybody else has them
_PRODUCTS = ("scipy_cblas_{}64_", "scipy_cblas_{}", "cblas_{}64_", "cblas_{}")
_THREADS = (
    "scipy_openblas_{}_num_threads64_", "scipy_openblas_{}_num_threads", "openblas_{}_num_threads64_",
    "openblas_{}_num_threads", "bli_thread_{}_num_threads",
)  # fmt: skip
_MKL_THREADS = ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads")
_ACCELERATE = "/System/Library/Frameworks/Accelerate.framework/Accelerate"


def find_products() -> dict[str, int]:
    """Return the addresses of `sgemm`, `dgemm` (as in CBLAS), `get_threads` and `set_threads`.

    Where a library has no way to tell its number of threads, `get_threads` is C's `abs`: asked for abs(1), it says one.

    Errors  OSError if no library in this process has the products under a name known here.
    """
    for library in _libraries():
        for name in _PRODUCTS:
            products = _addresses(library, [name.format(symbol) for symbol in ("sgemm", "dgemm")])
            if products:
                pairs = [[name.format(verb) for verb in ("get", "set")] for name in _THREADS]
                threads = next(filter(None, (_addresses(library, pair) for pair in (*pairs, _MKL_THREADS))), None)
                mute = _addresses(ctypes.CDLL("msvcrt" if sys.platform == "win32" else None), ["abs", "abs"])
                return dict(zip(("sgemm", "dgemm", "get_threads", "set_threads"), products + (threads or mute), strict=True))
    raise OSError("no BLAS with the C interface of sgemm and dgemm was found in this process")


def _addresses(library: ctypes.CDLL, names: Sequence[str]) -> list[int]:
    """Return the address of each name, or nothing if one is missing."""
    calls = [getattr(library, name, None) for name in names]
    return [ctypes.cast(call, ctypes.c_void_p).value or 0 for call in calls if call] if all(calls) else []


def _libraries() -> Iterator[ctypes.CDLL]:
    """Yield the BLAS libraries of this process, those that came with NumPy first."""
    yield from (ctypes.CDLL(library.path) for library in blas.libraries() if library.path)
    if sys.platform == "darwin":
        yield ctypes.CDLL(_ACCELERATE)  # a part of the system, which is not listed
