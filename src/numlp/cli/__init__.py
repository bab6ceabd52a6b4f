"""The command line: numlp train | search | evaluate | predict | data | verify | doctor."""

from numlp.cli import doctor, train, use, verify  # noqa: F401  they register their commands
from numlp.cli.app import app


def main() -> None:
    """Run the command line."""
    app()
