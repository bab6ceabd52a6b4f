"""Small trainings, one for every part whose state a checkpoint must keep; each is quick and uses all its parts.

`TRAININGS[name](seed)` gives (network, arguments of `fit`); what is learnt depends on the seed, the data do not.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

import numlp as nl
from cases import OPTIMIZER_CASES, SCHEDULE_CASES
from numlp.optimizers import OPTIMIZERS
from numlp.run import Run
from numlp.schedules import SCHEDULES

N, PIXELS, CLASSES = 40, 16, 3
BATCH, EPOCHS = 7, 4  # 6 steps an epoch, 24 in all
STEPS = 24

_rng = np.random.default_rng(5)
_X = _rng.random((N, PIXELS))
_Y = _rng.integers(0, CLASSES, N)
_WEIGHT = _rng.random(N)
_VALIDATION = _rng.random((10, PIXELS)), _rng.integers(0, CLASSES, 10)

Training = tuple[nl.Network, dict[str, Any]]


def training(
    *inner: nl.Layer,
    seed: int | np.random.Generator,
    first: nl.Layer | None = None,
    dtype: str = "float32",
    weight: bool = False,
    l2: float = 0.0,
    **options: Any,
) -> Training:
    """Return a network with `inner` layers of 5 columns, perhaps after a `first` one, and what `fit` is told."""
    begin = [] if first is None else [first]
    layers = [*begin, nl.Dense(PIXELS if first is None else first.n_out, 5, "tanh"), *inner, nl.Dense(5, CLASSES)]
    network = nl.Network(layers, rng=seed, dtype=dtype, l2=l2)
    data = (_X, _Y, _WEIGHT) if weight else (_X, _Y)
    given = {"train": data, "validation": _VALIDATION, "epochs": EPOCHS, "batch_size": BATCH, "progress": False}
    return network, given | {"optimizer": nl.SGD(0.1)} | options


class StopAt(nl.Callback):
    """Ends training for good after a step."""

    state_names = ()

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, run: Run) -> None:
        if run.step == self.step:
            run.stop = True


def _optimizers() -> dict[str, Callable[[int], Training]]:
    made: dict[str, Callable[[int], Training]] = {}
    for kind, make in OPTIMIZERS.items():
        for i, options in enumerate(OPTIMIZER_CASES[kind].options if kind in OPTIMIZER_CASES else ()):
            made[f"{kind} {i}"] = lambda seed, make=make, options=options: training(
                seed=seed, optimizer=make(0.05, **options, clip_norm=0.5)
            )
    made["LBFGS"] = lambda seed: training(
        seed=seed, dtype="float64", batch_size=None, optimizer=nl.LBFGS(max_steps=STEPS, tolerance=0)
    )
    made["factors"] = lambda seed: training(seed=seed, optimizer=nl.AdamW(0.05, factors={"*.b": (0.1, 1.0)}, clip_value=0.1))
    return made


def _schedules() -> dict[str, Callable[[int], Training]]:
    made: dict[str, Callable[[int], Training]] = {
        f"{kind} {i}": lambda seed, make=make, options=options: training(
            seed=seed, optimizer=nl.SGD(make(**options), momentum=0.9)
        )
        for kind, make in SCHEDULES.items()
        for i, options in enumerate(SCHEDULE_CASES[kind].options)
    }
    made["decay by schedule"] = lambda seed: training(
        seed=seed, optimizer=nl.AdamW(nl.Cosine(0.05), weight_decay=nl.Cosine(0.3))
    )
    return made


LAYERS: dict[str, Callable[[], list[nl.Layer]]] = {
    "Dropout": lambda: [nl.Dropout(5, 0.4)],
    "AlphaDropout": lambda: [nl.AlphaDropout(5, 0.4)],
    "GaussianNoise": lambda: [nl.GaussianNoise(5, 0.3)],
    "BatchNorm": lambda: [nl.BatchNorm(5)],
    "LayerNorm": lambda: [nl.LayerNorm(5), nl.RMSNorm(5)],
    "PReLU": lambda: [nl.PReLU(5), nl.Scale(5), nl.ParametricActivation(5, "silu")],
    "Residual": lambda: [nl.Residual([nl.Dense(5, 5, "relu"), nl.BatchNorm(5), nl.Dropout(5, 0.2)])],
}

CALLBACKS: dict[str, Callable[[], list[nl.Callback]]] = {
    "EarlyStopping that stops": lambda: [nl.EarlyStopping(patience=1, min_delta=10.0)],
    "EarlyStopping of an accuracy": lambda: [nl.EarlyStopping(patience=2, monitor="validation_accuracy")],
    "MovingAverage": lambda: [nl.MovingAverage(0.9)],
    "MaxNorm": lambda: [nl.MaxNorm(0.5)],
    "ReduceOnPlateau": lambda: [nl.ReduceOnPlateau(patience=0, threshold=10.0, relative=False, cooldown=1)],
    "stop by a callback": lambda: [StopAt(9)],
    "all": lambda: [nl.ReduceOnPlateau(patience=0), nl.MaxNorm(1.0), nl.MovingAverage(0.8), nl.EarlyStopping(patience=2)],
}


def _others() -> dict[str, Callable[[int], Training]]:
    shape = {"shape": (4, 4), "sigma": 1.0}
    return {
        "float64": lambda seed: training(nl.Dropout(5, 0.1), seed=seed, dtype="float64", optimizer=nl.Adam(0.01)),
        "l2": lambda seed: training(seed=seed, l2=0.1),
        "weights": lambda seed: training(seed=seed, weight=True),
        "full batch": lambda seed: training(nl.Dropout(5, 0.3), seed=seed, batch_size=None, epochs=STEPS),
        "distorted": lambda seed: training(seed=seed, augment=nl.Distortion(**shape)),
        "distorted full batch": lambda seed: training(
            seed=seed, augment=nl.Distortion(**shape), batch_size=None, epochs=STEPS, dtype="float64"
        ),
        "batch of one": lambda seed: training(seed=seed, batch_size=1, epochs=1),
        **{
            kind.__name__: lambda seed, kind=kind: training(nl.GaussianNoise(5, 0.2), seed=np.random.Generator(kind(seed)))
            for kind in (np.random.MT19937, np.random.Philox, np.random.SFC64, np.random.PCG64DXSM)
        },
        "bytes": lambda seed: training(
            seed=seed, first=nl.Pixels(PIXELS), train=((_X * 255).astype(np.uint8), _Y), augment=nl.Distortion(**shape)
        ),
        "standardized": lambda seed: training(seed=seed, first=nl.Standardize(PIXELS).fit(_X + seed), train=(_X, _Y)),
        "categories": lambda seed: training(
            seed=seed, first=nl.Embedding(PIXELS, [(0, 3, 2)]), train=(np.c_[_Y[::-1], _X[:, 1:]], _Y), validation=None
        ),
        "without validation": lambda seed: training(seed=seed, validation=None),
        "numbers": lambda seed: training(seed=seed, train=(_X, _X[:, :CLASSES]), validation=None, loss=nl.SquaredError()),
        "everything": lambda seed: training(
            nl.BatchNorm(5), nl.Dropout(5, 0.3), nl.GaussianNoise(5, 0.1),
            seed=seed, l2=0.01, weight=True, augment=nl.Distortion(**shape), callbacks=CALLBACKS["all"](),
            optimizer=nl.NAdam(nl.OneCycle(0.05), weight_decay=0.1, clip_norm=1.0),
        ),
    }  # fmt: skip


TRAININGS: dict[str, Callable[[int], Training]] = {
    **_optimizers(),
    **_schedules(),
    **{name: lambda seed, make=make: training(*make(), seed=seed) for name, make in LAYERS.items()},
    **{name: lambda seed, make=make: training(seed=seed, callbacks=make()) for name, make in CALLBACKS.items()},
    **_others(),
}


def end_of(network: nl.Network, given: dict[str, Any], history: nl.History) -> dict[str, Any]:
    """Return all that must be the same, however often a training was interrupted."""
    return {
        "params": network.params.tobytes(),
        "state": network.state.tobytes(),
        "generator": repr(network.rng.bit_generator.state),
        "optimizer": _bytes(given["optimizer"].state()),
        "callbacks": [_bytes(callback.state()) for callback in given.get("callbacks", ())],
        "history": [repr({key: value for key, value in r.items() if key != "seconds"}) for r in history.records],
        "best": history.best_epoch,
    }


def _bytes(value: Any) -> Any:
    """Return a state as something that can be compared: exact, and a list like a tuple."""
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, dict):
        return {key: _bytes(item) for key, item in value.items()}
    return [_bytes(item) for item in value] if isinstance(value, list | tuple) else repr(value)
