"""JAX: a whole epoch is one jitted scan, data on the device, parameters and state donated.

Variants, joined by a space: `bytes` keeps images as uint8 and converts each batch; `rbg` draws dropout masks with the
generator of the hardware instead of threefry.
"""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.child import Job, answer, latency, time_epochs
from benchmarks.data import floats, read
from benchmarks.works import Work, work_from


def parameters(work: Work, weights: list[Any]) -> tuple[list[dict[str, Any]], list[tuple[Any, Any]]]:
    """Return the parameters of each layer, and the running mean and variance of each hidden one."""
    layers: list[dict[str, Any]] = []
    running: list[tuple[Any, Any]] = []
    for i, W in enumerate(weights):
        layers.append({"W": jnp.asarray(W), "b": jnp.zeros(W.shape[1])})
        if work.batch_norm and i < len(weights) - 1:
            layers[-1] |= {"gamma": jnp.ones(W.shape[1]), "beta": jnp.zeros(W.shape[1])}
            running.append((jnp.zeros(W.shape[1]), jnp.ones(W.shape[1])))
    return layers, running


def forward(work: Work, layers: Any, running: Any, x: Any, key: Any, training: bool) -> tuple[Any, Any]:
    """Return the outputs and the new running values."""
    after = []
    for i, p in enumerate(layers[:-1]):
        x = x @ p["W"] + p["b"]
        if work.batch_norm:
            mean, variance = running[i]
            if training:
                n, mean_now, variance_now = len(x), x.mean(0), x.var(0)
                after.append((0.9 * mean + 0.1 * mean_now, 0.9 * variance + 0.1 * variance_now * n / (n - 1)))
                mean, variance = mean_now, variance_now
            x = (x - mean) * jax.lax.rsqrt(variance + 1e-5) * p["gamma"] + p["beta"]
        x = jnp.maximum(x, 0)
        if work.dropout and training:
            key, own = jax.random.split(key)
            keep = 1 - work.dropout
            x = jnp.where(jax.random.bernoulli(own, keep, x.shape), x / keep, 0)
    return x @ layers[-1]["W"] + layers[-1]["b"], after


def optimizer_of(work: Work) -> optax.GradientTransformation:
    """Return the optimizer of a work; the weights of dense layers decay, nothing else."""
    if work.optimizer == "sgd":
        return optax.sgd(work.learning_rate, work.momentum or None)
    if work.optimizer == "adam":
        return optax.adam(work.learning_rate)
    mask = partial(jax.tree_util.tree_map_with_path, lambda path, _: path[-1].key == "W")
    return optax.adamw(work.learning_rate, weight_decay=work.weight_decay, mask=mask)


def train(job: Job) -> dict[str, Any]:
    """Train, and return the median time of a step and the loss on the evaluation rows."""
    work, data = work_from(job["work"]), read(job["folder"])
    variant = job["variant"].split()
    if "rbg" in variant:
        jax.config.update("jax_default_prng_impl", "rbg")
    optimizer = optimizer_of(work)
    layers, running = parameters(work, data.weights)
    state = optimizer.init(layers)
    all_x, all_y = jnp.asarray(data.x if "bytes" in variant else floats(data.x)), jnp.asarray(data.y)

    def loss_of(layers: Any, running: Any, x: Any, y: Any, key: Any, training: bool) -> tuple[Any, Any]:
        outputs, running = forward(work, layers, running, x, key, training)
        if work.table:
            return optax.l2_loss(outputs, y).mean(), running
        return optax.softmax_cross_entropy_with_integer_labels(outputs, y).mean(), running

    @partial(jax.jit, donate_argnums=(0, 1, 2))
    def epoch(layers: Any, state: Any, running: Any, key: Any, order: Any, all_x: Any, all_y: Any) -> Any:
        def step(carry: Any, rows: Any) -> tuple[Any, None]:
            layers, state, running, key = carry
            key, own = jax.random.split(key) if work.dropout else (key, key)
            x = all_x[rows].astype(jnp.float32) / 255 if all_x.dtype == jnp.uint8 else all_x[rows]
            grads, running = jax.grad(loss_of, has_aux=True)(layers, running, x, all_y[rows], own, True)
            updates, state = optimizer.update(grads, state, layers)
            return (optax.apply_updates(layers, updates), state, running, key), None

        return jax.lax.scan(step, (layers, state, running, key), order)[0]

    key = jax.random.key(job["seed"])

    def run_epoch(order: Any) -> None:
        nonlocal layers, state, running, key
        layers, state, running, key = epoch(layers, state, running, key, jnp.asarray(order), all_x, all_y)
        jax.block_until_ready(layers)

    us = time_epochs(job, len(data.x), run_epoch)
    loss, _ = loss_of(layers, running, jnp.asarray(floats(data.x_eval)), jnp.asarray(data.y_eval), key, False)
    return {"step_us": us, "loss": float(loss)}


def predict(job: Job) -> dict[str, Any]:
    """Return labels and latencies: NumPy rows in, NumPy labels out."""
    root = Path(job["folder"])
    first, b, second, c = (jnp.asarray(np.load(root / f"{name}.npy")) for name in ("W0", "b0", "W1", "b1"))

    @jax.jit
    def labels(x: Any) -> Any:
        return (jnp.maximum(x @ first + b, 0) @ second + c).argmax(1)

    return latency(job, np.load(root / "rows.npy"), lambda rows: np.asarray(labels(rows)))


if __name__ == "__main__":
    answer({"train": train, "predict": predict})
