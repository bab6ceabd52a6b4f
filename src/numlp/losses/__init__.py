"""What training makes small. `loss(y, target)` returns the mean over the batch and its gradient, together."""

from numlp.losses.classification import ClassificationLoss, CrossEntropy, Loss, SoftmaxCrossEntropy
from numlp.losses.regression import SquaredError

LOSSES: dict[str, type[Loss]] = {loss.__name__: loss for loss in (SoftmaxCrossEntropy, CrossEntropy, SquaredError)}

__all__ = ["LOSSES", "ClassificationLoss", "CrossEntropy", "Loss", "SoftmaxCrossEntropy", "SquaredError"]
