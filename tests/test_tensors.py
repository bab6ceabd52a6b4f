"""Safetensors headers made to mislead: each gets its own error, and what is taken the reference library takes too."""

import io
import json
import re
import sys
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as reference_load
from safetensors.numpy import save as reference_save

from numlp.errors import CheckpointError
from numlp.tensors import MAX_HEADER, MAX_TENSORS, parse_json, read_header, read_tensors, to_plain

FIELDS = "dtype, shape and data_offsets"


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def file(header: Any, data: bytes = bytes(8), length: int | None = None) -> bytes:
    """Return a file with this header: an object, text or bytes as they are."""
    text = header if isinstance(header, str | bytes) else json.dumps(header)
    raw = text if isinstance(text, bytes) else text.encode()
    return (len(raw) if length is None else length).to_bytes(8, "little") + raw + data


def one(**changes: Any) -> bytes:
    return file({"a": entry(**changes)})


def text(inside: str, data: bytes = bytes(8)) -> bytes:
    """Return a file whose one tensor has this text for its fields after the dtype."""
    return file('{"a":{"dtype":"F32",' + inside + "}}", data)


def read(data: bytes, where: str = "m") -> tuple[dict[str, str], dict[str, Any]]:
    stream = io.BytesIO(data)
    header = read_header(stream, len(data), where)
    return header.metadata, read_tensors(stream, header, where)


GOOD = one()
WHOLE = "must be a list of whole numbers from 0, got"
# kind -> (file, message); read_header must say exactly this
BAD = {
    "nothing": (b"", "file must be safetensors, got 0 bytes; it is cut off, or another format"),
    "seven bytes": (bytes(7), "file must be safetensors, got 7 bytes"),
    "length 0": (file(b"", b"", 0), "header must have 2 to 1,048,576 bytes, got 0; it is damaged"),
    "length 1": (file(b"{", b""), "header must have 2 to 1,048,576 bytes, got 1;"),
    "length beyond the file": (
        file("{}", b"", 3),
        "header must lie in the file, got 3 bytes of header in 10; it is cut off",
    ),
    "length beyond the cap": (file("{}", b"", MAX_HEADER + 1), "header must have 2 to 1,048,576 bytes, got 1,048,577;"),
    "length 2^63": (file("{}", b"", 1 << 63), "bytes, got 9,223,372,036,854,775,808;"),
    "length 2^64 - 1": (file("{}", b"", (1 << 64) - 1), "bytes, got 18,446,744,073,709,551,615;"),
    "not UTF-8": (file(b'{"\xff":1}'), "header must be UTF-8, got the byte 0xff"),
    "UTF-8 of a surrogate": (file(b'{"\xed\xa0\x80":1}'), "header must be UTF-8, got the byte 0xed"),
    "overlong UTF-8": (file(b'{"\xc0\xaf":1}'), "header must be UTF-8, got the byte 0xc0"),
    "UTF-16": (file("{}".encode("utf-16")), "header must begin with '{', got b'\\xff'"),
    "UTF-16 without a mark": (file('{"a":1}'.encode("utf-16-le")), "header must be JSON, got"),
    "byte order mark": (file("\ufeff{}"), "header must begin with '{', got b'\\xef'"),
    "array": (file("[1]"), "header must begin with '{', got b'['"),
    "space first": (file(" {}"), "header must begin with '{', got b' '"),
    "HTML": (file("<html></html>"), "header must begin with '{', got b'<'"),
    "JSON cut off": (file('{"a":'), "header must be JSON, got Expecting value at character 5"),
    "two objects": (file("{}{}"), "header must be JSON, got Extra data at character 2"),
    "NUL after the object": (file("{}\0"), "header must be JSON, got Extra data at character 2"),
    "single quotes": (file("{'a':1}"), "header must be JSON, got Expecting property name"),
    "comment": (file('{"a":1/**/}'), "header must be JSON, got Expecting ',' delimiter"),
    "nested 100,000 deep": (file('{"a":' + "[" * 100_000), "header must have at most 50,000 objects and lists, got 100,001"),
    "nested 40,000 deep": (file('{"a":' + "[" * 40_000), "header must be nested less deeply"),
    "objects 40,000 deep": (file('{"a":' * 40_000), "header must be nested less deeply"),
    "5,000 digits": (
        text('"shape":[' + "9" * 5000 + "]"),
        "whole numbers of at most 40 digits, got 99999999999999999999...",
    ),
    "minus zero": (text('"shape":[-0],"data_offsets":[0,0]', b""), "whole numbers of at most 40 digits, got -0..."),
    "NaN": (text('"shape":[NaN]'), "header must have finite numbers, got NaN"),
    "Infinity": (text('"shape":[Infinity]'), "header must have finite numbers, got Infinity"),
    "-Infinity": (text('"shape":[-Infinity]'), "header must have finite numbers, got -Infinity"),
    "the same tensor twice": (file('{"a":{},"a":{}}'), "header must have every key once, got 'a' twice"),
    "the same key in escapes": (file('{"a":{},"\\u0061":{}}'), "header must have every key once, got 'a' twice"),
    "the same field twice": (text('"shape":[1],"shape":[2]'), "header must have every key once, got 'shape' twice"),
    "metadata twice": (file('{"__metadata__":{},"__metadata__":{}}'), "every key once, got '__metadata__' twice"),
    "half a character": (file('{"__metadata__":{"a":"\\ud800"}}'), "header must be Unicode, got a lone surrogate"),
    "tensor null": (file({"a": None}), f"a must have {FIELDS}, got null"),
    "tensor a number": (file({"a": 1}), f"a must have {FIELDS}, got 1"),
    "no dtype": (file({"a": {"shape": [], "data_offsets": [0, 4]}}), f"a must have {FIELDS}, got "),
    "no shape": (file({"a": {"dtype": "F32", "data_offsets": [0, 4]}}), f"a must have {FIELDS}, got "),
    "one field too many": (file({"a": entry() | {"z": 1}}), f"a must have {FIELDS}, got "),
    "dtype unknown": (one(dtype="F33"), "a: dtype must be one of U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, got"),
    "dtype an object": (
        one(dtype="O"),
        'a: dtype must be one of U8, I8, U16, I16, U32, I32, U64, I64, F16, F32, F64, got "O"',
    ),
    "dtype in small letters": (one(dtype="f32"), 'F64, got "f32"'),
    "dtype a number": (one(dtype=1), "F64, got 1"),
    "dtype a list": (one(dtype=["F32"]), 'F64, got ["F32"]'),
    "dtype too wide": (one(dtype="F64"), "a: data_offsets must span 16 bytes, as F64 of shape [2] do, got [0, 8]"),
    "dtype too narrow": (one(dtype="U8"), "a: data_offsets must span 2 bytes, as U8 of shape [2] do, got [0, 8]"),
    "shape of truth": (one(shape=[True, 2]), f"a: shape {WHOLE} [true, 2]"),
    "shape of fractions": (one(shape=[2.0]), f"a: shape {WHOLE} [2.0]"),
    "shape below 0": (one(shape=[-2]), f"a: shape {WHOLE} [-2]"),
    "shape of text": (one(shape=["2"]), f'a: shape {WHOLE} ["2"]'),
    "shape a number": (one(shape=2), f"a: shape {WHOLE} 2"),
    "shape null": (one(shape=None), f"a: shape {WHOLE} null"),
    "shape that overflows": (
        one(shape=[1 << 32, 1 << 32]),
        "a: shape must have a product below 2^63 bytes, got [4294967296, ",
    ),
    "shape that overflows to 8": (one(shape=[(1 << 62) + 1, 4]), "a: shape must have a product below 2^63 bytes"),
    "shape that overflows before a 0": (one(shape=[1 << 40, 1 << 40, 0], offsets=[0, 0]), "a product below 2^63 bytes"),
    "65 dimensions": (one(shape=[1] * 64 + [2]), "a: shape must have at most 64 dimensions, got 65"),
    "shape of other size": (one(shape=[3]), "a: data_offsets must span 12 bytes, as F32 of shape [3] do, got [0, 8]"),
    "offsets backwards": (one(offsets=[8, 0]), "a: data_offsets must be a start and an end not before it, got [8, 0]"),
    "offsets below 0": (one(offsets=[-8, 0]), f"a: data_offsets {WHOLE} [-8, 0]"),
    "one offset": (one(offsets=[8]), "a: data_offsets must be a start and an end not before it, got [8]"),
    "three offsets": (one(offsets=[0, 8, 8]), "a: data_offsets must be a start and an end not before it, got [0, 8, 8]"),
    "offsets of truth": (one(offsets=[False, 8]), f"a: data_offsets {WHOLE} [false, 8]"),
    "offsets in an object": (one(offsets={"0": 8}), f'a: data_offsets {WHOLE} {{"0": 8}}'),
    "offsets beyond the file": (one(shape=[4], offsets=[0, 16]), "file must have 16 bytes of numbers, got 8; it is cut off"),
    "gap before": (one(shape=[1], offsets=[4, 8]), "must follow one another, got a gap: a begins at 4, not at 0"),
    "gap between": (
        file({"a": entry("U8", [2], [0, 2]), "b": entry("U8", [4], [4, 8])}),
        "got a gap: b begins at 4, not at 2",
    ),
    "overlap": (file({"a": entry(), "b": entry("F32", [1], [4, 8])}), "one inside another: b begins at 4, not at 8"),
    "the same bytes": (file({"a": entry(), "b": entry()}), "got one inside another: b begins at 0, not at 8"),
    "trailing bytes": (GOOD + b"x", "file must have 8 bytes of numbers, got 9; it is longer than its header says"),
    "numbers cut off": (GOOD[:-1], "file must have 8 bytes of numbers, got 7; it is cut off"),
    "numbers without tensors": (file({}), "file must have 0 bytes of numbers, got 8; it is longer than its header says"),
    "name with NUL": (file({"a\0": entry()}), "names must be up to 256 letters, digits and _.-, not a path, got 'a\\x00'"),
    "name with a control character": (file({"a\x1b[2J": entry()}), "not a path, got 'a\\x1b[2J'"),
    "name with a new line": (file({"a\n": entry()}), "not a path, got 'a\\n'"),
    "name upwards": (file({"../../etc/passwd": entry()}), "not a path, got '../../etc/passwd'"),
    "name absolute": (file({"/etc/passwd": entry()}), "not a path, got '/etc/passwd'"),
    "name with a backslash": (file({"a\\b": entry()}), "not a path, got 'a\\\\b'"),
    "name of nothing": (file({"": entry()}), "not a path, got ''"),
    "name too long": (file({"a" * 257: entry()}), f"not a path, got '{'a' * 40}'"),
    "name that runs backwards": (file({"\u202egpj": entry()}), "not a path, got '\\u202egpj'"),
    "metadata a list": (file({"__metadata__": []}, b""), "__metadata__ must be an object, got []"),
    "metadata null": (file({"__metadata__": None}, b""), "__metadata__ must be an object, got null"),
    "metadata of numbers": (file({"__metadata__": {"a": 1}}, b""), "__metadata__ must hold text, got 1 for 'a'"),
    "metadata of objects": (file({"__metadata__": {"a": {}}}, b""), "__metadata__ must hold text, got {} for 'a'"),
    "10,001 tensors": (
        file({f"{i:x}": 0 for i in range(MAX_TENSORS + 1)}, b""),
        "tensors must be at most 10,000, got 10,001",
    ),
    "a million tensors": (
        file({f"t{i}": entry("U8", [0], [0, 0]) for i in range(20_000)}, b""),  # as many as 1e6 would be: too long a header
        "header must have 2 to 1,048,576 bytes, got 1,",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_misleading_header_gets_its_own_error(kind: str) -> None:
    data, message = BAD[kind]
    with pytest.raises(CheckpointError, match=r"^m: ") as caught:
        read(data)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable(), "a message must not drive the terminal"


def test_at_least_40_misleading_headers_say_different_things() -> None:
    assert len(BAD) >= 40
    assert len({re.sub(r"got .*", "", message) + kind for kind, (_, message) in BAD.items()}) >= 40


def test_nesting_of_any_depth_gets_an_error_of_ours() -> None:
    # near the limit of Python a header can still be read, and be too deep to be shown
    for depth in range(1, sys.getrecursionlimit() + 1):
        with pytest.raises(CheckpointError, match=r"must have dtype, shape and data_offsets|must be nested less deeply"):
            read(file('{"a":' + "[" * depth + "]" * depth + "}"))


class Watched(io.BytesIO):
    """Remembers the longest read."""

    longest = 0

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None and size >= 0, "must not read to the end"
        self.longest = max(self.longest, size)
        return super().read(size)


@pytest.mark.parametrize("length", [0, 1, MAX_HEADER + 1, 1 << 40, 1 << 63, (1 << 64) - 1])
def test_length_of_the_header_is_checked_before_it_is_read(length: int) -> None:
    stream = Watched(file("{}", b"", length))
    with pytest.raises(CheckpointError, match="header must have 2 to"):
        read_header(stream, 1 << 50, "m")
    assert stream.longest == 8


def test_header_at_the_caps_is_read() -> None:
    entries = {f"{i:04x}": entry("U8", [0], [0, 0]) for i in range(MAX_TENSORS)}
    packed = json.dumps(entries, separators=(",", ":"))
    assert len(read(file(packed + " " * (MAX_HEADER - len(packed)), b""))[1]) == MAX_TENSORS
    with pytest.raises(CheckpointError, match="got 1,048,577;"):
        read(file(packed + " " * (MAX_HEADER + 1 - len(packed)), b""))


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3)])
def test_every_tensor_comes_back_with_the_bytes_of_the_library(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    data = reference_save({"b": array, "a.0_-Z": np.ones(3, np.float32)}, metadata={"é": '"\n'})
    metadata, tensors = read(data)
    assert metadata == {"é": '"\n'}
    assert same(tensors, reference_load(data))
    assert tensors["b"].dtype == array.dtype and tensors["b"].flags.writeable and tensors["b"].flags.c_contiguous


def same(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    return ours.keys() == theirs.keys() and all(
        (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
        for a, b in ((ours[name], theirs[name]) for name in ours)
    )


def test_file_cut_off_while_it_is_read_is_an_error() -> None:
    header = read_header(io.BytesIO(GOOD), len(GOOD), "m")
    with pytest.raises(CheckpointError, match=r"^m: a must have 8 bytes, got 5; the file was cut off$"):
        read_tensors(io.BytesIO(bytes(5)), header, "m")


def test_metadata_may_hold_numbers_that_are_not_finite_if_asked() -> None:
    assert parse_json("[Infinity]", "m", finite=False) == [float("inf")]
    assert parse_json('"\\ud83d\\ude00"', "m") == "😀"
    assert parse_json("1" + "0" * 39, "m") == 10**39


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({1: 2}, "extra: keys must be text, got 1"),
        ({"\ud83d": 2}, "extra: keys must be Unicode, got half a character in '\\ud83d'"),
        ({"a": ["\ud83d"]}, "extra['a'][0] must be Unicode, got half a character in '\\ud83d'"),
        ({"a": 10**40}, "extra['a'] must have whole numbers of at most 40 digits, got a longer one"),
        ({"a": {2}}, "extra['a'] must be a number, a text, None, or a list or dict of these, got set {2}"),
        ({"a": np.ones(1)}, "got ndarray array([1.]); write .tolist()"),
    ],
)
def test_what_json_cannot_hold_is_named(value: Any, text: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        to_plain(value, "extra")
    assert text in str(caught.value)


def test_scalars_of_numpy_become_those_of_python() -> None:
    plain = to_plain({"a": np.float32(0.5), "b": (np.int64(3), None, True, "x"), "c": -(10**39) + 1}, "extra")
    assert plain == {"a": 0.5, "b": [3, None, True, "x"], "c": -(10**39) + 1} and type(plain["b"][0]) is int
