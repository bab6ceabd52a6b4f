"""`scripts/mutants` breaks numlp and is noticed: a representative part of it, and the script itself."""

import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest

import numlp as nl
from numlp import kernels
from numlp.kernels import reference
from sizes import exhaustive

SCRIPT = Path(__file__).parent.parent / "scripts" / "mutants"


@pytest.fixture(scope="module")
def mutants() -> Any:
    loader = SourceFileLoader("mutants", str(SCRIPT))
    spec = spec_from_loader("mutants", loader)
    assert spec is not None
    module = module_from_spec(spec)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


@exhaustive
def test_no_mutant_of_a_representative_part_survives() -> None:
    words = (
        "activation",
        "SquaredError",
        "BatchNorm",
        "Softmax()",
        "batch_norm",
        "mean_loss",
        "Loss.__call__",
        "Dense.",
        "adam",
    )
    process = subprocess.run([sys.executable, SCRIPT, "--quiet", *words], capture_output=True, text=True, timeout=200)
    assert process.returncode == 0, process.stdout + process.stderr
    assert process.stdout.endswith(" mutants, 0 survivors\n")
    assert int(process.stdout.split()[-4]) >= 60


def test_a_mutant_nobody_notices_survives(
    mutants: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mutants, "CHECKS", dict.fromkeys(mutants.PROOFS, lambda variant: None))
    monkeypatch.setattr(sys, "argv", ["mutants", "SquaredError(): dy"])
    assert mutants.main() == 1
    out = capsys.readouterr().out
    assert out.count("SURVIVES") == 3
    assert out.endswith("3 mutants, 3 survivors\n")


def test_every_kind_of_mutant_is_there_and_leaves_no_trace(mutants: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "mean_loss", reference.mean_loss)  # other tests may have chosen its fused twin
    names = []
    for mutant in mutants.source_mutants():
        if "sigmoid_backward" in mutant.name or "reference.py mean_loss" in mutant.name:
            names.append(mutant.name)
            with mutant.patch():
                assert mutants.caught_by(mutant.variants)
        if len(names) >= 4:
            break
    assert any("sign flipped" in name for name in names) and any("batch size dropped" in name for name in names)
    assert nl.check_gradients(nl.Dense(4, 3, "sigmoid")) < 1e-6
    assert nl.check_gradients(nl.SquaredError()) < 1e-6
