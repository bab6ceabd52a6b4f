"""Lets OpenBLAS use the AVX-512 kernels it has, where it would not choose them by itself.

The OpenBLAS inside NumPy's wheels picks AVX2 kernels on AMD processors that have AVX-512, and then
multiplies matrices at about half the speed (docs/results.md). The choice is made once, when NumPy is
loaded, from the environment variable OPENBLAS_CORETYPE; so this module runs before NumPy is imported and
imports nothing but the standard library.

A value the user has set stays. NUMLP_BLAS=off turns this off. A program that imported NumPy first
keeps what it has.
"""

import os
import sys
from pathlib import Path

# what OpenBLAS's SkylakeX kernels are compiled for
_NEEDED = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}


def better_coretype(cpuinfo: str) -> str | None:
    """Return the OPENBLAS_CORETYPE that serves this processor better than OpenBLAS's own choice, or None.

    `cpuinfo` is the text of /proc/cpuinfo. Only AMD with AVX-512 is known to be chosen wrongly.
    """
    fields: dict[str, str] = {}
    for line in cpuinfo.split("\n\n")[0].splitlines():  # the first processor
        name, _, value = line.partition(":")
        fields[name.strip()] = value.strip()
    if fields.get("vendor_id") == "AuthenticAMD" and set(fields.get("flags", "").split()) >= _NEEDED:
        return "SkylakeX"
    return None


def choose_kernels() -> None:
    """Set OPENBLAS_CORETYPE where that helps and nobody has decided otherwise."""
    if "numpy" in sys.modules or "OPENBLAS_CORETYPE" in os.environ or os.environ.get("NUMLP_BLAS") == "off":
        return
    try:
        coretype = better_coretype(Path("/proc/cpuinfo").read_text())
    except OSError:  # not Linux: nothing known, nothing done
        return
    if coretype:
        os.environ["OPENBLAS_CORETYPE"] = coretype


choose_kernels()
