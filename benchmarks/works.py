"""The trainings that are compared: one table. Standard library only, because every competitor's program reads it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any


@dataclass(frozen=True)
class Work:
    """One training: ReLU between dense layers `sizes`, He normal weights, zero biases.

    The data are MNIST's 60,000 rows of bytes and softmax cross-entropy; or with `table` 100,000 rows of numbers made from
    a seed, and half the squared error. Rows that fill no whole batch are left out. `fastest` and `torch` are what is to be
    reached: numlp's time over that of the fastest peer, and of PyTorch eager.
    """

    name: str
    sizes: tuple[int, ...]
    batch_size: int
    optimizer: str
    learning_rate: float
    fastest: float
    torch: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    batch_norm: bool = False
    dropout: float = 0.0
    table: bool = False

    def __str__(self) -> str:
        extras = [self.optimizer.upper() if self.optimizer == "sgd" else self.optimizer.replace("adam", "Adam")]
        extras += ["momentum"] * bool(self.momentum) + ["batch norm"] * self.batch_norm + ["dropout"] * bool(self.dropout)
        return f"{'-'.join(map(str, self.sizes))} B {self.batch_size} {', '.join(extras)}"


WORKS = (
    Work("mnist-100", (784, 100, 10), 32, "sgd", 0.1, 0.70, 0.25),
    Work("mnist-300-sgd", (784, 300, 10), 128, "sgd", 0.1, 0.85, 0.35),
    Work("mnist-300-adam", (784, 300, 10), 128, "adam", 1e-3, 0.80, 0.38),
    Work(
        "mnist-512-512", (784, 512, 512, 10), 256, "adamw", 1e-3, 0.80, 0.45,
        weight_decay=0.01, batch_norm=True, dropout=0.2,
    ),
    Work("mnist-1000", (784, 1000, 10), 512, "adam", 1e-3, 0.88, 0.42),
    Work("mnist-1000-1000", (784, 1000, 1000, 10), 4096, "sgd", 0.02, 0.88, 0.48, momentum=0.9),
    Work("table", (20, 256, 256, 256, 1), 256, "adam", 1e-3, 0.75, 0.30, table=True),
)  # fmt: skip

# rows of 784-300-10 -> numlp's latency over that of the fastest peer
PREDICT_SIZES = (784, 300, 10)
PREDICT_TARGETS = {1: 0.5, 10_000: 0.8}


def work_from(fields: Mapping[str, Any]) -> Work:
    """Return the work that `dataclasses.asdict` turned into a dict, and JSON its tuple into a list."""
    return Work(**{**fields, "sizes": tuple(fields["sizes"])})


def flops(sizes: Sequence[int], batch_size: int) -> int:
    """Return the floating point operations of the products of one step.

    For each dense layer 6 B I O: 2 B I O for y, for dW and for dx; for the first one 4 B I O, as it has no dx.
    """
    return batch_size * sum((6 if i else 4) * n_in * n_out for i, (n_in, n_out) in enumerate(pairwise(sizes)))


def floor_us(sizes: Sequence[int], batch_size: int, gflops: float) -> float:
    """Return the microseconds that the products of one step take at `gflops`, the rate of a large product."""
    return flops(sizes, batch_size) / (gflops * 1e3)
