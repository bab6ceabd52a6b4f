import inspect
import re

import numpy as np
import pytest

from numlp.data import input_data
from numlp.data.input_data import DataSet
from numlp.data.splits import Dataset, Split
from numlp.errors import ArgumentError, DTypeError


def make(n=10, seed=0):
    """Return a data set in which image and label both tell the row."""
    images = np.repeat(np.arange(n, dtype=np.float32)[:, None], 4, axis=1)
    return DataSet(images, np.arange(n), np.random.default_rng(seed))


@pytest.fixture
def loaded(monkeypatch):
    """Put a small data set in the place of MNIST, and return the calls made to the loader."""
    calls = []

    def load_mnist(folder, **options):
        calls.append((folder, options))
        splits = [Split(np.full((n, 784), n, np.float32), np.arange(n) % 10) for n in (40, 20, 30)]
        return Dataset("mnist", *splits, tuple("0123456789"), (28, 28))

    monkeypatch.setattr(input_data, "load_mnist", load_mnist)
    return calls


def test_read_data_sets_gives_three_data_sets(loaded):
    mnist = input_data.read_data_sets("MNIST_data/", one_hot=True, validation_size=20)
    assert loaded == [("MNIST_data/", {"one_hot": True, "normalize": True, "validation_size": 20})]
    assert [part.num_examples for part in mnist] == [40, 20, 30]
    assert mnist.train.images.shape == (40, 784)
    assert mnist.train.images.dtype == np.float32
    assert mnist.train.labels is not mnist.test.labels


def test_read_data_sets_order_depends_only_on_the_seed(loaded):
    def labels(seed, *, disturb=False):
        mnist = input_data.read_data_sets(seed=seed)
        if disturb:  # drawing from one part does not change the order of another
            mnist.test.next_batch(3)
        return [mnist.train.next_batch(15)[1].tolist() for _ in range(4)]

    assert labels(1) == labels(1) == labels(1, disturb=True)
    assert labels(1) != labels(2)


def test_next_batch_has_shapes_and_types_of_the_data():
    data = make()
    images, labels = data.next_batch(3)
    assert images.shape == (3, 4)
    assert images.dtype == np.float32
    assert (images[:, 0] == labels).all()
    hot = DataSet(np.zeros((5, 4), np.float32), np.eye(5, dtype=np.float32), np.random.default_rng(0))
    assert hot.next_batch(4)[1].shape == (4, 5)


def test_next_batch_returns_copies():
    data = make()
    images, labels = data.next_batch(10)
    images[:], labels[:] = -1, -1
    assert data.images.min() == 0
    assert data.labels.min() == 0


@pytest.mark.parametrize("batch_size", [1, 3, 4, 5, 7, 10])
@pytest.mark.parametrize("shuffle", [True, False])
def test_next_batch_gives_every_row_once_in_each_epoch(batch_size, shuffle):
    data = make()
    drawn = np.concatenate([data.next_batch(batch_size, False, shuffle)[1] for _ in range(10)])
    epochs = drawn[: len(drawn) // 10 * 10].reshape(-1, 10)
    assert (np.sort(epochs, axis=1) == np.arange(10)).all()
    assert (epochs == np.arange(10)).all() == (not shuffle)
    if shuffle and len(epochs) > 1:
        assert (epochs[0] != epochs[1]).any()


def tensorflow_epochs(n, batch_size, calls):
    """Count as `DataSet.next_batch` of TensorFlow 1 did: when a batch would go over the end."""
    start, epochs, counts = 0, 0, []
    for _ in range(calls):
        if start + batch_size > n:
            epochs += 1
            start = batch_size - (n - start)
        else:
            start += batch_size
        counts.append(epochs)
    return counts


@pytest.mark.parametrize("batch_size", [1, 3, 5, 9, 10])
def test_epochs_completed_counts_as_tensorflow_did(batch_size):
    data = make()
    assert data.epochs_completed == 0
    counts = []
    for _ in range(30):
        data.next_batch(batch_size)
        counts.append(data.epochs_completed)
    assert counts == tensorflow_epochs(10, batch_size, 30)


def test_epochs_completed_is_a_whole_number_from_0():
    data = make()
    seen = []
    for _ in range(5):
        data.next_batch(5)
        seen.append(data.epochs_completed)
    assert seen == [0, 0, 1, 1, 2]
    assert type(data.epochs_completed) is int


def test_next_batch_refuses_what_is_no_batch_size():
    data = make()
    for value in (0, -1, 11):
        message = f"next_batch: batch_size must be a whole number from 1 to 10, got {value}"
        with pytest.raises(ArgumentError, match=re.escape(message)):
            data.next_batch(value)
    for value in (2.0, "3", True, None):
        with pytest.raises(DTypeError, match=re.escape(f"from 1 to 10, got {value!r}")):
            data.next_batch(value)
    assert data.epochs_completed == 0
    assert sorted(data.next_batch(10)[1]) == list(range(10))


def test_arguments_have_the_names_and_order_of_tensorflow():
    order = ["train_dir", "fake_data", "one_hot", "dtype", "reshape", "validation_size", "seed"]
    assert list(inspect.signature(input_data.read_data_sets).parameters) == order
    assert list(inspect.signature(DataSet.next_batch).parameters) == ["self", "batch_size", "fake_data", "shuffle"]


def test_calls_of_tensorflows_tutorials_give_what_they_gave_there(loaded):
    mnist = input_data.read_data_sets("MNIST_data", False, True)  # fully_connected_feed.py, one_hot
    assert loaded.pop()[1] == {"one_hot": True, "normalize": True, "validation_size": 5000}
    rows = [mnist.train.next_batch(10, False) for _ in range(4)]  # fake_data: shuffled all the same
    assert np.concatenate([labels for _, labels in rows]).tolist() != mnist.train.labels.tolist()
    assert mnist.train.next_batch(5, fake_data=False)[0].shape == (5, 784)
    assert input_data.read_data_sets("MNIST_data", reshape=False).test.images.shape == (30, 28, 28, 1)
    assert mnist.train._num_examples == mnist.train.num_examples
    for dtype in (np.uint8, "uint8", type("DType", (), {"as_numpy_dtype": np.uint8})()):
        input_data.read_data_sets("MNIST_data", dtype=dtype)
        assert loaded.pop()[1]["normalize"] is False


@pytest.mark.parametrize("hot", [True, False])
def test_fake_data_needs_no_file(hot):
    mnist = input_data.read_data_sets("no such folder", fake_data=True, one_hot=hot, dtype="uint8", reshape=False)
    images, labels = mnist.validation.next_batch(3)
    assert mnist.train.num_examples == 10_000 and images.shape == (3, 28, 28, 1) and (images == 1).all()
    assert labels.tolist() == ([[1] + [0] * 9] * 3 if hot else [0] * 3)
    for part in (mnist.test, DataSet(np.zeros((5, 4)), np.eye(10)[:5] if hot else np.arange(5), None)):
        images, fakes = part.next_batch(3, True)
        assert (images == 1).all() and fakes.tolist() == labels.tolist()


@pytest.mark.parametrize("name", ["fake_data", "one_hot", "reshape"])
def test_number_in_the_place_of_a_flag_is_named(name, loaded):
    with pytest.raises(DTypeError, match=rf"^read_data_sets: {name} must be True or False, got 5000$"):
        input_data.read_data_sets("MNIST_data", **{name: 5000})
    with pytest.raises(DTypeError, match=r"^next_batch: fake_data must be True or False, got 100$"):
        make().next_batch(3, 100)
    for dtype in ("float64", 17, "no such"):
        with pytest.raises(ArgumentError, match=r"^read_data_sets: dtype must be float32 or uint8, got "):
            input_data.read_data_sets("MNIST_data", dtype=dtype)


def test_read_data_sets_of_the_real_files(mnist_folder):
    mnist = input_data.read_data_sets(mnist_folder, one_hot=True)
    images, labels = mnist.train.next_batch(100)
    assert [part.num_examples for part in mnist] == [55000, 5000, 10000]
    assert images.shape == (100, 784)
    assert labels.shape == (100, 10)
    assert (labels.sum(axis=1) == 1).all()
