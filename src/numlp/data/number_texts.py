"""Numbers as people write them: decimal commas, thousands marks, currencies, percent, brackets and signs behind."""

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

DECIMALS = (".", ",")
THOUSANDS = (",", ".", " ", "'")
# (decimal mark, thousands mark or "" for none)
STYLES = [(decimal, mark) for decimal in DECIMALS for mark in ("", *THOUSANDS) if mark != decimal]
_CODES = (
    "AED ARS AUD BGN BRL CAD CHF CLP CNY COP CZK DKK EGP EUR GBP HKD HUF IDR ILS INR ISK JPY KES KRW MXN MYR NGN NOK NZD "
    "PEN PHP PKR PLN RMB RON RSD RUB SAR SEK SGD THB TRY TWD UAH USD VND ZAR kr zł Kč Rs"
)
_CURRENCY = r"(?:[A-Z]{0,3}\p{Sc}|(?:" + "|".join(_CODES.split()) + r")\.?)"
_BLANKS, _QUOTES, _MINUS = r"[ \x{a0}\x{2007}\x{2009}\x{202f}]", r"['\x{2019}\x{2bc}]", r"[-\x{2212}]"
_BLANK, _SIGN = f"{_BLANKS}*", f"(?:[+]|{_MINUS})?"
_INSIDE = rf"(?:[0-9.,]|{_BLANKS}|{_QUOTES})*"
_SHAPE = (
    rf"^(?P<front>{_CURRENCY}?){_BLANK}(?P<open>\(?){_BLANK}(?P<sign>{_SIGN}){_BLANK}(?P<before>{_CURRENCY}?){_BLANK}(?P<inner>{_SIGN})"
    rf"(?P<digits>[.,]?[0-9](?:{_INSIDE}[0-9])?[.]?)(?P<power>(?:[eE][+-]?[0-9]+)?)"
    rf"{_BLANK}(?P<after>(?:{_CURRENCY}|%)?){_BLANK}(?P<last>{_MINUS}?)(?P<close>\)?){_BLANK}(?P<rear>(?:{_CURRENCY}|%)?)$"
)
_UNITS = ("front", "before", "after", "rear")
_LOOK = re.sub(r"\?P<\w+>", "?:", _SHAPE)  # several times as fast


@dataclass(frozen=True)
class Marks:
    """How the numbers of a file are written, as far as it is known.

    Parameters
    ----------
    decimal, thousands : str or None
        The mark before the fraction, one of `DECIMALS`; that between thousands, one of `THOUSANDS`.
    units : dict of str to str
        {column: "%" or a currency}.
    """

    decimal: str | None = None
    thousands: str | None = None
    units: dict[str, str] = field(default_factory=dict)

    def styles(self) -> Array:
        """Return which of `STYLES` these marks allow."""
        own, thousands = self.decimal, self.thousands
        return np.array(
            [
                own in (None, decimal) and decimal != thousands and (not mark or thousands in (None, mark))
                for decimal, mark in STYLES
            ]
        )


def look_like_numbers(texts: Any) -> Array:
    """Return which texts, an Arrow array without gaps, have the shape of a number: no others are one."""
    from pyarrow import compute

    return np.asarray(compute.match_substring_regex(texts, _LOOK).to_numpy(zero_copy_only=False))


class NumberTexts(NamedTuple):
    """The different texts of a column of numbers, taken apart, each of (n,).

    `digits` are the digits with their marks; `fits` (styles, n) tells in which of `STYLES` a text is a number.
    """

    texts: Any
    digits: Any
    power: Any
    negative: Array
    brackets: Array
    behind: Array
    units: Array
    fits: Array

    @classmethod
    def of(cls, texts: Any) -> "NumberTexts":
        """Take apart texts, an Arrow array without gaps."""
        import pyarrow as pa
        from pyarrow import compute

        parts = compute.extract_regex(texts, _SHAPE)
        shaped = parts.is_valid().to_numpy(zero_copy_only=False)
        part = {name: compute.fill_null(compute.struct_field(parts, name), "") for name in (f.name for f in parts.type)}
        for pattern, mark in ((_BLANKS, " "), (_QUOTES, "'")):
            part["digits"] = compute.replace_substring_regex(part["digits"], pattern, mark)

        def has(name: str, signs: str | None = None) -> Array:
            found = compute.not_equal(part[name], "") if signs is None else compute.is_in(part[name], pa.array(list(signs)))
            return np.asarray(found.to_numpy(zero_copy_only=False))

        brackets, behind = has("open"), has("last")
        signs = has("sign").astype(int) + has("inner") + behind + brackets
        ahead, after = has("front") | has("before"), has("after") | has("rear")
        shaped &= (brackets == has("close")) & (signs <= 1) & ~(has("front") & has("before")) & ~(has("after") & has("rear"))
        whole = compute.binary_join_element_wise(part["digits"], part["power"], "")
        fits = [compute.match_substring_regex(whole, _pattern(*style)).to_numpy(zero_copy_only=False) for style in STYLES]
        units = compute.binary_join_element_wise(*(part[name] for name in _UNITS), "").to_numpy(zero_copy_only=False)
        shaped &= ~ahead | ~after | np.array(["%" not in unit for unit in units], bool)
        negative = has("sign", "-\u2212") | has("inner", "-\u2212") | behind | brackets
        return cls(texts, part["digits"], part["power"], negative, brackets, behind, units, np.array(fits) & shaped)

    def are_numbers(self) -> Array:
        """Return which texts are numbers in some style, (n,)."""
        return np.asarray(self.fits.any(axis=0))

    def take(self, chosen: Array) -> "NumberTexts":
        """Return some of the texts."""
        import pyarrow as pa

        mask = pa.array(chosen)
        own = self._asdict()
        arrow = {name: own[name].filter(mask) for name in ("texts", "digits", "power")}
        arrays = {name: own[name][chosen] for name in ("negative", "brackets", "behind", "units")}
        return NumberTexts(**arrow, **arrays, fits=self.fits[:, chosen])

    def values(self, style: int) -> Array:
        """Return the numbers in one of `STYLES`, which all texts fit."""
        import pyarrow as pa
        from pyarrow import compute

        decimal, mark = STYLES[style]
        digits = compute.replace_substring(self.digits, mark, "") if mark else self.digits
        digits = compute.replace_substring(digits, decimal, ".")
        found = compute.binary_join_element_wise(digits, self.power, "").cast(pa.float64()).to_numpy()
        return np.where(self.negative, -found, found)

    def first(self, chosen: Array) -> str:
        """Return the first text of some, (n,)."""
        return str(self.texts[int(np.argmax(chosen))].as_py())

    def has(self, mark: str) -> Array:
        """Return which texts have a mark among their digits, (n,)."""
        from pyarrow import compute

        return np.asarray(compute.match_substring(self.digits, mark).to_numpy(zero_copy_only=False))

    def reading(self, style: int) -> str:
        """Return in words how texts that are not plain numbers are read in one of `STYLES`, with an example; or nothing."""
        decimal, mark = STYLES[style]
        reasons = {
            "currency": (self.units != "") & (self.units != "%"),
            "percent": self.units == "%",
            "thousands": self.has(mark) if mark else np.zeros(len(self.texts), bool),
            "decimal comma": self.has(",") if decimal == "," else np.zeros(len(self.texts), bool),
            "brackets": self.brackets,
            "sign behind": self.behind,
        }
        given = {name: there for name, there in reasons.items() if there.any()}
        if not given:
            return ""
        example = np.arange(len(self.texts)) == int(np.argmax(np.sum(list(given.values()), axis=0)))
        words = ", ".join(given)
        return f"{self.first(example)} read as {self.take(example).values(style)[0]:.15g}: {words}"


def _pattern(decimal: str, mark: str) -> str:
    """Return what digits with their marks are in a style, as a regular expression."""
    point, groups, power = re.escape(decimal), "", "(?:[eE][+-]?[0-9]+)?"
    if mark:
        own, power = re.escape(mark), ""
        groups = f"|[1-9][0-9]{{0,2}}(?:{own}[0-9]{{3}})+"
        if mark == ",":  # as in India: 12,34,567
            groups += f"|[1-9][0-9]?(?:{own}[0-9]{{2}})+{own}[0-9]{{3}}"
    behind = f"(?:{point}[0-9]*)?" if decimal == "." else f"(?:{point}[0-9]+)?"
    return f"^(?:(?:[0-9]+{groups}){behind}|{point}[0-9]+){power}$"
