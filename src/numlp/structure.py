"""What the stack of layers of a network tells before any number is known."""

from collections.abc import Iterator, Sequence

from numlp.layers import (
    Activation,
    AlphaDropout,
    BatchNorm,
    Dense,
    Dropout,
    GaussianNoise,
    Layer,
    Pixels,
    Residual,
    Scale,
    Standardize,
)

_AFFINE = (BatchNorm, Scale, Standardize, Pixels, Dropout, AlphaDropout, GaussianNoise)  # outside training


def named_layers(layers: Sequence[Layer], where: str = "layer ") -> Iterator[tuple[str, Layer]]:
    """Yield (name, layer) for each layer, those inside Residual instead of it."""
    for i, layer in enumerate(layers):
        if isinstance(layer, Residual):
            yield from named_layers(layer.layers, f"{where}{i}.")
        else:
            yield f"{where}{i} {layer}", layer


def layers_without_activation(layers: Sequence[Layer], where: str = "layer ") -> Iterator[str]:
    """Yield the name of each Dense layer after which another one comes with only affine layers in between.

    A layer with fewer outputs than both sides has is meant so: it makes the product of two small matrices of a large one.
    """
    last: tuple[str, Dense] | None = None  # the Dense layer whose outputs are still what enters here, up to an affine map
    for i, layer in enumerate(layers):
        if isinstance(layer, Residual):
            yield from layers_without_activation(layer.layers, f"{where}{i}.")
        if isinstance(layer, Dense):
            if last is not None and last[1].n_out >= min(last[1].n_in, layer.n_out):
                yield last[0]
            last = (f"{where}{i} {layer}", layer)
        straight = isinstance(layer, _AFFINE) or (isinstance(layer, Dense | Activation) and layer.activation == "identity")
        last = last if straight else None
