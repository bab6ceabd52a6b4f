"""The network for tables, how it starts and how it is trained: RealMLP with its tuned defaults.

    x -> embeddings of coded categories -> Periodic(numbers) -> Scale -> 3 x (Dense, ParametricActivation, Dropout) -> Dense

or with PiecewiseLinear(numbers), trained as Periodic is.

All dense layers have the "ntk" parametrization. The rate of step t of T is peak (1 - cos(2 pi log2(1 + 15 t / T))) / 2,
times a factor for some parameters (`FACTORS`); decay and dropout stay for half of training, then fall along half a cosine.

Source  Holzmüller, Grinsztajn, Steinwart 2024, "Better by default", section 3 and appendix A. The decay of a parameter is
    scaled by the square of its rate factor, as in the authors' code, with which the published numbers were made.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numlp.callbacks import Callback, sign_of
from numlp.layers import Dense, Dropout, Embedding, Layer, ParametricActivation, Periodic, PiecewiseLinear, Scale
from numlp.losses import Loss
from numlp.network import Network
from numlp.optimizers import AdamW
from numlp.run import Run
from numlp.schedules import CosLog4, FlatCosine

Array = NDArray[Any]

DROPOUT = 0.15
EMBEDDING = 8  # columns for a coded category
_CONSTANT = 1e-6  # the deviation of a unit that does not vary
# pattern -> (factor of the rate, of the decay beside that)
FACTORS = {"*.gamma": (6.0, 6.0), "*.alpha": (0.1, 0.1), "*.b": (0.1, 0.0)}
NUMBERS_FACTORS = (0.1, 0.1)  # of Periodic and PiecewiseLinear


class Ensemble(NamedTuple):
    """How many parts of the rows are held out in turn, and what is trained on the rest each time.

    A choice has a number for each network: how many bins its columns of numbers have, or 0 for waves. Of several choices,
    the first is trained each time, unless another is clearly better on the first part held out.
    """

    folds: int = 1
    hidden: tuple[int, ...] = (256, 256, 256)
    choices: tuple[tuple[int, ...], ...] = ((0,),)


class Plan(NamedTuple):
    """What differs between tasks: the activation, the rate's peak, and the networks of "best"."""

    activation: str
    peak: float
    best: Ensemble


# Wider networks find more classes right, and which columns they want differs from table to table; for numbers the width
# changes nothing, but networks that see their columns in two ways are better together than one more of a kind
# (docs/results.md).
CLASSIFICATION = Plan("selu", 0.04, Ensemble(9, (512, 512, 512), ((0,), (16,))))
REGRESSION = Plan("mish", 0.2, Ensemble(5, choices=((0, 16),)))


def build(
    width: int,
    n_numbers: int,
    coded: Mapping[int, int],
    n_out: int,
    hidden: Sequence[int],
    plan: Plan,
    loss: Loss,
    seed: Any,
    knots: Sequence[Sequence[float]] = (),
) -> Network:
    """Return the network for a matrix of `Columns`, as it is drawn, before `start`; with waves where there are no knots."""
    layers: list[Layer] = []
    if coded:
        layers.append(Embedding(width, {i: (n, EMBEDDING) for i, n in coded.items()}))
        width = layers[-1].n_out
    if n_numbers:
        layers.append(PiecewiseLinear(width, knots) if knots else Periodic(width, n_numbers))
        width = layers[-1].n_out
    layers.append(Scale(width))
    for n in hidden:
        layers += [
            Dense(width, n, parametrization="ntk"),
            ParametricActivation(n, plan.activation),
            Dropout(n, DROPOUT),
        ]
        width = n
    layers.append(Dense(width, n_out, parametrization="ntk"))
    return Network(layers, seed, loss=loss)


def start(network: Network, x: Array) -> None:
    """Fit the dense layers' first values to some rows of the training data, one layer after the other.

        W <- W / std_n(s x W), column by column                          (1)
        b_o = -sum_j u_j z_(n_j)o,  z = s x W                            (2)
        T_0 = 0 of each coded column                                     (3)

    n_j are five rows, drawn for each output, and u_j five weights from Exp(1) that are made to sum to 1: each unit has its
    kink among the rows. T_0 is the vector of an unknown category: where training has few or none, it stays in the middle of
    the others, and not at a random place, from which a prediction may be anything.
    """
    rng = network.rng
    rows = x[rng.choice(len(x), min(len(x), network.capacity), replace=False)]
    for layer in network.layers:
        if isinstance(layer, Embedding):
            for parameter in layer.parameters():
                getattr(layer, parameter.name)[0] = 0
        rows = layer.forward(rows)
        if isinstance(layer, Dense):  # b is 0 so far: the rows are z, in the layer's own buffer
            deviation = rows.std(axis=0)
            deviation[deviation < _CONSTANT] = 1
            layer.W /= deviation
            rows /= deviation
            chosen, weights = rng.integers(len(rows), size=(5, layer.n_out)), rng.exponential(size=(5, layer.n_out))
            weights /= weights.sum(axis=0)
            layer.b[...] = -(weights * rows[chosen, np.arange(layer.n_out)]).sum(axis=0)
            rows += layer.b


def optimizer(network: Network, peak: float) -> AdamW:
    """Return the optimizer with its schedules and factors."""
    numbers = [i for i, layer in enumerate(network.layers) if isinstance(layer, Periodic | PiecewiseLinear)]
    factors = {f"layers.{i}.*": NUMBERS_FACTORS for i in numbers} | FACTORS
    return AdamW(CosLog4(peak), beta2=0.95, weight_decay=FlatCosine(0.02), factors=factors)


class Recipe(Callback):
    """Lets dropout fall with the decay, and keeps the weights of the best epoch of each wave; of equals, the last.

    `kept` holds the flat parameters, one array for each wave of the rate that had an epoch, in order. At the end of each
    wave the rate is 0 and the network as good as any: together they are an ensemble that costs one training.

    Source  Huang, Li, Pleiss, Liu, Hopcroft, Weinberger 2017 (snapshot ensembles).
    """

    diagnoses = True  # the estimator's scores tell

    def __init__(self, monitor: str) -> None:
        self.monitor = monitor
        self._sign = sign_of(monitor)

    def on_fit_begin(self, run: Run) -> None:
        """Find the layers, and forget an earlier training."""
        self._layers = [layer for layer in run.network.layers if isinstance(layer, Dropout)]
        self._best: dict[int, tuple[float, Array]] = {}
        self._overall = math.inf

    def on_step(self, run: Run) -> None:
        """Set the rate of the next step."""
        share = FlatCosine(1.0)(run.step, run.epochs * run.steps_per_epoch)
        for layer in self._layers:
            layer.rate = DROPOUT * share

    def on_epoch(self, run: Run) -> None:
        """Keep a copy of the weights if they are the best of this wave."""
        value = self._sign * run.history.records[-1][self.monitor]
        wave = int(math.log2(1 + 15 * (run.epoch - 0.5) / run.epochs))  # by the middle of the epoch
        if value <= self._best.get(wave, (math.inf,))[0]:
            self._best[wave] = value, run.network.params.copy()
        if value <= self._overall:
            self._overall, run.history.best_epoch = value, run.epoch

    def on_fit_end(self, run: Run) -> None:
        """Give dropout its rate again."""
        for layer in self._layers:
            layer.rate = DROPOUT

    @property
    def kept(self) -> list[Array]:
        """The best parameters of each wave, in order."""
        return [params for _, (_, params) in sorted(self._best.items(), key=lambda item: item[0])]
