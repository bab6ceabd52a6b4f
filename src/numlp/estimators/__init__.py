"""numlp with scikit-learn's face: estimators that take the place of its own."""

from numlp.estimators.mlp import MLPClassifier, MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
