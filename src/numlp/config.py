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
    """Return {"type": class name, argument: value, ...} in JSON's types; a nested part becomes a nested dict."""
    config: dict[str, Any] = {"type": type(part).__name__}
    for name in inspect.signature(type(part)).parameters:
        value = getattr(part, name)
        value = value.item() if isinstance(value, np.generic) else value
        config[name] = value if value is None or isinstance(value, int | float | str) else to_config(value)
    return config


def from_config(config: Any, types: Mapping[str, type[Any]]) -> Any:
    """Build the part that `to_config` described, from the classes in `types`.

    Errors  CheckpointError if the class is unknown or an argument does not fit it.
    """
    if not isinstance(config, dict) or config.get("type") not in types:
        kind = config.get("type") if isinstance(config, dict) else config
        raise CheckpointError(f"from_config: type must be one of {', '.join(sorted(types))}, got {kind!r}")
    arguments = {
        name: from_config(value, types) if isinstance(value, dict) else value
        for name, value in config.items()
        if name != "type"
    }
    try:
        return types[config["type"]](**arguments)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"from_config: arguments must fit {config['type']}, got {arguments}: {error}") from error
