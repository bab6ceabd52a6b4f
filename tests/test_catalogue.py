"""docs/catalogue.md is what `scripts/catalogue` makes of the docstrings."""

import subprocess
import sys
from pathlib import Path

from numlp.activations import ACTIVATIONS
from numlp.initializers import INITIALIZERS
from numlp.layers import LAYERS
from numlp.losses import LOSSES
from numlp.optimizers import OPTIMIZERS
from numlp.schedules import SCHEDULES

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "catalogue.md").read_text(encoding="utf-8")


def test_page_is_what_the_code_says() -> None:
    command = [sys.executable, ROOT / "scripts" / "catalogue", "--check"]
    process = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert process.returncode == 0, process.stdout + process.stderr


def test_page_has_every_part_with_an_equation() -> None:
    for name in (*LAYERS, *ACTIVATIONS, *LOSSES, *OPTIMIZERS, *SCHEDULES):
        part = PAGE.partition(f"\n### {name}\n")[2].partition("\n### ")[0]
        assert "```text\n" in part, name
    assert all(f"\n| {name} | " in PAGE for name in INITIALIZERS)


def test_page_names_the_source_of_every_loss_and_optimizer() -> None:
    for name in (*LOSSES, *OPTIMIZERS):
        part = PAGE.partition(f"\n### {name}\n")[2].partition("\n### ")[0]
        assert "\nSource: " in part, name
