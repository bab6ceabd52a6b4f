"""Texts of a cell: words for a gap, and the several ways to write one number, truth value or date."""

import re
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.data.dates import days_of, texts_of

# in small letters: what pandas, R, SQL, UCI's tables and spreadsheets write where there is no number
GAP_WORDS = frozenset(
    {"", "#n/a n/a", "\\n", "\u2013", "\u2014"}.union(
        "na n/a n.a. n.a nan -nan +nan null (null) [null] none <na> nat #n/a #na ? - -- --- . .. *".split(),
        "1.#ind -1.#ind 1.#qnan -1.#qnan".split(),
    )
)
TRUTHS = {"true": 1.0, "false": 0.0}
_NUMBER = re.compile(r"([+-]?)([0-9]*)\.?([0-9]*)(?:[eE]([+-]?[0-9]{1,3}))?")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([ T].*)?")


def is_gap_word(text: str) -> bool:
    """Return whether a text means that there is no value, in a column whose other cells are numbers or dates."""
    return text.strip().lower() in GAP_WORDS


def text_of(value: Any) -> str:
    """Return a value's text, the same from any container: 3 and 3.0 are one, and True is true."""
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def places_of(values: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.intp]:
    """Return for each value its place among the classes, also where it is another text or type for it; -1 for others."""
    levels = Levels([text_of(value) for value in classes.tolist()])
    different, codes = np.unique(values, return_inverse=True)
    return np.array([levels.find(text_of(value)) for value in different.tolist()], np.intp)[codes]


def canonical(text: str) -> str:
    """Return the one text of all those that write the same number, truth value or date.

    >>> canonical("01"), canonical("1.50"), canonical("1e3"), canonical("TRUE"), canonical("2026-11-29 00:00")
    ('1', '1.5', '1000', 'true', '2026-11-29')
    """
    text = text.strip()
    if text.lower() in TRUTHS:
        return text.lower()
    if (found := _NUMBER.fullmatch(text)) and (found[2] or found[3]):
        sign, whole, fraction, power = found.groups()
        if power:
            whole, _, fraction = format(Decimal(f"{whole or 0}.{fraction}e{power}"), "f").partition(".")
        whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
        number = f"{whole}.{fraction}" if fraction else whole
        return "-" + number if sign == "-" and number != "0" else number
    if _DAY.fullmatch(text):
        try:
            return texts_of(np.array([days_of(datetime.fromisoformat(text))]))[0]
        except ValueError:  # such as the 30th of February
            pass
    return text


class Levels:
    """The different texts of a column, and the place of each, found also by another text of the same value.

    A text is looked for as it is, then as `canonical` gives it, then among the canonical texts of the levels that no other
    level shares. Truth values are also 1 and 0, if there is no level but these.
    """

    def __init__(self, levels: Sequence[str]) -> None:
        self._exact = {level: k for k, level in enumerate(levels)}

    def find(self, text: str) -> int:
        """Return the place of the level that a text is, -1 if it is none."""
        k = self._exact.get(text)
        if k is None:
            normal = canonical(text)
            k = self._exact.get(normal)
            k = self._canonical.get(normal, -1) if k is None else k
        return k

    @cached_property
    def _canonical(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for level, k in self._exact.items():
            normal = canonical(level)
            found[normal] = -1 if normal in found else k
        for own, other in (("true false", "1 0"), ("1 0", "true false")):
            if found and found.keys() <= set(own.split()):
                return found | {new: found[old] for old, new in zip(own.split(), other.split(), strict=True) if old in found}
        return found
