"""Trainings that are killed, crash and get signals, in processes; sizes by NUMLP_TORTURE."""

import json
import os
import pickle
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from torture.size import SIZE

HERE = Path(__file__).parent
SCRIPT = HERE / "children.py"


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-W", "error", str(SCRIPT), *map(str, arguments)]


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE.parent), *sys.path])} | more


def children(*arguments: object) -> Any:
    """Run what forks, and return what it prints."""
    process = subprocess.run(
        command(*arguments), capture_output=True, text=True,
        env=environment(NUMLP_KERNELS="reference", OPENBLAS_NUM_THREADS="1"),
    )  # fmt: skip
    assert process.returncode == 0, process.stdout[-1000:] + process.stderr[-3000:]
    return json.loads(process.stdout)


def test_killed_trainings_go_on_to_the_same_bytes(memory_folder: Path) -> None:
    found = children("kills", SIZE.kills, memory_folder)
    assert found["kills"] >= SIZE.kills
    assert 3 * found["inside"] >= found["kills"] and found["inside"] < found["kills"]
    assert 5 * found["several"] >= found["runs"]


def test_crash_after_each_call_of_a_save_leaves_the_old_or_the_new_checkpoint(memory_folder: Path) -> None:
    found = children("crashes", memory_folder)
    assert found["crashes"] > 100 and found["old"] > 30 and found["new"] > 30


def test_signals_leave_a_checkpoint_and_the_right_status(memory_folder: Path) -> None:
    found = children("signals", SIZE.signals, memory_folder)
    assert found["signals"] == SIZE.signals and found["at once"] > 0


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_killed_process_with_the_kernels_of_everyday_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    def start(folder: str, result: str, seed: int = 0) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command("train", "everything", seed, tmp_path / folder, tmp_path / result), env=environment()
        )

    straight = start("straight", "expected")
    rng = random.Random(11)
    for number in range(SIZE.fresh):
        process = start(str(number), f"end {number}")
        wait_for(tmp_path / str(number) / "checkpoint-00000000.safetensors")
        time.sleep(rng.uniform(0, 0.4))  # of a second
        process.kill()
        assert process.wait() == -9
        assert not (tmp_path / f"end {number}").exists()
        assert start(str(number), f"end {number}", seed=5).wait() == 0
    assert straight.wait() == 0
    expected = pickle.loads((tmp_path / "expected").read_bytes())
    for number in range(SIZE.fresh):
        assert pickle.loads((tmp_path / f"end {number}").read_bytes()) == expected


def wait_for(path: Path) -> None:
    until = time.monotonic() + 300  # kernels may have to be compiled
    while not path.exists():
        assert time.monotonic() < until, f"{path} is not written"
        time.sleep(0.005)
