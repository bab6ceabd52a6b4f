"""Numbers that are not finite are found within a step, told with all that is known, and never stay in a network."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numlp as nl
from numlp.errors import DivergenceError
from numlp.optimizers import OPTIMIZERS
from numlp.run import Run
from numlp.states import read_state

_RNG = np.random.default_rng(0)
X, Y = _RNG.random((24, 4)) + 0.1, np.arange(24) % 3  # no zeros: 0 times infinity would be NaN, and seen at once
TARGET = _RNG.normal(size=(24, 3))
EPOCHS = 6

Given = dict[str, Any]


class Watch(nl.Callback):
    """Keeps the network of each epoch, and the first step after which a number in it was not finite."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        self.first: int | None = None

    def on_fit_begin(self, run: Run) -> None:
        self.kept.append(run.network.params.tobytes() + run.network.state.tobytes())
        self.run = run

    def look(self, array: Any, step: int) -> None:
        if self.first is None and not np.isfinite(array).all():
            self.first = step

    def on_gradients(self, run: Run) -> None:
        self.look(run.network.grads, run.step + 1)

    def on_step(self, run: Run) -> None:
        self.look(run.network.params, run.step)

    def on_epoch(self, run: Run) -> None:
        self.kept.append(run.network.params.tobytes() + run.network.state.tobytes())


class Poison(nl.Callback):
    """Puts a number where it does not belong, in the second epoch."""

    def __init__(self, event: str, put: Callable[[nl.Network], Any]) -> None:
        self.event, self.put = event, put
        setattr(self, event, self.spoil)

    def spoil(self, run: Run) -> None:
        if run.epoch >= 2:
            self.put(run.network)


def layers(activation: str = "relu") -> list[nl.Layer]:
    return [nl.Dense(4, 6, activation), nl.Dense(6, 3)]


def network(*parts: nl.Layer, dtype: str = "float32", **options: Any) -> nl.Network:
    return nl.Network(parts or layers(), rng=0, dtype=dtype, **options)


def rate(value: float, **given: Any) -> Given:
    return {"rate": value} | given


def poisoned(event: str, put: Callable[[nl.Network], Any], **given: Any) -> Given:
    return {"callbacks": [Poison(event, put)]} | given


def put(array: Callable[[nl.Network], Any], value: float) -> Callable[[nl.Network], None]:
    def change(net: nl.Network) -> None:
        array(net).flat[0] = value

    return change


def numbers(scale: float = 1.0, **given: Any) -> Given:
    return {"train": (X, TARGET * scale), "loss": nl.SquaredError()} | given


def scaled(net: nl.Network, factor: float) -> nl.Network:
    net.params *= factor
    return net


def first_bias(net: nl.Network) -> Any:
    return net.layers[0].b


def first_weights(net: nl.Network) -> Any:
    return net.layers[0].W


# name -> what is given to fit; with SGD, each of them diverges
SCENARIOS: dict[str, Callable[[], Given]] = {
    **{f"learning rate {value:g}": lambda value=value: rate(value, **numbers()) for value in (1e6, 1e10, 1e20, 1e30, 1e38)},
    **{f"learning rate {value:g}, classes": lambda value=value: rate(value) for value in (1e20, 1e30, 1e38)},
    "learning rate 1e200, float64": lambda: rate(1e200, network=network(dtype="float64"), **numbers()),
    "learning rate 1e38, tanh": lambda: rate(1e38, network=network(*layers("tanh"))),
    "learning rate 1e38, batch norm": lambda: rate(1e38, network=network(nl.Dense(4, 6), nl.BatchNorm(6), nl.Dense(6, 3))),
    "learning rate 1e38, dropout": lambda: rate(1e38, network=network(nl.Dense(4, 6), nl.Dropout(6, 0.5), nl.Dense(6, 3))),
    "a schedule up to 1e38": lambda: {"schedule": nl.WarmUp(8, nl.Constant(1e38))},
    "learning rate 1e38, moving average": lambda: rate(1e38, callbacks=[nl.MovingAverage(0.9)]),
    "learning rate 1e38, max norm": lambda: rate(1e38, callbacks=[nl.MaxNorm(1.0)], network=network(*layers("sigmoid"))),
    "inputs 1e30": lambda: {"train": (X * 1e30, TARGET), "loss": nl.SquaredError()},
    "inputs 1e38": lambda: {"train": (X * 1e38, Y), "rate": 1e-3},
    "inputs 1e300, float64": lambda: {
        "train": (X * 1e300, TARGET), "loss": nl.SquaredError(), "network": network(dtype="float64"),
    },
    "targets 1e25": lambda: numbers(1e25),
    "targets 1e200, float64": lambda: numbers(1e200, network=network(dtype="float64")),
    "poisson": lambda: {"train": (X, np.abs(TARGET) * 100), "loss": nl.Poisson(), "rate": 1e4},
    "weights 1e20": lambda: {"network": scaled(network(), 1e20)},
    "a penalty that overflows": lambda: {"network": scaled(network(l2=1e290, dtype="float64"), 1e10), "rate": 1e-300},
    "gradient NaN": lambda: poisoned("on_gradients", put(lambda net: net.grads, np.nan)),
    "gradient infinite": lambda: poisoned("on_gradients", put(lambda net: net.grads, np.inf)),
    "parameter NaN": lambda: poisoned("on_step", put(first_weights, np.nan)),
    "bias -infinite behind a relu": lambda: poisoned("on_step", put(first_bias, -np.inf)),
    "weight infinite behind a sigmoid": lambda: poisoned(
        "on_step", put(first_weights, np.inf), network=network(*layers("sigmoid"))
    ),
    "state of a batch norm": lambda: poisoned(
        "on_step", put(lambda net: net.state, np.nan), network=network(nl.Dense(4, 6), nl.BatchNorm(6), nl.Dense(6, 3))
    ),
    "parameter NaN before validation": lambda: poisoned("on_validation", put(first_weights, np.nan), validation=(X, Y)),
    "parameter NaN after an epoch": lambda: poisoned("on_epoch", put(first_weights, np.nan)),
    "parameter NaN at the end": lambda: poisoned("on_fit_end", put(first_weights, np.nan)),
    "moving average spoilt at the end": lambda: {
        "callbacks": [nl.MovingAverage(0.5), Poison("on_fit_end", put(first_bias, np.inf))]
    },
}  # fmt: skip

TAMED = ("learning rate 1e38, max norm",)  # what should not diverge

TEXT = re.compile(
    r"fit: ((?P<what>loss|gradient|parameters) must stay finite, got (nan|inf|-inf|NaN or infinite ones|\d\S*) "
    r"at epoch (?P<epoch>\d+), step (?P<step>\d+), first not finite in (the loss|layer \d \w+\(.+\)), "
    r"learning rate \S+, last gradient norm \S+"
    r"|loss must stay below 1e\+09 times that of the first step, \S+, got \S+ in epoch \d+, learning rate \S+)"
    r"; the network is as it was after epoch (?P<good>\d+); "
    r"try (a learning rate of \S+ or clip_norm=1 in the optimizer or )?inputs near \[-1, 1\]"
)


def fit(scenario: str, kind: str, folder: Path) -> tuple[nl.Network, Watch, str | None]:
    """Return the network, what was seen, and the text of the error, if there was one."""
    given, watch = SCENARIOS[scenario](), Watch()
    net = given.pop("network", None) or network()
    speed = given.pop("schedule", None) or given.pop("rate", 0.1)
    given.pop("rate", None)
    lbfgs = kind == "LBFGS"
    optimizer = nl.LBFGS(max_steps=EPOCHS) if lbfgs else OPTIMIZERS[kind](speed)
    listeners = [watch, *given.pop("callbacks", ())]
    options = {"train": (X, Y), "epochs": EPOCHS, "batch_size": None if lbfgs else 8, "progress": False} | given
    writer = nl.Checkpointer(folder, steps=1, keep=2, monitor="loss")
    try:
        nl.fit(net, **options, optimizer=optimizer, callbacks=[*listeners, writer])
    except DivergenceError as error:
        return net, watch, str(error)
    return net, watch, None


@pytest.mark.filterwarnings("ignore:fit. x ranges:UserWarning")
@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_divergence_is_found_within_a_step_and_leaves_what_was_good(
    scenario: str, kind: str, memory_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    net, watch, text = fit(scenario, kind, memory_folder)
    assert net.is_finite() and np.isfinite(net.params).all() and np.isfinite(net.state).all()
    for path in memory_folder.iterdir():
        state = read_state(path)
        assert np.isfinite(state["params"]).all() and np.isfinite(state["state"]).all()
    if text is None:
        assert watch.first is None and (kind != "SGD" or scenario in TAMED)  # the plain rule has no way around
        return
    assert len(list(memory_folder.iterdir())) >= 1
    found = TEXT.fullmatch(text)
    assert found, text
    if found["what"]:
        assert int(found["epoch"]) == watch.run.epoch
        assert watch.first is None or watch.first in (int(found["step"]), int(found["step"]) - 1)
    assert net.params.tobytes() + net.state.tobytes() == watch.kept[int(found["good"])]
    assert int(found["good"]) in (watch.run.epoch - 1, watch.run.epoch)


def test_scenarios_are_at_least_thirty() -> None:
    assert len(SCENARIOS) >= 30


def test_first_layer_that_is_not_finite_is_named_with_step_and_epoch() -> None:
    net = network()
    poison = Poison("on_step", lambda net: net.layers[1].b.fill(np.inf))
    with pytest.raises(DivergenceError) as caught:
        nl.fit(net, (X, Y), optimizer=nl.SGD(0.25), epochs=3, batch_size=8, callbacks=[poison])
    assert re.fullmatch(
        r"fit: parameters must stay finite, got NaN or infinite ones at epoch 2, step 4, first not finite in layer 1 "
        r"Dense\(6 -> 3\), learning rate 0\.25, last gradient norm 0\.\d+; the network is as it was after epoch 1; "
        r"try a learning rate of 0\.025 or clip_norm=1 in the optimizer or inputs near \[-1, 1\]",
        str(caught.value),
    )


@pytest.mark.parametrize("name", sorted(set(OPTIMIZERS) - {"LBFGS"}))
def test_optimizer_tells_of_its_step_by_itself_where_nobody_listens(name: str) -> None:
    poison = Poison("on_gradients", put(lambda net: net.grads, np.nan))
    with pytest.raises(DivergenceError, match="at epoch 2, step 4, "):
        nl.fit(network(), (X, Y), optimizer=OPTIMIZERS[name](), epochs=3, batch_size=8, callbacks=[poison])


def test_gradient_is_found_where_the_optimizer_would_hide_it() -> None:
    class Steep(nl.SquaredError):
        """A loss whose dz is finite and whose x^T dz is not."""

        def __call__(self, y: Any, target: Any, weight: Any = None) -> Any:
            value, dy = super().__call__(y, target, weight)
            dy[:] = 1e30
            return value, dy

    for optimizer in (nl.Lion(1e-3), nl.SGD(1e-3, clip_value=1.0)):  # the sign, or the limit, of infinity is finite
        with pytest.raises(DivergenceError, match=r"^fit: gradient must stay finite, got inf at epoch 1, step 1, "):
            with pytest.warns(UserWarning, match="x ranges"):
                nl.fit(network(nl.Dense(4, 3, initializer="zeros")), (X * 1e10, TARGET), loss=Steep(), optimizer=optimizer)


def test_divergence_after_a_resumption_leaves_the_checkpoint(memory_folder: Path) -> None:
    def run(*callbacks: nl.Callback, net: nl.Network) -> None:
        writer = nl.Checkpointer(memory_folder, steps=4)
        nl.fit(net, (X, Y), epochs=4, batch_size=8, callbacks=[*callbacks, writer], resume=memory_folder)

    class Lost(Exception):
        pass

    def lose(net: nl.Network) -> None:
        raise Lost

    with pytest.raises(Lost):
        run(Poison("on_validation", lose), net=network())
    newest = max(memory_folder.iterdir())
    net = network()
    with pytest.raises(DivergenceError, match=f"the network is as it was in {re.escape(str(newest))}; try"):
        run(Poison("on_step", put(first_weights, np.nan)), net=net)
    assert net.params.tobytes() == read_state(newest)["params"].tobytes()
