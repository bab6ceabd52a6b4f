"""Options that are numbers, widths or names, checked under the names that the user typed."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from numlp.activations import ACTIVATIONS
from numlp.errors import ArgumentError, NumlpError, check_choice, check_count, check_number
from numlp.optimizers import OPTIMIZERS


def _share(value: Any, where: str, name: str) -> None:
    try:
        check_number(value, where, name, low=0, below=1)
    except NumlpError as error:
        hint = f"; {value / 100:g} is {value:g} %" if 1 < value < 100 else ""
        raise ArgumentError(f"{error}{hint}") from None


# each option that is a number, in whatever command
_CHECKS: dict[str, Callable[[Any, str, str], Any]] = {
    "learning_rate": lambda value, where, name: check_number(value, where, name, above=0),
    "dropout": _share,
    **dict.fromkeys(("epochs", "patience", "threads", "checkpoint_every"), check_count),
    **dict.fromkeys(("seed", "skip_rows"), partial(check_count, least=0)),
    "dtype": lambda value, where, name: check_choice(value, ("float32", "float64"), where, name),
}


def check_options(where: str, values: Mapping[str, Any]) -> None:
    """Raise NumlpError naming the first option whose value is outside its range; None was not given."""
    for name in values.keys() & _CHECKS:
        value = values[name]
        for item in value if isinstance(value, list) else [value]:
            if item is not None:
                _CHECKS[name](item, where, option_of(name))


def option_of(name: str) -> str:
    """Return the option of a command's parameter: "--learning-rate" for "learning_rate"."""
    return f"--{name.replace('_', '-')}"


def changes(
    where: str, hidden: str | None, activation: str | None, dropout: float | None, batch_norm: bool | None,
    optimizer: str | None, learning_rate: float | None, epochs: int | None, batch_size: str | None,
    distort: bool | None,
) -> dict[str, Any]:  # fmt: skip
    """Return the recipe fields that the user has set."""
    if activation is not None:
        check_choice(activation, ACTIVATIONS, where, "--activation")
    if optimizer is not None:
        names = {kind.lower(): kind for kind in OPTIMIZERS}
        optimizer = names.get(optimizer.lower(), optimizer)
        check_choice(optimizer, OPTIMIZERS, where, "--optimizer")
    fields = {
        "hidden": None if hidden is None else widths(where, hidden), "activation": activation, "dropout": dropout,
        "batch_norm": batch_norm, "optimizer": optimizer, "learning_rate": learning_rate, "epochs": epochs,
        "distort": distort,
    }  # fmt: skip
    fields = {name: value for name, value in fields.items() if value is not None}
    return fields | ({"batch_size": rows_per_step(where, batch_size)} if batch_size is not None else {})


def widths(where: str, text: str) -> tuple[int, ...]:
    """Return (512, 512) for "512,512"."""
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = (0,)
    if min(numbers) < 1:
        raise ArgumentError(f"{where}: --hidden must be whole numbers of at least 1 such as 512,512, got {text!r}")
    return numbers


def rows_per_step(where: str, text: str) -> int | None:
    """Return None for "full"."""
    if text == "full":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentError(f"{where}: --batch-size must be 'full' or a whole number of at least 1, got {text!r}")
    return int(text)
