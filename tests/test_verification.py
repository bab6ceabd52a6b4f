"""`numlp verify`: every part on the user's machine, or a part of the user's own."""

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from typer.testing import CliRunner

import cases
import commands
import numlp as nl
from numlp import kernels, metrics, verification
from numlp.activations import ACTIVATIONS
from numlp.cli import app
from numlp.config import to_config
from numlp.errors import ArgumentError, DTypeError
from numlp.initializers import INITIALIZERS
from numlp.layers import LAYERS
from numlp.losses import LOSSES
from numlp.optimizers import OPTIMIZERS
from numlp.schedules import SCHEDULES

REGISTRIES = {
    "layers": LAYERS,
    "losses": LOSSES,
    "optimizers": OPTIMIZERS,
    "schedules": SCHEDULES,
    "initializers": INITIALIZERS,
    "metrics": dict.fromkeys(metrics.__all__),
}
OWN = """
import numlp as nl

class Good(nl.Dense):
    def __init__(self):
        super().__init__(4, 3, "tanh")

class Wrong(Good):
    def backward(self, dy):
        dx = super().backward(dy)
        self.dW[1, 2] += 0.5
        return dx

class Silent(nl.Layer):
    n_in = n_out = 3
    def forward(self, x, training=False):
        return x
    def backward(self, dy):
        return None

class Broken(Silent):
    def forward(self, x, training=False):
        return undefined

class Loss(nl.SquaredError):
    def __call__(self, y, target):
        value, dy = super().__call__(y, target)
        return value, -dy

def make_wide():
    return nl.Dense(7, 9)

def make_trouble():
    raise OSError("no such luck")

ready = nl.LayerNorm(3) if hasattr(nl, "LayerNorm") else nl.BatchNorm(3)
number = 3
"""


def verify(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run numlp verify, which imports from the current folder."""
    with patch.object(sys, "path", [*sys.path]):
        process = commands.numlp("verify", *arguments, cwd=cwd)
    sys.modules.pop("mylayers", None)
    return process


@functools.cache
def parts_as_they_are() -> list[verification.PartReport]:
    return verification.verify_parts()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "mylayers.py").write_text(OWN)
    return tmp_path


@pytest.mark.parametrize("group", REGISTRIES)
def test_stored_cases_are_the_registry(group: str) -> None:
    stored = {config["type"] for _, config, _ in verification.cases(group)}
    assert stored == set(REGISTRIES[group]), "run tests/oracle/make.py"


def test_every_layer_with_an_activation_is_stored_with_every_activation() -> None:
    found: dict[str, set[str]] = {}
    for _, config, _ in verification.cases("layers"):
        if "activation" in config:
            found.setdefault(config["type"], set()).add(config["activation"])
    assert found["Dense"] == found["Activation"] == set(ACTIVATIONS)


def test_stored_configs_are_those_of_the_cases() -> None:
    variants = {
        "losses": {str(v): to_config(v.build()) for v in cases.LOSS_VARIANTS},
        "layers": {str(v): to_config(v.layer(4, 3)) for v in cases.LAYER_VARIANTS},
        "optimizers": {str(v): to_config(v.build(0.1)) for v in cases.OPTIMIZER_VARIANTS},
        "schedules": {str(v): to_config(v.build()) for v in cases.SCHEDULE_VARIANTS},
    }
    for group, expected in variants.items():
        stored = {key: config for key, config, _ in verification.cases(group)}
        assert {key: stored.get(key) for key in expected} == json.loads(json.dumps(expected)), "run tests/oracle/make.py"


def test_every_part_passes() -> None:
    reports = parts_as_they_are()
    assert [failure for report in reports for failure in report.failures] == []
    for report in reports:
        numbers = report.pytorch + report.formula
        assert report.gradients if report.kind in ("layers", "losses") else numbers, report.part
        assert report.largest_error < (1e-6 if report.kind != "initializers" else 0.03), report.part


def test_a_broken_part_fails_alone_and_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def negative(dy: Any, y: Any, out: Any) -> None:
        np.multiply(dy, y * y - 1, out=out)

    monkeypatch.setitem(ACTIVATIONS, "tanh", ACTIVATIONS["tanh"]._replace(backward=negative))
    failed = {report.part: report.failures for report in verification.verify_parts() if report.failures}
    assert failed and all(part.endswith(" tanh") or part in ("Residual", "Average") for part in failed)
    text = "\n".join(failed["Activation tanh"])
    assert "Activation(activation=tanh): check_gradients: Activation(4, tanh): dx[" in text
    assert "Activation(activation=tanh)/5x4x3: dx must differ from what is stored by at most 1e-09, got" in text


def test_a_part_that_raises_fails_and_the_others_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any) -> None:
        raise RuntimeError("broken")

    whole = len(parts_as_they_are())
    monkeypatch.setattr(kernels, "squared_error", broken)
    reports = {report.part: report for report in verification.verify_parts()}
    assert len(reports) == whole
    assert reports["SquaredError"].failures[0] == "SquaredError(): RuntimeError: broken"
    assert reports["SquaredError"].as_json()["largest_error"] is None
    assert not reports["CrossEntropy"].failures


def test_a_wrong_constant_that_gradients_cannot_see_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = SCHEDULES["Cosine"]
    original = kind.__call__
    monkeypatch.setattr(kind, "__call__", lambda self, step, total: original(self, step, total) * (1 + 1e-6))
    failed = {report.part for report in verification.verify_parts() if report.failures}
    assert "Cosine" in failed and "Constant" not in failed


def test_command_prints_a_line_a_part_and_a_summary(tmp_path: Path) -> None:
    process = verify(cwd=tmp_path)
    assert (process.returncode, process.stderr) == (0, "")
    header, *lines, summary = process.stdout.splitlines()
    assert header.split() == ["gradients", "PyTorch", "formula", "largest", "error"]
    assert all(line.endswith("  ok") for line in lines)
    assert any(line.startswith("layers        Dense relu ") for line in lines)
    assert summary.startswith(f"{len(lines)} parts, ") and " checks, all ok (NumPy " in summary


def test_command_prints_json(tmp_path: Path) -> None:
    process = verify("--json", cwd=tmp_path)
    found = json.loads(process.stdout)
    assert process.returncode == 0 and found["ok"]
    assert {"kind", "part", "gradients", "pytorch", "formula", "largest_error", "failures", "ok"} == set(found["parts"][0])


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("Good", "mylayers:Good  Good(4 -> 3, tanh): every gradient agrees with central differences, largest error "),
        ("make_wide", "mylayers:make_wide  Dense(7 -> 9): every gradient agrees with central differences, largest error "),
        ("ready", "mylayers:ready  "),
    ],
)
def test_own_part_passes(own: Path, name: str, start: str) -> None:
    process = verify(f"mylayers:{name}", cwd=own)
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout.startswith(start) and process.stdout.endswith("  ok\n")


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("Wrong", "check_gradients: Wrong(4 -> 3, tanh): dW[1, 2] must be "),
        ("Silent", "check_gradients: Silent(3).backward: dx must have shape (5, 3), got None"),
        ("Broken", "Broken(3) raised NameError: name 'undefined' is not defined (mylayers.py, line 23)"),
        ("Loss", "check_gradients: Loss: dy["),
    ],
)
def test_own_part_fails_with_what_is_wrong(own: Path, name: str, start: str) -> None:
    process = verify(f"mylayers:{name}", cwd=own)
    assert (process.returncode, process.stderr) == (1, "")
    first, second, third = process.stdout.splitlines()
    assert first == f"mylayers:{name}  FAILED"
    assert second.startswith(start) and third.startswith("checked: ")
    found = json.loads(verify(f"mylayers:{name}", "--json", cwd=own).stdout)
    assert (found["ok"], found["largest_error"], found["failure"]) == (False, None, second)


MISTAKES = {
    "mylayers": (ArgumentError, "verify: part must be module:name, such as mylayers:Scale, got 'mylayers'"),
    "nowhere:A": (
        ArgumentError,
        "verify: module must be one that Python can import from this folder, got 'nowhere': "
        "ModuleNotFoundError: No module named 'nowhere'",
    ),
    "numlp.layers:Dense": (
        ArgumentError,
        "verify: Dense must need no arguments, got n_in, n_out; write a function that gives one, "
        "such as: def make(): return Dense(...)",
    ),
    "numlp.layers:Softmaxx": (ArgumentError, "; did you mean 'Softmax'?"),
    "math:pi": (DTypeError, "verify: pi must be or give a layer or a loss, got 3.141592653589793"),
    "numlp:Adam": (DTypeError, "verify: Adam must be or give a layer or a loss, got "),
    "time:monotonic": (DTypeError, "verify: monotonic must be or give a layer or a loss, got "),
    "mylayers:make_trouble": (
        ArgumentError,
        "verify: make_trouble() must give a layer or a loss, got OSError: no such luck",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_own_part_that_cannot_be_found_says_why(name: str, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(own))
    kind, text = MISTAKES[name]
    with pytest.raises(kind) as caught:
        verification.find_part(name)
    assert text in str(caught.value)
    sys.modules.pop("mylayers", None)


def test_command_exits_with_two_for_a_part_that_is_not_there(own: Path) -> None:
    process = verify("mylayers:Goood", cwd=own)
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.startswith("numlp: verify: name in mylayers must be one of ")
    assert process.stderr.endswith("got 'Goood'; did you mean 'Good'?\n")


def test_check_gradients_wants_the_right_shape_of_y() -> None:
    class Narrow(nl.Softmax):
        def forward(self, x: Any, training: bool = False) -> Any:
            return super().forward(x, training)[:, :2]

    with pytest.raises(ValueError) as caught:
        nl.check_gradients(Narrow(4))
    assert str(caught.value) == "Narrow(4).forward: y must have shape (5, 4), got (5, 2)"


def test_function_without_a_signature_is_called_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "compiled.py").write_text("make = dict.fromkeys\nclass_of = type\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        ArgumentError, match=r"^verify: (class_of\(\) must give a layer or a loss, got TypeError|class_of must need)"
    ):
        verification.find_part("compiled:class_of")


def test_stored_array_of_another_shape_is_a_difference() -> None:
    with pytest.raises(ValueError, match=r"^y must have shape \(2,\), got \(3,\)$"):
        verification._differences({"y": np.zeros(3)}, {"y": np.zeros(2)})


def test_name_that_is_no_part_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "numbers_only.py").write_text("three = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DTypeError, match=r"^verify: three must be or give a layer or a loss, got 3; or an object with "):
        verification.find_part("numbers_only:three")


@pytest.mark.parametrize("name", ["make", "Own", "ready"])
def test_factory_class_and_instance_give_their_part(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "import numlp as nl\n\nmake = lambda: nl.Dense(3, 2)\nready = nl.Scale(3)\nclass Own(nl.SquaredError): ...\n"
    (tmp_path / "three_ways.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    assert nl.check_gradients(*verification.find_part(f"three_ways:{name}")) < 1e-6


PLAIN = """
import numpy as np
import numlp as nl

class Full:
    factor = 1
    def forward(self, X, W):
        self.mem = X, W
        return X @ W
    def backward(self, g):
        X, W = self.mem
        return g @ W.T, self.factor * X.T @ g

class Twice(Full):
    factor = 2

class Loss:
    def forward(self, logits, labels):
        self.p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        self.labels = labels
        return -np.log(self.p[np.arange(len(labels)), labels]).sum()
    def backward(self):
        return self.p - np.eye(self.p.shape[1])[self.labels]

class Log:
    def forward(self, x):
        self.x = x
        return np.log(x)
    def backward(self, dy):
        return dy / self.x

class Dense:
    def __init__(self):
        self.W, self.b = np.ones((7, 2)), np.zeros(2)
    def forward(self, x):
        self.x = x
        return x @ self.W + self.b
    def backward(self, dy):
        self.dW, self.db = self.x.T @ dy, dy.sum(axis=0)
        return dy @ self.W.T

class Own(nl.Layer, Dense):
    n_in, n_out = 7, 2
    __init__ = Dense.__init__
    def forward(self, x, training=False):
        return Dense.forward(self, x)
    backward = Dense.backward

class Four(Full):
    def forward(self, a, b, c, d):
        return a

def check_full():
    return Full(), [np.ones((2, 3)), np.ones((3, 2))]

def pair():
    return np.square, lambda dy: 6 * dy, [np.full(2, 3.0)]

def forward(x, w, b):
    return x @ w + b, (x, w)

def backward(dout, cache):
    x, w = cache
    return dout @ w.T, x.T @ dout, dout.sum(axis=0)

affine = forward, backward

def four():
    return Four().forward, backward
"""


@pytest.mark.parametrize(
    ("name", "status", "checked", "not_checked"),
    [
        ("Full", 0, {"dX": True, "dW": True}, []),
        ("Twice", 1, {"dX": True, "dW": False}, []),
        ("Loss", 0, {"dlogits": True}, []),
        ("Log", 0, {"dx": True}, []),
        ("Dense", 0, {"dx": True, "dW": True, "db": True}, []),
        ("Own", 1, {"dx": True}, ["W", "b"]),
        ("check_full", 0, {"dX": True, "dW": True}, []),
        ("pair", 0, None, []),
        ("affine", 0, {"dx": True, "dw": True, "db": True}, []),
    ],
)
def test_plain_class_is_verified_and_json_has_always_the_same_keys(
    name: str, status: int, checked: dict[str, bool], not_checked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plain_parts.py").write_text(PLAIN)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    result = CliRunner().invoke(app, ["verify", f"plain_parts:{name}", "--json"])
    found = json.loads(result.stdout)
    assert set(found) == {"ok", "part", "largest_error", "failure", "failures", "checked", "not_checked"}
    assert (result.exit_code, found["ok"], bool(found["failure"])) == (status, not status, bool(status))
    said = {key: value["ok"] for key, value in found["checked"].items()}
    assert said == checked or (checked is None and list(said.values()) == [True])
    assert found["not_checked"] == not_checked
    text = CliRunner().invoke(app, ["verify", f"plain_parts:{name}"]).stdout
    assert all(part in text for part in (*said, *not_checked)) and ("FAILED" in text) == bool(status)


def test_plain_class_of_unknown_inputs_says_what_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plain_parts.py").write_text(PLAIN)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(ArgumentError, match=r"Four\.forward\(a, b, c, d\) must be given.*: def check\(\): return Four"):
        verification.find_part("plain_parts:Four")
    with pytest.raises(ArgumentError, match=r" must be given.* return Four\.forward, its_backward, \[a, b"):
        verification.find_part("plain_parts:four")
