"""Model files: one safetensors file with weights, architecture, preprocessing, class names, versions and metrics.

Tensors are named `layers.<index>.<name>`, such as `layers.0.W`. The metadata entry `numlp` is a JSON object: `format`,
`network` (Network.to_config), `metrics`, `versions`, and `inputs` and `extra` where there is something. No times and no
dates: the same model gives the same bytes.
Nothing in a file is ever executed.
"""

import io
import json
import math
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.config import from_config, parts_in, to_config
from numlp.copies import check_parts, needed_parts, own_names, part_types
from numlp.data.inputs import Inputs, inputs_from_config
from numlp.errors import CheckpointError, NumlpError, printable
from numlp.files import check_path, os_errors, replace_file
from numlp.layers import Layer
from numlp.losses import Loss
from numlp.network import Network
from numlp.network_settings import check_network
from numlp.states import STATE_KEY, read_state
from numlp.tensors import Entry, Header, parse_json, read_header, read_tensors, to_plain
from numlp.version import __version__

FORMAT = 1
# what takes memory that no tensor of the file pays for
_MAX_PARTS = 2_000  # layers, the inner ones too
_MAX_WIDTH = 1 << 19  # columns
# what people try to load, by its first bytes
_FOREIGN = {
    b"\x80": "a pickle (PyTorch's or Python's)",
    b"\x89HDF": "an HDF5 file (.h5)",
    b"PK\x03\x04": "a zip archive (.npz, .keras or PyTorch's)",
    b"\x93NUMPY": "a NumPy array (.npy)",
    b"\x1f\x8b": "a gzip file",
}


Parts = Sequence[type[Layer] | type[Loss]]


def save(network: Network, path: str | os.PathLike[str], parts: Parts = ()) -> None:
    """Write a model file, atomically: on any failure an older file at `path` is as it was.

    `network.metrics`, such as {"test": evaluate(network, data.test)}, go along, and so does `network.extra`: numbers, texts,
    None, and lists and dicts of them. What `load` would not give back is not written.

    Parameters
    ----------
    network
        Any network.
    path
        The file; one that is read-only stays.
    parts
        The classes of your own layers and losses, such as [MyLayer]. The file has their names and arguments, not their code:
        `load` needs the same classes.

    Errors  CheckpointError if a parameter is NaN or infinite, a layer or loss is neither one of numlp's nor of `parts`, or
        something could not be loaded again: it is named; OSError if the file cannot be written.

    Examples
    --------
    >>> import numlp as nl, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.safetensors"
    >>> nl.save(nl.Network([nl.Dense(4, 2)], rng=0), path)
    >>> nl.load(path)
    Network(4 -> 2, 10 parameters, float32)
    """
    from safetensors.numpy import save as to_bytes

    path = check_path(path, "save")
    parts = check_parts(parts, "save")
    try:
        found: dict[str, Any] = {"network": network.to_config(), "metrics": network.metrics}
        _check_known(network, parts)
        found |= {"own_parts": own} if (own := own_names(network, network.loss)) else {}
    except (CheckpointError, TypeError) as error:
        raise CheckpointError(f"save: {str(error).removeprefix('to_config: ')}") from error.__cause__
    tensors = _named_arrays(network)
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            raise CheckpointError(f"save: {name} must hold finite numbers, got NaN or infinite ones; nothing was written")
        if not array.flags.c_contiguous:  # safetensors would write it wrongly, without a word
            raise CheckpointError(f"save: {name} must be C-contiguous, got strides {array.strides}")
    about = {"format": FORMAT, "versions": {"numlp": __version__, "numpy": np.__version__}}
    if network.inputs is not None:
        found["inputs"] = network.inputs._asdict() if isinstance(network.inputs, Inputs) else network.inputs
        inputs_from_config(found["inputs"], "save")
    found |= {"extra": network.extra} if network.extra else {}
    try:
        about |= {name: to_plain(value, f"save: {name}") for name, value in found.items()}
        data = to_bytes(tensors, metadata={"numlp": json.dumps(about, sort_keys=True)})
    except RecursionError as error:
        raise CheckpointError("save: metrics and extra must be nested less deeply, got too many levels to read") from error
    # what could not be loaded again is not written
    header = read_header(io.BytesIO(data), len(data), "save")
    _check_architecture(header, _about(header.metadata, "save")["network"], parts)
    replace_file(path, data)


def load(path: str | os.PathLike[str], rng: int | np.random.Generator | None = None, parts: Parts = ()) -> Network:
    """Read a model file: the network as it was saved, ready to predict, evaluate or train on.

    From a checkpoint of a training comes the network as it was at that step. No code in a file is ever executed.

    Parameters
    ----------
    path
        What `save` or a `Checkpointer` wrote.
    rng
        Seed or generator for training on.
    parts
        The classes of the user's own layers and losses that are in it, such as [MyLayer].

    Errors  CheckpointError if the file is something else, damaged, or its tensors do not fit its architecture;
        OSError if it cannot be read.

    Examples
    --------
    >>> import numlp as nl
    >>> nl.load("model.h5")
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] No such file or directory; give the path of a file that is there: 'model.h5'
    """
    path = check_path(path, "load")
    parts = check_parts(parts, "load")
    where = f"load: {path}"
    with os_errors(path), open(path, "rb") as file:
        _check_kind(file.read(9), where)
        file.seek(0)
        header = read_header(file, os.fstat(file.fileno()).st_size, where)
        if STATE_KEY in header.metadata:
            return _of_training(path, rng, parts, where)
        about = _about(header.metadata, where)
        inputs = inputs_from_config(about["inputs"], where) if "inputs" in about else None
        parts = needed_parts(about.get("own_parts", []), parts, where)
        network = _built(about["network"], rng, parts, where, partial(_check_entries, header.entries, parts))
        tensors = read_tensors(file, header, where)
    for name, view in _named_arrays(network).items():
        if not np.isfinite(tensors[name]).all():
            raise CheckpointError(f"{where}: {name} must hold finite numbers, got NaN or infinite ones")
        view[...] = tensors[name]
    network.metrics, network.extra = about["metrics"], about.get("extra", {})
    network.inputs = inputs
    return network


def _of_training(path: Path, rng: int | np.random.Generator | None, parts: Parts, where: str) -> Network:
    """Return the network of a `Checkpointer`'s file."""
    state = read_state(path, "load")
    try:
        config = state["settings"]["network"] | {"loss": state["settings"]["loss"]}
        numbers = state["params"], state["state"]
        parts = needed_parts(state["own_parts"], parts, where) if "own_parts" in state else parts
    except (LookupError, TypeError) as error:
        raise CheckpointError(f"{where}: checkpoint must hold a network and its numbers, got none: {error!r}") from error
    _check_size(config, where)
    network = _built(config, rng, parts, where, partial(_check_numbers, numbers, parts))
    if state.get("inputs") is not None:  # not in checkpoints of earlier versions
        network.inputs = inputs_from_config(state["inputs"], where)
    network.restore(numbers)
    if not network.is_finite():
        raise CheckpointError(f"{where}: params must hold finite numbers, got NaN or infinite ones")
    return network


def _built(
    config: dict[str, Any],
    rng: int | np.random.Generator | None,
    parts: Parts,
    where: str,
    check: Callable[[dict[str, Any], str], None],
) -> Network:
    """Return the network that `config` describes, if `check` finds the numbers in the file that it needs."""
    try:
        check(config, where)
        return Network.from_config(config, rng, parts)
    except MemoryError as error:
        raise CheckpointError(f"{where}: architecture must fit into memory, got one that does not: {error}") from error
    except (NumlpError, LookupError, TypeError, ValueError, OverflowError, AttributeError, RecursionError) as error:
        if isinstance(error, CheckpointError) and str(error).startswith(where):
            raise
        raise CheckpointError(f"{where}: architecture must be a valid one, got {printable(str(error))}") from error


def _check_known(network: Network, parts: Parts) -> None:
    """Raise if a layer or loss is none that `load` will know."""
    layers, losses = part_types(parts)
    named: list[tuple[str, Any, dict[str, Any]]] = [(f"layer {i}", layer, layers) for i, layer in enumerate(network.layers)]
    for name, whole, types in named + ([] if network.loss is None else [("loss", network.loss, losses)]):
        for part in parts_in(whole):
            kind = type(part).__name__
            if isinstance(part, Layer | Loss) and types.get(kind) is not type(part):
                raise CheckpointError(
                    f"{name} must be one of {', '.join(sorted(types))}, got {part}; for a class of your own "
                    f"write nl.save(network, path, parts=[{kind}]), and the same to load it"
                )


def _check_architecture(header: Header, config: dict[str, Any], parts: Parts) -> None:
    """Raise if the architecture in a header would not be built again as it is."""
    layers, losses = part_types(parts)
    try:
        _check_entries(header.entries, parts, config, "save")
        built = [from_config(layer, layers) for layer in config["layers"]]
        loss = None if config["loss"] is None else from_config(config["loss"], losses)
        names, l2 = check_network(built, config["dtype"], config["class_names"], config["l2"])
        again: dict[str, Any] = {
            "layers": [to_config(layer) for layer in built],
            "loss": None if loss is None else to_config(loss),
        }
    except (NumlpError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"save: network must be one that can be built again, got {printable(str(error))}") from error
    again |= {"class_names": names and list(names), "l2": l2}
    for name, found in again.items():
        if json.dumps(found, sort_keys=True) != json.dumps(config[name], sort_keys=True):
            raise CheckpointError(f"save: {name} must be built again as they are, got {config[name]}, which gives {found}")


def _named_arrays(network: Network) -> dict[str, NDArray[Any]]:
    return {f"layers.{i}.{name}": view for i, values in enumerate(network.arena.values) for name, view in values.items()}


def _check_kind(start: bytes, where: str) -> None:
    """Raise if a file begins as one of another kind does; there is no way to have it read all the same."""
    for signature, kind in _FOREIGN.items():
        if start.startswith(signature) and not start[8:9] == b"{":
            raise CheckpointError(
                f"{where}: file must be safetensors, got {kind}: not safetensors; refusing to unpickle untrusted files"
            )


def _about(metadata: dict[str, str], where: str) -> dict[str, Any]:
    """Return the JSON object behind the metadata entry `numlp`."""
    if "numlp" not in metadata:
        names = ", ".join(repr(key[:40]) for key in list(metadata)[:5]) or "none"
        raise CheckpointError(f"{where}: header must be that of a numlp model, with metadata 'numlp', got {names}")
    text = metadata["numlp"]
    about = parse_json(text, f"{where}: metadata 'numlp'", finite=False)  # a metric may well be NaN
    found = about.get("format") if isinstance(about, dict) else about
    if type(found) is not int or found != FORMAT or not isinstance(about, dict):  # true would be 1
        raise CheckpointError(f"{where}: format must be {FORMAT}, got {repr(found)[:60]}; a newer numlp may be needed")
    for key in ("network", "metrics", *(["extra"] if "extra" in about else [])):
        if not isinstance(about.get(key), dict):
            raise CheckpointError(f"{where}: {key} must be an object, got {repr(about.get(key))[:60]}")
    _check_size(about["network"], where)
    return about


def _check_size(config: dict[str, Any], where: str) -> None:
    """Raise if an architecture is larger than any that makes sense, before a part of it is built."""
    found: list[Any] = [config]
    parts = 0
    while found:  # a list, not recursion: the nesting is the file's
        item = found.pop()
        if isinstance(item, dict):
            parts += "type" in item
            for width in (item.get("n_in"), item.get("n_out")):
                if isinstance(width, int | float) and width > _MAX_WIDTH:
                    raise CheckpointError(f"{where}: layers must have at most {_MAX_WIDTH:,} columns, got {width:,}")
        found.extend(item.values() if isinstance(item, dict) else item if isinstance(item, list) else ())
    if parts > _MAX_PARTS:
        raise CheckpointError(f"{where}: architecture must have at most {_MAX_PARTS:,} parts, got {parts:,}")


def _check_numbers(numbers: Sequence[Any], parts: Parts, config: dict[str, Any], where: str) -> None:
    """Compare the flat arrays of a checkpoint with what its architecture needs, before anything is allocated."""
    types = part_types(parts)[0]
    parameters = [p for layer in config["layers"] for p in from_config(layer, types).parameters()]
    for name, found, is_state in zip(("params", "state"), numbers, (False, True), strict=True):
        size = sum(math.prod(p.shape) for p in parameters if (p.role == "state") == is_state)
        if not isinstance(found, np.ndarray) or found.shape != (size,) or found.dtype != config["dtype"]:
            raise CheckpointError(f"{where}: {name} must be {size:,} numbers of {config['dtype']}, got {found!r:.60}")


def _check_entries(entries: dict[str, Entry], parts: Parts, config: dict[str, Any], where: str) -> None:
    """Compare what the file declares with what its architecture needs, before anything is read or allocated."""
    types = part_types(parts)[0]
    layers = [from_config(layer, types) for layer in config["layers"]]
    expected = {f"layers.{i}.{p.name}": p.shape for i, layer in enumerate(layers) for p in layer.parameters()}
    dtype = np.dtype(config["dtype"])
    for name in sorted(entries.keys() ^ expected.keys()):
        state = "missing" if name in expected else "not part of the architecture"
        raise CheckpointError(f"{where}: tensors must be those of the architecture, got {name} {state}")
    for name, entry in entries.items():
        if entry.shape != expected[name] or entry.dtype != dtype:
            raise CheckpointError(
                f"{where}: {name} must be {dtype} of shape {expected[name]}, got {entry.dtype} of {entry.shape}"
            )
