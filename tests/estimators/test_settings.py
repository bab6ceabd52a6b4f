import re
from typing import Any

import numpy as np
import pytest

import numlp as nl
from numlp.errors import ArgumentError, DTypeError
from numlp.estimators import MLPClassifier, MLPRegressor
from numlp.losses import LOSSES
from numlp.optimizers import OPTIMIZERS
from numlp.schedules import SCHEDULES

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"alpha": -1}, ArgumentError, "MLPClassifier: alpha must be a number at least 0, got -1"),
    ({"power_t": "x"}, DTypeError, "MLPClassifier: power_t must be a number at least 0, got 'x'"),
    ({"learning_rate_init": 0}, ArgumentError, "MLPClassifier: learning_rate_init must be a number above 0, got 0"),
    ({"beta_1": 1}, ArgumentError, "MLPClassifier: beta_1 must be a number at least 0 and below 1, got 1"),
    ({"momentum": 1.1}, ArgumentError, "MLPClassifier: momentum must be a number at least 0 and below 1, got 1.1"),
    ({"max_iter": 0}, ArgumentError, "MLPClassifier: max_iter must be a whole number of at least 1, got 0"),
    ({"n_layers": 0}, ArgumentError, "MLPClassifier: n_layers must be a whole number of at least 1, got 0"),
    ({"shuffle": "yes"}, DTypeError, "MLPClassifier: shuffle must be True or False, got 'yes'"),
    ({"n_iter_no_change": 0}, ArgumentError, "MLPClassifier: n_iter_no_change must be a whole number of at least 1, got 0"),
    ({"batch_size": 0}, ArgumentError, "MLPClassifier: batch_size must be a whole number of at least 1, got 0"),
    ({"max_time": 0}, ArgumentError, "MLPClassifier: max_time must be a number above 0, got 0"),
    ({"callbacks": [1]}, DTypeError, "MLPClassifier: callbacks must be numlp.Callback objects, got 1"),
    ({"hidden_layer_sizes": (5, 0)}, ArgumentError, "hidden_layer_sizes must be > 0, got [5, 0]."),
    (
        {"hidden_layer_sizes": 2.5},
        DTypeError,
        "MLPClassifier: hidden_layer_sizes must be a whole number of at least 1, got 2.5",
    ),
    (
        {"dropout": [0.1, 0.2]},
        ArgumentError,
        "MLPClassifier: dropout must be one for all 1 hidden layers or one for each, got 2",
    ),
]


def name_of(value: Any) -> str:
    """Return a test's name without the address of an object."""
    return re.sub(r"<numlp\.\S+\.(\w+) object at 0x\w+>", r"\1", str(value))


@pytest.mark.parametrize(("settings", "error", "message"), WRONG, ids=[next(iter(settings)) for settings, _, _ in WRONG])
def test_wrong_parameter_is_named(settings: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        MLPClassifier(**settings).fit([[0.0], [1.0]], [0, 1])
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"activation": "rellu"}, "activation must be one of "),
        ({"solver": "adamm"}, "solver must be one of "),
        ({"learning_rate": "cosine"}, "; did you mean 'Cosine'?"),
        ({"loss": "SquaredError"}, "loss must be one of CrossEntropy"),
        ({"loss": nl.SquaredError()}, "loss must be a loss for classes, got SquaredError"),
    ],
    ids=name_of,
)
def test_unknown_name_gets_a_hint(settings: dict[str, Any], hint: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        MLPClassifier(**settings).fit([[0.0], [1.0]], [0, 1])
    assert hint in str(caught.value)


def test_momentum_of_one_is_taken_as_scikit_learn_takes_it() -> None:
    MLPRegressor(solver="sgd", momentum=1.0, max_iter=2).fit([[0.0], [1.0]], [0.0, 1.0])


def test_layers_are_those_the_parameters_say() -> None:
    model = MLPClassifier(
        n_layers=2, width=7, activation=["silu", "logistic"], dropout=[0.0, 0.3], batch_norm=True, max_iter=1
    )
    model.fit([[0.0, 1.0], [1.0, 0.0]], [0, 1])
    assert [str(layer) for layer in model.network_.layers] == [
        "Dense(2 -> 7)", "BatchNorm(7)", "Activation(7, silu)", "Dense(7 -> 7)", "BatchNorm(7)", "Activation(7, sigmoid)",
        "Dropout(7, 0.3)", "Dense(7 -> 1)",
    ]  # fmt: skip
    assert MLPClassifier(n_layers=3, max_iter=1).fit([[0.0], [1.0]], [0, 1]).n_layers_ == 5
    assert len(MLPClassifier(hidden_layer_sizes=(), max_iter=1).fit([[0.0], [1.0]], [0, 1]).coefs_) == 1


@pytest.mark.parametrize("solver", [*OPTIMIZERS, "lbfgs", nl.AdamW(0.01, weight_decay=0.1), nl.LBFGS(5)], ids=name_of)
def test_every_optimizer_lowers_the_loss(solver: Any, numbers: Any) -> None:
    model = MLPRegressor(solver=solver, learning_rate_init=0.003, width=10, max_iter=8, random_state=0).fit(*numbers)
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    assert model.solver is solver
    if isinstance(solver, nl.Optimizer):
        assert solver.n_steps == 0


RATES = ["Constant", "Cosine", "OneCycle", "FlatCosine", "CosLog4", "Polynomial"]
OBJECTS = [nl.Step(0.01, 20), nl.Exponential(0.01, 0.5), nl.CosineRestarts(0.01, 10), nl.WarmUp(5, nl.Cosine(0.01))]


def test_every_schedule_is_tried() -> None:
    assert {*RATES, *(type(schedule).__name__ for schedule in OBJECTS)} == {*SCHEDULES}


@pytest.mark.parametrize("schedule", [*RATES, *OBJECTS], ids=name_of)
def test_every_schedule_moves_the_rate(schedule: Any, numbers: Any) -> None:
    model = MLPRegressor(learning_rate=schedule, learning_rate_init=0.01, width=10, max_iter=8, random_state=0).fit(*numbers)
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    if schedule == "Cosine":
        assert model._optimizer.rate < 0.001


def test_partial_fit_is_missing_where_there_are_no_steps_to_take() -> None:
    for settings in ({"solver": "lbfgs"}, {"learning_rate": "Cosine"}, {"solver": nl.SGD(nl.Step(0.1, 3))}):
        assert not hasattr(MLPRegressor(**settings), "partial_fit")
    assert hasattr(MLPRegressor(solver=nl.SGD(0.1), learning_rate="adaptive"), "partial_fit")


@pytest.mark.parametrize("name", sorted(name for name, loss in LOSSES.items() if loss.classifies))
def test_every_loss_for_classes_learns_them(name: str, iris: Any) -> None:
    X, y = iris
    for labels in (np.array(["a", "b", "c"])[y], np.array(["a", "b"])[(y > 0).astype(int)]):
        model = MLPClassifier(loss=name, learning_rate_init=0.01, width=20, max_iter=50, random_state=0).fit(X, labels)
        assert model.score(X, labels) > 0.85
        scores = model.decision_function(X)
        decided = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        assert (model.classes_[decided] == model.predict(X)).all()
        if name == "Hinge":
            with pytest.raises(ArgumentError, match="Hinge: probabilities must come from another loss"):
                model.predict_proba(X)
        else:
            p = model.predict_proba(X)
            assert p.shape == (150, len(model.classes_))
            np.testing.assert_allclose(p.sum(axis=1), 1)
            assert (model.classes_[p.argmax(axis=1)] == model.predict(X)).all()


@pytest.mark.parametrize("name", sorted(name for name, loss in LOSSES.items() if not loss.classifies))
def test_every_loss_for_numbers_learns_them(name: str, numbers: Any) -> None:
    X, y = numbers[0], np.exp(numbers[1])
    model = MLPRegressor(name, learning_rate_init=0.01, width=20, max_iter=40, random_state=0).fit(X, y)
    assert model.predict(X).shape == y.shape
    assert np.corrcoef(np.log(np.maximum(model.predict(X), 1e-3)), np.log(y))[0, 1] > 0.6


def test_several_labels_want_their_own_loss() -> None:
    with pytest.raises(ArgumentError, match="loss must be log_loss for several labels, got Focal"):
        MLPClassifier(loss="Focal").fit([[0.0], [1.0]], [[0, 1], [1, 1]])
