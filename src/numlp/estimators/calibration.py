"""What held out rows tell: a temperature for probabilities, and how far off predictions are."""

import math
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp

from numlp.errors import CheckpointError, check_number

Array = NDArray[Any]

MOST_SCORES = 1_000  # that are kept and saved
_COLDEST, _HOTTEST = 0.05, 20.0


def temperature(logits: Array, labels: Array, weight: Array | None) -> tuple[float, float]:
    """Return the T with the smallest loss, and that loss, for the logits (members, n, classes) of an ensemble.

        L(T) = -mean_n sum_c q_nc log p_nc,  p_nc = mean_k softmax(y_kn / T)_c                       (1)

    q is (1 - e) one-hot + e / C with e = 1 / (n + 1): where no held out row is wrong, probabilities still do not become 0.

    Source  Guo, Pleiss, Sun, Weinberger 2017, section 4.2; Platt 1999, section 2.2, for e.
    """
    rows, e = np.arange(len(labels)), 1 / (len(labels) + 1)
    if weight is not None and not weight.sum() > 0:
        weight = None

    def loss(log_t: float) -> float:
        log_p = log_mean_softmax(logits, math.exp(-log_t))
        return float(-np.average((1 - e) * log_p[rows, labels] + e * log_p.mean(axis=1), weights=weight))

    found = minimize_scalar(loss, bounds=(math.log(_COLDEST), math.log(_HOTTEST)), method="bounded")
    return math.exp(found.x), float(found.fun)


def log_mean_softmax(logits: Array, scale: float) -> Array:
    """Return log p of (1), (n, classes), for 1 / T."""
    log_p = log_softmax(logits * scale, axis=2)
    means: Array = logsumexp(log_p, axis=0) - math.log(len(log_p))
    return means


class Scores:
    """Order statistics of the scores of held out rows, for conformal prediction.

        P(score of a new row <= s_(k)) >= coverage,  s_(k) the k-th smallest of m,  k = ceil((m + 1) coverage)       (1)

    if all rows come from one source in random order. Of more than a thousand scores only some are kept; then s_(k) is
    replaced by the next larger one kept, which is on the safe side.

    Source  Vovk, Gammerman, Shafer 2005; Lei, G'Sell, Rinaldo, Tibshirani, Wasserman 2018, section 2.2.
    """

    def __init__(self, ranks: Any, values: Any) -> None:
        self.ranks, self.values = np.asarray(ranks, np.int64), np.asarray(values, np.float64)

    @classmethod
    def of(cls, scores: Array) -> Self:
        """Sort, and keep at most a thousand."""
        ranks = np.unique(np.ceil(np.linspace(1, len(scores), MOST_SCORES)).astype(np.int64))
        return cls(ranks, np.sort(scores)[ranks - 1])

    def quantile(self, coverage: float, where: str) -> float:
        """Equation (1); infinite where there are too few scores for the coverage.

        Errors  ArgumentError if coverage is not between 0 and 1.
        """
        check_number(coverage, where, "coverage", above=0, below=1)
        rank = math.ceil((int(self.ranks[-1]) + 1) * coverage - 1e-9)
        place = int(np.searchsorted(self.ranks, rank))
        return float(self.values[place]) if place < len(self.values) else math.inf

    def to_config(self) -> dict[str, Any]:
        """Return everything in JSON's types."""
        return {"ranks": self.ranks.tolist(), "values": self.values.tolist()}

    @classmethod
    def from_config(cls, config: Any, where: str) -> Self:
        """Return what `to_config` described.

        Errors  CheckpointError if it is not what `to_config` gives.
        """
        try:
            found = cls(config["ranks"], config["values"])
            ok = found.ranks.ndim == 1 and 0 < len(found.ranks) == len(found.values) and found.ranks[0] > 0
            ok = bool(ok and (np.diff(found.ranks) > 0).all() and np.isfinite(found.values).all())
            ok = ok and bool((np.diff(found.values) >= 0).all())
        except (KeyError, TypeError, ValueError, OverflowError):
            ok = False
        if not ok:
            raise CheckpointError(f"{where}: scores must be ranks and values in order, got {repr(config)[:60]}")
        return found
