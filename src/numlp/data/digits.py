"""1,797 handwritten digits of 8x8 pixels that need no network: they come with scikit-learn."""

import numpy as np

from numlp.data.splits import Dataset, Split

_VALIDATION, _TEST = 180, 360  # of 1,797 rows; 1,257 remain for training


def load_digits() -> Dataset:
    """Return the digits in a fixed split: train 1,257, validation 180, test 360.

    x (n, 64) float32 in [0, 1], 0 is the white background; y (n,) labels 0..9. The rows are shuffled once, always
    the same way, because the file goes writer by writer.

    Source  Alpaydin, Kaynak 1998, "Optical recognition of handwritten digits"; the copy in scikit-learn.

    Examples
    --------
    >>> import numlp as nl
    >>> data = nl.load_digits()
    >>> data.train.x.shape, data.validation.x.shape, data.test.x.shape
    ((1257, 64), (180, 64), (360, 64))
    """
    from sklearn.datasets import load_digits as load_bundled

    x, y = load_bundled(return_X_y=True)
    order = np.random.default_rng(1998).permutation(len(x))
    x, y = (x[order] / 16).astype(np.float32), y[order].astype(np.int64)  # a pixel counts 0 to 16 dots
    names = tuple(str(digit) for digit in range(10))
    test, rest = Split(x[:_TEST], y[:_TEST]), slice(_TEST + _VALIDATION, None)
    validation = Split(x[_TEST : rest.start], y[_TEST : rest.start])
    return Dataset("digits", Split(x[rest], y[rest]), validation, test, names, (8, 8))
