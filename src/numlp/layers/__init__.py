"""The layers. Each states its own forward and backward pass; a Network gives it parameters and calls it."""

from numlp.layers.activation import Activation, Softmax
from numlp.layers.average import Average
from numlp.layers.batch_norm import BatchNorm
from numlp.layers.dense import Dense, Layer, check_sizes, check_stack
from numlp.layers.dropout import Dropout
from numlp.layers.embedding import Embedding
from numlp.layers.noise import AlphaDropout, GaussianNoise
from numlp.layers.parametric import ParametricActivation
from numlp.layers.periodic import Periodic
from numlp.layers.piecewise import PiecewiseLinear
from numlp.layers.pixels import Pixels
from numlp.layers.prelu import PReLU
from numlp.layers.residual import Residual
from numlp.layers.row_norm import LayerNorm, RMSNorm
from numlp.layers.scale import Scale
from numlp.layers.standardize import Standardize

LAYERS: dict[str, type[Layer]] = {
    layer.__name__: layer
    for layer in (
        Dense,
        Activation,
        Softmax,
        Pixels,
        Dropout,
        BatchNorm,
        PReLU,
        ParametricActivation,
        AlphaDropout,
        GaussianNoise,
        LayerNorm,
        RMSNorm,
        Scale,
        Standardize,
        Residual,
        Embedding,
        Periodic,
        PiecewiseLinear,
        Average,
    )
}

__all__ = [
    "LAYERS",
    "Activation",
    "AlphaDropout",
    "Average",
    "BatchNorm",
    "Dense",
    "Dropout",
    "Embedding",
    "GaussianNoise",
    "Layer",
    "LayerNorm",
    "PReLU",
    "ParametricActivation",
    "Periodic",
    "PiecewiseLinear",
    "Pixels",
    "RMSNorm",
    "Residual",
    "Scale",
    "Softmax",
    "Standardize",
    "check_sizes",
    "check_stack",
]
