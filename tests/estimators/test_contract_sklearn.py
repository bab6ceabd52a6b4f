"""scikit-learn's checks of an estimator: all of them, none skipped, none expected to fail."""

from functools import partial
from typing import Any

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

import numlp as nl
from numlp.estimators import MLPClassifier, MLPRegressor

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

pytestmark = pytest.mark.filterwarnings("ignore")


def cases() -> list[Any]:
    """Return (estimator, check) for each kind, setting and check."""
    found = []
    for kind, loss in LOSSES.items():
        for name, settings in SETTINGS.items():
            estimator = kind(**settings, **({"loss": loss} if name == "parts" else {}))
            for twin, check in estimator_checks_generator(estimator):
                assert isinstance(check, partial)
                found.append(pytest.param(twin, check, id=f"{kind.__name__}-{name}-{check.func.__name__}-{len(found)}"))
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
