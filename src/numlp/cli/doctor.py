"""numlp doctor: what this machine, its libraries and its environment make of numlp's speed, and what to do about it."""

import importlib
import json
import os
import platform
import subprocess
import sys
import warnings
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import numlp as nl
from numlp import blas, kernels
from numlp.cli.app import AsJson, app, reports_errors
from numlp.errors import NumlpError

# variables that choose kernels, block sizes or a whole BLAS: the ones whose cost is measured
STEERING = (
    "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "MKL_ENABLE_INSTRUCTIONS", "MKL_DEBUG_CPU_TYPE", "MKL_CBWR",
    "BLIS_ARCH_TYPE", "FLEXIBLAS",
)  # fmt: skip
PREFIXES = ("OPENBLAS_", "OMP_", "GOTO_", "MKL_", "KMP_", "BLIS_", "FLEXIBLAS", "VECLIB_", "NUMBA_", "NUMLP_", "NPY_")
INSTRUCTIONS = {"avx2": "AVX2", "fma": "FMA", "avx512f": "AVX-512", "asimd": "NEON", "sve": "SVE"}
COSTS = 1.2  # how many times faster without a variable before numlp calls that its cost and not noise

_MEASURE = """
from numlp.blas import product_rate, single_threaded
with single_threaded():
    one = product_rate(768)
print(one, product_rate(768))
"""


class Rate(NamedTuple):
    """GFLOP/s of a float32 product: BLAS held at one thread, and with the threads it takes by itself."""

    one: float
    all: float


@app.command(short_help="Say what this machine computes with, and how fast.")
@reports_errors
def doctor(as_json: AsJson = False) -> None:
    """Say which CPU, BLAS and kernels are in use, how fast products are, and what to do to be faster."""
    facts = collect()
    facts["advice"], facts["notes"] = advise(facts)
    if as_json:
        print(json.dumps(facts))
    else:
        print("\n".join(_lines(facts)))


def collect() -> dict[str, Any]:
    """Return everything that was found and measured, ready for JSON."""
    table, reason = kernels_in_use()
    numba = _numba()
    importlib.import_module("scipy.linalg.cython_blas")  # loads SciPy's BLAS, so that it is listed
    return {
        "versions": {
            "numlp": nl.__version__,
            "Python": platform.python_version(),
            "NumPy": np.__version__,
            "SciPy": metadata.version("scipy"),
            "Numba": numba["version"],
        },
        "cpu": _cpu() | {"usable": blas.usable_cpus(), "limits": blas.cpu_limits()},
        "blas": [library._asdict() for library in blas.libraries()],
        "kernels": {"table": table, "reason": reason},
        "numba": numba,
        "variables": {name: value for name, value in sorted(os.environ.items()) if name.startswith(PREFIXES)},
        "rates": {name: rate._asdict() for name, rate in measure(os.environ).items()},
    }


def kernels_in_use() -> tuple[str, str]:
    """Return the name of the kernel table that a network would use, and why it is that one; "none" if it would raise."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the warning says is what is returned
            kernels.choose()
    except (ImportError, NumlpError) as error:
        return "none", str(error)
    return kernels.status()


def _cpu(file: Path = Path("/proc/cpuinfo")) -> dict[str, Any]:
    """Return the CPU's name and those of its instruction sets that matter for products."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux: NumPy knows the instruction sets
        config: Any = np.show_config(mode="dicts")
        simd = config.get("SIMD Extensions", {})
        name = platform.processor() or platform.machine()
        return {"model": name, "instructions": [*simd.get("baseline", []), *simd.get("found", [])]}
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in reversed(lines))}
    flags = (fields.get("flags") or fields.get("Features") or "").split()  # the second on ARM
    name = fields.get("model name") or platform.machine()
    return {"model": name, "instructions": [INSTRUCTIONS[flag] for flag in INSTRUCTIONS if flag in flags]}


def _numba() -> dict[str, Any]:
    """Return Numba's version, or why it is missing, its threading layer, and where it keeps machine code."""
    try:
        numba = importlib.import_module("numba")
    except Exception as error:  # Numba refuses a NumPy it does not know in more ways than ImportError
        problem = f"{type(error).__name__}: {error}"
        return {"version": None, "problem": problem, "threading_layer": None, "cache": None, "cache_writable": False}
    try:
        layer = numba.threading_layer()
    except ValueError:  # no kernel has run in parallel
        layer = f"{numba.config.THREADING_LAYER} (as configured)"
    folders = [Path(numba.config.CACHE_DIR)] if numba.config.CACHE_DIR else _cache_folders()
    writable = [folder for folder in folders if _is_writable(folder)]
    return {
        "version": numba.__version__,
        "problem": None,
        "threading_layer": layer,
        "cache": str((writable or folders)[0]),
        "cache_writable": bool(writable),
    }


def _cache_folders() -> list[Path]:
    """Return where machine code is kept, in the order that is tried: the user's cache, the package, Numba's cache."""
    user = importlib.import_module("numba.misc.appdirs").user_cache_dir(appname="numba", appauthor=False)
    numlp = importlib.import_module("numlp.kernels.fused.compiled").CACHE
    return [numlp, Path(kernels.__file__).parent / "fused" / "__pycache__", Path(user)]


def _is_writable(folder: Path) -> bool:
    """Tell whether files can be made in a folder, or the folder itself if it is not there yet."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK | os.X_OK)


def measure(environ: Mapping[str, str], rounds: int = 2) -> dict[str, Rate]:
    """Return the rate of products in processes of their own, by what of the environment they keep.

    "as set"; where variables that matter are set, "unset" without all of them, "steering unset" without the `STEERING` ones,
    and under the name of each of those, with that one alone. The best of `rounds`, which take turns because machines are
    noisy. Empty if no process could be run.
    """
    steering = [name for name in STEERING if name in environ]
    threads = [name for name in blas.THREAD_VARIABLES if name in environ]
    without = {"as set": set()} if not steering + threads else {"as set": set(), "unset": {*steering, *threads}}
    if steering:
        without["steering unset"] = set(steering)
        without |= {name: set(steering) - {name} for name in steering}
    # with one variable, several of these are the same: each is run once
    found: dict[frozenset[str], list[Rate]] = {frozenset(names): [] for names in without.values()}
    for _ in range(rounds):
        for names, rates in found.items():
            rates += _measure_process({name: value for name, value in environ.items() if name not in names})
    return {
        case: Rate(max(rate.one for rate in rates), max(rate.all for rate in rates))
        for case, rates in ((case, found[frozenset(names)]) for case, names in without.items())
        if rates
    }


def _measure_process(environ: dict[str, str]) -> list[Rate]:
    """Measure in a new process, because a library reads its variables only when it is loaded; no rate if that failed."""
    # -P: the user's folder may hold files with the names of modules
    command = [sys.executable, "-P", "-c", _MEASURE]
    try:
        run = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30, check=True)
        return [Rate(*map(float, run.stdout.split()[-2:]))]
    except (OSError, subprocess.SubprocessError, ValueError, TypeError):
        return []


def advise(facts: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return in words what to do to be faster, and what is worth knowing although there is nothing to do about it."""
    advice, notes = _advise_steering(facts)
    threads_advice, threads_notes = _advise_threads(facts)
    advice, notes = advice + threads_advice, notes + threads_notes
    if not facts["blas"]:
        advice.append("NumPy has no BLAS that could be found: install NumPy's wheel, pip install --force-reinstall numpy")
    advice += _advise_kernels(facts)
    quota = facts["cpu"]["limits"].get("cgroup quota")
    if quota is not None and quota < facts["cpu"]["limits"]["affinity"]:
        notes.append(f"the container may use {quota:g} of {facts['cpu']['limits']['affinity']} CPUs")
    return advice, notes


def _advise_steering(facts: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return advice on the variables that choose a BLAS's kernels, and notes on those that cost nothing."""
    advice: list[str] = []
    notes: list[str] = []
    rates, variables = facts["rates"], facts["variables"]
    present = [name for name in STEERING if name in variables]
    clean = rates.get("steering unset", {}).get("one")
    for name in present:
        setting = f"{name}={variables[name]} is set"
        if clean is None or name not in rates:
            notes.append(f"{setting}; what it costs could not be measured")
            continue
        measured = f"{rates[name]['one']:.0f} GFLOP/s with it, {clean:.0f} without, one thread"
        if clean > COSTS * rates[name]["one"]:
            advice.append(
                f"{setting} and makes products {clean / rates[name]['one']:.1f} times slower ({measured}): unset {name}"
            )
        else:
            notes.append(f"{setting}; it costs nothing here ({measured})")
    together = rates.get("as set", {}).get("one")
    if not advice and clean and together and clean > COSTS * together:  # none of them alone, but all together
        advice.append(f"{' and '.join(present)} together make products {clean / together:.1f} times slower: unset them")
    return advice, notes


def _advise_kernels(facts: dict[str, Any]) -> list[str]:
    """Return advice on what keeps the fused kernels from being used, or from being kept on disk."""
    kernels, numba, choice = facts["kernels"], facts["numba"], facts["variables"].get("NUMLP_KERNELS", "auto")
    if numba["problem"]:
        return [f"Numba cannot be used ({numba['problem']}), so there are no fused kernels: pip install numba"]
    if kernels["table"] == "none":
        return [f"no network can be built ({kernels['reason']}): unset NUMLP_KERNELS"]
    if kernels["table"] == "reference" and choice == "reference":
        return ["NUMLP_KERNELS=reference is set, and the plain kernels are slower than the fused ones: unset it"]
    if facts["variables"].get("NUMBA_DISABLE_JIT", "0") != "0":
        return [f"NUMBA_DISABLE_JIT={facts['variables']['NUMBA_DISABLE_JIT']} is set, so nothing is compiled: unset it"]
    if kernels["table"] == "reference":
        return [f"the fused kernels do not work here ({kernels['reason']}): pip install --upgrade numba numpy"]
    if not numba["cache_writable"]:
        return [
            f"{numba['cache']} is not writable, so every process compiles its kernels again, some seconds: "
            "set NUMBA_CACHE_DIR to a folder that is"
        ]
    return []


def _advise_threads(facts: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return advice on the variables that leave CPUs idle, and a note where more threads are of no use at the moment."""
    limits, rates = facts["cpu"]["limits"], facts["rates"]
    free = max(1, int(min(value for name, value in limits.items() if name not in blas.THREAD_VARIABLES)))
    # without the variables: what all CPUs give while none is held back
    rate = rates.get("unset") or rates.get("as set")
    if free == 1 or not rate:
        return [], []
    measured = f"products: {rate['one']:.0f} GFLOP/s with one thread, {rate['all']:.0f} with all"
    names = [f"{name}={limits[name]:g}" for name in blas.THREAD_VARIABLES if limits.get(name, free) < free]
    if rate["all"] < rate["one"]:
        return [], [f"all CPUs are slower than one ({measured}): other programs keep them busy"]
    if not names or rate["all"] < COSTS * rate["one"]:
        return [], []
    because = f"numlp uses {facts['cpu']['usable']} of {free} CPUs because of {' and '.join(names)} ({measured})"
    return [f"{because}: unset that, unless other programs need those CPUs"], []


def _lines(facts: dict[str, Any]) -> list[str]:
    """Return the report for people."""
    cpu, numba, rates = facts["cpu"], facts["numba"], facts["rates"]
    versions = {name: version or "missing" for name, version in facts["versions"].items()}
    limits = ", ".join(f"{name} {value:g}" for name, value in cpu["limits"].items())
    lines = [
        "versions    " + ", ".join(f"{name} {version}" for name, version in versions.items()),
        f"CPU         {cpu['model']}; {', '.join(cpu['instructions']) or 'no vector instructions known'}",
        f"usable CPUs {cpu['usable']} ({limits})",
    ]
    for library in facts["blas"]:
        threads = f"threads {'unknown' if library['threads'] is None else library['threads']}"
        architecture = f"{library['architecture'] or 'unknown'} kernels"
        lines.append(
            f"BLAS        {library['name']} {library['version'] or ''}, {architecture}, {threads}, {library['path'] or ''}"
        )
    lines += [
        f"kernels     {facts['kernels']['table']}: {facts['kernels']['reason']}",
        f"Numba       threads by {numba['threading_layer']}; cache {numba['cache']}, "
        + ("writable" if numba["cache_writable"] else "not writable")
        if numba["version"]
        else f"Numba       {numba['problem']}",
    ]
    lines += [f"rate        {_rate(rates)}", *(f"variable    {k}={v}" for k, v in facts["variables"].items())]
    lines += [f"note        {note}" for note in facts["notes"]]
    return lines + [f"to do       {text}" for text in facts["advice"] or ["nothing to do"]]


def _rate(rates: dict[str, dict[str, float]]) -> str:
    """Return the measured rates as one line."""
    if "as set" not in rates:
        return "could not be measured"
    now = rates["as set"]
    best = rates.get("unset", now)
    line = f"{now['one']:.0f} GFLOP/s with one thread, {now['all']:.0f} with all (float32 products of NumPy's BLAS)"
    if best is now:
        return line
    return f"{line}; without the variables below {best['one']:.0f} and {best['all']:.0f}"
