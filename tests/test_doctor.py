"""numlp doctor as a user runs it, and its advice for machines we do not have. Nothing depends on how fast this one is."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from numlp import kernels
from numlp.cli import doctor

MATTERS = (*doctor.STEERING, *doctor.blas.THREAD_VARIABLES, "NUMLP_KERNELS", "NUMBA_DISABLE_JIT")


def run(*arguments: str, cwd: Path, **variables: str) -> str:
    """Run numlp doctor with these of the variables that matter and no others."""
    environment = {name: value for name, value in os.environ.items() if name not in MATTERS} | variables
    command = [sys.executable, "-m", "numlp", "doctor", *arguments]
    process = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)
    assert (process.returncode, process.stderr) == (0, "")
    return process.stdout


def test_doctor_prints_one_json_object_with_what_it_found(tmp_path: Path) -> None:
    out = run("--json", cwd=tmp_path, NUMLP_KERNELS="reference")
    facts = json.loads(out)
    assert out.count("\n") == 1
    assert set(facts["versions"]) == {"numlp", "Python", "NumPy", "SciPy", "Numba"}
    assert facts["cpu"]["model"] and facts["cpu"]["usable"] >= 1 and facts["cpu"]["limits"]["affinity"] >= 1
    assert facts["kernels"] == {"table": "reference", "reason": "NUMLP_KERNELS=reference"}
    assert facts["variables"]["NUMLP_KERNELS"] == "reference" and not set(doctor.STEERING) & set(facts["variables"])
    assert set(facts["rates"]) == {"as set"} and all(rate > 0 for rate in facts["rates"]["as set"].values())
    assert any("NUMLP_KERNELS=reference is set" in text or "Numba cannot be used" in text for text in facts["advice"])
    for library in facts["blas"]:
        assert set(library) == {"name", "version", "architecture", "threads", "path"}


def test_doctor_measures_and_names_each_variable_that_chooses_kernels(tmp_path: Path) -> None:
    variables = {"OPENBLAS_CORETYPE": "Prescott", "OPENBLAS_L2_SIZE": "512"}  # kernels that every x86-64 can run
    facts = json.loads(run("--json", cwd=tmp_path, NUMLP_KERNELS="reference", **variables))
    assert set(facts["rates"]) == {"as set", "unset", "steering unset", *variables}
    said = [*facts["advice"], *facts["notes"]]
    for name, value in variables.items():
        assert facts["variables"][name] == value
        assert any(text.startswith(f"{name}={value} is set") for text in said)


def test_doctor_prints_lines_for_people(tmp_path: Path) -> None:
    lines = run(cwd=tmp_path, NUMLP_KERNELS="reference", OPENBLAS_L2_SIZE="512").splitlines()
    words = [line.split()[0] for line in lines]
    assert {"versions", "CPU", "usable", "kernels", "Numba", "rate", "variable", "to"} <= set(words)
    assert "variable    OPENBLAS_L2_SIZE=512" in lines


def test_doctor_says_what_is_wrong_with_the_choice_of_kernels(tmp_path: Path) -> None:
    out = run(cwd=tmp_path, NUMLP_KERNELS="fsued")
    assert "kernels     none: NUMLP_KERNELS must be auto, reference, fused, got 'fsued'" in out


def facts(**changes: Any) -> dict[str, Any]:
    """Return what would be found on a machine with 8 CPUs where there is nothing to do."""
    return {
        "versions": {"numlp": "1", "Python": "3.11", "NumPy": "2", "SciPy": "1", "Numba": "0.61"},
        "cpu": {"model": "A CPU", "instructions": ["AVX2"], "usable": 8, "limits": {"affinity": 8}},
        "blas": [{"name": "OpenBLAS", "version": "0.3", "architecture": "Zen", "threads": 8, "path": "libopenblas.so"}],
        "kernels": {"table": "fused", "reason": "Numba compiles them here"},
        "numba": {"version": "0.61", "problem": None, "threading_layer": "omp", "cache": "here", "cache_writable": True},
        "variables": {},
        "rates": {"as set": {"one": 100.0, "all": 700.0}},
    } | changes


def rates(**one: float) -> dict[str, dict[str, float]]:
    return {
        name.replace("_unset", " unset").replace("as_", "as "): {"one": rate, "all": 7 * rate} for name, rate in one.items()
    }


def limited(usable: int, **limits: float) -> dict[str, Any]:
    names = {name.replace("cgroup_", "cgroup "): value for name, value in limits.items()}
    return {"model": "A CPU", "instructions": [], "usable": usable, "limits": {"affinity": 8} | names}


SLOW = {"OPENBLAS_CORETYPE": "Haswell"}
NO_NUMBA = {"version": None, "problem": "ImportError: no", "threading_layer": None, "cache": None, "cache_writable": False}
ADVICE: dict[str, tuple[dict[str, Any], str]] = {
    "slow kernels": (
        {"variables": SLOW, "rates": rates(as_set=100, unset=200, steering_unset=200, OPENBLAS_CORETYPE=100)},
        "OPENBLAS_CORETYPE=Haswell is set and makes products 2.0 times slower (100 GFLOP/s with it, 200 without, one "
        "thread): unset OPENBLAS_CORETYPE",
    ),
    "slow together only": (
        {
            "variables": SLOW | {"OPENBLAS_L2_SIZE": "1"},
            "rates": rates(as_set=50, unset=100, steering_unset=100, OPENBLAS_CORETYPE=95, OPENBLAS_L2_SIZE=95),
        },
        "OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE together make products 2.0 times slower: unset them",
    ),
    "idle CPUs": (
        {"cpu": limited(2, OMP_NUM_THREADS=2), "variables": {"OMP_NUM_THREADS": "2"}, "rates": rates(as_set=99, unset=100)},
        "numlp uses 2 of 8 CPUs because of OMP_NUM_THREADS=2 (products: 100 GFLOP/s with one thread, 700 with all): unset "
        "that, unless other programs need those CPUs",
    ),
    "no BLAS": (
        {"blas": []},
        "NumPy has no BLAS that could be found: install NumPy's wheel, pip install --force-reinstall numpy",
    ),
    "no Numba": (
        {"numba": NO_NUMBA, "kernels": {"table": "reference", "reason": "no"}},
        "Numba cannot be used (ImportError: no), so there are no fused kernels: pip install numba",
    ),
    "reference chosen": (
        {
            "variables": {"NUMLP_KERNELS": "reference"},
            "kernels": {"table": "reference", "reason": "NUMLP_KERNELS=reference"},
        },
        "NUMLP_KERNELS=reference is set, and the plain kernels are slower than the fused ones: unset it",
    ),
    "fused impossible": (
        {"kernels": {"table": "none", "reason": "it failed"}, "variables": {"NUMLP_KERNELS": "fused"}},
        "no network can be built (it failed): unset NUMLP_KERNELS",
    ),
    "not compiled": (
        {"kernels": {"table": "reference", "reason": "it failed"}, "variables": {"NUMBA_DISABLE_JIT": "1"}},
        "NUMBA_DISABLE_JIT=1 is set, so nothing is compiled: unset it",
    ),
    "fused fails": (
        {"kernels": {"table": "reference", "reason": "it failed"}},
        "the fused kernels do not work here (it failed): pip install --upgrade numba numpy",
    ),
    "cache": (
        {"numba": facts()["numba"] | {"cache_writable": False}},
        "here is not writable, so every process compiles its kernels again, some seconds: set NUMBA_CACHE_DIR to a folder "
        "that is",
    ),
}


@pytest.mark.parametrize("case", ADVICE)
def test_advice_says_what_to_do_and_what_was_measured(case: str) -> None:
    changes, text = ADVICE[case]
    assert doctor.advise(facts(**changes))[0] == [text]


NOTES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "all well": ({}, []),
    "costs nothing": (
        {"variables": SLOW, "rates": rates(as_set=100, unset=110, steering_unset=110, OPENBLAS_CORETYPE=100)},
        ["OPENBLAS_CORETYPE=Haswell is set; it costs nothing here (100 GFLOP/s with it, 110 without, one thread)"],
    ),
    "not measured": (
        {"variables": SLOW, "rates": {}},
        ["OPENBLAS_CORETYPE=Haswell is set; what it costs could not be measured"],
    ),
    "quota": ({"cpu": limited(1, cgroup_quota=1.5)}, ["the container may use 1.5 of 8 CPUs"]),
    "quota above": ({"cpu": limited(8, cgroup_quota=16)}, []),
    "one CPU": ({"cpu": limited(1, affinity=1, OMP_NUM_THREADS=1)}, []),
    "busy": (
        {"rates": {"as set": {"one": 100.0, "all": 30.0}}},
        ["all CPUs are slower than one (products: 100 GFLOP/s with one thread, 30 with all): other programs keep them busy"],
    ),
}


@pytest.mark.parametrize("case", NOTES)
def test_what_costs_nothing_is_a_note(case: str) -> None:
    changes, notes = NOTES[case]
    assert doctor.advise(facts(**changes)) == ([], notes)


def test_first_advice_is_on_kernels() -> None:
    changes: dict[str, Any] = {"blas": [], "kernels": {"table": "reference", "reason": "it failed"}} | ADVICE[
        "slow kernels"
    ][0]
    assert doctor.advise(facts(**changes))[0][0].startswith("OPENBLAS_CORETYPE=")


def test_lines_show_what_is_missing() -> None:
    library = {"name": "Accelerate", "version": None, "architecture": None, "threads": None, "path": None}
    found = facts(blas=[library], numba=NO_NUMBA, rates={}, advice=[], notes=["a note"])
    lines = doctor._lines(found)
    assert "Numba       ImportError: no" in lines and "rate        could not be measured" in lines
    assert "note        a note" in lines and lines[-1] == "to do       nothing to do"
    assert any(line.startswith("BLAS        Accelerate") and "unknown kernels" in line for line in lines)


@pytest.mark.parametrize(
    ("text", "model", "instructions"),
    [
        ("processor\t: 0\nmodel name\t: A CPU\nflags\t\t: fpu avx2 fma avx512f\n\n", "A CPU", ["AVX2", "FMA", "AVX-512"]),
        ("processor\t: 0\nFeatures\t: fp asimd sve\n", None, ["NEON", "SVE"]),
        ("", None, []),
    ],
)
def test_cpu_is_read_from_what_linux_says(text: str, model: str | None, instructions: list[str], tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    cpu = doctor._cpu(tmp_path / "cpuinfo")
    assert cpu["instructions"] == instructions and (model is None or cpu["model"] == model)


def test_cpu_is_known_to_numpy_elsewhere(tmp_path: Path) -> None:
    cpu = doctor._cpu(tmp_path / "nothing")
    assert cpu["model"] and isinstance(cpu["instructions"], list)


def test_each_environment_is_measured_once_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def pretend(environ: Mapping[str, str]) -> list[doctor.Rate]:
        seen.append(environ)
        return [doctor.Rate(float(len(seen)), 1.0)]

    monkeypatch.setattr(doctor, "_measure_process", pretend)
    assert doctor.measure({"HOME": "h"}) == {"as set": (2.0, 1.0)}
    seen.clear()
    found = doctor.measure({"HOME": "h", "OPENBLAS_CORETYPE": "Zen"}, rounds=1)
    assert seen == [{"HOME": "h", "OPENBLAS_CORETYPE": "Zen"}, {"HOME": "h"}]
    assert found["as set"] == found["OPENBLAS_CORETYPE"] and found["unset"] == found["steering unset"]


def test_process_that_fails_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_MEASURE", "raise SystemExit(1)")
    assert doctor.measure(os.environ) == {}
    monkeypatch.setattr(doctor, "_MEASURE", "print('nothing')")
    assert doctor.measure(os.environ) == {}


def test_numba_that_cannot_be_imported_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    assert doctor._numba()["problem"].startswith("ModuleNotFoundError: import of numba halted")


def test_kernels_that_cannot_be_loaded_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise ImportError("not here")

    monkeypatch.setattr(kernels, "choose", refuse)
    assert doctor.kernels_in_use() == ("none", "not here")


def test_folder_that_is_not_there_yet_is_as_writable_as_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._is_writable(tmp_path / "new" / "newer")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert not doctor._is_writable(tmp_path)
