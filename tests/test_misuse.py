"""What bad input gets: one table of misuses, each with the class and the whole text of its error.

Every call is made on a small trained network, which must be, to the byte, what it was before.
"""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import numlp as nl
from numlp.errors import ArgumentError, DivergenceError, DTypeError, NumlpError, ShapeError
from numlp.verification import find_part
from sizes import exhaustive


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
    "fit x objects": Misuse(lambda s: fit(s, x=s.x.astype(object)), DTypeError, "fit: x must hold real numbers, got dtype object; write x.astype(float)"),
    "fit x with a gap": Misuse(lambda s: fit(s, x=[[1, 2, None, 4]] * 6), DTypeError, "fit: x must hold real numbers, got dtype object, the first that is no number None at x[0, 2]; fill or drop it"),
    "weights too large": Misuse(lambda s: nl.fit(s.net, (s.x, s.y, np.full(6, 1e308)), epochs=1), ArgumentError, "fit: weight must have a sum in float64, got weights up to 1e+308; scale them"),
    "class names in a set": Misuse(lambda s: nl.Network([D(4, 2)], class_names={"a"}), DTypeError, "Network: class_names must be a sequence of names, got {'a'}"),
    "forward float64": Misuse(lambda s: s.net.forward(s.x.astype(np.float64)), DTypeError, "Dense(4 -> 5, relu).forward: x must have dtype float32, got float64; use x.astype(float32)"),
    "backward float64": Misuse(lambda s: (s.net.forward(s.x), s.net.backward(np.zeros((6, 3)))), DTypeError, "Network.backward: dy must have dtype float32, got float64"),
    "network dtype": Misuse(lambda s: nl.Network([D(2, 2)], dtype="float16"), ArgumentError, "Network: dtype must be one of float32, float64, got 'float16'; did you mean 'float64'?"),
    "fit data not a pair": Misuse(lambda s: nl.fit(s.net, s.x), DTypeError, "fit: data must be a pair (x, y), or (x, y, weight), got ndarray"),
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
    "regression on labels": Misuse(lambda s: fit(s, loss=nl.SquaredError()), ShapeError, "fit: y must have shape (n, 3), got (6,) integers; labels want a classification loss, such as SoftmaxCrossEntropy()"),
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
    "activation misspelt": Misuse(lambda s: D(2, 2, "rellu"), ArgumentError, "Dense: activation must be one of celu, elu, gelu, gelu_tanh, hard_sigmoid, hard_swish, identity, leaky_relu, log_softmax, mish, relu, selu, sigmoid, silu, softmax, softplus, softsign, tanh, got 'rellu'; did you mean 'relu'?"),
    "activation in capitals": Misuse(lambda s: nl.Activation(2, "Tanh"), ArgumentError, "Activation: activation must be one of celu, elu, gelu, gelu_tanh, hard_sigmoid, hard_swish, identity, leaky_relu, log_softmax, mish, relu, selu, sigmoid, silu, softmax, softplus, softsign, tanh, got 'Tanh'; did you mean 'tanh'?"),
    "activation no name": Misuse(lambda s: D(2, 2, None), ArgumentError, "Dense: activation must be one of celu, elu, gelu, gelu_tanh, hard_sigmoid, hard_swish, identity, leaky_relu, log_softmax, mish, relu, selu, sigmoid, silu, softmax, softplus, softsign, tanh, got None"),
    "initializer misspelt": Misuse(lambda s: D(2, 2, initializer="he"), ArgumentError, "Dense: initializer must be one of glorot_normal, glorot_truncated_normal, glorot_uniform, he_normal, he_truncated_normal, he_uniform, lecun_normal, lecun_truncated_normal, lecun_uniform, orthogonal, zeros, got 'he'"),
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
    "optimizer by name": Misuse(lambda s: fit(s, optimizer="adam"), DTypeError, "fit: optimizer must be of type Optimizer, got 'adam'; write optimizer=numlp.Adam(), not its name"),
    "callback no callback": Misuse(lambda s: fit(s, callbacks=[print]), DTypeError, "fit: callbacks must be of type Callback, got <built-in function print>"),
    "layer without network": Misuse(lambda s: D(2, 2).forward(s.x), AttributeError, "Dense: _y must come from a network, got none; build Network([layer])"),
    "evaluate without loss": Misuse(lambda s: nl.evaluate(nl.Network([D(4, 3)]), (s.x, s.y)), ArgumentError, "evaluate: network must have a loss, got none; fit it first, or pass loss=SoftmaxCrossEntropy() to Network"),
    "probabilities of a regression": Misuse(lambda s: nl.Network([D(4, 3)], loss=nl.SquaredError()).predict_proba(s.x), ArgumentError, "Network.predict_proba: loss must be a classification loss, got SquaredError; fit the network with one, or pass loss=SoftmaxCrossEntropy() to Network"),
    "search returns nothing": Misuse(lambda s: nl.search(lambda *a, **k: None, nl.load_digits(), {"a": [1]}), DTypeError, "search: train_one must return the trained Network, got None"),
    "check of no part": Misuse(lambda s: nl.check_gradients("relu"), DTypeError, "check_gradients: part must be a layer or a loss, got 'relu'; for functions give check_gradients(forward, backward, inputs)"),
    "explain with no loss": Misuse(lambda s: nl.explain_step(s.net, None, s.x, s.y), DTypeError, "explain_step: loss must be a Loss, got None"),
    "explain x too narrow": Misuse(lambda s: nl.explain_step(s.net, CE(), s.x[:, :2], s.y), ShapeError, "explain_step: x must have shape (n, 4), got (6, 2)"),
    # targets that do not fit their loss: the first row that does not is named
    "Poisson negative count": Misuse(lambda s: fit(s, y=changed(np.ones((6, 3)), (4, 1), -2.0), loss=nl.Poisson()), ArgumentError, "fit: y must hold counts of at least 0, got -2 at row 4"),
    "Gamma zero": Misuse(lambda s: fit(s, y=changed(np.ones((6, 3)), (2, 0), 0.0), loss=nl.Gamma()), ArgumentError, "fit: y must hold numbers above 0, got 0 at row 2"),
    "Tweedie negative": Misuse(lambda s: fit(s, y=changed(np.ones((6, 3)), (5, 2), -0.5), loss=nl.Tweedie(1.5)), ArgumentError, "fit: y must hold numbers of at least 0, got -0.5 at row 5"),
    "Tweedie power 2": Misuse(lambda s: nl.Tweedie(2), ArgumentError, "Tweedie: power must be a number above 1 and below 2, got 2"),
    "GaussianNLL odd outputs": Misuse(lambda s: fit(s, y=np.ones((6, 1)), loss=nl.GaussianNLL()), ShapeError, "fit: GaussianNLL must have 2 outputs for each number, got 3"),
    "GaussianNLL too many columns": Misuse(lambda s: nl.GaussianNLL()(np.zeros((2, 4)), np.zeros((2, 3))), ShapeError, "GaussianNLL: target must have shape (2, 2), got (2, 3)"),
    "Pinball quantile missing": Misuse(lambda s: fit(s, y=np.ones(6), loss=nl.Pinball((0.1, 0.9))), ShapeError, "fit: Pinball must have 1 output for each of 2 quantiles, got 3"),
    "Pinball falling": Misuse(lambda s: nl.Pinball((0.9, 0.1)), ArgumentError, "Pinball: quantiles must be at least 1 number, rising, got [0.9, 0.1]"),
    "Pinball quantile 1": Misuse(lambda s: nl.Pinball((0.5, 1.0)), ArgumentError, "Pinball: quantiles must be a number above 0 and below 1, got 1.0"),
    "Huber delta 0": Misuse(lambda s: nl.Huber(0), ArgumentError, "Huber: delta must be a number above 0, got 0"),
    "Huber NaN": Misuse(lambda s: fit(s, y=changed(np.zeros((6, 3)), (3, 1), np.nan), loss=nl.Huber()), ArgumentError, "fit: y must hold finite numbers, got 1 NaN or infinite, the first nan at y[3, 1]"),
    "AbsoluteError too narrow": Misuse(lambda s: fit(s, y=np.zeros((6, 2)), loss=nl.AbsoluteError()), ShapeError, "fit: y must have shape (n, 3), got (6, 2)"),
    "LogCosh text": Misuse(lambda s: fit(s, y=np.full((6, 3), "a"), loss=nl.LogCosh()), DTypeError, "fit: y must hold real numbers, got dtype <U1"),
    "yes or no outside": Misuse(lambda s: fit(s, y=changed(np.zeros((6, 3)), (1, 2), 2.0), loss=nl.SigmoidCrossEntropy()), ArgumentError, "fit: y must hold numbers from 0 to 1, got 2 at row 1"),
    "yes or no labels": Misuse(lambda s: fit(s, loss=nl.SigmoidCrossEntropy()), ShapeError, "fit: y must have shape (n, 3), a 0 or 1 for each output, got (6,); one label a row wants SoftmaxCrossEntropy()"),
    "yes or no NaN": Misuse(lambda s: fit(s, y=changed(np.zeros((6, 3)), (0, 1), np.nan), loss=nl.SigmoidCrossEntropy()), ArgumentError, "fit: y must hold finite numbers, got 1 NaN or infinite, the first nan at y[0, 1]"),
    "positive weights one number": Misuse(lambda s: nl.SigmoidCrossEntropy(positive_weights=2.0), DTypeError, "SigmoidCrossEntropy: positive_weights must be a sequence of numbers, one for each output, got 2.0"),
    "positive weights negative": Misuse(lambda s: nl.SigmoidCrossEntropy(positive_weights=[1.0, -1.0]), ArgumentError, "SigmoidCrossEntropy: positive_weights must be a number at least 0, got -1.0"),
    "positive weights too few": Misuse(lambda s: fit(s, y=np.zeros((6, 3)), loss=nl.SigmoidCrossEntropy(positive_weights=[1.0, 2.0])), ShapeError, "fit: positive_weights must have 3 numbers, one for each output, got 2"),
    "class weights too few": Misuse(lambda s: fit(s, loss=CE(class_weights=[1.0, 2.0])), ShapeError, "fit: class_weights must have 3 numbers, one for each output, got 2"),
    "class weights all 0": Misuse(lambda s: CE(class_weights=[0, 0, 0]), ArgumentError, "SoftmaxCrossEntropy: class_weights must hold a number above 0, got [0.0, 0.0, 0.0]"),
    "class weights negative": Misuse(lambda s: CE(class_weights=[1, -1, 1]), ArgumentError, "SoftmaxCrossEntropy: class_weights must be a number at least 0, got -1"),
    "class weights text": Misuse(lambda s: CE(class_weights="balanced"), DTypeError, "SoftmaxCrossEntropy: class_weights must be a sequence of numbers, one for each output, got 'balanced'"),
    "Focal gamma negative": Misuse(lambda s: nl.Focal(-1), ArgumentError, "Focal: gamma must be a number at least 0, got -1"),
    "Focal label outside": Misuse(lambda s: fit(s, y=changed(s.y, 3, 7), loss=nl.Focal()), ArgumentError, "fit: y must be integer labels 0..2, got 4 different labels (0, 1, 2, 7), the first outside is 7 at row 3; map them with classes, y = np.unique(y, return_inverse=True), and give the last layer 4 outputs instead of 3"),
    "Hinge margin 0": Misuse(lambda s: nl.Hinge(0), ArgumentError, "Hinge: margin must be a number above 0, got 0"),
    "Hinge one-hot": Misuse(lambda s: fit(s, y=np.eye(3)[s.y], loss=nl.Hinge()), ShapeError, "fit: y must be labels of shape (n,), got (6, 3)"),
    "Hinge probabilities": Misuse(lambda s: nl.Network([D(4, 3)], loss=nl.Hinge()).predict_proba(s.x), ArgumentError, "Hinge: probabilities must come from another loss, got scores; train with SoftmaxCrossEntropy()"),
    "KLDivergence no distribution": Misuse(lambda s: fit(s, y=changed(np.eye(3)[s.y], 2, 0.2), loss=nl.KLDivergence()), ArgumentError, "fit: each row of y must be a distribution (not negative, sum 1), got row 2 with sum 0.6 and minimum 0.2"),
    "weight too short": Misuse(lambda s: CE()(np.zeros((2, 3)), np.array([0, 1]), np.ones(3)), ShapeError, "SoftmaxCrossEntropy: weight must have shape (2,), got (3,)"),
    "weight negative": Misuse(lambda s: CE()(np.zeros((2, 3)), np.array([0, 1]), np.array([1.0, -1.0])), ArgumentError, "SoftmaxCrossEntropy: weight must hold finite numbers of at least 0, got [ 1. -1.]"),
    "weight infinite": Misuse(lambda s: CE()(np.zeros((2, 3)), np.array([0, 1]), np.array([1.0, np.inf])), ArgumentError, "SoftmaxCrossEntropy: weight must hold finite numbers of at least 0, got [ 1. inf]"),
    "squared error target shape": Misuse(lambda s: nl.SquaredError()(np.zeros((2, 3)), np.zeros((2, 2))), ShapeError, "SquaredError: target must have shape (2, 3), got (2, 2)"),
    "squared error target text": Misuse(lambda s: nl.SquaredError()(np.zeros((2, 1)), np.array([["a"], ["b"]])), DTypeError, "SquaredError: target must hold real numbers, got dtype <U1"),
    "fit weight too short": Misuse(lambda s: nl.fit(s.net, (s.x, s.y, np.ones(5)), epochs=1), ShapeError, "fit: weight must have shape (6,), one number for each row, got (5,)"),
    "fit weight negative": Misuse(lambda s: nl.fit(s.net, (s.x, s.y, changed(np.ones(6), 4, -1.0)), epochs=1), ArgumentError, "fit: weight must be at least 0, got -1 at row 4"),
    "fit weight NaN": Misuse(lambda s: nl.fit(s.net, (s.x, s.y, changed(np.ones(6), 2, np.nan)), epochs=1), ArgumentError, "fit: weight must hold finite numbers, got 1 NaN or infinite, the first nan at weight[2]"),
    # layers
    "Activation width 0": Misuse(lambda s: nl.Activation(0, "relu"), ArgumentError, "Activation: n_in must be a whole number of at least 1, got 0"),
    "BatchNorm momentum 1": Misuse(lambda s: nl.BatchNorm(4, momentum=1.0), ArgumentError, "BatchNorm: momentum must be a number above 0 and below 1, got 1.0"),
    "BatchNorm epsilon 0": Misuse(lambda s: nl.BatchNorm(4, epsilon=0), ArgumentError, "BatchNorm: epsilon must be a number above 0, got 0"),
    "LayerNorm epsilon 0": Misuse(lambda s: nl.LayerNorm(4, epsilon=0.0), ArgumentError, "LayerNorm: epsilon must be a number above 0, got 0.0"),
    "RMSNorm width 0": Misuse(lambda s: nl.RMSNorm(0), ArgumentError, "RMSNorm: n_in must be a whole number of at least 1, got 0"),
    "AlphaDropout 1": Misuse(lambda s: nl.AlphaDropout(4, 1), ArgumentError, "AlphaDropout: rate must be a number at least 0 and below 1, got 1"),
    "GaussianNoise negative": Misuse(lambda s: nl.GaussianNoise(4, -0.1), ArgumentError, "GaussianNoise: std must be a number at least 0, got -0.1"),
    "PReLU shared": Misuse(lambda s: nl.PReLU(4, shared=2), DTypeError, "PReLU: shared must be True or False, got 2"),
    "ParametricActivation softmax": Misuse(lambda s: nl.ParametricActivation(4, "softmax"), ArgumentError, "ParametricActivation: activation must be one of celu, elu, gelu, gelu_tanh, hard_sigmoid, hard_swish, identity, leaky_relu, mish, relu, selu, sigmoid, silu, softplus, softsign, tanh, got 'softmax'"),
    "Scale width text": Misuse(lambda s: nl.Scale("4"), DTypeError, "Scale: n_in must be a whole number of at least 1, got '4'"),
    "Pixels width negative": Misuse(lambda s: nl.Pixels(-1), ArgumentError, "Pixels: n_in must be a whole number of at least 1, got -1"),
    "Softmax width True": Misuse(lambda s: nl.Softmax(True), DTypeError, "Softmax: n_in must be a whole number of at least 1, got True"),
    "Standardize fitted on NaN": Misuse(lambda s: nl.Standardize(4).fit(changed(s.x, (1, 2), np.nan)), ArgumentError, "Standardize.fit: x must hold finite numbers, got 1 NaN or infinite, the first nan at x[1, 2]"),
    "Standardize fitted too narrow": Misuse(lambda s: nl.Standardize(4).fit(s.x[:, :2]), ShapeError, "Standardize.fit: x must have shape (n, 4), got (6, 2)"),
    "Residual empty": Misuse(lambda s: nl.Residual([]), ArgumentError, "Residual: layers must hold at least 1 layer, got none"),
    "Residual of no layer": Misuse(lambda s: nl.Residual([D(4, 4), "relu"]), DTypeError, "Residual: layer 1 must be a Layer, got 'relu'"),
    "Residual that does not close": Misuse(lambda s: nl.Residual([D(4, 5)]), ShapeError, "Residual: layer 0 Dense(4 -> 5) must take 5 inputs, the outputs of layer 0 Dense(4 -> 5), got 4"),
    "Embedding column outside": Misuse(lambda s: nl.Embedding(3, {3: (7, 2)}), ArgumentError, "Embedding: columns must be {index: (cardinality, dimension)} with an index from 0 to 2, got 3"),
    "Embedding without columns": Misuse(lambda s: nl.Embedding(3, {}), DTypeError, "Embedding: columns must be {index: (cardinality, dimension)} with at least one entry, got {}"),
    "Embedding cardinality 0": Misuse(lambda s: nl.Embedding(3, {1: (0, 2)}), ArgumentError, "Embedding: cardinality must be a whole number of at least 1, got 0"),
    "Embedding code outside": Misuse(lambda s: nl.Network([nl.Embedding(2, {1: (3, 2)})], rng=0).forward(np.array([[0, 2], [0, 3]], np.float32)), ArgumentError, "Embedding(2 -> 3).forward: column 1 of x must hold whole numbers 0..2, got 3 at row 1"),
    "Dropout without a network": Misuse(lambda s: nl.Dropout(4, 0.5).forward(s.x, training=True), AttributeError, "Dropout: _rng must come from a network, got none; build Network([layer])"),
    "parametrization misspelt": Misuse(lambda s: D(2, 2, parametrization="nkt"), ArgumentError, "Dense: parametrization must be one of ntk, standard, got 'nkt'; did you mean 'ntk'?"),
    # optimizers and schedules
    "RMSprop alpha 1": Misuse(lambda s: nl.RMSprop(alpha=1), ArgumentError, "RMSprop: alpha must be a number at least 0 and below 1, got 1"),
    "RMSprop epsilon 0": Misuse(lambda s: nl.RMSprop(epsilon=0), ArgumentError, "RMSprop: epsilon must be a number above 0, got 0"),
    "Adagrad rate 0": Misuse(lambda s: nl.Adagrad(0), ArgumentError, "Adagrad: learning_rate must be a number above 0, got 0"),
    "Adadelta rho 1": Misuse(lambda s: nl.Adadelta(rho=1.0), ArgumentError, "Adadelta: rho must be a number at least 0 and below 1, got 1.0"),
    "Adam beta1 1": Misuse(lambda s: nl.Adam(beta1=1.0), ArgumentError, "Adam: beta1 must be a number at least 0 and below 1, got 1.0"),
    "AMSGrad beta2 negative": Misuse(lambda s: nl.AMSGrad(beta2=-0.1), ArgumentError, "AMSGrad: beta2 must be a number at least 0 and below 1, got -0.1"),
    "NAdam momentum decay negative": Misuse(lambda s: nl.NAdam(momentum_decay=-1e-3), ArgumentError, "NAdam: momentum_decay must be a number at least 0, got -0.001"),
    "RAdam epsilon NaN": Misuse(lambda s: nl.RAdam(epsilon=float("nan")), ArgumentError, "RAdam: epsilon must be a number above 0, got nan"),
    "Lion weight decay text": Misuse(lambda s: nl.Lion(weight_decay="0.1"), DTypeError, "Lion: weight_decay must be a number at least 0, got '0.1'"),
    "clip norm 0": Misuse(lambda s: nl.SGD(0.1, clip_norm=0), ArgumentError, "SGD: clip_norm must be a number above 0, got 0"),
    "clip value negative": Misuse(lambda s: nl.SGD(0.1, clip_value=-1), ArgumentError, "SGD: clip_value must be a number above 0, got -1"),
    "schedule rate text": Misuse(lambda s: nl.Constant("0.1"), DTypeError, "Constant: learning_rate must be a number above 0, got '0.1'"),
    "Cosine final negative": Misuse(lambda s: nl.Cosine(0.1, final=-1e-3), ArgumentError, "Cosine: final must be a number at least 0, got -0.001"),
    "Step factor 2": Misuse(lambda s: nl.Step(0.1, every=3, factor=2), ArgumentError, "Step: factor must be a number above 0 and at most 1, got 2"),
    "Step every 0": Misuse(lambda s: nl.Step(0.1, every=0), ArgumentError, "Step: every must be a whole number of at least 1, got 0"),
    "Exponential factor 0": Misuse(lambda s: nl.Exponential(0.1, factor=0), ArgumentError, "Exponential: factor must be a number above 0, got 0"),
    "Polynomial power 0": Misuse(lambda s: nl.Polynomial(0.1, power=0), ArgumentError, "Polynomial: power must be a number above 0, got 0"),
    "CosineRestarts period 1.5": Misuse(lambda s: nl.CosineRestarts(0.1, period=1.5), DTypeError, "CosineRestarts: period must be a whole number of at least 1, got 1.5"),
    "FlatCosine rate 0": Misuse(lambda s: nl.FlatCosine(0), ArgumentError, "FlatCosine: learning_rate must be a number above 0, got 0"),
    "OneCycle rise 1": Misuse(lambda s: nl.OneCycle(0.1, rise=1), ArgumentError, "OneCycle: rise must be a number above 0 and below 1, got 1"),
    "OneCycle divisor below 1": Misuse(lambda s: nl.OneCycle(0.1, start_divisor=0.5), ArgumentError, "OneCycle: start_divisor must be a number at least 1, got 0.5"),
    "WarmUp steps 0": Misuse(lambda s: nl.WarmUp(0, nl.Constant(0.1)), ArgumentError, "WarmUp: steps must be a whole number of at least 1, got 0"),
    # metrics and checks
    "accuracy lengths differ": Misuse(lambda s: nl.accuracy(s.y, s.y[:4]), ShapeError, "accuracy: x has 6 rows, y has 4; they must be equal"),
    "accuracy weights below 0": Misuse(lambda s: nl.accuracy(s.y, s.y, weight=[0, 1, -1, 1, 1, 1]), ArgumentError, "accuracy: weight must be at least 0, got -1 at row 2"),
    "accuracy weights all 0": Misuse(lambda s: nl.accuracy(s.y, s.y, weight=np.zeros(6)), ArgumentError, "accuracy: weight must be above 0 in at least 1 row, got 0 in all 6"),
    "accuracy of nothing": Misuse(lambda s: nl.accuracy(s.y[:0], s.y[:0]), ShapeError, "accuracy: labels must have at least 1 row, got (0,)"),
    "accuracy of scores": Misuse(lambda s: nl.accuracy(np.eye(3)[s.y], s.y), ShapeError, "accuracy: predicted must have the shape of labels, (6,), got (6, 3)"),
    "confusion matrix lengths differ": Misuse(lambda s: nl.confusion_matrix(s.y, s.y[:4], 3), ShapeError, "confusion_matrix: x has 6 rows, y has 4; they must be equal"),
    "confusion matrix true class outside": Misuse(lambda s: nl.confusion_matrix(s.y, changed(s.y, 5, -1), 3), ArgumentError, "confusion_matrix: labels must be integer labels 0..2, got 4 different labels (-1, 0, 1, 2), the first outside is -1 at row 5; map them with classes, labels = np.unique(labels, return_inverse=True)"),
    "confusion matrix of floats": Misuse(lambda s: nl.confusion_matrix(s.y.astype(float), s.y, 3), DTypeError, "confusion_matrix: predicted must be integer labels 0..2, got dtype float64; map them with classes, predicted = np.unique(predicted, return_inverse=True)"),
    "MaxNorm 0": Misuse(lambda s: nl.MaxNorm(0), ArgumentError, "MaxNorm: c must be a number above 0, got 0"),
    "check of a layer in use": Misuse(lambda s: nl.check_gradients(s.net.layers[1]), ArgumentError, "Network: layer 1 Dense(5 -> 3) must belong to one network, got a second one; build a new layer"),
    "verify no colon": Misuse(lambda s: find_part("mylayers"), ArgumentError, "verify: part must be module:name, such as mylayers:Scale, got 'mylayers'"),
    "verify no part": Misuse(lambda s: find_part("math:pi"), DTypeError, "verify: pi must be or give a layer or a loss, got 3.141592653589793; or an object with forward(x) and backward(dy), or a tuple (forward, backward, inputs)"),
    "verify needs arguments": Misuse(lambda s: find_part("numlp:Dropout"), ArgumentError, "verify: Dropout must need no arguments, got n_in, rate; write a function that gives one, such as: def make(): return Dropout(...)"),
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


def test_misuse_table_has_at_least_a_hundred_and_twenty_cases() -> None:
    assert len(MISUSES) >= 120
    assert len({misuse.text for misuse in MISUSES.values()}) == len(MISUSES)


@exhaustive
@pytest.mark.skipif(not __debug__, reason="this is the run without assertions")
def test_misuse_gets_the_same_texts_where_assertions_are_off() -> None:
    command = [sys.executable, "-O", "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    command += ["-k", "test_misuse_gets_its_text", "-W", "ignore::pytest.PytestConfigWarning"]
    process = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, timeout=600)
    assert process.returncode == 0, process.stdout + process.stderr
    assert f"\n{len(MISUSES)} passed, " in process.stdout


@pytest.mark.parametrize("optimizer", [nl.SGD(1e30), nl.SGD(1e30, momentum=0.9), nl.Adam(1e30), nl.AdamW(1e30)])
def test_divergence_stops_and_names_where_and_what_to_do(optimizer: nl.Optimizer, setup: Setup) -> None:
    before = setup.net.params.copy()
    with pytest.raises(DivergenceError) as caught:
        nl.fit(setup.net, (setup.x, setup.y), optimizer=optimizer, epochs=50, batch_size=2)
    pattern = (
        r"fit: loss must stay finite, got (nan|inf|-inf|\d\S*) at epoch \d+, step \d+, first not finite in "
        r"(the loss|layer \d Dense\(\d -> \d.*\)), learning rate \S+, last gradient norm \S+; "
        r"the network is as it was after epoch \d+; try a learning rate of \S+ or clip_norm=1 in the "
        r"optimizer or inputs near \[-1, 1\]"
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
