"""The layers. Each states its own forward and backward pass; a Network gives it parameters and calls it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.activations import ACTIVATIONS
from numlp.arena import Parameter
from numlp.errors import ArgumentError, check_choice, check_count, check_number
from numlp.initializers import INITIALIZERS
from numlp.kernels import reference as kernels

Array = NDArray[Any]


class Layer:
    """One step of a network: (N, n_in) -> (N, n_out), and the way back.

    A layer is built with explicit sizes and owns no numbers; the network that takes it in gives it views of its
    flat arrays (`bind`): a parameter `W` and its gradient `dW`.

    Buffer contract
    1. `reserve(batch_size)` allocates every buffer; a batch of n <= batch_size rows uses `buffer[:n]`.
    2. `forward` returns a view that is valid until the next `forward`; it may keep a reference to `x` and never
       writes to it.
    3. `backward(dy)` belongs to the last `forward`. It may overwrite `dy`, assigns gradients (never accumulates) and
       returns the gradient of x as a view, or None where `reserve` was told `need_dx=False`.
    4. A steady step allocates nothing of the size of a batch.
    5. Parameters are written in place only.

    The shape and dtype of `x` are checked by the network, at the door. A subclass keeps each constructor argument
    as an attribute of the same name (config.py).
    """

    n_in: int
    n_out: int
    dtype: np.dtype[Any]
    need_dx: bool
    _bound = False

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
        self._bound = True
        self.dtype = dtype
        for name, view in values.items():
            setattr(self, name, view)
        for name, view in gradients.items():
            setattr(self, "d" + name, view)
        self.initialize(rng)

    def initialize(self, rng: np.random.Generator) -> None:
        """Write the initial parameters into the views; a layer that draws in training keeps `rng`."""

    def reserve(self, batch_size: int, need_dx: bool) -> None:
        """Allocate the buffers for up to `batch_size` rows."""
        self.need_dx = need_dx

    def accepts(self, dtype: np.dtype[Any]) -> bool:
        """Whether `forward` takes x of this dtype: its own, nothing else."""
        return dtype == self.dtype

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return y for x (N, n_in)."""
        raise NotImplementedError

    def backward(self, dy: Array) -> Array | None:
        """Assign the gradients of the parameters and return dx, or None if nobody needs it."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._label()})"

    def _label(self) -> str:
        return str(self.n_in)

    def __getattr__(self, name: str) -> Any:
        """Say what is missing when a layer is used before a network gave it parameters and buffers."""
        if name.startswith("__") or self._bound:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        raise AttributeError(f"{type(self).__name__}: {name} must come from a network, got none; build Network([layer])")


class Dense(Layer):
    """Affine map and pointwise activation.

        z = x W + b,  y = f(z)                                           (1)
        dz = dy * f'(z);  dW = x^T dz;  db = sum_n dz;  dx = dz W^T      (2)

    Shapes  x (N, I), W (I, O), b (O,), y (N, O); C-contiguous, dtype of the network.
    Errors  ShapeError if x is not (N, I) or N > capacity; DTypeError if the dtype differs (raised by the network).
    Source  Rumelhart, Hinton, Williams 1986, eq. 1-7.

    Parameters
    ----------
    n_in, n_out
        I and O.
    activation
        f: identity, relu, sigmoid, tanh or softmax.
    initializer
        How W is drawn (initializers.py); None takes the one that suits the activation. b starts at zero.

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

    def __init__(self, n_in: int, n_out: int, activation: str = "identity", initializer: str | None = None) -> None:
        self.n_in = check_count(n_in, "Dense", "n_in")
        self.n_out = check_count(n_out, "Dense", "n_out")
        self.activation = check_choice(activation, ACTIVATIONS, "Dense", "activation")
        self.initializer = initializer
        if initializer is not None:
            check_choice(initializer, INITIALIZERS, "Dense", "initializer")
        self._f = ACTIVATIONS[activation]

    def parameters(self) -> Sequence[Parameter]:
        """W (I, O) is a weight, b (O,) a bias."""
        return (Parameter("W", (self.n_in, self.n_out), "weight"), Parameter("b", (self.n_out,), "bias"))

    def initialize(self, rng: np.random.Generator) -> None:
        """Draw W, and zero b."""
        draw = INITIALIZERS[self.initializer or self._f.initializer]
        self.W[...] = draw((self.n_in, self.n_out), rng, self.dtype)
        self.b.fill(0)

    def reserve(self, batch_size: int, need_dx: bool) -> None:
        """Allocate y and, if needed, dx."""
        super().reserve(batch_size, need_dx)
        self._y = np.empty((batch_size, self.n_out), self.dtype)
        self._dx = np.empty((batch_size if need_dx else 0, self.n_in), self.dtype)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Equation (1)."""
        self._x, y = x, self._y[: len(x)]
        np.matmul(x, self.W, out=y)
        y += self.b
        self._f.apply(y, y)
        return y

    def backward(self, dy: Array) -> Array | None:
        """Equation (2); dz overwrites dy. The first layer of a network saves the product for dx, which nobody reads."""
        n = len(dy)
        dz = dy
        self._f.backward(dy, self._y[:n], dz)
        np.matmul(self._x.T, dz, out=self.dW)
        np.add.reduce(dz, axis=0, out=self.db)
        return np.matmul(dz, self.W.T, out=self._dx[:n]) if self.need_dx else None

    def _label(self) -> str:
        sizes = f"{self.n_in} -> {self.n_out}"
        return sizes if self.activation == "identity" else f"{sizes}, {self.activation}"


class Activation(Layer):
    """Pointwise activation as a layer of its own, for where something stands between Dense and it.

        y = f(x),  dx = dy * f'(x)                                       (1)

    Shapes  x, y (N, O).

    Parameters
    ----------
    n_in
        O.
    activation
        f: identity, relu, sigmoid, tanh or softmax.
    """

    def __init__(self, n_in: int, activation: str) -> None:
        self.n_in = self.n_out = check_count(n_in, type(self).__name__, "n_in")
        self.activation = check_choice(activation, ACTIVATIONS, type(self).__name__, "activation")
        self._f = ACTIVATIONS[activation]

    def reserve(self, batch_size: int, need_dx: bool) -> None:
        """Allocate y."""
        super().reserve(batch_size, need_dx)
        self._y = np.empty((batch_size, self.n_out), self.dtype)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return y = f(x)."""
        y = self._y[: len(x)]
        self._f.apply(x, y)
        return y

    def backward(self, dy: Array) -> Array | None:
        """Return dx = dy * f'(x), in the place of dy."""
        self._f.backward(dy, self._y[: len(dy)], dy)
        return dy

    def _label(self) -> str:
        return f"{self.n_in}, {self.activation}"


class Softmax(Activation):
    """The textbook's last layer: turns logits into probabilities. Belongs before the loss `CrossEntropy`.

        y_nc = exp(x_nc - m_n) / sum_k exp(x_nk - m_n),  m_n = max_k x_nk            (1)
        dx_nc = y_nc (dy_nc - sum_k dy_nk y_nk)                                      (2)

    For training, `SoftmaxCrossEntropy` on the logits does the same and is exact where p underflows to zero.

    Shapes  x, y (N, C).
    Source  Bridle 1990.

    Parameters
    ----------
    n_in
        C.
    """

    def __init__(self, n_in: int) -> None:
        super().__init__(n_in, "softmax")

    def _label(self) -> str:
        return str(self.n_in)


class Pixels(Layer):
    """Pixel values to [0, 1]: whole numbers 0..255 are divided by 255, floating point numbers are already there.

        y = x / 255 for uint8,  y = x for the network's own dtype        (1)

    As the first layer it is the network's preprocessing: images stay one byte a pixel in memory, and the saved model
    takes raw images. It has no parameters; dx = dy.

    Shapes  x, y (N, I).

    Parameters
    ----------
    n_in
        I.
    """

    def __init__(self, n_in: int) -> None:
        self.n_in = self.n_out = check_count(n_in, "Pixels", "n_in")

    def reserve(self, batch_size: int, need_dx: bool) -> None:
        """Allocate y."""
        super().reserve(batch_size, need_dx)
        self._y = np.empty((batch_size, self.n_out), self.dtype)

    def accepts(self, dtype: np.dtype[Any]) -> bool:
        """Whole bytes as well as the network's own dtype."""
        return dtype == np.uint8 or super().accepts(dtype)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Equation (1)."""
        if x.dtype != np.uint8:
            return x
        y = self._y[: len(x)]
        np.multiply(x, self.dtype.type(1 / 255), out=y)
        return y

    def backward(self, dy: Array) -> Array | None:
        """Return dy."""
        return dy


class Dropout(Layer):
    """In training, set each number to zero with probability `rate` and scale the rest up; else do nothing.

        mask ~ Bernoulli(1 - rate) / (1 - rate),  y = x * mask,  dx = dy * mask      (1)

    Shapes  x, y (N, O).
    Source  Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014 (inverted form).

    Parameters
    ----------
    n_in
        O.
    rate
        In [0, 1).
    """

    def __init__(self, n_in: int, rate: float) -> None:
        self.n_in = self.n_out = check_count(n_in, "Dropout", "n_in")
        self.rate = check_number(rate, "Dropout", "rate", low=0, below=1)

    def initialize(self, rng: np.random.Generator) -> None:
        """Keep the generator: masks are drawn from it."""
        self._rng = rng

    def reserve(self, batch_size: int, need_dx: bool) -> None:
        """Allocate y, the mask and the random numbers behind it."""
        super().reserve(batch_size, need_dx)
        self._y = np.empty((batch_size, self.n_out), self.dtype)
        self._mask = np.empty_like(self._y)
        self._random = np.empty((batch_size, self.n_out), np.float32)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Equation (1)."""
        self._active = training and self.rate > 0
        if not self._active:
            return x
        n = len(x)
        random = self._random[:n]
        self._rng.random(dtype=np.float32, out=random)
        kernels.dropout(x, random, self.rate, self._mask[:n], self._y[:n])
        return self._y[:n]

    def backward(self, dy: Array) -> Array | None:
        """Return dx = dy * mask, in the place of dy."""
        if self._active:
            dy *= self._mask[: len(dy)]
        return dy

    def _label(self) -> str:
        return f"{self.n_in}, {self.rate:g}"


class BatchNorm(Layer):
    """Standardize each column over the batch, then scale and shift it.

        x_hat = (x - mean) / sqrt(variance + epsilon),  y = gamma x_hat + beta                   (1)
        dbeta = sum_n dy;  dgamma = sum_n dy x_hat
        dx = gamma / sqrt(variance + epsilon) (dy - dbeta / N - x_hat dgamma / N)                (2)
        running <- (1 - momentum) running + momentum (mean, N / (N - 1) variance)                (3)

    In training, mean and variance are the batch's; else the running ones, which are saved with the model and not
    trained. A batch of one row has variance 0 and gives y = beta.

    Shapes  x, y (N, O); gamma, beta, running_mean, running_variance (O,).
    Source  Ioffe, Szegedy 2015, algorithm 1 and 2.

    Parameters
    ----------
    n_in
        O.
    momentum
        Weight of the newest batch in the running values, in (0, 1).
    epsilon
        Added to the variance, above 0.
    """

    gamma: Array
    beta: Array
    dgamma: Array
    dbeta: Array
    running_mean: Array
    running_variance: Array

    def __init__(self, n_in: int, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        self.n_in = self.n_out = check_count(n_in, "BatchNorm", "n_in")
        self.momentum = check_number(momentum, "BatchNorm", "momentum", above=0, below=1)
        self.epsilon = check_number(epsilon, "BatchNorm", "epsilon", above=0)

    def parameters(self) -> Sequence[Parameter]:
        """Neither gamma nor beta is decayed: decay would pull a scale of 1 towards 0."""
        shape = (self.n_out,)
        return (
            Parameter("gamma", shape, "bias"),
            Parameter("beta", shape, "bias"),
            Parameter("running_mean", shape, "state"),
            Parameter("running_variance", shape, "state"),
        )

    def initialize(self, rng: np.random.Generator) -> None:
        """Start as the plain standardization of a standard normal column."""
        self.gamma.fill(1)
        self.beta.fill(0)
        self.running_mean.fill(0)
        self.running_variance.fill(1)

    def reserve(self, batch_size: int, need_dx: bool) -> None:
        """Allocate y and x_hat."""
        super().reserve(batch_size, need_dx)
        self._y = np.empty((batch_size, self.n_out), self.dtype)
        self._x_hat = np.empty_like(self._y)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Equations (1) and, in training, (3)."""
        n = len(x)
        y = self._y[:n]
        if not training:
            scale = self.gamma / np.sqrt(self.running_variance + self.epsilon)
            np.subtract(x, self.running_mean, out=y)
            y *= scale
            y += self.beta
            return y
        mean, variance, self._inverse = kernels.batch_norm(x, self.gamma, self.beta, self.epsilon, self._x_hat[:n], y)
        self.running_mean += self.momentum * (mean - self.running_mean)
        self.running_variance += self.momentum * (variance * (n / max(n - 1, 1)) - self.running_variance)
        return y

    def backward(self, dy: Array) -> Array | None:
        """Equation (2); dx overwrites dy."""
        dx = dy if self.need_dx else None
        kernels.batch_norm_backward(dy, self._x_hat[: len(dy)], self.gamma, self._inverse, self.dgamma, self.dbeta, dx)
        return dx


LAYERS: dict[str, type[Layer]] = {
    layer.__name__: layer for layer in (Dense, Activation, Softmax, Pixels, Dropout, BatchNorm)
}
