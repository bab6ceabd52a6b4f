"""`python -m numlp`, the same as `numlp`."""

from numlp.cli import main

main()
