"""What is shown for an object in a console: one short line that says what it is."""

from typing import Any

import numpy as np
import pytest

import numlp as nl
from numlp.data.splits import Dataset, Split
from numlp.losses import LOSSES
from numlp.optimizers import OPTIMIZERS
from numlp.search import SearchResult

SPLIT = Split(np.zeros((3, 2), np.float32), np.arange(3))
RECORD = {"epoch": 1, "loss": 0.123456789, "accuracy": 0.5, "learning_rate": 0.1, "seconds": 0.123456789}
NETWORK = nl.Network([nl.Dense(2, 3)], rng=0)

SHOWN = {
    "History()": (nl.History(), "History(epochs=0)"),
    "History of epochs": (
        nl.History([RECORD] * 50, best_epoch=7, interrupted=True),
        "History(epochs=50, loss=0.1235, accuracy=0.5, best_epoch=7, interrupted=True)",
    ),
    "Split": (SPLIT, "Split(x=float32 (3, 2), y=int64 (3,))"),
    "Dataset": (
        Dataset("noise", SPLIT, SPLIT, SPLIT, ("a", "b", "c"), (1, 2)),
        f"Dataset('noise', train={SPLIT!r}, validation={SPLIT!r}, test={SPLIT!r}, 3 classes)",
    ),
    "SearchResult": (
        SearchResult([{"hidden": 2, "loss": 0.1}] * 3, {"hidden": 2}, NETWORK),
        f"SearchResult(best={{'hidden': 2}}, 3 trials, network={NETWORK!r})",
    ),
    "EarlyStopping": (nl.EarlyStopping(3), "EarlyStopping(patience=3)"),
    "PrintEpochs": (nl.PrintEpochs(), "PrintEpochs()"),
    "schedule in an optimizer": (
        nl.SGD(nl.Cosine(0.1), momentum=0.9),
        "SGD(learning_rate=Cosine(learning_rate=0.1, final=0.0), momentum=0.9)",
    ),
    "loss": (nl.SoftmaxCrossEntropy(label_smoothing=0.1), "SoftmaxCrossEntropy(label_smoothing=0.1)"),
}


@pytest.mark.parametrize("name", SHOWN)
def test_object_is_shown_in_one_line(name: str) -> None:
    part, text = SHOWN[name]
    assert repr(part) == text


@pytest.mark.parametrize("kind", [*LOSSES.values(), *OPTIMIZERS.values()])
def test_losses_and_optimizers_are_shown_as_they_were_made(kind: type[Any]) -> None:
    part = kind(0.25) if kind in OPTIMIZERS.values() and kind is not nl.LBFGS else kind()
    names = {**vars(nl), "array": np.array}
    text = repr(part)
    again = eval(text, names)
    assert repr(again) == text and text.startswith(f"{kind.__name__}(") and len(text) < 100


def test_part_whose_arguments_are_not_attributes_is_shown() -> None:
    class Own(nl.SquaredError):
        def __init__(self, *rest: int, forgotten: int = 3, **options: int) -> None:
            self.large = np.zeros(10_000)

    assert repr(Own(1, 2, other=3)) == "Own()"
