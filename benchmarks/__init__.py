"""What numlp costs, and what the others cost: each program here is run as `python -m benchmarks.NAME`."""
