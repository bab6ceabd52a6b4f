"""Writes what PyTorch 2.13 computes for the parts in `tests/cases.py`, as small float64 files in `src/numlp/oracle`.

    python tests/oracle/make.py             # write them
    python tests/oracle/make.py --check     # compute them again and compare with what is stored
    python tests/oracle/make.py losses      # either of them for the named files only

The interpreter needs torch, numpy and safetensors; numlp is taken from the source tree, for the shapes of parameters and
the configs only. The tests and `numlp verify` read the files with neither. Inputs are stored along, so a change of NumPy's
generators changes nothing. Tensors are named `<case>/<array>`, such as `Dense(activation=relu)/5x4x3/dx`; the metadata entry
`cases` is a JSON object from each case to the config of its part. What PyTorch does not have is stored as its loop-level
twin in `tests/naive.py` computes it; the metadata entry `loops` lists those cases.
"""

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[1] / "src" / "numlp" / "oracle"
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "src")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from safetensors import safe_open  # noqa: E402
from safetensors.numpy import load_file, save_file  # noqa: E402

import cases  # noqa: E402
from numlp.config import to_config  # noqa: E402

SHAPES = [(5, 4, 3), (1, 4, 3), (5, 1, 1)]  # rows, inputs, outputs
STEPS = (1, 10, 100)
N_WEIGHTS = 6  # of 9 parameters
Tensors = dict[str, Any]
CASES: dict[str, Any] = {}  # of the group at work: the config behind each case
LOOPS: list[str] = []  # of the group at work: the cases whose numbers are not PyTorch's


def tensor(array: Any, grad: bool = False) -> Any:
    """Return a copy of an array for PyTorch."""
    return torch.from_numpy(np.array(array)).requires_grad_(grad)


def array(value: Any) -> Any:
    """Return a C-contiguous copy for safetensors, which writes anything else wrongly."""
    return np.array(value.detach().numpy(), order="C")


def layers() -> Tensors:
    """Forward in both modes, state after training, and the gradients of sum(cotangent * y) in training."""
    out: Tensors = {}
    for variant in cases.LAYER_VARIANTS:
        CASES[str(variant)] = to_config(variant.layer(4, 3))
        for n, n_in, n_out in SHAPES if variant.case.oracle else ():
            key = f"{variant}/{n}x{n_in}x{n_out}"
            layer, x, values = cases.draw_layer(variant, n, n_in, n_out)
            CASES[key] = to_config(layer)
            cotangent = np.random.default_rng(variant.seed + 1).normal(size=(n, layer.n_out))
            stored = {"x": x, "cotangent": cotangent, **values}
            trained = {p.name for p in layer.parameters() if p.role != "state"}
            for training in (False, True):
                if training and n < variant.case.least_rows:
                    continue
                v = {name: tensor(value, grad=name in trained) for name, value in values.items()}
                x_ = tensor(x, grad=True)
                y = variant.case.oracle(torch, x_, v, training, **variant.options)
                stored["y_training" if training else "y"] = array(y)
                if training:
                    (y * tensor(cotangent)).sum().backward()
                    stored["dx"] = array(x_.grad)
                    stored |= {f"d{name}": array(v[name].grad) for name in trained}
                    stored |= {f"new_{name}": array(v[name]) for name in v.keys() - trained}
            out |= {f"{key}/{name}": value for name, value in stored.items()}
    return out


def losses() -> Tensors:
    """Value and gradient for each kind of target."""
    out: Tensors = {}
    for variant in cases.LOSS_VARIANTS:
        CASES[str(variant)] = to_config(variant.build())
        for kind in variant.case.targets:
            for n, _, n_out in SHAPES:
                y, target = cases.draw_loss(variant, kind, n, n_out)
                key = f"{variant} {kind}/{n}x{n_out}"
                CASES[key] = CASES[str(variant)]
                if variant.case.oracle is None:
                    LOOPS.append(key)
                    value, dy = variant.case.forward(y, target, **variant.options)
                    out |= {f"{key}/y": y, f"{key}/target": target, f"{key}/value": np.array(value), f"{key}/dy": dy}
                    continue
                y_ = tensor(y, grad=True)
                value = variant.case.oracle(torch, y_, tensor(target), **variant.options)
                value.backward()
                out |= {f"{key}/y": y, f"{key}/target": target, f"{key}/value": array(value), f"{key}/dy": array(y_.grad)}
    return out


def networks() -> Tensors:
    """Loss and gradients of Dense, a layer, Dense and a loss: each layer and dense activation with each loss."""
    out: Tensors = {}
    dense, softmax = cases.LAYER_CASES["Dense"].oracle, cases.LAYER_CASES["Softmax"].oracle
    firsts = {v.kind: v for v in reversed(cases.LOSS_VARIANTS)}
    widest = max(cases.loss_columns(loss, 3) for loss in firsts.values())
    for variant in cases.LAYER_VARIANTS:
        if variant.case.oracle is None or variant.case.first:
            continue
        if variant.kind.__name__ != "Dense" and "activation" in variant.options:
            continue
        layer, x, values = cases.draw_layer(variant, 5, 3, 3)
        rng = np.random.default_rng(variant.seed + 2)
        # a tenth in the last layer: losses with a logarithm of a rate take the exponential of its outputs
        sizes = ((3, 3, 1.0), (layer.n_out, widest, 0.1))
        around = [{"W": scale * rng.normal(size=(n, o)), "b": scale * rng.normal(size=o)} for n, o, scale in sizes]
        trained = {p.name for p in layer.parameters() if p.role != "state"}
        arrays = [around[0], {name: value for name, value in values.items() if name in trained}, around[1]]
        out[f"{variant}/x"] = x
        out |= {f"{variant}/{i}.{name}": value for i, group in enumerate(arrays) for name, value in group.items()}
        for loss in firsts.values():
            if loss.case.oracle is None:
                continue
            kind = loss.case.targets[0]
            target = cases.draw_loss(loss, kind, 5, 3)[1]
            n_out = cases.loss_columns(loss, 3)
            last = {name: value[..., :n_out] for name, value in around[1].items()}
            groups = [{name: tensor(value, grad=True) for name, value in group.items()} for group in [*arrays[:2], last]]
            state = {p.name: torch.full(p.shape, 1.0, dtype=torch.float64) for p in layer.parameters() if p.role == "state"}
            y = dense(torch, tensor(x), groups[0], True, activation="identity")
            y = variant.case.oracle(torch, y, groups[1] | state, True, **variant.options)
            y = dense(torch, y, groups[2], True, activation="identity")
            y = softmax(torch, y, {}, True) if loss.case.outputs == "probabilities" else y
            y = torch.log_softmax(y, dim=1) if loss.case.outputs == "log_probabilities" else y
            value = loss.case.oracle(torch, y, tensor(target), **loss.options)
            value.backward()
            key = f"{variant}/{loss}"
            out |= {f"{key}/target": target, f"{key}/value": array(value)}
            flat = [array(value.grad).ravel() for group in groups for value in group.values()]
            out[f"{key}/grads"] = np.concatenate(flat)
    return out


def optimizers() -> Tensors:
    """Parameters after 1, 10 and 100 steps with stored gradients, for a fixed rate and for each schedule."""
    rng = np.random.default_rng(1)
    params, grads = rng.normal(size=9), rng.normal(size=(STEPS[-1], 9))
    out: Tensors = {"params": params, "grads": grads, "steps": np.array(STEPS), "n_weights": np.array(N_WEIGHTS)}
    for variant, schedule in cases.OPTIMIZER_RUNS:
        CASES[str(variant)] = to_config(variant.build(0.1))
        key = f"{variant}/{schedule}"
        CASES[key] = to_config(variant.build(schedule.build()))
        if variant.case.oracle and schedule.case.oracle:
            out[key] = _optimizer_run(variant, schedule, params, grads)
            continue
        LOOPS.append(key)
        rates = [schedule.case.rate(t, STEPS[-1], **schedule.options) for t in range(STEPS[-1])]
        rows = [cases.optimizer_twin(variant, params, grads[:steps], rates[:steps], N_WEIGHTS) for steps in STEPS]
        out[key] = np.array(rows)
    return out


def _optimizer_run(variant: Any, schedule: Any, params: Any, grads: Any) -> Any:
    """Return the parameters after each of STEPS; the schedule runs beside the optimizer, for its groups have factors."""
    weights, biases = tensor(params[:N_WEIGHTS], grad=True), tensor(params[N_WEIGHTS:], grad=True)
    optimizer, factors = cases.optimizer_oracle(torch, variant, weights, biases)
    clock = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = cases.schedule_oracle(torch, clock, schedule.build(), STEPS[-1])
    rows = []
    for step in range(STEPS[-1]):
        weights.grad, biases.grad = tensor(grads[step, :N_WEIGHTS]), tensor(grads[step, N_WEIGHTS:])
        cases.clip_oracle(torch, variant, [weights, biases])
        for group, factor in zip(optimizer.param_groups, factors, strict=True):
            group["lr"] = clock.param_groups[0]["lr"] * factor
        optimizer.step()
        clock.step()
        if step + 1 < STEPS[-1]:
            scheduler.step()
        if step + 1 in STEPS:
            rows.append(np.concatenate([array(weights), array(biases)]))
    return np.array(rows)


def schedules() -> Tensors:
    """The rate of every step of 10 and of 100."""
    out: Tensors = {}
    for variant in cases.SCHEDULE_VARIANTS:
        CASES[str(variant)] = to_config(variant.build())
        for total in (10, 100):
            CASES[f"{variant}/{total}"] = CASES[str(variant)]
            if variant.case.oracle is None:
                LOOPS.append(f"{variant}/{total}")
                rates = [variant.case.rate(t, total, **variant.options) for t in range(total)]
                out[f"{variant}/{total}"] = np.array(rates)
                continue
            optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
            scheduler = cases.schedule_oracle(torch, optimizer, variant.build(), total)
            rates = []
            for step in range(total):
                rates.append(optimizer.param_groups[0]["lr"])
                optimizer.step()
                if step + 1 < total:
                    scheduler.step()
            out[f"{variant}/{total}"] = np.array(rates)
    return out


def initializers() -> Tensors:
    """Store the variance of W (300, 200) that the paper states."""
    CASES.update({name: {"type": name} for name in cases.INITIALIZER_CASES})
    LOOPS.extend(CASES)
    return {f"{name}/variance": np.array(float(case.variance(300, 200))) for name, case in cases.INITIALIZER_CASES.items()}


def metrics() -> Tensors:
    """Store arguments of each metric and what its loops make of them."""
    out: Tensors = {}
    for name, case in cases.METRIC_CASES.items():
        CASES[name] = {"type": name}
        LOOPS.append(name)
        arguments = case.arguments(np.random.default_rng(3))
        out |= {f"{name}/argument{i}": np.array(value, order="C") for i, value in enumerate(arguments)}
        out[f"{name}/value"] = np.array(case.twin(*arguments), np.float64, order="C")
    return out


def write(path: Path, tensors: Tensors, about: dict[str, str]) -> None:
    """Store one group."""
    save_file(tensors, path, metadata=about)
    path.chmod(0o644)
    print(f"{path.name}: {len(tensors)} arrays, {path.stat().st_size:,} bytes")


def check(path: Path, tensors: Tensors, about: dict[str, str]) -> None:
    """Raise unless the stored group has the same cases and the same numbers, to a relative 1e-9."""
    stored = load_file(path)
    with safe_open(path, "numpy") as file:
        cases_stored = json.loads(file.metadata()["cases"])
    differing = sorted(stored.keys() ^ tensors.keys()) or sorted(
        key for key in cases_stored.keys() | CASES.keys() if cases_stored.get(key) != json.loads(about["cases"]).get(key)
    )
    if differing:
        raise SystemExit(f"{path.name}: {differing[0]} and {len(differing) - 1} more are not as stored; run make oracle")
    for name, expected in stored.items():
        np.testing.assert_allclose(tensors[name], expected, rtol=1e-9, atol=1e-12, err_msg=f"{path.name}: {name}")
    print(f"{path.name}: {len(tensors)} arrays are as stored")


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    FOLDER.mkdir(exist_ok=True)
    print(f"PyTorch {torch.__version__}, NumPy {np.__version__}")
    named = [word for word in sys.argv[1:] if not word.startswith("-")]
    for group in (layers, losses, networks, optimizers, schedules, initializers, metrics):
        if named and group.__name__ not in named:
            continue
        CASES.clear()
        LOOPS.clear()
        found = group()
        described = {"torch": torch.__version__, "cases": json.dumps(CASES, sort_keys=True)}
        described["loops"] = json.dumps(sorted(LOOPS))
        (check if "--check" in sys.argv else write)(FOLDER / f"{group.__name__}.safetensors", found, described)
