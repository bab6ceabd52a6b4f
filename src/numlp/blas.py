"""Which BLAS makes the matrix products, with which kernels, and how many threads are worth using.

Nothing here chooses kernels. Every OpenBLAS in the wheels of NumPy 2.0 to 2.4 and SciPy 1.11 to 1.17 takes the fastest it
has if the environment is left alone (measured on an AMD Zen 5, where OPENBLAS_CORETYPE=Haswell halves the rate of
products, and SkylakeX, Cooperlake and SapphireRapids are as fast as the library's own choice). A variable that slows
products down is the user's: `numlp doctor` names it, with what it costs.
"""

import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")

_NAMES = {"openblas": "OpenBLAS", "mkl": "MKL", "blis": "BLIS", "flexiblas": "FlexiBLAS", "accelerate": "Accelerate"}
_ROWS_A_THREAD = 16  # with fewer, a matrix product loses its blocking
_FLOPS_A_THREAD = 4e6  # about 20 us of work, several times what it costs to wake a thread


class Library(NamedTuple):
    """One BLAS in this process; None where it does not tell."""

    name: str
    version: str | None
    architecture: str | None  # whose kernels: the processor they were written for
    threads: int | None
    path: str | None


@lru_cache(maxsize=1)
def usable_cpus() -> int:
    """Return how many CPUs this process may keep busy: the whole part of the smallest of `cpu_limits()`, at least 1.

    Asked of the system once. 1.5 CPUs are 1: of two threads that wait for each other, one would be off its CPU half of
    the time.
    """
    return max(1, int(min(cpu_limits().values())))


def cpus_are_busy(root: Path = Path("/")) -> bool:
    """Return whether other programs run on more CPUs than this process leaves free, looked at three times in 10 ms.

    `root` is where proc/ is looked for; where the system does not tell, they are not.
    """
    free = (os.cpu_count() or 1) - usable_cpus()
    looks = []
    for _ in range(3):
        running = _read(root / "proc/loadavg").partition("/")[0].split()
        looks.append(int(running[-1]) - 1 > free if running else False)  # one of those that run is this program
        time.sleep(0.005)
    return all(looks)


def cpu_limits(root: Path = Path("/"), environ: Mapping[str, str] = os.environ) -> dict[str, float]:
    """Return every limit on the CPUs of this process by name: its affinity, a container's quota, the user's variables.

    `root` is where proc/ and sys/ are looked for.
    """
    limits: dict[str, float] = {"affinity": _affinity()}
    quota = _cgroup_quota(root)
    if quota is not None:
        limits["cgroup quota"] = quota
    for name in THREAD_VARIABLES:
        # OpenMP allows a list, one number for each level of nesting
        first = environ.get(name, "").split(",")[0].strip()
        if first.isdecimal() and int(first) >= 1:
            limits[name] = int(first)
    return limits


def _affinity() -> int:
    count = getattr(os, "process_cpu_count", None)  # Python 3.13; it knows PYTHON_CPU_COUNT too
    if count is not None:
        return count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cgroup_quota(root: Path) -> float | None:
    """Return the CPUs that Linux control groups allow, the smallest along the path from this process's group up."""
    quotas = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        # inside a container the path may be the host's, of which only the upper end, the mount itself, is visible
        group = PurePosixPath(path.lstrip("/"))
        for level in (group, *group.parents):
            if ".." not in level.parts:
                quotas += [_quota(root / "sys/fs/cgroup" / mount / level) for mount in {"", "cpu", controllers}]
    return min((quota for quota in quotas if quota is not None), default=None)


def _quota(folder: Path) -> float | None:
    """Return the quota of one group, in CPUs: version 2 has it in one file, version 1 in two; None if unlimited."""
    words = _read(folder / "cpu.max").split()
    words = words or [_read(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    if len(words) == 2 and all(word.isdecimal() for word in words) and int(words[1]):  # "max" and -1 mean none
        return int(words[0]) / int(words[1])
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def sensible_threads(n_rows: int, flops: float, cpus: int) -> int:
    """Return how many threads, of at most `cpus`, make a training step of `n_rows` rows and `flops` operations fastest.

    A thread needs 16 rows and 4 million operations to be worth waking.

    Examples
    --------
    >>> sensible_threads(32, 12e6, cpus=64), sensible_threads(128, 150e6, cpus=64), sensible_threads(1, 1e9, cpus=64)
    (2, 8, 1)
    """
    return max(1, min(cpus, n_rows // _ROWS_A_THREAD, int(flops / _FLOPS_A_THREAD)))


def libraries() -> tuple[Library, ...]:
    """Return the BLAS libraries that are loaded at this moment, those that came with NumPy first.

    SciPy's is loaded by its first use. The order of others is that of their paths: the system's own changes from run to run.
    Where none can be seen, as with Accelerate of macOS, what NumPy was built with.
    """
    found = [_describe(controller.info()) for controller in _controllers(len(sys.modules))]
    if found:
        home = np.__path__[0]  # .../numpy, .../numpy.libs
        return tuple(sorted(found, key=lambda library: (not str(library.path).startswith(home), str(library.path))))
    config: Any = np.show_config(mode="dicts")
    built = config.get("Build Dependencies", {}).get("blas", {})
    if not built.get("found"):
        return ()
    name = built.get("name", "unknown")
    return (Library(_NAMES.get(name, name), built.get("version"), None, None, None),)


def _describe(info: dict[str, Any]) -> Library:
    name = _NAMES.get(info["internal_api"], info["internal_api"])
    return Library(name, info.get("version"), info.get("architecture"), info["num_threads"], info["filepath"])


@lru_cache(maxsize=1)
def _controllers(n_modules: int) -> tuple[Any, ...]:
    """Return threadpoolctl's handles of the loaded BLAS libraries; the search takes 1 to 3 ms.

    A library comes with a module that needs it, so `n_modules`, the number of modules, tells when to search again.
    """
    from threadpoolctl import ThreadpoolController

    return tuple(ThreadpoolController().select(user_api="blas").lib_controllers)


_lock = threading.Lock()
_holders = 0
_before: dict[str, tuple[Any, int]] = {}  # path -> the library's handle, its threads before the first holder came


@contextmanager
def single_threaded() -> Iterator[None]:
    """Hold every loaded BLAS at one thread, and then give back exactly the threads each had; costs about 5 us.

    Contexts may be nested, and overlap in several Python threads: the number belongs to the whole process, the first to
    enter sets it and the last to leave restores it. So other code of the process that calls BLAS meanwhile gets one thread
    too. A library that is loaded inside is held from the next `single_threaded()` on. (MKL and a BLAS built on OpenMP may
    keep a number for each thread; there, a context holds for the thread that entered it.)
    """
    global _holders
    with _lock:
        for controller in _controllers(len(sys.modules)):
            if controller.filepath not in _before:
                _before[controller.filepath] = (controller, controller.get_num_threads())
                controller.set_num_threads(1)
        _holders += 1
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            if not _holders:
                for controller, threads in _before.values():
                    controller.set_num_threads(threads)
                _before.clear()


def product_rate(n: int = 1024, repeats: int = 5) -> float:
    """Return how fast NumPy's BLAS multiplies two (n, n) float32 matrices: the best of `repeats`, in GFLOP/s."""
    a, out = np.ones((n, n), np.float32), np.empty((n, n), np.float32)
    np.matmul(a, a, out=out)  # the first one wakes the threads and touches the memory
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        np.matmul(a, a, out=out)
        seconds.append(time.perf_counter() - begin)
    return 2 * n**3 / min(seconds) / 1e9
