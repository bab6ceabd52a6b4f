"""Every part of numlp checked on this machine: gradients by central differences, numbers by what PyTorch computed.

The folder `oracle` holds what PyTorch computed for each part, with the inputs and, as JSON, the config of the part: the
files say by themselves what to build and what it must give. Where PyTorch has no such part, they hold what its formula
gives, written with loops. `tests/oracle/make.py` writes them.
"""

import importlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp import metrics
from numlp.config import from_config
from numlp.errors import ArgumentError, DTypeError, NumlpError, check_choice
from numlp.gradients import check_gradients
from numlp.initializers import INITIALIZERS
from numlp.layers import LAYERS, Layer
from numlp.losses import LOSSES, Loss
from numlp.network import Network
from numlp.optimizers import OPTIMIZERS
from numlp.plain_gradients import Passes, example_inputs, has_passes, input_names, passes_of
from numlp.schedules import SCHEDULES

Array = NDArray[Any]
Arrays = Mapping[str, Array]

ORACLE = Path(__file__).with_name("oracle")
TOLERANCE = {"gradients": 1e-6, "layers": 1e-9, "losses": 1e-9, "optimizers": 1e-8, "schedules": 1e-9, "metrics": 1e-12}
TOLERANCE["initializers"] = 0.03  # of the variance of 60,000 random weights: five standard deviations


@dataclass
class PartReport:
    """What was found about one part: how many comparisons, the largest error of any, and each failure's message."""

    kind: str
    part: str
    gradients: int
    pytorch: int
    formula: int
    largest_error: float
    failures: list[str]

    def as_json(self) -> dict[str, Any]:
        """Return the report in JSON's types; an error that is not finite becomes null."""
        error = self.largest_error if np.isfinite(self.largest_error) else None
        return asdict(self) | {"largest_error": error, "ok": not self.failures}


def verify_parts() -> list[PartReport]:
    """Check every layer with every activation, every loss, optimizer, schedule, initializer and metric; one report for each.

    Gradients are compared with central differences (tolerance 1e-6), everything else with PyTorch's float64 numbers
    (1e-9; 1e-8 after many steps of an optimizer), as |found - expected| / max(1, |expected|). A part that PyTorch does not
    have is compared with its formula, written with loops; initializers with the variance they promise (3 %).

    Errors  none for a part that fails: its report says so.
    """
    reports: dict[tuple[str, str], PartReport] = {}
    for group, compare in COMPARISONS.items():
        checked, loops = set(), cases_of_loops(group)
        for key, config, arrays in cases(group):
            label = part_label(config)
            report = reports.setdefault((group, label), PartReport(group, label, 0, 0, 0, 0.0, []))
            if group in ("layers", "losses") and (identity := json.dumps(config)) not in checked:
                checked.add(identity)
                report.gradients += 1
                _record(report, key, TOLERANCE["gradients"], partial(_gradient_error, config))
            if arrays:
                report.pytorch += key not in loops
                report.formula += key in loops
                _record(report, key, TOLERANCE[group], partial(compare, config, arrays))
    return list(reports.values())


def cases(group: str) -> Iterator[tuple[str, dict[str, Any], Arrays]]:
    """Yield (key, config of the part, stored arrays by name) for each case of a group; no arrays where PyTorch has none."""
    from safetensors import safe_open

    with safe_open(ORACLE / f"{group}.safetensors", "numpy") as file:
        configs = json.loads(file.metadata()["cases"])
        stored = {name: file.get_tensor(name) for name in file.keys()}
    shared = {name: array for name, array in stored.items() if "/" not in name}
    own: dict[str, dict[str, Array]] = {}
    for name, array in stored.items():
        key = name if name in configs else name.rpartition("/")[0]
        own.setdefault(key, {})["expected" if name in configs else name.rpartition("/")[2]] = array
    for key, config in configs.items():
        yield key, config, own[key] | shared if key in own else {}


def cases_of_loops(group: str) -> set[str]:
    """Return the cases of a group whose numbers are those of the formula, because PyTorch has none."""
    from safetensors import safe_open

    with safe_open(ORACLE / f"{group}.safetensors", "numpy") as file:
        return set(json.loads(file.metadata()["loops"]))


def part_label(config: Mapping[str, Any]) -> str:
    """Return the class of a part, and its activation where it has one."""
    return f"{config['type']} {config['activation']}" if "activation" in config else str(config["type"])


def build(config: dict[str, Any]) -> Any:
    """Return the part behind a config; the registries are asked at the time of the call."""
    return from_config(config, {**LAYERS, **LOSSES, **OPTIMIZERS, **SCHEDULES})


def find_part(name: str) -> tuple[Any, ...]:
    """Import `module:name` and return the arguments of `check_gradients` for it.

    It is a layer, a loss, an object with `forward` and `backward`, a tuple (object, inputs),
    (forward, backward) or (forward, backward, inputs), or a class or function that gives one of them without arguments.

    Errors  ArgumentError if there is no such module or name, or it needs arguments; DTypeError if it gives something else.
    """
    module_name, colon, attribute = name.partition(":")
    if not (colon and module_name and attribute):
        raise ArgumentError(f"verify: part must be module:name, such as mylayers:Scale, got {name!r}")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever the module does when it is imported
        raise ArgumentError(
            f"verify: module must be one that Python can import from this folder, got {module_name!r}: "
            f"{type(error).__name__}: {error}"
        ) from error
    names = [n for n in vars(module) if not n.startswith("_")]
    part = getattr(module, check_choice(attribute, names, "verify", f"name in {module_name}"))
    is_ready = isinstance(part, Layer | Loss) or (has_passes(part) and not isinstance(part, type))
    part = _call_without_arguments(part, attribute) if callable(part) and not is_ready else part
    if isinstance(part, Layer | Loss):
        return (part,)
    if isinstance(part, tuple) and len(part) in (2, 3) and callable(part[0]) and callable(part[1]):
        inputs = part[2] if len(part) == 3 else _inputs_of(passes_of(*part), f"{passes_of(*part).name}, its_backward")
        return part[0], part[1], inputs
    part, inputs = part if isinstance(part, tuple) and len(part) == 2 else (part, None)
    if not has_passes(part):
        raise DTypeError(
            f"verify: {attribute} must be or give a layer or a loss, got {part!r}; or an object with forward(x) and "
            "backward(dy), or a tuple (forward, backward, inputs)"
        )
    return part, None, _inputs_of(passes_of(part), f"{type(part).__name__}()") if inputs is None else inputs


def _inputs_of(passes: Passes, code: str) -> dict[str, Any]:
    """Return inputs that a forward pass takes; `code` is what gives it and its backward pass.

    Errors  ArgumentError if it takes none of those tried.
    """
    inputs = example_inputs(passes)
    if inputs is None:
        name, needs = getattr(passes.forward, "__qualname__", passes.name), ", ".join(input_names(passes.forward) or ["x"])
        raise ArgumentError(
            f"verify: inputs of {name}({needs}) must be given, got none; write "
            f"a function and verify that: def check(): return {code}, [{needs}]"
        )
    return inputs


def _call_without_arguments(make: Callable[..., Any], name: str) -> Any:
    try:
        parameters = list(inspect.signature(make).parameters.values())
    except ValueError:  # a function written in C may have none
        parameters = []
    required = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if required:
        needs = ", ".join(required)
        pair = "" if isinstance(make, type) else f"; or of a pair of functions: return {name}, its_backward, [{needs}]"
        raise ArgumentError(
            f"verify: {name} must need no arguments, got {needs}; write a function that gives one, "
            f"such as: def make(): return {name}(...){pair}"
        )
    try:
        return make()
    except Exception as error:
        raise ArgumentError(f"verify: {name}() must give a layer or a loss, got {type(error).__name__}: {error}") from error


def _gradient_error(config: dict[str, Any]) -> dict[str, float]:
    return {"gradients": +check_gradients(build(config), tolerance=TOLERANCE["gradients"])}


def _record(report: PartReport, key: str, tolerance: float, errors: Callable[[], dict[str, float]]) -> None:
    """Run one check and put its largest error, or what it raised, into the report."""
    try:
        found = errors()
    except Exception as error:  # whatever a broken part does, the others are still checked
        report.largest_error = np.inf
        text = str(error) if isinstance(error, NumlpError) else f"{type(error).__name__}: {error}"
        report.failures.append(f"{key}: {text}")
        return
    name = max(found, key=lambda name: found[name] if found[name] == found[name] else np.inf)
    worst = found[name] if found[name] == found[name] else np.inf
    report.largest_error = max(report.largest_error, worst)
    if not worst <= tolerance:
        report.failures.append(f"{key}: {name} must differ from what is stored by at most {tolerance:g}, got {worst:.3g}")


def _differences(found: Mapping[str, Any], expected: Arrays) -> dict[str, float]:
    """Return the largest |found - expected| / max(1, |expected|) of each array found."""
    errors = {}
    for name, array in found.items():
        known = expected[name]
        if np.shape(array) != known.shape:
            raise ValueError(f"{name} must have shape {known.shape}, got {np.shape(array)}")
        errors[name] = float(np.max(np.abs(array - known) / np.maximum(1, np.abs(known))))
    return errors


def _compare_layer(config: dict[str, Any], arrays: Arrays) -> dict[str, float]:
    """Compare outputs in both modes and, after training, the gradients and the state."""
    layer = build(config)
    network = Network([layer], 0, np.float64)
    for name, view in network.arena.values[0].items():
        view[...] = arrays[name]
    x = arrays["x"]
    layer.reserve(len(x), need_dx=True)
    found = {"y": layer.forward(x).copy()}
    if "y_training" in arrays:
        found["y_training"] = layer.forward(x, training=True).copy()
        found["dx"] = layer.backward(arrays["cotangent"].copy())
        found |= {f"d{name}": view for name, view in network.arena.gradients[0].items()}
        state = network.arena.values[0].keys() - network.arena.gradients[0].keys()
        found |= {f"new_{name}": network.arena.values[0][name] for name in state}
    return _differences(found, arrays)


def _compare_loss(config: dict[str, Any], arrays: Arrays) -> dict[str, float]:
    arguments = [arrays[name] for name in ("y", "target", "weight") if name in arrays]
    value, dy = build(config)(*arguments)
    return _differences({"value": np.array(value), "dy": dy}, arrays)


def _compare_optimizer(config: dict[str, Any], arrays: Arrays) -> dict[str, float]:
    """Parameters after as many steps as `steps` says."""
    optimizer, params, rows = build(config), arrays["params"].copy(), []
    n_weights = int(arrays["n_weights"])
    slices = {"layers.0.W": slice(0, n_weights), "layers.0.b": slice(n_weights, params.size)}
    optimizer.start(params, n_weights, len(arrays["grads"]), slices)
    for step, gradient in enumerate(arrays["grads"], start=1):
        optimizer.step(params, gradient.copy())
        if step in arrays["steps"]:
            rows.append(params.copy())
    return _differences({"expected": np.array(rows)}, arrays)


def _compare_schedule(config: dict[str, Any], arrays: Arrays) -> dict[str, float]:
    schedule, total = build(config), len(arrays["expected"])
    return _differences({"expected": np.array([schedule(t, total) for t in range(total)])}, arrays)


def _compare_initializer(config: dict[str, Any], arrays: Arrays) -> dict[str, float]:
    """Compare the variance of random weights, and their mean with zero."""
    expected = float(arrays["variance"])
    W = INITIALIZERS[config["type"]]((300, 200), np.random.default_rng(0), np.dtype(np.float64))
    if expected == 0:
        return {"variance": float(np.abs(W).max())}
    return {"variance": abs(float(W.var()) / expected - 1), "mean": abs(float(W.mean())) / expected**0.5}


def _compare_metric(config: dict[str, Any], arrays: Arrays) -> dict[str, float]:
    names = sorted(name for name in arrays if name != "value")
    arguments = [arrays[name] if arrays[name].ndim else arrays[name].item() for name in names]
    metric = getattr(metrics, check_choice(config["type"], metrics.__all__, "verify", "metric"))
    return _differences({"value": np.asarray(metric(*arguments))}, arrays)


COMPARISONS: dict[str, Callable[[dict[str, Any], Arrays], dict[str, float]]] = {
    "layers": _compare_layer,
    "losses": _compare_loss,
    "optimizers": _compare_optimizer,
    "schedules": _compare_schedule,
    "initializers": _compare_initializer,
    "metrics": _compare_metric,
}
