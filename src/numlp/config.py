"""A part and its constructor arguments as JSON, and back.

Contract for every layer, loss, optimizer and schedule: each constructor argument is kept as an attribute of the
same name. Then one function describes them all, and nothing but names and numbers is ever read back.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from numlp.errors import CheckpointError


def to_config(part: Any) -> dict[str, Any]:
    """Return {"type": class name, argument: value, ...} in JSON's types; a nested part becomes a nested dict.

    A tuple becomes a list and a mapping a list of pairs: a part that takes the one takes the other.
    """
    config: dict[str, Any] = {"type": type(part).__name__}
    for name in inspect.signature(type(part)).parameters:
        config[name] = _plain(getattr(part, name))
    return config


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
        raise CheckpointError(f"from_config: type must be one of {', '.join(sorted(types))}, got {repr(kind)[:60]}")
    arguments = {name: _built(value, types) for name, value in config.items() if name != "type"}
    try:
        return types[config["type"]](**arguments)
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"from_config: arguments must fit {config['type']}, got {str(arguments)[:200]}: {error}"
        ) from error
