import re

import numpy as np
import pytest

import numlp as nl
from cases import LOSS_VARIANTS, draw_loss
from numlp.errors import ArgumentError, DTypeError, ShapeError

FLOAT64 = np.dtype("float64")
LABELS = "labels 0..2"
each_loss = pytest.mark.parametrize(
    ("variant", "kind"), [(v, kind) for v in LOSS_VARIANTS for kind in v.case.targets], ids=str
)
each_classifier = pytest.mark.parametrize("kind", [nl.SoftmaxCrossEntropy, nl.CrossEntropy])


def in_longdouble(y, q):
    """Return (L, dL/dy) of softmax cross-entropy with 64 bits of precision, from the definition."""
    y = y.astype(np.longdouble)
    e = np.exp(y - y.max(axis=1, keepdims=True))
    log_p = y - y.max(axis=1, keepdims=True) - np.log(e.sum(axis=1, keepdims=True))
    return -(q * log_p).sum() / len(y), (e / e.sum(axis=1, keepdims=True) - q) / len(y)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("scale", [1e-3, 1, 30, 1e4])
def test_softmax_cross_entropy_is_right_to_a_millionth_in_float32(scale, smoothing):
    rng = np.random.default_rng(0)
    y = rng.uniform(-scale, scale, size=(50, 10)).astype(np.float32)
    labels = rng.integers(10, size=50)
    q = (1 - smoothing) * np.eye(10, dtype=np.longdouble)[labels] + np.longdouble(smoothing) / 10
    value, dy = nl.SoftmaxCrossEntropy(smoothing)(y, labels)
    expected, gradient = in_longdouble(y, q)
    assert value == pytest.approx(float(expected), rel=1e-6, abs=1e-6)
    np.testing.assert_allclose(dy, gradient.astype(np.float64), rtol=1e-6, atol=1e-7)


@each_classifier
def test_classifier_that_guesses_costs_the_logarithm_of_the_classes(kind):
    y = np.zeros((4, 10)) if kind is nl.SoftmaxCrossEntropy else np.full((4, 10), 0.1)
    value, _ = kind()(y, np.array([0, 3, 9, 3]))
    assert value == pytest.approx(np.log(10), rel=1e-12)


@each_loss
def test_loss_mean_over_the_batch_is_in_value_and_gradient(variant, kind):
    y, target = draw_loss(variant, kind, 5, 3)
    value, dy = variant.build()(y, target)
    twice, d_twice = variant.build()(np.concatenate([y, y]), np.concatenate([target, target]))
    assert twice == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(d_twice[:5], dy / 2, rtol=1e-13)
    np.testing.assert_allclose(d_twice[5:], dy / 2, rtol=1e-13)


@each_loss
def test_loss_of_a_batch_is_the_mean_of_its_rows(variant, kind):
    y, target = draw_loss(variant, kind, 5, 3)
    loss = variant.build()
    rows = [(loss(y[n : n + 1], target[n : n + 1])[0], loss.total_weight) for n in range(5)]
    mean = sum(value * weight for value, weight in rows) / sum(weight for _, weight in rows)  # class weights differ
    assert loss(y, target)[0] == pytest.approx(mean, rel=1e-13)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("target", ["labels", "soft"])
def test_softmax_cross_entropy_equals_softmax_then_cross_entropy(target, smoothing):
    rng = np.random.default_rng(0)
    y = rng.normal(size=(6, 4))
    q = rng.integers(4, size=6) if target == "labels" else rng.dirichlet(np.ones(4), size=6)
    softmax = nl.Softmax(4)
    nl.Network([softmax], dtype="float64")
    value, dp = nl.CrossEntropy(smoothing)(softmax.forward(y), q)
    fused, dy = nl.SoftmaxCrossEntropy(smoothing)(y, q)
    assert value == pytest.approx(fused, rel=1e-12)
    np.testing.assert_allclose(softmax.backward(dp), dy, rtol=1e-10, atol=1e-14)


def test_softmax_cross_entropy_gradient_survives_where_the_probability_underflows():
    value, dy = nl.SoftmaxCrossEntropy()(np.array([[-1e4, 1e4]], np.float32), np.array([0]))
    assert value == 2e4
    assert dy.tolist() == [[-1, 1]]


@pytest.mark.parametrize(("dtype", "most"), [("float32", 87.34), ("float64", 708.4)])
def test_cross_entropy_of_an_impossible_class_is_finite(dtype, most):
    value, dp = nl.CrossEntropy()(np.array([[0, 1]], dtype), np.array([0]))
    assert value == pytest.approx(most, rel=1e-4)
    assert np.isfinite(dp).all()
    assert dp[0, 1] == 0


def test_label_smoothing_moves_the_target_towards_the_uniform_one():
    y = np.log(np.array([[0.7, 0.2, 0.1]]))
    value, dy = nl.SoftmaxCrossEntropy(0.3)(y, np.array([0]))
    np.testing.assert_allclose(dy, [[0.7 - 0.8, 0.2 - 0.1, 0.1 - 0.1]], rtol=1e-12, atol=1e-15)
    assert value == pytest.approx(-0.8 * np.log(0.7) - 0.1 * np.log(0.2) - 0.1 * np.log(0.1), rel=1e-12)


@each_classifier
def test_classifier_takes_labels_and_their_one_hot_rows_alike(kind):
    p = np.random.default_rng(0).dirichlet(np.ones(3), size=4)
    labels, results = np.array([2, 0, 1, 1]), []
    for target in (labels, labels.astype(np.uint8), labels.tolist(), np.eye(3)[labels], np.eye(3, dtype=int)[labels]):
        value, dy = kind(0.1)(p, target)
        results.append((value, dy.tobytes()))
    assert all(result == pytest.approx(results[0][0]) for result, _ in results)
    np.testing.assert_allclose([np.frombuffer(b) for _, b in results], [np.frombuffer(results[0][1])] * 5, rtol=1e-13)


def test_loss_makes_probabilities_of_outputs():
    y = np.random.default_rng(0).normal(size=(4, 3))
    p = nl.SoftmaxCrossEntropy().probabilities(y)
    np.testing.assert_allclose(p, np.exp(y) / np.exp(y).sum(axis=1, keepdims=True), rtol=1e-12)
    same = nl.CrossEntropy().probabilities(p)
    assert same.tobytes() == p.tobytes()
    assert not np.shares_memory(same, p)


def test_loss_knows_whether_it_classifies():
    assert nl.SoftmaxCrossEntropy().classifies
    assert nl.CrossEntropy().classifies
    assert not nl.SquaredError().classifies


@each_loss
def test_loss_follows_a_change_of_dtype_and_width(variant, kind):
    loss = variant.build()
    for dtype, width in (("float32", 3), ("float64", 3), ("float64", 5), ("float32", 2)):
        y, target = draw_loss(variant, kind, 5, width)
        value, dy = loss(y.astype(dtype), target)
        fresh, d_fresh = variant.build()(y.astype(dtype), target)
        assert dy.dtype == dtype
        assert (value, dy.tobytes()) == (fresh, d_fresh.tobytes())


def test_squared_error_takes_a_flat_target_for_one_output():
    y, target = np.array([[3.0], [1.0]]), np.array([1.0, 1.0])
    value, dy = nl.SquaredError()(y, target)
    assert (value, dy.tolist()) == (1.0, [[1.0], [0.0]])
    assert nl.SquaredError().prepare(target, 1, FLOAT64, "fit").tolist() == [[1], [1]]


@pytest.mark.parametrize("dtype", ["int64", "float32", "uint8"])
def test_squared_error_takes_targets_of_any_number_type(dtype):
    value, dy = nl.SquaredError()(np.array([[3.0, 0.0]]), np.array([[1, 0]], dtype))
    assert (value, dy.tolist()) == (2.0, [[2.0, 0.0]])


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ([[1.0, 2.0, 3.0]], ShapeError, "SquaredError: target must have shape (1, 2), got (1, 3)"),
        ([1.0], ShapeError, "SquaredError: target must have shape (1, 2), got (1,)"),
        (["a"], ShapeError, "SquaredError: target must have shape (1, 2), got (1,)"),
        ([["a", "b"]], DTypeError, "SquaredError: target must hold real numbers, got dtype <U1"),
    ],
)
def test_squared_error_rejects_targets_that_do_not_fit(target, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        nl.SquaredError()(np.zeros((1, 2)), np.array(target))


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ([0, 1], ShapeError, "y has 3 rows, target has 2; they must be equal"),
        ([[0], [1], [2]], ShapeError, "target must have shape (3,) or (3, 3), got (3, 1)"),
        ([0.0, 1.0, 2.0], DTypeError, f"target must be integer {LABELS}, got dtype float64; "),
        (
            [0, 1, 3],
            ArgumentError,
            f"target must be integer {LABELS}, got 3 different labels (0, 1, 3), the first outside is 3 at row 2; ",
        ),
        (
            [0, -1, 3],
            ArgumentError,
            f"target must be integer {LABELS}, got 3 different labels (-1, 0, 3), the first outside is -1 at row 1; ",
        ),
    ],
)
@each_classifier
def test_classifier_rejects_targets_that_do_not_fit(kind, target, error, message):
    with pytest.raises(error) as caught:
        kind()(np.full((3, 3), 1 / 3), np.array(target))
    assert str(caught.value).startswith(f"{kind.__name__}: {message}")


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ([0, 1, 3], ArgumentError, f"fit: y must be integer {LABELS}, got 3 different labels (0, 1, 3), "),
        ([1.0, 2.0], DTypeError, f"fit: y must be integer {LABELS}, got dtype float64; "),
        (
            [[0.5, 0.5]],
            ShapeError,
            "fit: y must be labels of shape (n,) or a distribution of shape (n, 3), got (1, 2)",
        ),
        (5, ShapeError, "fit: y must be labels of shape (n,) or a distribution of shape (n, 3), got ()"),
        ([["a", "b", "c"]], DTypeError, "fit: y must hold real numbers, got dtype <U1"),
        (
            [[0.5, 0.5, 0], [np.nan, 0, 1]],
            ArgumentError,
            "fit: y must hold finite numbers, got 1 NaN or infinite, the first nan at y[1, 0]",
        ),
        (
            [[0.5, 0.5, 0], [0.5, 0.4, 0]],
            ArgumentError,
            "fit: each row of y must be a distribution (not negative, sum 1), got row 1 with sum 0.9 and minimum 0",
        ),
        (
            [[1.5, -0.5, 0]],
            ArgumentError,
            "fit: each row of y must be a distribution (not negative, sum 1), got row 0 with sum 1 and minimum -0.5",
        ),
    ],
)
@each_classifier
def test_classifier_prepare_names_the_first_row_that_does_not_fit(kind, target, error, message):
    with pytest.raises(error) as caught:
        kind().prepare(target, 3, FLOAT64, "fit")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ([[1.0, 2.0, 3.0]], ShapeError, "fit: y must have shape (n, 2), got (1, 3)"),
        ([1.0, 2.0], ShapeError, "fit: y must have shape (n, 2), got (2,); for one sample use y[None, :]"),
        ([[1.0, np.inf]], ArgumentError, "fit: y must hold finite numbers, got 1 NaN or infinite, the first inf at y[0, 1]"),
        ([["a", "b"]], DTypeError, "fit: y must hold real numbers, got dtype <U1"),
    ],
)
def test_squared_error_prepare_says_what_does_not_fit(target, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        nl.SquaredError().prepare(target, 2, FLOAT64, "fit")


@each_classifier
def test_classifier_prepare_gives_what_batches_want(kind):
    labels = kind().prepare([0, 2, 1], 3, np.dtype("float32"), "fit")
    assert labels.dtype == np.intp
    soft = kind().prepare([[1, 0, 0], [0, 0, 1]], 3, np.dtype("float32"), "fit")
    assert soft.dtype == np.float32


@each_classifier
@pytest.mark.parametrize("smoothing", [1.0, -0.1, np.nan])
def test_label_smoothing_out_of_range_is_rejected(kind, smoothing):
    with pytest.raises(
        ArgumentError, match=rf"^{kind.__name__}: label_smoothing must be a number at least 0 and below 1, got {smoothing}$"
    ):
        kind(smoothing)


def test_loss_without_an_equation_says_so():
    with pytest.raises(NotImplementedError):
        nl.Loss()(np.zeros((1, 1)), np.zeros((1, 1)))
    with pytest.raises(NotImplementedError):
        nl.Loss().prepare(np.zeros((1, 1)), 1, FLOAT64, "fit")
    with pytest.raises(NotImplementedError):
        nl.losses.regression.RegressionLoss()(np.zeros((1, 1)), np.zeros((1, 1)))
    with pytest.raises(NotImplementedError):
        nl.losses.ClassificationLoss().probabilities(np.zeros((1, 1)))


@pytest.mark.parametrize(
    ("loss", "target", "n_outputs", "error", "message"),
    [
        (
            nl.Huber(),
            [0, 1, 2],
            3,
            ShapeError,
            "fit: y must have shape (n, 3), got (3,) integers; labels want a classification loss, such as "
            "SoftmaxCrossEntropy()",
        ),
        (nl.AbsoluteError(), [["a"]], 1, DTypeError, "fit: y must hold real numbers, got dtype <U1"),
        (nl.Poisson(), [1, 2, -1, -3], 1, ArgumentError, "fit: y must hold counts of at least 0, got -1 at row 2"),
        (nl.Gamma(), [[1.0, 2], [0, 1]], 2, ArgumentError, "fit: y must hold numbers above 0, got 0 at row 1"),
        (nl.Tweedie(), [0.0, -0.5], 1, ArgumentError, "fit: y must hold numbers of at least 0, got -0.5 at row 1"),
        (
            nl.Pinball([0.1, 0.9]),
            [1.0],
            3,
            ShapeError,
            "fit: Pinball must have 1 output for each of 2 quantiles, got 3",
        ),
        (nl.Pinball([0.1, 0.9]), [[1.0, 2.0]], 2, ShapeError, "fit: y must have shape (n, 1), got (1, 2)"),
        (nl.GaussianNLL(), [1.0], 3, ShapeError, "fit: GaussianNLL must have 2 outputs for each number, got 3"),
        (nl.GaussianNLL(), [[1.0, 2.0]], 2, ShapeError, "fit: y must have shape (n, 1), got (1, 2)"),
        (nl.SigmoidCrossEntropy(), [0, 1, 2], 1, ArgumentError, "fit: y must hold numbers from 0 to 1, got 2 at row 2"),
        (
            nl.SigmoidCrossEntropy(),
            [[0, 1.0], [0.5, -0.25]],
            2,
            ArgumentError,
            "fit: y must hold numbers from 0 to 1, got -0.25 at row 1",
        ),
        (
            nl.SigmoidCrossEntropy(),
            [0, 1, 2],
            3,
            ShapeError,
            "fit: y must have shape (n, 3), a 0 or 1 for each output, got (3,); one label a row wants SoftmaxCrossEntropy()",
        ),
        (
            nl.SigmoidCrossEntropy(positive_weights=[1, 2]),
            [0, 1],
            1,
            ShapeError,
            "fit: positive_weights must have 1 numbers, one for each output, got 2",
        ),
        (
            nl.SoftmaxCrossEntropy(class_weights=[1, 2]),
            [0, 1, 2],
            3,
            ShapeError,
            "fit: class_weights must have 3 numbers, one for each output, got 2",
        ),
        (nl.Hinge(), [[0, 1.0]], 2, ShapeError, "fit: y must be labels of shape (n,), got (1, 2)"),
        (nl.Hinge(), [0, 3], 3, ArgumentError, f"fit: y must be integer {LABELS}, got 2 different labels (0, 3), "),
        (nl.Focal(), [0, 3], 3, ArgumentError, f"fit: y must be integer {LABELS}, got 2 different labels (0, 3), "),
        (
            nl.KLDivergence(),
            [[0.5, 0.5], [0.5, 0.25]],
            2,
            ArgumentError,
            "fit: each row of y must be a distribution (not negative, sum 1), got row 1 with sum 0.75 and minimum 0.25",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nl.Loss) else None,
)
def test_prepare_names_the_first_row_that_does_not_fit(loss, target, n_outputs, error, message):
    with pytest.raises(error) as caught:
        loss.prepare(target, n_outputs, FLOAT64, "fit")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: nl.Huber(0), ArgumentError, "Huber: delta must be a number above 0, got 0"),
        (lambda: nl.Focal(-1), ArgumentError, "Focal: gamma must be a number at least 0, got -1"),
        (lambda: nl.Hinge(0), ArgumentError, "Hinge: margin must be a number above 0, got 0"),
        (lambda: nl.Tweedie(2), ArgumentError, "Tweedie: power must be a number above 1 and below 2, got 2"),
        (lambda: nl.Pinball(1.0), ArgumentError, "Pinball: quantiles must be a number above 0 and below 1, got 1.0"),
        (lambda: nl.Pinball([]), ArgumentError, "Pinball: quantiles must be at least 1 number, rising, got []"),
        (
            lambda: nl.Pinball([0.5, 0.1]),
            ArgumentError,
            "Pinball: quantiles must be at least 1 number, rising, got [0.5, 0.1]",
        ),
        (
            lambda: nl.SoftmaxCrossEntropy(class_weights=[1, -1]),
            ArgumentError,
            "SoftmaxCrossEntropy: class_weights must be a number at least 0, got -1",
        ),
        (
            lambda: nl.SoftmaxCrossEntropy(class_weights=[0, 0]),
            ArgumentError,
            "SoftmaxCrossEntropy: class_weights must hold a number above 0, got [0.0, 0.0]",
        ),
        (
            lambda: nl.SigmoidCrossEntropy(positive_weights=2.0),
            DTypeError,
            "SigmoidCrossEntropy: positive_weights must be a sequence of numbers, one for each output, got 2.0",
        ),
    ],
)
def test_option_out_of_range_is_rejected(build, error, message):
    with pytest.raises(error) as caught:
        build()
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("loss", "shape", "target", "message"),
    [
        (nl.Huber(), (3, 2), (3, 1), "Huber: target must have shape (3, 2), got (3, 1)"),
        (nl.GaussianNLL(), (3, 2), (3, 2), "GaussianNLL: target must have shape (3, 1), got (3, 2)"),
        (nl.GaussianNLL(), (3, 3), (3, 1), "GaussianNLL: GaussianNLL must have 2 outputs for each number, got 3"),
        (nl.Pinball([0.5]), (3, 1), (2, 1), "Pinball: target must have shape (3, 1), got (2, 1)"),
        (nl.SigmoidCrossEntropy(), (3, 2), (3,), "SigmoidCrossEntropy: target must have shape (3, 2), got (3,)"),
        (nl.Hinge(), (3, 2), (3, 2), "Hinge: target must have shape (3,), got (3, 2)"),
        (nl.Focal(), (3, 2), (2,), "Focal: y has 3 rows, target has 2; they must be equal"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nl.Loss) else None,
)
def test_target_of_another_shape_is_rejected(loss, shape, target, message):
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        loss(np.zeros(shape), np.zeros(target))


@pytest.mark.parametrize(
    ("weight", "error", "message"),
    [
        (np.ones(2), ShapeError, "SquaredError: weight must have shape (3,), got (2,)"),
        (
            np.array([1, -1, 1]),
            ArgumentError,
            "SquaredError: weight must hold finite numbers of at least 0, got [ 1. -1.  1.]",
        ),
        (np.array([1, np.nan, 1]), ArgumentError, "SquaredError: weight must hold finite numbers of at least 0, got "),
    ],
)
def test_loss_rejects_weights_that_do_not_fit(weight, error, message):
    with pytest.raises(error) as caught:
        nl.SquaredError()(np.zeros((3, 1)), np.zeros((3, 1)), weight)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("power", [1.1, 1.5, 1.9])
def test_deviances_equal_scikit_learn(power):
    from sklearn.metrics import mean_gamma_deviance, mean_tweedie_deviance

    rng = np.random.default_rng(0)
    y, target, weight = rng.normal(size=(9, 1)), rng.gamma(2, size=(9, 1)), rng.uniform(size=9)
    expected = mean_gamma_deviance(target, np.exp(y), sample_weight=weight)
    assert nl.Gamma()(y, target, weight)[0] == pytest.approx(expected, rel=1e-12)
    target[::2] = 0
    expected = mean_tweedie_deviance(target, np.exp(y), sample_weight=weight, power=power)
    assert nl.Tweedie(power)(y, target, weight)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("gamma", [0.25, 0.5, 3.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_focal_stays_finite_where_the_probability_is_one(gamma, dtype):
    with np.errstate(all="raise"):
        value, dy = nl.Focal(gamma)(np.array([[1e4, -1e4], [0, 40], [40, 0]], dtype), np.array([0, 1, 1]))
    assert np.isfinite(value)
    assert np.isfinite(dy).all()
    assert nl.check_gradients(nl.Focal(gamma)) < 1e-6


def test_focal_of_zero_is_the_cross_entropy():
    y, labels = np.random.default_rng(0).normal(size=(6, 4)), np.arange(6) % 4
    value, dy = nl.Focal(0)(y, labels)
    expected, gradient = nl.SoftmaxCrossEntropy()(y, labels)
    assert value == pytest.approx(expected, rel=1e-13)
    np.testing.assert_allclose(dy, gradient, rtol=1e-12, atol=1e-15)


def test_class_weights_of_soft_targets_are_their_mean():
    y, v = np.random.default_rng(0).normal(size=(2, 3)), [1.0, 2.0, 4.0]
    q = np.array([[0.5, 0.5, 0], [0, 0.25, 0.75]])
    value, _ = nl.SoftmaxCrossEntropy(class_weights=v)(y, q)
    one, two = (nl.SoftmaxCrossEntropy()(y[n : n + 1], q[n : n + 1])[0] for n in range(2))
    assert value == pytest.approx((1.5 * one + 3.5 * two) / 5, rel=1e-13)


def test_sigmoid_decides_at_one_half():
    loss = nl.SigmoidCrossEntropy()
    assert loss.decide(np.array([[0.1], [-0.1], [0.0]])).tolist() == [1, 0, 0]
    assert loss.decide(np.array([[0.1, -0.1]])).tolist() == [[1, 0]]
    assert loss.labels(np.array([[0.6], [0.4]])).tolist() == loss.labels(np.array([1, 0])).tolist() == [1, 0]
    np.testing.assert_allclose(loss.probabilities(np.array([[0.0, 1e4, -1e4]])), [[0.5, 1, 0]])


def test_sigmoid_keeps_small_probabilities() -> None:
    p = nl.SigmoidCrossEntropy().probabilities(np.array([[-30.0, -700.0]]))
    np.testing.assert_allclose(p, np.exp([[-30.0, -700.0]]), rtol=1e-12)


def test_hinge_has_no_probabilities_and_kl_divergence_has():
    with pytest.raises(ArgumentError) as caught:
        nl.Hinge().probabilities(np.zeros((1, 2)))
    assert str(caught.value) == (
        "Hinge: probabilities must come from another loss, got scores; train with SoftmaxCrossEntropy()"
    )
    np.testing.assert_allclose(nl.KLDivergence().probabilities(np.log([[0.25, 0.75]])), [[0.25, 0.75]])


def test_focal_has_the_probabilities_of_the_softmax():
    y = np.log(np.array([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]])) + 3
    np.testing.assert_allclose(nl.Focal(2.0).probabilities(y), np.exp(y - 3), rtol=1e-13)


def test_sigmoid_of_one_output_takes_a_flat_target_as_its_column():
    y, target = np.array([[0.5], [-2.0]]), np.array([1, 0])
    value, dy = nl.SigmoidCrossEntropy()(y, target)
    expected, gradient = nl.SigmoidCrossEntropy()(y, target[:, None])
    assert (value, dy.tobytes()) == (expected, gradient.tobytes())


def test_sigmoid_rejects_targets_that_are_no_numbers():
    with pytest.raises(DTypeError) as caught:
        nl.SigmoidCrossEntropy()(np.zeros((1, 1)), np.array([["a"]]))
    assert str(caught.value) == "SigmoidCrossEntropy: target must hold numbers from 0 to 1, got dtype <U1"
