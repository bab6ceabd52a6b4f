"""Safetensors files: every claim of a header is checked before anything else is read or allocated.

    bytes 0-7   n, the length of the header, unsigned 64-bit, little-endian
    then        n bytes of JSON: {name: {"dtype", "shape", "data_offsets"}, ..., "__metadata__": {text: text}}
    then        the numbers, little-endian, one tensor after the other, without gaps, to the end of the file

Stricter than the format asks: what this reader takes, the safetensors library takes with the same bytes. Nothing in a
file is ever executed, and no name in it becomes a path.

Source  Hugging Face, "Safetensors", section "Format", 2022.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numlp.errors import CheckpointError

MAX_HEADER = 1 << 20  # bytes
MAX_TENSORS = 10_000

_MAX_VALUES = 50_000  # objects and lists: each takes 80 bytes and more for 2 in the file

_DTYPES = {
    "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8", "I64": "<i8",
    "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
_CODES = {np.dtype(dtype): code for code, dtype in _DTYPES.items()}
_FIELDS = {"dtype", "shape", "data_offsets"}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,255}")


class Entry(NamedTuple):
    """What a header says of one tensor; its bytes are start .. stop of the data."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    stop: int


class Header(NamedTuple):
    """A header that has passed every check: `entries` in the order of their bytes, which begin at `begin` of the file."""

    metadata: dict[str, str]
    entries: dict[str, Entry]
    begin: int


def read_header(file: BinaryIO, size: int, where: str) -> Header:
    """Read the header of a safetensors file of `size` bytes, and leave `file` at its first number.

    The header has at most MAX_HEADER bytes and MAX_TENSORS tensors, which lie one after the other and fill the file.

    Errors  CheckpointError, one text for each thing that can be wrong.
    """
    start = file.read(8)
    n = int.from_bytes(start, "little")
    if len(start) < 8:
        raise CheckpointError(f"{where}: file must be safetensors, got {len(start)} bytes; it is cut off, or another format")
    if not 2 <= n <= MAX_HEADER:
        raise CheckpointError(
            f"{where}: header must have 2 to {MAX_HEADER:,} bytes, got {n:,}; it is damaged, or no safetensors file"
        )
    if n > size - 8:
        raise CheckpointError(f"{where}: header must lie in the file, got {n:,} bytes of header in {size:,}; it is cut off")
    data = file.read(n)
    if data[:1] != b"{":
        raise CheckpointError(
            f"{where}: header must begin with '{{', got {data[:1]!r}; it is another format than safetensors"
        )
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{where}: header must be UTF-8, got the byte 0x{data[error.start]:02x}") from error
    content = parse_json(text, f"{where}: header")
    metadata = _metadata(content.pop("__metadata__", {}), where)
    if len(content) > MAX_TENSORS:
        raise CheckpointError(f"{where}: tensors must be at most {MAX_TENSORS:,}, got {len(content):,}")
    entries = sorted(((name, _entry(name, item, where)) for name, item in content.items()), key=lambda pair: pair[1][2:])
    _check_layout(entries, size - 8 - n, where)
    return Header(metadata, dict(entries), 8 + n)


def read_tensors(file: BinaryIO, header: Header, where: str) -> dict[str, NDArray[Any]]:
    """Read the numbers after a header, each array once and in its place.

    Errors  CheckpointError if the file has become shorter since.
    """
    tensors = {}
    for name, entry in header.entries.items():
        raw = np.empty(entry.stop - entry.start, np.uint8)
        read = file.readinto(raw.data) if raw.size else 0  # type: ignore[attr-defined]  # typeshed: BinaryIO lacks it
        if read != raw.size:
            raise CheckpointError(f"{where}: {name} must have {raw.size:,} bytes, got {read:,}; the file was cut off")
        tensors[name] = raw.view(entry.dtype).reshape(entry.shape)
    return tensors


def to_header(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    """Return the header of a safetensors file whose numbers are those of `tensors`, in their order.

    The arrays must be C-contiguous and little-endian; the header is as long as a multiple of 8.
    """
    content: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name, array in tensors.items():
        content[name] = {
            "dtype": _CODES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [end, end := end + array.nbytes],
        }
    text = json.dumps(content, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def to_plain(value: Any, where: str) -> Any:
    """Return `value` in JSON's types, as `parse_json` will give it back: NumPy's scalars become Python's, tuples lists.

    Errors  CheckpointError that names the key, as `where`['test'][0], of what JSON or `parse_json` does not take.
    """
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise CheckpointError(f"{where}: keys must be text, got {key!r:.60}")
            _check_text(key, f"{where}: keys")
        return {str(key): to_plain(item, f"{where}[{str(key)[:40]!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, str):
        _check_text(value, where)
    elif isinstance(value, int) and not -(10**39) < value < 10**40:
        raise CheckpointError(f"{where} must have whole numbers of at most 40 digits, got a longer one")
    elif not isinstance(value, int | float | None):
        hint = "; write .tolist()" if isinstance(value, np.ndarray) else ""
        kinds = "a number, a text, None, or a list or dict of these"
        raise CheckpointError(f"{where} must be {kinds}, got {type(value).__name__} {value!r:.60}{hint}")
    return value


def _check_text(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise CheckpointError(f"{where} must be Unicode, got half a character in {text[:40]!a}") from None


def parse_json(text: str, where: str, *, finite: bool = True) -> Any:
    """Parse JSON that cannot mean two things: no key twice, no half characters, NaN only where allowed.

    Errors  CheckpointError.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise CheckpointError(f"{where} must have every key once, got {twice[:40]!r} twice")
        return found

    def whole(digits: str) -> int:
        if len(digits) > 40 or digits == "-0":  # 128 bits; Python would spend quadratic time, and forget the sign
            raise CheckpointError(f"{where} must have whole numbers of at most 40 digits, got {digits[:20]}...")
        return int(digits)

    def refused(word: str) -> float:
        raise CheckpointError(f"{where} must have finite numbers, got {word}")

    values = text.count("{") + text.count("[")
    if values > _MAX_VALUES:
        raise CheckpointError(f"{where} must have at most {_MAX_VALUES:,} objects and lists, got {values:,}")
    try:
        value = json.loads(text, object_pairs_hook=unique, parse_int=whole, parse_constant=refused if finite else float)
        if "\\ud" in text.lower():  # an escape may leave half of a character, which nothing can print
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError as error:
        raise CheckpointError(f"{where} must be Unicode, got a lone surrogate") from error
    except RecursionError as error:
        raise CheckpointError(f"{where} must be nested less deeply, got more levels than can be read") from error
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{where} must be JSON, got {error.msg} at character {error.pos:,}") from error


def _metadata(value: Any, where: str) -> dict[str, str]:
    """Return what a header has under `__metadata__`."""
    if not isinstance(value, dict):
        raise CheckpointError(f"{where}: __metadata__ must be an object, got {_shown(value)}")
    for key, item in value.items():
        if not isinstance(item, str):
            raise CheckpointError(f"{where}: __metadata__ must hold text, got {_shown(item)} for {key[:40]!r}")
    return value


def _entry(name: str, item: Any, where: str) -> Entry:
    """Return one tensor's entry, checked by itself."""
    if not _NAME.fullmatch(name):
        raise CheckpointError(f"{where}: names must be up to 256 letters, digits and _.-, not a path, got {name[:40]!r}")
    where = f"{where}: {name}"
    if not isinstance(item, dict) or item.keys() != _FIELDS:
        raise CheckpointError(f"{where} must have dtype, shape and data_offsets, got {_shown(item)}")
    code, shape, offsets = item["dtype"], item["shape"], item["data_offsets"]
    if not isinstance(code, str) or code not in _DTYPES:
        raise CheckpointError(f"{where}: dtype must be one of {', '.join(_DTYPES)}, got {_shown(code)}")
    for what, value in (("shape", shape), ("data_offsets", offsets)):
        # type: to isinstance, true is a whole number
        if not isinstance(value, list) or not all(type(v) is int and v >= 0 for v in value):
            raise CheckpointError(f"{where}: {what} must be a list of whole numbers from 0, got {_shown(value)}")
    if len(shape) > 64:  # NumPy's limit
        raise CheckpointError(f"{where}: shape must have at most 64 dimensions, got {len(shape):,}")
    dtype = np.dtype(_DTYPES[code])
    if math.prod(n for n in shape if n) * dtype.itemsize >= 1 << 63:  # NumPy refuses it even where a dimension is 0
        raise CheckpointError(f"{where}: shape must have a product below 2^63 bytes, got {_shown(shape)}")
    if len(offsets) != 2 or offsets[0] > offsets[1]:
        raise CheckpointError(f"{where}: data_offsets must be a start and an end not before it, got {_shown(offsets)}")
    size = math.prod(shape) * dtype.itemsize
    if offsets[1] - offsets[0] != size:
        raise CheckpointError(
            f"{where}: data_offsets must span {size:,} bytes, as {code} of shape {_shown(shape)} do, got {_shown(offsets)}"
        )
    return Entry(dtype, tuple(shape), *offsets)


def _check_layout(entries: list[tuple[str, Entry]], size: int, where: str) -> None:
    """Raise unless the tensors, sorted by their bytes, follow one another from 0 to `size`."""
    end = 0
    for name, entry in entries:
        if entry.start != end:
            kind = "one inside another" if entry.start < end else "a gap"
            raise CheckpointError(
                f"{where}: tensors must follow one another, got {kind}: {name} begins at {entry.start:,}, not at {end:,}"
            )
        end = entry.stop
    if end != size:
        raise CheckpointError(
            f"{where}: file must have {end:,} bytes of numbers, got {size:,}; it is "
            + ("cut off" if size < end else "longer than its header says")
        )


def _shown(value: Any) -> str:
    """Return a value for a message, cut to a readable length."""
    try:
        text = json.dumps(value)
    except RecursionError:
        text = "something deeply nested"
    return text if len(text) <= 60 else text[:57] + "..."
