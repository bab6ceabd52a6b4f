"""Hostile files: for each kind of file its seeds, a mutator that knows the structure, and what the loader promises.

The contract: exactly the right content, or one documented error, with a text that can be printed. `run.py` adds the
limits of time and memory, `harness.py` gives the same checks to atheris.
"""

import contextlib
import csv
import gzip
import io
import itertools
import json
import math
import random
import re
import struct
import tempfile
import warnings
import zlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet
from safetensors import SafetensorError
from safetensors.numpy import load as reference_load
from safetensors.numpy import save as reference_save

import numlp as nl
from numlp.data.cells import Table, is_there
from numlp.data.csv_dialect import find_dialect
from numlp.data.csv_lines import Dialect
from numlp.data.dates import Dates, as_utc, date_parts
from numlp.data.frames import read_csv_frame, read_parquet_frame
from numlp.data.idx import TYPES, read_idx
from numlp.data.images import read_picture
from numlp.data.tables import read_csv
from numlp.data.text_columns import Texts
from numlp.data.value_texts import GAP_WORDS
from numlp.errors import CheckpointError, FormatError, NumlpError
from numlp.estimators import TabularClassifier, TabularRegressor
from numlp.tensors import read_header, read_tensors

MIB = 1 << 20
ARROW = 128 * MIB  # what its allocator takes at once


class Kind(NamedTuple):
    """`check(path, data)` is True if the loader took the file, which holds `data`; AssertionError if it broke its promise."""

    seeds: Callable[[], list[bytes]]
    mutate: Callable[[random.Random, list[bytes]], bytes]
    check: Callable[[Path, bytes], bool]
    declared: int = 0  # bytes that a mutant may rightly make the loader hold


def readable(error: Exception, path: Path) -> None:
    """Check that a message says which file, and can be printed."""
    message = str(error)
    assert str(path) in message and len(message) < 1000 + len(str(path)), message[:2000]
    assert message.replace("\n", "").isprintable(), repr(message)


def scrambled(rng: random.Random, data: bytes, seeds: list[bytes], times: int = 3) -> bytes:
    """Return `data` with a few changes that need no knowledge of the format."""
    new = bytearray(data)
    for _ in range(rng.randint(1, times)):
        at, kind = rng.randrange(len(new) + 1), rng.randrange(7)
        if kind == 0:
            del new[at:]
        elif kind == 1:
            new += rng.randbytes(rng.choice([1, 2, 8]))
        elif kind == 2 and at < len(new):
            new[at] ^= 1 << rng.randrange(8)
        elif kind == 3:
            del new[at : at + rng.choice([1, 4])]
        elif kind == 4:
            new[at:at] = rng.choice(seeds)[: rng.randrange(40)]
        elif kind == 5:
            new[at : at + 8] = struct.pack(rng.choice("<>") + "Q", rng.choice(NUMBERS))
        else:
            new[at : at + 4] = rng.randbytes(4)
    return bytes(new)


NUMBERS = (
    0,
    1,
    2,
    8,
    255,
    1 << 16,
    1 << 20,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 62,
    (1 << 63) - 1,
    1 << 63,
    (1 << 64) - 1,
)


# IDX, plain and gzip


def idx_bytes(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    code = next(code for code, known in TYPES.items() if known == dtype)
    array = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()


def idx_seeds() -> list[bytes]:
    return [idx_bytes(t, shape) for t in TYPES.values() for shape in ((), (3,), (2, 3), (0, 2), (1, 2, 2), (3, 0, 1))]


def by_the_book(data: bytes) -> tuple[np.dtype[Any], tuple[int, ...], bytes] | None:
    """Return (dtype, shape, big-endian numbers) of an IDX file, None if it is not one: a reading that shares no code."""
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in TYPES or data[3] > 64 or len(data) < 4 + 4 * data[3]:
        return None
    end = 4 + 4 * data[3]
    shape = struct.unpack(f">{data[3]}I", data[4:end])
    width = TYPES[data[2]].itemsize
    if math.prod(n for n in shape if n) * width >= 1 << 63 or len(data) - end != math.prod(shape) * width:
        return None
    return TYPES[data[2]], shape, data[end:]


def mutated_idx(rng: random.Random, seeds: list[bytes]) -> bytes:
    data = bytearray(rng.choice(seeds))
    kind = rng.randrange(6)
    if kind == 0:  # type, or number of dimensions
        data[rng.choice([2, 3])] = rng.choice([*range(16), 63, 64, 65, 255])
    elif kind <= 2 and len(data) >= 8:  # one dimension, or all
        for at in range(4, 4 + 4 * data[3], 4):
            if kind == 2 or rng.random() < 0.5:
                data[at : at + 4] = (rng.choice([*NUMBERS[:3], 6, *NUMBERS[5:10]]) & 0xFFFFFFFF).to_bytes(4, "big")
    elif kind == 3:
        data = bytearray(scrambled(rng, bytes(data), seeds, 1))
    elif kind == 4:
        data = bytearray(
            idx_bytes(rng.choice(list(TYPES.values())), tuple(rng.randrange(4) for _ in range(rng.randrange(6))))
        )
    return scrambled(rng, bytes(data), seeds, 2) if rng.random() < 0.5 else bytes(data)


def check_idx(path: Path, data: bytes) -> bool:
    plain = data
    if data[:2] == b"\x1f\x8b":
        try:
            plain = gzip.decompress(data)  # small: mutants of small files
        except (EOFError, OSError, zlib.error):
            plain = b""
    expected = by_the_book(plain)
    try:
        array = read_idx(path)
    except FormatError as error:
        readable(error, path)
        assert expected is None, f"refused, but right: {error}"
        return False
    assert expected is not None, "taken, but wrong"
    dtype, shape, numbers = expected
    assert (array.dtype, array.shape) == (dtype.newbyteorder("="), shape)
    assert array.astype(dtype).tobytes() == numbers
    return True


def gzip_seeds() -> list[bytes]:
    return [gzip.compress(data, level, mtime=0) for data in idx_seeds()[::4] for level in (0, 9)]


def mutated_gzip(rng: random.Random, seeds: list[bytes]) -> bytes:
    data = rng.choice(seeds)
    kind = rng.randrange(5)
    if kind == 0:  # members one after the other, and what a tape leaves behind
        inner = mutated_idx(rng, idx_seeds())
        at = rng.randrange(len(inner) + 1)
        tail = rng.choice([b"", b"", bytes(rng.randrange(600)), b"\x1f", data[:5], b"rest"])
        return gzip.compress(inner[:at], 1, mtime=0) + gzip.compress(inner[at:], 1, mtime=0) + tail
    if kind == 1:  # right gzip around a wrong file
        return gzip.compress(mutated_idx(rng, idx_seeds()), 1, mtime=0)
    if kind == 2:  # the checksum and the length at the end
        at = len(data) - rng.randint(1, 8)
        return data[:at] + rng.randbytes(1) + data[at + 1 :]
    if kind == 3:  # the header with its flags for extra fields, names, comments, checksum
        return data[:3] + bytes([rng.randrange(256)]) + data[4:10] + rng.randbytes(rng.randrange(6)) + data[10:]
    return scrambled(rng, data, seeds)


# safetensors


def tensor_seeds() -> list[bytes]:
    text = {"numlp": "{}", "a": "\u00e9"}
    one = {"layers.0.W": np.ones((2, 3), np.float32), "layers.0.b": np.zeros(3, np.float32)}
    other = {
        "a": np.arange(5, dtype=np.uint8),
        "b": np.zeros((0, 2)),
        "c": np.array(1, np.int64),
        "d": np.ones(2, np.float16),
    }
    return [reference_save(one, metadata=text), reference_save(other), reference_save({})]


VALUES: tuple[Any, ...] = (
    *NUMBERS, -1, -0.0, 1.5, 2.0, 1e30, 10**30, True, False, None, "", "F32", "F64", "U8", "BOOL", "BF16", "\0", "../x", [], {}, [0],
    [0, 8], [2], [1, 0], [[2]], float("nan"), float("inf"),
)  # fmt: skip


def mutated_json(rng: random.Random, value: Any) -> Any:
    """Change one thing somewhere inside."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key, new = rng.choice(list(value)), dict(value)
        kind = rng.randrange(8)
        if kind == 0:
            del new[key]
        elif kind == 1:
            new[rng.choice(["", "a", "__metadata__", "dtype", "layers.0.W", "../a", "\ud800", key + "x"])] = new[key]
        elif kind == 2:
            new[key] = rng.choice(VALUES)
        else:
            new[key] = mutated_json(rng, new[key])
        return new
    if isinstance(value, list) and value and rng.random() < 0.9:
        items, at = list(value), rng.randrange(len(value))
        kind = rng.randrange(6)
        if kind == 0:
            del items[at]
        elif kind == 1:
            items.insert(at, rng.choice(VALUES))
        else:
            items[at] = mutated_json(rng, items[at])
        return items
    if type(value) is int and rng.random() < 0.5:
        return value + rng.choice([-8, -4, -1, 1, 4, 8])
    return rng.choice(VALUES)


def file_of(header: bytes, numbers: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + numbers


def mutated_tensors(rng: random.Random, seeds: list[bytes]) -> bytes:
    data = rng.choice(seeds)
    end = min(8 + int.from_bytes(data[:8], "little"), len(data))  # libFuzzer may have changed the length
    kind = rng.randrange(7)
    if kind == 0:
        return scrambled(rng, data, seeds)
    if kind == 1:  # a few bytes shared out among tensors, rightly or not
        spans = [sorted(rng.choices(range(4), k=2)) for _ in range(rng.randint(1, 3))]
        fields = {f"t{i}": {"dtype": "U8", "shape": [b - a], "data_offsets": [a, b]} for i, (a, b) in enumerate(spans)}
        return file_of(json.dumps(fields).encode(), rng.randbytes(rng.choice([max(b for _, b in spans), rng.randrange(5)])))
    if kind == 2:  # what JSON can write in two ways, or in none
        old, new = rng.choice(
            [
                (b"0", b"-0"),
                (b"0", b"0.0"),
                (b"0", b"00"),
                (b"0", b"0e0"),
                (b'"', b'"\\ud800'),
                (b'"a', b'"\\u0061'),
                (b"{", b"{ "),
            ]
        )
        spots = [i for i in range(8, end) if data.startswith(old, i)]
        at = rng.choice(spots or [8])
        return file_of(data[8:at] + new + data[at + len(old) : end], data[end:])
    if kind == 3:  # the text of the header, the length put right
        text = scrambled(
            rng, data[8:end], [b'{"a":1}', b'"__metadata__":', b"[0,8]", b'"dtype":"U8"', b"NaN", b"\\u0000", b"{{[["], 2
        )
        return file_of(text, data[end:])
    header = json.loads(data[8:end])
    for _ in range(rng.randint(1, 2)):
        header = mutated_json(rng, header)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    text += b" " * (-len(text) % 8)
    tail = data[end:] if rng.random() < 0.8 else scrambled(rng, data[end:], seeds, 1)
    return file_of(text, tail)


def check_tensors(path: Path, data: bytes) -> bool:
    where = f"load: {path}"
    stream = io.BytesIO(data)
    try:
        header = read_header(stream, len(data), where)
        ours = read_tensors(stream, header, where)
    except CheckpointError as error:
        readable(error, path)
        return False
    try:
        theirs = reference_load(data)
    except (SafetensorError, KeyError, ValueError) as error:
        raise AssertionError(f"ours takes what the library refuses: {error}") from error
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        other = theirs[name]
        assert (tensor.dtype, tensor.shape, tensor.tobytes()) == (other.dtype, other.shape, other.tobytes()), name
    return True


# model files: a right container, an architecture that need not be


def model_seeds() -> list[bytes]:
    layers: list[list[Any]] = [
        [nl.Dense(2, 2)],
        [nl.Pixels(3), nl.Dense(3, 2, "gelu"), nl.BatchNorm(2), nl.Dropout(2, 0.1), nl.Dense(2, 2)],
        [nl.Residual([nl.LayerNorm(2), nl.Dense(2, 2)]), nl.PReLU(2)],
        [nl.Embedding(2, [(0, 3, 2)]), nl.Dense(3, 2)],
    ]
    seeds = []
    for stack in layers:
        network = nl.Network(stack, rng=0, loss=nl.SoftmaxCrossEntropy(), class_names=["a", "b"])
        seeds.append(model_bytes(network))
    return seeds


def model_bytes(network: nl.Network) -> bytes:
    """Return what `save` would write."""
    about = {"format": 1, "network": network.to_config(), "metrics": {"test": {"loss": 1.0}}, "versions": {"numlp": "1"}}
    tensors = {f"layers.{i}.{name}": view for i, views in enumerate(network.arena.values) for name, view in views.items()}
    return reference_save(tensors, metadata={"numlp": json.dumps(about)})


def mutated_model(rng: random.Random, seeds: list[bytes]) -> bytes:
    data = rng.choice(seeds)
    if rng.random() < 0.2:
        return mutated_tensors(rng, seeds)
    end = min(8 + int.from_bytes(data[:8], "little"), len(data))  # libFuzzer may have changed the length
    header = json.loads(data[8:end])
    about = json.loads(header["__metadata__"]["numlp"])
    for _ in range(rng.randint(1, 2)):
        about = mutated_json(rng, about)
    header["__metadata__"]["numlp"] = json.dumps(about)
    text = json.dumps(header).encode()
    numbers = bytearray(data[end:])
    if rng.random() < 0.2:
        numbers[rng.randrange(len(numbers))] = rng.choice([0x7F, 0x80, 0xFF, 0xC0])
    return file_of(text, bytes(numbers))


def check_model(path: Path, data: bytes) -> bool:
    try:
        network = nl.load(path)
    except CheckpointError as error:
        readable(error, path)
        return False
    reference = reference_load(data)
    for i, views in enumerate(network.arena.values):
        for name, view in views.items():
            assert view.tobytes() == reference[f"layers.{i}.{name}"].tobytes(), name
    assert np.isfinite(network.params).all() and np.isfinite(network.state).all()
    json.dumps(network.to_config()).encode()
    return True


# model files of tables: what a fitted table wants besides its network


def table_seeds() -> list[bytes]:
    x = np.empty((20, 3), object)
    x[:, 0], x[:, 1], x[:, 2] = np.arange(20.0), list("ab" * 10), [f"level {i}" for i in range(20)]
    x[3, 0] = None
    seeds = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.safetensors"
        for kind, y in ((TabularClassifier, x[:, 1]), (TabularRegressor, np.arange(20.0))):
            kind(hidden_layer_sizes=(2,), epochs=1, random_state=0).fit(x, y).save(path)
            seeds.append(path.read_bytes())
    return seeds


def check_table(path: Path, data: bytes) -> bool:
    taken = False
    for kind in (TabularClassifier, TabularRegressor):
        try:
            model = kind.load(path)
        except CheckpointError as error:
            readable(error, path)
            continue
        taken = True
        with (
            contextlib.suppress(NumlpError),
            np.errstate(all="ignore"),
        ):  # other numbers of columns, numbers beyond all bounds
            model.predict(np.array([[1.0, "a", "level 1"], [None, None, "new"]], object))
    return taken


# CSV


def csv_seeds() -> list[bytes]:
    return [
        b"a,b\n1,2\n3,4\n", b"1,2,3\r\n4,5,6\r\n", b'"x, y",z\n"1","2"\n', "\ufeffä,重\n1e3,-.5\n".encode(), b"7\n", b"age,n\n1,n/a\n",
    ]  # fmt: skip


WORDS = (
    b"nan", b"-inf", b"1e999", b"n/a", b"1_000", b"0x1", b"", b" ", b"\0", b'"', b'""', b"\n", b"\r", b",,", b"\xff", b"\xef\xbb\xbf",
    b"9" * 400, b"x" * 70_000, b",1" * 3000, b"\xd9\xa3", b"1e-400", b"\x1b[2J", b"=cmd()", b"\xe2\x80\xae", b"1\n" * 500,
)  # fmt: skip


def mutated_csv(rng: random.Random, seeds: list[bytes]) -> bytes:
    data = rng.choice(seeds)
    if rng.random() < 0.2:  # a right table, to see it accepted
        width = rng.randint(1, 4)
        data = b"".join(b",".join(b"%g" % rng.gauss(0, 9) for _ in range(width)) + b"\n" for _ in range(rng.randint(1, 9)))
    for _ in range(rng.randrange(3)):
        at = rng.randrange(len(data) + 1)
        data = data[:at] + rng.choice(WORDS) + data[at:]
    return scrambled(rng, data, seeds, 1) if rng.random() < 0.3 else data


def split_rows(data: bytes, dialect: Dialect) -> list[list[str]]:
    """Return the rows of a CSV file without quotes."""
    lines = data.decode(dialect.encoding).replace("\r\n", "\n").replace("\r", "\n").split("\n")[dialect.skip :]
    return [line.split(dialect.delimiter) for line in lines if line]


def check_csv(path: Path, data: bytes) -> bool:
    try:
        table = read_csv(path)
    except FormatError as error:
        readable(error, path)
        return False
    assert table.x.ndim == 2 and table.x.size and np.isfinite(table.x).all()
    assert len(table.names) in (0, table.x.shape[1])
    dialect = find_dialect(path)
    if dialect.quote not in data.decode("latin-1") and dialect.delimiter != " ":  # a reading that shares the dialect only
        rows = [[float(cell) for cell in row if cell or None not in dialect.names] for row in split_rows(data, dialect)]
        assert table.x.tolist() == rows
    return True


# tables of numbers and text, by pyarrow


def frame_seeds() -> list[bytes]:
    return [
        *csv_seeds(), b"a;b\n1,5;x\n", b"a\tb\nx\t2\n", b'n,t\n1,"a, b"\n,\n3,"two\nlines"\n', b"n,t\n" + b"1,u\n" * 20 + b"n/a,v\n",
        b"d,w\n2026-11-29, 2026-11-29T08:30\n,2026-11-30 09:15:00.25+02:00\n",
    ]  # fmt: skip


def sizes_of(cell: str) -> set[float]:
    """Return the numbers that a cell may be, without their signs: its first digits, with commas or points as decimal marks."""
    found = re.search(r"[.,]?[0-9](?:[0-9., '\u00a0]*[0-9])?[.]?(?:[eE][+-]?[0-9]+)?", cell)
    digits = re.sub("[ '\u00a0]", "", found[0] if found else "")
    sizes = set()
    for text in (digits.replace(",", ""), digits.replace(".", "").replace(",", ".")):
        with contextlib.suppress(ValueError):
            sizes.add(float(text))
    return sizes


def check_frame(path: Path, data: bytes) -> bool:
    try:
        table = read_csv_frame(path, Texts(missing=["n/a"]))
    except FormatError as error:
        readable(error, path)
        return False
    dialect = find_dialect(path)
    kept = [i for i, name in enumerate(dialect.names) if name is not None]
    lines = itertools.islice(io.StringIO(data.decode(dialect.encoding), newline=""), dialect.skip, None)
    how = {"skipinitialspace": True} if dialect.delimiter == " " else {}
    quoting = csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE
    reader = csv.reader(
        lines, delimiter=dialect.delimiter, quotechar=dialect.quote or None, quoting=quoting,
        escapechar=dialect.escape or None, **how,
    )  # fmt: skip
    rows = [[row[i] for i in kept] for row in reader if row]
    names = [name for name in dialect.names if name is not None]
    assert table.column_names == names and table.num_rows == len(rows), (names, rows)
    for column, cells in zip(table.columns, zip(*rows, strict=True), strict=True):
        for value, cell in zip(column.to_pylist(), cells, strict=True):
            if value is None:
                assert cell.strip().lower() in GAP_WORDS, cell
            elif isinstance(value, float):
                assert math.isnan(value) or abs(value) in sizes_of(cell), cell
            elif isinstance(value, datetime):
                assert value == as_utc(datetime.fromisoformat(cell.strip())), cell
            else:
                assert value == cell, (value, cell)
    return True


def parquet_seeds() -> list[bytes]:
    columns = {
        "n": pa.array([1.5, None, 3.0]), "i": pa.array([1, 2, 3], pa.int16()), "t": pa.array(["a", None, "bc"]),
        "c": pa.array(["u", "v", "u"]).dictionary_encode(), "b": pa.array([True, False, None]), "l": pa.array([[1], [], None]),
        "d": pa.array([20_000, None, -1], pa.date32()), "w": pa.array([2**60, None, -1], pa.timestamp("ns", "Asia/Tokyo")),
    }  # fmt: skip
    seeds = []
    for names, options in (
        ("nitcb", {}),
        ("dw", {}),
        ("nt", {"compression": "gzip"}),
        ("c", {"use_dictionary": True}),
        ("nl", {}),
    ):
        sink = io.BytesIO()
        table = pa.table({name: columns[name] for name in names})
        parquet.write_table(table, sink, write_page_checksum=True, **options)
        seeds.append(sink.getvalue())
    return seeds


def mutated_parquet(rng: random.Random, seeds: list[bytes]) -> bytes:
    data = rng.choice(seeds)
    if rng.random() < 0.1:  # a right one
        return data
    if rng.random() < 0.5 or len(data) < 12:
        return scrambled(rng, data, seeds)
    footer = int.from_bytes(data[-8:-4], "little")
    start = max(4, len(data) - 8 - footer)  # what the footer declares
    at = rng.randrange(start, max(start + 1, len(data) - 8))
    new = rng.choice([rng.randbytes(1), b"\xff\xff\xff\xff\x0f", bytes([data[at] ^ 1 << rng.randrange(8)])])
    return data[:at] + new + data[at + (len(new) if rng.random() < 0.8 else 1) :]


def check_parquet(path: Path, data: bytes) -> bool:
    try:
        table = read_parquet_frame(path)
    except FormatError as error:
        readable(error, path)
        return False
    assert table.num_rows and len(set(table.column_names)) == table.num_columns
    table.validate(full=True)
    with contextlib.suppress(NumlpError):  # infinite numbers
        for i in range(table.num_columns):
            column = Table(table, "x").column(i)
            if isinstance(column, Dates):
                parts = date_parts(column.days)
                assert (np.isnan(parts).all(axis=1) == ~is_there(column)).all() and not (parts[:, 1] > 365).any()
    return True


# PNG


def png_seeds() -> list[bytes]:
    figure = np.full((12, 14), 255, np.uint8)
    figure[3:9, 4:8] = 0
    seeds = []
    for mode in ("L", "1", "P", "RGB", "RGBA", "LA"):
        buffer = io.BytesIO()
        Image.fromarray(figure).convert(mode).save(buffer, "PNG")
        seeds.append(buffer.getvalue())
    buffer = io.BytesIO()
    Image.fromarray(figure.astype(np.uint16) * 257).save(buffer, "PNG")
    return [*seeds, buffer.getvalue()]


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    at, found = 8, []
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


def png_bytes(parts: list[tuple[bytes, bytes]]) -> bytes:
    """Return a PNG of chunks, with right checksums."""
    packed = [struct.pack(">I", len(c)) + name + c + struct.pack(">I", zlib.crc32(name + c)) for name, c in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def mutated_png(rng: random.Random, seeds: list[bytes]) -> bytes:
    data = rng.choice(seeds)
    if rng.random() < 0.2:
        return scrambled(rng, data, seeds)
    parts = chunks(data)
    for _ in range(rng.randint(1, 2)):
        at, kind = rng.randrange(len(parts)), rng.randrange(6)
        name, content = parts[at]
        if kind == 0 and len(parts[0][1]) >= 8:  # the size
            # small ones mostly: a picture as large as may be takes a tenth of a second
            side = [rng.choice([0, 1, 7, 12, 14, 28, 100, 4097, 1 << 31, (1 << 32) - 1]) for _ in range(2)]
            side = [4096, 4096] if rng.random() < 0.01 else side
            parts[0] = (parts[0][0], struct.pack(">II", *side) + parts[0][1][8:])
        elif kind == 1:
            parts[at] = (name, scrambled(rng, content, [data], 1))
        elif kind == 2:
            parts.insert(at, rng.choice(parts))
        elif kind == 3 and len(parts) > 1:
            del parts[at]
        elif kind == 4:  # another depth, colour type, filter or interlace
            if len(parts[0][1]) >= 13:
                where = rng.randrange(8, 13)
                content = parts[0][1]
                parts[0] = (
                    parts[0][0],
                    content[:where] + bytes([rng.choice([0, 1, 2, 3, 4, 6, 8, 16])]) + content[where + 1 :],
                )
        else:
            extra = rng.choice([b"zTXt", b"iCCP", b"tRNS", b"PLTE", b"acTL", b"eXIf", b"IDAT", b"fdAT", b"gAMA"])
            parts.insert(at, (extra, rng.choice([b"", rng.randbytes(9), b"a\0\0" + zlib.compress(bytes(MIB))])))
    return png_bytes(parts)


def check_picture(path: Path, data: bytes) -> bool:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* picture (shows|has)")  # what the figure is like
        try:
            x, note = read_picture(path)
        except FormatError as error:
            readable(error, path)
            return False
    assert x.shape == (1, 784) and x.dtype == np.float32 and np.isfinite(x).all()
    assert x.min() >= 0 and 0.99 < x.max() < 1.01 and "assumed" in note
    return True


# pictures of other formats: their structure is cut down before Pillow sees them


def picture_seeds() -> list[bytes]:
    figure = np.full((12, 14), 255, np.uint8)
    figure[3:9, 4:8] = 0
    exif = Image.Exif()
    exif[274] = 6
    options: dict[str, list[dict[str, Any]]] = {
        "JPEG": [{"exif": exif}, {"progressive": True}],
        "GIF": [{}, {"save_all": True, "append_images": [Image.fromarray(255 - figure)]}],
        "BMP": [{}],
        "TIFF": [{"compression": name, "exif": exif} for name in ("raw", "tiff_lzw", "tiff_adobe_deflate")],
        "WEBP": [{"exif": exif}, {"lossless": True}, {"save_all": True, "append_images": [Image.fromarray(255 - figure)]}],
    }
    seeds = []
    for kind, several in options.items():
        for option in several:
            for mode in ("L", "RGBA") if kind in ("TIFF", "WEBP") else ("L", "RGB"):
                buffer = io.BytesIO()
                Image.fromarray(figure).convert(mode).save(buffer, kind, **option)
                seeds.append(buffer.getvalue())
    return seeds


def mutated_picture(rng: random.Random, seeds: list[bytes]) -> bytes:
    """Change bytes of the headers mostly, sizes among them; insert and repeat parts."""
    data = rng.choice(seeds)
    kind = rng.randrange(5)
    if kind == 0 or len(data) < 24:
        return scrambled(rng, data, seeds)
    at = rng.randrange(min(len(data) - 4, rng.choice([24, 64, 400])))
    if kind == 1:
        return data[:at] + bytes([rng.choice([0, 1, 2, 3, 4, 7, 8, 16, 127, 255])]) + data[at + 1 :]
    if kind == 2:
        number = rng.choice([0, 1, 28, 4096, 4097, 65_535, (1 << 31) - 1, (1 << 32) - 1])
        packed = number.to_bytes(4, rng.choice(["little", "big"]))
        packed = rng.choice([packed, packed[:2], packed[2:]])
        return data[:at] + packed + data[at + len(packed) :]
    if kind == 3:
        end = rng.randrange(at, len(data)) + 1
        return data[:end] + data[at:end] * rng.choice([1, 2, 50]) + data[end:]
    return data[: rng.randrange(len(data))]


KINDS = {
    "idx": Kind(idx_seeds, mutated_idx, check_idx),
    "gzip": Kind(gzip_seeds, mutated_gzip, check_idx),
    "tensors": Kind(tensor_seeds, mutated_tensors, check_tensors),
    "model": Kind(model_seeds, mutated_model, check_model),
    "table": Kind(table_seeds, mutated_model, check_table),
    "csv": Kind(csv_seeds, mutated_csv, check_csv),
    "frame": Kind(frame_seeds, mutated_csv, check_frame, declared=ARROW),
    "parquet": Kind(parquet_seeds, mutated_parquet, check_parquet, declared=ARROW),
    "png": Kind(png_seeds, mutated_png, check_picture, declared=4096 * 4096 * 4),
    "picture": Kind(picture_seeds, mutated_picture, check_picture, declared=4096 * 4096 * 16),
}
