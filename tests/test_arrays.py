"""What people give as an array: what is none is named by every function that takes arrays."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import numlp as nl
from numlp.errors import ArgumentError, DTypeError, ShapeError, check_finite, check_within

NET = nl.Network([nl.Dense(2, 2)], rng=0, loss=nl.SoftmaxCrossEntropy())
X, Y = np.zeros((2, 2)), np.array([0, 1])

# name -> a call with something in the place of one array
CALLS: dict[str, Callable[[Any], Any]] = {
    "fit x": lambda a: nl.fit(NET, (a, Y), progress=False),
    "fit y": lambda a: nl.fit(NET, (X, a), progress=False),
    "fit weight": lambda a: nl.fit(NET, (X, Y, a), progress=False),
    "evaluate x": lambda a: nl.evaluate(NET, (a, Y)),
    "evaluate y": lambda a: nl.evaluate(NET, (X, a)),
    "predict": lambda a: NET.predict(a),
    "predict_proba": lambda a: NET.predict_proba(a),
    "outputs": lambda a: NET.outputs(a),
    "forward": lambda a: NET.forward(a),
    "explain_step x": lambda a: nl.explain_step(NET, nl.SoftmaxCrossEntropy(), a, Y),
    "explain_step target": lambda a: nl.explain_step(NET, nl.SoftmaxCrossEntropy(), X, a),
    "Standardize.fit": lambda a: nl.Standardize(2).fit(a),
    "write_idx": lambda a: nl.write_idx("unused", a),
    "accuracy": lambda a: nl.accuracy(a, Y),
    "accuracy labels": lambda a: nl.accuracy(Y, a),
    "confusion_matrix": lambda a: nl.confusion_matrix(a, Y, 2),
    "top_k_accuracy": lambda a: nl.top_k_accuracy(a, Y, 1),
    "f1": lambda a: nl.f1(a, Y),
    "log_loss": lambda a: nl.log_loss(a, Y),
    "brier_score": lambda a: nl.brier_score(a, Y),
    "expected_calibration_error": lambda a: nl.expected_calibration_error(a, Y),
    "roc_auc": lambda a: nl.roc_auc(a, Y),
    "r2": lambda a: nl.r2(a, Y),
    "mean_absolute_error": lambda a: nl.mean_absolute_error(Y, a),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    ("ragged", "found"),
    [
        ([[1.0, 2.0], [1.0]], "lengths 1, 2"),
        ([[1.0, 2.0], 1.0], "lengths 2, no rows"),
        (([1.0], [1.0, 2.0, 3.0], []), "lengths 0, 1, 3"),
        ([[[1.0], [2.0, 3.0]], [[1.0], [2.0]]], "others further inside"),
    ],
)
def test_rows_of_unequal_length_are_named(name: str, ragged: Any, found: str) -> None:
    with pytest.raises(
        ShapeError, match=rf"^[\w.: ]+ must have rows of equal length, got {found}(, the first other one in row \d)?$"
    ):
        CALLS[name](ragged)


class Elsewhere:
    """An array of another library that does not become one of NumPy."""

    def __array__(self, *arguments: Any, **options: Any) -> Any:
        raise RuntimeError("copy it to this machine first")


@pytest.mark.parametrize("name", CALLS)
def test_object_that_becomes_no_array_is_named_with_what_it_says(name: str) -> None:
    text = r"^[\w.: ]+ must be an array or lists of numbers, got Elsewhere: copy it to this machine first$"
    with pytest.raises(DTypeError, match=text):
        CALLS[name](Elsewhere())


@pytest.mark.skipif(np.finfo(np.longdouble).max == np.finfo(np.float64).max, reason="long doubles are doubles here")
def test_long_doubles_beyond_doubles_are_finite_and_too_large() -> None:
    x = np.array([1, np.longdouble("1e4000")])
    with np.errstate(over="ignore"):
        assert check_finite(x, "predict", "x") == (1, np.inf)
        with pytest.raises(ArgumentError, match=r"^predict: x must hold numbers from .* at x\[1\]"):
            check_within(1, np.inf, x, np.dtype("f4"), "predict", "x")
