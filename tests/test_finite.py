"""No answer is made of numbers that are not finite, and no array of a kind that loses numbers without a word."""

import copy
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import numlp as nl
from numlp.errors import ArgumentError, DivergenceError, DTypeError, NumlpError, OutputError, ShapeError

N_IN = 3


def stacks() -> dict[str, list[nl.Layer]]:
    """Return the layers of networks that take floating point numbers, by the first layer that matters."""
    return {
        "relu": [nl.Dense(3, 4, "relu"), nl.Dense(4, 2)],
        "sigmoid": [nl.Dense(3, 4, "sigmoid"), nl.Dense(4, 2)],
        "Pixels": [nl.Pixels(3), nl.Dense(3, 2)],
        "Standardize": [nl.Standardize(3), nl.Dense(3, 4, "tanh"), nl.Dense(4, 2)],
        "BatchNorm": [nl.BatchNorm(3), nl.Dense(3, 4, "tanh"), nl.Dense(4, 2)],
        "Average": [nl.Average([[nl.Dense(3, 2, "tanh")], [nl.Dense(3, 2, "tanh")]])],
    }


ASK = {
    "predict": lambda network, x: network.predict(x),
    "predict_proba": lambda network, x: network.predict_proba(x),
    "outputs": lambda network, x: network.outputs(x),
    "evaluate": lambda network, x: nl.evaluate(network, (x, np.zeros(len(x), int))),
    "fit": lambda network, x: nl.fit(network, (x, np.zeros(len(x), int)), epochs=1),
    "validation": lambda network, x: nl.fit(
        network, (np.zeros((4, 3)), np.zeros(4, int)), validation=(x, np.zeros(len(x), int)), epochs=1
    ),
}


@pytest.mark.parametrize("name", sorted(stacks()))
@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from(sorted(ASK)),
    st.sampled_from([1, 2, 9, 1500]),
    st.floats(1e39, 1e300),
    st.sampled_from([-1, 1]),
    st.sampled_from(["float64", ">f8", "longdouble"]),
    st.booleans(),
    st.data(),
)  # fmt: skip
def test_numbers_beyond_float32_are_named_by_row_and_column(name, call, n, value, sign, dtype, fortran, data):
    network = nl.Network(stacks()[name], rng=0, loss=nl.SoftmaxCrossEntropy())
    x = np.zeros((n, N_IN), dtype, order="F" if fortran else "C")
    row, column = data.draw(st.integers(0, n - 1)), data.draw(st.integers(0, N_IN - 1))
    x[row, column] = sign * value
    before = network.params.tobytes()
    with pytest.raises(ArgumentError, match=re.escape(f"x[{row}, {column}], beyond float32")):
        ASK[call](network, x)
    assert network.params.tobytes() == before


@pytest.mark.parametrize("call", ["predict", "predict_proba", "outputs", "evaluate"])
@pytest.mark.parametrize("n", [1, 20, 1100])
def test_outputs_that_overflow_are_an_error_that_names_the_row(call, n):
    network = nl.Network([nl.Dense(3, 4, "relu"), nl.Dense(4, 2)], rng=0, loss=nl.SoftmaxCrossEntropy())
    network.params[...] = 1
    x = np.zeros((n, N_IN), np.float32)
    x[n - 1] = 3e38
    text = rf"outputs must be finite numbers, got (nan|inf) in row {n - 1}: x\[{n - 1}, 0\] is 3e\+38"
    with pytest.raises(OutputError, match=text):
        ASK[call](network, x)
    network.params[0] = np.nan
    x[n - 1] = 1
    with pytest.raises(OutputError, match="the network holds NaN"):
        ASK[call](network, x)


def test_validation_outputs_that_overflow_end_training_at_the_last_good_weights():
    network = nl.Network([nl.Dense(1, 1)], rng=0)
    network.params[...] = 1
    data = np.ones((4, 1)), np.full((4, 1), 10.0)
    seen = []

    class Grow(nl.Callback):
        def on_validation(self, run):
            network.params[...] = 10.0 ** (16 * run.epoch)

        def on_epoch(self, run):
            seen.append(network.params.copy())

    validation = np.full((4, 1), 1e10), np.zeros((4, 1))
    with pytest.raises(DivergenceError, match=r"at epoch 2.*outputs must be finite.*as it was after epoch 1"):
        nl.fit(network, data, validation=validation, loss=nl.SquaredError(), epochs=9, callbacks=[Grow()])
    assert len(seen) == 1
    assert network.params.tobytes() == seen[0].tobytes()


def test_targets_beyond_float32_are_named():
    network = nl.Network([nl.Dense(3, 1)], rng=0)
    y = np.zeros(40)
    y[7] = -1e39
    with pytest.raises(ArgumentError, match=r"y must hold numbers .* got -1e\+39 at y\[7, 0\], beyond float32"):
        nl.fit(network, (np.zeros((40, 3)), y), loss=nl.SquaredError())


def masked(shape: tuple[int, ...]) -> np.ma.MaskedArray:
    array = np.ma.masked_array(np.zeros(shape), mask=False)
    array[(1,) * len(shape)] = np.ma.masked
    return array


def refused(call, kind: type[NumlpError], text: str) -> None:
    with pytest.raises(kind, match=text) as caught:
        call()
    assert str(caught.value).count("\n") == 0


SPARSE = pytest.importorskip("scipy.sparse").csr_matrix
# what is no array of numbers -> the error, and what to do
NO_ARRAYS = {
    "masked": (lambda: masked((4, N_IN)), ArgumentError, r"x must hold no masked numbers, got 1, the first at x\[1, 1\]"),
    "ragged": (
        lambda: [[1.0, 2, 3], [1.0, 2, 3], [1.0, 2], [1, 2, 3]],
        ShapeError,
        "equal length, got lengths 2, 3, .* in row 2",
    ),
    "sparse": (lambda: SPARSE(np.eye(4)[:, :3]), DTypeError, r"csr_matrix; make it dense: x.toarray\(\)"),
    "generator": (lambda: (row for row in np.zeros((4, 3))), DTypeError, r"generator; .* np.stack\(list\(x\)\)"),
    "dict": (lambda: {"a": np.zeros((4, 3))}, DTypeError, "dict; give one array"),
    "set": (lambda: {1, 2, 3}, DTypeError, "set; give one array"),
    "object": (object, ShapeError, r"shape \(n, 3\)"),
}


@pytest.mark.parametrize("call", sorted(ASK))
@pytest.mark.parametrize("name", sorted(NO_ARRAYS))
def test_what_is_no_array_of_rows_is_refused_with_what_to_do(name, call):
    make, kind, text = NO_ARRAYS[name]
    network = nl.Network([nl.Dense(3, 2)], rng=0, loss=nl.SoftmaxCrossEntropy())
    x = make()
    if call in ("evaluate", "fit", "validation"):
        data, y = (np.zeros((4, 3)), np.zeros(4, int)), np.zeros(4, int)
        calls = {
            "evaluate": lambda: nl.evaluate(network, (x, y)),
            "fit": lambda: nl.fit(network, (x, y)),
            "validation": lambda: nl.fit(network, data, validation=(x, y)),
        }
        refused(calls[call], kind, text)
    else:
        refused(lambda: ASK[call](network, x), kind, text)


def test_masked_targets_and_weights_are_refused_and_masks_of_nothing_taken():
    network = nl.Network([nl.Dense(3, 2)], rng=0)
    x, y = np.zeros((4, 3)), np.zeros(4, int)
    refused(lambda: nl.fit(network, (x, masked((4,)))), ArgumentError, r"y must hold no masked numbers.*y\[1\]")
    refused(lambda: nl.fit(network, (x, y, masked((4,)))), ArgumentError, r"weight must hold no masked numbers")
    assert network.outputs(np.ma.masked_array(x, mask=False)).shape == (4, 2)


# targets that do not fit -> loss, outputs, what the message says to do
HINTS = {
    "a number a row for 2 outputs": (nl.SquaredError(), 2, np.zeros(4), r"give y as many columns"),
    "a column of labels": (nl.SoftmaxCrossEntropy(), 2, np.zeros((4, 1), int), r"for labels use y.ravel\(\)"),
    "a column of labels for hinge": (nl.Hinge(), 2, np.zeros((4, 1), int), r"use y.ravel\(\)"),
    "more classes than outputs": (nl.SoftmaxCrossEntropy(), 3, np.arange(4), "give the last layer 4 outputs instead of 3"),
    "labels from 1 on": (nl.SoftmaxCrossEntropy(), 4, np.arange(1, 5), r"np.unique\(y, return_inverse=True\)$"),
    "more labels, from 1 on": (nl.SoftmaxCrossEntropy(), 3, np.arange(1, 5), "np.unique.* the last layer 4 outputs"),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(HINTS))
def test_targets_that_do_not_fit_the_outputs_name_the_remedy(name):
    loss, n_out, y, text = HINTS[name]
    network = nl.Network([nl.Dense(3, n_out)], rng=0)
    refused(lambda: nl.fit(network, (np.zeros((4, 3)), y), loss=loss), (ShapeError, ArgumentError), text)


@settings(max_examples=40, deadline=None)
@given(
    st.floats(3, 15),
    st.sampled_from([-1, 1]),
    st.floats(1e-2, 1e3),
    st.sampled_from(["float64", "int64", ">f8", "longdouble"]),
)
def test_standardize_keeps_the_digits_of_columns_with_an_offset(exponent, sign, spread, dtype):
    rng = np.random.default_rng(0)
    x = (sign * 10**exponent + spread * rng.normal(size=(40, 1))).astype(dtype)
    x = np.column_stack([x, rng.integers(5, size=40).astype(dtype)])
    exact = x.astype(np.longdouble)
    std = exact.std(axis=0)
    true = np.divide(exact - exact.mean(axis=0), std, out=np.zeros_like(exact), where=std > 0)
    network = nl.Network([nl.Standardize(2).fit(x)], rng=0)
    tolerance = 1e-3 if network.layers[0].remainder is None else 1e-5 + 1e-15 * 10**exponent / spread  # that of float64
    for model in (network, copy.deepcopy(network), nl.Network.from_config(network.to_config())):
        model.restore(network.snapshot())
        for rows in (slice(0, 1), slice(None)):
            np.testing.assert_allclose(model.outputs(x[rows]), true[rows].astype(float), atol=tolerance)


def test_days_and_seconds_are_learnt_from_float64_as_from_small_numbers():
    rng = np.random.default_rng(0)
    small = rng.uniform(0, 1, size=(400, 1))
    y = (small[:, 0] > 0.4).astype(int)

    def losses(x):
        layers = [nl.Standardize(1).fit(x), nl.Dense(1, 8, "tanh"), nl.Dense(8, 2)]
        network = nl.Network(layers, rng=0)
        history = nl.fit(network, (x, y), validation=(x, y), optimizer=nl.Adam(0.02), epochs=4, batch_size=32)
        return history["loss"] + history["validation_loss"] + [nl.evaluate(network, (x, y))["loss"]]

    expected = losses(small)
    np.testing.assert_allclose(losses(small + 2460000.5), expected, rtol=1e-3)
    np.testing.assert_allclose(losses(1.7e9 + 600 * small), expected, rtol=1e-3)
    np.testing.assert_allclose(losses((1.7e12 + 6e5 * small).astype(np.int64)), expected, rtol=1e-3)


def test_standardize_in_double_precision_refuses_what_its_outputs_cannot_hold():
    x = 1e9 + np.arange(20.0).reshape(10, 2)
    network = nl.Network([nl.Standardize(2).fit(x), nl.Dense(2, 2, "tanh")], rng=0)
    for n in (1, 10):
        with pytest.raises(ArgumentError, match=r"x\[0, 1\], beyond float32"):
            network.predict(np.where([[0, 1]], 1e39, x[:n]))
        with pytest.raises(ArgumentError, match=r"x must hold finite numbers, got 1 NaN"):
            network.predict(np.where(np.arange(2 * n).reshape(n, 2) == 1, np.nan, x[:n]))
