"""What training makes small. `loss(y, target)` returns the mean over the batch and its gradient, together."""

from numlp.losses.alternatives import Focal, Hinge, KLDivergence
from numlp.losses.classification import ClassificationLoss, CrossEntropy, Loss, SoftmaxCrossEntropy
from numlp.losses.likelihood import Gamma, GaussianNLL, Poisson, Tweedie
from numlp.losses.multilabel import SigmoidCrossEntropy
from numlp.losses.regression import AbsoluteError, Huber, LogCosh, Pinball, RegressionLoss, SquaredError

_CLASSES = (SoftmaxCrossEntropy, CrossEntropy, SigmoidCrossEntropy, Focal, KLDivergence, Hinge)
_NUMBERS = (SquaredError, AbsoluteError, Huber, LogCosh, Pinball, Poisson, Gamma, Tweedie, GaussianNLL)
LOSSES: dict[str, type[Loss]] = {loss.__name__: loss for loss in (*_CLASSES, *_NUMBERS)}

__all__ = [
    "LOSSES",
    "AbsoluteError",
    "ClassificationLoss",
    "CrossEntropy",
    "Focal",
    "Gamma",
    "GaussianNLL",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "Pinball",
    "Poisson",
    "RegressionLoss",
    "SigmoidCrossEntropy",
    "SoftmaxCrossEntropy",
    "SquaredError",
    "Tweedie",
]
