import errno
import gzip
import io
import math
import os
import random
import re
import stat
import struct
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from numlp.data import idx
from numlp.data.idx import TYPES, magic_of, read_idx, write_idx
from numlp.errors import DTypeError, FormatError, ShapeError

DTYPES = ("uint8", "int8", "int16", "int32", "float32", "float64")
CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}
SHAPES = [(), (0,), (5,), (2, 3), (0, 3), (3, 0), (2, 3, 4), (2, 0, 4), (2, 1, 3, 2), (0, 0, 0, 0)]
SMALL = bytes.fromhex("00000802 00000002 00000003 010203fdfeff")  # uint8 [[1, 2, 3], [253, 254, 255]]


def some(shape, dtype):
    """Return an array with the extreme values of its type in front."""
    dtype = np.dtype(dtype)
    array = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    extremes = [np.nan, np.inf, -0.0, 1e-40] if dtype.kind == "f" else [np.iinfo(dtype).min, np.iinfo(dtype).max, 1, 2]
    array.reshape(-1)[:4] = np.array(extremes, dtype)[: array.size]
    return array


def assert_same(actual, expected):
    """Same type, shape and bytes, and an array that one may use: native, writeable, contiguous."""
    assert actual.dtype == expected.dtype
    assert actual.dtype.isnative
    assert actual.shape == expected.shape
    assert actual.tobytes() == expected.tobytes()
    assert actual.flags.c_contiguous
    assert actual.flags.writeable


def read_bytes(tmp_path, data, **options):
    path = tmp_path / "bytes.idx"
    path.unlink(missing_ok=True)  # a file system may flush a file that is overwritten, which takes milliseconds
    path.write_bytes(data)
    return read_idx(path, **options)


@pytest.mark.parametrize("name", ["a.idx", "a.idx.gz"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_idx_round_trip_is_exact(tmp_path, dtype, shape, name):
    array = some(shape, dtype)
    path = tmp_path / name
    write_idx(path, array)
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".gz")
    assert_same(read_idx(path), array)


@settings(max_examples=100, deadline=None)
@given(
    array=st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=6, min_side=0, max_side=4))
    ),
    packed=st.booleans(),
)
def test_idx_round_trip_is_exact_for_any_array(tmp_path_factory, array, packed):
    path = tmp_path_factory.mktemp("idx") / ("a.gz" if packed else "a")
    write_idx(path, array)
    assert_same(read_idx(path), array)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([7, 2], np.uint8), "00000801 00000002 0702"),
        (np.array([[-1], [127]], np.int8), "00000902 00000002 00000001 ff7f"),
        (np.array([1, -2], np.int16), "00000b01 00000002 0001fffe"),
        (np.array([[[0x01020304]]], np.int32), "00000c03 00000001 00000001 00000001 01020304"),
        (np.array(1.5, np.float32), "00000d00 3fc00000"),
        (np.array([-2.0, 0.1]), "00000e01 00000002 c000000000000000 3fb999999999999a"),
        (np.empty((0, 28, 28), np.uint8), "00000803 00000000 0000001c 0000001c"),
    ],
)
def test_idx_bytes_are_big_endian_both_ways(tmp_path, array, expected):
    path = tmp_path / "a.idx"
    write_idx(path, array)
    assert path.read_bytes() == bytes.fromhex(expected)
    assert_same(read_bytes(tmp_path, bytes.fromhex(expected)), array)


@pytest.mark.parametrize("dtype", [">i2", "<i2", ">f8", "<f8"])
def test_write_idx_takes_either_byte_order_and_any_strides(tmp_path, dtype):
    array = np.arange(24, dtype=dtype).reshape(4, 6)[::-1, ::2].T
    write_idx(tmp_path / "a.idx", array)
    assert read_idx(tmp_path / "a.idx").tolist() == array.tolist()


def test_write_idx_gives_the_same_bytes_for_the_same_array(tmp_path):
    array = some((7, 11), "float32")
    for name in ("a.gz", "b.gz"):
        write_idx(tmp_path / name, array)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert b"a" not in (tmp_path / "a.gz").read_bytes()[:10]  # no name in the header
    assert (tmp_path / "a.gz").read_bytes()[4:8] == b"\0\0\0\0"  # nor a time


def test_read_idx_tells_gzip_by_content_not_by_name(tmp_path):
    (tmp_path / "plain.gz").write_bytes(SMALL)
    (tmp_path / "packed.idx").write_bytes(gzip.compress(SMALL))
    assert read_idx(tmp_path / "plain.gz").tolist() == read_idx(str(tmp_path / "packed.idx")).tolist()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2,), (2, 3), (2, 3, 4)])
def test_magic_of_is_the_number_in_the_file(tmp_path, shape, dtype):
    array = some(shape, dtype)
    write_idx(tmp_path / "a.idx", array)
    assert magic_of(array) == int.from_bytes((tmp_path / "a.idx").read_bytes()[:4], "big") == CODES[dtype] << 8 | len(shape)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "magic number must be 0x0000TTDD (type, dimensions), got an empty file"),
        ("000008", "magic number must be 0x0000TTDD (type, dimensions), got 0x000008"),
        ("00010801 00000000", "magic number must be 0x0000TTDD (type, dimensions), got 0x00010801"),
        ("89504e47 0d0a1a0a", "magic number must be 0x0000TTDD (type, dimensions), got 0x89504e47"),
        ("00000a01 00000000", "element type must be one of 0x08, 0x09, 0x0b, 0x0c, 0x0d, 0x0e, got 0x0a"),
        ("00000803 00000001 0000", "header must have 16 bytes for 3 dimensions, got 10"),
        ("00000801", "header must have 8 bytes for 1 dimensions, got 4"),
        ("00000841" + "00000001" * 65 + "00", "dimensions must be at most 64 in number, got 65"),
        (
            "00000802 ffffffff ffffffff",
            "dimensions must have a product below 2^63 bytes, got (4294967295, 4294967295)",
        ),
        ("00000802 80000000 ffffffff", "data must be at most 1,073,741,824 bytes, got (2147483648, 4294967295) with"),
        ("00000e02 80000000 20000000", "dimensions must have a product below 2^63 bytes, got (2147483648, 536870912)"),
        (
            "00000804 00000000 ffffffff ffffffff ffffffff",
            "dimensions must have a product below 2^63 bytes, got (0, 4294967295, 4294967295, 4294967295)",
        ),
        (
            "00000801 40000001",
            "data must be at most 1,073,741,824 bytes, got (1073741825,) with 1,073,741,825; pass max_bytes to allow more",
        ),
        ("00000801 00000400 0102", "data must have 1,024 bytes as the header declares, got 2"),
        ("00000801 3fffffff", "data must have 1,073,741,823 bytes as the header declares, got 0"),
        ("00000801 00000002 010203", "file must end after 2 bytes of data, got trailing bytes"),
        ("00000800 01 00", "file must end after 1 bytes of data, got trailing bytes"),
        ("00000801 00000000 00", "file must end after 0 bytes of data, got trailing bytes"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_read_idx_says_what_is_wrong_with_a_file(tmp_path, data, message, packed):
    data = bytes.fromhex(data)
    with pytest.raises(FormatError, match=re.escape(f"bytes.idx: {message}")):
        read_bytes(tmp_path, gzip.compress(data) if packed else data)


def test_read_idx_holds_to_max_bytes_exactly(tmp_path):
    assert read_bytes(tmp_path, SMALL, max_bytes=6).size == 6
    with pytest.raises(FormatError, match=r"data must be at most 5 bytes, got \(2, 3\) with 6; pass max_bytes"):
        read_bytes(tmp_path, SMALL, max_bytes=5)


def test_read_idx_reads_64_dimensions(tmp_path):
    data = bytes([0, 0, 8, 64]) + struct.pack(">64I", *[1] * 64) + b"\7"
    assert read_bytes(tmp_path, data).shape == (1,) * 64


def test_read_idx_without_a_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "missing.idx")
    with pytest.raises(IsADirectoryError):
        read_idx(tmp_path)


def test_read_idx_gzip_truncated_anywhere_is_an_error(tmp_path):
    data = gzip.compress(SMALL, mtime=0)
    assert_same(read_bytes(tmp_path, data), np.array([[1, 2, 3], [253, 254, 255]], np.uint8))
    for length in range(len(data)):
        with pytest.raises(FormatError, match=r"gzip stream must be whole, got a damaged one|magic number") as caught:
            read_bytes(tmp_path, data[:length])
        assert ("gzip stream" in str(caught.value)) == (length >= 2)


def test_read_idx_plain_truncated_anywhere_is_an_error(tmp_path):
    for length in range(len(SMALL)):
        with pytest.raises(FormatError):
            read_bytes(tmp_path, SMALL[:length])


def test_read_idx_gzip_with_any_bit_flipped_is_the_right_array_or_an_error(tmp_path):
    array = some((5, 4), "int16")
    write_idx(tmp_path / "a.gz", array)
    data = bytearray((tmp_path / "a.gz").read_bytes())
    right = 0
    for bit in range(8 * len(data)):
        data[bit // 8] ^= 1 << bit % 8
        try:
            assert_same(read_bytes(tmp_path, bytes(data)), array)
            right += 1
        except FormatError:
            pass
        data[bit // 8] ^= 1 << bit % 8
    assert 0 < right < 60  # only the time, the system and the flags that mean nothing are free to change


def test_read_idx_names_a_damaged_checksum(tmp_path):
    data = bytearray(gzip.compress(SMALL))
    data[-5] ^= 1
    with pytest.raises(FormatError, match="gzip stream must be whole, got a damaged one: CRC check failed"):
        read_bytes(tmp_path, bytes(data))


def test_read_idx_joins_concatenated_gzip_members(tmp_path):
    parts = [SMALL[:3], SMALL[3:11], b"", SMALL[11:14], SMALL[14:], b""]
    data = b"".join(gzip.compress(part) for part in parts)
    assert read_bytes(tmp_path, data).tolist() == [[1, 2, 3], [253, 254, 255]]
    assert read_bytes(tmp_path, data + bytes(100)).shape == (2, 3)  # zero padding, as tapes have it
    with pytest.raises(FormatError, match="trailing bytes"):
        read_bytes(tmp_path, data + gzip.compress(b"\0"))
    with pytest.raises(FormatError, match="gzip stream must be whole"):
        read_bytes(tmp_path, data + b"rest")
    with pytest.raises(FormatError, match="gzip stream must be whole"):
        read_bytes(tmp_path, data[:-1])


class CountingStream(io.RawIOBase):
    """Endless zeros behind a header; counts what is asked for."""

    def __init__(self, header):
        self.header, self.taken = header, 0

    def read(self, size=-1):
        assert size >= 0, "must not read to the end"
        data = (self.header[self.taken : self.taken + size] + bytes(size))[:size]
        self.taken += size
        return data


@pytest.mark.parametrize("n", [0, 1, 10, 3 << 20])
def test_read_idx_takes_one_byte_beyond_what_is_declared(n):
    stream = CountingStream(bytes([0, 0, 8, 1]) + n.to_bytes(4, "big"))
    with pytest.raises(FormatError, match="trailing"):
        idx._read(stream, "stream", 1 << 30)
    assert stream.taken == 8 + n + 1


def memory_of(call):
    """Return the peak of traced memory during `call`."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def bomb(expanded):
    """Return a gzip stream of a header that declares 10 bytes, followed by `expanded` zeros, in pieces."""
    packer = zlib.compressobj(9, wbits=31)
    block = bytes(1 << 20)
    pieces = [packer.compress(bytes.fromhex("00000801 0000000a"))]
    # one compressed MiB of zeros repeated stays a valid deflate stream between two full flushes
    pieces += [packer.flush(zlib.Z_FULL_FLUSH)]
    repeated = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"".join([*pieces, repeated * (expanded >> 20)])


def test_read_idx_stops_a_bomb_at_the_declared_bytes(tmp_path):
    data = bomb(2 << 30)
    assert len(data) < 4 << 20
    unpacker = zlib.decompressobj(wbits=31)  # it is a bomb indeed: the last piece yields zeros too
    assert unpacker.decompress(data[:20_000]).count(0) > 8 << 20

    def read():
        with pytest.raises(FormatError, match="file must end after 10 bytes of data, got trailing bytes"):
            read_idx(tmp_path / "bomb.gz")

    (tmp_path / "bomb.gz").write_bytes(data)
    assert memory_of(read) < 1 << 20


def test_read_idx_of_a_lying_header_allocates_what_arrives(tmp_path):
    (tmp_path / "a.idx").write_bytes(bytes.fromhex("00000801 3fffffff") + bytes(100))

    def read():
        with pytest.raises(FormatError, match="data must have 1,073,741,823 bytes"):
            read_idx(tmp_path / "a.idx")

    assert memory_of(read) < 3 << 20


def test_read_idx_holds_the_data_once(tmp_path):
    write_idx(tmp_path / "a.idx", np.zeros(1 << 20))
    assert memory_of(lambda: read_idx(tmp_path / "a.idx")) < (8 << 20) * 1.5 + (2 << 20)


@pytest.mark.parametrize("dtype", ["int64", "uint16", "float16", "bool", "complex64", "U3", "object"])
def test_write_idx_names_the_types_it_takes(tmp_path, dtype):
    expected = f"write_idx: array must have one of the dtypes {', '.join(DTYPES)}, got {np.dtype(dtype)}"
    with pytest.raises(DTypeError, match=re.escape(expected)):
        write_idx(tmp_path / "a.idx", np.zeros(2, dtype))
    assert not os.listdir(tmp_path)


def test_write_idx_refuses_a_dimension_the_header_cannot_state(tmp_path):
    array = np.empty((0, 1 << 32), np.uint8)
    with pytest.raises(ShapeError, match=re.escape("write_idx: array must have dimensions below 2^32, got (0, 4294967296)")):
        write_idx(tmp_path / "a.idx", array)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("call", ["replace", "fsync", "write"])
@pytest.mark.parametrize("name", ["a.idx", "a.idx.gz"])
def test_write_idx_failure_keeps_the_old_file(tmp_path, monkeypatch, name, call):
    path = tmp_path / name
    write_idx(path, np.arange(5, dtype=np.uint8))
    old = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_idx(path, np.zeros((50, 50), np.float32))
    monkeypatch.undo()
    assert caught.value.filename == str(path)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_write_idx_mode_follows_the_umask(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        write_idx(tmp_path / "a.idx", np.zeros(3, np.uint8))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.idx").stat().st_mode) == mode


def test_write_idx_follows_a_symbolic_link(tmp_path):
    (tmp_path / "folder").mkdir()
    link = tmp_path / "link.gz"
    link.symlink_to(tmp_path / "folder" / "real.bin")
    write_idx(link, np.arange(3, dtype=np.uint8))
    assert link.is_symlink()
    assert read_idx(tmp_path / "folder" / "real.bin").tolist() == [0, 1, 2]


def naive_idx(data):
    """Return (dtype, shape, big-endian bytes) of an IDX file by the book, None if it is not one."""
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in TYPES or data[3] > 64:
        return None
    end = 4 + 4 * data[3]
    if len(data) < end:
        return None
    shape = struct.unpack(f">{data[3]}I", data[4:end])
    dtype = TYPES[data[2]]
    if math.prod(n for n in shape if n) * dtype.itemsize >= 1 << 63 or len(data) - end != math.prod(shape) * dtype.itemsize:
        return None
    return dtype, shape, data[end:]


def mutated(rng, data, seeds):
    """Return `data` with one to three changes of the kinds that break readers."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(8)
        if kind == 0:
            data = data[:at]
        elif kind == 1:
            data += rng.randbytes(rng.choice([1, 2, 8]))
        elif kind == 2 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 3 and len(data) > 3:
            data[rng.choice([2, 3])] = rng.choice([0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14, 64, 65, 255])
        elif kind == 4 and len(data) >= 8:  # a dimension
            at = 4 * rng.randrange(1, max(2, min(data[3] + 1, len(data) // 4)))
            data[at : at + 4] = rng.choice([0, 1, 2, 6, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]).to_bytes(4, "big")
        elif kind == 5:
            del data[at : at + rng.choice([1, 4])]
        elif kind == 6:
            data[at:at] = rng.choice(seeds)[: rng.randrange(20)]
        else:
            data[at : at + 4] = rng.randbytes(4)
    return bytes(data)


def test_read_idx_of_any_mutant_is_the_right_array_or_an_error(tmp_path):
    rng = random.Random(1998)
    seeds = []
    for dtype in DTYPES:
        for shape in ((), (3,), (2, 3), (0, 2), (1, 2, 2)):
            write_idx(tmp_path / "seed.idx", some(shape, dtype))
            seeds.append((tmp_path / "seed.idx").read_bytes())
    accepted = 0
    for number in range(6000):
        plain = mutated(rng, rng.choice(seeds), seeds)
        packed = number % 3 == 0
        expected = naive_idx(plain)
        if not packed and plain[:2] == b"\x1f\x8b":
            continue
        try:
            array = read_bytes(tmp_path, gzip.compress(plain, 1) if packed else plain)
        except FormatError:
            assert expected is None, plain.hex()
        else:
            assert expected is not None, plain.hex()
            dtype, shape, data = expected
            assert (array.dtype, array.shape) == (dtype.newbyteorder("="), shape)
            assert array.astype(dtype).tobytes() == data
            accepted += 1
    assert accepted > 100


def test_read_idx_of_any_gzip_mutant_is_the_right_array_or_an_error(tmp_path):
    rng = random.Random(2000)
    array = some((4, 5), "uint8")
    write_idx(tmp_path / "a.idx", array)
    seeds = [gzip.compress((tmp_path / "a.idx").read_bytes(), level, mtime=0) for level in (0, 1, 9)]
    rejected = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3000):
            try:
                assert_same(read_bytes(tmp_path, mutated(rng, rng.choice(seeds), seeds)), array)
            except FormatError:
                rejected += 1
    assert rejected > 2000
