"""The loops over numbers. `reference` is the specification: plain NumPy, one equation each; `fused` has faster twins.

Every kernel is called by its name here, `kernels.relu(z, out)`, and is the reference's until `choose` has chosen a table.
"""

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from numlp import blas
from numlp.errors import ArgumentError
from numlp.kernels import reference
from numlp.kernels.reference import *  # noqa: F403  (all of them, by name)

_CHOICES = ("auto", "reference", "fused")
DETERMINISTIC_PARTS = 8  # parts of each loop, and so the most threads, where bytes must not depend on threads

_fused: ModuleType | None = None
_status = ("reference", "no network has been built yet")
_loaded = False
_thread = threading.local()  # .chosen: whether the threads were chosen, by a caller of `threads` that is still inside


def choose() -> None:
    """Choose the table: `fused` if it works here, else `reference`, with one warning; NUMLP_KERNELS decides otherwise.

    Called when a network is built, because the import takes a fifth of a second.

    Errors  ArgumentError if NUMLP_KERNELS is not auto, reference or fused; ImportError if it is fused and that fails.
    """
    global _loaded
    if _loaded:
        return
    choice = os.environ.get("NUMLP_KERNELS", "auto")
    if choice not in _CHOICES:
        raise ArgumentError(f"NUMLP_KERNELS must be {', '.join(_CHOICES)}, got {choice!r}")
    _loaded = True
    if choice == "reference":
        _use_reference("NUMLP_KERNELS=reference")
        return
    try:
        _use_fused()
    except Exception as error:  # whatever Numba, LLVM, the threads or the disk may raise: the reference serves
        if choice == "fused":
            _loaded = False
            raise ImportError(f"NUMLP_KERNELS=fused: the fused kernels do not work here: {error}") from error
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        _use_reference(reason)
        warnings.warn(
            f"numlp: fused kernels do not work here ({reason}); the plain ones serve, several times slower; "
            "`numlp doctor` says more, NUMLP_KERNELS=reference silences this",
            RuntimeWarning,
            stacklevel=3,
        )
    if _fused is not None and _fused.NOT_KEPT:
        warnings.warn(
            "numlp: no folder for compiled kernels can be written, so that each process compiles them again, some seconds; "
            "set NUMBA_CACHE_DIR to one",
            RuntimeWarning,
            stacklevel=3,
        )


def status() -> tuple[str, str]:
    """Return the table in use, `reference` or `fused`, and why."""
    return _status


def loading_seconds() -> float:
    """Return how long this process has compiled kernels or read them from the disk."""
    return float(_fused.loading.duration) if _fused is not None and _fused.loading.done else 0.0


@contextmanager
def threads(sensible: int, chosen: int | None = None, deterministic: bool = False) -> Iterator[None]:
    """Let the kernels called inside use the `chosen` threads, or the `sensible` ones where nobody further out has chosen.

    Work is split into as many parts, or if `deterministic` into eight, whatever the number of threads.
    """
    if _fused is None or getattr(_thread, "chosen", False):
        yield
        return
    n_threads = chosen or sensible
    fused, outer, before = _fused, _fused.work.parts, _fused.limit_threads(n_threads)
    fused.work.parts = DETERMINISTIC_PARTS if deterministic else n_threads
    _thread.chosen = chosen is not None or deterministic
    try:
        yield
    finally:
        _thread.chosen, fused.work.parts = False, outer
        fused.limit_threads(before)


def _use_fused() -> None:
    """Import and try the fused kernels, and take them."""
    global _fused, _status
    from numlp.kernels import fused

    layer = fused.try_out()
    _fused, _status = fused, ("fused", f"Numba compiles them here, for threads of {layer}")
    fused.Work.parts = min(blas.usable_cpus(), DETERMINISTIC_PARTS)  # for callers who do not say
    globals().update(fused.table())
    # a forked child has none of the threads, and OpenMP would wait for them for ever
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: _use_reference("this process was forked"))


def _use_reference(reason: str) -> None:
    """Take the plain kernels."""
    global _fused, _status
    _fused, _status = None, ("reference", reason)
    globals().update({name: value for name, value in vars(reference).items() if not name.startswith("_")})
