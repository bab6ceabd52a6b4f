"""Fully connected neural networks written in NumPy: readable, proven, fast, safe."""

from numlp.callbacks import Callback, EarlyStopping, History
from numlp.checkpoint import load, save
from numlp.data.digits import load_digits
from numlp.data.idx import read_idx, write_idx
from numlp.data.input_data import read_data_sets
from numlp.data.mnist import load_mnist
from numlp.explain import explain_step
from numlp.gradients import check_gradients
from numlp.layers import Activation, BatchNorm, Dense, Dropout, Layer, Pixels, Softmax
from numlp.losses import CrossEntropy, Loss, SoftmaxCrossEntropy, SquaredError
from numlp.metrics import accuracy, confusion_matrix
from numlp.network import Network
from numlp.optimizers import SGD, Adam, AdamW, Optimizer
from numlp.schedules import Constant, Cosine, OneCycle, Schedule, WarmUp
from numlp.search import search
from numlp.training import evaluate, fit
from numlp.version import __version__

__all__ = [
    "Activation",
    "Adam",
    "AdamW",
    "BatchNorm",
    "Callback",
    "Constant",
    "Cosine",
    "CrossEntropy",
    "Dense",
    "Dropout",
    "EarlyStopping",
    "History",
    "Layer",
    "Loss",
    "Network",
    "OneCycle",
    "Optimizer",
    "Pixels",
    "SGD",
    "Schedule",
    "Softmax",
    "SoftmaxCrossEntropy",
    "SquaredError",
    "WarmUp",
    "__version__",
    "accuracy",
    "check_gradients",
    "confusion_matrix",
    "evaluate",
    "explain_step",
    "fit",
    "load",
    "load_digits",
    "load_mnist",
    "read_data_sets",
    "read_idx",
    "save",
    "search",
    "write_idx",
]
