"""What users of other libraries type first is answered with what numlp has instead."""

import re
from typing import Any

import numpy as np
import pytest

import numlp as nl
from numlp.activations import ACTIVATIONS
from numlp.errors import ArgumentError, DTypeError, ShapeError
from numlp.hints import _METHODS, _NAMES, KEYWORDS

DATA: Any = nl.load_digits()
X, Y = DATA.train.x[:40], DATA.train.y[:40]


def network(*layers: nl.Layer, **options: Any) -> Any:
    return nl.Network(layers or [nl.Dense(64, 10)], rng=0, **options)


@pytest.mark.parametrize(
    ("name", "hint"),
    {
        "ReLU": 'Dense(n_in, n_out, "relu")', "LeakyReLU": '"leaky_relu"', "Swish": '"silu"', "LogSoftmax": '"log_softmax"',
        "Linear": "use Dense(n_in, n_out)", "Sequential": "use Network([layer, ...])", "BatchNorm1d": "BatchNorm(n)",
        "BatchNormalization": "BatchNorm(n)", "CrossEntropyLoss": "SoftmaxCrossEntropy()", "MSELoss": "SquaredError()",
        "MLPClassifier": "from numlp.estimators import MLPClassifier", "DataLoader": "fit(network, (x, y)",
        "nn": "numlp.Dense",
        "StandardScaler": "Standardize(n).fit(x)", "Flatten": "x.reshape(len(x), -1)", "ModelCheckpoint": "Checkpointer(",
        "dense": "did you mean 'Dense'?", "EarlyStoping": "did you mean 'EarlyStopping'?", "load_mnst": "'load_mnist'?",
        "train": "use fit(network, (x, y)", "qqq": "has no attribute 'qqq'",
    }.items(),
)  # fmt: skip
def test_names_of_other_libraries_are_answered(name: str, hint: str) -> None:
    with pytest.raises(AttributeError, match=re.escape(hint)):
        getattr(nl, name)


def test_hints_name_only_what_there_is() -> None:
    texts = [*_NAMES.values(), *_METHODS.values(), *KEYWORDS.values()]
    for text in texts:
        for name in re.findall(r"\b(?:numlp\.)?([A-Z]\w+)\(", text):
            assert hasattr(nl, name), text
        for name in re.findall(r"\bnumlp\.([a-z]\w+)\(", text):
            assert callable(getattr(nl, name)), text
    assert not [name for name in _NAMES if name in {known.lower() for known in nl.__all__}]  # would never be asked
    assert not [name for name in _METHODS if hasattr(nl.Network, name)]


@pytest.mark.parametrize("name", sorted(_METHODS))
def test_methods_of_other_models_are_answered(name: str) -> None:
    with pytest.raises(AttributeError, match=rf"^'Network' object has no attribute '{name}'; (use|leave) "):
        getattr(network(), name)


def test_other_attributes_of_a_network_are_plain_errors() -> None:
    with pytest.raises(AttributeError, match=r"attribute '__qqq__'$"):
        network().__qqq__  # noqa: B018
    assert not hasattr(network(), "qqq") and not hasattr(network(), "fit") and "fit" not in dir(network())


CALLS = {
    "x and y": (lambda: nl.fit(network(), X, Y), r"got 2 arguments after the network; write fit\(network, \(x, y\)\)"),
    "x, y, weight": (lambda: nl.fit(network(), X, Y, np.ones(40)), r"write fit\(network, \(x, y, weight\)\)"),
    "evaluate x and y": (lambda: nl.evaluate(network(), X, Y), r"write evaluate\(network, \(x, y\)\)"),
    "a data set": (
        lambda: nl.fit(network(), DATA),
        r"got Dataset; give a part of it: data.train, validation=data.validation",
    ),
    "a data set to validate": (lambda: nl.fit(network(), (X, Y), validation=DATA), "data.validation"),
    "a data set to evaluate": (lambda: nl.evaluate(network(loss=nl.SoftmaxCrossEntropy()), DATA), "data.test"),
    "x alone": (lambda: nl.fit(network(), X), r"must be a pair \(x, y\).*got ndarray"),
    "two rows": (lambda: nl.fit(network(), X[:2]), "got ndarray"),
    "a list of pairs": (lambda: nl.fit(network(), list(zip(X, Y, strict=True))), r"x, y = map\(np.array, zip\(\*data\)\)"),
    "a generator": (lambda: nl.fit(network(), ((X, Y) for _ in range(9))), "an iterator is not taken"),
    "a dict": (lambda: nl.fit(network(), {"x": X, "y": Y}), "got dict"),
    "a share": (lambda: nl.fit(network(), (X, Y), validation=0.2), "split the rows yourself"),
    "layers": (lambda: nl.Network(nl.Dense(64, 9), nl.Dense(9, 2)), r"write Network\(\[layer, layer, \.\.\.\]\)"),
    "four layers": (lambda: nl.Network(*[nl.Dense(4, 4) for _ in range(4)]), r"write Network\(\[layer, layer, \.\.\.\]\)"),
    "one layer": (lambda: nl.Network(nl.Dense(64, 9)), r"write Network\(\["),
    "adam": (lambda: nl.fit(network(), (X, Y), optimizer="adam"), r"write optimizer=numlp.Adam\(\)"),
    "lbfgs": (lambda: nl.fit(network(), (X, Y), optimizer="lbfgs"), r"write optimizer=numlp.LBFGS\(\)"),
    "cross_entropy": (lambda: nl.fit(network(), (X, Y), loss="cross_entropy"), r"loss=numlp.SoftmaxCrossEntropy\(\)"),
    "mse": (lambda: nl.fit(network(), (X, Y), loss="mse"), r"loss=numlp.SquaredError\(\)"),
    "keras": (lambda: nl.fit(network(), (X, Y), loss="sparse_categorical_crossentropy"), "numlp.SoftmaxCrossEntropy"),
    "bce": (lambda: nl.fit(network(), (X, Y), loss="binary_crossentropy"), "numlp.SigmoidCrossEntropy"),
    "a class": (lambda: nl.fit(network(), (X, Y), optimizer=nl.Adam), r"call it: Adam\(\)"),
    "a callback": (lambda: nl.fit(network(), (X, Y), callbacks=nl.EarlyStopping()), r"write callbacks=\[\.\.\.\]"),
    "an unknown argument": (lambda: nl.fit(network(), (X, Y), qqq=1), "got 'qqq'$"),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls_as_in_other_libraries_are_answered(name: str) -> None:
    call, text = CALLS[name]
    with pytest.raises((DTypeError, ShapeError), match=text) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(KEYWORDS))
def test_arguments_as_in_other_libraries_are_answered(name: str) -> None:
    with pytest.raises(DTypeError, match=re.escape(f"got {name!r}{KEYWORDS[name]}")):
        nl.fit(network(), (X, Y), **{name: 1})


@pytest.mark.parametrize("activation", sorted(set(ACTIVATIONS) - {"softmax", "log_softmax"}))
@pytest.mark.parametrize("loss", [nl.CrossEntropy(), nl.KLDivergence()], ids=["CrossEntropy", "KLDivergence"])
def test_losses_of_probabilities_refuse_other_outputs_before_the_first_step(loss: nl.Loss, activation: str) -> None:
    net = network(nl.Dense(64, 10, activation))
    before = net.params.tobytes()
    last = r"Softmax\(10\)" if isinstance(loss, nl.CrossEntropy) else r"Activation\(10, 'log_softmax'\)"
    with pytest.raises(ArgumentError, match=rf"^fit: outputs must be .*; put {last} last, or use SoftmaxCrossEntropy\(\)$"):
        nl.fit(net, (X, Y), loss=loss)
    assert net.params.tobytes() == before
    net.loss = loss
    with pytest.raises(ArgumentError, match=r"^evaluate: outputs must be"):
        nl.evaluate(net, (X, Y))


@pytest.mark.parametrize(
    ("loss", "last"), [(nl.CrossEntropy(), "softmax"), (nl.CrossEntropy(0.1), "softmax"), (nl.KLDivergence(), "log_softmax")]
)
def test_losses_of_probabilities_take_what_they_are_for(loss: nl.Loss, last: str) -> None:
    net = network(nl.Dense(64, 10, last))
    net.params *= 100  # probabilities that underflow
    nl.fit(net, (X, Y), loss=loss, epochs=2)
    assert nl.evaluate(net, (X, Y))["loss"] > 0


def normed(inner: bool) -> list[nl.Layer]:
    middle = [nl.BatchNorm(8)]
    return [nl.Dense(64, 8), nl.Residual(middle) if inner else middle[0], nl.Dense(8, 10)]


@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize(
    ("rows", "batch_size", "error"),
    [
        (9, 1, r"batch_size must make .*take batch_size >= 2"),
        (1, 1, "got 1 row"),
        (1, 5, "got 1 row"),
        (1, None, "got 1 row"),
    ],
)
def test_batch_norm_refuses_batches_of_one_row(inner: bool, rows: int, batch_size: int | None, error: str) -> None:
    with pytest.raises((ArgumentError, ShapeError), match=error):
        nl.fit(network(*normed(inner)), (X[:rows], Y[:rows]), batch_size=batch_size)


@pytest.mark.parametrize(("rows", "batch_size"), [(9, 8), (2, 2), (3, 2), (9, None), (9, 100)])
def test_batch_norm_takes_a_last_batch_of_one_row(rows: int, batch_size: int | None) -> None:
    history = nl.fit(network(*normed(False)), (X[:rows], Y[:rows]), batch_size=batch_size, epochs=2)
    assert len(history) == 2


@pytest.mark.parametrize("function", [nl.fit, nl.evaluate])
@pytest.mark.parametrize("network", [np.ones((2, 3)), [nl.Dense(2, 2)], nl.Network])
def test_what_is_no_network_is_named(function: Any, network: Any) -> None:
    name = function.__name__
    with pytest.raises(DTypeError, match=rf"^{name}: network must be a Network, got .*; write {name}\(network, \(x, y\)\)$"):
        function(network, np.ones(2))
