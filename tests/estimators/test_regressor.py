from typing import Any

import numpy as np
import pytest
from sklearn.metrics import mean_poisson_deviance

import numlp as nl
from numlp.errors import ArgumentError
from numlp.estimators import MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, size=(1500, 1))
Y = X[:, 0] + (0.5 + 0.4 * X[:, 0]) * RNG.normal(size=1500)  # the spread grows with x
SETTINGS: dict[str, Any] = {"width": 20, "learning_rate_init": 0.01, "max_iter": 60, "random_state": 0, "activation": "tanh"}


@pytest.mark.parametrize("loss", [nl.Pinball([0.1, 0.5, 0.9]), nl.GaussianNLL()], ids=["Pinball", "GaussianNLL"])
def test_quantiles_hold_their_share_everywhere(loss: nl.Loss) -> None:
    model = MLPRegressor(loss, **SETTINGS).fit(X, Y)
    quantiles = model.predict_quantiles(X)
    assert quantiles.shape == (1500, 3) and (np.diff(quantiles) >= 0).all()
    for part in (X[:, 0] < 0, X[:, 0] > 0):
        shares = (Y[part, None] < quantiles[part]).mean(axis=0)
        np.testing.assert_allclose(shares, [0.1, 0.5, 0.9], atol=0.05)
    np.testing.assert_allclose(model.predict(X), quantiles[:, 1])


def test_quantiles_of_a_normal_distribution_can_be_any() -> None:
    model = MLPRegressor(nl.GaussianNLL(), **SETTINGS).fit(X, Y)
    low, high = model.predict_quantiles(X[:4], [0.025, 0.975]).T
    deviation = np.exp(model.network_.predict(X[:4])[:, 1] / 2)
    np.testing.assert_allclose(high - low, 2 * 1.959964 * deviation, rtol=1e-6)


def test_quantiles_that_were_not_learnt_are_refused() -> None:
    model = MLPRegressor(nl.Pinball([0.2, 0.8]), max_iter=1).fit(X, Y)
    with pytest.raises(ArgumentError, match=r"quantiles must be those of the loss, \(0.2, 0.8\), got \[0.5\]"):
        model.predict_quantiles(X, [0.5])
    with pytest.raises(ArgumentError, match="loss must be Pinball, or GaussianNLL of one number, got SquaredError"):
        MLPRegressor(max_iter=1).fit(X, Y).predict_quantiles(X)


def test_losses_with_a_logarithm_predict_the_mean() -> None:
    counts = np.random.default_rng(1).poisson(np.exp(1 + X[:, 0]))
    for loss in ("poisson", "Poisson", "Tweedie"):
        model = MLPRegressor(loss, **SETTINGS).fit(X, counts)
        assert model.out_activation_ == "exp"
        np.testing.assert_allclose(model.predict(X).mean(), counts.mean(), rtol=0.05)


def test_several_numbers_have_mean_and_spread_each() -> None:
    two = np.stack([Y, -Y], axis=1)
    model = MLPRegressor(nl.GaussianNLL(), **SETTINGS).fit(X, two)
    assert model.predict(X).shape == (1500, 2) and model.n_outputs_ == 2 and model.network_.n_out == 4
    assert model.score(X, two) > 0.3


def test_validation_loss_is_on_the_scale_of_the_training_loss() -> None:
    two = np.stack([Y, -Y], axis=1)
    model = MLPRegressor(max_iter=3, alpha=100.0).fit(X, two, eval_set=(X, two))
    assert model.validation_loss_curve_[-1] == pytest.approx(np.square(model.predict(X) - two).mean() / 2)
    counts = np.random.default_rng(1).poisson(np.exp(1 + X[:, 0]))
    model = MLPRegressor("poisson", max_iter=3).fit(X, counts, eval_set=(X, counts))
    assert model.validation_loss_curve_[-1] == pytest.approx(mean_poisson_deviance(counts, model.predict(X)) / 2)
