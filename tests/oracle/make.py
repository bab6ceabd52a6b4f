"""Writes what PyTorch 2.13 computes for the parts in `tests/cases.py`, as small float64 files beside this one.

    python tests/oracle/make.py

The interpreter needs torch, numpy and safetensors; numlp is taken from the source tree, for the shapes of parameters only.
The tests read the files with neither. Inputs are stored along, so a change of NumPy's generators changes nothing.
Tensors are named `<variant>/<shape>/<array>`, such as `Dense(activation=relu)/5x4x3/dx`.
"""

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "src")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from safetensors.numpy import save_file  # noqa: E402

import cases  # noqa: E402

SHAPES = [(5, 4, 3), (1, 4, 3), (5, 1, 1)]  # rows, inputs, outputs
STEPS = (1, 10, 100)
N_WEIGHTS = 6  # of 9 parameters
Tensors = dict[str, Any]


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
        for n, n_in, n_out in SHAPES if variant.case.oracle else ():
            key = f"{variant}/{n}x{n_in}x{n_out}"
            layer, x, values = cases.draw_layer(variant, n, n_in, n_out)
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
        for kind in variant.case.targets if variant.case.oracle else ():
            for n, _, n_out in SHAPES:
                y, target = cases.draw_loss(variant, kind, n, n_out)
                y_ = tensor(y, grad=True)
                value = variant.case.oracle(torch, y_, tensor(target), **variant.options)
                value.backward()
                key = f"{variant} {kind}/{n}x{n_out}"
                out |= {f"{key}/y": y, f"{key}/target": target, f"{key}/value": array(value), f"{key}/dy": array(y_.grad)}
    return out


def networks() -> Tensors:
    """Loss and gradients of Dense, a layer, Dense and a loss: each layer and dense activation with each loss."""
    out: Tensors = {}
    dense, softmax = cases.LAYER_CASES["Dense"].oracle, cases.LAYER_CASES["Softmax"].oracle
    firsts = {variant.kind: variant for variant in reversed(cases.LOSS_VARIANTS)}
    for variant in cases.LAYER_VARIANTS:
        if variant.case.oracle is None or (variant.kind.__name__ != "Dense" and "activation" in variant.options):
            continue
        layer, x, values = cases.draw_layer(variant, 5, 3, 3)
        rng = np.random.default_rng(variant.seed + 2)
        around = [{"W": rng.normal(size=(3, 3)), "b": rng.normal(size=3)} for _ in range(2)]
        trained = {p.name for p in layer.parameters() if p.role != "state"}
        arrays = [around[0], {name: value for name, value in values.items() if name in trained}, around[1]]
        out[f"{variant}/x"] = x
        out |= {f"{variant}/{i}.{name}": value for i, group in enumerate(arrays) for name, value in group.items()}
        for loss in firsts.values():
            if loss.case.oracle is None:
                continue
            kind = loss.case.targets[0]
            target = cases.draw_loss(loss, kind, 5, 3)[1]
            groups = [{name: tensor(value, grad=True) for name, value in group.items()} for group in arrays]
            state = {p.name: torch.full(p.shape, 1.0, dtype=torch.float64) for p in layer.parameters() if p.role == "state"}
            y = dense(torch, tensor(x), groups[0], True, activation="identity")
            y = variant.case.oracle(torch, y, groups[1] | state, True, **variant.options)
            y = dense(torch, y, groups[2], True, activation="identity")
            y = softmax(torch, y, {}, True) if loss.case.outputs == "probabilities" else y
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
    out: Tensors = {"params": params, "grads": grads}
    for variant in cases.OPTIMIZER_VARIANTS:
        for schedule in cases.SCHEDULE_VARIANTS if variant.case.oracle else ():
            if schedule.case.oracle is None:
                continue
            weights, biases = tensor(params[:N_WEIGHTS], grad=True), tensor(params[N_WEIGHTS:], grad=True)
            optimizer = variant.case.oracle(torch, weights, biases, **variant.options)
            scheduler = cases.schedule_oracle(torch, optimizer, schedule.build(), STEPS[-1])
            rows = []
            for step in range(STEPS[-1]):
                weights.grad, biases.grad = tensor(grads[step, :N_WEIGHTS]), tensor(grads[step, N_WEIGHTS:])
                optimizer.step()
                if step + 1 < STEPS[-1]:
                    scheduler.step()
                if step + 1 in STEPS:
                    rows.append(np.concatenate([array(weights), array(biases)]))
            out[f"{variant}/{schedule}"] = np.array(rows)
    return out


def schedules() -> Tensors:
    """The rate of every step of 10 and of 100."""
    out: Tensors = {}
    for variant in cases.SCHEDULE_VARIANTS:
        for total in (10, 100) if variant.case.oracle else ():
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


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    for group in (layers, losses, networks, optimizers, schedules):
        path = HERE / f"{group.__name__}.safetensors"
        save_file(group(), path, metadata={"torch": torch.__version__})
        print(f"{path.name}: {path.stat().st_size:,} bytes")
