"""Attributes of built parts: written in place, checked again, or refused; an assignment without effect is none of them.

An `Attribute` keeps its value under its own name with an underscore before it: what a step reads is a plain attribute.
"""

import inspect
from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NoReturn

from numpy.typing import NDArray

from numlp.errors import ReadOnlyError, ShapeError, as_array, check_count, check_number, check_real

Array = NDArray[Any]
Check = Callable[[Any, str, Any], Any]  # (part, name, value) -> the value to keep

_MISSING = object()


class Attribute(property):
    """An attribute that is assigned once, by the constructor, or that a `check` looks at whenever it is assigned.

    A class of the user's own may assign it again until a network has taken the part in.
    """

    def __init__(self, check: Check | None = None, hint: str = "", kept: str = "") -> None:
        self.check, self.hint, self.kept = check, hint, kept

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self.name, self.kept = name, self.kept or f"_{name}"
        super().__init__(attrgetter(self.kept))

    def __set__(self, part: Any, value: Any) -> None:
        if self.check is not None:
            value = self.check(part, self.name, value)
        elif self._is_closed(part):
            self._refuse(part, f"got {value!r:.60}")
        setattr(part, self.kept, value)

    def __delete__(self, part: Any) -> None:
        self._refuse(part, "got del")

    def _is_closed(self, part: Any) -> bool:
        """Whether the constructor, or the network that has taken the part in, has used the value."""
        if getattr(part, self.kept, _MISSING) is _MISSING:
            return False
        return part.is_of_numlp() or bool(getattr(part, "_bound", False))

    def _refuse(self, part: Any, got: str) -> NoReturn:
        where = type(part).__name__
        now = getattr(part, self.name, None)
        raise ReadOnlyError(f"{where}: {self.name} must stay {now!r:.60}, {got}; {self.hint or f'build a new {where}'}")


class Result(Attribute):
    """An attribute that the part itself computes, and keeps with an underscore before the name."""

    def _is_closed(self, part: Any) -> bool:
        return bool(part.is_of_numlp())


class Constant(Result):
    """An attribute of a class of numlp, the same for all its instances."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value

    def __get__(self, part: Any, owner: type[Any] | None = None) -> Any:
        return self.value


class View(Attribute):
    """A view of a network's flat arrays: what is assigned is copied into it."""

    def __init__(self, kept: str = "") -> None:
        super().__init__(_in_place, "write into it, or assign an array", kept)

    def _is_closed(self, part: Any) -> bool:
        return False


def fixed(hint: str = "") -> Any:
    """Declare an attribute that only the constructor assigns."""
    return Attribute(None, hint)


def setting(check: Check) -> Any:
    """Declare an attribute that acts from its assignment on; `check` returns the value to keep, or raises."""
    return Attribute(check)


def number(*, optional: bool = False, **bounds: float) -> Any:
    """Declare a number that acts from its assignment on, with the bounds of `check_number`, or None where `optional`."""

    def check(part: Any, name: str, value: Any) -> float | None:
        return None if optional and value is None else check_number(value, type(part).__name__, name, **bounds)

    return Attribute(check)


def count(least: int = 1) -> Any:
    """Declare a whole number that acts from its assignment on."""
    return Attribute(lambda part, name, value: check_count(value, type(part).__name__, name, least=least))


def result(hint: str) -> Any:
    """Declare an attribute that the part itself computes; `hint` says what to assign instead."""
    return Result(None, hint)


def view() -> Any:
    """Declare an array that the constructor assigns, and later assignments are copied into."""
    return View()


def keep_view(part: Any, name: str, array: Array) -> None:
    """Give a part an array, under any name, which later assignments are copied into."""
    kind = type(part)
    if not isinstance(getattr(kind, name, None), View):
        own = View(f"_{name.replace('.', '/')}")  # a dot would be a path to attrgetter
        own.__set_name__(kind, name)
        setattr(kind, name, own)
    setattr(part, getattr(kind, name).kept, array)


def _in_place(part: Any, name: str, value: Any) -> Array:
    """Return the view that there is, with the numbers of `value`; the first time, `value` itself."""
    own: Any = getattr(part, getattr(type(part), name).kept, None)
    if own is None or value is own:  # `layer.W += 1` assigns the view itself
        return value if own is None else own
    where = type(part).__name__
    new = as_array(value, where, name)
    if new.shape != own.shape:
        raise ShapeError(f"{where}: {name} must have shape {own.shape}, got {new.shape}")
    check_real(new, where, name)
    own[...] = new
    return own


def keep(part: Any, name: str, value: Any) -> None:
    """Store the value of an attribute that a part has had before, as it is."""
    declared = getattr(type(part), name, None)
    setattr(part, declared.kept if isinstance(declared, Attribute) else name, value)


@cache
def kept_names(kind: Any, live: bool = False) -> tuple[str, ...]:
    """Return the names under which a class of numlp keeps what its constructor assigns, or only what is `live` after it."""
    declared = [getattr(kind, name, None) for name in dir(kind)]
    return tuple(each.kept for each in declared if type(each) is Attribute and (each.check is not None or not live))


class Part:
    """Base of layers, losses, optimizers, callbacks, augmentations and networks.

    After construction, an attribute of a part of numlp takes a new value only where everything follows: what the part does,
    its saved form and its copies. Arrays are copied into place; settings that act at each use are checked as by the
    constructor; all other arguments of the constructor, and what belongs to the class, raise ReadOnlyError. A class of the
    user's own declares nothing: its attributes are its own, beside those that the base class declares.
    """

    _of_numlp = False

    if TYPE_CHECKING:  # what an `Attribute` keeps

        def __getattr__(self, name: str) -> Any: ...

        def __setattr__(self, name: str, value: Any) -> None: ...

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._of_numlp = cls.__module__.startswith("numlp.")
        if not cls._of_numlp:
            return
        for name, value in list(vars(cls).items()):
            if not (name.startswith("_") or callable(value) or hasattr(value, "__get__")):
                _declare(cls, name, Constant(value))
        arguments = inspect.signature(cls.__init__).parameters.values() if "__init__" in vars(cls) else ()
        for argument in [each for each in arguments if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)][1:]:
            if not isinstance(getattr(cls, argument.name, None), property):
                _declare(cls, argument.name, Attribute())

    @classmethod
    def is_of_numlp(cls) -> bool:
        """Whether the class is one of numlp's own, which declare their attributes."""
        return cls._of_numlp

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the attributes of a copy, or of a pickle that knows them by their names only."""
        for name, value in list(state.items()):  # a copy's is that of the part itself, which another thread may train
            keep(self, name, value)


def _declare(cls: type[Any], name: str, attribute: Attribute) -> None:
    attribute.__set_name__(cls, name)
    setattr(cls, name, attribute)
