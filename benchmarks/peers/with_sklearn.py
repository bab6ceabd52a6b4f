"""scikit-learn's MLPClassifier and MLPRegressor; the order of the rows is their own."""

import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from benchmarks.child import Job, answer, latency, step_us
from benchmarks.data import floats, read
from benchmarks.works import work_from


def watched(kind: type[Any], weights: list[Any], biases: list[Any] | None, ends: list[float]) -> type[Any]:
    """Return the estimator's class, which begins with these weights and notes the end of each epoch."""

    class Watched(kind):
        def _init_coef(self, fan_in: int, fan_out: int, dtype: Any) -> tuple[Any, Any]:
            i = next(i for i, W in enumerate(weights) if W.shape == (fan_in, fan_out) and i not in taken)
            taken.add(i)
            return weights[i].astype(dtype), np.zeros(fan_out, dtype) if biases is None else biases[i]

        def _update_no_improvement_count(self, *args: Any) -> None:
            super()._update_no_improvement_count(*args)
            ends.append(time.perf_counter())

    taken: set[int] = set()
    return Watched


def train(job: Job) -> dict[str, Any]:
    """Train, and return the median time of a step and the loss on the evaluation rows."""
    warnings.filterwarnings("ignore")  # it never converges: the number of epochs is given
    work, data, ends = work_from(job["work"]), read(job["folder"]), [time.perf_counter()]
    epochs = job["warm"] + job["epochs"]
    model = watched(MLPRegressor if work.table else MLPClassifier, data.weights, None, ends)(
        hidden_layer_sizes=work.sizes[1:-1], solver=work.optimizer, alpha=0.0, batch_size=work.batch_size,
        learning_rate_init=work.learning_rate, momentum=work.momentum, nesterovs_momentum=False, max_iter=epochs,
        n_iter_no_change=epochs, tol=0.0, random_state=job["seed"],
    )  # fmt: skip
    model.fit(floats(data.x), data.y.ravel())
    x, y = floats(data.x_eval), data.y_eval
    if work.table:
        loss = float(np.mean((model.predict(x) - y.ravel()) ** 2)) / 2
    else:
        right = model.predict_proba(x)[np.arange(len(y)), y]
        loss = float(-np.log(np.maximum(right, np.finfo(np.float32).tiny)).mean())
    return {"step_us": step_us(ends, job["warm"], len(data.x) // work.batch_size), "loss": loss}


def predict(job: Job) -> dict[str, Any]:
    """Return labels and latencies of `MLPClassifier.predict`."""
    warnings.filterwarnings("ignore")
    root = Path(job["folder"])
    weights, biases = ([np.load(root / f"{name}{i}.npy") for i in range(2)] for name in "Wb")
    rows, classes = np.load(root / "rows.npy"), weights[1].shape[1]
    kind = watched(MLPClassifier, weights, biases, [])
    model = kind((weights[0].shape[1],), solver="sgd", alpha=0.0, learning_rate_init=1e-30, max_iter=1)
    model.fit(rows[:classes], np.arange(classes))  # a step of 1e-30 leaves the weights as they are
    return latency(job, rows, model.predict)


if __name__ == "__main__":
    answer({"train": train, "predict": predict})
