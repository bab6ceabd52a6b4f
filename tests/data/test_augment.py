import inspect
import math
import tracemalloc

import numpy as np
import pytest

from numlp.config import from_config, to_config
from numlp.data.augment import Augmentation, Distortion, affine_matrices, spline_weights
from numlp.errors import ArgumentError, DTypeError, ShapeError
from numlp.kernels import reference

DTYPES = (np.uint8, np.float32, np.float64)
STILL = {"rotation": 0, "shear": 0, "scale": 0, "shift": 0, "alpha": 0}


def images(n=5, shape=(28, 28), dtype=np.uint8, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 256, (n, shape[0] * shape[1]))
    return rows.astype(np.uint8) if dtype == np.uint8 else (rows / 255 - 0.3).astype(dtype)


def naive_distort(x, matrix, control, row_weights, column_weights, shape):
    """Loops in float64, from the equations of the docstring."""
    height, width = shape
    y = np.zeros(x.shape)
    for n, r, c in np.ndindex(len(x), height, width):
        q = []
        for k in range(2):
            m = [float(value) for value in matrix[n, k]]
            bend = sum(
                float(row_weights[i, r]) * float(column_weights[j, c]) * float(control[n, k, i, j])
                for i, j in np.ndindex(control.shape[2:])
            )
            q.append(m[0] * r + m[1] * c + m[2] + bend)
        top, left = math.floor(q[0]), math.floor(q[1])
        for i, j in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
            if 0 <= i < height and 0 <= j < width:
                weight = (1 - abs(q[0] - i)) * (1 - abs(q[1] - j))
                y[n, r * width + c] += weight * float(x[n, i * width + j])
    return y


def move(x, shape, angle=0.0, slant=0.0, scale=(1.0, 1.0), shift=(0.0, 0.0)):
    """Return x after one affine map, the same for all rows."""
    n = len(x)
    full = [np.full(n, value, float) for value in (angle, slant, *scale, *shift)]
    matrix = affine_matrices(shape, full[0], full[1], tuple(full[2:4]), tuple(full[4:]))
    out = np.empty_like(x)
    weights = [spline_weights(size, None) for size in shape]
    reference.distort(x, matrix, np.empty((n, 2, 0, 0), np.float32), *weights, out)
    return out


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(28, 28), (5, 9), (1, 7), (1, 1)])
def test_distort_equals_loops(dtype, shape):
    x = images(3, shape, dtype)
    distortion = Distortion(shape, rotation=40, shear=20, scale=0.3, shift=3, sigma=2)
    matrix, control = distortion._draw(3, np.random.default_rng(1))
    expected = naive_distort(x, matrix, control, *distortion._weights, shape)
    got = distortion(x, np.random.default_rng(1))
    # bytes are rounded; float32 places the points to about 1e-5 pixels
    assert np.abs(got - expected).max() <= (0.51 if dtype == np.uint8 else 1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(28, 28), (5, 9), (1, 7), (1, 1)])
@pytest.mark.parametrize("alpha", [0, 34])
@pytest.mark.parametrize("parts", [1, 3])
def test_distort_twins_give_the_same_bytes(dtype, shape, alpha, parts):
    pytest.importorskip("numba")
    from numlp.kernels import fused

    for n in (1, 2, 37):
        x = images(n, shape, dtype)
        distortion = Distortion(shape, rotation=180, scale=0.5, shift=40, alpha=alpha)
        matrix, control = distortion._draw(n, np.random.default_rng(n))
        matrix[0, 0] = np.nan, np.inf, -1e30  # no address outside the image, whatever is given
        arguments = (x, matrix, control, *distortion._weights)
        expected, got = np.empty_like(x), np.empty_like(x)
        with np.errstate(invalid="ignore"):
            reference.distort(*arguments, expected)
        fused.KERNELS["distort"](parts, *arguments, got)
        assert got.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_distortion_of_nothing_is_the_image(dtype):
    x = images(dtype=dtype)
    assert (Distortion(**STILL)(x, np.random.default_rng(0)) == x).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("down", "right"), [(0, 3), (2, 0), (-4, 1), (0, -30)])
def test_a_shift_by_whole_pixels_moves_and_fills_with_zeros(dtype, down, right):
    x = images(dtype=dtype)
    expected = np.zeros((5, 28, 28), dtype)
    for r, c in np.ndindex(28, 28):
        if 0 <= r - down < 28 and 0 <= c - right < 28:
            expected[:, r, c] = x.reshape(5, 28, 28)[:, r - down, c - right]
    assert (move(x, (28, 28), shift=(down, right)) == expected.reshape(5, -1)).all()


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_quarter_turn_is_counterclockwise(turns):
    x = images()
    expected = np.rot90(x.reshape(5, 28, 28), turns, axes=(1, 2)).reshape(5, -1)
    # the cosine of 90 degrees is 6e-17, not 0: exact for bytes, which are rounded
    assert (move(x, (28, 28), angle=turns * math.pi / 2) == expected).all()


def test_a_slant_leans_to_the_right():
    x = np.zeros((1, 9, 9), np.float32)
    x[:, :, 4] = 1
    rows = move(x.reshape(1, 81), (9, 9), slant=math.pi / 4).reshape(9, 9)
    assert rows[1:8].argmax(axis=1).tolist() == [7, 6, 5, 4, 3, 2, 1]


def test_a_scale_above_one_makes_larger():
    x = np.zeros((1, 21, 21), np.float32)
    x[:, 8:13, 8:13] = 1
    height, width = move(x.reshape(1, -1), (21, 21), scale=(2, 1)).reshape(21, 21).sum(axis=0).max(), 5
    assert height == pytest.approx(10, abs=0.1)
    across = move(x.reshape(1, -1), (21, 21), scale=(2, 1)).reshape(21, 21).sum(axis=1).max()
    assert across == pytest.approx(width)


@pytest.mark.parametrize("spacing", [0.9, 3.3, 6.93, 100.0])
@pytest.mark.parametrize("size", [1, 2, 28])
def test_spline_weights_add_up_to_one(size, spacing):
    weights = spline_weights(size, spacing)
    assert np.allclose(weights.sum(axis=0), 1, atol=1e-6)
    assert np.allclose(weights, weights[::-1, ::-1], atol=1e-6)
    assert (weights >= 0).all()


def test_the_field_is_as_large_and_as_smooth_as_a_gaussian_makes_it():
    alpha, sigma = 34.0, 4.0
    distortion = Distortion((28, 28), alpha=alpha, sigma=sigma)
    _, control = distortion._draw(6000, np.random.default_rng(0))
    rows, columns = distortion._weights
    field = np.einsum("ir,nij,jc->nrc", rows, control[:, 0], columns)
    assert abs(field.mean()) < 0.02
    expected = alpha / (2 * math.sqrt(3 * math.pi) * sigma)
    assert field.std() == pytest.approx(expected, rel=0.03)
    # white noise after a Gaussian of sigma is correlated as exp(-d^2 / (4 sigma^2))
    for d in (1, 2, 4, 8, 12):
        got = (field[:, :, d:] * field[:, :, :-d]).mean() / field.var()
        assert got == pytest.approx(math.exp(-(d**2) / (4 * sigma**2)), abs=0.03)


def test_the_draws_fill_their_ranges_and_have_mean_zero():
    x = np.zeros((4000, 49), np.float32)
    x[:, 24] = 1  # the middle pixel
    distortion = Distortion((7, 7), **(STILL | {"shift": 2.5}))
    y = distortion(x, np.random.default_rng(0)).reshape(-1, 7, 7)
    place = np.arange(7) - 3
    for axis in (1, 2):
        moved = (y.sum(axis=axis) * place).sum(axis=1)
        assert abs(moved.mean()) < 0.1
        assert moved.std() == pytest.approx(2.5 / math.sqrt(3), rel=0.05)
        assert 2.4 < np.abs(moved).max() <= 2.5001


@pytest.mark.parametrize("dtype", DTYPES)
def test_distortion_keeps_the_dtype_and_leaves_x_alone(dtype):
    x = images(dtype=dtype)
    before = x.copy()
    y = Distortion()(x, np.random.default_rng(0))
    assert y.dtype == dtype
    assert y.shape == x.shape
    assert (x == before).all()
    assert (y != x).any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_distortion_writes_into_out_which_may_be_x(dtype):
    x = images(20, dtype=dtype)
    expected = Distortion()(x, np.random.default_rng(0))
    out = np.empty_like(x)
    assert Distortion()(x, np.random.default_rng(0), out) is out
    assert (out == expected).all()
    assert Distortion()(x, np.random.default_rng(0), x) is x
    assert (x == expected).all()


def test_distortion_takes_rows_that_are_not_contiguous():
    x = images()
    wide = np.repeat(x, 2, axis=1)[:, ::2]
    assert not wide.flags.c_contiguous
    assert (Distortion()(wide, np.random.default_rng(0)) == Distortion()(x, np.random.default_rng(0))).all()


def test_distortion_depends_only_on_the_generator_not_on_what_came_before():
    fresh, used, x = Distortion(), Distortion(), images(20)
    used(images(50, seed=3), np.random.default_rng(9))
    a, b = np.random.default_rng(1), np.random.default_rng(1)
    assert fresh(x, a).tobytes() == used(x, b).tobytes()
    assert a.bit_generator.state == b.bit_generator.state
    b.bit_generator.state = a.bit_generator.state  # resumed from the generator's state alone
    assert Distortion()(x, a).tobytes() == used(x, b).tobytes()
    assert fresh(x, a).tobytes() != fresh(x, a).tobytes()


def test_distortion_leaves_the_global_generator_alone():
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    Distortion()(images(), np.random.default_rng(0))
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_images_of_one_batch_are_distorted_differently():
    x = np.repeat(images(1), 6, axis=0)
    assert len({row.tobytes() for row in Distortion()(x, np.random.default_rng(0))}) == 6


def test_distortion_allocates_nothing_of_the_size_of_a_batch():
    rng, distortion, peaks = np.random.default_rng(0), Distortion(), []
    for n in (64, 1024):
        x = images(n)
        distortion(x, rng, x)
        tracemalloc.start()
        try:
            distortion(x, rng, x)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    # 960 images more are 753 kB of bytes; what grows are the matrices and their angles, 90 bytes each
    assert peaks[1] < peaks[0] + 128_000


def test_the_draws_of_a_batch_allocate_little():
    distortion, rng = Distortion(), np.random.default_rng(0)
    distortion._draw(512, rng)
    tracemalloc.start()
    try:
        distortion._draw(512, rng)
        assert tracemalloc.get_traced_memory()[1] < 64_000
    finally:
        tracemalloc.stop()


def test_distortion_goes_through_its_config():
    distortion = Distortion((8, 9), rotation=3, shear=4, scale=0.1, shift=1, alpha=2, sigma=1.5)
    again = from_config(to_config(distortion), {"Distortion": Distortion})
    assert repr(again) == repr(distortion)
    assert repr(distortion).startswith("Distortion(shape=(8, 9), rotation=3.0, ")
    assert all(hasattr(distortion, name) for name in inspect.signature(Distortion).parameters)


def test_an_augmentation_of_ones_own_says_what_it_does():
    own = Augmentation()
    own.check(images(), "fit")
    with pytest.raises(NotImplementedError):
        own(images(), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"shape": 784}, DTypeError, "Distortion: shape must be (height, width), got 784"),
        ({"shape": (28, 28, 3)}, DTypeError, "Distortion: shape must be (height, width), got (28, 28, 3)"),
        ({"shape": (28, 0)}, ArgumentError, "Distortion: width must be a whole number of at least 1, got 0"),
        ({"rotation": -1}, ArgumentError, "Distortion: rotation must be a number at least 0, got -1"),
        ({"shear": 90}, ArgumentError, "Distortion: shear must be a number at least 0 and below 90, got 90"),
        ({"scale": 1}, ArgumentError, "Distortion: scale must be a number at least 0 and below 1, got 1"),
        ({"shift": math.inf}, ArgumentError, "Distortion: shift must be a number at least 0, got inf"),
        ({"alpha": "34"}, DTypeError, "Distortion: alpha must be a number at least 0, got '34'"),
        ({"sigma": 0}, ArgumentError, "Distortion: sigma must be a number at least 0.5, got 0"),
    ],
)
def test_distortion_refuses_what_it_cannot_be(arguments, error, message):
    with pytest.raises(error) as caught:
        Distortion(**arguments)
    assert str(caught.value) == message


def test_distortion_refuses_rows_and_buffers_that_do_not_fit():
    distortion, x, rng = Distortion(), images(), np.random.default_rng(0)
    state = rng.bit_generator.state
    where = "distort: Distortion(shape=(28, 28))"
    for bad, error, message in (
        (x[:, :783], ShapeError, f"{where}: x must have shape (n, 784), got (5, 783)"),
        (x[0], ShapeError, f"{where}: x must have shape (n, 784), got (784,); for one sample use x[None, :]"),
        (x[:0], ShapeError, f"{where}: x must have at least 1 row, got (0, 784)"),
        (x.astype(np.int64), DTypeError, "distort: Distortion: x must be uint8, float32 or float64, got int64"),
    ):
        with pytest.raises(error) as caught:
            distortion(bad, rng)
        assert str(caught.value) == message
    for out in (np.empty((4, 784), np.uint8), np.empty((5, 784), np.float32), np.empty((784, 5), np.uint8).T):
        with pytest.raises(ShapeError) as caught:
            distortion(x, rng, out)
        assert str(caught.value) == (
            f"distort: out must be a C-contiguous uint8 array of shape (5, 784), got {out.dtype} {out.shape}"
        )
    assert rng.bit_generator.state == state
