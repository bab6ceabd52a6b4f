"""New parts like given ones, for copies and pickles: without what a network has given them, and without buffers."""

from collections.abc import Iterable
from typing import Any

from numlp.config import arguments_of, is_own
from numlp.errors import ArgumentError, DTypeError
from numlp.layers import LAYERS, Layer
from numlp.losses import LOSSES, Loss


def fresh(value: Any, memo: dict[int, Any] | None = None) -> Any:
    """Return a layer or loss like the given one that belongs to no network yet; lists and dicts of them likewise.

    A part of numlp is built from its arguments. One of the user's own, whose constructor may keep them as it likes, gets
    the attributes that the constructor has left.
    """
    memo = {} if memo is None else memo
    if id(value) not in memo:
        memo[id(value)] = _made(value, memo)
    return memo[id(value)]


def _made(value: Any, memo: dict[int, Any]) -> Any:
    if type(value) in (list, tuple):
        return type(value)(fresh(item, memo) for item in value)
    if type(value) is dict:
        return {key: fresh(item, memo) for key, item in value.items()}
    if not isinstance(value, Layer | Loss):
        return value
    if not is_own(value):
        return type(value)(**{name: fresh(item, memo) for name, item in arguments_of(value).items()})
    made = object.__new__(type(value))
    memo[id(value)] = made  # the attributes may lead back to it
    names = value.constructed if isinstance(value, Layer) else vars(value).keys() - vars(Loss).keys()  # without buffers
    vars(made).update({name: fresh(item, memo) for name, item in vars(value).items() if name in names})
    return made


def part_types(parts: Iterable[type[Any]], where: str) -> tuple[dict[str, type[Layer]], dict[str, type[Loss]]]:
    """Return numlp's layers and losses by name, the user's own classes `parts` among them.

    Errors  DTypeError if one is no class of a layer or loss; ArgumentError if its name is that of another one.
    """
    layers, losses = dict(LAYERS), dict(LOSSES)
    for part in parts if isinstance(parts, list | tuple | set | frozenset) else [parts]:
        if not (isinstance(part, type) and issubclass(part, Layer | Loss)):
            raise DTypeError(f"{where}: parts must be classes of layers and losses, such as [MyLayer], got {part!r}")
        name = part.__name__
        if (layers | losses).get(name, part) is not part:
            raise ArgumentError(f"{where}: parts must have names of their own, got another {name}; rename the class")
        if issubclass(part, Layer):
            layers[name] = part
        else:
            losses[name] = part
    return layers, losses
