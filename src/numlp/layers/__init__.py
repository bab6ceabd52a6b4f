"""The layers. Each states its own forward and backward pass; a Network gives it parameters and calls it."""

from numlp.layers.activation import Activation, Softmax
from numlp.layers.batch_norm import BatchNorm
from numlp.layers.dense import Dense, Layer
from numlp.layers.dropout import Dropout
from numlp.layers.pixels import Pixels

LAYERS: dict[str, type[Layer]] = {
    layer.__name__: layer for layer in (Dense, Activation, Softmax, Pixels, Dropout, BatchNorm)
}

__all__ = ["LAYERS", "Activation", "BatchNorm", "Dense", "Dropout", "Layer", "Pixels", "Softmax"]
