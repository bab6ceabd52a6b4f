"""Model files: one safetensors file with weights, architecture, preprocessing, class names, versions and metrics.

Tensors are named `layers.<index>.<name>`, such as `layers.0.W`. The metadata entry `numlp` is a JSON object: `format`,
`network` (Network.to_config), `metrics`, `versions`. No times and no dates: the same model gives the same bytes.
Nothing in a file is ever executed.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.config import from_config
from numlp.errors import CheckpointError, NumlpError
from numlp.files import replace_file
from numlp.layers import LAYERS, Layer, Residual
from numlp.network import Network
from numlp.version import __version__

FORMAT = 1
_MAX_HEADER = 1 << 20  # bytes
# what people try to load, by its first bytes
_FOREIGN = {
    b"\x80": "a pickle (PyTorch's or Python's)",
    b"\x89HDF": "an HDF5 file (.h5)",
    b"PK\x03\x04": "a zip archive (.npz, .keras or PyTorch's)",
    b"\x93NUMPY": "a NumPy array (.npy)",
    b"\x1f\x8b": "a gzip file",
}


def save(network: Network, path: str | os.PathLike[str]) -> None:
    """Write a model file, atomically: on any failure an older file at `path` is as it was.

    `network.metrics`, such as {"test": evaluate(network, data.test)}, go along.

    Errors  CheckpointError if a parameter is NaN or infinite, or a layer is not one of numlp's; OSError if the file
        cannot be written.

    Examples
    --------
    >>> import numlp as nl, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.safetensors"
    >>> nl.save(nl.Network([nl.Dense(4, 2)], rng=0), path)
    >>> nl.load(path)
    Network(4 -> 2, 10 parameters, float32)
    """
    from safetensors.numpy import save as to_bytes

    for i, layer in enumerate(network.layers):
        for part in _parts(layer):
            if LAYERS.get(type(part).__name__) is not type(part):
                raise CheckpointError(f"save: layer {i} must be one of {', '.join(sorted(LAYERS))}, got {part}")
    tensors = _named_arrays(network)
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            raise CheckpointError(f"save: {name} must hold finite numbers, got NaN or infinite ones; nothing was written")
        if not array.flags.c_contiguous:  # safetensors would write it wrongly, without a word
            raise CheckpointError(f"save: {name} must be C-contiguous, got strides {array.strides}")
    about = {
        "format": FORMAT,
        "network": network.to_config(),
        "metrics": network.metrics,
        "versions": {"numlp": __version__, "numpy": np.__version__},
    }
    replace_file(path, to_bytes(tensors, metadata={"numlp": json.dumps(about, sort_keys=True)}))


def load(path: str | os.PathLike[str], rng: int | np.random.Generator | None = None) -> Network:
    """Read a model file: the network as it was saved, ready to predict, evaluate or train on.

    Parameters
    ----------
    path
        What `save` wrote.
    rng
        Seed or generator for training on.

    Errors  CheckpointError if the file is something else, damaged, or its tensors do not fit its architecture;
        OSError if it cannot be read.

    Examples
    --------
    >>> import numlp as nl
    >>> nl.load("model.h5")
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] No such file or directory: 'model.h5'
    """
    where = f"load: {os.fspath(path)}"
    data = Path(path).read_bytes()
    about = _about(data, where)
    tensors = _tensors(data, where)
    config = about["network"]
    try:
        layers = [from_config(layer, LAYERS) for layer in config["layers"]]
        expected = {f"layers.{i}.{p.name}": p.shape for i, layer in enumerate(layers) for p in layer.parameters()}
        dtype = np.dtype(config["dtype"])
        _check_tensors(tensors, expected, dtype, where)
        network = Network.from_config(config, rng)
    except (NumlpError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, CheckpointError) and str(error).startswith(where):
            raise
        raise CheckpointError(f"{where}: architecture must be a valid one, got {error}") from error
    for name, view in _named_arrays(network).items():
        view[...] = tensors[name]
    network.metrics = about.get("metrics", {})
    return network


def _parts(layer: Layer) -> Iterator[Layer]:
    """Yield a layer and all those inside it."""
    yield layer
    if isinstance(layer, Residual):
        for inner in layer.layers:
            yield from _parts(inner)


def _named_arrays(network: Network) -> dict[str, NDArray[Any]]:
    return {f"layers.{i}.{name}": view for i, values in enumerate(network.arena.values) for name, view in values.items()}


def _about(data: bytes, where: str) -> dict[str, Any]:
    """Return the JSON object behind the metadata entry `numlp`."""
    for start, kind in _FOREIGN.items():
        if data.startswith(start) and not data[8:9] == b"{":
            raise CheckpointError(
                f"{where}: file must be safetensors, got {kind}; numlp refuses to unpickle or convert untrusted files"
            )
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > min(_MAX_HEADER, len(data) - 8):
        raise CheckpointError(
            f"{where}: file must be safetensors with a header of at most {_MAX_HEADER:,} bytes, "
            f"got {len(data):,} bytes that declare a header of {size:,}; it is another format, or cut off"
        )
    try:
        about = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["numlp"])
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{where}: header must be that of a numlp model, got none: {error!r}") from error
    if not isinstance(about, dict) or about.get("format") != FORMAT or not isinstance(about.get("network"), dict):
        found = about.get("format") if isinstance(about, dict) else about
        raise CheckpointError(f"{where}: format must be {FORMAT}, got {found!r}; a newer numlp may be needed")
    return about


def _tensors(data: bytes, where: str) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    try:
        return from_bytes(data)
    except (SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"{where}: file must be whole, got a damaged one: {error}") from error


def _check_tensors(
    tensors: dict[str, NDArray[Any]], expected: dict[str, tuple[int, ...]], dtype: np.dtype[Any], where: str
) -> None:
    """Compare what the file holds with what its architecture needs, before anything is allocated."""
    for name in sorted(tensors.keys() ^ expected.keys()):
        state = "missing" if name in expected else "not part of the architecture"
        raise CheckpointError(f"{where}: tensors must be those of the architecture, got {name} {state}")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name] or tensor.dtype != dtype:
            raise CheckpointError(
                f"{where}: {name} must be {dtype} of shape {expected[name]}, got {tensor.dtype} of {tensor.shape}"
            )
        if not np.isfinite(tensor).all():
            raise CheckpointError(f"{where}: {name} must hold finite numbers, got NaN or infinite ones")
