"""The metrics against scikit-learn, to 1e-12: with and without weights, absent classes, ties, one class too many."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

import numlp as nl

many = settings(max_examples=100, deadline=None, derandomize=True, database=None)
seeds = given(seed=st.integers(0, 10**6), weighted=st.booleans())


def drawn(seed, weighted, n_classes=4):
    """Return (rng, predicted, labels, weight); often a class is absent from one of the two or from both."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 25))
    weight = rng.choice([0.5, 1.0, 2.5, 1 / 3], size=n) if weighted else None
    return rng, rng.integers(rng.integers(1, n_classes + 1), size=n), rng.integers(n_classes, size=n), weight


def quiet(function, *arguments, **options):
    """Call scikit-learn without its warnings about classes that are absent."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **options)


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@many
@seeds
def test_label_metrics_equal_scikit_learn(seed, weighted):
    _, predicted, labels, weight = drawn(seed, weighted)
    close(nl.accuracy(predicted, labels, weight), sk.accuracy_score(labels, predicted, sample_weight=weight))
    expected = quiet(sk.balanced_accuracy_score, labels, predicted, sample_weight=weight)
    close(nl.balanced_accuracy(predicted, labels, weight), expected)
    expected = sk.confusion_matrix(labels, predicted, labels=range(5), sample_weight=weight)
    close(nl.confusion_matrix(predicted, labels, 5, weight), expected)


@pytest.mark.parametrize("n_classes", [None, 6])
@pytest.mark.parametrize("average", ["macro", "weighted", None])
@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
@many
@seeds
def test_precision_recall_and_f1_equal_scikit_learn(name, average, n_classes, seed, weighted):
    _, predicted, labels, weight = drawn(seed, weighted)
    expected = getattr(sk, f"{name}_score")(
        labels,
        predicted,
        average=average,
        sample_weight=weight,
        labels=None if n_classes is None else range(n_classes),
        zero_division=0,
    )
    close(getattr(nl, name)(predicted, labels, average=average, n_classes=n_classes, weight=weight), expected)


@many
@seeds
def test_top_k_accuracy_equals_scikit_learn_with_ties(seed, weighted):
    rng, _, labels, weight = drawn(seed, weighted)
    scores = rng.integers(3, size=(len(labels), 4)) / 2
    for k in (1, 2, 3):
        expected = sk.top_k_accuracy_score(labels, scores, k=k, sample_weight=weight, labels=range(4))
        close(nl.top_k_accuracy(scores, labels, k, weight), expected)


@many
@seeds
def test_roc_auc_equals_scikit_learn_with_ties(seed, weighted):
    rng, _, labels, weight = drawn(seed, weighted, 2)
    labels[:2] = 0, 1
    scores = rng.integers(6, size=len(labels)) / 5
    close(nl.roc_auc(scores, labels, weight), sk.roc_auc_score(labels, scores, sample_weight=weight))
    close(nl.roc_auc(scores[:, None], labels, weight), sk.roc_auc_score(labels, scores, sample_weight=weight))


@many
@seeds
def test_roc_auc_of_several_classes_equals_scikit_learn(seed, weighted):
    rng, _, labels, weight = drawn(seed, weighted, 3)
    labels = np.concatenate([[0, 1, 2], labels])
    weight = None if weight is None else np.concatenate([[1, 2, 3], weight])
    p = rng.integers(1, 4, size=(len(labels), 3))
    p = p / p.sum(axis=1, keepdims=True)
    expected = sk.roc_auc_score(labels, p, multi_class="ovr", average="macro", sample_weight=weight)
    close(nl.roc_auc(p, labels, weight), expected)


@many
@seeds
def test_scores_of_probabilities_equal_scikit_learn(seed, weighted):
    rng, _, labels, weight = drawn(seed, weighted, 3)
    p = rng.dirichlet(np.ones(3) / 3, size=len(labels))
    p[0] = 0, 0, 1
    close(nl.log_loss(p, labels, weight), sk.log_loss(labels, p, labels=range(3), sample_weight=weight))
    close(nl.brier_score(p, labels, weight), sk.brier_score_loss(labels, p, labels=range(3), sample_weight=weight))
    bits = (labels > 0).astype(int)
    close(nl.log_loss(p[:, 0], bits, weight), sk.log_loss(bits, p[:, 0], labels=range(2), sample_weight=weight))
    expected = sk.brier_score_loss(bits, p[:, 0], labels=range(2), sample_weight=weight)
    close(nl.brier_score(p[:, 0], bits, weight), expected)


@many
@seeds
def test_metrics_of_numbers_equal_scikit_learn(seed, weighted):
    rng, _, labels, weight = drawn(seed, weighted)
    for shape in ((len(labels),), (len(labels), 3)):
        predicted, target = rng.normal(size=shape), rng.normal(size=shape)
        for name in ("mean_absolute_error", "root_mean_squared_error"):
            close(getattr(nl, name)(predicted, target, weight), getattr(sk, name)(target, predicted, sample_weight=weight))
        expected = sk.r2_score(target, predicted, sample_weight=weight)
        np.testing.assert_allclose(nl.r2(predicted, target, weight), expected, rtol=1e-11)
    constant = np.full(5, 2.0)
    close(nl.r2(constant, constant), sk.r2_score(constant, constant))
    close(nl.r2(constant + 1, constant), sk.r2_score(constant, constant + 1))
