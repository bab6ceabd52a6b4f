"""What is assigned to a built part acts, is saved and copied - or is refused by an error that names it."""

import copy
import inspect
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numlp as nl
from cases import LAYER_VARIANTS, LOSS_VARIANTS, OPTIMIZER_VARIANTS, SCHEDULE_VARIANTS, Array, Variant, before
from cases import draw_loss as draw
from numlp.arena import Parameter
from numlp.attributes import Attribute
from numlp.config import to_config
from numlp.errors import ArgumentError, NumlpError, ReadOnlyError, ShapeError

REFUSALS = (NumlpError, AttributeError)


def names_of(part: Any) -> list[str]:
    """Return the names of all public attributes that are no methods."""
    names = [name for name in dir(part) if name[0] != "_" and "." not in name and hasattr(part, name)]
    return [name for name in names if not callable(getattr(part, name))]


def others(value: Any) -> Iterator[Any]:
    """Yield other values, of the same kind as far as that is known, and of none that any attribute has."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (value + 1, value / 2 + 0.1, -1)
    elif isinstance(value, str):
        yield from ("tanh", "validation_accuracy", "validation_loss", "ntk", "float64")
    elif isinstance(value, np.ndarray):
        yield from (np.full_like(value, 0.5), np.zeros((*value.shape, 2)))
    elif isinstance(value, tuple) and value and isinstance(value[0], float):
        yield tuple(0.5 * number for number in value)
    elif value is None:
        yield from (0.5, (0.5,) * 4)
    yield from ((), object())


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.random.Generator):
        a, b = a.bit_generator.state, b.bit_generator.state
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a is b or bool(a == b)


def check_assignments(
    build: Callable[[], Any],
    behavior: Callable[[Any], bytes],
    rebuild: Callable[[dict[str, Any]], Any] | None = None,
    copied: Callable[[Any], Any] = copy.deepcopy,
) -> set[str]:
    """Assign other values to each attribute of a new part, and return the names of those that took one.

    `rebuild` makes a part from the arguments of this one.
    """
    taken = set()
    for name in names_of(build()):
        for value in others(getattr(build(), name)):
            part, unchanged = build(), build()
            kept = copy.deepcopy(getattr(part, name)) if isinstance(getattr(part, name), np.ndarray) else getattr(part, name)
            try:
                setattr(part, name, value)
            except REFUSALS as error:
                assert name in str(error), f"{name} = {value!r}: {error}"
                assert same(getattr(part, name), kept), name
                assert behavior(part) == behavior(unchanged), f"{name} = {value!r} was refused and acts"
                continue
            taken.add(name)
            found = getattr(part, name)
            assert name == "rng" or same(found, value) or np.allclose(found, value), f"{name} = {value!r} is {found!r}"
            assert same(getattr(copied(part), name), found), f"{name} of a copy"
            assert behavior(copied(part)) == behavior(part), f"{name} = {value!r} does not act in a copy"
            arguments = inspect.signature(type(part)).parameters
            if rebuild is not None and name in arguments:
                config = {argument: getattr(part, argument) for argument in arguments}
                assert to_config(part)[name] == to_config(rebuild(config))[name]
                assert behavior(rebuild(config)) == behavior(part), f"{name} = {value!r} acts otherwise when it is saved"
        with pytest.raises(REFUSALS, match=name):
            delattr(build(), name)
    return taken


def network_of(layer: nl.Layer) -> nl.Network:
    return nl.Network([*before(layer, 4, "tanh"), layer], rng=5)


@pytest.mark.parametrize("variant", {v.kind: v for v in LAYER_VARIANTS}.values(), ids=str)
def test_layer_follows_or_refuses(variant: Variant) -> None:
    def build() -> nl.Layer:
        return network_of(variant.layer(4, 3)).layers[-1]

    def behavior(layer: nl.Layer) -> bytes:
        layer = copy.deepcopy(layer)  # a pass in training changes the state
        x = layer.example(np.random.default_rng(1).normal(size=(6, layer.n_in))).astype(np.float32)
        for attribute, value in list(vars(layer).items()):
            if isinstance(value, np.random.Generator):
                setattr(layer, attribute, np.random.default_rng(3))
        y = layer.forward(x, training=True).tobytes()
        return y + layer.forward(x).tobytes()

    def rebuild(config: dict[str, Any]) -> nl.Layer:
        return network_of(variant.kind(**config)).layers[-1]

    composite = variant.kind in (nl.Residual, nl.Average)
    taken = check_assignments(build, behavior, None if composite else rebuild)
    assert taken >= {p.name for p in build().parameters() if "." not in p.name} | live_names(variant.kind)


def live_names(kind: type[Any]) -> set[str]:
    declared = {name: getattr(kind, name, None) for name in dir(kind)}
    return {name for name, one in declared.items() if type(one) is Attribute and one.check is not None}


@pytest.mark.parametrize("variant", {v.kind: v for v in LOSS_VARIANTS}.values(), ids=str)
def test_loss_follows_or_refuses(variant: Variant) -> None:
    y, target = draw(variant, variant.case.targets[0], 6, 3)

    def behavior(loss: nl.Loss) -> bytes:
        try:
            value, dy = loss(y.copy(), target)
        except NumlpError as error:  # such as one weight too few
            return str(error).encode()
        return np.float64(value).tobytes() + dy.tobytes()

    check_assignments(
        variant.build, behavior, lambda config: variant.kind(**config), lambda loss: pickle.loads(pickle.dumps(loss))
    )


@pytest.mark.parametrize("variant", {v.kind: v for v in OPTIMIZER_VARIANTS}.values(), ids=str)
def test_optimizer_follows_or_refuses(variant: Variant) -> None:
    def started(optimizer: nl.Optimizer) -> nl.Optimizer:
        optimizer.start(np.zeros(5), 3, 10)
        optimizer.step(np.ones(5), np.full(5, 0.5))
        return optimizer

    def behavior(optimizer: nl.Optimizer) -> bytes:
        p = np.linspace(-1, 1, 5)
        optimizer.step(p, np.linspace(1, 2, 5))
        return p.tobytes()

    def rebuild(config: dict[str, Any]) -> nl.Optimizer:
        return started(variant.kind(**config))

    taken = check_assignments(lambda: started(variant.build(0.1)), behavior)
    assert taken >= {"learning_rate", "scale", "clip_norm", "n_steps"}
    optimizer = started(variant.build(0.1))
    optimizer.learning_rate = 0.025
    state = optimizer.state()
    again = started(variant.build(0.1))
    again.restore(state)
    assert again.learning_rate == 0.025 and behavior(again) == behavior(optimizer)


@pytest.mark.parametrize("variant", SCHEDULE_VARIANTS, ids=str)
def test_schedule_refuses(variant: Variant) -> None:
    assert not check_assignments(variant.build, lambda schedule: np.float64(schedule(2, 10)).tobytes())


CALLBACKS: dict[str, Callable[[], nl.Callback]] = {
    "EarlyStopping": nl.EarlyStopping,
    "MaxNorm": lambda: nl.MaxNorm(2.0),
    "MovingAverage": nl.MovingAverage,
    "ReduceOnPlateau": nl.ReduceOnPlateau,
}


@pytest.mark.parametrize("name", CALLBACKS)
def test_callback_follows_or_refuses(name: str) -> None:
    build = CALLBACKS[name]
    kind = type(build())
    taken = check_assignments(build, lambda callback: repr(to_config(callback)).encode(), lambda config: kind(**config))
    assert taken == live_names(kind)


def test_checkpointer_refuses(tmp_path: Path) -> None:
    assert not check_assignments(lambda: nl.Checkpointer(tmp_path), lambda one: repr(one.epochs).encode())


def test_distortion_follows_or_refuses() -> None:
    x = np.random.default_rng(0).integers(0, 256, (3, 64)).astype(np.uint8)

    def behavior(distortion: nl.Distortion) -> bytes:
        return distortion(x, np.random.default_rng(1)).tobytes()

    build = lambda: nl.Distortion((8, 8))  # noqa: E731
    taken = check_assignments(build, behavior, lambda config: nl.Distortion(**config))
    assert taken == {"rotation", "shear", "scale", "shift"}


def test_network_follows_or_refuses(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32)

    def build() -> nl.Network:
        loss = nl.SoftmaxCrossEntropy()
        return nl.Network([nl.Dense(4, 6, "relu"), nl.Dense(6, 3)], rng=5, loss=loss, class_names="abc", l2=0.1)

    def behavior(network: nl.Network) -> bytes:
        figures = nl.evaluate(network, (x, np.arange(20) % 3), progress=False)
        return (
            network.outputs(x).tobytes() + network.outputs(x[:1]).tobytes() + repr((figures, network.class_names)).encode()
        )

    def saved(network: nl.Network) -> nl.Network:
        nl.save(network, tmp_path / "model")
        found = nl.load(tmp_path / "model")
        found.grads, found.rng = network.grads, copy.deepcopy(network.rng)  # which no file has
        return found

    expected = {"params", "grads", "state", "l2", "rng"}
    assert check_assignments(build, behavior, copied=saved) == expected
    assert check_assignments(build, behavior, copied=_copied_with_grads) == expected
    network = build()
    network.loss, network.class_names = nl.Focal(), ["x", "y", "z"]
    assert type(saved(network).loss) is nl.Focal and saved(network).class_names == ("x", "y", "z")
    for name, value in {
        "loss": nl.Focal,
        "class_names": "ab",
        "l2": -1,
        "rng": "seed",
        "extra": [1],
        "metrics": {1: 2},
    }.items():
        with pytest.raises(NumlpError, match=f"Network: {name} must"):
            setattr(network, name, value)


def _copied_with_grads(source: nl.Network) -> nl.Network:
    network = copy.deepcopy(source)
    network.grads = source.grads  # no copy has them
    return network


def test_generator_of_a_network_is_that_of_its_layers() -> None:
    network = nl.Network([nl.Residual([nl.Dropout(4, 0.5)]), nl.GaussianNoise(4, 1.0)], rng=0)
    x, outputs = np.ones((5, 4), np.float32), []
    for _ in range(2):
        network.rng = np.random.default_rng(7)
        outputs.append(network.forward(x, training=True).copy())
    np.testing.assert_array_equal(*outputs)


def test_view_takes_what_is_assigned_in_place() -> None:
    network = nl.Network([nl.Dense(3, 2), nl.BatchNorm(2)], rng=0)
    layer = network.layers[0]
    W: Array = layer.W  # type: ignore[attr-defined]
    layer.W = np.arange(6.0).reshape(3, 2)  # type: ignore[attr-defined]
    layer.W += 1  # type: ignore[attr-defined]
    network.layers[1].running_mean = [3, 4]  # type: ignore[attr-defined]
    assert layer.W is W and network.params[:6].tolist() == [1, 2, 3, 4, 5, 6]  # type: ignore[attr-defined]
    assert network.state[:2].tolist() == [3, 4]
    with pytest.raises(ShapeError, match=r"Dense: W must have shape \(3, 2\), got \(2, 3\)"):
        layer.W = np.ones((2, 3))  # type: ignore[attr-defined]
    with pytest.raises(ShapeError, match="Dense: W must have rows of equal length, got lengths 1, 2"):
        layer.W = [[1], [1, 2], [1]]  # type: ignore[attr-defined]
    with pytest.raises(ArgumentError, match="Dense: W must hold no masked numbers"):
        layer.W = np.ma.masked_equal(np.ones((3, 2)), 1)  # type: ignore[attr-defined]
    with pytest.raises(ReadOnlyError, match="Dense: W must stay"):
        del layer.W  # type: ignore[attr-defined]


def test_name_of_other_libraries_is_refused_except_in_own_parts() -> None:
    class Own(nl.Layer):
        def __init__(self) -> None:
            self.n_in = self.n_out = 2
            self.trainable = False

    assert Own().trainable is False
    with pytest.raises(ReadOnlyError, match=r"Adam: lr must stay None, got 0\.1; set learning_rate"):
        nl.Adam().lr = 0.1
    with pytest.raises(ReadOnlyError, match=r"Dense: trainable must stay None, got False; write layer\.dW"):
        nl.Dense(2, 2).trainable = False


@pytest.mark.filterwarnings("ignore:fit. loss after")
def test_learning_rate_and_gradients_assigned_in_a_callback_act() -> None:
    class Freeze(nl.Callback):
        def on_gradients(self, run: Any) -> None:
            run.network.layers[0].dW = np.zeros((64, 8))

        def on_epoch(self, run: Any) -> None:
            run.optimizer.learning_rate = 1e-9

    data = nl.load_digits()
    network = nl.Network([nl.Dense(64, 8, "relu"), nl.Dense(8, 10)], rng=0)
    frozen = network.layers[0].W.copy()  # type: ignore[attr-defined]
    history = nl.fit(network, data.train, epochs=3, optimizer=nl.SGD(0.1), callbacks=[Freeze()], progress=False)
    assert history["learning_rate"] == [0.1, 1e-9, 1e-9]
    np.testing.assert_array_equal(network.layers[0].W, frozen)  # type: ignore[attr-defined]


class Own(nl.Layer):
    """A layer of the user's own, whose attributes are its own."""

    def __init__(self, n_in: int, slope: float) -> None:
        self.n_in = self.n_out = n_in
        self.slope = slope
        self.n_in = n_in  # as often as it likes, before a network has it

    def parameters(self) -> tuple[Parameter, ...]:
        return (Parameter("shift", (self.n_out,), "bias"),)

    def initialize(self, rng: np.random.Generator) -> None:
        self.shift.fill(0)

    def forward(self, x: Array, training: bool = False) -> Array:
        self.x = x
        return self.slope * x + self.shift


def test_layer_of_the_users_own_profits() -> None:
    layer = Own(2, 3.0)
    network = nl.Network([layer])
    layer.slope, layer.shift = 2.0, [1, -1]
    for n in (1, 20):
        np.testing.assert_array_equal(network.predict(np.ones((n, 2))), [[3, 1]] * n)
    assert network.params.tolist() == [1, -1]
    with pytest.raises(ReadOnlyError, match="Own: n_in must stay 2, got 5"):
        layer.n_in = 5
