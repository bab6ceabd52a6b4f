"""A part and its constructor arguments as JSON, and back.

Contract for every layer, loss, optimizer and schedule: each constructor argument is kept as an attribute of the
same name. Then one function describes them all, and nothing but names and numbers is ever read back.
"""

import inspect
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from numlp.errors import CheckpointError

_NO_PARTS = sys.stdlib_module_names | {"numpy"}  # packages whose classes are none
_PLAIN = (type(None), int, float, str, np.generic)


def is_own(part: Any) -> bool:
    """Whether the class of a part is the user's own."""
    return not type(part).__module__.startswith("numlp.")


def arguments_of(part: Any) -> dict[str, Any]:
    """Return the arguments that a part was built from, by name.

    Errors  CheckpointError if one is no attribute of the same name.
    """
    kind, found = type(part), {}
    if kind.__module__.partition(".")[0] in _NO_PARTS:
        raise CheckpointError(f"to_config: value must be a number, a text, a list or a part, got {part!r:.60}")
    for parameter in inspect.signature(kind).parameters.values():
        try:
            found[parameter.name] = getattr(part, parameter.name)
        except AttributeError:
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise CheckpointError(
                    f"to_config: {kind.__name__}.__init__ must name its arguments, got {parameter}"
                ) from None
            raise CheckpointError(
                f"to_config: {kind.__name__} must keep its argument {parameter.name!r} as an attribute, got none of that "
                f"name; write self.{parameter.name} = {parameter.name} in __init__"
            ) from None
    return found


def parts_in(part: Any) -> Iterator[Any]:
    """Yield a part and all those among its arguments."""
    yield part
    found = list(arguments_of(part).values())
    for value in found:  # grows
        if isinstance(value, Mapping):
            found.extend(value.values())
        elif isinstance(value, list | tuple):
            found.extend(value)
        elif not isinstance(value, _PLAIN):
            yield from parts_in(value)


def to_config(part: Any) -> dict[str, Any]:
    """Return {"type": class name, argument: value, ...} in JSON's types; a nested part becomes a nested dict.

    A tuple becomes a list and a mapping a list of pairs: a part that takes the one takes the other.

    Errors  CheckpointError, naming class and argument, if a value is something else.
    """
    config: dict[str, Any] = {"type": type(part).__name__}
    for name, value in arguments_of(part).items():
        try:
            config[name] = _plain(value)
        except CheckpointError as error:
            raise CheckpointError(f"to_config: {type(part).__name__}.{name}: {_reason(error)}") from None
    return config


def _reason(error: CheckpointError) -> str:
    return str(error).removeprefix("to_config: ")


def description(part: Any) -> str:
    """Return how a part was made, without the arguments that have their default: "Adam(learning_rate=0.01)"."""
    shown = []
    for name, parameter in inspect.signature(type(part)).parameters.items():
        value = getattr(part, name, parameter.default)
        text = f"array of shape {value.shape}" if isinstance(value, np.ndarray) else repr(value)
        if text != repr(parameter.default):
            shown.append(f"{name}={text if len(text) <= 60 else f'{text[:57]}...'}")
    return f"{type(part).__name__}({', '.join(shown)})"


def _plain(value: Any) -> Any:
    """Return one argument in JSON's types; a mapping becomes a list of pairs, which keeps their order in any file."""
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, int | float | str):
        return value
    if isinstance(value, Mapping):
        return [[_plain(key), _plain(item)] for key, item in value.items()]
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else to_config(value)


def _built(value: Any, types: Mapping[str, type[Any]]) -> Any:
    """Return one argument with the parts in it built, those in lists as well."""
    if isinstance(value, list):
        return [_built(item, types) for item in value]
    return from_config(value, types) if isinstance(value, dict) else value


def from_config(config: Any, types: Mapping[str, type[Any]]) -> Any:
    """Build the part that `to_config` described, from the classes in `types`.

    Errors  CheckpointError if the class is unknown or an argument does not fit it.
    """
    if not isinstance(config, dict) or config.get("type") not in types:
        kind = config.get("type") if isinstance(config, dict) else config
        own = isinstance(kind, str) and kind.isidentifier() and len(kind) <= 60
        hint = f"; for a class of your own write nl.load(path, parts=[{kind}])" if own else ""
        raise CheckpointError(f"from_config: type must be one of {', '.join(sorted(types))}, got {repr(kind)[:60]}{hint}")
    arguments = {name: _built(value, types) for name, value in config.items() if name != "type"}
    try:
        return types[config["type"]](**arguments)
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"from_config: arguments must fit {config['type']}, got {str(arguments)[:200]}: {error}"
        ) from error
