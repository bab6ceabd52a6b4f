"""The command line: numlp train | search | evaluate | predict | data."""

from numlp.cli import train, use  # noqa: F401  they register their commands
from numlp.cli.app import app


def main() -> None:
    """Run the command line."""
    app()
