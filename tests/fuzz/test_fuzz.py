"""Mutants of every kind of file, bombs, and a proof that loaders run nothing; sizes by NUMLP_FUZZ."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fuzz.bombs import BOMBS
from fuzz.kinds import KINDS, MIB
from sizes import ALL

HERE = Path(__file__).parent
# NUMLP_FUZZ -> mutants of each kind, in the order of KINDS; `make fuzz` takes nightly, NUMLP_TESTS=all change
SIZES = {
    "quick": (1_000, 1_000, 1_000, 1_000, 200, 500, 200, 200, 200, 200),
    "change": (10_000, 10_000, 10_000, 10_000, 2_000, 5_000, 2_000, 2_000, 2_000, 2_000),
    "nightly": (1_000_000, 1_000_000, 1_000_000, 1_000_000, 200_000, 200_000, 200_000, 200_000, 100_000, 100_000),
    "release": (*[10_000_000] * 2, 40_000_000, 10_000_000, *[2_000_000] * 4, *[1_000_000] * 2),
}
# a second thread takes a buffer of its own the first time that it has something to multiply: after memory was limited, perhaps
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
COUNTS = dict(zip(KINDS, SIZES[os.environ.get("NUMLP_FUZZ", "change" if ALL else "quick")], strict=True))


def child(script: str, *arguments: str, timeout: float | None = None) -> Any:
    """Run a script of this folder and return the JSON objects it prints."""
    path = os.pathsep.join([str(HERE.parent), *sys.path])
    process = subprocess.run(
        [sys.executable, HERE / script, *arguments],
        capture_output=True, text=True, timeout=timeout, env=os.environ | ONE_THREAD | {"PYTHONPATH": path},
    )  # fmt: skip
    assert process.returncode == 0, process.stderr[-3000:]
    return [json.loads(line) for line in process.stdout.splitlines()]


@pytest.mark.parametrize("kind", KINDS)
def test_every_mutant_is_read_rightly_or_refused(kind: str) -> None:
    (found,) = child("run.py", kind, str(COUNTS[kind]))
    assert found["taken"] > COUNTS[kind] / 100 and found["refused"] > COUNTS[kind] / 10, found


@pytest.fixture(scope="module")
def exploded() -> dict[str, Any]:
    """Return what reading each bomb took."""
    return dict(zip(BOMBS, child("bombs.py", timeout=300), strict=True))


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_is_read_or_refused_within_what_it_declares(name: str, exploded: dict[str, Any]) -> None:
    found, bomb = exploded[name], BOMBS[name]
    assert bomb.error in found["error"] and bool(bomb.error) == bool(found["error"]), found
    assert found["grown"] <= bomb.declared + 32 * MIB, found
    assert found["seconds"] < 20, found  # 2 on a machine of one's own


def test_loaders_run_nothing_and_open_nothing_else() -> None:
    (found,) = child("audited.py", timeout=300)
    assert found["found"] == []
    # the hook sees what it should see
    seen = [event.split()[0] for event in found["control"]]
    assert seen == ["compile", "exec", "open", "os.system", "pickle.find_class"]
