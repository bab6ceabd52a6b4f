"""A stack of layers over one arena of parameters: forward, backward, predict."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any, Never

import numpy as np
from numpy.typing import DTypeLike, NDArray

from numlp import blas, kernels
from numlp.arena import Arena, aligned_empty
from numlp.attributes import Part, fixed, number, result, setting, view
from numlp.config import from_config, to_config
from numlp.copies import fresh, part_types
from numlp.data.inputs import Inputs
from numlp.errors import (
    ArgumentError,
    DTypeError,
    ShapeError,
    as_array,
    check_count,
    check_finite,
    check_matrix,
    check_within,
)
from numlp.finite import FEW, cast, output_error
from numlp.hints import answer_foreign_names
from numlp.inference import Copies, plan
from numlp.layers import Layer
from numlp.losses import ClassificationLoss, Loss
from numlp.network_settings import check_class_names, check_dict, check_inputs, check_loss, check_network, new_generator
from numlp.progress import progress_bar
from numlp.undeclared import warn_of_undeclared

Array = NDArray[Any]

_DOUBLE = np.dtype(np.float64)
_CHUNK = 1024  # rows a forward pass outside training: large enough for the matrix product, small enough for the cache


@answer_foreign_names
class Network(Part):
    """A feedforward network: each layer's output is the next one's input.

        y_0 = x;  y_l = layer_l(y_(l-1));  output = y_L                  (1)

    All parameters lie in one flat array `params` (weights first: `params[:n_weights]`), all gradients in `grads`,
    what is fitted but not trained in `state`; layers hold views. With `l2` > 0 the function that training minimises is

        L(y, target) + l2 / 2 sum w^2 over the weights, not the biases   (2)

    Parameters
    ----------
    layers
        At least one; each takes as many inputs as the one before gives outputs. A layer belongs to one network.
    rng
        Seed or generator: initial weights, dropout masks and the order of mini-batches are drawn from it.
    dtype
        float32 or float64.
    loss
        What the outputs mean: `fit` sets it, `evaluate` and `predict` use it. None before that.
    class_names
        The name of each label, saved with the model.
    l2
        At least 0, equation (2).

    Errors  ShapeError if the layers do not fit together; ArgumentError, DTypeError for anything else.

    Notes
    -----
    Several threads may call `predict`, `predict_proba`, `outputs`, `chunks`, `evaluate` at once, also during a `fit`: each
    call computes with copies of the layers, which share the parameters. `forward` and `backward` use the layers themselves
    and belong to one thread. Arrays that are assigned (`params`, a layer's `W`) are copied into place; `loss`, `l2`,
    `class_names`, `rng` act from then on; what the constructor has used up raises ReadOnlyError.

    Examples
    --------
    >>> import numlp as nl
    >>> nl.Network([nl.Dense(784, 300, "relu"), nl.Dense(300, 10)], rng=0)
    Network(784 -> 10, 238510 parameters, float32)
    """

    layers: tuple[Layer, ...] = fixed()
    n_in: int = fixed()
    n_out: int = fixed()
    dtype: np.dtype[Any] = fixed()
    arena: Arena = fixed()
    params: Array = view()
    grads: Array = view()
    state: Array = view()
    n_weights: int = fixed()
    first_trained: int = fixed()
    capacity: int = result("call reserve(batch_size)")
    rng: np.random.Generator = setting(new_generator)
    loss: Loss | None = setting(check_loss)
    class_names: tuple[str, ...] | None = setting(check_class_names)
    l2: float = number(low=0)
    metrics: dict[str, dict[str, float]] = setting(check_dict)
    extra: dict[str, Any] = setting(check_dict)  # JSON's types: what goes along in a model file
    inputs: Inputs | None = setting(check_inputs)  # range and layout of the rows that `fit` saw, saved with the model

    def __init__(
        self,
        layers: Sequence[Layer],
        rng: int | np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
        *others: Never,
        loss: Loss | None = None,
        class_names: Sequence[str] | None = None,
        l2: float = 0.0,
    ) -> None:
        if isinstance(layers, Layer) or others:
            raise DTypeError(f"Network: layers must be a list, got {layers!r}; write Network([layer, layer, ...])")
        kernels.choose()
        self.layers = tuple(layers)
        names, l2 = check_network(self.layers, dtype, class_names, l2)
        self.n_in, self.n_out = self.layers[0].n_in, self.layers[-1].n_out
        self.dtype = np.dtype(dtype)
        self.rng = rng  # type: ignore[assignment]  # the attribute makes a generator of a seed
        self.loss = loss
        self.class_names = names
        self.metrics, self.extra, self.inputs = {}, {}, None
        self.l2 = l2
        specs = [layer.parameters() for layer in self.layers]
        self.arena = Arena(specs, self.dtype)
        self.params, self.grads, self.state = self.arena.params, self.arena.grads, self.arena.state
        self.n_weights = self.arena.n_weights
        for layer, values, gradients in zip(self.layers, self.arena.values, self.arena.gradients, strict=True):
            layer.bind(values, gradients, self.rng, self.dtype)
        warn_of_undeclared(self.layers, (self.params, self.grads, self.state), "Network")
        # nobody reads the gradient of what comes before the first layer with parameters
        self.first_trained = next((i for i, gradients in enumerate(self.arena.gradients) if gradients), len(self.layers))
        self._capacity = 0
        self._rows = 0
        self._plan = plan(self.layers, self.arena)
        self._scratches: list[Array] = []  # that no thread uses at the moment, as the copies
        self._copies = Copies()
        self.reserve(_CHUNK)

    def reserve(self, batch_size: int) -> None:
        """Allocate every buffer for batches of up to `batch_size` rows; never shrinks."""
        batch_size = check_count(batch_size, "Network.reserve", "batch_size")
        if batch_size > self._capacity:
            for i, layer in enumerate(self.layers):
                layer.reserve(batch_size, need_dx=i > self.first_trained)
            self._capacity = batch_size

    def forward(self, x: Array, training: bool = False) -> Array:
        """Equation (1): a view of the output for x (N, n_in), valid until the next forward.

        Errors  ShapeError if x is not (N, n_in) or has more rows than `capacity`; DTypeError for another dtype.
        """
        if type(x) is not np.ndarray:
            x = as_array(x, "Network.forward", "x")
        if x.ndim != 2 or x.shape[1] != self._n_in or len(x) == 0:
            check_matrix(x, f"{self.layers[0]}.forward", "x", self.n_in)
        if len(x) > self._capacity:
            raise ShapeError(
                f"Network.forward: x must have at most {self.capacity} rows (the reserved batch size), got {len(x)}; "
                f"call reserve({len(x)}) first, or use predict"
            )
        if not self._layers[0].accepts(x.dtype):
            raise DTypeError(
                f"{self.layers[0]}.forward: x must have dtype {self.dtype}, got {x.dtype}; use x.astype({self.dtype})"
            )
        self._rows = len(x)
        x = np.ascontiguousarray(x)
        for layer in self._layers:
            x = layer.forward(x, training)
            x = x if layer.is_of_numlp() else _checked_output(layer, x, self._rows)
        return x

    def backward(self, dy: Array) -> None:
        """Write into `grads` the gradients of the last forward, given dL/dy (N, n_out), which may be overwritten.

        Errors  ShapeError if dy does not belong to the last forward; DTypeError for another dtype.
        """
        if dy.shape != (self._rows, self._n_out):
            raise ShapeError(
                f"Network.backward: dy must have the shape of the last forward's output, {(self._rows, self.n_out)}, "
                f"got {dy.shape}"
            )
        if dy.dtype != self._dtype:
            raise DTypeError(f"Network.backward: dy must have dtype {self.dtype}, got {dy.dtype}")
        gradient: Array | None = np.ascontiguousarray(dy)
        for layer in reversed(self._layers[self._first_trained :]):
            assert gradient is not None  # only the first of these layers returns None
            gradient = layer.backward(gradient)
            gradient = gradient if gradient is None or layer.is_of_numlp() else np.ascontiguousarray(gradient)
        if self._l2:
            kernels.add_decay(self.grads[: self.n_weights], self.params[: self.n_weights], self.l2)

    def penalty(self) -> float:
        """Return l2 / 2 sum w^2, the second part of equation (2)."""
        return self._l2 / 2 * kernels.sum_of_squares(self.params[: self.n_weights]) if self._l2 else 0.0

    def sensible_threads(self, n_rows: int) -> int:
        """Return how many threads so many rows are worth, in training or prediction."""
        return blas.sensible_threads(n_rows, 6.0 * self.n_weights * n_rows, blas.usable_cpus())

    def chunks(
        self, x: Array, batch_size: int = _CHUNK, where: str = "predict", copies: bool = True
    ) -> Iterator[tuple[slice, Array]]:
        """Yield (rows, outputs of these rows) over any number of rows; the outputs are a view until the next chunk.

        Without `copies` the layers themselves compute: for their own training, and where no other thread asks.

        Errors  ArgumentError about x (NaN, infinite, or beyond the dtype) or the outputs (NaN or infinite), when the chunk
            is reached that holds the first.
        """
        batch_size = min(check_count(batch_size, where, "batch_size"), len(x))
        if not copies:
            self.reserve(batch_size)
        lent = self._copies.take(self, batch_size if copies else 0)
        try:
            for start in range(0, len(x), batch_size):
                rows = slice(start, start + batch_size)
                y = lent.network.forward(self._entering(x, rows, where))
                if not kernels.all_finite(y.reshape(-1)):
                    raise output_error(y, x, start, where, self.is_finite())
                yield rows, y
        finally:
            self._copies.give(lent)

    def _entering(self, x: Array, rows: slice, where: str) -> Array:
        """Return some rows of x as the first layer takes them."""
        part = x[rows]
        if not self.layers[0].accepts(part.dtype):
            part = cast(part, self.batch_dtype(part))
        if part.dtype.kind == "f" and not (part.flags.c_contiguous and kernels.all_finite(part.reshape(-1))):
            check_within(*check_finite(x, where, "x"), x, part.dtype, where, "x")
        return part

    def outputs(self, x: Any, progress: bool = True, copies: bool = True) -> Array:
        """Return a copy of the outputs (n, n_out) for any number of rows; numbers of another dtype are converted.

        A bar is shown if it takes more than a second, stderr is a terminal and `progress` allows it. `copies`
        as in `chunks`.

        Errors  ShapeError, DTypeError, ArgumentError about x (NaN, infinite, or beyond the dtype); ArgumentError about
            outputs that are NaN or infinite.
        """
        x = check_matrix(x, "predict", "x", self._n_in)
        if self._plan is None:  # else it has nothing to check
            self._layers[0].check(x, "predict")
        if len(x) <= FEW:
            return self._few_outputs(x, copies)
        out = np.empty((len(x), self.n_out), self.dtype)
        with kernels.threads(self.sensible_threads(len(x))), progress_bar(len(x), "predicting", progress, unit="row") as bar:
            for rows, y in self.chunks(x, copies=copies):
                out[rows] = y
                if bar is not None:
                    bar.update(len(y))
        return out

    def _few_outputs(self, x: Array, copies: bool) -> Array:
        """Return what `outputs` returns, for a few rows: where it can be done, in one call, which is most of the time."""
        if self._plan is not None:
            out = np.empty((len(x), self._n_out), self._dtype)
            part = np.ascontiguousarray(x if x.dtype is self._dtype else cast(x, self.dtype))
            try:
                scratch = self._scratches.pop()
            except IndexError:
                scratch = aligned_empty(4 * (int(self._plan[:, 2:4].max()) + 16), self.dtype)
            done = kernels.mlp(part, self._params, self._plan, scratch, out)
            self._scratches.append(scratch)
            if done:
                return out
        part = x if self._layers[0].accepts(x.dtype) else cast(x, self.batch_dtype(x))
        if part.dtype.kind == "f" and not (part.flags.c_contiguous and kernels.few_finite(part.ravel())):
            check_within(*check_finite(x, "predict", "x"), x, part.dtype, "predict", "x")
        lent = self._copies.take(self, len(x) if copies else 0)
        try:
            y = lent.network.forward(part).copy()
        finally:
            self._copies.give(lent)
        if not kernels.few_finite(y.ravel()):
            raise output_error(y, x, 0, "predict", self.is_finite())
        return y

    def predict(self, x: Any, progress: bool = True) -> Array:
        """Return for each row the label (n,) if the network has learnt classes, else its outputs (n, n_out).

        The loss decides: a sigmoid loss with several outputs gives a matrix (n, n_out) of 0 and 1.

        Errors  as `outputs`.
        """
        y, loss = self.outputs(x, progress), self._loss
        return loss.decide(y) if isinstance(loss, ClassificationLoss) else y

    def predict_proba(self, x: Any, progress: bool = True) -> Array:
        """Return the probability of each class (n, n_out); a row sums to one, except after a sigmoid loss.

        Errors  ArgumentError if the network has not learnt classes; else as `outputs`.
        """
        loss = self.loss
        if not isinstance(loss, ClassificationLoss):
            raise ArgumentError(
                f"Network.predict_proba: loss must be a classification loss, got {type(loss).__name__}; "
                "fit the network with one, or pass loss=SoftmaxCrossEntropy() to Network"
            )
        return loss.probabilities(self.outputs(x, progress))

    def batch_dtype(self, x: Array) -> np.dtype[Any]:
        """Return the dtype in which rows of `x` enter: their own if the first layer takes it, else the network's."""
        accepts = self.layers[0].accepts
        if accepts(x.dtype):
            return x.dtype
        return _DOUBLE if accepts(_DOUBLE) and not np.can_cast(x.dtype, self.dtype) else self.dtype

    def is_finite(self) -> bool:
        """Whether parameters and state are finite numbers."""
        return kernels.all_finite(self.params) and kernels.all_finite(self.state)

    def snapshot(self) -> tuple[Array, Array]:
        """Return copies of parameters and state, for `restore`."""
        return self.params.copy(), self.state.copy()

    def restore(self, snapshot: tuple[Array, Array]) -> None:
        """Write a snapshot back, in place."""
        self.params[...], self.state[...] = snapshot

    def to_config(self) -> dict[str, Any]:
        """Return the architecture in JSON's types, without numbers."""
        return {
            "layers": [to_config(layer) for layer in self.layers],
            "dtype": str(self.dtype),
            "loss": None if self.loss is None else to_config(self.loss),
            "class_names": None if self.class_names is None else list(self.class_names),
            "l2": self.l2,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], rng: int | np.random.Generator | None = None, parts: Sequence[type[Any]] = ()
    ) -> "Network":
        """Build the network that `to_config` described, with new initial weights; `parts` are classes of the user's own.

        Errors  CheckpointError if a part is unknown; else as the constructor.
        """
        kinds, losses = part_types(parts)
        layers = [from_config(layer, kinds) for layer in config["layers"]]
        loss = None if config["loss"] is None else from_config(config["loss"], losses)
        return cls(layers, rng, config["dtype"], loss=loss, class_names=config["class_names"], l2=config["l2"])

    def twin(self, dtype: DTypeLike, rng: np.random.Generator) -> "Network":
        """Return a network of new parts with the same numbers, in `dtype`."""
        network = Network(**self._arguments() | {"dtype": dtype}, rng=copy.deepcopy(rng))
        network.rng.bit_generator.state = rng.bit_generator.state
        network.restore(self.snapshot())
        return network

    def _arguments(self) -> dict[str, Any]:
        """Return the constructor's arguments for a network of new parts."""
        parts = fresh({"layers": self.layers, "loss": self.loss})
        return parts | {"dtype": str(self.dtype), "class_names": self.class_names, "l2": self.l2}

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle as new parts and numbers: layers copied one by one would lose their views of the arena."""
        described = self.metrics, self.extra, self.inputs
        return _rebuild, (self._arguments(), *self.snapshot(), self.rng, *described, type(self))

    def __repr__(self) -> str:
        return f"Network({self.n_in} -> {self.n_out}, {self.params.size} parameters, {self.dtype})"


def _checked_output(layer: Layer, y: Array, n_rows: int) -> Array:
    """Return the output of a layer of the user's own as the kernels need it, who trust shape and order."""
    if np.shape(y) != (n_rows, layer.n_out):
        raise ShapeError(f"{layer}.forward: y must have shape {(n_rows, layer.n_out)}, got {np.shape(y)}")
    return np.ascontiguousarray(y)


def _rebuild(
    arguments: dict[str, Any],
    params: Array,
    state: Array,
    rng: np.random.Generator,
    metrics: dict[str, dict[str, float]],
    extra: dict[str, Any],
    inputs: Inputs | None = None,
    kind: type[Network] = Network,
) -> Network:
    """Build the network that `Network.__reduce__` described, or in older pickles `Network.to_config`."""
    next_draws = rng.bit_generator.state
    if isinstance(arguments["layers"][0], dict):
        network = Network.from_config(arguments, rng)
    else:
        network = kind.__new__(kind)
        Network.__init__(network, rng=rng, **arguments)
    network.restore((params, state))
    rng.bit_generator.state = next_draws
    network.metrics, network.extra, network.inputs = metrics, extra, inputs
    return network
