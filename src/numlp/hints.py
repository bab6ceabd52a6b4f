"""What numlp has instead of the names, methods and arguments of other libraries."""

import difflib
from collections.abc import Iterable
from typing import Any, NoReturn, TypeVar

from numlp.activations import ACTIVATIONS

_Kind = TypeVar("_Kind")

_LINEAR = "Dense(n_in, n_out)"
_ESTIMATORS = ("MLPClassifier", "MLPRegressor", "TabularClassifier", "TabularRegressor")

# classes and functions by their name in small letters -> what takes their place
_NAMES = {
    **dict.fromkeys(("linear", "fullyconnected", "lazylinear"), _LINEAR),
    **dict.fromkeys(("sequential", "model", "module", "mlp"), "Network([layer, ...])"),
    **dict.fromkeys(("input", "inputlayer"), "the first layer's n_in"),
    **dict.fromkeys(("flatten", "reshape"), "x.reshape(len(x), -1)"),
    **dict.fromkeys(("batchnormalization", "batchnorm1d"), "BatchNorm(n)"),
    "layernormalization": "LayerNorm(n)",
    "rescaling": "Pixels(n)",
    **dict.fromkeys(
        ("crossentropyloss", "categoricalcrossentropy", "sparsecategoricalcrossentropy", "softmaxcrossentropyloss"),
        "SoftmaxCrossEntropy()",
    ),
    "nllloss": "SoftmaxCrossEntropy(), without a softmax",
    **dict.fromkeys(("bceloss", "bcewithlogitsloss", "binarycrossentropy"), "SigmoidCrossEntropy()"),
    **dict.fromkeys(("mseloss", "mse", "meansquarederror"), "SquaredError()"),
    **dict.fromkeys(("l1loss", "mae", "meanabsoluteerror"), "AbsoluteError()"),
    **dict.fromkeys(("huberloss", "smoothl1loss"), "Huber()"),
    "kldivloss": "KLDivergence()",
    "poissonnllloss": "Poisson()",
    "gaussiannllloss": "GaussianNLL()",
    "reducelronplateau": "ReduceOnPlateau()",
    **dict.fromkeys(("modelcheckpoint", "checkpoint"), "Checkpointer(folder)"),
    **dict.fromkeys(("dataloader", "tensordataset"), "fit(network, (x, y), batch_size=128)"),
    **dict.fromkeys(("tensor", "fromnumpy", "array"), "NumPy's arrays"),
    **dict.fromkeys(("train", "trainer", "compile"), "fit(network, (x, y), loss=..., optimizer=...)"),
    "predict": "network.predict(x)",
    **dict.fromkeys(("onehot", "tocategorical"), "the labels as they are, integers"),
    **dict.fromkeys(("seed", "setseed", "manualseed", "random", "setrandomseed"), "Network([layer, ...], rng=0)"),
    **dict.fromkeys(("datasets", "loaddata", "mnist"), "load_digits() or load_mnist(folder)"),
    "traintestsplit": "sklearn.model_selection.train_test_split",
    **dict.fromkeys(("normalize", "standardscaler", "normalization"), "Standardize(n).fit(x) as the first layer"),
    **dict.fromkeys(("test", "score"), "evaluate(network, (x, y))"),
    **dict.fromkeys(("nograd", "inferencemode"), "network.predict(x)"),
    **{name.lower(): f"from numlp.estimators import {name}" for name in _ESTIMATORS},
    "estimators": "import numlp.estimators",
    **dict.fromkeys(("nn", "keras", "optim"), "the parts of numlp itself: numlp.Dense, numlp.Adam"),
    **dict.fromkeys(("conv1d", "conv2d", "maxpool2d", "lstm", "gru"), "Dense: numlp has fully connected layers only"),
}
# texts that other libraries take for a loss -> numlp's
_TEXTS = {
    **dict.fromkeys(("crossentropy", "logloss", "softmax"), "SoftmaxCrossEntropy"),
    "bce": "SigmoidCrossEntropy",
    "l1": "AbsoluteError",
}

# attributes of a network -> what takes their place
_METHODS = {
    **dict.fromkeys(("fit", "train", "train_on_batch", "partial_fit"), "numlp.fit(network, (x, y), epochs=10)"),
    **dict.fromkeys(("evaluate", "score", "test", "test_on_batch"), "numlp.evaluate(network, (x, y))"),
    **dict.fromkeys(("compile", "optimizer"), "numlp.fit(network, (x, y), loss=..., optimizer=...)"),
    **dict.fromkeys(("summary", "get_config", "named_modules", "children"), "print(network, *network.layers, sep='\\n')"),
    **dict.fromkeys(("add", "append", "add_module"), "all layers in the list: Network([layer, ...])"),
    **dict.fromkeys(("save", "save_weights", "to_file"), "numlp.save(network, path)"),
    **dict.fromkeys(("load", "load_weights", "load_state_dict"), "numlp.load(path)"),
    **dict.fromkeys(
        ("parameters", "weights", "get_weights", "trainable_variables", "trainable_weights", "state_dict", "coefs_"),
        "network.params, or network.layers[0].W",
    ),
    "set_weights": "network.layers[0].W[...] = values",
    **dict.fromkeys(("eval", "zero_grad", "requires_grad_", "build", "reset"), "leave it out, it is not needed"),
    **dict.fromkeys(("to", "cuda", "cpu", "gpu"), "leave it out, numlp computes on CPUs"),
    **dict.fromkeys(("history", "loss_curve_"), "what numlp.fit returns: history['loss']"),
    **dict.fromkeys(("predict_classes", "transform"), "network.predict(x)"),
    **dict.fromkeys(("decision_function", "output"), "network.outputs(x)"),
    "predict_log_proba": "np.log(network.predict_proba(x))",
    "classes_": "network.class_names",
}

_SPLIT = "; split the rows yourself and give validation=(x, y)"
_PAIR = "; give the data as a pair: fit(network, (x, y))"
# arguments of fit -> what takes their place
KEYWORDS = {
    **dict.fromkeys(("x", "y", "X"), _PAIR),
    **dict.fromkeys(("validation_data", "eval_set", "valid", "val_data"), "; give validation=(x, y)"),
    **dict.fromkeys(("validation_split", "validation_fraction"), _SPLIT),
    **dict.fromkeys(("lr", "learning_rate", "learning_rate_init"), "; give it to the optimizer: optimizer=Adam(1e-3)"),
    **dict.fromkeys(("weight_decay", "alpha"), "; give it to the optimizer: optimizer=AdamW(weight_decay=0.01)"),
    "momentum": "; give it to the optimizer: optimizer=SGD(0.1, momentum=0.9)",
    "shuffle": "; the rows are shuffled in each epoch, unless batch_size is None",
    "metrics": "; classes have their accuracy, and numlp has other metrics for predictions",
    **dict.fromkeys(("class_weight", "class_weights"), "; give the loss: loss=SoftmaxCrossEntropy(class_weights=[...])"),
    **dict.fromkeys(("sample_weight", "weight"), "; give the data as (x, y, weight)"),
    **dict.fromkeys(("num_epochs", "n_epochs", "nb_epoch", "epoch", "max_iter", "iterations"), "; write epochs="),
    **dict.fromkeys(("batch", "batchsize"), "; write batch_size="),
    **dict.fromkeys(("seed", "random_state", "rng"), "; give it to the network: Network([...], rng=0)"),
    **dict.fromkeys(("criterion", "loss_fn", "loss_function", "objective"), "; write loss="),
    **dict.fromkeys(("n_jobs", "threads", "workers", "num_workers"), "; write n_threads="),
    **dict.fromkeys(("early_stopping", "patience"), "; write callbacks=[EarlyStopping(patience=5)]"),
    "callback": "; write callbacks=[...]",
    "device": "; numlp computes on CPUs",
}


def missing_name(name: str, names: Iterable[str]) -> str:
    """Return the message of the AttributeError about a name that numlp, which has `names`, has not."""
    small = _plain(name)
    activation = ({_plain(key): key for key in ACTIVATIONS} | {"swish": "silu"}).get(small)
    instead = _NAMES.get(small)
    if activation is not None:
        instead = f'Dense(n_in, n_out, "{activation}") or Activation(n, "{activation}")'
    return f"module 'numlp' has no attribute {name!r}{_instead(instead, small, names)}"


class _ForeignName:
    """An attribute of models of other libraries: reading it raises an AttributeError that names what takes its place.

    Not by `__getattr__`, with which Python reads every attribute of a network more slowly.
    """

    def __init__(self, message: str) -> None:
        self.message = message

    def __get__(self, part: Any, owner: type[Any]) -> NoReturn:
        raise AttributeError(self.message)


def answer_foreign_names(kind: type[_Kind]) -> type[_Kind]:
    """Give a class of networks the hints for attributes of other libraries' models, hidden from `dir`."""
    for name, instead in _METHODS.items():
        message = f"{kind.__name__!r} object has no attribute {name!r}{_instead(instead, name, ())}"
        setattr(kind, name, _ForeignName(message))

    def names(self: object) -> list[str]:
        return [name for name in object.__dir__(self) if name not in _METHODS]

    kind.__dir__ = names  # type: ignore[method-assign]
    return kind


def find_part(name: str, parts: Iterable[str]) -> str | None:
    """Return which of the classes is meant by a name such as "adam" or "cross_entropy"."""
    known, small = {_plain(part): part for part in parts}, _plain(name)
    instead = _TEXTS.get(small, _NAMES.get(small, "").partition("(")[0])
    if instead in known.values():
        return instead
    close = difflib.get_close_matches(small, known, n=1)
    return known[close[0]] if close else None


def _instead(instead: str | None, name: str, names: Iterable[str]) -> str:
    """Return the end of a message: what to use, or the nearest name."""
    if instead is not None:
        return f"; {instead}" if instead.startswith("leave") else f"; use {instead}"
    known = {_plain(other): other for other in names if not other.startswith("_")}
    close = difflib.get_close_matches(_plain(name), known, n=1)
    return f"; did you mean {known[close[0]]!r}?" if close else ""


def _plain(name: str) -> str:
    """Return a name in small letters and figures only, so that LeakyReLU, leaky_relu and leaky-relu are one."""
    return "".join(c for c in name.lower() if c.isalnum())
