"""scikit-learn's checks of an estimator: all of them, none skipped, none expected to fail.

For each change the default settings are checked; the others are exhaustive.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

import numlp as nl
from numlp.estimators import MLPClassifier, MLPRegressor, TabularClassifier, TabularRegressor
from sizes import exhaustive

# the default, and four others: scikit-learn's other solvers, optimizers and activations only numlp has, another loss
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "lbfgs": {"solver": "lbfgs", "activation": "tanh", "width": 20, "alpha": 0.1, "max_iter": 20},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.02, "activation": "logistic"},
    "cosine": {
        "solver": "AdamW",
        "learning_rate": "Cosine",
        "learning_rate_init": 0.01,
        "activation": "silu",
        "n_layers": 2,
    },
    "parts": {"solver": nl.RMSprop(0.01), "activation": ["selu", "mish"], "n_layers": 2, "width": 16, "max_iter": 60},
}
LOSSES: dict[Any, nl.Loss] = {MLPClassifier: nl.SigmoidCrossEntropy(label_smoothing=0.05), MLPRegressor: nl.LogCosh()}
# the default in fewer epochs, another schedule, and several networks
TABLE_SETTINGS: dict[str, dict[str, Any]] = {
    "default": {"epochs": 100},
    "fast": {"effort": "fast", "hidden_layer_sizes": (32,), "validation_fraction": 0.3},
    "best": {"effort": "best", "hidden_layer_sizes": (32,), "epochs": 40, "batch_size": 32, "learning_rate": 0.1},
}

pytestmark = pytest.mark.filterwarnings("ignore")


def estimators() -> Iterator[tuple[str, Any]]:
    """Yield each kind with each of its settings, and the name of these."""
    for kind, loss in LOSSES.items():
        for name, settings in SETTINGS.items():
            yield name, kind(**settings, **({"loss": loss} if name == "parts" else {}))
    for name, settings in TABLE_SETTINGS.items():
        yield name, TabularClassifier(**settings, class_weight="balanced" if name == "fast" else None)
        yield name, TabularRegressor(**settings)


def cases() -> list[Any]:
    """Return (estimator, check) for each kind, setting and check."""
    found = []
    for name, estimator in estimators():
        for twin, check in estimator_checks_generator(estimator):
            assert isinstance(check, partial)
            kind = type(estimator).__name__
            words, marks = f"{kind}-{name}-{check.func.__name__}-{len(found)}", () if name == "default" else exhaustive
            found.append(pytest.param(twin, check, id=words, marks=marks))
    return found


@pytest.mark.parametrize(("estimator", "check"), cases())
def test_estimator_passes_every_check(estimator: Any, check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # else the checks of the array API are skipped
    try:
        check(estimator)
    except BaseException as error:
        if type(error).__name__ in ("SkipTest", "Skipped"):
            pytest.fail(f"skipped: {error}")
        raise
