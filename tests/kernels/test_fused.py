"""The fused kernels against the specification: names, signatures, numbers, NaN and infinity, for any split of the work."""

import inspect
import itertools
import os
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

numba = pytest.importorskip("numba")

from numlp import blas  # noqa: E402
from numlp.kernels import fused, reference  # noqa: E402

Arguments = dict[str, Any]
Make = Callable[["Numbers", int, int], Iterator[tuple[Arguments, str]]]

DTYPES = ["float32", "float64"]
ROWS, WIDTHS, PARTS = (1, 2, 7, 37), (1, 2, 7, 10, 33), (1, 2, 3, 8)


def table(parts: int) -> dict[str, Callable[..., Any]]:
    """Return the kernels with their first argument filled in."""
    return {name: partial(kernel, parts) for name, kernel in fused.KERNELS.items()}


CLOSE = {"float32": 5e-5, "float64": 1e-12}
PLANTED = (np.nan, np.inf, -np.inf, 1e30, -1e30)
EXACT = {
    "relu",
    "relu_backward",
    "gather",
    "pixels",
    "hits",
    "one_hot",
    "random_mask",
    "dropout",
    "dropout_backward",
    "distort",
}


class Numbers:
    """Random arrays of one dtype; `empty` is full of NaN, so that what is not written shows."""

    def __init__(self, dtype: str, seed: object = 0) -> None:
        self.dtype, self.rng = np.dtype(dtype), np.random.default_rng(zlib.crc32(repr(seed).encode()))

    def __call__(self, *shape: int) -> Any:
        return self.rng.normal(size=shape).astype(self.dtype)

    def positive(self, *shape: int) -> Any:
        return self.rng.uniform(0.1, 2, size=shape).astype(self.dtype)

    def empty(self, *shape: int) -> Any:
        return np.full(shape, np.nan, self.dtype)


# For each kernel: its arguments by name, and which of them it writes, for n rows of o numbers (or n o flat ones).


def affine(a: Numbers, n: int, o: int) -> Iterator[tuple[Arguments, str]]:
    for i, scale, rectify in [(o, 1.0, True), (5, 0.3, False), (1, 0.3, True), (33, 1.0, False)]:
        x = a(n, i)
        x[0, ::3] = 0  # as most pixels are
        yield {"x": x, "W": a(i, o), "b": a(o), "scale": scale, "rectify": rectify, "out": a.empty(n, o),
               "scratch": a.empty(min(2**18, 8 * n * o))}, "out"  # fmt: skip


def affine_backward(a: Numbers, n: int, o: int) -> Iterator[tuple[Arguments, str]]:
    for i, scale, rectify, rows in [(o, 1.0, True, n), (5, 0.3, False, n), (1, 0.3, True, 0), (33, 1.0, False, 0)]:
        yield {
            "x": a(n, i), "y": a(n, o), "W": a(i, o), "scale": scale, "rectify": rectify, "dy": a(n, o),
            "dW": a.empty(i, o), "db": a.empty(o), "dx": a.empty(rows, i), "scratch": a.empty(0),
        }, "dy dW db dx"  # fmt: skip


def mlp(a: Numbers, n: int, o: int) -> Iterator[tuple[Arguments, str]]:
    for sizes in [(o, 4), (33, o, 5), (1, 130, 300, o)]:
        layers, at = list(itertools.pairwise(sizes)), 0
        plan = np.empty((len(layers), 5), np.int64)
        for k, (i, width) in enumerate(layers):
            plan[k] = at, at + i * width, i, width, k % 2 == 0
            at += i * width + width
        x = a(n, sizes[0])
        x[0, ::3] = 0
        scratch = a.empty(4 * (max(sizes) + 16))
        yield {"x": x, "params": a(at), "plan": plan, "scratch": scratch, "out": a.empty(n, sizes[-1])}, "out"


def gather(a: Numbers, n: int, o: int) -> Iterator[tuple[Arguments, str]]:
    rows = a.rng.integers(11, size=n)
    yield {"x": a(11, o), "rows": rows, "out": a.empty(n, o)}, "out"
    yield {"x": a.rng.integers(256, size=(11, o)).astype(np.uint8), "rows": rows, "out": a.empty(n, o)}, "out"
    yield {"x": a.rng.integers(256, size=(11, o)).astype(np.uint8), "rows": rows, "out": np.zeros((n, o), np.uint8)}, "out"


def pixels(a: Numbers, n: int, o: int) -> Iterator[tuple[Arguments, str]]:
    yield {"x": a.rng.integers(256, size=(n, o)).astype(np.uint8), "out": a.empty(n, o)}, "out"


def hits(a: Numbers, n: int, o: int) -> Iterator[tuple[Arguments, str]]:
    ties = a.rng.integers(3, size=(n, o)).astype(a.dtype)
    for y, labels in itertools.product((a(n, o), ties), ("int64", "uint8")):
        yield {"y": y, "labels": a.rng.integers(o, size=n).astype(labels)}, ""
    yield {"y": ties, "labels": ties.argmax(axis=1)}, ""


def one_hot(a: Numbers, n: int, o: int) -> Iterator[tuple[Arguments, str]]:
    for smoothing, labels in [(0.0, "int64"), (0.1, "int64"), (0.1, "uint8")]:
        yield {"labels": a.rng.integers(o, size=n).astype(labels), "smoothing": smoothing, "out": a.empty(n, o)}, "out"


def softmax_cross_entropy(a: Numbers, n: int, o: int) -> Iterator[tuple[Arguments, str]]:
    for spread in (1, 1000):
        q = a.rng.dirichlet(np.ones(o), size=n).astype(a.dtype)
        yield {"z": spread * a(n, o), "q": q, "losses": a.empty(n), "dz": a.empty(n, o)}, "losses dz"


def dropout(a: Numbers, n: int, o: int) -> Iterator[tuple[Arguments, str]]:
    for key, rate in [(0x0123456789ABCDEF, 0.25), (2**63 - 1, 0.0), (a.rng.integers(1 << 63), 0.9)]:
        yield {"x": a(n, o), "key": key, "rate": rate, "mask": a.empty(n, o), "out": a.empty(n, o)}, "mask out"


def random_mask(a: Numbers, n: int, o: int) -> Iterator[tuple[Arguments, str]]:
    for key, rate in [(0x0123456789ABCDEF, 0.25), (2**63 - 1, 0.0), (a.rng.integers(1 << 63), 1 - 1e-12)]:
        yield {"key": key, "rate": rate, "value": 1.5, "mask": a.empty(n, o)}, "mask"


def norm(a: Numbers, n: int, o: int) -> Iterator[tuple[Arguments, str]]:
    # an epsilon that is not tiny: else two rows that are nearly equal are divided by nearly zero, and rounding shows
    x, gamma, beta = 3 + a(n, o), a(o), a(o)
    yield {"x": x, "gamma": gamma, "beta": beta, "epsilon": 1e-2, "x_hat": a.empty(n, o), "out": a.empty(n, o)}, "x_hat out"


def norm_backward(*inverse: int) -> Make:
    def make(a: Numbers, n: int, o: int) -> Iterator[tuple[Arguments, str]]:
        shape = [{-1: n, -2: o}.get(size, size) for size in inverse]
        for need_dx in (True, False):
            yield {
                "dy": a(n, o), "x_hat": a(n, o), "gamma": a(o), "inverse": a.positive(*shape),
                "dgamma": a.empty(o), "dbeta": a.empty(o), "need_dx": need_dx,
            }, "dgamma dbeta" + " dy" * need_dx  # fmt: skip

    return make


def sgd_momentum(a: Numbers, n: int, o: int) -> Iterator[tuple[Arguments, str]]:
    n *= o
    for nesterov in (False, True):
        yield {
            "params": a(n), "grads": a(n), "velocity": a(n), "learning_rate": 0.1, "momentum": 0.9, "nesterov": nesterov,
            "scratch": a.empty(n),
        }, "params velocity"  # fmt: skip


def adam(a: Numbers, n: int, o: int) -> Iterator[tuple[Arguments, str]]:
    n *= o
    for step in (1, 1000):
        yield {
            "params": a(n), "grads": a(n), "m": a(n), "v": a.positive(n), "step": step, "learning_rate": 0.1,
            "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8, "scratch": a.empty(n),
        }, "params m v"  # fmt: skip


def distort(a: Numbers, n: int, o: int) -> Iterator[tuple[Arguments, str]]:
    matrix = (np.eye(3)[:2] + a.rng.normal(size=(n, 2, 3)) / 3).astype(np.float32)
    for dtype, points in itertools.product((a.dtype, np.uint8), ((2, 3), (0, 0))):
        x = a.rng.integers(256, size=(n, 3 * o)).astype(dtype)
        control = a.rng.normal(size=(n, 2, *points)).astype(np.float32)
        weights = [a.rng.random((k, size)).astype(np.float32) for k, size in zip(points, (3, o), strict=True)]
        yield {
            "x": x, "matrix": matrix, "control": control, "row_weights": weights[0], "column_weights": weights[1],
            "out": np.zeros_like(x),
        }, "out"  # fmt: skip


def waves(a: Numbers, n: int, o: int) -> Iterator[tuple[Arguments, str]]:
    for waved, size, k in [(o, 3, 16), (min(o, 2), 1, 5)]:
        yield {
            "x": a(n, o), "w": a(waved, k), "b": a(waved, k), "V": a(waved, size, k), "c": a(waved, size),
            "out": a.empty(n, o + waved * size),
        }, "out"  # fmt: skip


def waves_backward(a: Numbers, n: int, o: int) -> Iterator[tuple[Arguments, str]]:
    for waved, size, k, rows in [(o, 3, 16, n), (min(o, 2), 1, 5, n), (o, 2, 8, 0)]:
        yield {
            "dy": a(n, o + waved * size), "x": a(n, o), "w": a(waved, k), "b": a(waved, k), "V": a(waved, size, k),
            "dw": a.empty(waved, k), "db": a.empty(waved, k), "dV": a.empty(waved, size, k), "dc": a.empty(waved, size),
            "dx": a.empty(rows, o),
        }, "dw db dV dc dx"  # fmt: skip


def knots(a: Numbers, i: int) -> Arguments:
    """Return knots of i columns: 2, 3, 4, ... of them, below and above the numbers and among them."""
    sizes = [2 + k for k in range(i)]
    own = [np.linspace(-2, 2, size + 1, dtype=a.dtype)[:-1] + a.dtype.type(0.1 * k) for k, size in enumerate(sizes)]
    return {"knots": np.concatenate(own), "starts": np.cumsum([0, *sizes])}


def interpolate(a: Numbers, n: int, o: int) -> Iterator[tuple[Arguments, str]]:
    for i, size in [(o, 3), (min(o, 2), 1)]:
        parted = knots(a, i)
        x, V = a(n, o), a(len(parted["knots"]), size)
        x[:, 0] = np.resize([*parted["knots"][:2], x[0, 0]], n)  # at the knots, too
        yield {"x": x, **parted, "V": V, "out": a.empty(n, o + i * size)}, "out"


def interpolate_backward(a: Numbers, n: int, o: int) -> Iterator[tuple[Arguments, str]]:
    for rows in (n, 0):
        for arguments, _ in interpolate(a, n, o):
            yield {
                "dy": a(*arguments["out"].shape), **{key: arguments[key] for key in ("x", "knots", "starts", "V")},
                "dV": a.empty(*arguments["V"].shape), "dx": a.empty(rows, o),
            }, "dV dx"  # fmt: skip


def blend_backward(a: Numbers, n: int, o: int) -> Iterator[tuple[Arguments, str]]:
    yield {
        "dy": a(n, o), "x": a(n, o), "fx": a(n, o), "alpha": a(o), "through": a.empty(n, o), "dalpha": a.empty(o),
    }, "dy through dalpha"  # fmt: skip


def one(outputs: str, make: Callable[[Numbers, int, int], Arguments]) -> Make:
    return lambda a, n, o: iter([(make(a, n, o), outputs)])


CASES: dict[str, Make] = {
    "adam": adam,
    "all_finite": one("", lambda a, n, o: {"values": a(n * o)}),
    "add_decay": one("grads", lambda a, n, o: {"grads": a(n * o), "params": a(n * o), "l2": 0.1}),
    "affine": affine,
    "affine_backward": affine_backward,
    "batch_norm": norm,
    "batch_norm_backward": norm_backward(-2),
    "blend": one("out", lambda a, n, o: {"x": a(n, o), "fx": a(n, o), "alpha": a(o), "out": a.empty(n, o)}),
    "blend_backward": blend_backward,
    "distort": distort,
    "dropout": dropout,
    "dropout_backward": one("dy", lambda a, n, o: {"dy": a(n, o), "mask": a(n, o)}),
    "few_finite": one("", lambda a, n, o: {"values": a(n * o)}),
    "gather": gather,
    "hits": hits,
    "interpolate": interpolate,
    "interpolate_backward": interpolate_backward,
    "layer_norm": norm,
    "layer_norm_backward": norm_backward(-1, 1),
    "mean_loss": one("dy", lambda a, n, o: {"losses": a(n), "dy": a(n * o)}),
    "mish": one("out", lambda a, n, o: {"z": 20 * a(n, o), "out": a.empty(n, o)}),
    "mish_backward": one("out", lambda a, n, o: {"dy": a(n, o), "z": 9 * a(n, o), "out": a.empty(n, o)}),
    "mlp": mlp,
    "one_hot": one_hot,
    "pixels": pixels,
    "random_mask": random_mask,
    "relu": one("out", lambda a, n, o: {"z": a(n, o), "out": a.empty(n, o)}),
    "relu_backward": one("out", lambda a, n, o: {"dy": a(n, o), "y": a(n, o), "out": a.empty(n, o)}),
    "selu": one("out", lambda a, n, o: {"z": 20 * a(n, o), "out": a.empty(n, o)}),
    "selu_backward": one("out", lambda a, n, o: {"dy": a(n, o), "y": a(n, o), "out": a.empty(n, o)}),
    "sgd": one("params", lambda a, n, o: {"params": a(n * o), "grads": a(n * o), "learning_rate": 0.1, "scratch": a(n * o)}),
    "sgd_momentum": sgd_momentum,
    "shrink": one("params", lambda a, n, o: {"params": a(n * o), "factor": 0.9}),
    "softmax_cross_entropy": softmax_cross_entropy,
    "squared_error": one(
        "losses dy", lambda a, n, o: {"y": a(n, o), "target": a(n, o), "losses": a.empty(n), "dy": a.empty(n, o)}
    ),
    "sum_of_squares": one("", lambda a, n, o: {"values": a(n * o)}),
    "waves": waves,
    "waves_backward": waves_backward,
}
SPENT = {"scratch", "x_hat"}  # what a kernel may overwrite without saying what with
# the output that may be an input
IN_PLACE = {
    "batch_norm": ("out", "x"),
    "distort": ("out", "x"),
    "dropout": ("out", "x"),
    "layer_norm": ("out", "x"),
    "mish": ("out", "z"),
    "mish_backward": ("out", "dy"),
    "relu": ("out", "z"),
    "relu_backward": ("out", "dy"),
    "selu": ("out", "z"),
    "selu_backward": ("out", "dy"),
    "softmax_cross_entropy": ("dz", "z"),
}

each_kernel = pytest.mark.parametrize("name", sorted(fused.KERNELS))
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Keep the loops on one thread, whose number changes no byte (tested below): two wait for each other on busy CPUs."""
    before = fused.limit_threads(1)
    yield
    fused.limit_threads(before)


def cases(name: str, dtype: str, n: int, o: int) -> list[tuple[Arguments, str]]:
    return list(CASES[name](Numbers(dtype, (name, n, o)), n, o))


def run(function: Callable[..., Any], arguments: Arguments, outputs: str) -> dict[str, Any]:
    """Return what `function` writes and returns, by name, and what it leaves of the rest."""
    own = {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in arguments.items()}
    with np.errstate(all="ignore"):
        returned = function(*own.values())
    for name in set(own) - {*outputs.split(), *SPENT} - ({"dy"} if not own.get("need_dx", True) else set()):
        np.testing.assert_array_equal(own[name], arguments[name], err_msg=f"{name} was changed")
    found = {name: own[name] for name in outputs.split()}
    returned = returned if isinstance(returned, tuple) else (returned,)
    return found | {f"returned {i}": np.asarray(value) for i, value in enumerate(returned) if value is not None}


def kinds(values: Any) -> Any:
    """Return 0 for a finite number, 1 and -1 for an infinite one, 2 for NaN."""
    return np.where(np.isnan(values), 2, np.where(np.isinf(values), np.sign(values), 0))


def assert_agree(got: dict[str, Any], expected: dict[str, Any], close: float, what: object) -> None:
    assert list(got) == list(expected)
    for name, values in expected.items():
        message = f"{name} of {what}"
        assert got[name].shape == values.shape, message
        if values.dtype.kind != "f":
            np.testing.assert_array_equal(got[name], values, err_msg=message)
            continue
        np.testing.assert_array_equal(kinds(got[name]), kinds(values), err_msg=f"not finite: {message}")
        finite = np.isfinite(values)
        # a sum with 1e30 in it is right to so many digits of 1e30
        largest = np.abs(values[finite]).max(initial=1) if close else 0
        np.testing.assert_allclose(got[name][finite], values[finite], rtol=close, atol=close * largest, err_msg=message)


def bytes_of(found: dict[str, Any]) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in found.items()}


# What there is.


def test_every_fused_kernel_has_a_twin_in_the_reference_and_a_case_here() -> None:
    assert set(fused.KERNELS) == set(CASES)
    for name in fused.KERNELS:
        assert not name.startswith("_") and inspect.isfunction(vars(reference)[name]), name


@each_kernel
def test_fused_kernel_has_the_signature_of_its_twin_once_parts_are_filled_in(name: str) -> None:
    wanted = list(inspect.signature(vars(reference)[name]).parameters)
    assert list(inspect.signature(fused.KERNELS[name]).parameters) == ["parts", *wanted]
    assert list(inspect.signature(table(3)[name]).parameters) == wanted
    for arguments, outputs in cases(name, "float32", 2, 2):
        assert list(arguments) == wanted and set(outputs.split()) <= set(wanted)


def test_table_splits_into_the_parts_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in fused.KERNELS:
        monkeypatch.setitem(fused.KERNELS, name, lambda *arguments: arguments)
    for parts in PARTS:
        monkeypatch.setattr(fused.compiled, "work", SimpleNamespace(parts=parts))
        calls = fused.table()
        assert set(calls) == set(fused.KERNELS)
        assert {call("x") for call in calls.values()} == {(parts, "x")}


def test_no_compiled_function_assumes_that_there_is_no_nan_or_infinity() -> None:
    modules = [
        fused.affine,
        fused.compiled,
        fused.images,
        fused.layers,
        fused.mlp,
        fused.optimizers,
        fused.rows,
        fused.smooth,
        fused.zeros,
    ]
    compiled = {f"{module.__name__}.{name}": value for module in modules for name, value in vars(module).items()}
    flags = {
        name: value.targetoptions.get("fastmath", set()) for name, value in compiled.items() if hasattr(value, "py_func")
    }
    assert len(flags) > len(fused.KERNELS)
    for name, own in flags.items():
        assert isinstance(own, set) and own <= {"contract", "nsz", "reassoc"}, name


# The same numbers.


@each_dtype
@each_kernel
def test_fused_kernel_agrees_with_its_twin_for_any_size_and_split(name: str, dtype: str) -> None:
    for n, o in itertools.product(ROWS, WIDTHS):
        for number, (arguments, outputs) in enumerate(cases(name, dtype, n, o)):
            expected = run(vars(reference)[name], arguments, outputs)
            for parts in PARTS:
                got = run(table(parts)[name], arguments, outputs)
                assert_agree(got, expected, 0 if name in EXACT else CLOSE[dtype], (name, number, n, o, parts))


@each_dtype
@pytest.mark.parametrize("name", ["affine", "affine_backward"])
@pytest.mark.parametrize("parts", [2, 3])
def test_fused_product_agrees_with_its_twin_where_rows_or_columns_are_split(parts: int, name: str, dtype: str) -> None:
    assert parts * 300 * 530 > 2**18
    for n, o in [(300, 530), (530, 300)]:
        for number, (arguments, outputs) in enumerate(cases(name, dtype, n, o)):
            expected = run(vars(reference)[name], arguments, outputs)
            assert_agree(run(table(parts)[name], arguments, outputs), expected, CLOSE[dtype], (name, number, n, o))


@each_dtype
def test_fused_product_agrees_with_its_twin_where_parts_are_more_than_inputs(dtype: str) -> None:
    for number, (arguments, outputs) in enumerate(cases("affine", dtype, 300, 60)):
        arguments["scratch"] = np.full(2**18, np.nan, dtype)
        expected = run(reference.affine, arguments, outputs)
        assert_agree(run(table(8)["affine"], arguments, outputs), expected, CLOSE[dtype], number)


def sparse(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Return numbers of which one in seven is not zero."""
    return (rng.normal(size=shape) * (rng.random(shape) < 1 / 7)).astype(np.float32)


def both_ways(x: np.ndarray, W: np.ndarray, scale: float, scratch: int, kernels: dict[str, Any]) -> list[np.ndarray]:
    """Return x W + b, and the gradients of W and x for a dy whose first column is 0 and of which one in seven is not."""
    out, dW, dx = np.empty((len(x), W.shape[1]), np.float32), np.empty_like(W), np.empty_like(x)
    b, spare, dy = W[1].copy(), np.empty(scratch, np.float32), sparse(np.random.default_rng(0), *out.shape)
    dy[:, 0] = 0
    kernels["affine"](x, W, b, scale, False, out, spare)
    kernels["affine_backward"](x, out, W, scale, False, dy, dW, np.empty_like(b), dx, spare)
    return [out, dW, dx]


@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize(
    ("n", "i", "o"), [(37, 401, 130), (101, 113, 48), (17, 1000, 129), (700, 33, 300), (600, 401, 64), (1, 700, 400)]
)
def test_fused_product_of_mostly_zeros_agrees_with_its_twin(n: int, i: int, o: int, parts: int) -> None:
    rng = np.random.default_rng(n)
    x, W = sparse(rng, n, i), rng.normal(size=(i, o)).astype(np.float32)
    x[n // 2] = 0
    x[:, i // 2] = rng.normal(size=n)
    for scale, scratch in [(1.0, 2**22), (0.3, 2**22), (1.0, 0)]:
        expected = both_ways(x, W, scale, scratch, vars(reference))
        for a, b in zip(both_ways(x, W, scale, scratch, table(parts)), expected, strict=True):
            np.testing.assert_allclose(a, b, atol=CLOSE["float32"] * np.abs(b).max())


@pytest.mark.skipif(not fused.vectors.FAST, reason="this CPU or compiler has no fast way to list nonzeros")
@pytest.mark.parametrize("parts", [1, 2])
def test_fused_product_does_not_read_what_zeros_multiply_and_passes_nan_of_x_on(parts: int) -> None:
    rng = np.random.default_rng(0)
    x, W = sparse(rng, 40, 300), rng.normal(size=(300, 100)).astype(np.float32)
    x[:, [0, 150, 299]], x[3] = 0, 0
    W[[0, 150, 299]] = np.nan
    assert np.isfinite(both_ways(x, W, 1.0, 2**20, table(parts))[0]).all()
    W = np.nan_to_num(W)
    W[:, 0] = np.nan
    assert np.isfinite(both_ways(x, W, 1.0, 2**20, table(parts))[2]).all()
    x[3, 7], W = np.nan, np.nan_to_num(W)
    out, dW, _ = both_ways(x, W, 1.0, 2**20, table(parts))
    assert np.isnan(out[3]).all() and np.isfinite(np.delete(out, 3, axis=0)).all()
    assert np.isnan(dW[7]).all() and np.isfinite(np.delete(dW, 7, axis=0)).all()
    dense = rng.normal(size=(40, 300)).astype(np.float32)
    W[[0, 150, 299]] = np.nan
    assert np.isnan(both_ways(dense, W, 1.0, 2**20, table(parts))[0]).all()


@each_dtype
@pytest.mark.parametrize(("name", "o"), [("affine", 600), ("sum_of_squares", 20_001)])
def test_fused_kernel_agrees_where_one_row_is_worth_several_threads(name: str, o: int, dtype: str) -> None:
    for number, (arguments, outputs) in enumerate(cases(name, dtype, 1, o)):
        expected = run(vars(reference)[name], arguments, outputs)
        for parts in PARTS:
            assert_agree(run(table(parts)[name], arguments, outputs), expected, CLOSE[dtype], (name, number, parts))


@each_dtype
@each_kernel
def test_fused_kernel_passes_nan_infinity_and_huge_numbers_on_as_its_twin_does(name: str, dtype: str) -> None:
    planted = 0
    for n, o in [(1, 10), (7, 1), (7, 10)]:
        for number, (arguments, outputs) in enumerate(cases(name, dtype, n, o)):
            rng = np.random.default_rng(number)
            for key, value in arguments.items():
                if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or not value.size or np.isnan(value).all():
                    continue
                if (name, key, n) == ("affine", "W", 1) or (name, key) == ("mlp", "params"):  # not read where x is 0
                    continue
                if key == "knots":  # checked by the layer
                    continue
                for odd in PLANTED:
                    changed = value.copy()
                    changed.flat[rng.integers(value.size)] = odd
                    case, planted = arguments | {key: changed}, planted + 1
                    expected = run(vars(reference)[name], case, outputs)
                    what = (name, number, n, o, key, odd)
                    assert_agree(run(table(3)[name], case, outputs), expected, CLOSE[dtype], what)
    assert planted or name in {"one_hot", "pixels", "random_mask"}


@each_dtype
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 1e30])
def test_hits_agree_wherever_an_odd_number_stands(odd: float, dtype: str) -> None:
    for column, label in itertools.product(range(5), range(5)):
        y = Numbers(dtype)(3, 5)
        y[1, column] = odd
        labels = np.full(3, label)
        assert table(2)["hits"](y, labels) == reference.hits(y, labels), (column, label)


@pytest.mark.parametrize("one_hot", [reference.one_hot, table(2)["one_hot"]], ids=["reference", "fused"])
@pytest.mark.parametrize("labels", [[0, 4, 1], [0, 3, -1], [2**62, 0, 0]], ids=str)
def test_one_hot_says_that_a_label_is_none_of_the_classes(labels: list[int], one_hot: Callable[..., bool]) -> None:
    assert one_hot(np.array([0, 3, 1]), 0.1, np.empty((3, 4))) is True
    assert one_hot(np.array(labels), 0.1, np.empty((3, 4))) is False


@each_dtype
@pytest.mark.parametrize("name", sorted(IN_PLACE))
def test_fused_kernel_gives_the_same_in_the_place_of_an_input(name: str, dtype: str) -> None:
    to, source = IN_PLACE[name]
    for n, o, parts in [(1, 1, 2), (7, 10, 3), (37, 33, 2)]:
        for number, (arguments, outputs) in enumerate(cases(name, dtype, n, o)):
            expected = run(table(parts)[name], arguments, outputs)
            own = {key: value.copy() if isinstance(value, np.ndarray) else value for key, value in arguments.items()}
            own[to] = own[source]
            table(parts)[name](*own.values())
            got = expected | {key: own[key] for key in outputs.split()}
            # where memory overlaps, a loop may be compiled for one number at a time, and round a sum otherwise
            assert_agree(got, expected, 0 if name in EXACT else CLOSE[dtype], (name, number, n, o, parts))


def test_softmax_of_float32_is_exact_to_a_few_units_in_the_last_place() -> None:
    x = np.linspace(0, -87, 20_001, dtype=np.float32)
    z = np.stack([np.zeros_like(x), x], axis=1)
    q, losses, dz = np.zeros_like(z), np.empty_like(x), np.empty_like(z)
    table(2)["softmax_cross_entropy"](z, q, losses, dz)
    e = np.exp(x.astype(np.float64))
    np.testing.assert_allclose(dz[:, 1], e / (1 + e), rtol=4e-7)
    np.testing.assert_allclose(losses, np.log1p(e), rtol=4e-7, atol=1e-7)


@each_dtype
def test_what_underflows_in_a_softmax_is_zero_or_as_small_as_it_is(dtype: str) -> None:
    z = np.array([[0, -87.2, -87.4, -104, -700, -746, -1e30, -np.inf]], dtype)
    q, losses, dz = np.zeros_like(z), np.empty(1, dtype), np.empty_like(z)
    q[0, 0] = 1
    table(2)["softmax_cross_entropy"](z[:, :-1], q[:, :-1], losses, dz[:, :-1])
    np.testing.assert_allclose(dz[0, 1:-1], np.exp(z[0, 1:-1].astype(np.float64)), rtol=1e-5, atol=1.2e-38)
    assert (dz[0, 1:-1] >= 0).all() and losses.tolist() == [0]
    table(2)["softmax_cross_entropy"](z, np.zeros_like(z), losses, dz)
    assert dz[0, -1] == 0


@each_dtype
def test_batch_norm_is_not_fooled_by_a_large_mean(dtype: str) -> None:
    x = (1e4 + np.arange(37.0)[:, None]).astype(dtype)
    one = np.ones(1, dtype)
    _, variance, _ = table(3)["batch_norm"](x, one, one, 1e-5, np.empty_like(x), np.empty_like(x))
    np.testing.assert_allclose(variance, np.arange(37.0).var(), rtol=1e-4)


def test_kernels_of_a_batch_take_rows_that_cannot_be_written() -> None:
    x, out = Numbers("float32")(5, 4), np.empty((2, 4), np.float32)
    x.flags.writeable = False  # as of a file that is mapped into memory
    table(2)["gather"](x, np.array([4, 0]), out)
    assert out.tolist() == x[[4, 0]].tolist()


# The same bytes.


@each_dtype
@each_kernel
def test_fused_kernel_gives_the_same_bytes_for_any_number_of_threads(name: str, dtype: str) -> None:
    for parts, (arguments, outputs) in itertools.product((3, 8), cases(name, dtype, 613, 33)):
        fused.limit_threads(1)
        expected = bytes_of(run(table(parts)[name], arguments, outputs))
        fused.limit_threads(2)
        for _ in range(10):
            assert bytes_of(run(table(parts)[name], arguments, outputs)) == expected


# The rest of the process.


def products(dtype: str) -> None:
    """Run the two kernels that hold the BLAS."""
    for name in ("affine", "affine_backward"):
        for arguments, _ in cases(name, dtype, 37, 33):
            table(3)[name](*arguments.values())


def blas_threads() -> list[int | None]:
    return [library.threads for library in blas.libraries()]


@pytest.mark.parametrize("threads", [1, 2])
def test_products_leave_the_threads_of_the_blas_as_they_were(threads: int) -> None:
    products("float32")  # which loads what it needs
    with threadpool_limits(threads, "blas"):
        before = blas_threads()
        assert set(before) == {threads}
        products("float32")
        assert blas_threads() == before


def test_products_of_several_python_threads_leave_the_threads_of_the_blas_as_they_were() -> None:
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        for _ in range(50):
            products("float64")

    with threadpool_limits(2, "blas"):
        before = blas_threads()
        workers = [threading.Thread(target=work) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        assert not any(worker.is_alive() for worker in workers)
        assert blas_threads() == before


HIGH_WATER = """
import re, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_fused import CASES, Numbers, np, table

def resident(line):
    return int(re.search(line + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

for name, make in CASES.items():
    if name == "distort":
        continue  # its images are smaller; test_augment.py
    for arguments, _ in make(Numbers("float32"), 4099, 256):  # 4.2 MB each
        for _ in range(2):
            table(2)[name](*arguments.values())
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark falls to what is resident
        before = resident("VmRSS")
        table(2)[name](*arguments.values())
        print(name, resident("VmHWM") - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux for the memory of a process")
def test_no_kernel_allocates_a_batch() -> None:
    # allocations of 256 kB and more come from the system and go back to it, and so none hides in what was freed before
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "262144", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", HIGH_WATER, str(Path(__file__).parent)]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    if "PermissionError" in process.stderr:
        pytest.skip("the high-water mark cannot be reset here")
    assert process.returncode == 0, process.stderr
    found = [line.split() for line in process.stdout.splitlines()]
    assert {name for name, _ in found} == set(CASES) - {"distort"}
    assert [(name, size) for name, size in found if int(size) > 1024] == []
