"""What both estimators for tables do: columns to a matrix, rows held out, networks trained on the rest, one model file."""

import json
import math
import os
from collections.abc import Sequence
from itertools import chain, pairwise, zip_longest
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from numlp.checkpoint import load, save
from numlp.data.arrow_columns import is_data_frame
from numlp.data.cells import Table
from numlp.data.columns import Columns
from numlp.data.knots import quantiles
from numlp.data.rows import matrix_of
from numlp.errors import ArgumentError, CheckpointError, check_choice, check_count, check_number
from numlp.estimators import realmlp
from numlp.estimators.calibration import Scores
from numlp.estimators.members import Members
from numlp.estimators.one_model import of_one_model
from numlp.estimators.weights import sample_weights
from numlp.files import check_path
from numlp.losses import Loss
from numlp.network import Network
from numlp.recipes import EFFORTS
from numlp.run import History
from numlp.tensors import parse_json
from numlp.training import fit

Array = NDArray[Any]
Knots = list[list[float]]  # of the columns of numbers of one network; empty if it has waves

EPOCHS = 256
# about the time of a plain network; a small table gets as many epochs as make so many steps
FAST_EPOCHS, FAST_STEPS = 25, 300
_FEW = 8  # held out rows that are too few to be parted
MOST_COPIES = 4  # of a row in the mean, where weights are whole numbers


class TableModel(BaseEstimator):
    """What both estimators do: columns to a matrix, a part held out, networks trained on the rest, their mean."""

    _plan: realmlp.Plan
    _monitor: str

    def __init__(
        self,
        effort: str = "default",
        *,
        categorical: str | int | Sequence[Any] | None = None,
        hidden_layer_sizes: int | Sequence[int] | None = None,
        learning_rate: float | None = None,
        epochs: int | None = None,
        batch_size: int = 256,
        validation_fraction: float = 0.2,
        random_state: Any = None,
        n_threads: int | None = None,
        progress: bool = False,
    ) -> None:
        self.effort = effort
        self.categorical = categorical
        self.hidden_layer_sizes = hidden_layer_sizes
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.n_threads = n_threads
        self.progress = progress

    @of_one_model
    def permutation_importance(
        self, X: Any, y: Any, *, n_repeats: int = 5, sample_weight: Any = None, random_state: Any = None
    ) -> Array:
        """Return how much `score` falls when a column's rows are mixed up, (columns, n_repeats).

        Source  Breiman 2001, section 10.

        Errors  as `predict`.
        """
        where = f"{type(self).__name__}.permutation_importance"
        matrix, rng = self._matrix(X, where), check_random_state(random_state)
        y, sample_weight = self._targets(y, len(matrix), where), sample_weights(sample_weight, len(matrix), where)
        usual = self._score(matrix, y, sample_weight)
        drops = np.zeros((self.n_features_in_, check_count(n_repeats, where, "n_repeats")))
        for i in range(self.n_features_in_):
            places = self.columns_.places(i)
            kept = matrix[:, places].copy()
            for repeat in range(n_repeats):
                matrix[:, places] = kept[rng.permutation(len(kept))]
                drops[i, repeat] = usual - self._score(matrix, y, sample_weight)
            matrix[:, places] = kept
        return drops

    @of_one_model
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a model file: the networks with columns, target and calibration inside; `numlp.save` says what may fail."""
        check_is_fitted(self, "members_")
        path = check_path(path, f"{type(self).__name__}.save")
        network = self.members_.to_network()
        about = {"estimator": type(self).__name__, "columns": self.columns_.to_config(), "scores": self.scores_.to_config()}
        about |= {"notes": self.notes_} if self.notes_ else {}
        network.extra = {"table": about | self._target_config()}
        save(network, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote; the settings it was trained with are not kept.

        Errors  CheckpointError if it is something else or damaged; OSError if it cannot be read.
        """
        path = check_path(path, f"{cls.__name__}.load")
        return cls.from_network(load(path), f"{cls.__name__}.load: {path}")

    @classmethod
    def from_network(cls, network: Network, where: str) -> Self:
        """Return the model that a network from a file of `save` belongs to.

        Errors  CheckpointError, whose message begins with `where`, if it is something else.
        """
        table = network.extra.get("table")
        kind = table.get("estimator") if isinstance(table, dict) else None
        if not isinstance(table, dict) or kind != cls.__name__:
            raise CheckpointError(f"{where}: model must be of a {cls.__name__}, got {repr(kind)[:60]}")
        found = cls()
        found.notes_ = table.get("notes", {})
        if not isinstance(found.notes_, dict):
            raise CheckpointError(f"{where}: notes must be an object, got {repr(found.notes_)[:60]}")
        found.members_ = Members.from_network(network, found._new_loss(), where, exact=True)
        found.columns_ = Columns.from_config(table.get("columns"), where)
        found.scores_ = Scores.from_config(table.get("scores"), where)
        if found.columns_.width != network.n_in:
            raise CheckpointError(f"{where}: columns must fill {network.n_in} inputs, got {found.columns_.width}")
        try:
            found._take_target(table, network.n_out)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{where}: target must fit the network, got {str(error)[:60]}") from error
        found.n_features_in_ = len(found.columns_.parts)
        if found.columns_.names is not None:
            found.feature_names_in_ = np.array(found.columns_.names, object)
        return found

    def __sklearn_tags__(self) -> Any:
        """Gaps, text and categories are welcome."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        return tags

    def _rows(self, table: Table, y: Array, weight: Array | None, where: str) -> tuple[Array, Array | None]:
        """Return the rows to fit to, in an order that does not depend on the order they came in, and their weights.

        A row of weight 0 is left out; one of weight k is there k times, if all weights are whole numbers and small.
        """
        targets = y.reshape(len(y), -1).astype(object if y.dtype.kind == "U" else y.dtype)  # text, also of digits
        rows = np.lexsort((Table(targets, where).keys(), table.keys()))
        if weight is None:
            return rows, None
        rows = rows[weight[rows] > 0]
        if (weight % 1 == 0).all() and weight.sum() <= MOST_COPIES * len(weight):
            return np.repeat(rows, weight[rows].astype(np.intp)), None
        return rows, weight[rows]

    def _fit(
        self, table: Table, rows: Array, y: Array, n_out: int, weight: Array | None, strata: Array | None = None
    ) -> None:
        """Fit columns, networks and calibration to rows of a table, targets as the network wants them, and weights."""
        where = f"{type(self).__name__}.fit"
        ensemble = self._plan.best if self.effort == "best" else realmlp.Ensemble()
        hidden = self._checked_widths(ensemble.hidden, where)
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31))
        held = self._held_out(len(y), ensemble.folds, strata, rng, where)
        several = ensemble.folds > 1
        order = np.concatenate(held) if several else np.concatenate([held[0], np.setdiff1d(np.arange(len(y)), held[0])])
        # of several networks most are trained on any row, and all take the same columns
        self.columns_ = Columns.fit(table, rows[order if several else order[len(held[0]) :]], self.categorical)
        self._check_columns(where)
        x = self.columns_.matrix(table, where, rows[order])
        y, weight = y[order], None if weight is None else weight[order]
        self.histories_: list[History] = []
        self.notes_: dict[str, Any] = {}  # JSON's types: what the user of a model file should know of the table
        choices = self._choices(ensemble, x, rng)
        groups, outside = [], []
        ends = np.cumsum([0, *map(len, held)])
        for start, stop in pairwise(ends):
            inside, chosen, judged = halves(start, stop)
            tried = []
            for knots, own_rng in choices:
                group = self._train(hidden, knots, x, y, weight, inside, chosen, n_out, own_rng)
                losses = self._calibrate(group, x[chosen], y[chosen], None if weight is None else weight[chosen])
                tried.append((losses, group))
                if self.histories_[-1].interrupted:
                    break
            best = first_or_better([losses for losses, _ in tried])
            choices, group = choices[best : best + 1], tried[best][1]
            outside.append(self._judge(group, x[judged], y[judged]))
            groups.append(group)
            if self.histories_[-1].interrupted:
                break
        params = [list(chain(*each)) for each in zip_longest(*(group.params for group in groups), fillvalue=[])]
        self.members_ = Members(groups[0].networks, params, exact=True)
        self.scores_ = Scores.of(np.concatenate(outside))

    def _checked_widths(self, usual: Sequence[int], where: str) -> Sequence[int]:
        """Return the width of each hidden layer, after a look at all settings of training."""
        check_choice(self.effort, EFFORTS, where, "effort")
        check_count(self.batch_size, "fit", "batch_size")
        if self.epochs is not None:
            check_count(self.epochs, where, "epochs")
        if self.learning_rate is not None:
            check_number(self.learning_rate, where, "learning_rate", above=0)
        if self.hidden_layer_sizes is None:
            return usual
        sizes = self.hidden_layer_sizes
        widths = [sizes] if np.ndim(sizes) == 0 else list(sizes)  # type: ignore[arg-type]
        if not widths:
            raise ArgumentError(f"{where}: hidden_layer_sizes must have at least 1 width, got none")
        return [check_count(width, where, "hidden_layer_sizes") for width in widths]

    def _check_columns(self, where: str) -> None:
        """Raise ArgumentError naming the first column that a model file could not keep."""
        config = self.columns_.to_config()
        try:
            parse_json(json.dumps(config), where, finite=False)
        except CheckpointError as whole:
            for i, part in enumerate(config["parts"]):
                name = i if config["names"] is None else config["names"][i]
                try:
                    parse_json(json.dumps([name, part]), where, finite=False)
                except CheckpointError as error:
                    raise ArgumentError(f"{where}: column {name!r} must be one that a file can keep; {error}") from error
            raise ArgumentError(f"{where}: X must have columns that a file can keep; {whole}") from whole

    def _choices(
        self, ensemble: realmlp.Ensemble, x: Array, rng: np.random.Generator
    ) -> list[tuple[list[Knots], np.random.Generator]]:
        """Return for each choice there is: the knots of each network, and where its random numbers come from."""
        numbers = x[:, : self.columns_.n_numbers].T
        choices = ensemble.choices if len(numbers) else ensemble.choices[:1]  # without numbers they are all the same
        knots = [[[quantiles(column, n) for column in numbers] if n else [] for n in choice] for choice in choices]
        return list(zip(knots, [rng, *rng.spawn(len(choices) - 1)], strict=True))

    def _held_out(self, n: int, folds: int, strata: Array | None, rng: np.random.Generator, where: str) -> list[Array]:
        """Return the rows not to train on, for each time: a random part, or one fold each, alike in their classes."""
        share = check_number(self.validation_fraction, where, "validation_fraction", above=0, below=1)
        if n < max(2, folds):
            raise ArgumentError(f"{where}: X must have at least {max(2, folds)} rows, got {n} sample(s)")
        order = rng.permutation(n)
        if folds == 1:
            return [order[: min(max(1, round(share * n)), n - 1)]]
        if strata is not None:
            order = order[np.argsort(strata[order], kind="stable")]
        return [rng.permutation(order[fold::folds]) for fold in range(folds)]

    def _train(
        self,
        hidden: Sequence[int],
        knots: Sequence[Knots],
        x: Array,
        y: Array,
        weight: Array | None,
        held: slice,
        chosen: slice,
        n_out: int,
        rng: np.random.Generator,
    ) -> Members:
        """Return networks trained on all rows but those in `held`, at the epoch of each wave that is best on `chosen`."""
        columns = self.columns_
        networks, kept = [], []
        for own in knots:
            network = realmlp.build(
                columns.width,
                columns.n_numbers,
                columns.coded,
                n_out,
                hidden,
                self._plan,
                self._new_loss(),
                rng,
                own,
            )
            kept.append(self._fit_network(network, x, y, weight, held, chosen))
            networks.append(network)
            if self.histories_[-1].interrupted:
                break
        return Members(networks, kept)

    def _fit_network(
        self, network: Network, x: Array, y: Array, weight: Array | None, held: slice, chosen: slice
    ) -> list[Array]:
        """Train a network as `_train` says, and return its parameters at those epochs."""
        x_train, y_train = (without(array, held) for array in (x, y))
        realmlp.start(network, x_train)
        n = len(x_train)
        steps = max(1, n // self.batch_size)
        epochs = min(EPOCHS, max(FAST_EPOCHS, FAST_STEPS // steps)) if self.effort == "fast" else EPOCHS
        recipe = realmlp.Recipe(self._monitor)
        history = fit(
            network,
            (x_train, y_train) if weight is None else (x_train, y_train, without(weight, held)),
            validation=(x[chosen], y[chosen]) if weight is None else (x[chosen], y[chosen], weight[chosen]),
            optimizer=realmlp.optimizer(network, self._plan.peak if self.learning_rate is None else self.learning_rate),
            epochs=epochs if self.epochs is None else self.epochs,
            batch_size=-(-n // steps),  # a few more rows than asked for, rather than a last batch of a few rows
            callbacks=[recipe],
            progress=self.progress,
            n_threads=self.n_threads,
        )
        self.histories_.append(history)
        return recipe.kept

    def _table(self, X: Any, where: str, reset: bool) -> Table:
        """Return X as a table: arrays checked by scikit-learn, data frames by their names; `reset` keeps what X is like."""
        if not is_data_frame(X):
            X = matrix_of(X, where)
            return Table(validate_data(self, X, dtype=None, ensure_all_finite=False, reset=reset), where)
        table = Table(X, where)
        if reset:
            self.n_features_in_, self.feature_names_in_ = table.shape[1], np.array(table.names, object)
        return table

    def _matrix(self, X: Any, where: str) -> Array:
        if not hasattr(self, "members_"):
            check_is_fitted(self, "members_")  # slow for one row
        return self.columns_.matrix(self._table(X, where, reset=False), where)

    def _new_loss(self) -> Loss:
        raise NotImplementedError

    def _calibrate(self, members: Members, x: Array, y: Array, weight: Array | None) -> Array:
        """Keep the members that are best together on held out rows, and return their loss at each, with its weight."""
        raise NotImplementedError

    def _judge(self, members: Members, x: Array, y: Array) -> Array:
        """Return for each of other held out rows how far off the members are."""
        raise NotImplementedError

    def _targets(self, y: Any, n: int, where: str) -> Array:
        """Return targets of n rows as an array."""
        raise NotImplementedError

    def _score(self, matrix: Array, y: Array, weight: Any) -> float:
        raise NotImplementedError

    def _target_config(self) -> dict[str, Any]:
        raise NotImplementedError

    def _take_target(self, config: dict[str, Any], n_out: int) -> None:
        raise NotImplementedError


def without(array: Array, held: slice) -> Array:
    """Return the rows outside `held`: a view where it is at the start, else a copy."""
    return array[held.stop :] if held.start == 0 else np.delete(array, held, axis=0)


def first_or_better(losses: Sequence[Array]) -> int:
    """Return which losses of the same rows, (n,), to go by: the first, unless others are clearly smaller on average.

    Clearly is by two standard errors of the mean difference, as a smaller one may be chance: then nothing is gained by a
    change, and much may be lost where the rows are few.
    """
    best = 0
    for i, own in enumerate(losses):
        difference = own - losses[best]
        if difference.mean() < -2 * difference.std() / math.sqrt(len(difference)):
            best = i
    return best


def halves(start: int, stop: int) -> tuple[slice, slice, slice]:
    """Return the rows held out, those that choose the epoch, and those that say how far off the chosen one is: a quarter.

    Rows that had a say in the choice would flatter it. Of fewer than eight rows, all do both.
    """
    middle = start + (stop - start) // 4 if stop - start >= _FEW else start
    return slice(start, stop), slice(middle, stop), slice(start, middle if middle > start else stop)
