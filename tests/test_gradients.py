import copy
import re

import numpy as np
import pytest

import numlp as nl
from numlp import verification
from numlp.arena import Parameter
from numlp.differences import numeric_gradient
from numlp.errors import ArgumentError, DTypeError, NumlpError
from numlp.gradients import gradient_report


def test_numeric_gradient_is_the_slope_at_each_index_and_restores_the_array():
    a = np.array([[1.0, 2.0], [-3.0, 0.5]])
    before = a.tobytes()
    slopes = numeric_gradient(lambda: float(np.sum(a**3)), a, np.ndindex(a.shape))
    np.testing.assert_allclose(slopes, (3 * a**2).ravel(), rtol=1e-8)
    assert a.tobytes() == before


def test_numeric_gradient_takes_the_indices_it_is_given():
    a = np.arange(4.0)
    np.testing.assert_allclose(numeric_gradient(lambda: float(a @ a), a, [(3,), (1,)]), [6, 2], rtol=1e-8)
    assert numeric_gradient(lambda: float(a @ a), a, []) == []


def test_check_gradients_returns_the_largest_error():
    assert 0 < nl.check_gradients(nl.Dense(4, 3, "tanh")) < 1e-7
    assert 0 < nl.check_gradients(nl.SquaredError()) < 1e-7


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("build", [lambda: nl.Dense(3, 2, "relu"), lambda: nl.BatchNorm(3), lambda: nl.Dropout(4, 0.5)])
def test_check_gradients_passes_for_any_seed(build, seed):
    assert nl.check_gradients(build(), rng=seed) < 1e-6


def test_check_gradients_is_as_strict_as_it_is_told():
    error = nl.check_gradients(nl.Dense(4, 3, "tanh"))
    with pytest.raises(NumlpError, match=r"^check_gradients: Dense\(4 -> 3, tanh\): d"):
        nl.check_gradients(nl.Dense(4, 3, "tanh"), tolerance=error / 1e6)


def test_check_gradients_names_array_index_and_both_values():
    class Crooked(nl.Dense):
        def backward(self, dy):
            dx = super().backward(dy)
            self.db[1] += 0.5
            return dx

    with pytest.raises(NumlpError) as caught:
        nl.check_gradients(Crooked(3, 2))
    found = re.fullmatch(
        r"check_gradients: Crooked\(3 -> 2\): db\[1\] must be (\S+) \(central difference\), got (\S+)", str(caught.value)
    )
    assert float(found[2]) - float(found[1]) == pytest.approx(0.5, abs=1e-6)


def test_check_gradients_sees_a_gradient_that_is_not_a_number():
    class Lost(nl.SquaredError):
        def __call__(self, y, target):
            value, dy = super().__call__(y, target)
            dy[2, 3] = np.nan
            return value, dy

    with pytest.raises(NumlpError, match=r"^check_gradients: Lost: dy\[2, 3\] must be \S+ \(central difference\), got nan$"):
        nl.check_gradients(Lost())


def test_check_gradients_sees_a_softmax_whose_backward_is_zero():
    class Zero(nl.Softmax):
        def backward(self, dy):
            dy.fill(0)
            return dy

    with pytest.raises(NumlpError, match=r"^check_gradients: Zero\(4\): dx\["):
        nl.check_gradients(Zero(4))


def test_check_gradients_wants_a_new_layer():
    layer = nl.Dense(3, 2)
    nl.Network([layer])
    with pytest.raises(ArgumentError, match=r"must belong to one network, got a second one; build a new layer$"):
        nl.check_gradients(layer)


@pytest.mark.parametrize("part", [nl.Dense, nl.Adam(), "Dense", None])
def test_check_gradients_wants_a_layer_or_a_loss(part):
    with pytest.raises(DTypeError) as caught:
        nl.check_gradients(part)
    assert str(caught.value).startswith(
        f"check_gradients: part must be a layer or a loss, got {part!r}; for functions give "
    )


class OwnDense(nl.Layer):
    """A dense layer that keeps its numbers itself, as in an exercise."""

    n_in, n_out = 4, 3

    def __init__(self):
        self.W, self.b = np.random.default_rng(0).normal(size=(4, 3)), np.zeros(3)

    def forward(self, x, training=False):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dy):
        self.dW, self.db = self.x.T @ dy, dy.sum(axis=0)
        return dy @ self.W.T


class InDicts(OwnDense):
    def __init__(self):
        super().__init__()
        self._params, self._grads = {"W": self.W, "b": self.b}, {}
        del self.W, self.b

    def forward(self, x, training=False):
        self.x = x
        return x @ self._params["W"] + self._params["b"]

    def backward(self, dy):
        self._grads["W"], self._grads["b"] = self.x.T @ dy, dy.sum(axis=0)
        return dy @ self._params["W"].T


class Private(OwnDense):
    def __init__(self):
        super().__init__()
        self._W = self.W
        del self.W

    def forward(self, x, training=False):
        self.x = x
        return x @ self._W + self.b

    def backward(self, dy):
        self._dW = self.x.T @ dy
        return dy @ self._W.T


class Late(OwnDense):
    def __init__(self):
        self.W = None

    def forward(self, x, training=False):
        if self.W is None:
            super().__init__()
        return super().forward(x, training)


class Running(OwnDense):
    """The mean of the inputs, kept for prediction."""

    def __init__(self):
        self.mean = np.zeros(4)

    n_out = 4

    def forward(self, x, training=False):
        if training:
            self.mean = 0.9 * self.mean + 0.1 * x.mean(axis=0)
        return x if training else x - self.mean

    def backward(self, dy):
        return dy


class Slope(OwnDense):
    n_out = 4

    def __init__(self):
        self.a = 0.5

    def forward(self, x, training=False):
        self.x = x
        return self.a * x

    def backward(self, dy):
        self.da = float(np.sum(dy * self.x))
        return self.a * dy


class Nested(OwnDense):
    def __init__(self):
        self.blocks = [OwnDense()]

    def forward(self, x, training=False):
        return self.blocks[0].forward(x)

    def backward(self, dy):
        return self.blocks[0].backward(dy)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (OwnDense, ["W", "b"]),
        (InDicts, ["_params['W']", "_params['b']"]),
        (Private, ["b", "_W"]),
        (Late, ["W", "b"]),
        (Running, ["mean"]),
        (Slope, ["a"]),
        (Nested, ["blocks[0].W", "blocks[0].b"]),
    ],
)
def test_arrays_that_are_not_declared_fail_by_name(kind, names):
    with pytest.raises(NumlpError) as caught:
        nl.check_gradients(kind())
    assert f"parameters() must declare every array that the output depends on, got {', '.join(names)} besides" in str(
        caught.value
    )
    assert gradient_report(kind()).unchecked == names and "dx" in gradient_report(kind()).errors


class Buffers(nl.Layer):
    """Buffers, caches, views and constants in every place an author may put them."""

    n_in = n_out = 4

    def __init__(self, scale=(1.0, 2.0, 3.0, 4.0)):
        self.scale = scale
        self._factors = np.array(scale)
        self.table = np.array(scale)
        self.table.flags.writeable = False
        self.rate, self.cache, self.last = 0.5, {}, []

    def parameters(self):
        return [Parameter("W", (4, 4), "weight"), Parameter("seen", (4,), "state")]

    def initialize(self, rng):
        self.W[...] = rng.normal(size=(4, 4))
        self.weights = self.W[:2]

    def reserve(self, batch_size, need_dx):
        super().reserve(batch_size, need_dx)
        self.y, self.dy, self.x = (np.empty((batch_size, 4), self.dtype) for _ in range(3))

    def forward(self, x, training=False):
        self.x, self.cache["x"], self.last[:] = x, x, [x.copy()]
        self.z = self.rate * x * self._factors * self.table
        self.dz = np.zeros_like(self.z)
        return np.matmul(self.z, self.W, out=self.y[: len(x)])

    def backward(self, dy):
        np.matmul(self.z.T, dy, out=self.dW)
        self.dz = dy @ self.W.T
        self.dx = self.rate * self.dz * self._factors * self.table
        return self.dx


def test_buffers_caches_views_and_constants_are_no_alarm():
    report = gradient_report(Buffers())
    assert (list(report.errors), report.failures, report.unchecked) == (["dx", "dW"], [], ["_factors"])
    nl.Network([Buffers()])  # and no warning


def test_parts_of_numlp_have_no_array_that_is_not_declared():
    # a constant made from an argument of the constructor
    assert {str(report.unchecked) for report in map(gradient_report, cases_of_layers())} <= {"[]", "['_all_knots']"}


def cases_of_layers():
    return [verification.build(config) for key, config, _ in verification.cases("layers") if "/" not in key]


def test_network_warns_once_of_arrays_that_are_neither_trained_nor_saved():
    with pytest.warns(UserWarning, match=r"of OwnDense\(4\) must declare its arrays, got W, b ") as found:
        network = nl.Network([OwnDense()], dtype=np.float64)
        nl.fit(network, (np.ones((6, 4)), np.arange(6) % 3), epochs=1)
    assert len(found) == 1


X, W, B = (np.random.default_rng(0).normal(size=shape) for shape in ((5, 4), (4, 3), 3))
LABELS = np.array([0, 1, 2, 0, 1])


class Full:
    """The layer of the exercise: it keeps what backward needs."""

    def forward(self, X, W):
        self.mem = {"X": X, "W": W}
        return X @ W

    def backward(self, g):
        return g @ self.mem["W"].T, self.mem["X"].T @ g


class Loss:
    def forward(self, p, labels):
        self.p, self.labels = np.exp(p), labels
        return -p[np.arange(len(p)), labels]

    def backward(self):
        g = np.zeros_like(self.p)
        g[np.arange(len(g)), self.labels] = -1
        return g


class PlainDense:
    def __init__(self):
        self.W, self.b = W.copy(), B.copy()

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dy):
        self.dW, self.grad_b = self.x.T @ dy, dy.sum(axis=0)
        return dy @ self.W.T


def affine(x, w, b):
    return x @ w + b, (x, w)


def squares_slope(p, k):
    return 2 * p * np.bincount(k, minlength=len(p))[:, None]


class InPlace:
    def forward(self, x):
        self.x = x
        x[x < 0] = 0
        return x

    def backward(self, dy):
        dy[self.x <= 0] = 0
        return dy


class DroppedOut:
    def __init__(self, rng):
        self.rng = rng

    def forward(self, x):
        self.mask = self.rng.uniform(size=x.shape) > 0.5
        return x * self.mask

    def backward(self, dy):
        return dy * self.mask


class Step:
    def __init__(self):
        self.W = W.copy()

    def forward(self, x):
        self.x = x
        return x @ self.W

    def backward(self, output_gradient, learning_rate):
        self.dW = self.x.T @ output_gradient
        self.W -= learning_rate * self.dW
        return output_gradient @ self.W.T


PLAIN = {
    "object": ((Full(),), {"inputs": [X, W]}, ["dX", "dW"]),
    "dict": ((Full(),), {"inputs": {"a": X, "W": W}}, ["da", "dW"]),
    "methods": ((Full().forward, lambda g: (g @ W.T, X.T @ g), [X, W]), {}, ["dX", "dW"]),
    "parameters": ((PlainDense(),), {"inputs": [X]}, ["dx", "dW", "grad_b"]),
    "labels": ((Loss(),), {"inputs": [X, LABELS]}, ["dp"]),
    "any arguments": ((lambda *x: np.tanh(x[0]), lambda *dy: dy[0] / np.cosh(X) ** 2, [X]), {}, ["dx0"]),
    "inputs by name": ((lambda a, c: a * c, lambda dy, c, a: (dy * c, dy * a), [X, X + 1]), {}, ["da", "dc"]),
    "inputs by place": ((lambda x: x**2, lambda g, last: 2 * g * last, [X]), {}, ["dx"]),
    "cache": ((affine, lambda dy, cache: (dy @ cache[1].T, cache[0].T @ dy, dy.sum(0)), [X, W, B]), {}, ["dx", "dw", "db"]),
    "dict of gradients": ((lambda x: x**3, lambda dy, x: {"dx": 3 * x * x * dy}, [X]), {}, ["dx"]),
    "number": ((lambda x: float(np.sum(x**2)), lambda dy, x: 2 * dy * x, [X]), {}, ["dx"]),
    "a loss and its derivative": ((lambda p, k: np.sum(p[k] ** 2), squares_slope, [X, LABELS[:3]]), {}, ["dp"]),
    "a function and its derivative": ((lambda x: x**3, lambda x: 3 * x * x, [X]), {}, ["dx"]),
    "changes its inputs": ((InPlace(),), {"inputs": [X]}, ["dx"]),
    "draws from np.random": ((DroppedOut(np.random),), {"inputs": [X]}, ["dx"]),
    "draws from its generator": ((DroppedOut(np.random.default_rng(0)),), {"inputs": [X]}, ["dx"]),
    "takes a step": ((Step(),), {"inputs": [X]}, ["dx", "dW"]),
    "keywords": ((), {"forward": np.square, "backward": lambda g: 2 * X * g, "inputs": (X,)}, None),
}  # fmt: skip


class FreshRandom:
    def forward(self, x):
        return x * np.random.default_rng().random(x.shape)

    def backward(self, dy):
        return dy


class NoReturn(PlainDense):
    def backward(self, dy):
        super().backward(dy)


class Added(nl.Layer):
    n_in = n_out = 3

    def parameters(self):
        return [Parameter("g", (3,), "bias")]

    def forward(self, x, training=False):
        self._x = x
        return x * self.g

    def backward(self, dy):
        self.dg += (dy * self._x).sum(axis=0)
        return dy * self.g


@pytest.mark.parametrize(
    ("part", "inputs", "text"),
    [
        (FreshRandom(), [X], "FreshRandom: forward must return the same for the same inputs, got another output"),
        (NoReturn(), [X], "NoReturn: backward must return dx, got None"),
        (Added(), None, "dg must be the same after a second backward pass, got another one; assign it (=)"),
    ],
)
def test_passes_that_do_not_fit_a_training_are_named(part, inputs, text):
    with pytest.raises(NumlpError) as caught:
        nl.check_gradients(part, inputs=inputs)
    assert text in str(caught.value)


@pytest.mark.parametrize("name", PLAIN)
def test_plain_functions_and_objects_are_checked(name):
    arguments, options, checked = PLAIN[name]
    before = X.tobytes()
    check = nl.check_gradients(*arguments, **options)
    assert check < 1e-6 and (checked is None or list(check.errors) == checked)
    assert X.tobytes() == before and copy.deepcopy(check).errors == check.errors


@pytest.mark.parametrize("factor", [0.0, 1.001, -1.0, np.nan])
def test_plain_gradients_that_are_wrong_are_named(factor):
    class Wrong(Full):
        def backward(self, g):
            dX, dW = super().backward(g)
            return dX, factor * dW

    with pytest.raises(NumlpError, match=r"^check_gradients: Wrong: dW\[\d, \d\] must be \S+ \(central difference\), got "):
        nl.check_gradients(Wrong(), inputs=[X, W])

    class Kept(PlainDense):
        def backward(self, dy):
            dx = super().backward(dy)
            self.grad_b *= factor
            return dx

    with pytest.raises(NumlpError, match=r"^check_gradients: Kept: grad_b\[\d\] must be "):
        nl.check_gradients(Kept(), inputs=[X])


class Forgotten(PlainDense):
    def backward(self, dy):
        return dy @ self.W.T


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            (Forgotten(), None, [X]),
            "Forgotten must have a gradient for each array that its output depends on, got none for W",
        ),
        ((Full(), None, None), "inputs must be a list of the arguments of forward, got None"),
        ((Full(), None, X), "inputs must be a list of the arguments of forward, got "),
        ((Full().forward, lambda g: g @ W.T, [X, W]), "backward must return 2 gradients, one for each of X, W, got 1"),
        ((Full().forward, lambda g: (g, X.T @ g), [X, W]), "Full.forward: dX must have shape (5, 4), got (5, 3)"),
        ((Full().forward, lambda g, a, b, c: g, [X, W]), "backward must take (dy), or (dy, X, W), or (dy, cache)"),
        ((np.abs, lambda g: g, [LABELS]), "inputs must hold at least 1 array of floats, got dtype int64"),
        ((np.abs, "g", [X]), "backward must be a function, got 'g'"),
        ((lambda x: "text", lambda g: g, [X]), "must return floats, got "),
    ],
)
def test_plain_parts_that_cannot_be_checked_say_why(arguments, text):
    with pytest.raises(NumlpError) as caught:
        nl.check_gradients(*arguments)
    assert str(caught.value).startswith("check_gradients: ") and text in str(caught.value)
