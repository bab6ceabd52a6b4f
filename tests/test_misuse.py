"""What bad input gets: one table of misuses, each with the class and the whole text of its error.

Every call is made on a small trained network, which must be, to the byte, what it was before.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import numlp as nl
from numlp.errors import ArgumentError, DivergenceError, DTypeError, NumlpError, ShapeError


class Setup(NamedTuple):
    net: nl.Network
    x: Any
    y: Any


def fit(s: Setup, x: Any = None, y: Any = None, **options: Any) -> Any:
    data = (s.x if x is None else x, s.y if y is None else y)
    return nl.fit(s.net, data, **({"epochs": 1} | options))


def changed(array: Any, index: Any, value: Any) -> Any:
    array = array.copy()
    array[index] = value
    return array


class Misuse(NamedTuple):
    call: Callable[[Setup], Any]
    error: type[Exception]
    text: str


D = nl.Dense
CE = nl.SoftmaxCrossEntropy

MISUSES: dict[str, Misuse] = {
    # shape and number of dimensions
    "fit x 1-D": Misuse(lambda s: fit(s, x=s.x[0]), ShapeError, "fit: x must have shape (n, 4), got (4,); for one sample use x[None, :]"),
    "fit x 3-D": Misuse(lambda s: fit(s, x=s.x.reshape(6, 2, 2)), ShapeError, "fit: x must have shape (n, 4), got (6, 2, 2); flatten each sample: x.reshape(len(x), -1)"),
    "fit x 0-D": Misuse(lambda s: fit(s, x=np.float32(1)), ShapeError, "fit: x must have shape (n, 4), got ()"),
    "fit x too narrow": Misuse(lambda s: fit(s, x=s.x[:, :3]), ShapeError, "fit: x must have shape (n, 4), got (6, 3)"),
    "predict x too wide": Misuse(lambda s: s.net.predict(np.zeros((2, 5))), ShapeError, "predict: x must have shape (n, 4), got (2, 5)"),
    "predict x 1-D": Misuse(lambda s: s.net.predict(s.x[0]), ShapeError, "predict: x must have shape (n, 4), got (4,); for one sample use x[None, :]"),
    "evaluate x 3-D": Misuse(lambda s: nl.evaluate(s.net, (s.x[None], s.y)), ShapeError, "evaluate: x must have shape (n, 4), got (1, 6, 4); flatten each sample: x.reshape(len(x), -1)"),
    "forward too narrow": Misuse(lambda s: s.net.forward(s.x[:, :3]), ShapeError, "Dense(4 -> 5, relu).forward: x must have shape (n, 4), got (6, 3)"),
    "forward too many rows": Misuse(lambda s: s.net.forward(np.zeros((1025, 4), np.float32)), ShapeError, "Network.forward: x must have at most 1024 rows (the reserved batch size), got 1025; call reserve(1025) first, or use predict"),
    "backward wrong shape": Misuse(lambda s: (s.net.forward(s.x), s.net.backward(np.zeros((5, 3), np.float32))), ShapeError, "Network.backward: dy must have the shape of the last forward's output, (6, 3), got (5, 3)"),
    # empty input
    "fit x empty": Misuse(lambda s: fit(s, x=s.x[:0], y=s.y[:0]), ShapeError, "fit: x must have at least 1 row, got (0, 4)"),
    "predict x empty": Misuse(lambda s: s.net.predict([]), ShapeError, "predict: x must have shape (n, 4), got (0,); for one sample use x[None, :]"),
    "network without layers": Misuse(lambda s: nl.Network([]), ArgumentError, "Network: layers must hold at least 1 layer, got none"),
    "search empty grid": Misuse(lambda s: nl.search(lambda *a: s.net, nl.load_digits(), {}), ArgumentError, "search: grid must hold at least 1 setting, got none"),
    # dtype
    "fit x text": Misuse(lambda s: fit(s, x=s.x.astype(str)), DTypeError, "fit: x must hold real numbers, got dtype <U32"),
    "fit x complex": Misuse(lambda s: fit(s, x=s.x.astype(complex)), DTypeError, "fit: x must hold real numbers, got dtype complex128"),
    "fit x objects": Misuse(lambda s: fit(s, x=s.x.astype(object)), DTypeError, "fit: x must hold real numbers, got dtype object"),
    "forward float64": Misuse(lambda s: s.net.forward(s.x.astype(np.float64)), DTypeError, "Dense(4 -> 5, relu).forward: x must have dtype float32, got float64; use x.astype(float32)"),
    "backward float64": Misuse(lambda s: (s.net.forward(s.x), s.net.backward(np.zeros((6, 3)))), DTypeError, "Network.backward: dy must have dtype float32, got float64"),
    "network dtype": Misuse(lambda s: nl.Network([D(2, 2)], dtype="float16"), ArgumentError, "Network: dtype must be one of float32, float64, got 'float16'; did you mean 'float64'?"),
    "fit data not a pair": Misuse(lambda s: nl.fit(s.net, s.x), DTypeError, "fit: data must be a pair (x, y), got ndarray"),
    # labels
    "labels too large": Misuse(lambda s: fit(s, y=s.y + 1), ArgumentError, "fit: y must be integer labels 0..2, got 3 different labels (1, 2, 3), the first outside is 3 at row 2; map them with classes, y = np.unique(y, return_inverse=True)"),
    "labels negative": Misuse(lambda s: fit(s, y=s.y - 1), ArgumentError, "fit: y must be integer labels 0..2, got 3 different labels (-1, 0, 1), the first outside is -1 at row 0; map them with classes, y = np.unique(y, return_inverse=True)"),
    "labels float": Misuse(lambda s: fit(s, y=s.y.astype(float)), DTypeError, "fit: y must be integer labels 0..2, got dtype float64; map them with classes, y = np.unique(y, return_inverse=True)"),
    "labels text": Misuse(lambda s: fit(s, y=np.array(list("abcabc"))), DTypeError, "fit: y must be integer labels 0..2, got dtype <U1; map them with classes, y = np.unique(y, return_inverse=True)"),
    "one-hot too narrow": Misuse(lambda s: fit(s, y=np.eye(2)[[0, 1, 0, 1, 0, 1]]), ShapeError, "fit: y must be labels of shape (n,) or a distribution of shape (n, 3), got (6, 2)"),
    "target no distribution": Misuse(lambda s: fit(s, y=changed(np.eye(3)[s.y], 4, 0.5)), ArgumentError, "fit: each row of y must be a distribution (not negative, sum 1), got row 4 with sum 1.5 and minimum 0.5"),
    "target negative": Misuse(lambda s: fit(s, y=changed(np.eye(3)[s.y], 1, [2, -1, 0])), ArgumentError, "fit: each row of y must be a distribution (not negative, sum 1), got row 1 with sum 1 and minimum -1"),
    "loss labels outside": Misuse(lambda s: CE()(np.zeros((2, 3)), np.array([0, 3])), ArgumentError, "SoftmaxCrossEntropy: target must be integer labels 0..2, got 2 different labels (0, 3), the first outside is 3 at row 1; map them with classes, target = np.unique(target, return_inverse=True)"),
    "loss lengths differ": Misuse(lambda s: CE()(np.zeros((2, 3)), np.array([0])), ShapeError, "SoftmaxCrossEntropy: y has 2 rows, target has 1; they must be equal"),
    "regression on labels": Misuse(lambda s: fit(s, loss=nl.SquaredError()), ShapeError, "fit: y must have shape (n, 3), got (6,); for one sample use y[None, :]"),
    "metric labels outside": Misuse(lambda s: nl.confusion_matrix(np.array([0, 3]), np.array([0, 1]), 3), ArgumentError, "confusion_matrix: predicted must be integer labels 0..2, got 2 different labels (0, 3), the first outside is 3 at row 1; map them with classes, predicted = np.unique(predicted, return_inverse=True)"),
    # lengths
    "fit lengths differ": Misuse(lambda s: fit(s, y=s.y[:4]), ShapeError, "fit: x has 6 rows, y has 4; they must be equal"),
    "validation lengths differ": Misuse(lambda s: fit(s, validation=(s.x, s.y[:1])), ShapeError, "fit: validation: x has 6 rows, y has 1; they must be equal"),
    "evaluate lengths differ": Misuse(lambda s: nl.evaluate(s.net, (s.x[:2], s.y)), ShapeError, "evaluate: x has 2 rows, y has 6; they must be equal"),
    # NaN and infinity
    "fit NaN": Misuse(lambda s: fit(s, x=changed(s.x, (3, 1), np.nan)), ArgumentError, "fit: x must hold finite numbers, got 1 NaN or infinite, the first nan at x[3, 1]"),
    "fit infinity": Misuse(lambda s: fit(s, x=changed(s.x, (slice(2, 4), 0), -np.inf)), ArgumentError, "fit: x must hold finite numbers, got 2 NaN or infinite, the first -inf at x[2, 0]"),
    "predict NaN": Misuse(lambda s: s.net.predict(changed(s.x, (0, 0), np.nan)), ArgumentError, "predict: x must hold finite numbers, got 1 NaN or infinite, the first nan at x[0, 0]"),
    "target NaN": Misuse(lambda s: fit(s, y=changed(np.zeros((6, 3)), (5, 2), np.nan), loss=nl.SquaredError()), ArgumentError, "fit: y must hold finite numbers, got 1 NaN or infinite, the first nan at y[5, 2]"),
    # unknown names
    "activation misspelt": Misuse(lambda s: D(2, 2, "rellu"), ArgumentError, "Dense: activation must be one of identity, relu, sigmoid, softmax, tanh, got 'rellu'; did you mean 'relu'?"),
    "activation in capitals": Misuse(lambda s: nl.Activation(2, "Tanh"), ArgumentError, "Activation: activation must be one of identity, relu, sigmoid, softmax, tanh, got 'Tanh'; did you mean 'tanh'?"),
    "activation no name": Misuse(lambda s: D(2, 2, None), ArgumentError, "Dense: activation must be one of identity, relu, sigmoid, softmax, tanh, got None"),
    "initializer misspelt": Misuse(lambda s: D(2, 2, initializer="he"), ArgumentError, "Dense: initializer must be one of glorot_normal, glorot_uniform, he_normal, he_uniform, lecun_normal, lecun_uniform, got 'he'"),
    "data set misspelt": Misuse(lambda s: nl.load_mnist(dataset="minst"), ArgumentError, "load_mnist: dataset must be one of fashion-mnist, kmnist, mnist, got 'minst'; did you mean 'mnist'?"),
    "monitor unknown": Misuse(lambda s: fit(s, callbacks=[nl.EarlyStopping()]), ArgumentError, "EarlyStopping: monitor must be one of loss, accuracy, got 'validation_loss'; validation figures need fit(..., validation=...)"),
    "search monitor": Misuse(lambda s: nl.search(lambda *a: s.net, nl.load_digits(), {"a": [1]}, monitor="auc"), ArgumentError, "search: monitor must be one of accuracy, loss, got 'auc'"),
    # numbers outside their range
    "learning rate 0": Misuse(lambda s: nl.SGD(0), ArgumentError, "SGD: learning_rate must be a number above 0, got 0"),
    "learning rate negative": Misuse(lambda s: nl.Adam(-1e-3), ArgumentError, "Adam: learning_rate must be a number above 0, got -0.001"),
    "learning rate NaN": Misuse(lambda s: nl.AdamW(float("nan")), ArgumentError, "AdamW: learning_rate must be a number above 0, got nan"),
    "learning rate text": Misuse(lambda s: nl.SGD("0.1"), DTypeError, "SGD: learning_rate must be a number above 0, got '0.1'"),
    "momentum 1": Misuse(lambda s: nl.SGD(0.1, momentum=1), ArgumentError, "SGD: momentum must be a number at least 0 and below 1, got 1"),
    "nesterov alone": Misuse(lambda s: nl.SGD(0.1, nesterov=True), ArgumentError, "SGD: momentum must be above 0 with nesterov, got 0; give for example momentum=0.9"),
    "weight decay negative": Misuse(lambda s: nl.AdamW(weight_decay=-1), ArgumentError, "AdamW: weight_decay must be a number at least 0, got -1"),
    "schedule peak 0": Misuse(lambda s: nl.OneCycle(0), ArgumentError, "OneCycle: peak must be a number above 0, got 0"),
    "warm-up of a number": Misuse(lambda s: nl.WarmUp(5, 0.1), ArgumentError, "WarmUp: then must be a schedule, got 0.1; a plain rate is Constant(rate)"),
    "schedule without length": Misuse(lambda s: nl.SGD(nl.Cosine(0.1)).step(np.ones(2), np.ones(2)), ArgumentError, "SGD.step: total_steps must be known to a schedule, got none; call start(params, n_weights, total_steps) first, as fit does"),
    "dropout 1": Misuse(lambda s: nl.Dropout(4, 1.0), ArgumentError, "Dropout: rate must be a number at least 0 and below 1, got 1.0"),
    "label smoothing 1": Misuse(lambda s: CE(1.0), ArgumentError, "SoftmaxCrossEntropy: label_smoothing must be a number at least 0 and below 1, got 1.0"),
    "l2 negative": Misuse(lambda s: nl.Network([D(2, 2)], l2=-1.0), ArgumentError, "Network: l2 must be a number at least 0, got -1.0"),
    "width 0": Misuse(lambda s: D(784, 0), ArgumentError, "Dense: n_out must be a whole number of at least 1, got 0"),
    "width 1.5": Misuse(lambda s: D(784, 1.5), DTypeError, "Dense: n_out must be a whole number of at least 1, got 1.5"),
    "epochs 0": Misuse(lambda s: fit(s, epochs=0), ArgumentError, "fit: epochs must be a whole number of at least 1, got 0"),
    "batch size -1": Misuse(lambda s: fit(s, batch_size=-1), ArgumentError, "fit: batch_size must be a whole number of at least 1, got -1"),
    "batch size True": Misuse(lambda s: fit(s, batch_size=True), DTypeError, "fit: batch_size must be a whole number of at least 1, got True"),
    "patience 0": Misuse(lambda s: nl.EarlyStopping(0), ArgumentError, "EarlyStopping: patience must be a whole number of at least 1, got 0"),
    # parts in the wrong place
    "layers do not fit": Misuse(lambda s: nl.Network([D(4, 5), D(6, 3)]), ShapeError, "Network: layer 1 Dense(6 -> 3) must take 5 inputs, the outputs of layer 0 Dense(4 -> 5), got 6"),
    "layer used twice": Misuse(lambda s: nl.Network(s.net.layers), ArgumentError, "Network: layer 0 Dense(4 -> 5, relu) must belong to one network, got a second one; build a new layer"),
    "no layer": Misuse(lambda s: nl.Network([D(2, 2), "relu"]), DTypeError, "Network: layer 1 must be a Layer, got 'relu'"),
    "class names": Misuse(lambda s: nl.Network([D(2, 2)], class_names=["a"]), ArgumentError, "Network: class_names must have 2 names, one for each output, got 1"),
    "loss not called": Misuse(lambda s: fit(s, loss=CE), DTypeError, "fit: loss must be of type Loss, got <class 'numlp.losses.classification.SoftmaxCrossEntropy'>; call it: SoftmaxCrossEntropy()"),
    "optimizer by name": Misuse(lambda s: fit(s, optimizer="adam"), DTypeError, "fit: optimizer must be of type Optimizer, got 'adam'"),
    "callback no callback": Misuse(lambda s: fit(s, callbacks=[print]), DTypeError, "fit: callbacks must be of type Callback, got <built-in function print>"),
    "layer without network": Misuse(lambda s: D(2, 2).forward(s.x), AttributeError, "Dense: _z must come from a network, got none; build Network([layer])"),
    "evaluate without loss": Misuse(lambda s: nl.evaluate(nl.Network([D(4, 3)]), (s.x, s.y)), ArgumentError, "evaluate: network must have a loss, got none; fit it first, or pass loss=SoftmaxCrossEntropy() to Network"),
    "probabilities of a regression": Misuse(lambda s: nl.Network([D(4, 3)], loss=nl.SquaredError()).predict_proba(s.x), ArgumentError, "Network.predict_proba: loss must be a classification loss, got SquaredError; fit the network with one, or pass loss=SoftmaxCrossEntropy() to Network"),
    "search returns nothing": Misuse(lambda s: nl.search(lambda *a, **k: None, nl.load_digits(), {"a": [1]}), DTypeError, "search: train_one must return the trained Network, got None"),
    "check of no part": Misuse(lambda s: nl.check_gradients("relu"), DTypeError, "check_gradients: part must be a layer or a loss, got 'relu'"),
    "explain with no loss": Misuse(lambda s: nl.explain_step(s.net, None, s.x, s.y), DTypeError, "explain_step: loss must be a Loss, got None"),
    "explain x too narrow": Misuse(lambda s: nl.explain_step(s.net, CE(), s.x[:, :2], s.y), ShapeError, "explain_step: x must have shape (n, 4), got (6, 2)"),
}  # fmt: skip


@pytest.fixture
def setup() -> Setup:
    x = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    y = np.array([0, 1, 2, 0, 1, 2])
    net = nl.Network([nl.Dense(4, 5, "relu"), nl.Dense(5, 3)], rng=0)
    nl.fit(net, (x, y), epochs=1)
    return Setup(net, x, y)


@pytest.mark.parametrize("name", MISUSES)
def test_misuse_gets_its_text_and_leaves_the_model(name: str, setup: Setup) -> None:
    misuse = MISUSES[name]
    before = setup.net.snapshot()
    with pytest.raises(misuse.error) as caught:
        misuse.call(setup)
    assert str(caught.value) == misuse.text
    assert isinstance(caught.value, NumlpError | AttributeError)
    for old, new in zip(before, setup.net.snapshot(), strict=True):
        assert old.tobytes() == new.tobytes()
    assert isinstance(setup.net.loss, nl.SoftmaxCrossEntropy)


def test_misuse_table_has_at_least_forty_cases() -> None:
    assert len(MISUSES) >= 40
    assert len({misuse.text for misuse in MISUSES.values()}) == len(MISUSES)


@pytest.mark.parametrize("optimizer", [nl.SGD(1e30), nl.SGD(1e30, momentum=0.9), nl.Adam(1e30), nl.AdamW(1e30)])
def test_divergence_stops_and_names_where_and_what_to_do(optimizer: nl.Optimizer, setup: Setup) -> None:
    before = setup.net.params.copy()
    with pytest.raises(DivergenceError) as caught:
        nl.fit(setup.net, (setup.x, setup.y), optimizer=optimizer, epochs=50, batch_size=2)
    pattern = (
        r"fit: loss must stay finite, got (nan|inf|-inf|\d\S*) at epoch \d+, step \d+, first not finite in "
        r"(the loss|layer \d Dense\(\d -> \d.*\)), learning rate \S+, last gradient norm \S+; "
        r"the network is as it was after epoch \d+; try a learning rate of \S+, and inputs near \[-1, 1\]"
    )
    assert re.fullmatch(pattern, str(caught.value))
    assert np.isfinite(setup.net.params).all()
    if "as it was after epoch 0" in str(caught.value):
        assert setup.net.params.tobytes() == before.tobytes()


def test_unscaled_pixels_warn_once_with_range_and_remedy(setup: Setup) -> None:
    x = np.random.default_rng(0).integers(0, 256, size=(6, 4))
    x[0, :2] = 0, 255
    with pytest.warns(UserWarning) as caught:
        nl.fit(setup.net, (x, setup.y), epochs=2)
    assert [str(warning.message) for warning in caught] == [
        "fit: x ranges from 0 to 255, and a network learns best from inputs near [-1, 1]; for pixels divide by 255, "
        "load with normalize=True, or put Pixels(4) first and pass uint8"
    ]


def test_pixels_layer_with_bytes_does_not_warn() -> None:
    x = np.random.default_rng(0).integers(0, 256, size=(6, 4), dtype=np.uint8)
    net = nl.Network([nl.Pixels(4), nl.Dense(4, 3)], rng=0)
    nl.fit(net, (x, np.array([0, 1, 2, 0, 1, 2])), epochs=1)
