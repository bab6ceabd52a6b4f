"""Copies of layers and losses to compute with, beside another thread that computes with the originals."""

import copy
from collections.abc import Sequence
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.attributes import Part

Array = NDArray[Any]


def working_copy(value: Any, copies: dict[int, tuple[Any, Any]], shared: Sequence[Array], whole: bool = False) -> Any:
    """Return a copy of a part with copies of those inside it, or a list, tuple or dict of such copies.

    What a call may write into is copied, too, if it belongs to a part of the user's own (`whole`): arrays besides the
    `shared` ones and views of them, lists, dicts and plain objects. Anything else is returned as it is.

    `copies` has for each id what was copied, and its copy.
    """
    if id(value) in copies:
        return copies[id(value)][1]
    kind = type(value)
    if isinstance(value, Part) or (whole and _is_plain(value)):
        try:
            own = copy.copy(value)
        except TypeError:  # an open file, a thread: it cannot be copied
            return value
        copies[id(value)] = value, own
        whole = whole or not isinstance(value, Part) or not value.is_of_numlp()
        for name, inner in list(vars(value).items()):
            if (found := working_copy(inner, copies, shared, whole)) is not inner:
                vars(own)[name] = found
        return own
    if whole and kind in (list, dict):
        copies[id(value)] = value, value  # until there is a copy; it may hold itself
    if kind in (list, tuple):
        items = [working_copy(item, copies, shared, whole) for item in value]
        is_new = (whole and kind is list) or any(a is not b for a, b in zip(items, value, strict=True))
        own = kind(items) if is_new else value
    elif kind is dict:
        found = {key: working_copy(item, copies, shared, whole) for key, item in list(value.items())}
        own = found if whole or any(found[key] is not item for key, item in value.items()) else value
    elif whole and kind is np.ndarray and value.flags.writeable:
        own = value if any(np.may_share_memory(value, array) for array in shared) else value.copy()
    else:
        return value
    copies[id(value)] = value, own
    return own


def _is_plain(value: Any) -> bool:
    """Whether an object is one of a Python class that leaves copying to Python, so that its attributes are all of it."""
    kind: Any = type(value)
    named = [name for base in kind.__mro__[:-1] for name in vars(base)]  # of all its classes but object
    own_way = {"__copy__", "__reduce__", "__reduce_ex__", "__slots__"}.intersection(named)
    return hasattr(value, "__dict__") and not (isinstance(value, type | ModuleType | FunctionType) or own_way)
