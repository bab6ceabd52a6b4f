import numlp as nl
from numlp.config import from_config, to_config
from numlp.schedules import SCHEDULES


def test_nested_parts_come_back_equal() -> None:
    schedule = nl.WarmUp(5, nl.Cosine(0.1, final=0.01))
    config = to_config(schedule)
    assert config == {"type": "WarmUp", "steps": 5, "then": {"type": "Cosine", "learning_rate": 0.1, "final": 0.01}}
    assert from_config(config, SCHEDULES) == schedule
