import os
import subprocess
import sys

import pytest

from numlp.blas import better_coretype

AVX512 = "avx512f avx512bw avx512cd avx512dq avx512vl"


def cpuinfo(vendor: str, flags: str) -> str:
    one = f"processor\t: 0\nvendor_id\t: {vendor}\nmodel name\t: X: Y\nflags\t\t: fpu {flags} sse\n"
    return f"{one}\n{one.replace(': 0', ': 1')}"


@pytest.mark.parametrize(
    ("vendor", "flags", "coretype"),
    [
        ("AuthenticAMD", AVX512, "SkylakeX"),
        ("AuthenticAMD", "avx2", None),
        ("AuthenticAMD", AVX512.replace("avx512dq ", ""), None),
        ("GenuineIntel", AVX512, None),
    ],
)
def test_coretype_is_chosen_only_for_amd_with_avx512(vendor: str, flags: str, coretype: str | None) -> None:
    assert better_coretype(cpuinfo(vendor, flags)) == coretype


@pytest.mark.parametrize("text", ["", "garbage", "flags\n\n:::"])
def test_strange_cpuinfo_decides_nothing(text: str) -> None:
    assert better_coretype(text) is None


def chosen(code: str, **variables: str) -> str:
    """Return OPENBLAS_CORETYPE after running `code` in a process of its own that has an AMD processor with AVX-512."""
    lie = (
        "import pathlib; real = pathlib.Path.read_text\n"
        f"text = {cpuinfo('AuthenticAMD', AVX512)!r}\n"
        "pathlib.Path.read_text = lambda p, *a, **k: text if str(p) == '/proc/cpuinfo' else real(p, *a, **k)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("OPENBLAS_CORETYPE", "NUMLP_BLAS")}
    show = "\nimport os; print(os.environ.get('OPENBLAS_CORETYPE'))"
    process = subprocess.run(
        [sys.executable, "-c", lie + code + show], env=environment | variables, capture_output=True, text=True, check=True
    )
    return process.stdout.strip()


def test_choice_is_made_before_numpy_is_loaded() -> None:
    assert chosen("import numlp.blas") == "SkylakeX"


def test_setting_of_the_user_stays() -> None:
    assert chosen("import numlp.blas", OPENBLAS_CORETYPE="Haswell") == "Haswell"
    assert chosen("import numlp.blas", NUMLP_BLAS="off") == "None"


def test_choice_comes_too_late_after_numpy_and_is_not_made() -> None:
    assert chosen("import numpy, numlp.blas") == "None"


def test_system_without_proc_decides_nothing() -> None:
    code = "def gone(*a, **k): raise FileNotFoundError(2, 'no')\npathlib.Path.read_text = gone\nimport numlp.blas"
    assert chosen(code) == "None"
