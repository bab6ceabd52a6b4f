"""scikit-learn's checks of an estimator: all of them, none skipped, none expected to fail."""

from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

import numlp as nl
from numlp.estimators import MLPClassifier, MLPRegressor

# the default, and four others: the other solvers, parts only numlp has, another loss and schedule
SETTINGS: list[dict[str, Any]] = [
    {},
    {"solver": "lbfgs", "activation": "tanh", "width": 20},
    {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.01, "activation": "logistic"},
    {"solver": "AdamW", "learning_rate": "Cosine", "learning_rate_init": 0.01, "activation": "silu", "n_layers": 2, "width": 32},
    {"solver": nl.RMSprop(0.01), "activation": ["selu", "mish"], "n_layers": 2, "width": 16, "scoring": "loss"},
]
LOSSES = {MLPClassifier: nl.SigmoidCrossEntropy(label_smoothing=0.05), MLPRegressor: "LogCosh"}

pytestmark = pytest.mark.filterwarnings("default")


@parametrize_with_checks(
    [
        kind(**settings, **({"loss": LOSSES[kind]} if "scoring" in settings else {}))
        for kind in (MLPClassifier, MLPRegressor)
        for settings in SETTINGS
    ]
)
def test_estimator_passes_every_check(estimator: Any, check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # else the checks of the array API are skipped
    try:
        check(estimator)
    except BaseException as error:
        if type(error).__name__ == "SkipTest":
            pytest.fail(f"skipped: {error}")
        raise
