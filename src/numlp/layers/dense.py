"""What every layer promises, and the layer that this is all about."""

import math
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp import kernels
from numlp.activations import ACTIVATIONS
from numlp.arena import Parameter, aligned_empty
from numlp.attributes import Part, fixed, keep_view, result
from numlp.errors import ArgumentError, DTypeError, ShapeError, check_choice, check_count
from numlp.initializers import find_initializer

Array = NDArray[Any]


class _Spare(threading.local):
    """What the products of a thread may use besides, by the code of a dtype; untouched pages take no memory."""

    def __init__(self) -> None:
        numbers = aligned_empty(2**23, np.float32)
        self.numbers: dict[str, Array] = {"f": numbers, "d": numbers.view(np.float64)}


_thread = _Spare()


def _spare(dtype: np.dtype[Any]) -> Array:
    """Return the spare numbers of this thread."""
    return _thread.numbers[dtype.char]


class Layer(Part):
    """One step of a network: (N, n_in) -> (N, n_out), and the way back.

    A layer is built with explicit sizes and owns no numbers; the network that takes it in gives it views of its
    flat arrays (`bind`): a parameter `W` and its gradient `dW`.

    Buffer contract
    1. `reserve(batch_size)` allocates every buffer; a batch of n <= batch_size rows uses `buffer[:n]`.
    2. `forward` returns a view that is valid until the next `forward`; it may keep a reference to `x` and never
       writes to it.
    3. `backward(dy)` belongs to the last `forward`, in its mode, and comes once. It may overwrite `dy`, assigns gradients
       (never accumulates) and returns the gradient of x as a view; where `reserve` was told `need_dx=False`, nobody
       reads it, and it may be None.
    4. A steady step allocates nothing of the size of a batch.
    5. Parameters are written in place only: what is assigned to `W` or `dW` is copied into the view, which the layer keeps
       as `_W` and `_dW`.
    6. Several copies of a layer of one network may run `forward` at once, outside training: it writes only into what
       `reserve` has allocated, or into new arrays. A layer of the user's own may write into anything that it holds: all of
       it is copied for each call. `predict` uses such copies; what a pass keeps is found after `Network.forward`.

    The shape and dtype of `x` are checked by the network, at the door. A subclass keeps each constructor argument
    as an attribute of the same name (config.py).
    """

    n_in: int = fixed()
    n_out: int = fixed()
    dtype: np.dtype[Any] = fixed("build a network of another dtype")
    need_dx: bool = result("call reserve(batch_size, need_dx)")
    trainable: Any = result("write layer.dW[...] = 0 in on_gradients of a callback")  # of other libraries
    stacks: tuple[tuple["Layer", ...], ...] = ()  # the layers inside it, where there are any
    takes_any_scale = False  # whether, as the first layer, it brings x near [-1, 1] by itself
    _bound = False
    _constructed: frozenset[str] = frozenset()

    def parameters(self) -> Sequence[Parameter]:
        """Name, shape and role of each array this layer needs."""
        return ()

    def bind(
        self,
        values: Mapping[str, Array],
        gradients: Mapping[str, Array],
        rng: np.random.Generator,
        dtype: np.dtype[Any],
    ) -> None:
        """Take in the views of parameters and gradients, and draw the initial values from `rng`."""
        if self._bound:
            raise ArgumentError(f"{self}: a layer must belong to one network, got a second one; build a new layer")
        self._constructed = frozenset(vars(self))
        self._bound = True
        self.dtype = dtype
        for name, view in values.items():
            keep_view(self, name, view)
        for name, view in gradients.items():
            keep_view(self, "d" + name, view)
        self.initialize(rng)

    @property
    def constructed(self) -> frozenset[str]:
        """Names of the attributes that there were before a network took the layer in."""
        return self._constructed if self._bound else frozenset(vars(self))

    def initialize(self, rng: np.random.Generator) -> None:
        """Write the initial parameters into the views; a layer that draws in training keeps `rng`."""

    def reserve(self, batch_size: int, need_dx: bool) -> None:
        """Allocate the buffers for up to `batch_size` rows."""
        self._need_dx = need_dx

    def accepts(self, dtype: np.dtype[Any]) -> bool:
        """Whether `forward` takes x of this dtype: its own, nothing else."""
        return dtype == self._dtype

    def check(self, x: Array, where: str) -> None:
        """Raise if x holds numbers this layer cannot take: asked of the first layer, at the door, about all rows."""

    def example(self, x: Array) -> Array:
        """Turn any random numbers (N, n_in) into rows this layer takes, for checks: most take them as they are."""
        return x

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return y for x (N, n_in)."""
        raise NotImplementedError

    def backward(self, dy: Array) -> Array | None:
        """Assign the gradients of the parameters and return dx, or None if nobody needs it."""
        raise NotImplementedError

    def __repr__(self) -> str:
        try:
            return f"{type(self).__name__}({self._label()})"
        except AttributeError:  # the constructor of an own layer has left something out
            return f"{type(self).__name__}(?)"

    def _label(self) -> str:
        return str(self.n_in)

    def __getattr__(self, name: str) -> Any:
        """Say what is missing when a layer is used before a network gave it parameters and buffers."""
        if name.startswith("__") or self._bound:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        raise AttributeError(f"{type(self).__name__}: {name} must come from a network, got none; build Network([layer])")


def check_sizes(layer: Layer, where: str) -> None:
    """Raise unless the constructor of a layer has set its numbers of inputs and outputs."""
    for name in ("n_in", "n_out"):
        value = getattr(layer, name, None)
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ArgumentError(
                f"{where}: n_in, n_out of {type(layer).__name__} must be set by __init__ to whole numbers of at least 1, "
                f"got {name}={value!r}"
            )


def check_stack(layers: Sequence[Layer], where: str, closed: bool = False) -> None:
    """Raise unless the layers are layers, fit together, and belong to nobody else.

    `closed`: the first one must take what the last one gives.
    """
    if not layers:
        raise ArgumentError(f"{where}: layers must hold at least 1 layer, got none")
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise DTypeError(f"{where}: layer {i} must be a Layer, got {layer!r}")
        check_sizes(layer, where)
    for i, layer in enumerate(layers):
        before = layers[i - 1]
        if (i or closed) and layer.n_in != before.n_out:
            raise ShapeError(
                f"{where}: layer {i} {layer} must take {before.n_out} inputs, the outputs of "
                f"layer {(i - 1) % len(layers)} {before}, got {layer.n_in}"
            )
        if layer._bound or layer in layers[:i]:
            raise ArgumentError(
                f"{where}: layer {i} {layer} must belong to one network, got a second one; build a new layer"
            )


def first_trained(stack: Sequence[Layer]) -> int:
    """Return the index of the first layer with trained parameters; nobody reads the gradient of what is before it."""
    return next((i for i, layer in enumerate(stack) if any(p.role != "state" for p in layer.parameters())), len(stack))


def bind_stack(
    stack: Sequence[Layer],
    prefix: str,
    values: Mapping[str, Array],
    gradients: Mapping[str, Array],
    rng: np.random.Generator,
    dtype: np.dtype[Any],
) -> None:
    """Hand each layer of a stack the views whose names begin with `prefix` and its index."""
    for i, layer in enumerate(stack):
        start = f"{prefix}{i}."
        own, own_gradients = (
            {name.removeprefix(start): view for name, view in views.items() if name.startswith(start)}
            for views in (values, gradients)
        )
        layer.bind(own, own_gradients, rng, dtype)


class Dense(Layer):
    """Affine map and pointwise activation.

        z = x W + b,  y = f(z)                                           (1)
        dz = dy * f'(z);  dW = x^T dz;  db = sum_n dz;  dx = dz W^T      (2)
        z = s x W + b,  s = 1 / sqrt(I),  W ~ N(0, 1);  dW = s x^T dz;  dx = s dz W^T            (3)

    Equation (3) is the "ntk" parametrization: the same functions, but with equally large weights at any width, so that one
    learning rate suits all widths.

    Shapes  x (N, I), W (I, O), b (O,), y (N, O); C-contiguous, dtype of the network.
    Errors  ShapeError if x is not (N, I) or N > capacity; DTypeError if the dtype differs (raised by the network).
    Source  Rumelhart, Hinton, Williams 1986, eq. 1-7; for (3) Jacot, Gabriel, Hongler 2018, eq. 1.

    Parameters
    ----------
    n_in, n_out
        I and O.
    activation
        f: any name in `numlp.activations.ACTIVATIONS`, such as relu, gelu, silu, tanh, softmax.
    initializer
        How W is drawn: a name, or a number to fill it with (initializers.py); None takes the one that suits the activation.
        b starts at zero.
    parametrization
        "standard", equation (1), or "ntk", equation (3), which has its own initializer.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> network = nl.Network([nl.Dense(2, 3, "relu")], rng=0)
    >>> network.forward(np.ones((5, 2), np.float32)).shape
    (5, 3)
    """

    W: Array
    b: Array
    dW: Array
    db: Array
    scale: float = fixed()

    def __init__(
        self,
        n_in: int,
        n_out: int,
        activation: str = "identity",
        initializer: str | float | None = None,
        parametrization: str = "standard",
    ) -> None:
        self.n_in = check_count(n_in, "Dense", "n_in")
        self.n_out = check_count(n_out, "Dense", "n_out")
        self.activation = check_choice(activation, ACTIVATIONS, "Dense", "activation")
        self.initializer = initializer
        self.parametrization = check_choice(parametrization, ("standard", "ntk"), "Dense", "parametrization")
        if parametrization == "ntk" and initializer is not None:
            raise ArgumentError(f"Dense: initializer must be None with parametrization='ntk', got {initializer!r}")
        self._f, self._rectify = ACTIVATIONS[activation], activation == "relu"
        self.scale = 1 / math.sqrt(self.n_in) if parametrization == "ntk" else 1.0
        self._draw = find_initializer(self._f.initializer if initializer is None else initializer, "Dense")

    def parameters(self) -> Sequence[Parameter]:
        """W (I, O) is a weight, b (O,) a bias."""
        return (Parameter("W", (self.n_in, self.n_out), "weight"), Parameter("b", (self.n_out,), "bias"))

    def initialize(self, rng: np.random.Generator) -> None:
        """Draw W, and zero b."""
        if self.parametrization == "ntk":
            self.W[...] = rng.normal(size=self.W.shape)
        else:
            self.W[...] = self._draw((self.n_in, self.n_out), rng, self.dtype)
        self.b.fill(0)

    def reserve(self, batch_size: int, need_dx: bool) -> None:
        """Allocate y, z where it is not y, and dx if needed."""
        super().reserve(batch_size, need_dx)
        self._y = aligned_empty((batch_size, self.n_out), self.dtype)
        self._z = aligned_empty(self._y.shape, self.dtype) if self._f.keeps_input else self._y
        self._dx = aligned_empty((batch_size if need_dx else 0, self.n_in), self.dtype)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Equation (1) or (3)."""
        self._x, y = x, self._y[: len(x)]
        z = y if self._z is self._y else self._z[: len(x)]
        kernels.affine(x, self._W, self._b, self._scale, self._rectify, z, _spare(self._dtype))
        if not self._rectify:
            self._f.apply(z, y)
        return y

    def backward(self, dy: Array) -> Array | None:
        """Equation (2) or (3); dz overwrites dy. The first layer of a network saves the product for dx: nobody reads it."""
        z, dx = self._z[: len(dy)], self._dx[: len(dy)]
        if not self._rectify:
            self._f.backward(dy, z, dy)
        kernels.affine_backward(self._x, z, self._W, self._scale, self._rectify, dy, self._dW, self._db, dx, _spare(z.dtype))
        return dx if self._need_dx else None

    def _label(self) -> str:
        words = [f"{self.n_in} -> {self.n_out}", self.activation, self.parametrization]
        return ", ".join(word for word in words if word not in ("identity", "standard"))
