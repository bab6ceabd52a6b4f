"""A nested dict of numbers, texts and arrays as one file that knows whether it is whole.

    file     a safetensors file; its metadata has `numlp_checkpoint`, the format, and `tag`, for who looks at the header only
    arrays   a tensor each, named by its path in the dict: optimizer.m
    plain    the rest as JSON, in the bytes of a tensor; an array is {"__tensor__": name} there
    sha256   the last tensor: the SHA-256 of those of the header and of each tensor before it, one after the other

A changed bit anywhere, or a byte less, is an error. Nothing in a file is ever executed.
"""

import hashlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.errors import CheckpointError
from numlp.files import check_path, os_errors, replace_file
from numlp.tensors import parse_json, read_header, read_tensors, to_header

STATE_KEY = "numlp_checkpoint"
FORMAT = "1"

_ARRAY = "__tensor__"
_PLAIN = "plain"
_DIGEST = "sha256"


def write_state(path: str | os.PathLike[str], state: dict[str, Any], tag: str = "") -> None:
    """Write `state` to `path`, atomically and durably, as `replace_file` does; `read_tag` will find `tag`.

    Errors  OSError with path, errno and, where there was no room, the bytes needed; CheckpointError, and nothing is
        written, if the state holds something that could not be read again.
    """
    path = check_path(path, "checkpoint")
    tensors: dict[str, NDArray[Any]] = {}
    try:
        plain = json.dumps(_without_arrays(state, "", tensors))
        tensors[_PLAIN] = np.frombuffer(plain.encode(), np.uint8)
        tensors[_DIGEST] = np.zeros(hashlib.sha256().digest_size, np.uint8)
        header = to_header(tensors, {STATE_KEY: FORMAT, "tag": tag})
        size = len(header) + sum(array.nbytes for array in tensors.values())
        read_header(io.BytesIO(header), size, "header")
        parse_json(plain, "content", finite=False)
    except (TypeError, ValueError, LookupError, RecursionError) as error:
        raise CheckpointError(f"checkpoint: state must hold numbers, texts and arrays of numbers, got {error}") from error
    arrays = [array for name, array in tensors.items() if name != _DIGEST]
    replace_file(path, _with_digest([header, *(array.reshape(-1).view(np.uint8).data for array in arrays)]), size)


def read_state(path: str | os.PathLike[str], where: str = "resume") -> dict[str, Any]:
    """Return what `write_state` wrote; a tuple comes back as a list.

    Errors  CheckpointError if the file is something else or not exactly what was written; OSError if it cannot be read.
    """
    path = check_path(path, where)
    where = f"{where}: {path}"
    with os_errors(path), open(path, "rb") as file:
        data = file.read()
    content = io.BytesIO(data)
    header = read_header(content, len(data), where)
    found = header.metadata.get(STATE_KEY)
    if found != FORMAT or _PLAIN not in header.entries or list(header.entries)[-1] != _DIGEST:
        kind = "a model file" if "numlp" in header.metadata else f"format {found!r:.40}"
        raise CheckpointError(f"{where}: file must be a checkpoint of format {FORMAT}, got {kind}")
    tensors = read_tensors(content, header, where)
    digest = tensors.pop(_DIGEST).tobytes()
    ends = [header.begin, *(header.begin + entry.stop for entry in header.entries.values())][:-1]
    whole = memoryview(data)
    with ThreadPoolExecutor() as threads:
        digests = list(threads.map(_sha256, (whole[start:end] for start, end in pairwise([0, *ends]))))
    if _sha256(b"".join(digests)) != digest:
        raise CheckpointError(f"{where}: file must have the SHA-256 it was written with, got another; it is damaged")
    plain = parse_json(tensors.pop(_PLAIN).tobytes().decode(errors="replace"), where, finite=False)
    if not isinstance(plain, dict):
        raise CheckpointError(f"{where}: content must be an object, got {type(plain).__name__}")
    state: dict[str, Any] = _with_arrays(plain, tensors, where)
    return state


def read_tag(path: str | os.PathLike[str]) -> str | None:
    """Return the tag of a file that looks like one of `write_state`; None for any other, and where nothing can be read."""
    try:
        with open(path, "rb") as file:
            header = read_header(file, os.fstat(file.fileno()).st_size, "")
    except (CheckpointError, OSError):
        return None
    return header.metadata.get("tag") if STATE_KEY in header.metadata else None


def _with_digest(parts: Sequence[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """Yield the parts, and then their digest, which is computed on all cores while the caller writes them."""
    with ThreadPoolExecutor() as threads:
        digests = threads.map(_sha256, parts)  # begins with all of them
        yield from parts
        yield _sha256(b"".join(digests))


def _sha256(data: bytes | memoryview) -> bytes:
    return hashlib.sha256(data).digest()


def _without_arrays(value: Any, path: str, tensors: dict[str, NDArray[Any]]) -> Any:
    """Return `value` in JSON's types, its arrays moved into `tensors`."""
    if isinstance(value, np.ndarray):
        tensors[path] = np.asarray(value, order="C")  # safetensors would write another layout wrongly
        return {_ARRAY: path}
    inner = f"{path}." if path else ""
    if isinstance(value, dict):
        if value.keys() == {_ARRAY}:
            raise TypeError(f"a dict with the key {_ARRAY!r} alone")
        if not all(isinstance(key, str) for key in value):  # JSON would make texts of them
            raise TypeError(f"the keys {list(value)!r:.80}")
        return {key: _without_arrays(item, f"{inner}{key}", tensors) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_arrays(item, f"{inner}{i}", tensors) for i, item in enumerate(value)]
    return value.item() if isinstance(value, np.generic) else value


def _with_arrays(value: Any, tensors: dict[str, NDArray[Any]], where: str) -> Any:
    """Put the arrays back into their places."""
    if isinstance(value, list):
        return [_with_arrays(item, tensors, where) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() != {_ARRAY}:
        return {key: _with_arrays(item, tensors, where) for key, item in value.items()}
    name = value[_ARRAY]
    if not isinstance(name, str) or name not in tensors:
        raise CheckpointError(f"{where}: array must be one of the file's, got {name!r:.60}")
    return tensors[name]
