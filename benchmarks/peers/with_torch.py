"""PyTorch, eager; the variant `fused` has its fused optimizer."""

import gzip
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.child import Job, answer, latency, time_epochs
from benchmarks.data import floats, read
from benchmarks.works import Work, work_from


def build(sizes: tuple[int, ...], batch_norm: bool, dropout: float) -> nn.Sequential:
    """Return dense layers with batch norm, ReLU and dropout between them."""
    layers: list[nn.Module] = []
    for i, (n_in, n_out) in enumerate(pairwise(sizes)):
        layers.append(nn.Linear(n_in, n_out))
        nn.init.kaiming_normal_(layers[-1].weight, nonlinearity="relu")
        nn.init.zeros_(layers[-1].bias)
        if i < len(sizes) - 2:
            layers += [nn.BatchNorm1d(n_out)] if batch_norm else []
            layers += [nn.ReLU(), *([nn.Dropout(dropout)] if dropout else [])]
    return nn.Sequential(*layers)


def take(model: nn.Sequential, weights: list[Any], biases: list[Any] | None = None) -> None:
    """Copy W (I, O) and b into the dense layers."""
    dense = [layer for layer in model if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        for i, (layer, W) in enumerate(zip(dense, weights, strict=True)):
            layer.weight.copy_(torch.from_numpy(W.T))
            if biases is not None:
                layer.bias.copy_(torch.from_numpy(biases[i]))


def adamw_groups(model: nn.Sequential, weight_decay: float) -> list[dict[str, Any]]:
    """Return two groups: the weights of dense layers decay, nothing else."""
    weights = [layer.weight for layer in model if isinstance(layer, nn.Linear)]
    others = [p for p in model.parameters() if not any(p is W for W in weights)]
    return [{"params": weights, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def optimizer_of(work: Work, model: nn.Sequential, fused: bool) -> torch.optim.Optimizer:
    """Return the optimizer of a work."""
    if work.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), work.learning_rate, work.momentum, fused=fused)
    if work.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), work.learning_rate, fused=fused)
    return torch.optim.AdamW(adamw_groups(model, work.weight_decay), work.learning_rate, fused=fused)


def half_squared_error(y: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return numlp's SquaredError."""
    return nn.functional.mse_loss(y, target) / 2


def train(job: Job) -> dict[str, Any]:
    """Train, and return the median time of a step and the loss on the evaluation rows."""
    work, data = work_from(job["work"]), read(job["folder"])
    torch.manual_seed(job["seed"])
    model = build(work.sizes, work.batch_norm, work.dropout)
    take(model, data.weights)
    optimizer = optimizer_of(work, model, job["variant"] == "fused")
    loss_of = half_squared_error if work.table else nn.functional.cross_entropy
    x, y = torch.from_numpy(floats(data.x)), torch.from_numpy(data.y)

    def run_epoch(order: Any) -> None:
        for rows in torch.from_numpy(order):
            optimizer.zero_grad(set_to_none=True)
            loss_of(model(x.index_select(0, rows)), y.index_select(0, rows)).backward()
            optimizer.step()

    us = time_epochs(job, len(x), run_epoch)
    model.eval()
    with torch.inference_mode():
        loss = loss_of(model(torch.from_numpy(floats(data.x_eval))), torch.from_numpy(data.y_eval))
    return {"step_us": us, "loss": float(loss)}


def predict(job: Job) -> dict[str, Any]:
    """Return labels and latencies: NumPy rows in, NumPy labels out."""
    root = Path(job["folder"])
    weights, biases = ([np.load(root / f"{name}{i}.npy") for i in range(2)] for name in "Wb")
    model = build((weights[0].shape[0], *(W.shape[1] for W in weights)), False, 0.0)
    take(model, weights, biases)
    model.eval()

    @torch.inference_mode()
    def call(rows: Any) -> Any:
        return model(torch.from_numpy(rows)).argmax(1).numpy()

    return latency(job, np.load(root / "rows.npy"), call)


def mnist(job: Job) -> dict[str, Any]:
    """Do what `numlp train mnist` does, and print its last line: the default recipe from the files to the test accuracy."""
    recipe, root = job["recipe"], Path(job["data"])

    def load(name: str, skip: int) -> Any:
        path = root / name
        return np.frombuffer(gzip.decompress(path.read_bytes())[skip:], np.uint8)

    def images(name: str) -> Any:
        return torch.from_numpy(floats(load(f"{name}-images-idx3-ubyte.gz", 16).reshape(-1, 784)))

    def labels(name: str) -> Any:
        return torch.from_numpy(load(f"{name}-labels-idx1-ubyte.gz", 8).astype(np.int64))

    torch.manual_seed(job["seed"])
    x, y, x_test, y_test = images("train"), labels("train"), images("t10k"), labels("t10k")
    x_validation, x, y_validation, y = x[:5000], x[5000:], y[:5000], y[5000:]
    model = build((784, *recipe["hidden"], 10), recipe["batch_norm"], recipe["dropout"])
    rate, size, epochs = recipe["learning_rate"], recipe["batch_size"], recipe["epochs"]
    optimizer = torch.optim.AdamW(adamw_groups(model, recipe["weight_decay"]), rate, fused=True)
    steps = epochs * -(-len(x) // size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, cycle_momentum=False)
    loss_of = nn.CrossEntropyLoss(label_smoothing=recipe["label_smoothing"])

    def evaluate(x: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
        model.eval()
        with torch.inference_mode():
            outputs = model(x)
            return float(loss_of(outputs, y)), float((outputs.argmax(1) == y).float().mean())

    for epoch in range(epochs):
        model.train()
        total, right = 0.0, 0
        for rows in torch.randperm(len(x)).split(size):
            target = y.index_select(0, rows)
            optimizer.zero_grad(set_to_none=True)
            outputs = model(x.index_select(0, rows))
            loss = loss_of(outputs, target)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
            right += int((outputs.argmax(1) == target).sum())
        value, accuracy = evaluate(x_validation, y_validation)
        print(
            f"epoch {epoch + 1}/{epochs} loss {total / len(x):.4f} accuracy {right / len(x):.2%} "
            f"validation loss {value:.4f} accuracy {accuracy:.2%}"
        )
    value, accuracy = evaluate(x_test, y_test)
    torch.save(model.state_dict(), os.path.join(job["folder"], "mnist.pt"))
    print(f"test loss {value:.4f}  accuracy {accuracy:.2%}", flush=True)
    return {"accuracy": accuracy}


if __name__ == "__main__":
    answer({"train": train, "predict": predict, "mnist": mnist})
