"""Layers and losses of the user's own, and of numlp: copied, pickled, saved, resumed, sent to another process."""

import copy
import datetime
import enum
import json
import math
import os
import pickle
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import numlp as nl
from cases import LAYER_VARIANTS, LOSS_VARIANTS, OPTIMIZER_VARIANTS, SCHEDULE_VARIANTS, before, output_layers
from numlp.arena import Parameter
from numlp.config import arguments_of
from numlp.errors import ArgumentError, CheckpointError, DTypeError, NumlpError
from numlp.states import read_state, write_state

Array = np.ndarray[Any, Any]


class Double(nl.Layer):
    """No parameters."""

    def __init__(self, n_in: int) -> None:
        self.n_in = self.n_out = n_in

    def forward(self, x: Array, training: bool = False) -> Array:
        return 2 * x

    def backward(self, dy: Array) -> Array:
        return 2 * dy


class Blend(nl.Layer):
    """A parameter, a mask that is no argument, and an argument kept under another name."""

    def __init__(self, n_in: int, factor: float) -> None:
        self.n_in = self.n_out = n_in
        self._factor = factor
        self.mask = np.random.default_rng().random(n_in) > 0.5

    def parameters(self) -> tuple[Parameter, ...]:
        return (Parameter("gain", (self.n_out,), "weight"),)

    def initialize(self, rng: np.random.Generator) -> None:
        self.gain[...] = rng.normal(size=self.n_in)

    def forward(self, x: Array, training: bool = False) -> Array:
        self._x = x
        return (x * self.gain * self._factor * self.mask).astype(x.dtype)

    def backward(self, dy: Array) -> Array:
        self.dgain[...] = (dy * self._x * self._factor * self.mask).sum(axis=0)
        return dy * self.gain * self._factor * self.mask


class Stack(nl.Residual):
    """A container, with layers inside it by two names."""

    def __init__(self, layers: Any) -> None:
        super().__init__(layers)
        self.inner = {"first": self.layers[0]}


class Dense(nl.Dense):
    """Named like one of numlp's, and something else."""

    def forward(self, x: Array, training: bool = False) -> Array:
        return np.negative(super().forward(x, training))


class HalfSquare(nl.SquaredError):
    def __call__(self, *arguments: Any) -> Any:
        value, dy = super().__call__(*arguments)
        return value / 2, dy / 2


def network(**options: Any) -> nl.Network:
    layers = [nl.Dense(4, 5, "relu"), Double(5), Stack([Blend(5, 0.5), nl.Dropout(5, 0.3)]), nl.Dense(5, 3)]
    return nl.Network(layers, rng=0, **options)


def pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


COPIES = [copy.copy, copy.deepcopy, pickled]


def step(net: nl.Network, loss: nl.Loss, x: Array, target: Array) -> bytes:
    """Return what a training step in the present state computes."""
    y = net.forward(x, training=True)
    value, dy = loss(y, target)
    net.backward(dy)
    return np.float64(value).tobytes() + net.grads.tobytes() + net.state.tobytes()


X, Y = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32), np.arange(18.0, dtype=np.float32).reshape(6, 3)


@pytest.mark.parametrize("how", COPIES)
def test_copy_of_a_network_with_own_parts_takes_the_same_step(how: Any) -> None:
    net = network(loss=HalfSquare())
    net.forward(X, training=True)
    state = net.rng.bit_generator.state
    twin = how(net)
    assert type(twin.loss) is HalfSquare and [type(layer) for layer in twin.layers] == [type(layer) for layer in net.layers]
    assert twin.layers[2].inner["first"] is twin.layers[2].layers[0] is not net.layers[2].layers[0]
    found = []
    for one in (net, twin):
        one.rng.bit_generator.state = state
        found.append(step(one, one.loss, X, Y))
        assert one.layers[2].layers[0].gain.base is not None
    assert found[0] == found[1]
    twin.params[...] = 0
    assert net.params.any() and not twin.layers[2].layers[0].gain.any()


@pytest.mark.parametrize("how", COPIES)
def test_copy_of_a_layer_without_a_network_works(how: Any) -> None:
    assert nl.check_gradients(how(Blend(3, 2.0))) < 1e-6
    assert nl.check_gradients(how(HalfSquare())) < 1e-6


def owned(part: Any) -> Any:
    """Return the part as one of a subclass that the user has written."""
    kind = type(part)
    name = f"Own{kind.__name__}"
    if name not in globals():
        globals()[name] = type(name, (kind,), {"__module__": __name__})
    return globals()[name](**arguments_of(part))


@pytest.mark.filterwarnings("ignore:.* must declare its arrays")
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("variant", LAYER_VARIANTS, ids=str)
def test_every_layer_is_copied_pickled_and_saved(variant: Any, own: bool, tmp_path: Path) -> None:
    plain = variant.layer(4, 5)
    layer = owned(plain) if own else plain
    net = nl.Network([*before(plain, 3), layer], rng=0)
    x = net.layers[0].example(np.random.default_rng(2).normal(size=(5, net.n_in)).astype(np.float32))
    net.forward(x, training=True)
    expected = net.outputs(x)
    for how in (copy.deepcopy, pickled):
        twin = how(net)
        assert type(twin.layers[-1]) is type(layer) and twin.outputs(x).tobytes() == expected.tobytes()
        how(layer)
    if own:
        with pytest.raises(CheckpointError, match=rf"parts=\[{type(layer).__name__}\]"):
            nl.save(net, tmp_path / "m")
        assert not os.listdir(tmp_path)
    parts = [type(layer)] if own else []
    nl.save(net, tmp_path / "m", parts=parts)
    back = nl.load(tmp_path / "m", parts=parts)
    assert type(back.layers[-1]) is type(layer) and back.outputs(x).tobytes() == expected.tobytes()
    if own:
        with pytest.raises(CheckpointError, match=rf"nl\.load\(path, parts=\[{type(layer).__name__}\]\)"):
            nl.load(tmp_path / "m")


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("variant", LOSS_VARIANTS, ids=str)
def test_every_loss_is_copied_pickled_and_saved(variant: Any, own: bool, tmp_path: Path) -> None:
    loss = owned(variant.build()) if own else variant.build()
    net = nl.Network(output_layers(variant, 4, 3), rng=0, loss=loss)
    for how in (copy.deepcopy, pickled):
        assert type(how(net).loss) is type(how(loss)) is type(loss) and arguments_of(how(net).loss) == arguments_of(loss)
    if own:
        with pytest.raises(CheckpointError, match=r"^save: loss must be one of "):
            nl.save(net, tmp_path / "m")
        assert not os.listdir(tmp_path)
    parts = [type(loss)] if own else []
    nl.save(net, tmp_path / "m", parts)
    assert nl.load(tmp_path / "m", parts=parts).to_config() == net.to_config()


@pytest.mark.parametrize("variant", [*OPTIMIZER_VARIANTS, *SCHEDULE_VARIANTS], ids=str)
def test_every_optimizer_and_schedule_is_copied_and_pickled(variant: Any) -> None:
    part = variant.build(0.1) if variant in OPTIMIZER_VARIANTS else variant.build()
    for one in (part, owned(part)):
        for how in COPIES:
            assert repr(arguments_of(how(one))) == repr(arguments_of(one)) and type(how(one)) is type(one)


def test_copy_of_a_loss_takes_no_batch_along() -> None:
    net = network(loss=HalfSquare())
    small = len(pickle.dumps(net))
    x = np.zeros((1000, 4), np.float32)
    net.loss(net.forward(x), np.zeros((1000, 3), np.float32))
    assert len(pickle.dumps(net)) < small + 100


def test_part_that_keeps_its_arguments_under_other_names_is_copied_and_not_saved(tmp_path: Path) -> None:
    net = nl.Network([Blend(4, 0.5)], rng=0)
    assert copy.deepcopy(net).outputs(X).tobytes() == pickled(net).outputs(X).tobytes() == net.outputs(X).tobytes()
    with pytest.raises(CheckpointError, match=r"^save: Blend must keep its argument 'factor' as an attribute, got none"):
        nl.save(net, tmp_path / "m", parts=[Blend])
    assert not os.listdir(tmp_path)


class Growing(Double):
    def __init__(self, n_in: int, times: int = 1) -> None:
        super().__init__(n_in)
        self.times = times + 1


class Named(Double):
    def __init__(self, n_in: int, **options: Any) -> None:
        super().__init__(n_in)


class Holding(Double):
    def __init__(self, n_in: int, mask: Any = None) -> None:
        super().__init__(n_in)
        self.mask = mask


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (Growing(4), r"^save: layers must be built again as they are, got .*'times': 2.*, which gives .*'times': 3"),
        (Named(4), r"^save: Named\.__init__ must name its arguments, got \*\*options"),
        (Holding(4, np.ones(4)), r"^save: Holding\.mask: value must be a number, a text, a list or a part, got array\(\[1"),
        (Holding(4, {1}), r"^save: Holding\.mask: value must be a number, a text, a list or a part, got \{1\}"),
    ],
)
def test_own_layer_that_would_not_be_built_again_is_not_saved(layer: Any, text: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=text):
        nl.save(nl.Network([layer], rng=0), tmp_path / "m", parts=[type(layer)])
    assert not os.listdir(tmp_path)
    assert type(copy.deepcopy(nl.Network([type(layer)(4)])).layers[0]) is type(layer)


@pytest.mark.parametrize(
    ("parts", "error", "text"),
    [
        ([Double(3)], DTypeError, r"parts must be classes of layers and losses, such as \[MyLayer\], got Double\(3\)"),
        ([int], DTypeError, r"parts must be classes of layers and losses, .* got <class 'int'>"),
        (
            [Dense, type("Dense", (nl.Dense,), {})],
            ArgumentError,
            r"parts must have different names, got 2 classes Dense; rename",
        ),
    ],
)
def test_parts_that_are_none_are_named(parts: Any, error: type[Exception], text: str, tmp_path: Path) -> None:
    net = nl.Network([nl.Dense(2, 2)], rng=0)
    nl.save(net, tmp_path / "m", parts=Double)  # type: ignore[arg-type]  # a single class is understood
    for call in (lambda: nl.save(net, tmp_path / "m", parts=parts), lambda: nl.load(tmp_path / "m", parts=parts)):
        with pytest.raises(error, match=text):
            call()


def train(folder: Path, layer: nl.Layer, epochs: int = 2) -> nl.Network:
    net = nl.Network([nl.Dense(4, 5), layer, nl.Dense(5, 3)], rng=0)
    keep = nl.Checkpointer(folder)
    nl.fit(net, (X, Y), loss=HalfSquare(), epochs=epochs, callbacks=[keep], resume=folder, progress=False)
    return net


def test_checkpoint_with_own_parts_resumes_and_loads_with_their_classes(tmp_path: Path) -> None:
    first, second = train(tmp_path, Double(5)), train(tmp_path, Double(5))
    assert first.params.tobytes() == second.params.tobytes()
    path = max(tmp_path.iterdir())
    with pytest.raises(CheckpointError, match=r"write nl\.load\(path, parts=\[Double, HalfSquare\]\)$"):
        nl.load(path)
    back = nl.load(path, parts=[Double, HalfSquare])
    assert back.outputs(X).tobytes() == first.outputs(X).tobytes() and type(back.loss) is HalfSquare


def test_checkpoint_with_a_layer_named_like_one_of_numlp_is_not_taken_for_it(tmp_path: Path) -> None:
    train(tmp_path, Dense(5, 5))
    with pytest.raises(CheckpointError, match=r"parts must have the classes Dense, HalfSquare, which are not numlp's"):
        nl.load(max(tmp_path.iterdir()))


def test_own_layer_named_like_one_of_numlp_is_saved_and_never_taken_for_it(tmp_path: Path) -> None:
    net = nl.Network([Dense(4, 3)], rng=0)
    nl.save(net, tmp_path / "own", parts=[Dense])
    nl.save(nl.Network([nl.Dense(4, 3)], rng=0), tmp_path / "numlp")
    with pytest.raises(CheckpointError, match=r"parts must have the classes Dense, which are not numlp's, got none"):
        nl.load(tmp_path / "own")
    assert nl.load(tmp_path / "own", parts=[Dense, Double]).outputs(X).tobytes() == net.outputs(X).tobytes()
    assert type(nl.load(tmp_path / "numlp", parts=[Dense]).layers[0]) is nl.Dense
    with pytest.raises(CheckpointError, match=r"^save: layer 1 must be one of .*, got Dense\(3 -> 3\); "):
        nl.save(nl.Network([Dense(4, 3), nl.Dense(3, 3)], rng=0), tmp_path / "both", parts=[Dense])
    assert sorted(os.listdir(tmp_path)) == ["numlp", "own"]


@pytest.mark.parametrize("own", [3, ["a b"], [3], {"Dense": 1}, None])
def test_file_with_odd_names_of_own_parts_is_refused(own: Any, tmp_path: Path) -> None:
    train(tmp_path, Double(5))
    write_state(tmp_path / "odd", read_state(max(tmp_path.iterdir())) | {"own_parts": own})
    with pytest.raises(CheckpointError, match="own_parts must be names of classes, got "):
        nl.load(tmp_path / "odd", parts=[Double, HalfSquare])


@pytest.mark.parametrize("depth", [2_000, 200_000])
def test_what_is_nested_too_deeply_is_not_saved(depth: int, tmp_path: Path) -> None:
    net, inner = nl.Network([nl.Dense(2, 2)]), []
    net.extra["a"] = inner
    for _ in range(depth):
        inner.append([])
        inner = inner[0]
    with pytest.raises(CheckpointError, match="must be nested less deeply, got too many levels to read"):
        nl.save(net, tmp_path / "m")
    net.extra["a"] = net.extra
    with pytest.raises(CheckpointError, match="must be nested less deeply, got too many levels to read"):
        nl.save(net, tmp_path / "m")
    assert not os.listdir(tmp_path)


def test_loss_that_is_none_and_the_key_of_arrays_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="got a dict with the key '__tensor__' alone"):
        write_state(tmp_path / "m", {"a": {"__tensor__": "params"}})
    assert not os.listdir(tmp_path)


def test_checkpoint_of_before_that_does_not_know_of_own_parts_loads(tmp_path: Path) -> None:
    train(tmp_path, nl.Scale(5))
    state = read_state(max(tmp_path.iterdir()))
    state["settings"]["loss"] = {"type": "SquaredError"}
    del state["own_parts"], state["inputs"]
    write_state(tmp_path / "old", state)
    assert nl.load(tmp_path / "old").params.size == 48


def test_pickle_of_before_loads() -> None:
    from numlp.network import _rebuild

    net = nl.Network([nl.Dense(4, 3)], rng=0)
    back = _rebuild(net.to_config(), *net.snapshot(), np.random.default_rng(0), {}, {})
    assert back.outputs(X).tobytes() == net.outputs(X).tobytes()


class Negative(nl.Network):
    def outputs(self, x: Any, progress: bool = True) -> Array:
        return np.negative(super().outputs(x, progress))


@pytest.mark.parametrize("how", COPIES)
def test_copy_of_an_own_network_is_of_its_class(how: Any) -> None:
    net = Negative([nl.Dense(4, 3)], rng=0)
    assert type(how(net)) is Negative and how(net).outputs(X).tobytes() == net.outputs(X).tobytes()


def test_another_process_gets_a_network_with_own_parts(tmp_path: Path) -> None:
    (tmp_path / "net").write_bytes(pickle.dumps(network(loss=HalfSquare())))
    code = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')).layers)"
    environ = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "net"], env=environ, capture_output=True, text=True)
    assert done.stdout == f"{network().layers}\n", done.stderr


# Whatever is put into a network: it comes back, or it is named and nothing is written.

Color = enum.Enum("Color", ["RED"])
PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.integers(-(10**45), 10**45))
SCALARS = st.sampled_from(
    [
        np.float32(0.5),
        np.float64(0.1),
        np.int64(3),
        np.bool_(True),
        np.str_("a"),
        np.float16(2),
        np.uint8(255),
        10**400,
        -0.0,
    ]
)
ODD = st.sampled_from(
    [
        *({1}, b"bytes", datetime.date(2026, 1, 2), Decimal("0.1"), 1j, Color.RED, np.zeros(2), np.datetime64("2026-01-02")),
        *("\ud83d", "a\n\u2603\0", len, np.longdouble(1.5), np.complex64(1), range(3), Path("a"), np.array("x")),
        *({"__tensor__": "params"}, {1: 2}, {None: 1}, {"\udc00": 1}, float("nan"), float("inf")),
    ]
)
VALUES = st.recursive(
    st.one_of(PLAIN, SCALARS, ODD),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(st.one_of(st.text(max_size=4), st.integers(), st.just(np.str_("k"))), inner, max_size=3),
    ),
    max_leaves=6,
)


def same(a: Any, b: Any) -> bool:
    """Whether two values are equal, as JSON sees it: lists and tuples are alike, and so is NaN."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float | np.floating) and isinstance(b, float):
        return bool(math.isnan(a) and math.isnan(b)) or bool(a == b and math.copysign(1, a) == math.copysign(1, b))
    return type(a) is type(b) or isinstance(a, np.generic) if a == b else False


PLACES = {
    "metrics": lambda net, value: net.metrics.update(test=value),
    "extra": lambda net, value: net.extra.update(about=value),
    "all extra": lambda net, value: setattr(net, "extra", value),
    "class_names": lambda net, value: setattr(net, "class_names", value),
    "a class name": lambda net, value: setattr(net, "class_names", ["a", value, "c"]),
    "inputs": lambda net, value: setattr(net, "inputs", value),
    "l2": lambda net, value: setattr(net, "l2", value),
    "loss": lambda net, value: setattr(net, "loss", value),
    "smoothing": lambda net, value: setattr(net.loss, "label_smoothing", value),
    "weights": lambda net, value: setattr(net.loss, "class_weights", value),
    "rate": lambda net, value: setattr(net.layers[1], "rate", value),
    "activation": lambda net, value: setattr(net.layers[0], "activation", value),
}


@pytest.mark.parametrize("place", PLACES)
@given(value=VALUES)
@settings(max_examples=30, deadline=None)
def test_whatever_a_network_holds_comes_back_or_is_named(place: str, value: Any, tmp_path_factory: Any) -> None:
    loss = nl.SoftmaxCrossEntropy(0.1, class_weights=[1, 2, 3])
    net = nl.Network([nl.Dense(2, 3, "relu"), nl.Dropout(3, 0.5)], rng=0, loss=loss)
    try:
        PLACES[place](net, value)
    except (NumlpError, AttributeError, TypeError, ValueError):  # the assignment itself may be refused
        return
    path = tmp_path_factory.getbasetemp() / "whatever"
    path.unlink(missing_ok=True)
    try:
        nl.save(net, path)
    except NumlpError as error:
        assert not path.exists() and str(error).startswith("save: ") and error.__class__ is CheckpointError
        return
    back = nl.load(path)
    assert same(net.metrics, back.metrics) and same(net.extra or {}, back.extra)
    assert same(json.loads(json.dumps(net.to_config(), default=lambda number: number.item())), back.to_config())


@given(value=VALUES)
@settings(max_examples=20, deadline=None)
def test_whatever_goes_along_is_pickled_and_copied(value: Any) -> None:
    net = nl.Network([nl.Dense(2, 3)], rng=0)
    net.metrics["test"] = net.extra["about"] = value
    for how in COPIES:
        back = how(net)
        assert repr(back.extra["about"]) == repr(value) == repr(back.metrics["test"])


@given(value=VALUES)
@settings(max_examples=50, deadline=None)
def test_whatever_a_checkpoint_shall_hold_comes_back_or_is_named(value: Any, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "whatever state"
    path.unlink(missing_ok=True)
    try:
        write_state(path, {"about": value})
    except CheckpointError:
        assert not path.exists()
        return
    back = read_state(path)["about"]
    assert same(value, back) or repr(value) == repr(back)


@given(value=VALUES)
@settings(max_examples=50, deadline=None)
def test_whatever_settings_a_checkpointer_is_given_come_back_or_are_named(value: Any, tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.getbasetemp() / "settings"
    try:
        found = nl.Checkpointer(folder, settings={"about": value}).settings["about"]
    except DTypeError as error:
        assert str(error).startswith("Checkpointer: settings must be a dict of JSON's types")
        return
    assert same(value, found)


def sized(**sizes: Any) -> nl.Layer:
    """Return a layer whose constructor sets these attributes only."""
    layer = Double(3)
    vars(layer).clear()
    for name, value in sizes.items():
        setattr(layer, name, value)
    return layer


@pytest.mark.parametrize(
    ("sizes", "found"),
    [({}, "n_in=None"), ({"n_in": 3}, "n_out=None"), ({"n_in": 0}, "n_in=0"), ({"n_in": "3"}, "n_in='3'")],
)
def test_layer_without_sizes_is_named_by_every_caller(sizes: dict[str, Any], found: str) -> None:
    text = f"n_in, n_out of Double must be set by __init__ to whole numbers of at least 1, got {found}"
    for where, call in (
        ("check_gradients", nl.check_gradients),
        ("Network", lambda layer: nl.Network([layer])),
        ("Residual", lambda layer: nl.Residual([layer])),
    ):
        with pytest.raises(ArgumentError, match=f"^{where}: {text}$"):
            call(sized(**sizes))
    assert repr(sized()) == "Double(?)"


def test_output_of_an_own_layer_with_another_width_is_refused() -> None:
    class Narrow(nl.Layer):
        def __init__(self) -> None:
            self.n_in = self.n_out = 4

        def forward(self, x: Any, training: bool = False) -> Any:
            return x[:, :3]

    network = nl.Network([Narrow(), nl.Dense(4, 2)], rng=0)
    with pytest.raises(nl.errors.ShapeError, match=r"Narrow\(4\)\.forward: y must have shape \(5, 4\), got \(5, 3\)"):
        network.outputs(np.ones((5, 4)))


def test_outputs_and_gradients_of_own_layers_in_any_order_are_taken() -> None:
    class Turned(nl.Layer):
        def __init__(self) -> None:
            self.n_in = self.n_out = 4

        def forward(self, x: Any, training: bool = False) -> Any:
            return np.asfortranarray(x)

        def backward(self, dy: Any) -> Any:
            return np.asfortranarray(dy)

    x, found = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32), []
    for between in ([], [Turned()]):
        network = nl.Network([nl.Dense(4, 4, "tanh"), *between, nl.Dense(4, 2)], rng=0)
        y = network.forward(x, training=True).copy()
        network.backward(np.cos(y))
        found.append((y, network.grads.copy()))
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-5)
    np.testing.assert_allclose(found[1][1], found[0][1], rtol=1e-5)


class Named(nl.Scale):
    """A layer with an argument that holds layers by name."""

    def __init__(self, n_in: int, parts: Any = None, built: bool = False) -> None:
        super().__init__(n_in)
        if built:
            raise ValueError("built twice")
        self.parts, self.built = parts, parts is None


def test_own_layer_that_cannot_be_built_again_is_not_saved(tmp_path: Path) -> None:
    network = nl.Network([Named(2)], rng=0)
    with pytest.raises(CheckpointError, match=r"^save: network must be one that can be built again, got .*built twice"):
        nl.save(network, tmp_path / "m", parts=[Named])
    assert not any(tmp_path.iterdir())


def test_own_layer_in_a_dict_of_another_is_named_where_its_class_is_not_given(tmp_path: Path) -> None:
    class Inner(nl.Scale):
        pass

    network = nl.Network([Named(2, {"inner": Inner(2)})], rng=0)
    with pytest.raises(CheckpointError, match=r"^save: .*Inner"):
        nl.save(network, tmp_path / "m", parts=[Named])
    assert not any(tmp_path.iterdir())
