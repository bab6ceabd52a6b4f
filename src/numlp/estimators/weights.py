"""How much each row counts: sample weights, times what its class counts."""

from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_sample_weight

from numlp.data.rows import check_unmasked
from numlp.errors import ArgumentError, check_weight

Array = NDArray[Any]


def sample_weights(weight: Any, n: int, where: str) -> Array | None:
    """Return the weights of n rows, from one number, one for each, or None; ArgumentError, ShapeError, DTypeError else."""
    if weight is None:
        return None
    check_unmasked(weight, where, "sample_weight")
    weight = np.full(n, weight) if isinstance(weight, Number) else np.asarray(weight)
    if weight.dtype.kind in "fiub" and not weight.any():  # scikit-learn wants the word
        raise ArgumentError(f"{where}: sample_weight must not be zero in every row, got zeros only")
    return check_weight(weight, n, where, "sample_weight")


def with_class_weights(class_weight: Any, y: Array, weight: Array | None) -> Array | None:
    """Multiply weights with those of the classes in y (n,) or (n, n_labels).

        v_c = sum_n w_n / (C sum_(n in c) w_n)  for "balanced", C the number of classes in y        (1)

    Otherwise `class_weight` is a dict class -> v_c, of several labels a list of dicts. A row of several labels has the
    product of theirs.

    Source  King, Zeng 2001.
    """
    if class_weight is None:
        return weight
    if class_weight != "balanced":
        own = compute_sample_weight(class_weight, y)
        return own if weight is None else own * weight
    balanced = np.ones(len(y)) if weight is None else weight.copy()
    for column in y.reshape(len(y), -1).T:
        _, codes = np.unique(column, return_inverse=True)
        mass = np.bincount(codes, weight)
        balanced *= (mass.sum() / (len(mass) * np.where(mass > 0, mass, 1)))[codes]
    return balanced
