"""Where the time of a training step goes: `python -m benchmarks.profile [WORK] [--lines | --first]`.

Without --lines, each part of a step in a run of `fit`: its own time, without that of the parts it calls. With --lines,
each line of numlp that a step runs, by line_profiler (extra `bench`); measuring costs about a microsecond a line. With
--first, what is compiled in the first step of the default recipe of MNIST where nothing has been compiled before.
"""

import argparse
import importlib
import inspect
import linecache
import os
import pkgutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.runner import clean_environment
from benchmarks.tables import print_table
from benchmarks.works import WORKS, Work


class Parts:
    """Times calls. What a call spends in other timed calls is theirs; each thread has its own stack of calls."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._local = threading.local()

    def timed(self, call: Callable[..., Any], label: str) -> Callable[..., Any]:
        """Return the call, timed."""

        def wrapper(*arguments: Any, **keywords: Any) -> Any:
            inner = self._local.__dict__.setdefault("inner", [0.0])  # for each open call, the seconds of the calls in it
            inner.append(0.0)
            started = time.perf_counter()
            try:
                return call(*arguments, **keywords)
            finally:
                spent = time.perf_counter() - started
                own = spent - inner.pop()
                inner[-1] += spent
                self.seconds[label] = self.seconds.get(label, 0.0) + own

        return wrapper

    def watch(self, owner: Any, method: str, label: str) -> None:
        """Time a method of an object or of a class from now on."""
        setattr(owner, method, self.timed(getattr(owner, method), label))

    def watch_iterator(self, kind: type[Any], label: str) -> None:
        """Time each next() of what a class iterates over."""
        iterate = kind.__iter__

        def wrapper(batches: Any) -> Iterator[Any]:
            advance = self.timed(iterate(batches).__next__, label)
            while True:
                try:
                    batch = advance()
                except StopIteration:
                    return
                yield batch

        kind.__iter__ = wrapper


def main(arguments: Sequence[str] | None = None) -> int:
    """Profile one work and return the exit status."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [work.name for work in WORKS]
    options.add_argument("work", nargs="?", choices=names, default="mnist-300-adam", metavar="WORK", help=", ".join(names))
    options.add_argument("--lines", action="store_true", help="line by line")
    options.add_argument("--first", action="store_true", help="what the first step of the default recipe compiles")
    options.add_argument("--epochs", type=int, default=3, help="measured, after one to warm up")
    options.add_argument("--data-dir", default=os.environ.get("NUMLP_DATA"), help="folder with the MNIST files")
    chosen = options.parse_args(arguments)
    if chosen.first:
        by_kernel()
        return 0
    work = next(work for work in WORKS if work.name == chosen.work)
    with tempfile.TemporaryDirectory() as folder:
        from benchmarks.data import prepare

        prepare(work, Path(folder), chosen.data_dir)
        if chosen.lines:
            by_line(work, folder, chosen.epochs)
        else:
            by_part(work, folder, chosen.epochs)
    return 0


def training(work: Work, folder: str) -> tuple[Any, tuple[Any, Any], dict[str, Any]]:
    """Return the network of a work, its rows, and the other arguments of `fit`."""
    from benchmarks.data import read
    from benchmarks.peers.with_numlp import build, optimizer_of

    data = read(folder)
    network = build(work, data, seed=0)
    options = {"loss": network.loss, "optimizer": optimizer_of(work), "batch_size": work.batch_size, "progress": False}
    return network, (data.x, data.y), options


def by_part(work: Work, folder: str, epochs: int) -> None:
    """Print the time of each layer's forward and backward, loss, optimizer, gather, and of the rest."""
    import numlp as nl
    from numlp.data.batches import Batches

    network, rows, options = training(work, folder)
    parts = Parts()
    for method in ("forward", "backward"):
        for i, layer in enumerate(network.layers):
            parts.watch(layer, method, f"{i} {layer} {method}")
        parts.watch(network, method, f"Network.{method}, between layers")
    kind = type(options["loss"])
    options["loss"].__class__ = type(kind.__name__, (kind,), {"__call__": parts.timed(kind.__call__, "loss")})
    parts.watch(options["optimizer"], "step", "optimizer")
    parts.watch_iterator(Batches, "gather")

    class Clock(nl.Callback):
        def on_epoch(self, run: Any) -> None:
            if run.epoch == 1:
                parts.seconds.clear()
                self.began = time.perf_counter()
            self.seconds, self.steps = time.perf_counter() - self.began, run.step - run.steps_per_epoch

    clock = Clock()
    nl.fit(network, rows, epochs=epochs + 1, callbacks=[clock], **options)
    rest = clock.seconds - sum(parts.seconds.values())
    print(f"{work}: {clock.seconds / clock.steps * 1e6:.0f} us a step")
    table = [*parts.seconds.items(), ("the rest of fit", rest)]
    print_table(
        ["part", "us", "%"],
        [[label, f"{s / clock.steps * 1e6:.1f}", f"{100 * s / clock.seconds:.1f}"] for label, s in table],
    )


def by_kernel() -> None:
    """Print the seconds that compiling takes in a first step, kernel by kernel, and how many of them are LLVM's."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NUMBA_CACHE_DIR"] = folder
        from numba.core import event

        from benchmarks.peers.with_numlp import first_step

        with event.install_recorder("numba:run_pass") as passes, event.install_recorder("numba:llvm_lock") as llvm:
            seconds = first_step({})["seconds"]
    kernels = outermost(passes.buffer, lambda data: data["name"].partition("[")[2].rstrip("]"))
    table = sorted(kernels.items(), key=lambda item: -item[1])
    table += [("the rest", seconds - sum(kernels.values())), ("all", seconds)]
    table += outermost(llvm.buffer, lambda data: "of it LLVM").items()
    print_table(["compiled", "s", "%"], [[name, f"{s:.2f}", f"{100 * s / seconds:.1f}"] for name, s in table])


def outermost(recorded: Sequence[tuple[float, Any]], label: Callable[[Any], str]) -> dict[str, float]:
    """Return by label the seconds from start to end of events that are not inside another one."""
    seconds: dict[str, float] = {}
    n_open, began = 0, 0.0
    for now, event in recorded:
        began = began if n_open else now
        n_open += 1 if event.is_start else -1
        if not n_open:
            seconds[label(event.data)] = seconds.get(label(event.data), 0.0) + now - began
    return seconds


def by_line(work: Work, folder: str, epochs: int) -> None:
    """Print each line that takes at least half a percent of a step; a line that calls numlp contains what it calls."""
    try:
        from line_profiler import LineProfiler
    except ImportError:
        raise SystemExit("benchmarks.profile: --lines needs line_profiler; pip install 'numlp[bench]'") from None
    import numlp as nl

    network, rows, options = training(work, folder)
    nl.fit(network, rows, epochs=1, **options)
    profiler = LineProfiler()
    for function in sorted(step_functions(), key=lambda function: function.__qualname__):
        profiler.add_function(function)
    started = time.perf_counter()
    profiler.runcall(nl.fit, network, rows, epochs=epochs, **options)
    seconds, stats = time.perf_counter() - started, profiler.get_stats()
    steps = epochs * len(rows[0]) // work.batch_size
    print(f"{work}: {seconds / steps * 1e6:.0f} us a step, measuring included")
    table = []
    for (file, _, function), lines in sorted(stats.timings.items(), key=lambda item: -sum(ticks for _, _, ticks in item[1])):
        shown = [(number, ticks * stats.unit) for number, hits, ticks in lines if hits >= steps // 2]
        shown = [(number, spent) for number, spent in shown if spent >= 0.005 * seconds]
        table += [[f"{Path(file).parent.name}/{Path(file).name} {function}", "", ""]] if shown else []
        table += [
            [f"  {number:>4} {linecache.getline(file, number).strip()[:90]}", *share(spent, steps, seconds)]
            for number, spent in shown
        ]
    print_table(["line", "us", "%"], table)


def share(spent: float, steps: int, seconds: float) -> list[str]:
    """Return microseconds a step, and per cent of all."""
    return [f"{spent / steps * 1e6:.1f}", f"{100 * spent / seconds:.1f}"]


def step_functions() -> set[Any]:
    """Return the Python functions and methods of the modules that a training step runs through."""
    import numlp

    functions: set[Any] = set()
    names = ["numlp.training", "numlp.network", "numlp.data.batches", "numlp.activations", "numlp.callbacks"]
    for package in ("layers", "losses", "optimizers", "kernels"):
        folder = Path(inspect.getfile(numlp)).parent / package
        names += [f"numlp.{package}", *(f"numlp.{package}.{module.name}" for module in pkgutil.iter_modules([str(folder)]))]
    for module in map(importlib.import_module, names):
        for owner in (module, *(kind for kind in vars(module).values() if inspect.isclass(kind))):
            functions |= {
                f
                for f in vars(owner).values()
                if inspect.isfunction(f) and f.__module__ == module.__name__ and not hasattr(f, "__wrapped__")
            }
    return functions


if __name__ == "__main__":
    environment, removed = clean_environment()
    if removed:  # read when the BLAS is loaded, so begin again without them
        print(f"taken out of the environment: {', '.join(removed)}", flush=True)
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.profile", *sys.argv[1:]], environment)
    sys.exit(main())
