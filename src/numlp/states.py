"""A nested dict of numbers, texts and arrays as one file that knows whether it is whole.

    file     a safetensors file; its metadata has `numlp_checkpoint`, the format, and `sha256`
    arrays   a tensor each, named by its path in the dict: optimizer.m
    rest     JSON in the bytes of the tensor `plain`; an array is {"__tensor__": name} there
    sha256   of all bytes of the file, with 64 zeros in the place of the digest itself

A changed bit anywhere, or a byte less, is an error. Nothing in a file is ever executed.
"""

import hashlib
import io
import json
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.errors import CheckpointError
from numlp.files import replace_file
from numlp.tensors import parse_json, read_header, read_tensors

STATE_KEY = "numlp_checkpoint"
FORMAT = "1"

_ARRAY = "__tensor__"
_PLAIN = "plain"
_ZEROS = "0" * 64


def write_state(path: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write `state` to `path`, atomically and durably, as `replace_file` does.

    Errors  OSError with path and errno.
    """
    from safetensors.numpy import save as to_bytes

    tensors: dict[str, NDArray[Any]] = {}
    plain = _without_arrays(state, "", tensors)
    tensors[_PLAIN] = np.frombuffer(json.dumps(plain, sort_keys=True).encode(), np.uint8)
    data = to_bytes(tensors, metadata={STATE_KEY: FORMAT, "sha256": _ZEROS})
    end = 8 + int.from_bytes(data[:8], "little")
    digest = hashlib.sha256(data).hexdigest()
    # the same length, so that only the header is written anew
    replace_file(path, data[:end].replace(_field(_ZEROS), _field(digest), 1), memoryview(data)[end:])


def read_state(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what `write_state` wrote; a tuple comes back as a list.

    Errors  CheckpointError if the file is something else or not exactly what was written; OSError if it cannot be read.
    """
    where = f"resume: {os.fspath(path)}"
    with open(path, "rb") as file:
        data = file.read()
    content = io.BytesIO(data)
    header = read_header(content, len(data), where)
    found = header.metadata.get(STATE_KEY)
    if found != FORMAT or _PLAIN not in header.entries:
        kind = "a model file" if "numlp" in header.metadata else f"format {found!r:.40}"
        raise CheckpointError(f"{where}: file must be a checkpoint of format {FORMAT}, got {kind}")
    if _digest(data, header.begin, header.metadata.get("sha256", "")) != header.metadata.get("sha256"):
        raise CheckpointError(f"{where}: file must have the SHA-256 it was written with, got another; it is damaged")
    tensors = read_tensors(content, header, where)
    plain = parse_json(tensors.pop(_PLAIN).tobytes().decode(errors="replace"), where, finite=False)
    if not isinstance(plain, dict):
        raise CheckpointError(f"{where}: content must be an object, got {type(plain).__name__}")
    state: dict[str, Any] = _with_arrays(plain, tensors, where)
    return state


def _field(digest: str) -> bytes:
    """Return the digest as it stands in a header."""
    return f'"sha256":"{digest}"'.encode()


def _digest(data: bytes, end: int, digest: str) -> str:
    """Return the SHA-256 of a file whose header ends at `end`, as it was before the digest was put in."""
    content = hashlib.sha256(data[:end].replace(_field(digest), _field(_ZEROS), 1))
    content.update(memoryview(data)[end:])
    return content.hexdigest()


def _without_arrays(value: Any, path: str, tensors: dict[str, NDArray[Any]]) -> Any:
    """Return `value` in JSON's types, its arrays moved into `tensors`."""
    if isinstance(value, np.ndarray):
        tensors[path] = np.ascontiguousarray(value)  # safetensors would write another layout wrongly
        return {_ARRAY: path}
    inner = f"{path}." if path else ""
    if isinstance(value, dict):
        return {str(key): _without_arrays(item, f"{inner}{key}", tensors) for key, item in value.items()}
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
