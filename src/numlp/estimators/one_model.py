"""Several threads and one estimator: what is asked sees one model, and what is fitted becomes it at the end."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from numlp.exclusive import exclusive

P = ParamSpec("P")
R = TypeVar("R")
E = TypeVar("E")


def twin(estimator: E) -> E:
    """Return an estimator with the attributes that this one has at the moment."""
    found = object.__new__(type(estimator))
    vars(found).update(vars(estimator))
    return found


def of_one_model(method: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """Let a method of prediction see one model from its beginning to its end, whatever `fit` does meanwhile."""

    @wraps(method)
    def asked(estimator: Any, *arguments: P.args, **options: P.kwargs) -> R:
        found = object.__new__(type(estimator))
        found.__dict__ = estimator.__dict__  # not changed by `fit`, which puts another one in its place
        return method(found, *arguments, **options)

    return asked  # type: ignore[return-value]  # the estimator is never given by its name


def on_a_twin(method: Callable[Concatenate[E, P], Any]) -> Callable[Concatenate[E, P], E]:
    """Let a method of fitting change a twin, of which the estimator takes everything at once, after an error as well.

    Errors  BusyError if the estimator is being fitted already.
    """

    @wraps(method)
    def fitted(estimator: E, *arguments: P.args, **options: P.kwargs) -> E:
        with exclusive(f"{type(estimator).__name__}.{method.__name__}", estimator=estimator):
            found = twin(estimator)
            try:
                method(found, *arguments, **options)
            finally:
                estimator.__dict__ = vars(found)
        return estimator

    return fitted  # type: ignore[return-value]  # as above
