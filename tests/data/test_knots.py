import numpy as np
import pytest

from numlp.data.knots import quantiles
from numlp.errors import ArgumentError, DTypeError, ShapeError


def test_quantiles_part_the_rows_evenly_as_far_as_numbers_differ():
    assert quantiles(np.arange(101), 4) == [0, 25, 50, 75, 100]
    assert quantiles([3, 1, 1, 1, 1, 1, 1, 3], 16) == [1, 3]
    assert quantiles([2, 4, 6, 8], 3) == [2, 4, 6, 8] and quantiles([2, 4, 6, 8], 1) == [2, 8]
    assert quantiles([5.0, 5.0]) == [5, 11] and quantiles([-2]) == [-2, 5] and quantiles([0.0]) == [0, 1]
    x = np.random.default_rng(0).normal(size=1000)
    np.testing.assert_allclose(np.histogram(x.astype(np.float32), quantiles(x, 10))[0], 100, atol=1)


def test_number_that_is_often_there_counts_as_one_bin():
    rare = np.arange(1, 101)
    np.testing.assert_allclose(quantiles([*[0] * 10_000, *rare], 5), [0, 25, 50, 75, 100], atol=1)
    twice = [*[0] * 10_000, *[7] * 500, *(rare / 100), *(rare + 7)]
    np.testing.assert_allclose(quantiles(twice, 6), [0, 0.5, 1, 7, 57, 107], atol=0.01)


@pytest.mark.parametrize(
    ("column", "bins", "error", "message"),
    [
        ([[1, 2]], 4, ShapeError, r"column must have shape \(n,\) with n at least 1, got \(1, 2\)"),
        ([], 4, ShapeError, r"got \(0,\)"),
        (["a"], 4, DTypeError, "column must hold real numbers"),
        ([1, np.nan], 4, ArgumentError, "column must"),
        ([1, 2], 0, ArgumentError, "bins must"),
    ],
)
def test_quantiles_refuses_what_is_no_column_of_numbers(column, bins, error, message):
    with pytest.raises(error, match=r"^quantiles: .*" + message):
        quantiles(column, bins)
