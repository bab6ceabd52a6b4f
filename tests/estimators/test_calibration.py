import numpy as np
import pytest

from numlp.errors import ArgumentError, CheckpointError
from numlp.estimators.calibration import MOST_SCORES, Scores, temperature


def drawn(n=4000, classes=3, seed=0):
    """Return logits, and labels drawn from their softmax."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(n, classes))
    p = np.exp(logits)
    p /= p.sum(axis=1, keepdims=True)
    return logits, (rng.random(n)[:, None] > p.cumsum(axis=1)).sum(axis=1)


def test_temperature_undoes_a_factor():
    logits, labels = drawn()
    for factor in (0.25, 1.0, 5.0):
        found, loss = temperature(factor * logits[None], labels, None)
        assert found == pytest.approx(factor, rel=0.1)
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        assert loss == pytest.approx(-log_p[np.arange(len(labels)), labels].mean(), rel=0.01)


def test_temperature_is_that_of_the_mean_of_the_probabilities():
    logits, labels = drawn()
    noise = 3 * np.random.default_rng(1).normal(size=(8, *logits.shape))
    alone, together = temperature((logits + noise)[:1], labels, None), temperature(logits + noise, labels, None)
    assert together[0] < 0.8 * alone[0] and together[1] < alone[1]  # a mean of many is less sure by itself


def test_temperature_follows_the_weights():
    logits, labels = drawn()
    first = np.arange(len(labels)) < 2000
    both = np.concatenate([logits[first], 4 * logits[~first]])
    assert temperature(both[None], labels, first.astype(float))[0] == pytest.approx(1, rel=0.1)
    assert temperature(both[None], labels, (~first).astype(float))[0] == pytest.approx(4, rel=0.1)
    assert temperature(both[None], labels, np.zeros(len(labels))) == temperature(both[None], labels, None)


def test_temperature_stays_warm_where_all_are_right():
    logits, labels = np.eye(2)[[0, 1] * 5], np.array([0, 1] * 5)
    margin = 1 / temperature(logits[None], labels, None)[0]
    assert 1 / (1 + np.exp(-margin)) == pytest.approx(1 - 1 / 22, abs=1e-3)  # 1 - e / C, e = 1/11


@pytest.mark.parametrize(("coverage", "expected"), [(0.5, 5.0), (0.9, 9.0), (0.05, 1.0), (0.91, np.inf)])
def test_quantile_is_the_order_statistic_of_the_equation(coverage, expected):
    assert Scores.of(np.array([3.0, 1, 2, 9, 4, 8, 6, 5, 7])).quantile(coverage, "test") == expected


def test_many_scores_are_thinned_to_the_safe_side():
    values = np.random.default_rng(0).random(7777)
    scores = Scores.of(values)
    assert len(scores.values) <= MOST_SCORES
    for coverage in (0.01, 0.5, 0.9, 0.995):
        exact = np.sort(values)[int(np.ceil(7778 * coverage)) - 1]
        assert exact <= scores.quantile(coverage, "test") <= exact + 2e-3


def test_new_scores_are_covered_as_often_as_stated():
    rng = np.random.default_rng(1)
    hits = [rng.random() <= Scores.of(rng.random(19)).quantile(0.8, "test") for _ in range(4000)]
    assert np.mean(hits) == pytest.approx(0.8, abs=0.03)


def test_scores_survive_a_config_and_wrong_ones_are_refused():
    scores = Scores.of(np.array([0.3, 0.1, 0.2]))
    again = Scores.from_config(scores.to_config(), "test")
    assert again.quantile(0.5, "test") == scores.quantile(0.5, "test") == 0.2
    pairs = [([1], []), ([2, 1], [1, 2]), ([], []), ([1, 2], [2, 1]), ([1], ["x"]), ([1], [np.nan])]
    for wrong in (None, {}, *({"ranks": ranks, "values": values} for ranks, values in pairs)):
        with pytest.raises(CheckpointError, match=r"^test: scores must be ranks and values in order, got "):
            Scores.from_config(wrong, "test")
    for coverage in (0, 1, -1):
        with pytest.raises(ArgumentError, match=r"^test: coverage must be a number above 0 and below 1, got "):
            scores.quantile(coverage, "test")
