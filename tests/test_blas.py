"""The limits on threads, from files as Linux writes them; the BLAS of this process, and holding it at one thread."""

import itertools
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from numlp import blas


def tree(root: Path, files: dict[str, str]) -> Path:
    """Write files below `root` and return it."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


V1 = "9:name=systemd:/\n4:memory:/box\n1:cpu,cpuacct:/box\n0::/\n"
CGROUPS: dict[str, tuple[dict[str, str], float | None]] = {
    "nothing there": ({}, None),
    "v2, no quota": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
    "v2, half a core": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 0.5),
    "v2, nested": ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "150000 100000\n"}, 1.5),
    "v2, the parent's is smaller": (
        {
            "proc/self/cgroup": "0::/a/b\n",
            "sys/fs/cgroup/a/b/cpu.max": "400000 100000\n",
            "sys/fs/cgroup/a/cpu.max": "200000 100000\n",
        },
        2.0,
    ),
    "v2, the host's path in a container": (
        {"proc/self/cgroup": "0::/docker/0123\n", "sys/fs/cgroup/cpu.max": "300000 100000\n"},
        3.0,
    ),
    "v2, a path outside the namespace": (
        {"proc/self/cgroup": "0::/../../x\n", "sys/fs/cgroup/cpu.max": "300000 100000\n"},
        3.0,
    ),
    "v1, no quota": (
        {
            "proc/self/cgroup": V1,
            "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us": "100000\n",
        },
        None,
    ),
    "v1, nested": (
        {
            "proc/self/cgroup": V1,
            "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us": "250000\n",
            "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us": "100000\n",
        },
        2.5,
    ),
    "v1, mounted by one name, the host's path": (
        {
            "proc/self/cgroup": V1,
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "20000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
        0.2,
    ),
    "nonsense": ({"proc/self/cgroup": "what\n::\n\n", "sys/fs/cgroup/cpu.max": "1 0\n"}, None),
    "empty": ({"proc/self/cgroup": "", "sys/fs/cgroup/cpu.max": ""}, None),
}


@pytest.mark.parametrize("case", CGROUPS)
def test_cgroup_quota_is_the_smallest_along_the_path(case: str, tmp_path: Path) -> None:
    files, quota = CGROUPS[case]
    limits = blas.cpu_limits(tree(tmp_path, files), {})
    assert limits.pop("affinity") >= 1
    assert limits == ({} if quota is None else {"cgroup quota": quota})


@pytest.mark.parametrize(
    ("text", "limit"),
    [("3", 3), ("2,4", 2), (" 5 ", 5), ("0", None), ("-1", None), ("many", None), ("", None), ("1e3", None)],
)
def test_variables_of_the_user_are_limits(text: str, limit: int | None, tmp_path: Path) -> None:
    for name in blas.THREAD_VARIABLES:
        assert blas.cpu_limits(tmp_path, {name: text}).get(name) == limit


@pytest.mark.parametrize(("limits", "cpus"), [((8, 0.5), 1), ((8, 1.5), 1), ((8, 2.0), 2), ((4, 6.0, 3), 3), ((1,), 1)])
def test_usable_cpus_are_the_whole_part_of_the_smallest_limit(
    limits: tuple[float, ...], cpus: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blas, "cpu_limits", lambda: {str(i): limit for i, limit in enumerate(limits)})
    assert blas.usable_cpus.__wrapped__() == cpus


@pytest.mark.parametrize(
    ("loadavg", "busy"),
    [("0.50 0.40 0.30 1/200 4242\n", False), ("9.00 8.00 7.00 500/900 4242\n", True), ("", False)],
)
def test_cpus_are_busy_if_more_runs_than_is_left_free(loadavg: str, busy: bool, tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/loadavg").write_text(loadavg)
    assert blas.cpus_are_busy(tmp_path) == busy


def test_usable_cpus_are_at_least_one_here() -> None:
    assert 1 <= blas.usable_cpus() <= blas.cpu_limits()["affinity"]


@pytest.mark.parametrize(
    ("n_rows", "flops", "cpus", "threads"),
    [
        (128, 1e9, 1, 1),
        (128, 1e9, 64, 8),  # 16 rows for each
        (31, 1e9, 64, 1),
        (4096, 1e12, 64, 64),
        (4096, 7.9e6, 64, 1),  # 4 million operations for each
        (4096, 8e6, 64, 2),
        (1, 0.0, 2, 1),
        (0, 0.0, 0, 1),
    ],
)
def test_threads_each_get_rows_and_work_enough(n_rows: int, flops: float, cpus: int, threads: int) -> None:
    assert blas.sensible_threads(n_rows, flops, cpus) == threads


def test_libraries_are_those_of_this_process() -> None:
    for library in blas.libraries():
        assert library.name and (library.path is None or Path(library.path).exists())
        assert library.threads is None or library.threads >= 1


@pytest.mark.parametrize(
    ("built", "libraries"),
    [
        ({"found": True, "name": "accelerate", "version": "unknown"}, (("Accelerate", "unknown", None, None, None),)),
        ({"found": True, "name": "newblas", "version": "1.0"}, (("newblas", "1.0", None, None, None),)),
        ({"found": False, "name": "none"}, ()),
        ({}, ()),
    ],
)
def test_library_that_cannot_be_seen_is_the_one_numpy_was_built_with(
    built: dict[str, object], libraries: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blas, "_controllers", lambda n_modules: ())
    monkeypatch.setattr(np, "show_config", lambda mode: {"Build Dependencies": {"blas": built}})
    assert blas.libraries() == libraries


def test_library_is_described_in_the_words_of_its_makers() -> None:
    mkl = {"internal_api": "mkl", "version": "2025.1", "num_threads": 4, "filepath": "libmkl_rt.so.2"}
    assert blas._describe(mkl) == ("MKL", "2025.1", None, 4, "libmkl_rt.so.2")
    blis = {"internal_api": "blis", "version": "1.0", "architecture": "zen4", "num_threads": 1, "filepath": "libblis.so"}
    assert blas._describe(blis) == ("BLIS", "1.0", "zen4", 1, "libblis.so")


class FakeBLAS:
    """What threadpoolctl gives for a library: a number of threads that can be read and set."""

    def __init__(self, path: str, threads: int) -> None:
        self.filepath, self.threads = path, threads

    def get_num_threads(self) -> int:
        return self.threads

    def set_num_threads(self, threads: int) -> None:
        self.threads = threads


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[FakeBLAS]:
    """Return the libraries that are loaded, to which a test may add."""
    found = [FakeBLAS("a", 4), FakeBLAS("b", 2)]
    monkeypatch.setattr(blas, "_controllers", lambda n_modules: tuple(found))
    return found


def threads(libraries: list[FakeBLAS]) -> list[int]:
    return [library.threads for library in libraries]


def test_single_threaded_holds_and_restores_each_library(loaded: list[FakeBLAS]) -> None:
    with blas.single_threaded():
        assert threads(loaded) == [1, 1]
        with blas.single_threaded():
            assert threads(loaded) == [1, 1]
        assert threads(loaded) == [1, 1]
    assert threads(loaded) == [4, 2]
    with pytest.raises(KeyError), blas.single_threaded():
        raise KeyError
    assert threads(loaded) == [4, 2]


def test_single_threaded_takes_in_what_was_loaded_inside(loaded: list[FakeBLAS]) -> None:
    with blas.single_threaded():
        loaded.append(FakeBLAS("c", 8))
        with blas.single_threaded():
            assert threads(loaded) == [1, 1, 1]
    assert threads(loaded) == [4, 2, 8]


def test_single_threaded_may_overlap_in_several_python_threads(loaded: list[FakeBLAS]) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with blas.single_threaded():
            entered.set()
            leave.wait(10)

    other = threading.Thread(target=hold)
    with blas.single_threaded():
        other.start()
        assert entered.wait(10)
    assert threads(loaded) == [1, 1]  # the first one has left, the second one is inside
    leave.set()
    other.join()
    assert threads(loaded) == [4, 2]


def test_single_threaded_holds_the_real_libraries_and_that_of_scipy_when_it_comes() -> None:
    code = """
from numlp import blas
number = lambda: [library.threads for library in blas.libraries()]
before = number()
with blas.single_threaded():
    assert set(number()) <= {1, None}
assert number() == before
import scipy.linalg.cython_blas
assert len(number()) >= len(before)
with blas.single_threaded():
    assert set(number()) <= {1, None}
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)


def test_product_rate_is_a_rate() -> None:
    assert 0 < blas.product_rate(128, repeats=2) < np.inf


def test_libraries_that_came_with_numpy_are_first_in_whatever_order_they_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    home = np.__path__[0]
    paths = [
        f"{home}.libs/libscipy_openblas64_-1.so",
        "/usr/lib/libblas.so",
        f"{Path(home).parent}/scipy.libs/libopenblas.so",
    ]

    def controller(path: str) -> SimpleNamespace:
        about = {"internal_api": "openblas", "num_threads": 1, "filepath": path}
        return SimpleNamespace(info=lambda: about)

    for order in itertools.permutations(paths):
        monkeypatch.setattr(blas, "_controllers", lambda n_modules, order=order: tuple(map(controller, order)))
        found = [library.path for library in blas.libraries()]
        assert found[0] == paths[0] and found[1:] == sorted(paths[1:])
