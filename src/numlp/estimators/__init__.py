"""numlp with scikit-learn's face: estimators that take the place of its own, and estimators for tables."""

from numlp.estimators.classifier import MLPClassifier
from numlp.estimators.regressor import MLPRegressor
from numlp.estimators.tabular import TabularClassifier, TabularRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "TabularClassifier", "TabularRegressor"]
