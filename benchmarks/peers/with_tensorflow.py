"""TensorFlow. Variants: one call of a `tf.function` for each `step` or each `epoch`, with `jit` compiled by XLA."""

import os
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import tensorflow as tf

from benchmarks.child import Job, answer, time_epochs
from benchmarks.data import floats, read
from benchmarks.works import Work, work_from


def build(work: Work, weights: list[Any]) -> tf.keras.Model:
    """Return the network of a work, with its initial weights."""
    model = tf.keras.Sequential([tf.keras.Input((work.sizes[0],))])
    for i, n_out in enumerate(work.sizes[1:]):
        dense = tf.keras.layers.Dense(n_out)
        model.add(dense)
        dense.kernel.assign(weights[i])
        if i < len(work.sizes) - 2:
            if work.batch_norm:
                model.add(tf.keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5))
            model.add(tf.keras.layers.ReLU())
            if work.dropout:
                model.add(tf.keras.layers.Dropout(work.dropout))
    return model


def optimizer_of(work: Work) -> tf.keras.optimizers.Optimizer:
    """Return the optimizer of a work; the weights of dense layers decay, nothing else."""
    if work.optimizer == "sgd":
        return tf.keras.optimizers.SGD(work.learning_rate, momentum=work.momentum)
    if work.optimizer == "adam":
        return tf.keras.optimizers.Adam(work.learning_rate, epsilon=1e-8)
    optimizer = tf.keras.optimizers.AdamW(work.learning_rate, weight_decay=work.weight_decay, epsilon=1e-8)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def train(job: Job) -> dict[str, Any]:
    """Train, and return the median time of a step and the loss on the evaluation rows."""
    work, data = work_from(job["work"]), read(job["folder"])
    tf.keras.utils.set_random_seed(job["seed"])
    model, optimizer = build(work, data.weights), optimizer_of(work)
    optimizer.build(model.trainable_variables)
    x, y = tf.constant(floats(data.x)), tf.constant(data.y)
    per, *jit = job["variant"].split()

    def loss_of(outputs: Any, target: Any) -> Any:
        if work.table:
            return tf.reduce_mean(tf.square(outputs - target)) / 2
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(target, outputs))

    def step(rows: Any) -> None:
        with tf.GradientTape() as tape:
            loss = loss_of(model(tf.gather(x, rows), training=True), tf.gather(y, rows))
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    def epoch(order: Any) -> None:
        for rows in order:  # tf.function turns it into a loop of the graph
            step(rows)

    compiled = tf.function(step if per == "step" else epoch, jit_compile=bool(jit))

    def run_epoch(order: Any) -> None:
        order = tf.constant(order.astype("int32"))
        for part in order if per == "step" else [order]:
            compiled(part)
        model.trainable_variables[-1].numpy()  # waits for the last step

    us = time_epochs(job, len(data.x), run_epoch)
    return {"step_us": us, "loss": float(loss_of(model(tf.constant(floats(data.x_eval)), training=False), data.y_eval))}


if __name__ == "__main__":
    answer({"train": train})
