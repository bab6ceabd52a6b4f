"""New parts like given ones, for copies and pickles: without what a network has given them, and without buffers."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from numlp.config import arguments_of, is_own, parts_in
from numlp.errors import ArgumentError, CheckpointError, DTypeError
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


def check_parts(parts: Any, where: str) -> list[type[Any]]:
    """Return the user's own classes as a list; a single one is taken as well.

    Errors  DTypeError if one is no class of a layer or loss; ArgumentError if two have one name.
    """
    found = list(dict.fromkeys(parts if isinstance(parts, list | tuple | set | frozenset) else [parts]))
    for part in found:
        if not (isinstance(part, type) and issubclass(part, Layer | Loss)):
            raise DTypeError(f"{where}: parts must be classes of layers and losses, such as [MyLayer], got {part!r}")
    name, times = Counter([part.__name__ for part in found]).most_common(1)[0] if found else ("", 1)
    if times > 1:
        raise ArgumentError(f"{where}: parts must have different names, got {times} classes {name}; rename one")
    return found


def part_types(parts: Iterable[type[Any]]) -> tuple[dict[str, type[Layer]], dict[str, type[Loss]]]:
    """Return layers and losses by name: the user's own classes `parts`, and those of numlp with other names."""
    layers, losses = dict(LAYERS), dict(LOSSES)
    for part in parts:
        (layers if issubclass(part, Layer) else losses)[part.__name__] = part
    return layers, losses


def own_names(network: Any, loss: Loss | None) -> list[str]:
    """Return the names of the user's own classes in a network and a loss."""
    wholes = [*network.layers, *([] if loss is None else [loss])]
    return sorted({type(part).__name__ for whole in wholes for part in parts_in(whole) if is_own(part)})


def needed_parts(own: Any, parts: Sequence[type[Any]], where: str) -> list[type[Any]]:
    """Return those of the given classes that a file names as its `own` ones; the others may be named like numlp's.

    Errors  CheckpointError if one is missing.
    """
    if not (isinstance(own, list) and all(isinstance(name, str) and name.isidentifier() for name in own)):
        raise CheckpointError(f"{where}: own_parts must be names of classes, got {own!r:.60}")
    given = {part.__name__: part for part in parts}
    missing = ", ".join(name for name in own if name not in given)[:200]
    if missing:
        raise CheckpointError(
            f"{where}: parts must have the classes {missing}, which are not numlp's, got none; "
            f"write nl.load(path, parts=[{missing}])"
        )
    return [given[name] for name in own]
