"""How good a prediction is. What was predicted comes first, then what is right; `weight` counts some rows more."""

from numlp.metrics.labels import accuracy, balanced_accuracy, confusion_matrix, f1, hits, precision, recall, top_k_accuracy
from numlp.metrics.numbers import mean_absolute_error, r2, root_mean_squared_error
from numlp.metrics.probabilities import brier_score, expected_calibration_error, log_loss, roc_auc

__all__ = [
    "accuracy",
    "balanced_accuracy",
    "brier_score",
    "confusion_matrix",
    "expected_calibration_error",
    "f1",
    "hits",
    "log_loss",
    "mean_absolute_error",
    "precision",
    "r2",
    "recall",
    "roc_auc",
    "root_mean_squared_error",
    "top_k_accuracy",
]
