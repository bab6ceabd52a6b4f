"""Estimators for scikit-learn's world: fit, predict, score, clone, pipelines."""

from numlp.estimators.tabular import TabularClassifier, TabularRegressor

__all__ = ["TabularClassifier", "TabularRegressor"]
