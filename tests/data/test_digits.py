import hashlib

import numpy as np
from sklearn.datasets import load_digits as load_bundled

from numlp.data.digits import load_digits
from numlp.data.splits import one_hot


def test_load_digits_has_fixed_sizes_types_and_range():
    data = load_digits()
    assert [len(split.x) for split in (data.train, data.validation, data.test)] == [1257, 180, 360]
    for x, y in (data.train, data.validation, data.test):
        assert x.shape == (len(y), 64)
        assert (x.dtype, y.dtype) == (np.float32, np.int64)
        assert x.min() == 0
        assert x.max() == 1
        assert (np.bincount(y, minlength=10) >= 10).all()
        assert y.max() == 9
    assert (data.name, data.image_shape, data.class_names) == ("digits", (8, 8), tuple("0123456789"))


def test_load_digits_puts_every_row_in_one_split():
    data = load_digits()
    rows = np.concatenate([np.column_stack(split) for split in (data.train, data.validation, data.test)])
    x, y = load_bundled(return_X_y=True)
    original = np.column_stack([x / 16, y])
    assert len(np.unique(original, axis=0)) == len(original)  # so equal rows would be the same row
    assert (np.unique(rows, axis=0) == np.unique(original, axis=0)).all()


def test_load_digits_gives_the_same_bytes_each_time_and_everywhere():
    first, second = load_digits(), load_digits()
    for name in ("train", "validation", "test"):
        a, b = getattr(first, name), getattr(second, name)
        assert a.x.tobytes() == b.x.tobytes()
        assert a.y.tobytes() == b.y.tobytes()
    order = np.concatenate([first.test.y, first.validation.y, first.train.y]).astype(np.uint8)
    assert hashlib.sha256(order.tobytes()).hexdigest() == "4a95931e14202c413d0cb093131d65a1f6846427ff91490da396e4daeb875913"


def test_one_hot_has_a_one_at_each_label():
    hot = one_hot(np.array([2, 0, 1, 2], np.uint8), 3)
    assert hot.dtype == np.float32
    assert hot.tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert one_hot(np.empty(0, np.int64), 3).shape == (0, 3)
