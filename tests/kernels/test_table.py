"""Which table of kernels is in use, how it got there, and what it leaves alone: each case in a process of its own."""

import functools
import multiprocessing
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import numlp
from numlp import blas

SOURCE = Path(numlp.__file__).parent
# threads that wait without a CPU: several tests have more threads than there are CPUs
ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive",
}  # fmt: skip
STEERING = ("NUMLP_KERNELS", "NUMBA_")
NOT_STEERING = "NUMBA_CPU_"  # the suite may be restricted to an older CPU

with_numba = pytest.mark.skipif(find_spec("numba") is None, reason="needs Numba")
with_fork = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")

NETWORK = """
import numpy as np
import numlp as nl
from numlp import kernels

rng = np.random.default_rng(0)
x = rng.normal(size=(256, 8)).astype(np.float32)
y = (x[:, 0] > 0).astype(int)

def build():
    return nl.Network([nl.Dense(8, 16, "relu"), nl.Dense(16, 2)], rng=0)

def train(network):
    nl.fit(network, (x, y), epochs=8, batch_size=32, optimizer=nl.Adam(0.01), progress=False)
    return nl.evaluate(network, (x, y), progress=False)["accuracy"]
"""
TRAIN = NETWORK + "assert train(build()) > 0.9\nprint(*kernels.status(), sep='; ')\n"


def start(code: str, *, source: Path = SOURCE.parent, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a new process whose kernels nothing steers but these variables."""
    names = [name for name in os.environ if not name.startswith(STEERING) or name.startswith(NOT_STEERING)]
    environment = {name: os.environ[name] for name in names}
    environment |= ONE_THREAD | {"PYTHONPATH": str(source)} | variables
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)


def output(code: str, *, source: Path = SOURCE.parent, **variables: str) -> list[str]:
    """Return the lines that `code` prints, and that it warns of nothing."""
    process = start(code, source=source, **variables)
    assert (process.returncode, process.stderr) == (0, ""), process.stderr
    return process.stdout.splitlines()


def assert_reference_serves_with_one_warning(process: subprocess.CompletedProcess[str], reason: str) -> None:
    assert process.returncode == 0, process.stderr
    assert process.stdout == f"reference; {reason}\n"
    (line,) = process.stderr.splitlines()
    assert line.endswith(
        f"RuntimeWarning: numlp: fused kernels do not work here ({reason}); the plain ones serve, several times slower; "
        "`numlp doctor` says more, NUMLP_KERNELS=reference silences this"
    )


# The choice.


def test_reference_table_is_there_before_a_network_is_built_and_numba_is_not_loaded() -> None:
    code = NETWORK + "import sys; print(kernels.status(), 'numba' in sys.modules, kernels.relu is kernels.reference.relu)"
    assert output(code) == ["('reference', 'no network has been built yet') False True"]


def test_reference_is_used_if_asked_for_and_numba_is_not_loaded() -> None:
    code = TRAIN + "import sys; print('numba' in sys.modules)"
    assert output(code, NUMLP_KERNELS="reference") == ["reference; NUMLP_KERNELS=reference", "False"]


@with_numba
@pytest.mark.parametrize("choice", ["fused", "auto", None])
def test_fused_is_used_where_it_works(choice: str | None) -> None:
    variables = {"NUMLP_KERNELS": choice} if choice else {}
    (line,) = output(TRAIN, **variables)
    assert line.startswith("fused; Numba compiles them here, for threads of ")


def test_unknown_choice_is_refused_each_time_a_network_is_built() -> None:
    code = NETWORK + (
        "for _ in range(2):\n    try:\n        build()\n    except nl.errors.ArgumentError as error:\n        print(error)\n"
    )
    assert output(code, NUMLP_KERNELS="fsued") == ["NUMLP_KERNELS must be auto, reference, fused, got 'fsued'"] * 2


# Where Numba does not work.

NO_NUMBA = "import sys; sys.modules['numba'] = None\n"


def test_reference_serves_with_one_warning_without_numba() -> None:
    code = NO_NUMBA + TRAIN + "nl.Network([nl.Dense(2, 2)], rng=0)"
    reason = "import of numba halted; None in sys.modules"
    assert_reference_serves_with_one_warning(start(code), reason)
    assert_reference_serves_with_one_warning(start(code, NUMLP_KERNELS="auto"), reason)


def test_fused_that_was_asked_for_is_an_error_without_numba() -> None:
    code = (
        NO_NUMBA
        + NETWORK
        + ("for _ in range(2):\n    try:\n        build()\n    except ImportError as error:\n        print(error)\n")
    )
    said = "NUMLP_KERNELS=fused: the fused kernels do not work here: import of numba halted; None in sys.modules"
    assert output(code, NUMLP_KERNELS="fused") == [said] * 2


NO_COMPILER = """
from numba.core import compiler

def fail(*args, **options):
    raise RuntimeError("LLVM has no code for this processor\\nsecond line")

compiler.compile_extra = fail
"""


@with_numba
def test_reference_serves_with_one_warning_if_numba_cannot_compile(tmp_path: Path) -> None:
    process = start(NO_COMPILER + TRAIN + "nl.Network([nl.Dense(2, 2)], rng=0)", NUMBA_CACHE_DIR=str(tmp_path))
    assert_reference_serves_with_one_warning(process, "LLVM has no code for this processor")


@with_numba
def test_reference_serves_with_one_warning_if_numba_is_switched_off() -> None:
    process = start(TRAIN, NUMBA_DISABLE_JIT="1")
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith("reference; ")
    assert process.stderr.count("\n") == process.stderr.count("numlp: fused kernels do not work here (") == 1


@with_numba
def test_threads_that_only_one_caller_may_use_are_not_taken() -> None:
    process = start(TRAIN, NUMBA_THREADING_LAYER="workqueue")
    reason = "Numba finds neither TBB nor OpenMP; `pip install tbb`, or install libgomp"
    assert_reference_serves_with_one_warning(process, reason)


# Where machine code is kept. Only the kernel that is tried out, because it is compiled anew in a copy of the package.

ONE_KERNEL = (
    "from numlp import kernels; kernels.choose(); print(kernels.status()[0], kernels.affine is kernels.reference.affine)"
)


@pytest.fixture
def read_only(tmp_path: Path) -> Path:
    """Return the folder of a copy of the package that cannot keep machine code: a file is where its folder would be."""
    shutil.copytree(SOURCE, tmp_path / "package" / "numlp", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "package/numlp/kernels/fused/__pycache__").touch()
    return tmp_path / "package"


def home(path: Path) -> dict[str, str]:
    return {"HOME": str(path), "XDG_CACHE_HOME": str(path), "LOCALAPPDATA": str(path), "USERPROFILE": str(path)}


@with_numba
def test_machine_code_is_kept_for_the_user_and_not_in_the_package(read_only: Path, tmp_path: Path) -> None:
    (read_only / "numlp/kernels/fused/__pycache__").unlink()  # it could be kept there, and would outlive the package
    assert output(ONE_KERNEL, source=read_only, **home(tmp_path / "home")) == ["fused False"]
    assert not list(read_only.rglob("*.nb?"))
    kept = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "home").rglob("*.nb?")}
    # loaded the second time: a compiler that does not work is not needed
    assert output(NO_COMPILER + ONE_KERNEL, source=read_only, **home(tmp_path / "home")) == ["fused False"]
    assert {file.name: file.stat().st_mtime_ns for file in (tmp_path / "home").rglob("*.nb?")} == kept
    assert any("affine" in name for name in kept)


@with_numba
def test_kernels_are_compiled_in_memory_if_nothing_can_be_written(read_only: Path, tmp_path: Path) -> None:
    (tmp_path / "home").touch()  # a file: no folder can be made in it, not even by root
    variables = home(tmp_path / "home") | {"NUMBA_CACHE_DIR": str(tmp_path / "home/cache")}
    process = start(ONE_KERNEL + "; kernels.choose()", source=read_only, **variables)
    assert process.stdout.splitlines() == ["fused False"] and not list(tmp_path.rglob("*.nb?"))
    assert process.stderr.count("set NUMBA_CACHE_DIR to one") == 1, process.stderr


# The threads.


@functools.cache
def layers() -> list[str]:
    """Return which of the two kinds of threads that Numba shares between callers there are."""
    load = "import numlp.kernels.fused.threads; from numba.np.ufunc import {}pool"
    return [layer for layer in ("omp", "tbb") if start(load.format(layer)).returncode == 0]


@with_numba
@pytest.mark.parametrize(
    ("cpus", "busy", "asked", "layer"),
    [(2, False, None, "omp"), (2, True, None, "tbb"), (2, False, "tbb", "tbb"), (1, True, None, "omp")],
)
def test_threads_are_those_of_openmp_unless_cpus_are_busy_or_others_are_asked_for(
    cpus: int, busy: bool, asked: str | None, layer: str
) -> None:
    if layer not in layers():
        pytest.skip(f"Numba has no {layer} here")
    variables = {"NUMBA_THREADING_LAYER": asked} if asked else {}
    code = f"from numlp import blas; blas.usable_cpus = lambda: {cpus}; blas.cpus_are_busy = lambda: {busy}\n" + TRAIN
    assert output(code, **variables) == [f"fused; Numba compiles them here, for threads of {layer}"]


# Forks.

FORK = """
import multiprocessing, os

def work(queue):
    same = network.predict(x).tolist() == expected
    queue.put((same, train(build()) > 0.9, kernels.status(), kernels.relu is kernels.reference.relu))

network = build()
train(network)
expected = network.predict(x).tolist()
assert kernels.status() == ("fused", "Numba compiles them here, for threads of " + os.environ["NUMBA_THREADING_LAYER"])
context = multiprocessing.get_context("fork")
queue = context.Queue()
with kernels.threads(2):
    child = context.Process(target=work, args=(queue,))
    child.start()
print(queue.get(timeout=500))
child.join(10)
print(child.exitcode, kernels.status()[0], network.predict(x).tolist() == expected)
"""


@with_numba
@with_fork
@pytest.mark.parametrize("layer", ["tbb", "omp"])
def test_forked_child_predicts_and_trains_with_the_reference(layer: str) -> None:
    if layer not in layers():
        pytest.skip(f"Numba has no {layer} here")
    if layer == "tbb" and blas.usable_cpus() == 1:
        pytest.skip("on one CPU, a fork waits for TBB for ever, and numlp takes it only if told to")
    process = start(NETWORK + FORK, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="2")
    assert process.returncode == 0, process.stderr
    status = ("reference", "this process was forked")
    assert process.stdout.splitlines() == [str((True, True, status, True)), "0 fused True"]


@with_numba
@with_fork
def test_child_that_was_forked_inside_threads_keeps_the_reference_when_it_leaves_them() -> None:
    code = (
        NETWORK
        + """
import os

network = build()
with kernels.threads(2):
    child = os.fork()
if child == 0:
    print(kernels.status()[0], kernels.relu is kernels.reference.relu, flush=True)
    os._exit(0)
print(os.waitpid(child, 0)[1], kernels.status()[0])
"""
    )
    process = start(code, NUMLP_KERNELS="fused", NUMBA_NUM_THREADS="2")
    assert process.stdout.splitlines() == ["reference True", "0 fused"], process.stderr


# Threads.

# state() is (threads, parts): one kernel gives, instead of a sum, into how many parts it is told to split it
SPLIT = (
    NETWORK
    + """
import numba, threading
from numlp.kernels.fused.compiled import KERNELS

KERNELS["sum_of_squares"] = lambda parts, values: parts
build()

def state():
    return numba.get_num_threads(), kernels.sum_of_squares(None)

before = state()
"""
)


@with_numba
def test_threads_leave_the_table_and_numba_as_they_were() -> None:
    code = (
        SPLIT
        + """
assert before[0] == 4
with kernels.threads(2):
    assert state() == (2, 2)
    with kernels.threads(3):
        assert state() == (3, 3)
    assert state() == (2, 2)
    with kernels.threads(1, deterministic=True):
        assert state() == (1, 8)
    assert state() == (2, 2)
assert state() == before
for options in ({}, {"chosen": 3}, {"deterministic": True}):
    try:
        with kernels.threads(2, **options):
            raise KeyError
    except KeyError:
        assert state() == before
    with kernels.threads(2):
        assert state() == (2, 2)
with kernels.threads(64):
    assert state() == (4, 64)
assert state() == before
"""
    )
    assert output(code, NUMLP_KERNELS="fused", NUMBA_NUM_THREADS="4") == []


@with_numba
def test_chosen_threads_win_over_what_is_sensible_inside() -> None:
    code = (
        SPLIT
        + """
with kernels.threads(1, 3):
    with kernels.threads(2):
        assert state() == (3, 3)
    with kernels.threads(2, 4):
        assert state() == (3, 3)
    assert state() == (3, 3)
with kernels.threads(2, deterministic=True):
    with kernels.threads(4):
        assert state() == (2, 8)
assert state() == before
seen = []
class Look(nl.Callback):
    def on_step(self, run):
        seen.append(state())
        nl.evaluate(run.network, (x, y), progress=False)
        seen.append(state())
nl.fit(build(), (x, y), epochs=1, n_threads=3, callbacks=[Look()], progress=False)
assert set(seen) == {(3, 3)}, seen
assert state() == before
"""
    )
    assert output(code, NUMLP_KERNELS="fused", NUMBA_NUM_THREADS="4") == []


@with_numba
def test_threads_of_two_python_threads_that_overlap_leave_the_table_as_it_was() -> None:
    code = (
        SPLIT
        + """
inside, leave = threading.Event(), threading.Event()

def other():
    with kernels.threads(3):
        inside.set()
        leave.wait(20)

thread = threading.Thread(target=other)
with kernels.threads(2):
    thread.start()
    inside.wait(20)
leave.set()
thread.join()
assert state() == before, state()
"""
    )
    assert output(code, NUMLP_KERNELS="fused", NUMBA_NUM_THREADS="4") == []


@with_numba
def test_prediction_in_another_thread_does_not_change_the_bytes_of_training() -> None:
    code = (
        SPLIT
        + """
def digest(callbacks=()):
    network = nl.Network([nl.Dense(8, 64, "relu"), nl.Dense(64, 2)], rng=0)
    nl.fit(network, (x, y), epochs=2, n_threads=2, callbacks=callbacks, progress=False)
    return network.params.tobytes()

inside, leave = threading.Event(), threading.Event()

def other():
    with kernels.threads(1):  # as predict and evaluate do
        inside.set()
        leave.wait(20)

class Leave(nl.Callback):
    def on_step(self, run):
        leave.set()
        thread.join()

alone = digest()
thread = threading.Thread(target=other)
thread.start()
inside.wait(20)
assert digest([Leave()]) == alone
"""
    )
    assert output(code, NUMLP_KERNELS="fused", NUMBA_NUM_THREADS="2") == []


@with_numba
def test_python_threads_predict_at_once_each_with_its_network() -> None:
    code = (
        NETWORK
        + """
import threading

rows = rng.normal(size=(3000, 8)).astype(np.float32)
networks = [nl.Network([nl.Dense(8, 32 + i, "relu"), nl.LayerNorm(32 + i), nl.Dense(32 + i, 3)], rng=i) for i in range(4)]
expected = [network.predict(rows, progress=False) for network in networks]
start, wrong = threading.Barrier(4), []

def work(network, expected):
    start.wait()
    for _ in range(25):
        if not np.allclose(network.predict(rows, progress=False), expected, rtol=1e-4, atol=1e-5):
            wrong.append(network)

threads = [threading.Thread(target=work, args=pair) for pair in zip(networks, expected)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(wrong))
"""
    )
    assert output(code, NUMLP_KERNELS="fused", NUMBA_NUM_THREADS="2") == ["0"]


# The same bytes, and what a step allocates.

TRAINED = (
    NETWORK
    + """
from hashlib import sha256

rows = rng.normal(size=(300, 20)).astype(np.float32)
labels = rng.integers(3, size=300)

def trained(dtype="float32", **options):
    layers = [
        nl.Dense(20, 40, "relu"), nl.BatchNorm(40), nl.Dropout(40, 0.2), nl.Dense(40, 30), nl.LayerNorm(30), nl.Dense(30, 3),
    ]
    network = nl.Network(layers, rng=1, dtype=dtype)
    data = (rows, labels)
    nl.fit(network, data, validation=data, epochs=2, batch_size=70, optimizer=nl.AdamW(1e-2), progress=False, **options)
    return sha256(network.params.tobytes() + network.state.tobytes()).hexdigest()
"""
)


@functools.cache
def tables() -> list[str]:
    return ["reference", "fused"] if find_spec("numba") else ["reference"]


@pytest.mark.parametrize("table", tables())
def test_training_gives_the_same_bytes_in_20_runs_with_one_seed_and_number_of_threads(table: str) -> None:
    code = TRAINED + "print(len({trained(n_threads=2) for _ in range(20)}), kernels.status()[0])"
    assert output(code, NUMLP_KERNELS=table, NUMBA_NUM_THREADS="2") == [f"1 {table}"]


@pytest.mark.parametrize("table", tables())
def test_deterministic_training_gives_the_same_bytes_with_1_2_and_4_threads(table: str) -> None:
    code = (
        TRAINED
        + """
for dtype in ("float32", "float64"):
    print(len({trained(dtype, n_threads=n, deterministic=True) for n in (1, 2, 4, 1, 2, 4, None)}))
print(len({trained(n_threads=n) for n in (1, 2, 4)}), kernels.status()[0])
"""
    )
    # the last line: without it, bytes do depend on threads, and so the ones above say something
    assert output(code, NUMLP_KERNELS=table, NUMBA_NUM_THREADS="4") == ["1", "1", f"{3 if table == 'fused' else 1} {table}"]


@pytest.mark.parametrize("table", tables())
def test_rows_of_every_dtype_are_trained_on_as_if_they_were_converted_first(table: str) -> None:
    code = (
        TRAINED
        + """
rows = rng.integers(2, size=(300, 20))
expected = trained(n_threads=1)
for dtype in ("?", "i1", "u1", "<i4", ">i4", "u8", "f2", "<f4", ">f4", "<f8", ">f8", np.longdouble):
    rows = rows.astype(dtype)
    assert trained(n_threads=1) == expected, dtype
plain = rows.astype(np.float32)
rows = np.frombuffer(b"." + plain.tobytes(), np.uint8)[1:].view(np.float32).reshape(300, 20)
assert not rows.flags.aligned and not rows.flags.writeable and trained(n_threads=1) == expected
rows = np.asfortranarray(plain)
assert trained(n_threads=1) == expected
"""
    )
    assert output(code, NUMLP_KERNELS=table, NUMBA_NUM_THREADS="2") == []


@with_numba
def test_steady_step_of_the_fused_kernels_allocates_no_batch() -> None:
    code = (
        NETWORK
        + """
import tracemalloc

layers = [
    nl.Dense(200, 200, "relu"), nl.BatchNorm(200), nl.Dropout(200, 0.5), nl.Dense(200, 200), nl.LayerNorm(200),
    nl.Dense(200, 200, "relu", parametrization="ntk"), nl.Dense(200, 200),
]
network = nl.Network(layers, rng=0, l2=0.1)
x, target = rng.normal(size=(512, 200)).astype(np.float32), rng.integers(200, size=512)
loss = nl.SoftmaxCrossEntropy()
for optimizer in (nl.SGD(0.01), nl.SGD(0.01, momentum=0.9), nl.AdamW(1e-3)):
    optimizer.start(network.params, network.n_weights, 100)

    def step():
        value, dy = loss(network.forward(x, training=True), target)
        network.backward(dy)
        optimizer.step(network.params, network.grads)

    for _ in range(3):
        step()
    tracemalloc.start()
    step()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    step()
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert peak < 64_000, (optimizer, peak)
"""
    )
    assert output(code, NUMLP_KERNELS="fused", NUMBA_NUM_THREADS="2") == []
