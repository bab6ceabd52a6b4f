from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

import numlp as nl
from numlp.config import from_config, to_config
from numlp.errors import ArgumentError, CheckpointError
from numlp.schedules import SCHEDULES


def test_nested_parts_come_back_equal() -> None:
    schedule = nl.WarmUp(5, nl.Cosine(0.1, final=0.01))
    config = to_config(schedule)
    assert config == {"type": "WarmUp", "steps": 5, "then": {"type": "Cosine", "learning_rate": 0.1, "final": 0.01}}
    assert from_config(config, SCHEDULES) == schedule


class Part:
    def __init__(self, value: Any) -> None:
        self.value = value


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.float64(0.5), 0.5),
        ((1, (2.5, "a")), [1, [2.5, "a"]]),
        ({"b": 1, "a": (2,)}, [["b", 1], ["a", [2]]]),
        ([np.int64(3), np.float32(0.5), np.bool_(True)], [3, 0.5, True]),
        ({np.int64(2): (np.int64(3), 4)}, [[2, [3, 4]]]),
        ([Part(3)], [{"type": "Part", "value": 3}]),
    ],
)
def test_arguments_become_types_of_json(value: Any, plain: Any) -> None:
    described = to_config(Part(value))["value"]
    assert described == plain and type(described) is type(plain)


@pytest.mark.parametrize("rate", [10**400, -(10**400), float("inf"), float("nan")])
def test_numbers_that_are_no_floats_are_refused(rate: float) -> None:
    with pytest.raises(ArgumentError, match=r"^Dropout: rate must be a number at least 0 and below 1, got "):
        nl.Dropout(3, rate)
    with pytest.raises(CheckpointError, match=r"Dropout: rate must be a number at least 0 and below 1"):
        from_config({"type": "Dropout", "n_in": 3, "rate": rate}, {"Dropout": nl.Dropout})


def test_parts_in_a_list_are_built() -> None:
    part = from_config({"type": "Part", "value": [1, {"type": "Part", "value": 2}]}, {"Part": Part})
    assert part.value[0] == 1 and part.value[1].value == 2


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (["Part"], r"^from_config: type must be one of Part, got \['Part'\]$"),
        ({"type": "os.system"}, r"^from_config: type must be one of Part, got 'os.system'$"),
        ({"value": 1}, r"^from_config: type must be one of Part, got None$"),
        ({"type": "Part", "other": 1}, r"^from_config: arguments must fit Part, got {'other': 1}: .*unexpected keyword"),
    ],
)
def test_what_is_no_part_is_refused_with_what_was_found(config: Mapping[str, Any] | list[str], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        from_config(config, {"Part": Part})
