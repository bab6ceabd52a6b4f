import tracemalloc

import numpy as np
import pytest

from numlp.data.batches import Batches


def make(n=10, width=3, batch_size=4, seed=0, x_dtype=np.float32, dtype=np.float32):
    x = np.arange(n * width).reshape(n, width).astype(x_dtype)
    return Batches(x, np.arange(n), batch_size, np.random.default_rng(seed), dtype)


def epoch(batches):
    """Return copies of the batches of one epoch."""
    return [(x.copy(), y.copy()) for x, y, _ in batches]


@pytest.mark.parametrize(
    ("n", "batch_size", "sizes"), [(10, 4, [4, 4, 2]), (8, 4, [4, 4]), (3, 1, [1, 1, 1]), (5, 4, [4, 1])]
)
def test_batches_give_every_row_once_and_the_last_batch_is_smaller(n, batch_size, sizes):
    batches = make(n, batch_size=batch_size)
    assert len(batches) == len(sizes)
    for _ in range(3):
        taken = epoch(batches)
        assert [len(x) for x, _ in taken] == sizes
        rows = np.concatenate([y for _, y in taken])
        assert sorted(rows) == list(range(n))
        x = np.concatenate([x for x, _ in taken])
        assert (x == np.arange(n * 3).reshape(n, 3)[rows]).all()


def test_batches_order_depends_only_on_the_generator():
    def orders(seed):
        batches = make(50, batch_size=7, seed=seed)
        return [np.concatenate([y for _, y in epoch(batches)]).tolist() for _ in range(3)]

    assert orders(1) == orders(1)
    assert orders(1) != orders(2)
    first, second, third = orders(1)
    assert first != second != third
    rng = np.random.default_rng(1)
    assert orders(1) == [rng.permutation(50).tolist() for _ in range(3)]


def test_batches_do_not_touch_the_global_generator():
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    epoch(make())
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_batches_reuse_their_buffers():
    batches = make(10)
    pairs = [pair for _ in range(2) for pair in batches]
    for x, y, _ in pairs[1:]:
        assert np.shares_memory(x, pairs[0][0])
        assert np.shares_memory(y, pairs[0][1])
        assert not np.shares_memory(x, batches._x)


@pytest.mark.parametrize("batch_size", [None, 10, 11, 10**9])
def test_batches_of_all_rows_draw_nothing_and_yield_the_same_pair(batch_size):
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    x, y = np.arange(30, dtype=np.float32).reshape(10, 3), np.arange(10)
    batches = Batches(x, y, batch_size, rng, np.float32)
    pairs = [pair for _ in range(3) for pair in batches]
    assert len(batches) == 1
    assert len(pairs) == 3
    for got_x, got_y, got_weight in pairs:
        assert got_weight is None
        assert got_x is pairs[0][0]
        assert got_y is pairs[0][1]
        assert np.shares_memory(got_x, x)  # nothing to convert, nothing copied
        assert got_y.tolist() == list(range(10))
    assert rng.bit_generator.state == state


@pytest.mark.parametrize("batch_size", [4, None])
@pytest.mark.parametrize("x_dtype", [np.uint8, np.int64, np.float32, np.float64, np.bool_])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.dtype("float32")])
def test_batches_turn_x_into_the_dtype_of_the_network(batch_size, x_dtype, dtype):
    batches = make(batch_size=batch_size, x_dtype=x_dtype, dtype=dtype)
    expected = np.arange(30).reshape(10, 3).astype(x_dtype).astype(dtype)
    for x, y, _ in batches:
        assert x.dtype == dtype
        assert x.flags.c_contiguous
        assert (x == expected[y]).all()


def test_batches_of_bytes_stay_bytes_where_bytes_are_wanted():
    x = np.arange(30, dtype=np.uint8).reshape(10, 3)
    batches = Batches(x, np.arange(10), 4, np.random.default_rng(0), np.uint8)
    for got, y, _ in batches:
        assert got.dtype == np.uint8
        assert (got == x[y]).all()
    assert batches._x is x


@pytest.mark.parametrize("batch_size", [4, None])
def test_batches_take_one_hot_and_column_targets(batch_size):
    x = np.arange(10, dtype=np.float32)[:, None]
    y = np.eye(10, dtype=np.float32)
    for got, target, _ in Batches(x, y, batch_size, np.random.default_rng(0), np.float32):
        assert target.shape == (len(got), 10)
        assert target.dtype == np.float32
        assert (target.argmax(axis=1) == got[:, 0]).all()


@pytest.mark.parametrize("batch_size", [4, None])
def test_batches_take_arrays_that_are_not_contiguous(batch_size):
    wide = np.arange(80, dtype=np.float32).reshape(8, 10)
    x, y = wide.T[:, ::2], np.arange(20)[::-2]  # (10, 4)
    for got, target, _ in Batches(x, y, batch_size, np.random.default_rng(0), np.float32):
        rows = (19 - target) // 2
        assert (got == x[rows]).all()
        assert got.flags.c_contiguous


@pytest.mark.parametrize("batch_size", [4, None])
def test_batches_carry_the_weight_of_each_row(batch_size):
    x, weight = np.arange(10, dtype=np.float32)[:, None], np.arange(10) / 7
    for _ in range(2):
        for got, target, got_weight in Batches(x, np.arange(10), batch_size, np.random.default_rng(0), np.float32, weight):
            assert (got_weight == weight[target]).all()
            assert len(got_weight) == len(got)


@pytest.mark.parametrize("x_dtype", [np.uint8, np.float32])
def test_batches_allocate_no_batch_in_a_steady_step(x_dtype):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 255, (2048, 784)).astype(x_dtype)
    batches = Batches(x, np.arange(2048), 512, rng, np.float32)
    steps = iter(batches)
    next(steps)
    tracemalloc.start()
    try:
        for _ in steps:
            pass
        assert tracemalloc.get_traced_memory()[1] < 64_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", ["float16", "longdouble", ">f4", ">i2", "bool", "int8", "uint64"])
def test_batches_take_numbers_of_any_dtype(dtype):
    x = np.arange(12).reshape(6, 2) % 2 if dtype == "bool" else np.arange(12).reshape(6, 2)
    batches = Batches(x.astype(dtype), np.arange(6), 4, np.random.default_rng(0), np.float32)
    for rows, target, _ in batches:
        assert rows.dtype == np.float32
        assert rows.tolist() == x[target].tolist()
