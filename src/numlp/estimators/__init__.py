"""numlp with scikit-learn's face: estimators that take the place of its own."""

from numlp.estimators.classifier import MLPClassifier
from numlp.estimators.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
