"""What cannot be parsed on the command line, in numlp's own words."""

import difflib
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from numlp.errors import ArgumentError, check_choice
from numlp.progress import write_line

_UsageError: Any = typer.BadParameter.__base__  # Typer keeps it in another place in each of its versions
_WORDS = {
    "integer": "a whole number",
    "float": "a number",
    "number": "a number",
    "boolean": "true or false",
    "path": "a path",
}


class Group(TyperGroup):
    """The commands; what Typer finds wrong is said as `numlp: <command>: <what> must be ..., got ...`."""

    def main(self, args: Sequence[str] | None = None, **options: Any) -> Any:  # type: ignore[override]
        """Run the command that the arguments name, and exit with its status."""
        if not options.get("standalone_mode", True):
            return super().main(args, **options)
        words = sys.argv[1:] if args is None else list(args)
        if words[:1] == ["help"]:
            words = [*words[1:], "--help"]
        try:
            status = super().main(words, **options | {"standalone_mode": False})
        except typer.Abort:
            status = 130
        except _UsageError as error:
            is_help = type(error).__name__ == "NoArgsIsHelpError"
            write_line(error.message if is_help else f"numlp: {explain(error, words)}", sys.stderr)
            status = error.exit_code
        sys.exit(status if isinstance(status, int) else 0)


def explain(error: Any, words: Sequence[str]) -> str:
    """Return what is wrong with the words of a command line, what was expected, and what to do."""
    context = error.ctx
    is_command = context is not None and context.parent is not None
    name = context.info_name if is_command else "" if context is not None else words[0]
    where = f"{name}: " if name else ""
    see = f"see `numlp {name} --help`" if name else "see `numlp --help`"
    parameter = getattr(error, "param", None)
    unknown = getattr(error, "option_name", None)
    if unknown is not None and hasattr(error, "possibilities"):
        near = _nearest(unknown, context)
        return f"{where}No such option {unknown}; {f'did you mean {near}?' if near else see}"
    if unknown is not None:
        return f"{where}{unknown} must be followed by a value, got none; {see}"
    if parameter is not None:
        option = parameter.opts[0] if parameter.opts[0].startswith("-") else _metavar(parameter)
        if "missing" in type(error).__name__.lower():
            return f"{where}{option} must be given, got none; {see}"
        kind = next((text for word, text in _WORDS.items() if word in error.message.lower()), "another value")
        found = _value(parameter, words, {"a whole number": int, "a number": float}.get(kind))
        return f"{where}{option} must be {kind}, got {found!r}"
    command = re.match(r"No such command '(.*?)'", error.message)
    if command:
        try:
            check_choice(command[1], context.command.commands, "numlp", "command")
        except ArgumentError as unknown_command:
            return str(unknown_command).removeprefix("numlp: ")
    besides = re.match(r"Got unexpected extra arguments? *(?:\(s\))? *\((.*)\)", error.message)
    if besides:
        return f"{where}arguments must be those of the command, got {besides[1]} besides; {see}"
    return f"{where}{error.message.rstrip('.')}; {see}"


def _metavar(parameter: Any) -> str:
    return (parameter.metavar or parameter.name or "").upper().strip("{}[].") or "argument"


def _value(parameter: Any, words: Sequence[str], convert: Callable[[str], Any] | None) -> str | None:
    """Return the word that was given for an option; of several, the first that cannot be converted."""
    found: list[str] = []
    for i, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in parameter.opts:
            found += [value] if equals else words[i + 1 : i + 2]
    for value in found:
        try:
            if convert is not None:
                convert(value)
        except ValueError:
            return value
    return next(iter(found), None)


def _nearest(unknown: str, context: Any) -> str | None:
    """Return the option that was meant: the one of these initials, such as --lr, or the one spelled most alike."""
    options = [option for parameter in context.command.params for option in parameter.opts if option.startswith("--")]
    for option in options:
        if unknown.lstrip("-").lower() == "".join(word[0] for word in option.lstrip("-").split("-")):
            return option
    return next(iter(difflib.get_close_matches(unknown, options, n=1)), None)
